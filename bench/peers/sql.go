package peers

// The text of package gen's queries, for those who run it without package gen.
// A test compares them.
const (
	getFileByPath = `-- name: GetFileByPath :one
SELECT id, directory_id, path, name, name_lower, extension, file_type_id, is_directory, size, date_created, date_modified, cloud_provider, cloud_status, indexed_at, folder_size FROM files WHERE path = ?
`
	listDirectory = `-- name: ListDirectory :many
SELECT id, directory_id, path, name, name_lower, extension, file_type_id, is_directory, size, date_created, date_modified, cloud_provider, cloud_status, indexed_at, folder_size FROM files
WHERE directory_id = ?1
  AND name_lower >= ?2
  AND (name_lower > ?2 OR id > ?3)
ORDER BY name_lower, id
LIMIT ?4
`
	searchFilesByPrefix = `-- name: SearchFilesByPrefix :many
SELECT id, directory_id, path, name, name_lower, extension, file_type_id, is_directory, size, date_created, date_modified, cloud_provider, cloud_status, indexed_at, folder_size FROM files
WHERE name_lower >= ?1 AND name_lower < ?1 || char(1114111)
ORDER BY name_lower, id
LIMIT ?2
`
	upsertFile = `-- name: UpsertFile :one
INSERT INTO files (directory_id, path, name, name_lower, extension, file_type_id, is_directory, size,
                   date_created, date_modified, cloud_provider, cloud_status, indexed_at)
VALUES (?1, ?2, ?3, ?4, ?5,
        (SELECT t.id FROM file_types AS t WHERE t.extension = ?5), ?6, ?7,
        ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (path) DO UPDATE SET
    directory_id   = excluded.directory_id,
    name           = excluded.name,
    name_lower     = excluded.name_lower,
    extension      = excluded.extension,
    file_type_id   = excluded.file_type_id,
    is_directory   = excluded.is_directory,
    size           = excluded.size,
    date_modified  = excluded.date_modified,
    cloud_provider = excluded.cloud_provider,
    cloud_status   = excluded.cloud_status,
    indexed_at     = excluded.indexed_at,
    folder_size    = CASE WHEN excluded.is_directory = 1 THEN files.folder_size END
RETURNING id, directory_id, path, name, name_lower, extension, file_type_id, is_directory, size, date_created, date_modified, cloud_provider, cloud_status, indexed_at, folder_size
`
	markFileSeen = `-- name: MarkFileSeen :execrows
UPDATE files SET indexed_at = ?1 WHERE path = ?2
`
	appendLog = `-- name: AppendLog :one
INSERT INTO indexing_log (timestamp, operation, path, file_count, duration)
VALUES (?1, ?2, ?3, ?4, ?5)
RETURNING id, timestamp, operation, path, file_count, duration
`
)
