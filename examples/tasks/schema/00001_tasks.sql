-- +goose Up
CREATE TABLE tasks (
    id    INTEGER PRIMARY KEY,
    title TEXT    NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
    done  INTEGER NOT NULL DEFAULT FALSE CHECK (done IN (FALSE, TRUE))
) STRICT;

-- The two halves of the list, each in its order.
CREATE INDEX tasks_by_done ON tasks (done, id);

-- Two people who think of the same thing add it once.
CREATE UNIQUE INDEX open_tasks_by_title ON tasks (title) WHERE NOT done;

-- +goose Down
DROP TABLE tasks;
