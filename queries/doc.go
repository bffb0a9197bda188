// Package queries holds the SQL of the file index, one file for each table, for
// sqlc to make package gen of, and a test of each query.
package queries

//go:generate go tool -modfile=../tools/go.mod sqlc generate -f ../sqlc.yaml
