-- name: UpsertDirectory :one
-- UpsertDirectory records a directory under its path and returns the row. The
-- rule and the permission state of a directory that is known stay.
INSERT INTO directories (path, parent_id) VALUES (sqlc.arg('path'), sqlc.narg('parent_id'))
ON CONFLICT (path) DO UPDATE SET parent_id = coalesce(excluded.parent_id, directories.parent_id)
RETURNING *;

-- name: UpsertDirectories :execrows
-- UpsertDirectories records directories as UpsertDirectory does, all of them or
-- none. They are a JSON array of objects with the columns' names as keys: path
-- and parent_id.
INSERT INTO directories (path, parent_id)
SELECT d.value ->> 'path', d.value ->> 'parent_id' FROM json_each(CAST(sqlc.arg('directories') AS TEXT)) AS d
WHERE true
ON CONFLICT (path) DO UPDATE SET parent_id = coalesce(excluded.parent_id, directories.parent_id);

-- name: GetDirectory :one
-- GetDirectory returns a directory by its id.
SELECT * FROM directories WHERE id = ?;

-- name: GetDirectoryByPath :one
-- GetDirectoryByPath returns a directory by its path.
SELECT * FROM directories WHERE path = ?;

-- name: ListSubdirectories :many
-- ListSubdirectories returns a directory's children, ordered by path.
SELECT * FROM directories WHERE parent_id = CAST(sqlc.arg('parent_id') AS INTEGER) ORDER BY path;

-- name: ListAncestors :many
-- ListAncestors returns the directories that a directory lies in, the nearest first.
WITH RECURSIVE up (id, parent_id, height) AS (
    SELECT d.id, d.parent_id, 0 FROM directories AS d WHERE d.id = sqlc.arg('id')
    UNION ALL
    SELECT d.id, d.parent_id, up.height + 1 FROM up CROSS JOIN directories AS d ON d.id = up.parent_id
)
SELECT sqlc.embed(d) FROM up CROSS JOIN directories AS d ON d.id = up.id WHERE up.height > 0 ORDER BY up.height;

-- name: ListIncludedDirectories :many
-- ListIncludedDirectories returns the directories to be indexed, the most
-- important first.
SELECT * FROM directories WHERE included = 1 ORDER BY priority DESC, path;

-- name: SetDirectoryRule :execrows
-- SetDirectoryRule says whether and how a directory is indexed.
UPDATE directories SET included = sqlc.arg('included'), priority = sqlc.arg('priority'), recursive = sqlc.arg('recursive')
WHERE id = sqlc.arg('id');

-- name: SetDirectoryPermission :execrows
-- SetDirectoryPermission notes whether the directory may be read.
UPDATE directories SET permission_state = sqlc.arg('permission_state') WHERE id = sqlc.arg('id');

-- name: RenameDirectories :execrows
-- RenameDirectories gives a directory and everything below it another path.
UPDATE directories SET path = sqlc.arg('new_path') || substr(path, length(CAST(sqlc.arg('old_path') AS TEXT)) + 1)
WHERE path = sqlc.arg('old_path') OR (path > sqlc.arg('old_path') || '/' AND path < sqlc.arg('old_path') || '0');

-- name: MoveDirectory :execrows
-- MoveDirectory gives one directory its new parent, after RenameDirectories has
-- given it its path.
UPDATE directories SET parent_id = sqlc.narg('parent_id') WHERE path = sqlc.arg('path');

-- name: DeleteDirectories :execrows
-- DeleteDirectories deletes a directory and everything below it, with the
-- entries in them. The directory's own entry, in its parent, stays.
DELETE FROM directories
WHERE path = sqlc.arg('path') OR (path > rtrim(sqlc.arg('path'), '/') || '/' AND path < rtrim(sqlc.arg('path'), '/') || '0');
