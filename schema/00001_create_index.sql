-- The index of a file-search program.
--
-- Times are nanoseconds since 1970 in UTC. Booleans are 0 or 1. Text in the
-- *_lower columns is lower-cased by the program, which knows Unicode; SQLite's
-- lower() knows ASCII alone.

-- +goose Up

-- What an extension means.
CREATE TABLE file_types (
    id        INTEGER PRIMARY KEY,
    extension TEXT NOT NULL,
    type_name TEXT NOT NULL,
    category  TEXT NOT NULL,
    CONSTRAINT file_types_extension_unique UNIQUE (extension),
    CONSTRAINT file_types_extension_form CHECK (extension <> '' AND extension = lower(extension) AND substr(extension, 1, 1) <> '.'),
    CONSTRAINT file_types_category_known CHECK (category IN ('document', 'image', 'audio', 'video', 'archive', 'code', 'data', 'other'))
) STRICT;
CREATE INDEX file_types_by_category ON file_types (category, extension);

-- One directory of the hierarchy and the rule that applies to it. A directory
-- goes with everything below it: ON DELETE CASCADE.
CREATE TABLE directories (
    id               INTEGER PRIMARY KEY,
    path             TEXT NOT NULL,
    parent_id        INTEGER,
    included         INTEGER NOT NULL DEFAULT 1,
    priority         INTEGER NOT NULL DEFAULT 0,
    recursive        INTEGER NOT NULL DEFAULT 1,
    permission_state TEXT NOT NULL DEFAULT 'unknown',
    CONSTRAINT directories_path_unique UNIQUE (path),
    CONSTRAINT directories_path_not_empty CHECK (path <> ''),
    CONSTRAINT directories_parent FOREIGN KEY (parent_id) REFERENCES directories (id) ON DELETE CASCADE,
    CONSTRAINT directories_not_own_parent CHECK (parent_id <> id),
    CONSTRAINT directories_included_bool CHECK (included IN (0, 1)),
    CONSTRAINT directories_recursive_bool CHECK (recursive IN (0, 1)),
    CONSTRAINT directories_permission_known CHECK (permission_state IN ('unknown', 'granted', 'denied'))
) STRICT;
CREATE INDEX directories_by_parent ON directories (parent_id, path);
CREATE INDEX directories_by_rule ON directories (included, priority DESC, path);

-- One file or directory entry. It goes with the directory it lies in; a file
-- type that is taken away leaves its files without one: ON DELETE SET NULL.
CREATE TABLE files (
    id             INTEGER PRIMARY KEY,
    directory_id   INTEGER NOT NULL,
    path           TEXT NOT NULL,
    name           TEXT NOT NULL,
    name_lower     TEXT NOT NULL,
    extension      TEXT NOT NULL DEFAULT '',
    file_type_id   INTEGER,
    is_directory   INTEGER NOT NULL DEFAULT 0,
    size           INTEGER,
    date_created   INTEGER NOT NULL,
    date_modified  INTEGER NOT NULL,
    cloud_provider TEXT NOT NULL DEFAULT 'none',
    cloud_status   TEXT NOT NULL DEFAULT 'local',
    indexed_at     INTEGER NOT NULL,
    CONSTRAINT files_path_unique UNIQUE (path),
    CONSTRAINT files_name_not_empty CHECK (name <> ''),
    CONSTRAINT files_directory FOREIGN KEY (directory_id) REFERENCES directories (id) ON DELETE CASCADE,
    CONSTRAINT files_file_type FOREIGN KEY (file_type_id) REFERENCES file_types (id) ON DELETE SET NULL,
    CONSTRAINT files_is_directory_bool CHECK (is_directory IN (0, 1)),
    CONSTRAINT files_size_not_negative CHECK (size >= 0),
    CONSTRAINT files_size_unless_cloud_only CHECK ((size IS NULL) = (cloud_status = 'cloud-only')),
    CONSTRAINT files_cloud_provider_known CHECK (cloud_provider IN ('none', 'icloud', 'dropbox', 'google-drive', 'onedrive')),
    CONSTRAINT files_cloud_status_known CHECK (cloud_status IN ('local', 'downloaded', 'cloud-only'))
) STRICT;
CREATE INDEX files_by_directory ON files (directory_id, name_lower, id);
CREATE INDEX files_by_name ON files (name_lower, id);
CREATE INDEX files_by_extension ON files (extension, name_lower, id);
CREATE INDEX files_by_type ON files (file_type_id, size);
CREATE INDEX files_by_size ON files (size, is_directory);
CREATE INDEX files_by_date ON files (date_modified, is_directory);

-- One search category.
CREATE TABLE tabs (
    id         INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    filter_def TEXT NOT NULL,
    position   INTEGER NOT NULL,
    visible    INTEGER NOT NULL DEFAULT 1,
    CONSTRAINT tabs_name_unique UNIQUE (name),
    CONSTRAINT tabs_name_not_empty CHECK (name <> ''),
    CONSTRAINT tabs_filter_json CHECK (json_valid(filter_def)),
    CONSTRAINT tabs_position_not_negative CHECK (position >= 0),
    CONSTRAINT tabs_visible_bool CHECK (visible IN (0, 1))
) STRICT;
CREATE INDEX tabs_by_position ON tabs (position, id);
-- The order as consecutive numbers from 0.
CREATE VIEW tab_places AS SELECT id, row_number() OVER (ORDER BY position, id) - 1 AS place FROM tabs;

-- One indexing run. It keeps the path as text: the log outlives directories.
CREATE TABLE indexing_log (
    id         INTEGER PRIMARY KEY,
    timestamp  INTEGER NOT NULL,
    operation  TEXT NOT NULL,
    path       TEXT NOT NULL,
    file_count INTEGER NOT NULL,
    duration   INTEGER NOT NULL,
    CONSTRAINT indexing_log_operation_known CHECK (operation IN ('index', 'cancelled', 'failed')),
    CONSTRAINT indexing_log_file_count_not_negative CHECK (file_count >= 0),
    CONSTRAINT indexing_log_duration_not_negative CHECK (duration >= 0)
) STRICT;
CREATE INDEX indexing_log_by_time ON indexing_log (timestamp, id);
CREATE INDEX indexing_log_by_operation ON indexing_log (operation, timestamp, id);

-- A stored access grant.
CREATE TABLE permission_bookmarks (
    id         INTEGER PRIMARY KEY,
    path       TEXT NOT NULL,
    bookmark   BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT permission_bookmarks_path_unique UNIQUE (path)
) STRICT;

INSERT INTO file_types (extension, type_name, category) VALUES
    ('7z', '7-Zip archive', 'archive'), ('gz', 'gzip archive', 'archive'), ('tar', 'tar archive', 'archive'),
    ('tgz', 'gzip archive', 'archive'), ('xz', 'xz archive', 'archive'), ('zip', 'ZIP archive', 'archive'),
    ('flac', 'FLAC audio', 'audio'), ('m4a', 'MPEG-4 audio', 'audio'), ('mp3', 'MP3 audio', 'audio'),
    ('ogg', 'Ogg audio', 'audio'), ('wav', 'WAVE audio', 'audio'),
    ('asm', 'assembly source', 'code'), ('bash', 'shell script', 'code'), ('c', 'C source', 'code'),
    ('cc', 'C++ source', 'code'), ('cpp', 'C++ source', 'code'), ('css', 'style sheet', 'code'),
    ('go', 'Go source', 'code'), ('h', 'C header', 'code'), ('html', 'web page', 'code'),
    ('java', 'Java source', 'code'), ('js', 'JavaScript source', 'code'), ('mod', 'Go module', 'code'),
    ('pl', 'Perl source', 'code'), ('py', 'Python source', 'code'), ('rs', 'Rust source', 'code'),
    ('s', 'assembly source', 'code'), ('sh', 'shell script', 'code'), ('sql', 'SQL script', 'code'),
    ('swift', 'Swift source', 'code'), ('ts', 'TypeScript source', 'code'),
    ('csv', 'table', 'data'), ('db', 'database', 'data'), ('json', 'JSON data', 'data'),
    ('sum', 'checksums', 'data'), ('toml', 'TOML data', 'data'), ('xml', 'XML data', 'data'),
    ('yaml', 'YAML data', 'data'), ('yml', 'YAML data', 'data'),
    ('doc', 'Word document', 'document'), ('docx', 'Word document', 'document'), ('md', 'Markdown text', 'document'),
    ('odt', 'OpenDocument text', 'document'), ('pdf', 'PDF document', 'document'), ('rtf', 'rich text', 'document'),
    ('txt', 'plain text', 'document'), ('xlsx', 'Excel workbook', 'document'),
    ('gif', 'GIF image', 'image'), ('heic', 'HEIC image', 'image'), ('ico', 'icon', 'image'),
    ('jpeg', 'JPEG image', 'image'), ('jpg', 'JPEG image', 'image'), ('png', 'PNG image', 'image'),
    ('svg', 'SVG image', 'image'), ('webp', 'WebP image', 'image'),
    ('a', 'static library', 'other'), ('bin', 'binary', 'other'), ('exe', 'program', 'other'), ('so', 'shared library', 'other'),
    ('avi', 'AVI video', 'video'), ('mkv', 'Matroska video', 'video'), ('mov', 'QuickTime video', 'video'),
    ('mp4', 'MPEG-4 video', 'video'), ('webm', 'WebM video', 'video');

INSERT INTO tabs (name, filter_def, position) VALUES
    ('All', '{}', 0),
    ('Documents', '{"category":"document"}', 1),
    ('Images', '{"category":"image"}', 2),
    ('Audio', '{"category":"audio"}', 3),
    ('Video', '{"category":"video"}', 4),
    ('Code', '{"category":"code"}', 5),
    ('Archives', '{"category":"archive"}', 6);

-- +goose Down
DROP TABLE permission_bookmarks;
DROP TABLE indexing_log;
DROP VIEW tab_places;
DROP TABLE tabs;
DROP TABLE files;
DROP TABLE directories;
DROP TABLE file_types;
