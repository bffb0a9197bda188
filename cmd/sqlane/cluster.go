package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/sqlane/sqlane/internal/nodes"
	"github.com/sqlane/sqlane/internal/terminal"
	"github.com/sqlane/sqlane/internal/wire"
)

// clusterStatus asks the nodes of a cluster how they are.
func clusterStatus(ctx context.Context, a *app) error {
	addresses, err := nodes.Addresses(a.arg)
	if err == nil {
		err = a.security.Check()
	}
	if err != nil {
		return wrong("cluster status: %v", err)
	}
	how, err := a.security.TLS()
	if err != nil {
		return err
	}
	dial := new(net.Dialer).DialContext
	if how != nil {
		dial = (&tls.Dialer{Config: how}).DialContext
	}
	a.line.Doing("asking the nodes")
	s := survey{dial: func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }, told: map[string]told{}}
	s.ask(ctx, addresses)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c := s.judge(addresses)
	if a.json {
		err = json.NewEncoder(a.out).Encode(c)
	} else {
		err = c.print(a)
	}
	if err == nil && !c.Healthy {
		return errFound
	}
	return err
}

// nodePatience is how long a node may take to answer. One that is paused takes connections,
// and never answers.
const nodePatience = 3 * time.Second

// survey asks nodes, each by itself.
type survey struct {
	dial wire.DialFunc
	told map[string]told // by address
}

// told is what a node has told of its cluster, or why it has not.
type told struct {
	leader  string // "" if it knows none
	members []wire.Node
	err     error
}

// ask asks the nodes at the addresses, and those of which they know, all at once.
func (s survey) ask(ctx context.Context, addresses []string) {
	for len(addresses) > 0 {
		answers := make([]told, len(addresses))
		var asking sync.WaitGroup
		for i, address := range addresses {
			asking.Go(func() { answers[i] = s.one(ctx, address) })
		}
		asking.Wait()
		for i, address := range addresses {
			s.told[address] = answers[i]
		}
		addresses = nil
		for _, t := range answers {
			for _, m := range t.members {
				if _, asked := s.told[m.Address]; !asked && !slices.Contains(addresses, m.Address) {
					addresses = append(addresses, m.Address)
				}
			}
		}
	}
}

func (s survey) one(ctx context.Context, address string) (t told) {
	ctx, cancel := context.WithTimeout(ctx, nodePatience)
	defer cancel()
	c, err := wire.Dial(ctx, s.dial, address)
	if err != nil {
		return told{err: err}
	}
	defer c.Close()
	leader, err := c.Leader(ctx)
	if err == nil {
		t.members, err = c.Members(ctx)
	}
	if err != nil {
		return told{err: err}
	}
	t.leader = leader.Address
	return t
}

// condition is what comes of it.
type condition struct {
	Healthy   bool     `json:"healthy"`
	Leader    string   `json:"leader"`    // "" if there is none
	Voters    int      `json:"voters"`    // among Members
	Majority  int      `json:"majority"`  // So many of them have to follow the leader.
	Following int      `json:"following"` // So many do, itself included.
	Members   []member `json:"members"`
	// Others are addresses that were given and are no member's.
	Others []member `json:"others,omitempty"`
	Faults []string `json:"faults,omitempty"`
}

// member is one node.
type member struct {
	ID      string `json:"id,omitempty"` // of 64 bits, which not all that reads JSON has for a number
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`
	Leader  bool   `json:"leader"`
	Answers bool   `json:"answers"`
	Follows string `json:"follows,omitempty"` // the leader by its account
	Why     string `json:"why,omitempty"`     // it does not answer
}

func (s survey) member(n wire.Node) member {
	t := s.told[n.Address]
	m := member{Address: n.Address, Answers: t.err == nil, Follows: t.leader}
	if t.err != nil {
		m.Why = nodes.Why(t.err)
	}
	return m
}

// leader is whom most members take for the leader. One that was cut off believes for a
// while that it still is.
func (s survey) leader() string {
	votes, members := map[string]int{}, map[string]bool{}
	for _, t := range s.told {
		for _, m := range t.members {
			members[m.Address] = true
		}
	}
	for address := range members { // and by no other name that leads to one
		if named := s.told[address].leader; named != "" {
			votes[named]++
		}
	}
	best := ""
	for _, address := range slices.Sorted(maps.Keys(votes)) {
		itself := s.told[address].leader == address
		if n := votes[address]; n > votes[best] || n == votes[best] && itself && s.told[best].leader != best {
			best = address
		}
	}
	return best
}

// members are those that the leader knows, or somebody else if it tells nothing.
func (s survey) members(leader string, given []string) []wire.Node {
	for _, address := range append([]string{leader}, given...) {
		if all := s.told[address].members; len(all) > 0 {
			return all
		}
	}
	return nil
}

// judge puts together what the nodes have told.
func (s survey) judge(given []string) condition {
	c := condition{Leader: s.leader(), Members: []member{}}
	fault := func(format string, args ...any) { c.Faults = append(c.Faults, fmt.Sprintf(format, args...)) }
	known := map[string]bool{}
	for _, n := range s.members(c.Leader, given) {
		known[n.Address] = true
		m := s.member(n)
		m.ID, m.Role, m.Leader = strconv.FormatUint(n.ID, 10), n.Role.String(), n.Address == c.Leader
		c.Members = append(c.Members, m)
		voter := n.Role == wire.Voter
		if voter {
			c.Voters++
		}
		switch {
		case !m.Answers:
			fault("%s does not answer", m.Address)
		case voter && m.Follows == "":
			fault("%s knows no leader", m.Address)
		case voter && m.Follows != c.Leader:
			fault("%s takes %s for the leader", m.Address, m.Follows)
		case voter:
			c.Following++
		}
	}
	for _, address := range given {
		if !known[address] {
			c.Others = append(c.Others, s.member(wire.Node{Address: address}))
		}
	}
	c.Majority = c.Voters/2 + 1
	switch {
	case c.Voters == 0:
		fault("no node answers, and so nothing is known of the cluster")
	case c.Following < c.Majority:
		fault("%d of %d voters follow a leader, and %d have to: nothing can be written", c.Following, c.Voters, c.Majority)
	case !known[c.Leader] || !s.leads(c.Leader):
		fault("%s was elected, and does not lead", c.Leader)
	}
	c.Healthy = len(c.Faults) == 0
	return c
}

// leads reports that a node says of itself that it is the leader.
func (s survey) leads(address string) bool { return s.told[address].leader == address }

// state is how a node is, in words.
func (m member) state() string {
	switch {
	case !m.Answers:
		return "does not answer: " + m.Why
	case m.Leader && m.Follows == m.Address:
		return "leads"
	case m.Role == "":
		return "answers, and is no member's address"
	case m.Follows == m.Address:
		return "takes itself for the leader"
	case m.Follows != "":
		return "follows " + m.Follows
	}
	if m.Role == wire.Voter.String() {
		return "knows no leader"
	}
	return "answers" // One without a vote knows none ever.
}

func (c condition) print(a *app) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tADDRESS\tROLE\tSTATE")
	for _, m := range append(c.Members, c.Others...) {
		id, role := m.ID, m.Role
		if role == "" {
			id, role = "?", "?"
		}
		fmt.Fprintln(w, terminal.Plain(id)+"\t"+terminal.Plain(m.Address)+"\t"+terminal.Plain(role)+"\t"+terminal.Plain(m.state()))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, f := range c.Faults {
		a.say("fault: %s", f)
	}
	if left := c.Following - c.Majority; left >= 0 {
		more := "no"
		if left > 0 {
			more = strconv.Itoa(left)
		}
		a.say("fact: %d of %d voters follow the leader, and %d have to: %s more may fail", c.Following, c.Voters, c.Majority, more)
	}
	return nil
}
