// Package types has what the overrides in sqlc.yaml say.
package types

type (
	Kind  string
	Owner int64

	// Either is one of two.
	Either[A, B any] struct{ A, B any }
)
