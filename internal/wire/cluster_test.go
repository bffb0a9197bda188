package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

func TestANodeTellsOfItsCluster(t *testing.T) {
	ctx := within(t)
	c := answering(
		t,
		leaderStep,
		step{message(0, 0), message(1, 0, "")},
		step{message(16, 1), message(3, 4, 1, "a:1", 0, 2, "longer.example:12345", 1, 3, "c:1", 2, 4, "d:1", 9)},
		step{message(18, 0), message(10, 5, 6)},
		step{message(15, "app.db"), message(9, 2, "app.db", 16, raw("0123456789abcdef"), "app.db-wal", 0)},
	)
	n, err := c.Leader(ctx)
	require.NoError(t, err)
	require.Equal(t, wire.Node{ID: 7, Address: "there:1"}, n)
	n, err = c.Leader(ctx)
	require.NoError(t, err)
	require.Zero(t, n)

	members, err := c.Members(ctx)
	require.NoError(t, err)
	require.Equal(t, []wire.Node{
		{ID: 1, Address: "a:1", Role: wire.Voter},
		{ID: 2, Address: "longer.example:12345", Role: wire.StandBy},
		{ID: 3, Address: "c:1", Role: wire.Spare},
		{ID: 4, Address: "d:1", Role: 9},
	}, members)
	var names []string
	for _, m := range members {
		names = append(names, m.Role.String())
	}
	require.Equal(t, []string{"voter", "stand-by", "spare", "role 9"}, names)

	m, err := c.Describe(ctx)
	require.NoError(t, err)
	require.Equal(t, wire.Metadata{FailureDomain: 5, Weight: 6}, m)

	files, err := c.Dump(ctx, "app.db")
	require.NoError(t, err)
	require.Equal(t, []wire.File{{Name: "app.db", Data: []byte("0123456789abcdef")}, {Name: "app.db-wal", Data: []byte{}}}, files)
}

func TestANodeIsToldToChangeItsCluster(t *testing.T) {
	ctx := within(t)
	done := message(8, 0)
	c := answering(
		t,
		step{message(12, 9, "new:1"), done},
		step{message(13, 9, 1), done},
		step{message(14, 9), done},
		step{message(17, 9), done},
	)
	require.NoError(t, c.Add(ctx, wire.Node{ID: 9, Address: "new:1", Role: wire.Voter}))
	require.NoError(t, c.Assign(ctx, 9, wire.StandBy))
	require.NoError(t, c.Remove(ctx, 9))
	require.NoError(t, c.Transfer(ctx, 9))
}

// refused are the calls that a node can answer with a failure.
func refused() map[string]func(*testing.T, *wire.Conn) error {
	return map[string]func(*testing.T, *wire.Conn) error{
		"leader":   func(t *testing.T, c *wire.Conn) error { _, err := c.Leader(within(t)); return err },
		"members":  func(t *testing.T, c *wire.Conn) error { _, err := c.Members(within(t)); return err },
		"describe": func(t *testing.T, c *wire.Conn) error { _, err := c.Describe(within(t)); return err },
		"dump":     func(t *testing.T, c *wire.Conn) error { _, err := c.Dump(within(t), "d"); return err },
		"add":      func(t *testing.T, c *wire.Conn) error { return c.Add(within(t), wire.Node{ID: 2, Address: "a"}) },
		"open":     func(t *testing.T, c *wire.Conn) error { return c.Open(within(t), "d") },
		"exec":     func(t *testing.T, c *wire.Conn) error { _, err := c.Exec(within(t), "x", nil); return err },
		"query":    func(t *testing.T, c *wire.Conn) error { _, err := c.Query(within(t), "x", nil); return err },
		"prepare":  func(t *testing.T, c *wire.Conn) error { _, err := c.Prepare(within(t), "x"); return err },
	}
}

func TestAFailureLeavesTheConnectionUsable(t *testing.T) {
	for name, call := range refused() {
		t.Run(name, func(t *testing.T) {
			c := answering(t, step{whatever, message(0, wire.CodeNotLeader, "not leader")}, leaderStep)
			err := call(t, c)
			var failure *wire.Failure
			require.ErrorAs(t, err, &failure)
			require.Equal(t, &wire.Failure{Code: 10250, Message: "not leader"}, failure)
			require.EqualError(t, err, "dqlite: not leader (10250)")
			require.Equal(t, 10250, failure.SQLiteCode())
			usable(t, c)
		})
	}
}

func TestAMalformedAnswerCostsTheConnection(t *testing.T) {
	answers := map[string][]byte{
		"another kind":               message(77, 0, 0, 0),
		"nothing in it":              message(0),
		"a failure without text":     message(0, 5),
		"a failure that has no end":  message(0, 5, raw("12345678")),
		"a failure that has no code": message(0, raw("12345678"), "12"),
	}
	for what, answer := range answers {
		for name, call := range refused() {
			t.Run(what+"/"+name, func(t *testing.T) {
				c := answering(t, step{whatever, answer})
				requireLost(t, c, call(t, c), true)
			})
		}
	}
	short := map[string][]byte{
		"leader":   message(1, 7, raw("12345678")),
		"members":  message(3, uint64(1<<40), 0, 0, 0),
		"describe": message(10, 7),
		"dump":     message(9, 1, "name", uint64(1<<60)),
		"add":      nil,
		"open":     message(2),
		"exec":     message(6, 1),
		"query":    message(7, 1, "name", 3),
		"prepare":  message(5, 0),
	}
	for name, call := range refused() {
		if short[name] == nil {
			continue
		}
		t.Run("cut short/"+name, func(t *testing.T) {
			c := answering(t, step{whatever, short[name]})
			requireLost(t, c, call(t, c), true)
		})
	}
}
