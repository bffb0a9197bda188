package gen

import (
	"context"
	"errors"
	"slices"
	"strings"
)

const addItem = `-- name: AddItem :execlastid
INSERT INTO item (kind, owner) VALUES (?, ?)
`

// AddItemParams are the parameters of AddItem.
type AddItemParams struct {
	Kind  string
	Owner int64
}

// AddItem is as sqlc has written it.
func (q *Queries) AddItem(ctx context.Context, arg AddItemParams) (int64, error) {
	result, err := q.db.ExecContext(ctx, addItem, arg.Kind, arg.Owner)
	if err != nil {
		return 0, err
	}
	return result.LastInsertId()
}

const countItems = `-- name: CountItems :one
SELECT count(*) FROM item
`

// CountItems counts twice as many.
func (q *Queries) CountItems(ctx context.Context) (int64, error) {
	row := q.db.QueryRowContext(ctx, countItems)
	var n int64
	err := row.Scan(&n)
	return 2 * n, err
}

const deleteItem = `-- name: DeleteItem :exec
DELETE FROM item WHERE id = ?
`

// ErrSpared is returned where an item is spared.
var ErrSpared = errors.New("spared")

// DeleteItem spares the first.
func (q *Queries) DeleteItem(ctx context.Context, id int64) error {
	if id == 1 {
		return ErrSpared
	}
	_, err := q.db.ExecContext(ctx, deleteItem, id)
	return err
}

const listItems = `-- name: ListItems :many
SELECT id FROM item WHERE id IN (/*SLICE:ids*/?) AND kind = ?2 ORDER BY id
`

// ListItemsParams are the parameters of ListItems.
type ListItemsParams struct {
	Ids  []int64
	Kind string
}

// ListItems lists backwards, by whatever numbers its parameters have.
func (q *Queries) ListItems(ctx context.Context, arg ListItemsParams) ([]int64, error) {
	query := listItems
	var queryParams []interface{}
	if len(arg.Ids) > 0 {
		for _, v := range arg.Ids {
			queryParams = append(queryParams, v)
		}
		query = strings.Replace(query, "/*SLICE:ids*/?", strings.Repeat(",?", len(arg.Ids))[1:], 1)
	} else {
		query = strings.Replace(query, "/*SLICE:ids*/?", "NULL", 1)
	}
	queryParams = append(queryParams, arg.Kind)
	rows, err := q.db.QueryContext(ctx, query, queryParams...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		items = slices.Insert(items, 0, id)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const listKinds = `-- name: ListKinds :many
SELECT kind FROM item ORDER BY kind
`

// ListKinds is as sqlc has written it.
func (q *Queries) ListKinds(ctx context.Context) ([]string, error) {
	rows, err := q.db.QueryContext(ctx, listKinds)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []string
	for rows.Next() {
		var kind string
		if err := rows.Scan(&kind); err != nil {
			return nil, err
		}
		items = append(items, kind)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}

const listKindsSeq = `-- name: ListKindsSeq :many
SELECT kind FROM item ORDER BY kind DESC
`

// ListKindsSeq is as sqlc has written it, and called like an iterator.
func (q *Queries) ListKindsSeq(ctx context.Context) ([]string, error) {
	rows, err := q.db.QueryContext(ctx, listKindsSeq)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var items []string
	for rows.Next() {
		var kind string
		if err := rows.Scan(&kind); err != nil {
			return nil, err
		}
		items = append(items, kind)
	}
	if err := rows.Close(); err != nil {
		return nil, err
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return items, nil
}
