// Package store is the repository of the tasks.
package store

//go:generate go run github.com/sqlc-dev/sqlc/cmd/sqlc@v1.31.1 generate -f ../sqlc.yaml
//go:generate go run github.com/sqlane/sqlane/cmd/repogen -gen ../gen -out store_gen.go
