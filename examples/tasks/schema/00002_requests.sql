-- +goose Up

-- Which task a request has added, for when it is sent again. It refers to no
-- row of tasks: a request that was answered stays so when its task is deleted.
CREATE TABLE requests (
    key     TEXT    PRIMARY KEY CHECK (length(key) BETWEEN 1 AND 100),
    task_id INTEGER NOT NULL,
    title   TEXT    NOT NULL,
    made_at INTEGER NOT NULL DEFAULT (unixepoch())
) STRICT, WITHOUT ROWID;

CREATE INDEX requests_by_age ON requests (made_at);

-- +goose Down
DROP TABLE requests;
