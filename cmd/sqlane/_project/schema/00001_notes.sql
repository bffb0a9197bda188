-- +goose Up
CREATE TABLE notes (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE CHECK (text <> '')
) STRICT;

-- +goose Down
DROP TABLE notes;
