-- name: AppendLog :one
-- AppendLog records an indexing run.
INSERT INTO indexing_log (timestamp, operation, path, file_count, duration)
VALUES (sqlc.arg('timestamp'), sqlc.arg('operation'), sqlc.arg('path'), sqlc.arg('file_count'), sqlc.arg('duration'))
RETURNING *;

-- name: RecentLog :many
-- RecentLog returns the latest runs, the newest first.
SELECT * FROM indexing_log ORDER BY timestamp DESC, id DESC LIMIT sqlc.arg('count');

-- name: LastLog :one
-- LastLog returns the latest run that ended in an operation.
SELECT * FROM indexing_log WHERE operation = ? ORDER BY timestamp DESC, id DESC LIMIT 1;

-- name: PruneLog :execrows
-- PruneLog deletes the runs before a time.
DELETE FROM indexing_log WHERE timestamp < ?;
