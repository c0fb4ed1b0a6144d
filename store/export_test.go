package store

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenWith is [Open] for tests that look at, or into, the connection.
func OpenWith(ctx context.Context, url string, change func(*pgxpool.Config)) (*Store, error) {
	config, err := poolConfig(url, 4)
	if err != nil {
		return nil, err
	}
	change(config)
	return openPool(ctx, config)
}

// LimitIndex makes r write its index to a file from n rows on.
func LimitIndex(r *HuntRows, n int) { r.index.limit = n }

// LimitSights makes commits of r hold n of what its rows name at a time; 0 leaves it.
func LimitSights(r *HuntRows, n int) { r.sights = n }

// HuntText returns the text of a JSON string as it is stored.
func HuntText(raw []byte) string {
	var room []byte
	return string(tokenOf(raw, &room).text)
}

// HuntField returns what COPY is given for a value of a served type, without its
// length; ok is false where the value does not fit, and the field nil for NULL.
func HuntField(served string, raw []byte) (field []byte, ok bool) {
	var room []byte
	field, ok = appendField(nil, kindOf(served), tokenOf(raw, &room))
	if !ok || len(field) == 4 && field[0] == 0xff {
		return nil, ok
	}
	return field[4:], true
}

// HuntDocument returns a document as jsonb takes it.
func HuntDocument(text []byte) ([]byte, bool) { return document(text) }

// Spool is what rows wait in.
type Spool struct{ s spool }

func (s *Spool) Append(b []byte) (int64, error)       { return s.s.append(b) }
func (s *Spool) Read(at int64, n int) ([]byte, error) { return s.s.read(nil, at, n) }
func (s *Spool) Truncate(size int64)                  { s.s.truncate(size) }
func (s *Spool) Size() int64                          { return s.s.size() }
func (s *Spool) Close() error                         { return s.s.close() }
func (s *Spool) InFile() bool                         { return s.s.file != nil }
