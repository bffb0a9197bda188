package main

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/sqlane/sqlane/pool"
	"github.com/sqlane/sqlane/pooltest"
	"github.com/stretchr/testify/require"
)

func TestAQueryIsTracedBelowItsRequest(t *testing.T) {
	var out bytes.Buffer
	traces, err := newTraces(&out)
	require.NoError(t, err)
	tracer, err := traceQueries(traces)
	require.NoError(t, err)
	s := serve(t, pooltest.Config(func(c *pool.Config) { c.Tracer = tracer }))
	s.server.traces = traces
	traced := httptest.NewServer(s.server.routes())
	defer traced.Close()
	s.URL = traced.URL
	s.add("secret")
	_, _ = s.send("GET", "/healthz", "")
	require.NoError(t, traces.Shutdown(t.Context()))

	type span struct {
		Name                string
		SpanContext, Parent struct{ SpanID string }
	}
	spans := map[string]span{} // by id
	var query span
	for d := json.NewDecoder(bytes.NewReader(out.Bytes())); d.More(); {
		var one span
		require.NoError(t, d.Decode(&one))
		spans[one.SpanContext.SpanID] = one
		if one.Name == "CreateTask" {
			query = one
		}
		require.NotContains(t, one.Name, "healthz")
	}
	require.NotEmpty(t, query.Name)
	request := query
	for above, ok := spans[request.Parent.SpanID]; ok; above, ok = spans[request.Parent.SpanID] {
		request = above
	}
	require.Equal(t, "POST /api/tasks", request.Name)
	require.NotContains(t, out.String(), "secret")
}
