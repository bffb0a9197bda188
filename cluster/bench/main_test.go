package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/trio"
	"github.com/stretchr/testify/require"
)

const long = 5 * time.Minute

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), long)
	t.Cleanup(cancel)
	return ctx
}

// asked runs the program with some questions.
func asked(t *testing.T, node string, questions ...question) (answers []answer) {
	t.Helper()
	var in strings.Builder
	for _, q := range questions {
		require.NoError(t, json.NewEncoder(&in).Encode(q))
	}
	var out, said strings.Builder
	code := run(within(t), []string{"-node", node, "-dir", t.TempDir()}, strings.NewReader(in.String()), &out, &said)
	require.Equal(t, 0, code, said.String())
	for lines := json.NewDecoder(strings.NewReader(out.String())); ; {
		var a answer
		err := lines.Decode(&a)
		if errors.Is(err, io.EOF) {
			require.Len(t, answers, len(questions))
			return answers
		}
		require.NoError(t, err)
		answers = append(answers, a)
	}
}

func TestEveryPeerIsMeasured(t *testing.T) {
	node, err := trio.Build(within(t), t.TempDir())
	require.NoError(t, err)
	var questions []question
	for _, what := range []string{"write", "read"} {
		for name := range peers {
			if what == "write" || name != "go-dqlite tx" {
				questions = append(questions, question{what, name, 3, time.Millisecond, 50 * time.Millisecond})
			}
		}
	}
	for _, name := range []string{"sqlane", "go-dqlite one"} {
		questions = append(questions, question{"lost", name, 4, 100 * time.Millisecond, time.Second})
	}
	questions = append(questions,
		question{What: "nothing", Peer: "sqlane", Goroutines: 1}, question{What: "read", Peer: "nobody", Goroutines: 1}, question{What: "read", Peer: "sqlane", Window: time.Second},
		question{What: "read", Peer: "sqlane", Goroutines: 1})
	for i, a := range asked(t, node, questions...) {
		q := questions[i]
		switch {
		case q.Warm == 0:
			require.NotEmpty(t, a.Failure, "%+v", q)
		case q.What == "lost":
			require.Empty(t, a.Failure, "%+v", q)
			require.Positive(t, a.Metrics["ns/fail-over"], "%+v", q)
			require.Positive(t, a.Metrics["acknowledged"], "%+v", q)
		default:
			require.Empty(t, a.Failure, "%+v", q)
			require.Positive(t, a.Metrics["p50"], "%+v", q)
			require.Contains(t, a.Metrics, "ops/s", "%+v", q)
		}
	}
}

// forgetful acknowledges what it does not do, and repetitive does it twice.
type (
	forgetful  struct{ client }
	repetitive struct{ client }
)

func (forgetful) write(context.Context, int, string) error { return nil }

func (r repetitive) write(ctx context.Context, owner int, text string) error {
	return errors.Join(r.client.write(ctx, owner, text), r.client.write(ctx, owner, text))
}

func TestARowThatIsMissingIsWrongAndOneTooManyToo(t *testing.T) {
	node, err := trio.Build(within(t), t.TempDir())
	require.NoError(t, err)
	b, err := start(within(t), node, t.TempDir())
	require.NoError(t, err)
	t.Cleanup(b.nodes.Close)
	q := question{"write", "", 2, time.Millisecond, time.Millisecond}
	verified := func(change func(client) client, ours bool) (answer, error) {
		b.databases++
		name := fmt.Sprintf("x%d", b.databases)
		require.NoError(t, b.prepare(within(t), name))
		c, err := openStore(within(t), b.nodes.Addresses(), name)
		require.NoError(t, err)
		a, written, err := b.write(within(t), q, change(c))
		require.NoError(t, err)
		require.NoError(t, c.Close())
		return a, b.verify(within(t), name, peer{ours: ours}, written, &a)
	}
	_, err = verified(func(c client) client { return c }, true)
	require.NoError(t, err)
	_, err = verified(func(c client) client { return forgetful{c} }, false)
	require.ErrorIs(t, err, errWrong)
	_, err = verified(func(c client) client { return repetitive{c} }, true)
	require.ErrorIs(t, err, errWrong)
	a, err := verified(func(c client) client { return repetitive{c} }, false)
	require.NoError(t, err)
	require.NotEmpty(t, a.Errors)
}

func TestTheFailOverEndsWithTheLongestSilence(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond) }
	// What was on its way comes at once.
	require.Equal(t, at(4000), resumed(at(1000), []time.Time{at(4100), at(4000), at(1001), at(990), at(4050)}))
	require.Zero(t, resumed(at(1000), []time.Time{at(990)}))
}

func TestErrorsOfAKindAreCountedTogether(t *testing.T) {
	require.Equal(t, "dial tcp N: refused after Ns", brief(errors.New("dial tcp 127.0.0.1:9001: refused after 29.999s\nand more")))
	require.Equal(t, dqlite.ErrCommitUnknown.Error(), brief(fmt.Errorf("x1: %w", dqlite.ErrCommitUnknown)))
	require.Equal(t, "not done when the time was over", brief(fmt.Errorf("x: %w", context.DeadlineExceeded)))
}

func TestTheCPUTimeOfAProcessIsKnown(t *testing.T) {
	begun := cpuOf(os.Getpid())
	for cpuOf(os.Getpid()) == begun { // it works
	}
	require.Zero(t, cpuOf(-1))
}

func TestUsage(t *testing.T) {
	for args, code := range map[string]int{"-help": 0, "": 2, "-node x": 2, "-node x -dir y z": 2, "-what": 2} {
		var out, said strings.Builder
		require.Equal(t, code, run(t.Context(), strings.Fields(args), strings.NewReader(""), &out, &said), args)
		require.Equal(t, code == 0, said.Len() == 0, args)
	}
	var out, said strings.Builder
	require.Equal(t, 1, run(t.Context(), []string{"-node", "/nowhere", "-dir", t.TempDir()}, strings.NewReader(""), &out, &said))
	require.Contains(t, said.String(), "/nowhere")
}
