package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/sqlane/sqlane/internal/wire"
)

// node is what one answers to whoever asks about its cluster.
type node struct {
	leader  wire.Node
	members []wire.Node
	refuses bool // It answers with a failure.
}

// serve answers on one connection until it ends.
func (n *node) serve(c net.Conn) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
		return
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, c, 8*int64(binary.LittleEndian.Uint32(head[:]))); err != nil {
			return
		}
		if _, err := c.Write(n.answer(head[4])); err != nil {
			return
		}
	}
}

// answer is a message of dqlite's protocol (https://dqlite.io/docs/protocol).
func (n *node) answer(kind byte) []byte {
	b := make([]byte, 8)
	number := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	text := func(s string) {
		b = append(append(b, s...), 0)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
	}
	switch {
	case n.refuses:
		number(1)
		text("not today")
	case kind == 0:
		b[4] = 1
		number(n.leader.ID)
		text(n.leader.Address)
	default:
		b[4] = 3
		number(uint64(len(n.members)))
		for _, m := range n.members {
			number(m.ID)
			text(m.Address)
			number(uint64(m.Role))
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)/8-1))
	return b
}

// listening has so many nodes listen on loopback, with no TLS if there is no configuration.
func listening(t *testing.T, how *tls.Config, nodes ...*node) (addresses []string) {
	t.Helper()
	var serving sync.WaitGroup
	t.Cleanup(serving.Wait)
	for _, n := range nodes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		if how != nil {
			l = tls.NewListener(l, how)
		}
		t.Cleanup(func() { l.Close() })
		addresses = append(addresses, l.Addr().String())
		serving.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { n.serve(c) })
			}
		})
	}
	return addresses
}

// nowhere is an address at which nobody listens.
func nowhere(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	return l.Addr().String()
}

// voters are members at the addresses, in order.
func voters(addresses ...string) (all []wire.Node) {
	for i, address := range addresses {
		all = append(all, wire.Node{ID: 1<<63 + uint64(i), Address: address})
	}
	return all
}

// squeezed is a table with one space for several.
func squeezed(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestAClusterThatIsWellIsSaidToBe(t *testing.T) {
	one, two, three, fourth := new(node), new(node), new(node), new(node)
	at := listening(t, nil, one, two, three, fourth)
	all := append(voters(at[:3]...), wire.Node{ID: 9, Address: at[3], Role: wire.StandBy})
	for _, n := range []*node{one, two, three} {
		n.members, n.leader = all, all[1]
	}
	fourth.members = all // no leader: it does not vote

	// One node is enough to find the others.
	code, stdout, stderr := sqlane(t, "cluster", "status", at[0], "-plaintext")
	require.Equal(t, done, code, stderr)
	require.Empty(t, stderr)
	require.Equal(t, strings.Join([]string{
		"ID ADDRESS ROLE STATE",
		"9223372036854775808 " + at[0] + " voter follows " + at[1],
		"9223372036854775809 " + at[1] + " voter leads",
		"9223372036854775810 " + at[2] + " voter follows " + at[1],
		"9 " + at[3] + " stand-by answers",
		"fact: 3 of 3 voters follow the leader, and 2 have to: 1 more may fail",
	}, "\n"), squeezed(stdout))
	lines := strings.Split(stdout, "\n")
	require.Equal(t, strings.Index(lines[0], "STATE"), strings.Index(lines[1], "follows"))

	code, stdout, _ = sqlane(t, "-json", "-plaintext", "cluster", "status", strings.Join(at, ","))
	require.Equal(t, done, code)
	var c condition
	require.NoError(t, json.Unmarshal([]byte(stdout), &c))
	require.Equal(t, condition{
		Healthy: true, Leader: at[1], Voters: 3, Majority: 2, Following: 3,
		Members: []member{
			{ID: "9223372036854775808", Address: at[0], Role: "voter", Answers: true, Follows: at[1]},
			{ID: "9223372036854775809", Address: at[1], Role: "voter", Leader: true, Answers: true, Follows: at[1]},
			{ID: "9223372036854775810", Address: at[2], Role: "voter", Answers: true, Follows: at[1]},
			{ID: "9", Address: at[3], Role: "stand-by", Answers: true},
		},
	}, c)

	if addresses := os.Getenv("SQLANE_CLUSTER"); addresses != "" {
		_, stdout, stderr := sqlane(t, "cluster", "status", addresses, "-plaintext", "-json")
		require.Empty(t, stderr)
		c = condition{}
		require.NoError(t, json.Unmarshal([]byte(stdout), &c))
		require.NotEmpty(t, c.Leader)
		require.GreaterOrEqual(t, c.Following, c.Majority)
	}
}

func TestAClusterThatIsNotWellSaysWhatIsWrong(t *testing.T) {
	type cluster struct {
		nodes [3]*node
		at    [3]string
	}
	for name, test := range map[string]struct {
		change func(c *cluster) // of one that is well, and led by the first
		says   []string         // after the members
		states [3]string
	}{
		"a voter is dead": {
			change: func(c *cluster) { c.at[2] = "nowhere" },
			says:   []string{"fault: {2} does not answer", "fact: 2 of 3 voters follow the leader, and 2 have to: no more may fail"},
			states: [3]string{"leads", "follows {0}", "does not answer: connection refused: no node runs there"},
		},
		"the leader is dead, and nobody knows": {
			change: func(c *cluster) { c.at[0] = "nowhere" },
			says: []string{
				"fault: {0} does not answer", "fault: {0} was elected, and does not lead",
				"fact: 2 of 3 voters follow the leader, and 2 have to: no more may fail",
			},
			states: [3]string{"does not answer: connection refused: no node runs there", "follows {0}", "follows {0}"},
		},
		"a majority is dead": {
			change: func(c *cluster) { c.at[0], c.at[1], c.nodes[2].leader = "nowhere", "nowhere", wire.Node{} },
			says: []string{
				"fault: {0} does not answer", "fault: {1} does not answer", "fault: {2} knows no leader",
				"fault: 0 of 3 voters follow a leader, and 2 have to: nothing can be written",
			},
			states: [3]string{"does not answer: connection refused: no node runs there", "does not answer: connection refused: no node runs there", "knows no leader"},
		},
		"one that was cut off believes to lead": {
			change: func(c *cluster) { c.nodes[1].leader.Address, c.nodes[2].leader.Address = "{1}", "{1}" },
			says:   []string{"fault: {0} takes {0} for the leader", "fact: 2 of 3 voters follow the leader, and 2 have to: no more may fail"},
			states: [3]string{"takes itself for the leader", "leads", "follows {1}"},
		},
		"as many believe the one as the other": {
			change: func(c *cluster) {
				c.nodes[0].leader.Address, c.nodes[1].leader.Address, c.at[2] = "{2}", "{1}", "nowhere"
			},
			says: []string{
				"fault: {0} takes {2} for the leader", "fault: {2} does not answer",
				"fault: 1 of 3 voters follow a leader, and 2 have to: nothing can be written",
			},
			states: [3]string{"follows {2}", "leads", "does not answer: connection refused: no node runs there"},
		},
		"one refuses to tell": {
			change: func(c *cluster) { c.nodes[1].refuses = true },
			says:   []string{"fault: {1} does not answer", "fact: 2 of 3 voters follow the leader, and 2 have to: no more may fail"},
			states: [3]string{"leads", "does not answer: dqlite: not today (1)", "follows {0}"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := &cluster{nodes: [3]*node{{}, {}, {}}}
			at := listening(t, nil, c.nodes[:]...)
			for _, n := range c.nodes {
				n.leader.Address = "{0}"
			}
			test.change(c)
			var names []string
			for i, where := range c.at {
				if where == "nowhere" {
					at[i] = nowhere(t)
				}
				names = append(names, "{"+strconv.Itoa(i)+"}", at[i])
			}
			fill := strings.NewReplacer(names...)
			for _, n := range c.nodes {
				n.leader.Address, n.members = fill.Replace(n.leader.Address), voters(at...)
			}
			code, stdout, stderr := sqlane(t, "cluster", "status", strings.Join(at, ","), "-plaintext")
			require.Equal(t, failed, code)
			require.Empty(t, stderr)
			want := []string{"ID ADDRESS ROLE STATE"}
			for i, m := range voters(at...) {
				want = append(want, fmt.Sprint(m.ID, " ", m.Address, " voter ", test.states[i]))
			}
			require.Equal(t, fill.Replace(strings.Join(append(want, test.says...), "\n")), squeezed(stdout))
		})
	}
}

func TestNobodyAnswersAndNothingIsKnown(t *testing.T) {
	at := nowhere(t)
	code, stdout, stderr := sqlane(t, "cluster", "status", at, "-plaintext")
	require.Equal(t, failed, code)
	require.Empty(t, stderr)
	require.Equal(t, "ID ADDRESS ROLE STATE\n? "+at+" ? does not answer: connection refused: no node runs there\n"+
		"fault: no node answers, and so nothing is known of the cluster", squeezed(stdout))
	code, stdout, _ = sqlane(t, "cluster", "status", at, "-plaintext", "-json")
	require.Equal(t, failed, code)
	require.Contains(t, stdout, `"members":[],"others":[{"address":"`+at+`"`)
}

func TestAnotherNameOfAMemberIsNoFault(t *testing.T) {
	n := new(node)
	at := listening(t, nil, n)
	n.members = voters(at...)
	n.leader = n.members[0]
	_, port, err := net.SplitHostPort(at[0])
	require.NoError(t, err)
	code, stdout, _ := sqlane(t, "cluster", "status", "localhost:"+port, "-plaintext")
	require.Equal(t, done, code, stdout)
	require.Equal(t, "ID ADDRESS ROLE STATE\n9223372036854775808 "+at[0]+" voter leads\n? localhost:"+port+" ? answers, and is no member's address\n"+
		"fact: 1 of 1 voters follow the leader, and 1 have to: no more may fail", squeezed(stdout))
}

// TestAPausedNodeIsNotWaitedForLong: it takes connections, and never answers.
func TestAPausedNodeIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		s := survey{told: map[string]told{}, dial: func(context.Context, string) (net.Conn, error) {
			go func() { _, _ = io.ReadFull(there, make([]byte, 8)) }()
			return here, nil
		}}
		s.ask(t.Context(), []string{"a:1"})
		require.ErrorIs(t, s.told["a:1"].err, context.DeadlineExceeded)
		c := s.judge([]string{"a:1"})
		require.Equal(t, "no answer in time: it is paused, overloaded or cut off", c.Others[0].Why)
	})
}

func TestAnInterruptedStatusSaysSo(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts, and so nobody answers
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs strings.Builder
	require.Equal(t, interrupted, run(ctx, []string{"cluster", "status", l.Addr().String(), "-plaintext"}, &out, &errs))
	require.Equal(t, "sqlane: interrupted\n", errs.String())
	require.Empty(t, out.String())
}

func TestNodesThatSpeakTLSAreAskedByIt(t *testing.T) {
	s := httptest.NewTLSServer(nil) // for its certificate, of 127.0.0.1 and its own authority
	defer s.Close()
	pair := s.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	cert := put(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})), dir, "cert.pem")
	secret := put(t, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})), dir, "key.pem")
	n := new(node)
	at := listening(t, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert}, n)
	n.members = voters(at...)
	n.leader = n.members[0]

	code, stdout, stderr := sqlane(t, "cluster", "status", at[0], "-tls-cert", cert, "-tls-key", secret, "-tls-ca", cert)
	require.Equal(t, done, code, stdout+stderr)
	require.Contains(t, stdout, " leads\n")

	code, stdout, _ = sqlane(t, "cluster", "status", at[0], "-plaintext")
	require.Equal(t, failed, code)
	require.Contains(t, stdout, "the connection was closed, as where one side speaks TLS")

	code, _, stderr = sqlane(t, "cluster", "status", at[0], "-tls-cert", cert, "-tls-key", secret, "-tls-ca", secret)
	require.Equal(t, failed, code)
	require.Equal(t, "sqlane: -tls-ca: "+secret+" has no certificate\n", stderr)
}

func TestClusterStatusNeedsItsArguments(t *testing.T) {
	for want, args := range map[string][]string{
		"cluster is followed by status":                         {"cluster"},
		"cluster is followed by status ":                        {"cluster", "paint"},
		"cluster status needs HOST:PORT,...":                    {"cluster", "status"},
		`cluster status does not take "b:1"`:                    {"cluster", "status", "a:1", "b:1"},
		`cluster status: "a" is no address; write HOST:PORT,`:   {"cluster", "status", "b:1,a", "-plaintext"},
		"a cluster needs -tls-cert, -tls-key and -tls-ca, or -": {"cluster", "status", "a:1"},
		"-plaintext and -tls-cert, -tls-key or -tls-ca exclude": {"cluster", "status", "a:1", "-plaintext", "-tls-ca", "x"},
		"doctor takes no -plaintext":                            {"doctor", "x", "-plaintext"},
		"cluster status takes no -sqlc":                         {"cluster", "status", "a:1", "-sqlc", "x"},
	} {
		code, stdout, stderr := sqlane(t, args...)
		require.Equal(t, misused, code, args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, strings.TrimSpace(want))
	}
}

// full is an output with no room.
type full struct{}

var errNoRoom = errors.New("no room")

func (full) Write([]byte) (int, error) { return 0, errNoRoom }

func TestAStatusThatCannotBePrintedIsAFailure(t *testing.T) {
	for _, more := range []string{"-plaintext", "-json"} {
		var errs strings.Builder
		require.Equal(t, failed, run(t.Context(), []string{"cluster", "status", nowhere(t), "-plaintext", more}, full{}, &errs))
		require.Equal(t, "sqlane: no room\n", errs.String())
	}
}
