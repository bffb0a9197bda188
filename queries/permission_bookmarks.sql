-- name: PutBookmark :one
-- PutBookmark stores an access grant for a path, in place of an older one.
INSERT INTO permission_bookmarks (path, bookmark, created_at)
VALUES (sqlc.arg('path'), sqlc.arg('bookmark'), sqlc.arg('created_at'))
ON CONFLICT (path) DO UPDATE SET bookmark = excluded.bookmark, created_at = excluded.created_at
RETURNING *;

-- name: GetBookmark :one
-- GetBookmark returns the access grant for a path.
SELECT * FROM permission_bookmarks WHERE path = ?;

-- name: ListBookmarks :many
-- ListBookmarks returns all access grants, ordered by path.
SELECT * FROM permission_bookmarks ORDER BY path;

-- name: DeleteBookmark :execrows
-- DeleteBookmark deletes the access grant for a path.
DELETE FROM permission_bookmarks WHERE path = ?;
