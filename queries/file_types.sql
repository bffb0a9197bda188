-- name: UpsertFileType :one
-- UpsertFileType says what an extension (lower case, no dot) means.
INSERT INTO file_types (extension, type_name, category)
VALUES (sqlc.arg('extension'), sqlc.arg('type_name'), sqlc.arg('category'))
ON CONFLICT (extension) DO UPDATE SET type_name = excluded.type_name, category = excluded.category
RETURNING *;

-- name: GetFileTypeByExtension :one
-- GetFileTypeByExtension returns what an extension means.
SELECT * FROM file_types WHERE extension = ?;

-- name: ListFileTypesByCategory :many
-- ListFileTypesByCategory returns a category's types, ordered by extension.
SELECT * FROM file_types WHERE category = ? ORDER BY extension;

-- name: ListFileTypes :many
-- ListFileTypes returns all types, ordered by extension.
SELECT * FROM file_types ORDER BY extension;
