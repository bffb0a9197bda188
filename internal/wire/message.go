package wire

import (
	"bytes"
	"database/sql/driver"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// version is the protocol's, which a connection begins with.
const version = 1

// What a message can be (src/protocol.h).
const (
	askLeader    = 0
	askClient    = 1
	askOpen      = 3
	askPrepare   = 4
	askExec      = 5
	askQuery     = 6
	askFinalize  = 7
	askExecSQL   = 8
	askQuerySQL  = 9
	askInterrupt = 10
	askAdd       = 12
	askAssign    = 13
	askRemove    = 14
	askDump      = 15
	askCluster   = 16
	askTransfer  = 17
	askDescribe  = 18

	tellFailure  = 0
	tellNode     = 1
	tellWelcome  = 2
	tellNodes    = 3
	tellDatabase = 4
	tellStmt     = 5
	tellResult   = 6
	tellRows     = 7
	tellEmpty    = 8
	tellFiles    = 9
	tellMetadata = 10
)

// Types of values on the wire.
const (
	typeInteger  = 1
	typeFloat    = 2
	typeText     = 3
	typeBlob     = 4
	typeNull     = 5
	typeUnixTime = 9
	typeISO8601  = 10
	typeBoolean  = 11
)

const (
	// word is what everything on the wire is padded to.
	word = 8
	// maxMessage is the length in bytes that a message has at most, sent or received.
	maxMessage = 1 << 30
	// maxArguments is the most that the protocol's byte for their number can say. dqlite
	// 1.11 knows no other format (src/tuple.c).
	maxArguments = 255
	// keep is the size up to which a buffer is used again.
	keep = 64 << 10
)

// request is a message on its way to the node, or several. Each begins with its header: the
// number of words behind it, what is asked, two bytes for a schema and one for nothing.
type request struct {
	bytes []byte
	start int   // of the last one
	err   error // the first thing in it that cannot be sent
}

// begin begins a message behind those that are there.
func (r *request) begin(what byte) {
	r.start, r.err = len(r.bytes), nil
	r.bytes = append(r.bytes, 0, 0, 0, 0, what, 0, 0, 0)
}

// finish fills in the length, or takes back what cannot be sent.
func (r *request) finish() error {
	if r.err != nil {
		r.bytes = r.bytes[:r.start]
		return r.err
	}
	binary.LittleEndian.PutUint32(r.bytes[r.start:], uint32((len(r.bytes)-r.start-word)/word))
	return nil
}

// clear forgets the messages, and keeps their memory if that is not much.
func (r *request) clear() {
	if r.bytes = r.bytes[:0]; cap(r.bytes) > keep {
		r.bytes = nil
	}
}

func (r *request) uint32(v uint32) {
	r.bytes = binary.LittleEndian.AppendUint32(r.bytes, v)
}

func (r *request) uint64(v uint64) {
	r.bytes = binary.LittleEndian.AppendUint64(r.bytes, v)
}

// fits refuses what would make the request too large, before it is copied.
func (r *request) fits(n int) bool {
	if r.err == nil && len(r.bytes)+n > maxMessage {
		r.err = fmt.Errorf("dqlite: a request of more than %d bytes, which is the most that is sent", maxMessage)
	}
	return r.err == nil
}

// text appends a text, which ends at a NUL byte and so cannot contain one.
func (r *request) text(what, text string) {
	if !r.fits(len(text)) {
		return
	}
	if strings.IndexByte(text, 0) >= 0 {
		r.err = fmt.Errorf("dqlite: %s contains a NUL byte, at which it would be cut; a BLOB can have one", what)
		return
	}
	r.bytes = append(append(r.bytes, text...), 0)
	r.pad()
}

func (r *request) pad() {
	for len(r.bytes)%word != 0 {
		r.bytes = append(r.bytes, 0)
	}
}

// arguments appends a statement's arguments: how many, the type of each, then each.
// Nothing at all stands for none.
func (r *request) arguments(args []driver.Value) {
	if len(args) == 0 {
		return
	}
	if len(args) > maxArguments {
		r.err = fmt.Errorf("dqlite: too many arguments: %d; a statement has at most %d", len(args), maxArguments)
		return
	}
	r.bytes = append(r.bytes, byte(len(args)))
	for i, arg := range args {
		kind := byte(typeNull)
		switch v := arg.(type) {
		case nil:
		case int64, bool:
			kind = typeInteger
		case float64:
			kind = typeFloat
		case string:
			kind = typeText
		case []byte:
			if v != nil {
				kind = typeBlob
			}
		case time.Time:
			r.err = fmt.Errorf("dqlite: argument %d is a time.Time; it has to be written as text or integer before", i+1)
			return
		default:
			r.err = fmt.Errorf("dqlite: argument %d is a %T, which is none of the types of driver.Value", i+1, arg)
			return
		}
		r.bytes = append(r.bytes, kind)
	}
	r.pad()
	for i, arg := range args {
		switch v := arg.(type) {
		case int64:
			r.uint64(uint64(v))
		case bool:
			var n uint64
			if v {
				n = 1
			}
			r.uint64(n)
		case float64:
			r.uint64(math.Float64bits(v))
		case string:
			r.text(fmt.Sprintf("argument %d", i+1), v)
		case []byte:
			if !r.fits(len(v)) {
				return
			}
			r.uint64(uint64(len(v))) // of nil, which is NULL, the word that stands for nothing
			r.bytes = append(r.bytes, v...)
			r.pad()
		default:
			r.uint64(0)
		}
	}
}

// answer is what is left of a message from the node. Reading beyond its end reads
// zeros and makes it malformed.
type answer struct {
	kind  byte
	bytes []byte
	short bool
}

func (a *answer) take(n uint64) []byte {
	if n > uint64(len(a.bytes)) {
		a.bytes, a.short = nil, true
		return nil
	}
	taken := a.bytes[:n]
	a.bytes = a.bytes[n:]
	return taken
}

func (a *answer) uint32() uint32 {
	if b := a.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (a *answer) uint64() uint64 {
	if b := a.take(word); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (a *answer) text() string {
	n := bytes.IndexByte(a.bytes, 0)
	if n < 0 {
		a.bytes, a.short = nil, true
		return ""
	}
	return string(a.take(padded(uint64(n) + 1))[:n])
}

// blob returns what is not the answer's own memory, and never nil.
func (a *answer) blob() []byte {
	n := a.uint64()
	if n > uint64(len(a.bytes)) {
		a.bytes, a.short = nil, true
		return []byte{}
	}
	return append([]byte{}, a.take(padded(n))[:n]...)
}

// many reads how many of something follow, each of at least size bytes.
func (a *answer) many(size int) int {
	n := a.uint64()
	if n > uint64(len(a.bytes)/size) {
		a.bytes, a.short = nil, true
		return 0
	}
	return int(n)
}

// failure reads a failure from its end. dqlite puts one that it met in the midst of
// rows behind those that it has encoded already, so that nothing else can find it
// (src/gateway.c, query_batch). The text's last word has a NUL byte and the others
// none; so the word before them that has one again is the code.
func (a *answer) failure() (*Failure, error) {
	end := len(a.bytes) - word
	at := end - word
	for at >= 0 && bytes.IndexByte(a.bytes[at:at+word], 0) < 0 {
		at -= word
	}
	if at < 0 || bytes.IndexByte(a.bytes[end:], 0) < 0 {
		return nil, errMalformed
	}
	tail := answer{bytes: a.bytes[at:]}
	f := Failure{Code: int(tail.uint64()), Message: tail.text()}
	return f.plain(), nil
}

// padded returns n rounded up to whole words. n is no larger than a message.
func padded(n uint64) uint64 {
	return (n + word - 1) / word * word
}

// grown returns b with room for n bytes more.
func grown(b []byte, n int) []byte {
	return slices.Grow(b, n)[:len(b)+n]
}
