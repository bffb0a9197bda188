-- What a directory holds, all levels down. NULL until it was computed, and for
-- everything that is no directory.

-- +goose Up
ALTER TABLE files ADD COLUMN folder_size INTEGER
    CONSTRAINT files_folder_size_of_directories CHECK (folder_size IS NULL OR (is_directory = 1 AND folder_size >= 0));
CREATE INDEX files_by_folder_size ON files (folder_size) WHERE folder_size IS NOT NULL;

-- What lies in each directory, all levels down. Each directory's own files are
-- summed once and handed up to every directory that it lies in, so the cost
-- grows with the depth of the tree and not with its square. It is a view since
-- sqlc knows no common table expressions outside SELECT.
CREATE VIEW folder_totals AS
WITH RECURSIVE share (id, size) AS (
    SELECT d.id, (SELECT coalesce(sum(f.size), 0) FROM files AS f WHERE f.directory_id = d.id AND f.is_directory = 0)
    FROM directories AS d
    UNION ALL
    SELECT d.parent_id, share.size FROM share CROSS JOIN directories AS d ON d.id = share.id
    WHERE d.parent_id IS NOT NULL AND share.size > 0
)
SELECT d.path AS path, CAST(sum(share.size) AS INTEGER) AS size
FROM share CROSS JOIN directories AS d ON d.id = share.id GROUP BY d.id;

-- +goose Down
DROP VIEW folder_totals;
DROP INDEX files_by_folder_size;
ALTER TABLE files DROP COLUMN folder_size;
