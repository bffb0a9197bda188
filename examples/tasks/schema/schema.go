// Package schema has the migrations, which become a part of the program.
package schema

import "embed"

// Files are the migrations, in goose's format.
//
//go:embed *.sql
var Files embed.FS
