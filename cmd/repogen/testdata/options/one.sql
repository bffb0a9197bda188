-- name: CountItems :one
SELECT count(*) FROM item;
