package migrations

import (
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// memory is a directory of files that are nowhere but here: text by name.
type memory map[string]string

// Open implements [fs.FS].
func (m memory) Open(name string) (fs.File, error) {
	text, ok := m[name]
	switch {
	case name == ".":
		return &memoryFile{name: name}, nil
	case !ok:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memoryFile{name: name, size: int64(len(text)), Reader: strings.NewReader(text)}, nil
}

// ReadDir implements [fs.ReadDirFS].
func (m memory) ReadDir(name string) ([]fs.DirEntry, error) {
	if name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var all []fs.DirEntry
	for _, n := range slices.Sorted(maps.Keys(m)) {
		all = append(all, fs.FileInfoToDirEntry(&memoryFile{name: n, size: int64(len(m[n]))}))
	}
	return all, nil
}

// memoryFile is one of them, or the directory; and what is said of it.
type memoryFile struct {
	name string
	size int64
	io.Reader
}

// Name implements [fs.FileInfo].
func (f *memoryFile) Name() string { return f.name }

// Size implements [fs.FileInfo].
func (f *memoryFile) Size() int64 { return f.size }

// Mode implements [fs.FileInfo].
func (f *memoryFile) Mode() fs.FileMode {
	if f.IsDir() {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// ModTime implements [fs.FileInfo]: nobody asks.
func (f *memoryFile) ModTime() time.Time { return time.Time{} }

// IsDir implements [fs.FileInfo].
func (f *memoryFile) IsDir() bool { return f.name == "." }

// Sys implements [fs.FileInfo].
func (f *memoryFile) Sys() any { return nil }

// Stat implements [fs.File].
func (f *memoryFile) Stat() (fs.FileInfo, error) { return f, nil }

// Close implements [fs.File].
func (f *memoryFile) Close() error { return nil }
