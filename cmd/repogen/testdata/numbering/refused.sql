-- name: InUpsert :exec
INSERT INTO item (id, kind, owner) VALUES (@id, @kind, 1) ON CONFLICT (id) DO UPDATE SET kind = @other;

-- name: MarkInUpsert :exec
INSERT INTO item (id, kind, owner) VALUES (?, ?, 1) ON CONFLICT (id) DO UPDATE SET kind = ?;

-- name: NumberInUpsert :exec
INSERT INTO item (id, kind, owner) VALUES (?1, ?2, 1) ON CONFLICT (id) DO UPDATE SET kind = ?3;

-- name: InHaving :many
SELECT kind FROM item GROUP BY kind HAVING count(*) > @least;

-- name: InOrder :many
SELECT id FROM item ORDER BY CASE WHEN @by = 'size' THEN size ELSE id END;

-- name: InOrderAsFunction :many
SELECT id FROM item ORDER BY CASE WHEN sqlc.arg('by') = 'size' THEN size ELSE id END;

-- name: InFilter :one
SELECT count(*) FILTER (WHERE id > @least) FROM item;

-- name: InWindow :many
SELECT row_number() OVER (ORDER BY id + @shift) FROM item;

-- name: BehindEscape :many
SELECT id FROM item WHERE kind LIKE @pattern ESCAPE '!' AND id BETWEEN @least AND @most;

-- name: NameTwiceBesideMark :many
SELECT id FROM item WHERE kind >= @kind AND owner = ? AND kind <= @kind;

-- name: UnclearOrder :many
WITH some AS (SELECT item.id FROM item WHERE item.kind = sqlc.arg('kind')) SELECT id FROM some WHERE id = ? AND sqlc.arg('kind') > 'a';

-- name: SliceAsOne :many
SELECT id FROM item WHERE id = sqlc.slice('ids');

-- name: SliceAndOne :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND owner = @ids;
