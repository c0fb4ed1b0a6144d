package store

import (
	"bytes"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how much of a spool is in memory; what is more goes to a file.
const spoolMemory = 4 << 20

// spool is bytes appended and read again: the end of them in memory, what came
// before in a file without a name, which vanishes with the process.
type spool struct {
	file   *os.File
	stored int64 // bytes in the file that count
	tail   []byte
}

func (s *spool) size() int64 { return s.stored + int64(len(s.tail)) }

// append adds b and returns where it begins.
func (s *spool) append(b []byte) (int64, error) {
	if len(s.tail) > 0 && len(s.tail)+len(b) > spoolMemory {
		if err := s.flush(); err != nil {
			return 0, err
		}
	}
	at := s.size()
	s.tail = append(s.tail, b...)
	return at, nil
}

func (s *spool) flush() error {
	if s.file == nil {
		f, err := scratchFile()
		if err != nil {
			return err
		}
		s.file = f
	}
	if _, err := s.file.WriteAt(s.tail, s.stored); err != nil {
		return spoolError(err)
	}
	s.stored += int64(len(s.tail))
	s.tail = s.tail[:0]
	return nil
}

// read appends the n bytes at offset at to dst. They were one append, and so
// are in one place.
func (s *spool) read(dst []byte, at int64, n int) ([]byte, error) {
	if at >= s.stored {
		i := int(at - s.stored)
		return append(dst, s.tail[i:i+n]...), nil
	}
	begin := len(dst)
	dst = append(dst, make([]byte, n)...)
	if _, err := s.file.ReadAt(dst[begin:], at); err != nil {
		return dst[:begin], spoolError(err)
	}
	return dst, nil
}

// reader reads what is between two offsets.
func (s *spool) reader(from, to int64) io.Reader {
	var parts []io.Reader
	if from < s.stored {
		parts = append(parts, io.NewSectionReader(s.file, from, min(to, s.stored)-from))
	}
	if to > s.stored {
		parts = append(parts, bytes.NewReader(s.tail[max(from, s.stored)-s.stored:to-s.stored]))
	}
	return io.MultiReader(parts...)
}

// settle brings what was appended in pieces to one place, to be read in others.
func (s *spool) settle() error {
	if s.stored == 0 {
		return nil
	}
	return s.flush()
}

// truncate forgets what was appended since size was size.
func (s *spool) truncate(size int64) {
	if size >= s.stored {
		s.tail = s.tail[:size-s.stored]
		return
	}
	s.stored, s.tail = size, s.tail[:0]
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file, s.stored, s.tail = nil, 0, nil
	return err
}

// scratchFile makes a file that has no name any more.
func scratchFile() (*os.File, error) {
	f, err := os.CreateTemp("", "defendersync-*")
	if err != nil {
		return nil, spoolError(err)
	}
	if err := os.Remove(f.Name()); err != nil {
		_ = f.Close() // the first error says more
		return nil, spoolError(err)
	}
	return f, nil
}

// spoolError says whose file it is and how to have it elsewhere.
func spoolError(err error) error {
	return fmt.Errorf("keep an answer in %s (set TMPDIR for another place): %w", os.TempDir(), err)
}
