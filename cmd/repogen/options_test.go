package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

//go:generate go tool -modfile=../../tools/go.mod sqlc generate -f testdata/shop/sqlc.yaml
//go:generate go tool -modfile=../../tools/go.mod sqlc generate -f testdata/options/sqlc.yaml
//go:generate go tool -modfile=../../tools/go.mod sqlc generate -f testdata/numbering/sqlc.yaml
//go:generate go tool -modfile=../../tools/go.mod sqlc generate -f testdata/kinds/sqlc.yaml
//go:generate go run . -gen testdata/kinds/plain/gen -out testdata/kinds/plain/store/store_gen.go
//go:generate go run . -gen testdata/kinds/turned/gen -out testdata/kinds/turned/store/store_gen.go
//go:generate go run . -gen testdata/altered/gen -out testdata/altered/store/store_gen.go
//go:generate go run . -gen testdata/shop/gen -out testdata/shop/store/store_gen.go
//go:generate go run . -gen testdata/numbering/gen -out testdata/numbering/store/store_gen.go

// options are those of sqlc's Go generator, and the package in testdata/options
// that sqlc has written with them. What is refused is so with these words.
var options = []struct{ option, in, refused string }{
	{"none", "plain", ""},
	{"build_tags", "tagged", ""},
	{"emit_all_enum_values", "exported", ""}, // SQLite has no enumerations
	{"emit_db_tags", "tags", ""},
	{"emit_empty_slices", "pointers", ""},
	{"emit_enum_valid_method", "exported", ""},
	{"emit_exact_table_names", "tags", ""},
	{"emit_exported_queries", "exported", ""},
	{"emit_interface: false", "nointerface", "has no interface Querier; set emit_interface: true in sqlc.yaml"},
	{"emit_json_tags", "tags", ""},
	{"emit_methods_with_db_argument", "dbarg", "query CountItems: it takes a DBTX; set emit_methods_with_db_argument: false in sqlc.yaml"},
	{"emit_params_struct_pointers", "pointers", ""},
	{"emit_pointers_for_null_enum_types", "exported", ""},
	{"emit_pointers_for_null_types", "pointers", ""},
	{"emit_prepared_queries", "prepared", ""},
	{"emit_result_struct_pointers", "pointers", ""},
	{"emit_sql_as_comment", "exported", ""},
	{"inflection_exclude_table_names", "spread", ""},
	{"initialisms", "spread", ""},
	{"json_tags_case_style", "tags", ""},
	{"json_tags_id_uppercase", "tags", ""},
	{"omit_sqlc_version", "tags", ""},
	{"omit_unused_structs", "tags", ""},
	{"output_db_file_name", "files", ""},
	{"output_files_suffix", "files", ""},
	{"output_files_suffix: _test", "testfiles", "sqlc has written one.sql_test.go, which Go compiles for tests alone; give it a name that does not end in _test with output_files_suffix"},
	{"output_models_file_name", "files", ""},
	{"output_querier_file_name", "files", ""},
	{"output_querier_file_name: querier_test.go", "testinterface", "sqlc has written querier_test.go, which Go compiles for tests alone; give it a name that does not end in _test with output_files_suffix or output_querier_file_name"},
	{"overrides", "overrides", ""},
	{"package: sql", "named", ""},
	{"query_parameter_limit: 0", "structs", ""},
	{"query_parameter_limit: 6", "spread", ""},
	{"rename", "files", ""},
	{"sql_driver", "database_sql", ""},
	{"sql_package: database/sql", "database_sql", ""},
	{"sql_package: pgx/v5", "pgx", "DBTX is not that of database/sql; leave sql_package out of sqlc.yaml"},
	{"wrap_errors", "exported", ""},
}

func TestEachOptionOfSqlcWorksOrIsRefusedByName(t *testing.T) {
	yaml, err := os.ReadFile("testdata/options/sqlc.yaml")
	require.NoError(t, err)
	// What repogen writes is compiled as if it lay beside what sqlc wrote: each time in the
	// same place, so that Go's cache has what has not changed.
	dir, made := t.TempDir(), map[string]bool{}
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	build := []string{"build", "-overlay", filepath.Join(dir, "overlay.json"), "-tags=repogen"}
	for _, o := range options {
		t.Run(o.option, func(t *testing.T) {
			_, block, ok := strings.Cut(string(yaml), "        out: "+o.in+"\n")
			require.True(t, ok)
			block, _, _ = strings.Cut(block, "engine")
			_, block, _ = strings.Cut("emit_interface: true\n"+block, "\n")
			if o.option != "none" && !strings.HasPrefix(o.option, "package") {
				require.Contains(t, block, o.option, "sqlc was given it")
			}
			if o.refused != "" {
				requireRefused(t, o.refused, "-gen", filepath.Join("testdata/options", o.in), "-import", "example.org/a")
				return
			}
			if made[o.in] {
				return // another option's
			}
			made[o.in] = true
			gen, out := filepath.Join("testdata/options", o.in), filepath.Join(dir, o.in, "store", "store.go")
			require.NoError(t, os.MkdirAll(filepath.Dir(out), 0o755))
			there, err := filepath.Abs(filepath.Join(gen, "store", "store.go"))
			require.NoError(t, err)
			overlay.Replace[there] = out
			build = append(build, "./"+gen, "./"+filepath.Join(gen, "store"))
			code, told, stderr := repogen("-gen", gen, "-out", out, "-v")
			require.Zero(t, code, stderr)
			require.Empty(t, told, "every form that sqlc has is known")
			text, err := os.ReadFile(out)
			require.NoError(t, err)
			require.Regexp(t, `func sqlListByID\(n1 int\) string {\n\treturn native.Numbered\(`, string(text), "a parameter stands behind its slice")
			require.Regexp(t, `func sqlSetSizes\(n1 int\) string {\n\treturn native.Spread\(`, string(text), "its slice is last")
		})
	}
	replaced, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), replaced, 0o600))
	built, err := exec.CommandContext(t.Context(), "go", build...).CombinedOutput()
	require.NoError(t, err, string(built))
}

func TestTheBuildConstraintIsCopied(t *testing.T) {
	out := filepath.Join(t.TempDir(), "store.go")
	code, _, stderr := repogen("-gen", "testdata/options/tagged", "-out", out, "-package", "store")
	require.Zero(t, code, stderr)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Regexp(t, `^//go:build repogen && !nothing\n\n// Code generated by repogen\. DO NOT EDIT\.\n\npackage store\n`, string(text))
}
