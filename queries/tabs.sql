-- name: CreateTab :one
-- CreateTab adds a search category behind the others. The filter is JSON.
INSERT INTO tabs (name, filter_def, position)
SELECT sqlc.arg('name'), sqlc.arg('filter_def'), coalesce(max(position) + 1, 0) FROM tabs
RETURNING *;

-- name: ListTabs :many
-- ListTabs returns all search categories in their order.
SELECT * FROM tabs ORDER BY position, id;

-- name: SetTabFilter :execrows
-- SetTabFilter replaces a search category's filter, which is JSON.
UPDATE tabs SET filter_def = sqlc.arg('filter_def') WHERE id = sqlc.arg('id');

-- name: MoveTab :execrows
-- MoveTab puts a search category at a position, counted from 0, and the others
-- around it in their order. The rows exist: the INSERT is an UPDATE from a query.
INSERT INTO tabs (id, name, filter_def, position, visible)
SELECT t.id, t.name, t.filter_def,
       CASE WHEN t.id = sqlc.arg('id') THEN min(max(0, CAST(sqlc.arg('position') AS INTEGER)), (SELECT count(*) - 1 FROM tabs))
            ELSE p.place - (p.place > moved.place) + (p.place - (p.place > moved.place) >= CAST(sqlc.arg('position') AS INTEGER)) END,
       t.visible
FROM tabs AS t CROSS JOIN tab_places AS p ON p.id = t.id CROSS JOIN tab_places AS moved ON moved.id = sqlc.arg('id')
WHERE true
ON CONFLICT (id) DO UPDATE SET position = excluded.position;

-- name: SetTabVisible :execrows
-- SetTabVisible shows or hides a search category.
UPDATE tabs SET visible = sqlc.arg('visible') WHERE id = sqlc.arg('id');

-- name: DeleteTab :execrows
-- DeleteTab deletes a search category.
DELETE FROM tabs WHERE id = ?;
