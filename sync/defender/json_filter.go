package defender

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
)

var byteOrderMark = []byte("\uFEFF")

// filterChunk bounds one read of a jsonFilter, and so what it may have to keep.
const filterChunk = 32 << 10

// jsonFilter makes JSON of what is JSON but for two things that no decoder
// takes: a byte order mark at its begin, which is left out, and control
// characters inside strings that stand there as they are, which are escaped.
// Everything else passes as it is. While there is nothing to escape, nothing is
// copied.
type jsonFilter struct {
	r       io.Reader
	begun   bool
	text    bool   // inside a string
	escape  bool   // right after a backslash in it
	pending []byte // filtered and not read yet
	err     error  // what comes after pending
}

// newJSONFilter returns a reader of r that filters.
func newJSONFilter(r io.Reader) io.Reader { return &jsonFilter{r: r} }

func (f *jsonFilter) Read(p []byte) (int, error) {
	var n int
	if !f.begun {
		f.begin()
	}
	if len(f.pending) > 0 {
		n = copy(p, f.pending)
		f.pending = f.pending[n:]
	}
	if n == len(p) || f.err != nil && n > 0 {
		return n, nil
	}
	if f.err != nil {
		return 0, f.err
	}
	m, err := f.read(p[n:])
	return n + m, err
}

// read is Read when nothing is pending.
func (f *jsonFilter) read(p []byte) (int, error) {
	n, err := f.r.Read(p[:min(len(p), filterChunk)])
	clean := f.scan(p[:n])
	if clean == n {
		return n, err
	}
	f.pending, f.err = f.filter(f.pending[:0], p[clean:n]), err
	n = copy(p[clean:], f.pending)
	f.pending = f.pending[n:]
	return clean + n, nil
}

// begin reads as much as a byte order mark takes, and skips one.
func (f *jsonFilter) begin() {
	f.begun = true
	head := make([]byte, len(byteOrderMark))
	n, err := io.ReadFull(f.r, head)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	f.err = err
	if head = head[:n]; !bytes.Equal(head, byteOrderMark) {
		f.pending = f.filter(nil, head)
	}
}

// scan returns how many bytes of b pass as they are: all, or those before the
// first to be escaped.
func (f *jsonFilter) scan(b []byte) int {
	text, escape := f.text, f.escape // in registers: most bytes come by here
	defer func() { f.text, f.escape = text, escape }()
	for i := 0; i < len(b); i++ {
		if text && !escape {
			if i += plain(b[i:]); i == len(b) {
				break
			}
		}
		switch c := b[i]; {
		case text && c < ' ':
			return i
		case escape:
			escape = false
		case c == '"':
			text = !text
		case c == '\\':
			escape = text
		}
	}
	return len(b)
}

// plain returns how many bytes at the begin of b mean nothing inside a string:
// they are no quote, no backslash and no control character. It looks at eight
// at once: x-ones*c has the high bit set in the lowest byte of x that is less
// than c, and perhaps in some above it.
func plain(b []byte) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		quote, slash := x^ones*'"', x^ones*'\\'
		found := ((x-ones*' ')&^x | (quote-ones)&^quote | (slash-ones)&^slash) & high
		if found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
		i++
	}
	return i
}

// filter appends b, escaped, to out.
func (f *jsonFilter) filter(out, b []byte) []byte {
	const hex = "0123456789abcdef"
	for _, c := range b {
		if !f.text || c >= ' ' {
			f.step(c)
			out = append(out, c)
			continue
		}
		if f.escape { // a backslash before it escapes nothing: it stands for itself
			out, f.escape = append(out, '\\'), false
		}
		out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
	}
	return out
}

// step notes what c, which is no control character in a string, begins or ends.
func (f *jsonFilter) step(c byte) {
	switch {
	case f.escape:
		f.escape = false
	case c == '"':
		f.text = !f.text
	case c == '\\':
		f.escape = f.text
	}
}
