-- name: UpsertFile :one
-- UpsertFile records an entry under its path and returns the row. The id, the
-- creation date and the folder size of an entry that is known stay.
INSERT INTO files (directory_id, path, name, name_lower, extension, file_type_id, is_directory, size,
                   date_created, date_modified, cloud_provider, cloud_status, indexed_at)
VALUES (sqlc.arg('directory_id'), sqlc.arg('path'), sqlc.arg('name'), sqlc.arg('name_lower'), sqlc.arg('extension'),
        (SELECT t.id FROM file_types AS t WHERE t.extension = sqlc.arg('extension')), sqlc.arg('is_directory'), sqlc.arg('size'),
        sqlc.arg('date_created'), sqlc.arg('date_modified'), sqlc.arg('cloud_provider'), sqlc.arg('cloud_status'), sqlc.arg('indexed_at'))
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
RETURNING *;

-- name: UpsertFiles :execrows
-- UpsertFiles records entries as UpsertFile does, all of them or none. They are a
-- JSON array of objects with the columns' names as keys, times in nanoseconds.
-- OFFSET keeps SQLite from making an entry's text anew for each of its columns.
INSERT INTO files (directory_id, path, name, name_lower, extension, file_type_id, is_directory, size,
                   date_created, date_modified, cloud_provider, cloud_status, indexed_at)
SELECT e.entry ->> 'directory_id', e.entry ->> 'path', e.entry ->> 'name', e.entry ->> 'name_lower', e.entry ->> 'extension',
       (SELECT t.id FROM file_types AS t WHERE t.extension = e.entry ->> 'extension'), e.entry ->> 'is_directory', e.entry ->> 'size',
       e.entry ->> 'date_created', e.entry ->> 'date_modified', e.entry ->> 'cloud_provider', e.entry ->> 'cloud_status', e.entry ->> 'indexed_at'
FROM (SELECT j.value AS entry FROM json_each(CAST(sqlc.arg('entries') AS TEXT)) AS j LIMIT -1 OFFSET 0) AS e
WHERE true
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
    folder_size    = CASE WHEN excluded.is_directory = 1 THEN files.folder_size END;

-- name: GetFile :one
-- GetFile returns an entry by its id.
SELECT * FROM files WHERE id = ?;

-- name: GetFileByPath :one
-- GetFileByPath returns an entry by its path.
SELECT * FROM files WHERE path = ?;

-- name: ListFilesByIDs :many
-- ListFilesByIDs returns the entries with the given ids, in the order of the ids.
SELECT * FROM files WHERE id IN (sqlc.slice('ids')) ORDER BY id;

-- name: ListDirectory :many
-- ListDirectory returns a page of a directory's entries, ordered by name. The
-- next page begins after the last entry's name_lower and id; the first one after
-- the empty name and 0.
SELECT * FROM files
WHERE directory_id = sqlc.arg('directory_id')
  AND name_lower >= sqlc.arg('after_name')
  AND (name_lower > sqlc.arg('after_name') OR id > sqlc.arg('after_id'))
ORDER BY name_lower, id
LIMIT sqlc.arg('count');

-- name: ListEntries :many
-- ListEntries returns what an indexing run compares, of all entries of a directory.
SELECT id, path, is_directory, size, date_modified FROM files WHERE directory_id = ?;

-- name: SearchFilesByPrefix :many
-- SearchFilesByPrefix returns the entries whose lower-cased name begins with the
-- prefix, ordered by name.
SELECT * FROM files
WHERE name_lower >= sqlc.arg('prefix') AND name_lower < sqlc.arg('prefix') || char(1114111)
ORDER BY name_lower, id
LIMIT sqlc.arg('count');

-- name: SearchFilesBySubstring :many
-- SearchFilesBySubstring returns the entries whose lower-cased name contains the
-- text, taken literally: LIKE's wildcards in it are escaped here.
SELECT * FROM files
WHERE name_lower LIKE '%' || replace(replace(replace(CAST(sqlc.arg('part') AS TEXT), '\', '\\'), '%', '\%'), '_', '\_') || '%' ESCAPE '\'
ORDER BY name_lower, id
LIMIT sqlc.arg('count');

-- name: SearchFilesByCategory :many
-- SearchFilesByCategory returns the files of a category whose lower-cased name
-- contains the text, the largest first. Files without a type
-- count as other.
SELECT sqlc.embed(f) FROM files AS f LEFT JOIN file_types AS t ON t.id = f.file_type_id
WHERE f.is_directory = 0 AND f.size >= 0
  AND (t.category = sqlc.arg('category') OR t.category IS NULL AND sqlc.arg('category') = 'other')
  AND instr(f.name_lower, CAST(sqlc.arg('part') AS TEXT)) > 0
ORDER BY f.size DESC
LIMIT sqlc.arg('count');

-- name: ListFilesByExtension :many
-- ListFilesByExtension returns the entries with an extension (lower case, no dot).
SELECT * FROM files WHERE extension = sqlc.arg('extension') ORDER BY name_lower, id LIMIT sqlc.arg('count');

-- name: ListFilesByCategory :many
-- ListFilesByCategory returns the files whose type is of a category, the largest first.
SELECT sqlc.embed(f) FROM file_types AS t CROSS JOIN files AS f ON f.file_type_id = t.id
WHERE t.category = sqlc.arg('category')
ORDER BY f.size DESC, f.id
LIMIT sqlc.arg('count');

-- name: ListFilesBySize :many
-- ListFilesBySize returns the files between two sizes, both included and either
-- one open if it is nil, the smallest first.
SELECT * FROM files
WHERE is_directory = 0
  AND size >= coalesce(CAST(sqlc.narg('min_size') AS INTEGER), 0)
  AND size <= coalesce(CAST(sqlc.narg('max_size') AS INTEGER), 9223372036854775807)
ORDER BY size, id
LIMIT sqlc.arg('count');

-- name: ListFilesByDate :many
-- ListFilesByDate returns the files modified between two times, the first
-- included, the second not, and either one open if it is the zero time; the
-- oldest first.
SELECT * FROM files
WHERE is_directory = 0
  AND date_modified >= coalesce(sqlc.arg('since'), -9223372036854775807)
  AND date_modified < coalesce(sqlc.arg('before'), 9223372036854775807)
ORDER BY date_modified, id
LIMIT sqlc.arg('count');

-- name: LargestFiles :many
-- LargestFiles returns the largest files.
SELECT * FROM files WHERE is_directory = 0 AND size >= 0 ORDER BY size DESC LIMIT sqlc.arg('count');

-- name: LargestFolders :many
-- LargestFolders returns the directories that hold most.
SELECT * FROM files WHERE folder_size IS NOT NULL ORDER BY folder_size DESC LIMIT sqlc.arg('count');

-- name: NewestFiles :many
-- NewestFiles returns the files modified last.
SELECT * FROM files WHERE is_directory = 0 ORDER BY date_modified DESC LIMIT sqlc.arg('count');

-- name: SummarizeCategories :many
-- SummarizeCategories returns the number of files and their total size for each
-- category; files without a type count as other.
SELECT coalesce(t.category, 'other') AS category, count(*) AS files, CAST(coalesce(sum(f.size), 0) AS INTEGER) AS total_size
FROM files AS f LEFT JOIN file_types AS t ON t.id = f.file_type_id
WHERE f.is_directory = 0
GROUP BY 1
ORDER BY 3 DESC, 1;

-- name: SummarizeDirectory :many
-- SummarizeDirectory is SummarizeCategories of the files below a directory.
SELECT coalesce(t.category, 'other') AS category, count(*) AS files, CAST(coalesce(sum(f.size), 0) AS INTEGER) AS total_size
FROM files AS f LEFT JOIN file_types AS t ON t.id = f.file_type_id
WHERE f.is_directory = 0
  AND f.path > rtrim(sqlc.arg('directory'), '/') || '/' AND f.path < rtrim(sqlc.arg('directory'), '/') || '0'
GROUP BY 1
ORDER BY 3 DESC, 1;

-- name: CountFiles :one
-- CountFiles returns how many files and how many directories are indexed below a
-- directory, itself left out, and the total size of the files.
SELECT CAST(coalesce(sum(is_directory = 0), 0) AS INTEGER) AS files,
       CAST(coalesce(sum(is_directory), 0) AS INTEGER) AS directories,
       CAST(coalesce(sum(CASE WHEN is_directory = 0 THEN size END), 0) AS INTEGER) AS total_size
FROM files
WHERE path > rtrim(sqlc.arg('directory'), '/') || '/' AND path < rtrim(sqlc.arg('directory'), '/') || '0';

-- name: RenameFiles :execrows
-- RenameFiles gives an entry and everything below it another path. Rename the
-- directories along with it, in one transaction: RenameDirectories.
UPDATE files SET path = sqlc.arg('new_path') || substr(path, length(CAST(sqlc.arg('old_path') AS TEXT)) + 1)
WHERE path = sqlc.arg('old_path') OR (path > sqlc.arg('old_path') || '/' AND path < sqlc.arg('old_path') || '0');

-- name: MoveFile :execrows
-- MoveFile gives one entry its new directory and name, after RenameFiles has
-- given it its path.
UPDATE files SET directory_id = sqlc.arg('directory_id'), name = sqlc.arg('name'), name_lower = sqlc.arg('name_lower'),
                 extension = sqlc.arg('extension'),
                 file_type_id = (SELECT t.id FROM file_types AS t WHERE t.extension = sqlc.arg('extension'))
WHERE path = sqlc.arg('path');

-- name: MarkFileSeen :execrows
-- MarkFileSeen notes that an entry was met, unchanged.
UPDATE files SET indexed_at = sqlc.arg('seen_at') WHERE path = sqlc.arg('path');

-- name: DeleteUnseenFiles :execrows
-- DeleteUnseenFiles deletes the entries below a directory that were not met
-- since a time.
DELETE FROM files
WHERE path > rtrim(sqlc.arg('directory'), '/') || '/' AND path < rtrim(sqlc.arg('directory'), '/') || '0'
  AND indexed_at < sqlc.arg('seen_before');

-- name: DeleteFiles :execrows
-- DeleteFiles deletes entries by their ids.
DELETE FROM files WHERE id IN (sqlc.slice('ids'));

-- name: SetFolderSizes :execrows
-- SetFolderSizes computes the folder size of every directory entry at or below a
-- directory from what lies in it, all levels down, and returns how many changed.
-- The rows exist: the INSERT is an UPDATE from a query, and only that.
INSERT INTO files (id, directory_id, path, name, name_lower, is_directory, size, date_created, date_modified, indexed_at, folder_size)
SELECT e.id, e.directory_id, e.path, e.name, e.name_lower, 1, 0, 0, 0, 0, t.size
FROM folder_totals AS t CROSS JOIN files AS e ON e.path = t.path
WHERE e.is_directory = 1 AND e.folder_size IS NOT t.size
  AND (t.path = sqlc.arg('directory') OR (t.path > rtrim(sqlc.arg('directory'), '/') || '/' AND t.path < rtrim(sqlc.arg('directory'), '/') || '0'))
ON CONFLICT (id) DO UPDATE SET folder_size = excluded.folder_size;
