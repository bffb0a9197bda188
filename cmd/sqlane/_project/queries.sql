-- name: AddNote :one
INSERT INTO notes (text) VALUES (?) RETURNING *;

-- name: CountNotes :one
SELECT count(*) FROM notes;
