-- name: GetSchemaVersion :one
-- GetSchemaVersion returns the number of the newest migration that is applied.
SELECT CAST(coalesce(max(version_id), 0) AS INTEGER) AS version FROM schema_version;
