-- name: GetItem :one
-- A `quoted` word: sqlc makes several literals of it.
SELECT * FROM item WHERE id = ?;

-- name: ListItems :many
SELECT id, size, '`' AS tick FROM item WHERE kind = sqlc.arg('kind') AND (size > sqlc.narg('least') OR made < sqlc.narg('made'));

-- name: ListOwned :many
SELECT sqlc.embed(item), owner.name FROM item JOIN owner ON owner.id = item.owner_id;

-- name: ListByID :many
SELECT * FROM item WHERE id IN (sqlc.slice('ids')) AND kind = sqlc.arg('kind');

-- name: AddItem :execlastid
INSERT INTO item (kind, size, owner_id, made, extra) VALUES (?, ?, ?, ?, ?);

-- name: SetKind :execrows
UPDATE item SET kind = @kind, size = @size WHERE id = @id;

-- name: SetSizes :execresult
UPDATE item SET size = @size WHERE kind IN (sqlc.slice('kinds'));

-- name: DeleteItem :exec
DELETE FROM item WHERE id = ?;

-- name: Tx :one
SELECT name FROM owner WHERE id = ?;

-- name: Reader :one
SELECT kind FROM item WHERE owner_id = ?;

-- name: Writer :many
SELECT size FROM item WHERE made = ?;

-- name: SetNote :execrows
UPDATE owner SET note = ?;
