package cluster_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/sqlane/sqlane/cluster"
	"github.com/sqlane/sqlane/internal/wire"
	"github.com/sqlane/sqlane/pool"
	"github.com/stretchr/testify/require"
)

// What members are asked (src/protocol.h of dqlite).
const (
	askLeader, askClient, askOpen, askExecute             = 0, 1, 3, 8
	askAdd, askAssign, askRemove, askMembers, askDescribe = 12, 13, 14, 16, 18
)

// A peer is another member of the cluster, and says what a test wants.
type peer struct {
	address string

	mu      sync.Mutex
	asked   int    // so often for the leader
	enough  int    // When it was asked so often,
	ended   func() // this is run.
	leader  wire.Node
	members []wire.Node
	answer  func(asked byte) (refusal string) // "" for none; it may change the fields above
}

// listening is a member that leads, and refuses nothing.
func listening(t *testing.T) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &peer{address: l.Addr().String()}
	p.leader = wire.Node{ID: 2, Address: p.address}
	p.members = []wire.Node{p.leader}
	var serving sync.WaitGroup
	t.Cleanup(func() { l.Close(); serving.Wait() })
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(c) })
		}
	})
	return p
}

func (p *peer) serve(c net.Conn) {
	defer c.Close()
	if _, err := io.ReadFull(c, make([]byte, 8)); err != nil {
		return
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		body := make([]byte, 8*binary.LittleEndian.Uint32(head[:]))
		if _, err := io.ReadFull(c, body); err != nil {
			return
		}
		if _, err := c.Write(p.say(head[4], body)); err != nil {
			return
		}
	}
}

// say is the answer, a message of dqlite's protocol (https://dqlite.io/docs/protocol).
func (p *peer) say(asked byte, body []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := make([]byte, 8)
	number := func(v uint64) { b = binary.LittleEndian.AppendUint64(b, v) }
	text := func(s string) {
		b = append(append(b, s...), 0)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
	}
	id := binary.LittleEndian.Uint64(body)
	if asked == askLeader {
		if p.asked++; p.asked == p.enough {
			p.ended()
		}
	}
	refusal := ""
	if p.answer != nil {
		refusal = p.answer(asked)
	}
	if asked == askAdd && (refusal == "" || refusal == lost) {
		address, _, _ := bytes.Cut(body[8:], []byte{0})
		p.members = append(p.members, wire.Node{ID: id, Address: string(address), Role: wire.StandBy})
	}
	switch {
	case refusal != "":
		number(1)
		text(refusal)
	case asked == askLeader:
		b[4] = 1
		number(p.leader.ID)
		text(p.leader.Address)
	case asked == askMembers:
		b[4] = 3
		number(uint64(len(p.members)))
		for _, m := range p.members {
			number(m.ID)
			text(m.Address)
			number(uint64(m.Role))
		}
	case asked == askClient:
		b[4] = 2
		number(0)
	case asked == askOpen:
		b[4] = 4
		number(0)
	case asked == askExecute, asked == askDescribe:
		b[4] = map[byte]byte{askExecute: 6, askDescribe: 10}[asked]
		number(0)
		number(0)
	default:
		if asked == askRemove {
			p.members = slices.DeleteFunc(p.members, func(m wire.Node) bool { return m.ID == id })
		}
		b[4] = 8
		number(0)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)/8-1))
	return b
}

// lost is what a peer says that has done it.
const lost = "the answer is lost"

// set has the peer answer otherwise.
func (p *peer) set(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

// tries is a context that ends when the peer has been asked for the leader so many more
// times, as each try begins.
func (p *peer) tries(t *testing.T, n int) context.Context {
	ctx, cancel := context.WithCancel(within(t, long))
	p.set(func() { p.enough, p.ended = p.asked+n, cancel })
	return ctx
}

// refusing refuses what is asked.
func refusing(what byte) func(byte) string {
	return func(asked byte) string {
		if asked == what {
			return "not today"
		}
		return ""
	}
}

func TestAJoinThatIsRefusedSaysWhy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(p, other *peer, address string)
		says   string
	}{
		"it does not tell its members": {func(p, _ *peer, _ string) { p.answer = refusing(askMembers) }, "not today"},
		"it takes nobody":              {func(p, _ *peer, _ string) { p.answer = refusing(askAdd) }, "not today"},
		"it keeps who had the address": {func(p, _ *peer, address string) {
			p.members = append(p.members, wire.Node{ID: 7, Address: address})
			p.answer = refusing(askRemove)
		}, "removing the member of this address whose disk is gone: "},
		"its leader is away":      {func(p, other *peer, _ string) { p.leader.Address = "127.0.0.1:1" }, ": its leader 127.0.0.1:1: "},
		"its leader leads not":    {func(p, other *peer, _ string) { p.leader.Address = other.address; other.leader = wire.Node{} }, ": no leader is known"},
		"its leader says another": {func(p, other *peer, _ string) { p.leader.Address = other.address; other.leader.Address = "127.0.0.1:1" }, ": no leader is known"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, other := listening(t), listening(t)
			cfg := config(t, addresses(t, 1)[0], p.address)
			c.change(p, other, cfg.Address)
			_, err := cluster.Open(p.tries(t, 3), cfg)
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorContains(t, err, cfg.Dir)
			require.ErrorContains(t, err, "no member of the cluster takes the node up")
			require.ErrorContains(t, err, c.says)
		})
	}
}

// joined is a node that a peer has taken up.
func joined(t *testing.T) (*cluster.Cluster, *peer, cluster.Config) {
	t.Helper()
	p := listening(t)
	p.answer = func(asked byte) string {
		if asked == askAdd {
			return lost // The node asks again, and finds itself.
		}
		return ""
	}
	cfg := config(t, addresses(t, 1)[0], p.address)
	c := open(t, cfg)
	p.set(func() { p.members[1].Role = wire.Voter })
	return c, p, cfg
}

func TestAMemberThatCannotLeaveGoesOnAndSaysWhy(t *testing.T) {
	t.Parallel()
	c, p, cfg := joined(t)
	spare := listening(t)
	brief := func() context.Context { return p.tries(t, 6) }

	// There would be another voter.
	p.set(func() {
		p.members = append(p.members, wire.Node{ID: 3, Address: spare.address, Role: wire.Spare})
		p.answer = refusing(askAssign)
	})
	err := c.Leave(brief())
	require.ErrorContains(t, err, "making "+spare.address+" a voter: ")
	require.ErrorContains(t, err, "not today")
	require.ErrorContains(t, err, c.Address())
	err = c.Handover(brief())
	require.ErrorContains(t, err, "making "+spare.address+" a voter: ")

	// Nobody is told of the members.
	p.set(func() { p.answer = refusing(askMembers) })
	for _, err := range []error{c.Leave(brief()), c.Handover(brief()), c.Remove(brief(), 3)} {
		require.ErrorContains(t, err, "not today")
		require.ErrorContains(t, err, c.Address())
	}
	// The other is a voter, and who then leads is not known any more.
	p.set(func() {
		given := false
		p.answer = func(asked byte) string {
			given = given || asked == askAssign
			if given && asked == askMembers {
				return "an election"
			}
			return ""
		}
	})
	err = c.Handover(brief())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "an election")

	// The vote was taken from it meanwhile, which is all that it wanted.
	p.set(func() {
		p.answer = func(asked byte) string {
			if asked == askAssign {
				p.members[1].Role, p.members[2].Role = wire.Spare, wire.Voter
			}
			return ""
		}
	})
	require.NoError(t, c.Handover(within(t, long)))

	// Nobody is told of the members once it has handed over.
	p.set(func() {
		times := 0
		p.answer = func(asked byte) string {
			if asked == askMembers {
				times++
			}
			if times > 2 {
				return "an election"
			}
			return ""
		}
	})
	err = c.Leave(brief())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "an election")

	// It cannot be removed.
	p.set(func() {
		p.answer = refusing(askRemove)
	})
	err = c.Leave(brief())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "not today")
	require.NotErrorIs(t, err, pool.ErrClosed)

	// It is removed, and cannot write that down.
	blocked := filepath.Join(cfg.Dir, "node.json.new")
	p.set(func() {
		p.members = p.members[:2]
		p.answer = func(asked byte) string {
			if asked == askRemove {
				_ = os.Mkdir(blocked, 0o700)
			}
			return ""
		}
	})
	err = c.Leave(brief())
	require.ErrorContains(t, err, blocked)
	require.NotErrorIs(t, err, pool.ErrClosed)
	require.NoError(t, os.Remove(blocked))
	p.set(func() { p.answer = nil })
	require.NoError(t, c.Leave(within(t, long)), "it is no member any more, and was not the last one")
	_, err = cluster.Open(t.Context(), cfg)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "has left")
}

func TestANodeWhoseRoleNobodyChangesGoesOn(t *testing.T) {
	t.Parallel()
	p := listening(t)
	p.answer = func(asked byte) string { // A cluster of two has one voter.
		for i := range p.members {
			p.members[i].Role = wire.Voter
		}
		return ""
	}
	cfg := config(t, addresses(t, 1)[0], p.address)
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	c := open(t, cfg)
	members, err := c.Members(t.Context())
	require.NoError(t, err)
	require.Len(t, members, 2)
	require.NoError(t, c.Close())
	require.Contains(t, log.String(), "the members' roles are not settled yet")
}

func TestAFolderThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	address := addresses(t, 1)[0]
	write := func(text string, elements ...string) {
		require.NoError(t, os.WriteFile(filepath.Join(elements...), []byte(text), 0o600))
	}
	for says, make := range map[string]func(cfg *cluster.Config){
		"not a directory": func(cfg *cluster.Config) {
			write("", cfg.Dir, "file")
			cfg.Dir = filepath.Join(cfg.Dir, "file", "below")
		},
		"lock: is a directory":      func(cfg *cluster.Config) { require.NoError(t, os.Mkdir(filepath.Join(cfg.Dir, "lock"), 0o700)) },
		"node.json: is a directory": func(cfg *cluster.Config) { require.NoError(t, os.Mkdir(filepath.Join(cfg.Dir, "node.json"), 0o700)) },
		"node.json.new: is a directory": func(cfg *cluster.Config) {
			require.NoError(t, os.Mkdir(filepath.Join(cfg.Dir, "node.json.new"), 0o700))
		},
		"is a directory": func(cfg *cluster.Config) {
			require.NoError(t, os.Mkdir(filepath.Join(cfg.Dir, "node.json.new"), 0o700))
			cfg.Join = []string{"127.0.0.1:1"}
		},
		"node.json is damaged (unexpected end of JSON input): empty": func(cfg *cluster.Config) { write("", cfg.Dir, "node.json") },
		"node.json is damaged (it has no ID): empty the folder and":  func(cfg *cluster.Config) { write("{}", cfg.Dir, "node.json") },
		"metadata1: too many levels of symbolic links": func(cfg *cluster.Config) {
			require.NoError(t, os.Symlink("metadata1", filepath.Join(cfg.Dir, "metadata1")))
		},
		"no space left on device": func(cfg *cluster.Config) {
			require.NoError(t, os.Symlink("/dev/full", filepath.Join(cfg.Dir, "node.json.new")))
		},
	} {
		cfg := config(t, address)
		require.NoError(t, os.Mkdir(cfg.Dir, 0o700))
		make(&cfg)
		_, err := cluster.Open(t.Context(), cfg)
		require.ErrorContains(t, err, says)
		require.ErrorContains(t, err, cfg.Dir)
	}
	open(t, config(t, address)) // nobody has kept the address
}

func TestARecoveryThatCannotBeDoesNothing(t *testing.T) {
	t.Parallel()
	cfg := config(t, addresses(t, 1)[0])
	require.ErrorIs(t, cluster.Recover(cluster.Config{}), pool.ErrConfig)
	err := cluster.Recover(cfg)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, cfg.Dir)
	require.NoDirExists(t, cfg.Dir, "a name that is wrong makes no folder")

	require.NoError(t, open(t, cfg).Close())
	elsewhere := cfg
	elsewhere.Address = "127.0.0.1:1"
	err = cluster.Recover(elsewhere)
	require.ErrorIs(t, err, pool.ErrConfig)
	require.ErrorContains(t, err, "not that of a member at 127.0.0.1:1")
	for _, name := range []string{"metadata1", "metadata2"} {
		if _, err := os.Stat(filepath.Join(cfg.Dir, name)); err == nil {
			require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, name), make([]byte, 32), 0o600))
		}
	}
	require.ErrorContains(t, cluster.Recover(cfg), "what is there is damaged")
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Dir, "node.json"), []byte("{"), 0o600))
	require.ErrorContains(t, cluster.Recover(cfg), "node.json is damaged")
}
