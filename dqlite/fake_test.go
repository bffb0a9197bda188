package dqlite_test

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	modernc "modernc.org/sqlite"

	"github.com/sqlane/sqlane/dqlite"
	"github.com/sqlane/sqlane/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cluster are nodes that speak dqlite's protocol, on one database of SQLite's own: each
// connection of a client is one to that. A test tells them what to do. Everything happens in
// a bubble of testing/synctest, where a timeout takes no time, and nothing may be left at
// the end.
type cluster struct {
	t     *testing.T
	db    *sql.DB
	file  string
	nodes []*node

	mu       sync.Mutex // It guards the fields below, and those of nodes and sessions.
	leader   *node      // nil if there is none
	rule     func(asked) verdict
	asked    []asked // what was asked for, in order
	sessions map[*session]bool
}

// node is one of them.
type node struct {
	of      *cluster
	id      uint64
	address string
	down    bool          // It refuses connections.
	paused  chan struct{} // It answers nothing until that is closed; nil if it does.
	named   *node         // It takes this one for the leader, whoever is.
	lost    bool          // It believes to lead though others do.
}

// asked is a statement that a node was asked for.
type asked struct {
	node   *node
	client int // which connection
	text   string
}

// verdict is what a node does with a statement. The zero value answers it.
type verdict struct {
	code    int    // It is refused with that.
	message string // Words go with it.
	applied bool   // It is done although the answer is no such.
	cut     bool   // The connection ends instead of an answer.
	dies    bool   // The node ends.
	mute    bool   // No answer comes.
	undoes  bool   // What is open is undone before it is refused.
}

// inCluster runs a test with a cluster of three, the first of which leads.
func inCluster(t *testing.T, test func(t *testing.T, c *cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t, file: filepath.Join(t.TempDir(), "fake.db"), sessions: map[*session]bool{}}
		var err error
		c.db, err = sql.Open("sqlite", "file:"+c.file+"?_pragma=journal_mode(wal)&_pragma=synchronous(off)&_pragma=busy_timeout(0)")
		require.NoError(t, err)
		c.db.SetMaxIdleConns(0) // so that a transaction ends with its connection
		anchor, err := c.db.Conn(context.Background())
		require.NoError(t, err)
		_, err = anchor.ExecContext(context.Background(), "CREATE TABLE n (id INTEGER PRIMARY KEY, v INTEGER NOT NULL UNIQUE, label TEXT)")
		require.NoError(t, err)
		for i := range 3 {
			c.nodes = append(c.nodes, &node{of: c, id: uint64(i + 1), address: fmt.Sprintf("node%d:9001", i+1)})
		}
		c.leader = c.nodes[0]
		t.Cleanup(func() {
			for _, n := range c.nodes {
				n.resume()
				n.kill()
			}
			synctest.Wait()
			require.NoError(t, anchor.Close())
			require.NoError(t, c.db.Close())
		})
		test(t, c)
	})
}

// config is for a Store on the cluster.
func (c *cluster) config(change ...func(*dqlite.Config)) dqlite.Config {
	cfg := dqlite.Config{Plaintext: true, Dial: c.dial}
	for _, n := range c.nodes {
		cfg.Members = append(cfg.Members, n.address)
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// open opens a Store, which is closed at the end.
func (c *cluster) open(change ...func(*dqlite.Config)) *dqlite.Store {
	c.t.Helper()
	s, err := dqlite.Open(c.t.Context(), c.config(change...))
	require.NoError(c.t, err)
	c.t.Cleanup(func() { require.NoError(c.t, s.Close()) })
	return s
}

// values are those of table n, as the database has them.
func (c *cluster) values() (all []int) {
	c.t.Helper()
	rows, err := c.db.QueryContext(context.Background(), "SELECT v FROM n ORDER BY id")
	require.NoError(c.t, err)
	defer rows.Close()
	for rows.Next() {
		var v int
		require.NoError(c.t, rows.Scan(&v))
		all = append(all, v)
	}
	require.NoError(c.t, rows.Err())
	return all
}

// sql runs a statement on the database, past the nodes.
func (c *cluster) sql(text string) {
	c.t.Helper()
	_, err := c.db.ExecContext(context.Background(), text)
	require.NoError(c.t, err)
}

// on has a rule asked about every statement.
func (c *cluster) on(rule func(asked) verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rule = rule
}

// once has a verdict on the next statement that begins so.
func (c *cluster) once(begins string, v verdict) { c.times(1, begins, v) }

// times has a verdict on the next statements that begin so.
func (c *cluster) times(n int, begins string, v verdict) {
	var mu sync.Mutex
	c.on(func(a asked) verdict {
		mu.Lock()
		defer mu.Unlock()
		if n > 0 && strings.HasPrefix(a.text, begins) {
			n--
			return v
		}
		return verdict{}
	})
}

// texts are what was asked for, but for what opens a connection.
func (c *cluster) texts() (all []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.asked {
		if !strings.HasPrefix(a.text, "PRAGMA foreign_keys=1") {
			all = append(all, a.text)
		}
	}
	return all
}

// count is how many statements that begin so were asked for.
func (c *cluster) count(begins string) (n int) {
	for _, text := range c.texts() {
		if strings.HasPrefix(text, begins) {
			n++
		}
	}
	return n
}

// connections is how many are open.
func (c *cluster) connections() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.sessions)
}

// elect makes a node the leader, or none. What was open on the others is undone.
func (c *cluster) elect(n *node) {
	c.mu.Lock()
	c.leader = n
	c.mu.Unlock()
	for _, s := range c.all(func(s *session) bool { return s.node != n }) {
		s.rollback()
	}
}

func (c *cluster) all(which func(*session) bool) (some []*session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.sessions {
		if which(s) {
			some = append(some, s)
		}
	}
	return some
}

// kill ends a node.
func (n *node) kill() {
	n.of.mu.Lock()
	n.down = true
	if n.of.leader == n {
		n.of.leader = nil
	}
	n.of.mu.Unlock()
	for _, s := range n.of.all(func(s *session) bool { return s.node == n }) {
		s.end()
	}
}

// cutOff ends the connections to a node, which goes on.
func (n *node) cutOff() {
	for _, s := range n.of.all(func(s *session) bool { return s.node == n }) {
		s.end()
	}
}

// start has a node answer again that was killed.
func (n *node) start() {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	n.down = false
}

// pause has a node answer nothing, as SIGSTOP does.
func (n *node) pause() {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	n.paused = make(chan struct{})
}

func (n *node) resume() {
	n.of.mu.Lock()
	defer n.of.mu.Unlock()
	if n.paused != nil {
		close(n.paused)
		n.paused = nil
	}
}

// waitWhilePaused waits until the node is not, and reports whether the session goes on.
func (s *session) waitWhilePaused() bool {
	s.node.of.mu.Lock()
	paused := s.node.paused
	s.node.of.mu.Unlock()
	if paused == nil {
		return true
	}
	select {
	case <-paused:
		return true
	case <-s.over:
		return false
	}
}

// dial connects to a node.
func (c *cluster) dial(_ context.Context, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := slices.IndexFunc(c.nodes, func(n *node) bool { return n.address == address })
	if i < 0 || c.nodes[i].down {
		return nil, fmt.Errorf("dial %s: connection refused", address)
	}
	here, there := net.Pipe()
	s := &session{node: c.nodes[i], net: there, over: make(chan struct{})}
	c.sessions[s] = true
	go s.serve()
	return here, nil
}

// session is a client's connection, as the node sees it.
type session struct {
	node *node
	net  net.Conn
	over chan struct{} // It is closed at the end.
	once sync.Once

	mu     sync.Mutex // It guards the fields below.
	client int
	conn   *sql.Conn
}

var clients struct {
	sync.Mutex
	n int
}

func (s *session) end() {
	s.once.Do(func() {
		close(s.over)
		s.net.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.conn != nil {
			_ = s.conn.Close()
			s.conn = nil
		}
		c := s.node.of
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.sessions, s)
	})
}

// rollback undoes what is open.
func (s *session) rollback() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conn != nil {
		_, _ = s.conn.ExecContext(context.Background(), "ROLLBACK")
	}
}

// serve answers what comes. Requests are read whatever happens to their answers, as a socket
// has them.
func (s *session) serve() {
	defer s.end()
	requests := make(chan []byte, 1000)
	go func() {
		defer s.end() // a client that is gone leaves no transaction
		defer close(requests)
		if _, err := io.ReadFull(s.net, make([]byte, 8)); err != nil {
			return
		}
		for {
			b := make([]byte, 8)
			if _, err := io.ReadFull(s.net, b); err != nil {
				return
			}
			b = append(b, make([]byte, 8*binary.LittleEndian.Uint32(b))...)
			if _, err := io.ReadFull(s.net, b[8:]); err != nil {
				return
			}
			requests <- b
		}
	}()
	for {
		var b []byte
		select {
		case b = <-requests:
		case <-s.over:
		}
		if b == nil || !s.waitWhilePaused() {
			return
		}
		r := request{b[8:]}
		var tell [][]byte
		switch kind := b[4]; kind {
		case 0:
			tell = s.tellLeader()
		case 1:
			tell = one(message(2, uint64(0)))
		case 3:
			tell = s.open()
		case 8, 9:
			if tell = s.statement(&r, kind == 9); tell == nil {
				return
			}
		case 10:
			tell = one(message(8, uint64(0)))
		case 15:
			tell = s.dump(r.text())
		case 16:
			tell = s.members()
		default:
			tell = one(message(0, uint64(1), "unknown request"))
		}
		for _, part := range tell {
			if _, err := s.net.Write(part); err != nil {
				return
			}
		}
	}
}

func one(b []byte) [][]byte { return [][]byte{b} }

func (s *session) tellLeader() [][]byte {
	c := s.node.of
	c.mu.Lock()
	defer c.mu.Unlock()
	leader := c.leader
	if s.node.lost {
		leader = s.node
	} else if s.node.named != nil {
		leader = s.node.named
	}
	if leader == nil {
		return one(message(1, uint64(0), ""))
	}
	return one(message(1, leader.id, leader.address))
}

func (s *session) members() [][]byte {
	parts := []any{uint64(len(s.node.of.nodes))}
	for _, n := range s.node.of.nodes {
		parts = append(parts, n.id, n.address, uint64(0))
	}
	return one(message(3, parts...))
}

func (s *session) open() [][]byte {
	conn, err := s.node.of.db.Conn(context.Background())
	if err != nil {
		return failure(err)
	}
	clients.Lock()
	clients.n++
	client := clients.n
	clients.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client, s.conn = client, conn
	return one(message(4, uint64(0)))
}

func (s *session) dump(name string) [][]byte {
	c := s.node.of
	if v := c.judge(asked{s.node, s.client, "DUMP " + name}); v.code != 0 {
		return one(message(0, uint64(v.code), "dump"))
	}
	parts := []any{uint64(2)}
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(c.file + suffix)
		if err != nil {
			return failure(err)
		}
		parts = append(parts, name+suffix, uint64(len(data)), raw(data))
	}
	return one(message(9, parts...))
}

// judge notes a statement and asks the rule about it.
func (c *cluster) judge(a asked) verdict {
	c.mu.Lock()
	c.asked = append(c.asked, a)
	rule := c.rule
	c.mu.Unlock()
	if rule == nil {
		return verdict{}
	}
	return rule(a)
}

// statement runs one and returns the answer, or nil if the connection ends.
func (s *session) statement(r *request, query bool) [][]byte {
	c := s.node.of
	r.uint64()
	text := r.text()
	args := r.arguments()
	v := c.judge(asked{s.node, s.client, text})
	if v.dies {
		defer s.node.kill()
	}
	if v.undoes {
		s.rollback()
	}
	if !v.applied {
		switch {
		case v.mute:
			<-s.over
			return nil
		case v.cut, v.dies:
			return nil
		case v.code != 0:
			return one(message(0, uint64(v.code), cmp.Or(v.message, "refused")))
		}
	}
	c.mu.Lock()
	leads := c.leader == s.node || s.node.lost
	c.mu.Unlock()
	if !leads && !v.applied {
		return one(message(0, uint64(wire.CodeNotLeader), "not leader"))
	}
	tell := s.run(text, query, args)
	switch {
	case v.mute:
		<-s.over
		return nil
	case v.cut, v.dies:
		return nil
	case v.code != 0:
		return one(message(0, uint64(v.code), cmp.Or(v.message, "refused")))
	}
	return tell
}

// returnsRows reports whether a statement of these tests does.
func returnsRows(text string) bool {
	switch strings.Fields(text + " ;")[0] {
	case "SELECT":
		return true
	case "WITH":
		return !strings.Contains(text, " INSERT ")
	case "PRAGMA":
		return !strings.Contains(text, "=")
	}
	return strings.Contains(text, " RETURNING ")
}

func (s *session) run(text string, query bool, args []any) [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conn == nil:
		return one(message(0, uint64(wire.CodeNotFound), "no database"))
	case query && !returnsRows(text):
		return one(message(0, uint64(1), "not an error"))
	case !query && strings.Contains(text, " RETURNING "):
		s.node.of.t.Error("a node would end over ", text)
	case !query && returnsRows(text):
		return one(message(0, uint64(wire.CodeRow), "another row available"))
	case !query:
		res, err := s.conn.ExecContext(context.Background(), text, args...)
		if err != nil {
			return failure(err)
		}
		id, _ := res.LastInsertId()
		n, _ := res.RowsAffected()
		return one(message(6, uint64(id), uint64(n)))
	}
	rows, err := s.conn.QueryContext(context.Background(), text, args...)
	if err != nil {
		return failure(err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return failure(err)
	}
	head := []any{uint64(len(columns))}
	for _, name := range columns {
		head = append(head, name)
	}
	var parts [][]byte
	at, body := 0, head
	for rows.Next() {
		values := make([]any, len(columns))
		to := make([]any, len(columns))
		for i := range values {
			to[i] = &values[i]
		}
		if err := rows.Scan(to...); err != nil {
			return failure(err)
		}
		if at == 3 { // rows come in parts
			parts = append(parts, message(7, append(body, uint64(0xeeeeeeeeeeeeeeee))...))
			at, body = 0, head
		}
		at, body = at+1, append(slices.Clip(body), raw(row(values)))
	}
	if err := rows.Err(); err != nil {
		return append(parts, failure(err)...)
	}
	return append(parts, message(7, append(body, uint64(math.MaxUint64))...))
}

func failure(err error) [][]byte {
	code := 1
	var e *modernc.Error
	if errors.As(err, &e) {
		code = e.Code()
	}
	return one(message(0, uint64(code), err.Error()))
}

// row is a row as it is sent.
func row(values []any) []byte {
	types := make([]byte, (len(values)+15)/16*8)
	var b []byte
	for i, v := range values {
		kind := byte(5)
		switch v := v.(type) {
		case int64:
			kind, b = 1, binary.LittleEndian.AppendUint64(b, uint64(v))
		case float64:
			kind, b = 2, binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		case string:
			kind, b = 3, appendText(b, v)
		case []byte:
			kind, b = 4, binary.LittleEndian.AppendUint64(b, uint64(len(v)))
			b = append(b, v...)
			for len(b)%8 != 0 {
				b = append(b, 0)
			}
		case time.Time:
			kind, b = 10, appendText(b, v.Format(time.RFC3339Nano))
		case nil:
			b = append(b, make([]byte, 8)...)
		default:
			panic(fmt.Sprintf("%T", v))
		}
		types[i/2] |= kind << (i % 2 * 4)
	}
	return append(types, b...)
}

// raw is put into a message as it is.
type raw []byte

func appendText(b []byte, text string) []byte {
	b = append(append(b, text...), 0)
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// message is one of a kind.
func message(kind byte, parts ...any) []byte {
	b := []byte{0, 0, 0, 0, kind, 0, 0, 0}
	for _, part := range parts {
		switch part := part.(type) {
		case uint64:
			b = binary.LittleEndian.AppendUint64(b, part)
		case string:
			b = appendText(b, part)
		case raw:
			b = append(b, part...)
		default:
			panic(fmt.Sprintf("%T", part))
		}
	}
	for len(b)%8 != 0 {
		b = append(b, 0)
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)/8-1))
	return b
}

// request is what is left of one.
type request struct{ b []byte }

func (r *request) uint64() uint64 {
	n := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return n
}

func (r *request) text() string {
	n := bytes.IndexByte(r.b, 0)
	text := string(r.b[:n])
	r.b = r.b[(n+8)/8*8:]
	return text
}

func (r *request) arguments() (args []any) {
	if len(r.b) == 0 {
		return nil
	}
	types := r.b[1 : 1+int(r.b[0])]
	r.b = r.b[(len(types)+8)/8*8:]
	for _, kind := range types {
		switch kind {
		case 1:
			args = append(args, int64(r.uint64()))
		case 2:
			args = append(args, math.Float64frombits(r.uint64()))
		case 3:
			args = append(args, r.text())
		case 4:
			n := int(r.uint64())
			args = append(args, slices.Clone(r.b[:n]))
			r.b = r.b[(n+7)/8*8:]
		default:
			r.uint64()
			args = append(args, driver.Value(nil))
		}
	}
	return args
}
