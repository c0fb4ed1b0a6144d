package storetest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Gate is a relay between a program under test and its database that understands
// what it passes. It calls the test at each statement with a name, and passes
// nothing on of that connection until the call returns:
//
//	NAME/before          the server has not seen it; of a batch, it has seen what comes before
//	NAME/sent            of a COPY: the server has all rows, and not the word that it was all
//	NAME/unacknowledged  the server has done it, and the program does not know
//	NAME/acknowledged    the program may know; it does what it does next
//
// The last two come once for a batch, with the name of its last statement that has one.
type Gate struct {
	wire Wire
	name NameFunc
	at   PointFunc
}

// NameFunc names a statement, "" for one that does not matter. A COMMIT comes
// with the names of the statements of its transaction.
type NameFunc func(sql string, tx []string) string

// PointFunc is called at a point. The channel is closed when the program has
// given the connection up. The connection breaks here if it returns true.
type PointFunc func(point string, gone <-chan struct{}) (cut bool)

// NewGate begins to relay to the database at dsn until the test ends.
func NewGate(t testing.TB, dsn string, name NameFunc, at PointFunc) *Gate {
	t.Helper()
	g := &Gate{name: name, at: at}
	g.wire.pass = g.pass
	g.wire.listen(t, dsn)
	return g
}

// URL is the database's address by way of the gate.
func (g *Gate) URL() string { return g.wire.URL(g.wire.Addr) }

// gateLine is one connection through a gate.
type gateLine struct {
	*Gate
	gone, ended chan struct{} // closed when the program, and when the relay, has given it up

	// Of the statements that were sent. A cycle is what the server ends with
	// ReadyForQuery: what comes up to a Sync, or a simple query.
	prepared, portals map[string]string
	cycle, copying    string
	tx                []string

	mu     sync.Mutex
	cycles []string // sent, and not answered yet: the names of their last statements
}

func (g *Gate) pass(server, client net.Conn) {
	l := &gateLine{Gate: g, gone: make(chan struct{}), ended: make(chan struct{}), prepared: map[string]string{}, portals: map[string]string{},
		cycles: []string{""}} // that of the start
	var answers sync.WaitGroup
	answers.Go(func() {
		defer client.Close()
		l.answers(client, server)
	})
	l.requests(server, client)
	close(l.ended)
	server.Close()
	client.Close()
	answers.Wait()
}

// message is one of the protocol's, with its head.
type message struct {
	kind byte // 0 of the first
	raw  []byte
}

// body is the message without its head.
func (m message) body() []byte {
	if m.kind == 0 {
		return m.raw[4:]
	}
	return m.raw[5:]
}

// readMessage reads one; the first that a client sends has no kind.
func readMessage(in io.Reader, first bool) (m message, err error) {
	m.raw = make([]byte, 5)
	if first {
		m.raw = m.raw[:4]
	}
	if _, err := io.ReadFull(in, m.raw); err != nil {
		return m, err
	}
	if !first {
		m.kind = m.raw[0]
	}
	head := len(m.raw)
	size := int(binary.BigEndian.Uint32(m.raw[head-4:])) - 4
	m.raw = append(m.raw, make([]byte, size)...)
	_, err = io.ReadFull(in, m.raw[head:])
	return m, err
}

// requests passes what the program sends. It reads ahead, so that it hears of a
// program that goes away while something of it is held.
func (l *gateLine) requests(server, client net.Conn) {
	in := make(chan message, 1<<10)
	go func() {
		defer close(in)
		leave := sync.OnceFunc(func() { close(l.gone) })
		defer leave()
		buffered := bufio.NewReaderSize(client, 64<<10)
		for first := true; ; first = false {
			m, err := readMessage(buffered, first)
			if err != nil {
				return
			}
			if m.kind == 'X' { // it says good-bye, and may wait for the server to close
				leave()
			}
			select {
			case in <- m:
			case <-l.ended:
				return
			}
		}
	}()
	for m := range in {
		point := l.note(m)
		if point != "" && l.at(point, l.gone) {
			return
		}
		if _, err := server.Write(m.raw); err != nil {
			return
		}
	}
}

// note remembers what a message says, and returns the point that it is at.
func (l *gateLine) note(m message) string {
	words := bytes.SplitN(m.body(), []byte{0}, 3)
	switch m.kind {
	case 'P': // parse
		l.prepared[string(words[0])] = string(words[1])
	case 'B': // bind
		l.portals[string(words[0])] = l.prepared[string(words[1])]
	case 'E': // execute
		return l.statement(l.portals[string(words[0])])
	case 'Q': // a simple query
		point := l.statement(string(words[0]))
		l.send()
		return point
	case 'S': // sync
		l.send()
	case 'c': // the end of a COPY
		if l.copying != "" {
			return l.copying + "/sent"
		}
	}
	return ""
}

// statement names one, and follows where transactions begin and end.
func (l *gateLine) statement(sql string) string {
	name := l.name(sql, l.tx)
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(sql)), " ")
	switch strings.TrimSuffix(word, ";") {
	case "begin", "commit", "rollback":
		l.tx = nil
	}
	l.copying = ""
	if name == "" {
		return ""
	}
	if word == "copy" {
		l.copying = name
	}
	l.tx, l.cycle = append(l.tx, name), name
	return name + "/before"
}

// send notes that the server is asked for an answer.
func (l *gateLine) send() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cycles = append(l.cycles, l.cycle)
	l.cycle = ""
}

// answering is the name of what the server is answering to.
func (l *gateLine) answering() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cycles) == 0 {
		return ""
	}
	return l.cycles[0]
}

func (l *gateLine) answered() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.cycles) > 0 {
		l.cycles = l.cycles[1:]
	}
}

// answers passes what the server sends. An answer to what has a name goes on
// when all of it is there.
func (l *gateLine) answers(client, server net.Conn) {
	buffered := bufio.NewReaderSize(server, 64<<10)
	var held []byte
	for {
		m, err := readMessage(buffered, false)
		if err != nil {
			return
		}
		held = append(held, m.raw...)
		name, ready := l.answering(), m.kind == 'Z'
		if ready {
			l.answered()
			if name != "" && l.at(name+"/unacknowledged", l.gone) {
				return
			}
		}
		if !ready && name != "" && m.kind != 'G' { // which asks for the rows of a COPY
			continue
		}
		if _, err := client.Write(held); err != nil {
			return
		}
		held = held[:0]
		if ready && name != "" && l.at(name+"/acknowledged", l.gone) {
			return
		}
	}
}
