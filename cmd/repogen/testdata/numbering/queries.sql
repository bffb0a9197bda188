-- name: DeleteItems :execrows
DELETE FROM item WHERE id IN (sqlc.slice('ids')) AND kind = sqlc.arg('kind');

-- name: SliceFirst :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND kind = sqlc.arg('kind');

-- name: SliceLast :many
SELECT id FROM item WHERE kind = sqlc.arg('kind') AND id IN (sqlc.slice('ids'));

-- name: SliceAlone :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids'));

-- name: NotInSlice :many
SELECT id FROM item WHERE id NOT IN (sqlc.slice('ids')) AND kind = sqlc.arg('kind');

-- name: SliceTwice :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) OR owner IN (sqlc.slice('ids'));

-- name: TwoSlices :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND kind IN (sqlc.slice('kinds'));

-- name: TwoSlicesOneTwice :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND kind IN (sqlc.slice('kinds')) AND owner NOT IN (sqlc.slice('ids'));

-- name: SliceThenNarg :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND (kind = sqlc.narg('kind') OR sqlc.narg('kind') IS NULL);

-- name: NargThenSlice :many
SELECT id FROM item WHERE (kind = sqlc.narg('kind') OR sqlc.narg('kind') IS NULL) AND id IN (sqlc.slice('ids'));

-- name: ArgAroundSlice :many
SELECT id FROM item WHERE kind >= sqlc.arg('kind') AND id IN (sqlc.slice('ids')) AND kind <= sqlc.arg('kind');

-- name: SliceBetween :many
SELECT id FROM item WHERE kind = sqlc.arg('kind') AND id IN (sqlc.slice('ids')) AND owner = sqlc.arg('owner');

-- name: SliceThenLimit :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) ORDER BY id LIMIT sqlc.arg('most');

-- name: AtBehindSlice :many
SELECT id FROM item WHERE id IN (sqlc.slice(ids)) AND kind = @kind;

-- name: ColonBehindSlice :many
SELECT id FROM item WHERE id IN (sqlc.slice(ids)) AND kind = :kind;

-- name: MarkBehindSlice :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND kind = ?;

-- name: MarksAroundSlice :many
SELECT id FROM item WHERE kind = ? AND id IN (sqlc.slice('ids')) AND owner = ?;

-- name: MarkBetweenSlices :many
SELECT id FROM item WHERE id IN (sqlc.slice('ids')) AND kind = ? AND owner NOT IN (sqlc.slice('ids'));

-- name: NumberThenSlice :many
SELECT id FROM item WHERE kind = ?1 AND id IN (sqlc.slice('ids'));

-- name: SliceInExpression :many
WITH some AS (SELECT item.id FROM item WHERE item.id IN (sqlc.slice('ids'))) SELECT id FROM some WHERE id > sqlc.arg('least');

-- name: SliceInUpdate :many
UPDATE item SET kind = sqlc.arg('kind') WHERE id IN (sqlc.slice('ids')) AND owner = sqlc.arg('owner') RETURNING id;

-- name: QuotedMarks :many
SELECT id FROM item WHERE kind <> '?' AND kind <> '/*SLICE:ids*/?' AND id IN (sqlc.slice('ids')) AND owner = @owner;

-- name: MarkThenName :many
SELECT id FROM item WHERE kind = ? AND owner = sqlc.arg('owner');

-- name: NameThenMark :many
SELECT id FROM item WHERE kind = sqlc.arg('kind') AND owner = ?;

-- name: NameThenMarks :many
SELECT id FROM item WHERE (kind = sqlc.arg('kind') OR kind || '!' = sqlc.arg('kind')) AND owner = ? AND id >= ?;

-- name: MarkThenNames :many
SELECT id FROM item WHERE kind = ? AND (owner = sqlc.arg('owner') OR sqlc.arg('owner') = 7);

-- name: MarkAndSliceAndName :many
SELECT id FROM item WHERE owner = sqlc.arg('owner') AND id IN (sqlc.slice('ids')) AND kind = ?;

-- name: NumbersBackwards :many
SELECT id FROM item WHERE owner = ?2 AND kind = ?1;

-- name: LimitAndOffset :many
SELECT id FROM item WHERE kind = @kind ORDER BY id LIMIT @most OFFSET @skipped;

-- name: QuotedMark :many
SELECT id FROM item WHERE kind <> '/*SLICE:ids*/?' AND id IN (sqlc.slice('ids'));

-- name: CommentedMark :many
SELECT id FROM item WHERE kind = /*SLICE:kinds*/? AND id IN (sqlc.slice('ids'));
