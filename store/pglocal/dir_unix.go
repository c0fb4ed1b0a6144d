//go:build unix

package pglocal

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// socketPathMax keeps the socket's path below what the kernel can bind (104
// bytes on macOS, 108 on Linux).
const socketPathMax = 80

// prepare makes the folders, once nothing stands against it.
func (in *instance) prepare() error {
	if in.account.drop {
		if err := in.account.reach(in.dir); err != nil {
			return err
		}
	}
	if err := in.account.ownFolder(in.dir); err != nil {
		return err
	}
	return in.account.ownFolder(in.socket)
}

// socketFolder is inside dir, or a short private folder when dir is too deep
// for a socket. Not under TMPDIR: two processes have to agree on it.
func socketFolder(dir string, as account) string {
	p := filepath.Join(dir, "socket")
	if len(p) <= socketPathMax {
		return p
	}
	return fmt.Sprintf("/tmp/defendersync-%d-%.6x", as.uid, sha256.Sum256([]byte(dir)))
}

// reach says early, and in words, what initdb would say late: that the account
// cannot come to p. It needs nothing of p to exist.
func (a account) reach(p string) error {
	at := p
	for {
		real, err := filepath.EvalSymlinks(at)
		if err == nil {
			at = real
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("resolve %s: %w", at, err)
		}
		at = filepath.Dir(at)
	}
	if at == p { // p itself is made the account's own
		at = filepath.Dir(p)
	}
	for ; ; at = filepath.Dir(at) {
		fi, err := os.Stat(at)
		if err != nil {
			return fmt.Errorf("inspect %s: %w", at, err)
		}
		if !a.canEnter(fi) {
			return &UnreachableError{Dir: p, Blocked: at, Account: a.name}
		}
		if at == filepath.Dir(at) {
			return nil
		}
	}
}

// ownFolder makes p a folder that the account owns and nobody else can enter.
func (a account) ownFolder(p string) error {
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	if err := os.Mkdir(p, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("make directory: %w", err)
	}
	fi, err := os.Lstat(p)
	if err != nil {
		return fmt.Errorf("inspect directory: %w", err)
	}
	if !fi.IsDir() {
		return fmt.Errorf("%s is in the way: not a directory", p)
	}
	if uid := int(ownerOf(fi).Uid); uid != a.uid && !(a.drop && uid == 0) {
		return fmt.Errorf("%s belongs to uid %d, and PostgreSQL would run as uid %d: choose another data_dir or change its owner", p, uid, a.uid)
	}
	if a.drop {
		if err := os.Lchown(p, a.uid, a.gid); err != nil {
			return fmt.Errorf("hand directory to %s: %w", a.name, err)
		}
	}
	if err := os.Chmod(p, 0o700); err != nil {
		return fmt.Errorf("close directory to others: %w", err)
	}
	return nil
}

const (
	ownerLock  = "owner.lock"  // held by the process that will stop the server
	serverLock = "server.lock" // held by the server's own processes, and by initdb's
)

// lock is a file lock, which the kernel takes back when the last process that
// holds the file open dies, however it dies.
type lock struct{ file *os.File }

// tryLock returns nil when a live process holds the lock.
func tryLock(dir, name string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &lock{f}, nil
	}
	f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
}

func (l *lock) release() { l.file.Close() }
