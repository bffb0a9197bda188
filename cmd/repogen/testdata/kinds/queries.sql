-- name: GetAnInt :one
SELECT an_int FROM thing WHERE id = ?;

-- name: ListAnInt :many
SELECT an_int FROM thing ORDER BY id;

-- name: SetAnInt :execrows
UPDATE thing SET an_int = ? WHERE id = ?;

-- name: GetAnInt8 :one
SELECT an_int8 FROM thing WHERE id = ?;

-- name: ListAnInt8 :many
SELECT an_int8 FROM thing ORDER BY id;

-- name: SetAnInt8 :execrows
UPDATE thing SET an_int8 = ? WHERE id = ?;

-- name: GetAnInt64 :one
SELECT an_int64 FROM thing WHERE id = ?;

-- name: ListAnInt64 :many
SELECT an_int64 FROM thing ORDER BY id;

-- name: SetAnInt64 :execrows
UPDATE thing SET an_int64 = ? WHERE id = ?;

-- name: GetAUint16 :one
SELECT a_uint16 FROM thing WHERE id = ?;

-- name: ListAUint16 :many
SELECT a_uint16 FROM thing ORDER BY id;

-- name: SetAUint16 :execrows
UPDATE thing SET a_uint16 = ? WHERE id = ?;

-- name: GetAUint64 :one
SELECT a_uint64 FROM thing WHERE id = ?;

-- name: ListAUint64 :many
SELECT a_uint64 FROM thing ORDER BY id;

-- name: SetAUint64 :execrows
UPDATE thing SET a_uint64 = ? WHERE id = ?;

-- name: GetAUint :one
SELECT a_uint FROM thing WHERE id = ?;

-- name: ListAUint :many
SELECT a_uint FROM thing ORDER BY id;

-- name: SetAUint :execrows
UPDATE thing SET a_uint = ? WHERE id = ?;

-- name: GetAFloat32 :one
SELECT a_float32 FROM thing WHERE id = ?;

-- name: ListAFloat32 :many
SELECT a_float32 FROM thing ORDER BY id;

-- name: SetAFloat32 :execrows
UPDATE thing SET a_float32 = ? WHERE id = ?;

-- name: GetAFloat64 :one
SELECT a_float64 FROM thing WHERE id = ?;

-- name: ListAFloat64 :many
SELECT a_float64 FROM thing ORDER BY id;

-- name: SetAFloat64 :execrows
UPDATE thing SET a_float64 = ? WHERE id = ?;

-- name: GetABool :one
SELECT a_bool FROM thing WHERE id = ?;

-- name: ListABool :many
SELECT a_bool FROM thing ORDER BY id;

-- name: SetABool :execrows
UPDATE thing SET a_bool = ? WHERE id = ?;

-- name: GetAString :one
SELECT a_string FROM thing WHERE id = ?;

-- name: ListAString :many
SELECT a_string FROM thing ORDER BY id;

-- name: SetAString :execrows
UPDATE thing SET a_string = ? WHERE id = ?;

-- name: GetABlob :one
SELECT a_blob FROM thing WHERE id = ?;

-- name: ListABlob :many
SELECT a_blob FROM thing ORDER BY id;

-- name: SetABlob :execrows
UPDATE thing SET a_blob = ? WHERE id = ?;

-- name: GetAnything :one
SELECT anything FROM thing WHERE id = ?;

-- name: ListAnything :many
SELECT anything FROM thing ORDER BY id;

-- name: SetAnything :execrows
UPDATE thing SET anything = ? WHERE id = ?;

-- name: GetAText :one
SELECT a_text FROM thing WHERE id = ?;

-- name: ListAText :many
SELECT a_text FROM thing ORDER BY id;

-- name: SetAText :execrows
UPDATE thing SET a_text = ? WHERE id = ?;

-- name: GetANumber :one
SELECT a_number FROM thing WHERE id = ?;

-- name: ListANumber :many
SELECT a_number FROM thing ORDER BY id;

-- name: SetANumber :execrows
UPDATE thing SET a_number = ? WHERE id = ?;

-- name: GetASmall :one
SELECT a_small FROM thing WHERE id = ?;

-- name: ListASmall :many
SELECT a_small FROM thing ORDER BY id;

-- name: SetASmall :execrows
UPDATE thing SET a_small = ? WHERE id = ?;

-- name: GetATall :one
SELECT a_tall FROM thing WHERE id = ?;

-- name: ListATall :many
SELECT a_tall FROM thing ORDER BY id;

-- name: SetATall :execrows
UPDATE thing SET a_tall = ? WHERE id = ?;

-- name: GetAHalf :one
SELECT a_half FROM thing WHERE id = ?;

-- name: ListAHalf :many
SELECT a_half FROM thing ORDER BY id;

-- name: SetAHalf :execrows
UPDATE thing SET a_half = ? WHERE id = ?;

-- name: GetAWhole :one
SELECT a_whole FROM thing WHERE id = ?;

-- name: ListAWhole :many
SELECT a_whole FROM thing ORDER BY id;

-- name: SetAWhole :execrows
UPDATE thing SET a_whole = ? WHERE id = ?;

-- name: GetAFlag :one
SELECT a_flag FROM thing WHERE id = ?;

-- name: ListAFlag :many
SELECT a_flag FROM thing ORDER BY id;

-- name: SetAFlag :execrows
UPDATE thing SET a_flag = ? WHERE id = ?;

-- name: GetSomeBytes :one
SELECT some_bytes FROM thing WHERE id = ?;

-- name: ListSomeBytes :many
SELECT some_bytes FROM thing ORDER BY id;

-- name: SetSomeBytes :execrows
UPDATE thing SET some_bytes = ? WHERE id = ?;

-- name: GetANear :one
SELECT a_near FROM thing WHERE id = ?;

-- name: ListANear :many
SELECT a_near FROM thing ORDER BY id;

-- name: SetANear :execrows
UPDATE thing SET a_near = ? WHERE id = ?;

-- name: GetAPicky :one
SELECT a_picky FROM thing WHERE id = ?;

-- name: ListAPicky :many
SELECT a_picky FROM thing ORDER BY id;

-- name: SetAPicky :execrows
UPDATE thing SET a_picky = ? WHERE id = ?;

-- name: GetALoose :one
SELECT a_loose FROM thing WHERE id = ?;

-- name: ListALoose :many
SELECT a_loose FROM thing ORDER BY id;

-- name: SetALoose :execrows
UPDATE thing SET a_loose = ? WHERE id = ?;

-- name: GetAFar :one
SELECT a_far FROM thing WHERE id = ?;

-- name: ListAFar :many
SELECT a_far FROM thing ORDER BY id;

-- name: SetAFar :execrows
UPDATE thing SET a_far = ? WHERE id = ?;

-- name: GetADuration :one
SELECT a_duration FROM thing WHERE id = ?;

-- name: ListADuration :many
SELECT a_duration FROM thing ORDER BY id;

-- name: SetADuration :execrows
UPDATE thing SET a_duration = ? WHERE id = ?;

-- name: GetARaw :one
SELECT a_raw FROM thing WHERE id = ?;

-- name: ListARaw :many
SELECT a_raw FROM thing ORDER BY id;

-- name: SetARaw :execrows
UPDATE thing SET a_raw = ? WHERE id = ?;

-- name: GetANullString :one
SELECT a_null_string FROM thing WHERE id = ?;

-- name: ListANullString :many
SELECT a_null_string FROM thing ORDER BY id;

-- name: SetANullString :execrows
UPDATE thing SET a_null_string = ? WHERE id = ?;

-- name: GetANullInt :one
SELECT a_null_int FROM thing WHERE id = ?;

-- name: ListANullInt :many
SELECT a_null_int FROM thing ORDER BY id;

-- name: SetANullInt :execrows
UPDATE thing SET a_null_int = ? WHERE id = ?;

-- name: GetANullAny :one
SELECT a_null_any FROM thing WHERE id = ?;

-- name: ListANullAny :many
SELECT a_null_any FROM thing ORDER BY id;

-- name: SetANullAny :execrows
UPDATE thing SET a_null_any = ? WHERE id = ?;

-- name: GetIntOrNil :one
SELECT int_or_nil FROM thing WHERE id = ?;

-- name: ListIntOrNil :many
SELECT int_or_nil FROM thing ORDER BY id;

-- name: SetIntOrNil :execrows
UPDATE thing SET int_or_nil = ? WHERE id = ?;

-- name: GetStringOrNil :one
SELECT string_or_nil FROM thing WHERE id = ?;

-- name: ListStringOrNil :many
SELECT string_or_nil FROM thing ORDER BY id;

-- name: SetStringOrNil :execrows
UPDATE thing SET string_or_nil = ? WHERE id = ?;

-- name: GetFloatOrNil :one
SELECT float_or_nil FROM thing WHERE id = ?;

-- name: ListFloatOrNil :many
SELECT float_or_nil FROM thing ORDER BY id;

-- name: SetFloatOrNil :execrows
UPDATE thing SET float_or_nil = ? WHERE id = ?;

-- name: GetBoolOrNil :one
SELECT bool_or_nil FROM thing WHERE id = ?;

-- name: ListBoolOrNil :many
SELECT bool_or_nil FROM thing ORDER BY id;

-- name: SetBoolOrNil :execrows
UPDATE thing SET bool_or_nil = ? WHERE id = ?;

-- name: GetTextOrNil :one
SELECT text_or_nil FROM thing WHERE id = ?;

-- name: ListTextOrNil :many
SELECT text_or_nil FROM thing ORDER BY id;

-- name: SetTextOrNil :execrows
UPDATE thing SET text_or_nil = ? WHERE id = ?;

-- name: GetSmallOrNil :one
SELECT small_or_nil FROM thing WHERE id = ?;

-- name: ListSmallOrNil :many
SELECT small_or_nil FROM thing ORDER BY id;

-- name: SetSmallOrNil :execrows
UPDATE thing SET small_or_nil = ? WHERE id = ?;

-- name: GetPickyOrNil :one
SELECT picky_or_nil FROM thing WHERE id = ?;

-- name: ListPickyOrNil :many
SELECT picky_or_nil FROM thing ORDER BY id;

-- name: SetPickyOrNil :execrows
UPDATE thing SET picky_or_nil = ? WHERE id = ?;

-- name: GetLooseOrNil :one
SELECT loose_or_nil FROM thing WHERE id = ?;

-- name: ListLooseOrNil :many
SELECT loose_or_nil FROM thing ORDER BY id;

-- name: SetLooseOrNil :execrows
UPDATE thing SET loose_or_nil = ? WHERE id = ?;

-- name: GetFarOrNil :one
SELECT far_or_nil FROM thing WHERE id = ?;

-- name: ListFarOrNil :many
SELECT far_or_nil FROM thing ORDER BY id;

-- name: SetFarOrNil :execrows
UPDATE thing SET far_or_nil = ? WHERE id = ?;

-- name: GetHalfOrNil :one
SELECT half_or_nil FROM thing WHERE id = ?;

-- name: ListHalfOrNil :many
SELECT half_or_nil FROM thing ORDER BY id;

-- name: SetHalfOrNil :execrows
UPDATE thing SET half_or_nil = ? WHERE id = ?;

-- name: GetFlagOrNil :one
SELECT flag_or_nil FROM thing WHERE id = ?;

-- name: ListFlagOrNil :many
SELECT flag_or_nil FROM thing ORDER BY id;

-- name: SetFlagOrNil :execrows
UPDATE thing SET flag_or_nil = ? WHERE id = ?;

-- name: GetRawOrNil :one
SELECT raw_or_nil FROM thing WHERE id = ?;

-- name: ListRawOrNil :many
SELECT raw_or_nil FROM thing ORDER BY id;

-- name: SetRawOrNil :execrows
UPDATE thing SET raw_or_nil = ? WHERE id = ?;

-- name: GetATime :one
SELECT a_time FROM thing WHERE id = ?;

-- name: ListATime :many
SELECT a_time FROM thing ORDER BY id;

-- name: SetATime :execrows
UPDATE thing SET a_time = ? WHERE id = ?;

-- name: GetTimeOrNil :one
SELECT time_or_nil FROM thing WHERE id = ?;

-- name: ListTimeOrNil :many
SELECT time_or_nil FROM thing ORDER BY id;

-- name: SetTimeOrNil :execrows
UPDATE thing SET time_or_nil = ? WHERE id = ?;

-- name: GetAMoment :one
SELECT a_moment FROM thing WHERE id = ?;

-- name: ListAMoment :many
SELECT a_moment FROM thing ORDER BY id;

-- name: SetAMoment :execrows
UPDATE thing SET a_moment = ? WHERE id = ?;

-- name: GetMomentOrNil :one
SELECT moment_or_nil FROM thing WHERE id = ?;

-- name: ListMomentOrNil :many
SELECT moment_or_nil FROM thing ORDER BY id;

-- name: SetMomentOrNil :execrows
UPDATE thing SET moment_or_nil = ? WHERE id = ?;

-- name: GetThing :one
SELECT * FROM thing WHERE id = ?;

-- name: ListThings :many
SELECT * FROM thing ORDER BY id;

-- name: ListPickies :many
SELECT id, a_picky, picky_or_nil, an_int64 FROM thing ORDER BY id;

-- name: ListParts :many
SELECT sqlc.embed(part), thing.an_int64, thing.a_text FROM part JOIN thing ON thing.id = part.thing_id ORDER BY part.id;

-- name: FindParts :many
SELECT * FROM part WHERE (sqlc.narg('name') IS NULL OR name = sqlc.narg('name')) AND id >= sqlc.arg('least') ORDER BY id;

-- name: ListIn :many
SELECT id FROM thing WHERE id >= sqlc.arg('least') AND id IN (sqlc.slice('ids')) ORDER BY id;

-- name: CountTexts :one
SELECT count(*) FROM thing WHERE a_text IN (sqlc.slice('texts'));

-- name: CountPickies :one
SELECT count(*) AS pickies, CAST(coalesce(max(id), 0) AS INTEGER) AS newest FROM thing WHERE a_picky NOT IN (sqlc.slice('pickies')) AND id IN (sqlc.slice('ids'));

-- name: AddPart :execlastid
INSERT INTO part (thing_id, name, note) VALUES (?, ?, ?);

-- name: PutPart :one
INSERT INTO part (thing_id, name, note) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET note = excluded.note RETURNING *;

-- name: NotePart :exec
UPDATE part SET note = ? WHERE name = ?;

-- name: NoteParts :many
UPDATE part SET note = ? WHERE id >= ? RETURNING id, note;

-- name: DropParts :execresult
DELETE FROM part WHERE id IN (sqlc.slice('ids'));

-- name: Check :exec
SELECT count(*) FROM part;
