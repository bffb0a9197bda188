// Package gen was sqlc's, before somebody's hand has altered its methods.
package gen

import "context"

// Querier is as sqlc writes it.
type Querier interface {
	AddItem(ctx context.Context, arg AddItemParams) (int64, error)
	CountItems(ctx context.Context) (int64, error)
	DeleteItem(ctx context.Context, id int64) error
	ListItems(ctx context.Context, arg ListItemsParams) ([]int64, error)
	ListKinds(ctx context.Context) ([]string, error)
	ListKindsSeq(ctx context.Context) ([]string, error)
}

var _ Querier = (*Queries)(nil)
