package cluster

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// freeAddresses are some that nobody listens at. They are below what the system gives
// to whoever asks for any.
func freeAddresses(t testing.TB, n int) []string {
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

func within(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestThreeNodes(t *testing.T) {
	at := freeAddresses(t, 3)
	var nodes []*Cluster
	for i, a := range at {
		c, err := Open(within(t, time.Minute), Config{Dir: filepath.Join(t.TempDir(), "node"), Address: a, Join: at[:min(i, 1)], Plaintext: true})
		require.NoError(t, err)
		t.Logf("%v open", a)
		nodes = append(nodes, c)
		m, err := c.Members(t.Context())
		require.NoError(t, err)
		t.Log(m)
	}
	for _, c := range nodes {
		l, err := c.Leader(t.Context())
		require.NoError(t, err)
		t.Log(l)
	}
	require.NoError(t, nodes[0].Handover(t.Context()))
	l, err := nodes[0].Leader(t.Context())
	require.NoError(t, err)
	t.Log(l)
	require.NoError(t, nodes[0].Leave(t.Context()))
	m, err := nodes[1].Members(t.Context())
	require.NoError(t, err)
	t.Log(m)
	for _, c := range nodes {
		require.NoError(t, c.Close())
	}
}
