// Package queries holds the SQL of the file index, one file for each table, for
// sqlc to make package gen of, and a test of each query.
package queries

//go:generate go -C ../tools tool sqlc generate -f ../sqlc.yaml
