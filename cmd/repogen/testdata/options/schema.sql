CREATE TABLE item (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    size INTEGER,
    owner_id INTEGER NOT NULL,
    made DATETIME,
    extra JSON
);

CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note TEXT);
