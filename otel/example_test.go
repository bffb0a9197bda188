package sqlaneotel_test

import (
	"context"
	"fmt"
	"log"

	sqlaneotel "github.com/sqlane/sqlane/otel"
	"github.com/sqlane/sqlane/pool"
)

func Example() {
	ctx := context.Background()
	tracer, err := sqlaneotel.NewTracer() // of otel's global providers; options name others
	if err != nil {
		log.Fatal(err)
	}
	var pools pool.Registry
	p, err := pools.Open(ctx, pool.Config{Path: pool.Memory, Name: "notes", Tracer: tracer})
	if err != nil {
		log.Fatal(err)
	}
	registration, err := sqlaneotel.Observe(&pools) // connections, transactions, the log
	if err != nil {
		log.Fatal(err)
	}
	var n int
	if err := p.Reader().QueryRow(ctx, "SELECT 1").Scan(&n); err != nil {
		log.Fatal(err)
	}
	fmt.Println(p.Name(), n)
	if err := registration.Unregister(); err != nil {
		log.Fatal(err)
	}
	if err := pools.Shutdown(ctx); err != nil {
		log.Fatal(err)
	}
	// Output: notes 1
}
