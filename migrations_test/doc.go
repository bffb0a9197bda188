// Package migrations_test tests the migrations as data and as tools see them:
// step by step with rows in the tables, by the goose CLI, and against the code
// that sqlc generates from them.
package migrations_test
