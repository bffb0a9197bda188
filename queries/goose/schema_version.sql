-- goose makes this table by itself. It stands here for sqlc, which has to know
-- it to type queries/schema_version.sql; no migration contains it.
CREATE TABLE schema_version (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp     TIMESTAMP DEFAULT (datetime('now'))
);
