//go:build unix

package pglocal

import (
	"cmp"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is who the server runs as.
type account struct {
	uid, gid int
	name     string
	drop     bool // this process is root and must switch, because PostgreSQL refuses root
}

// serverAccount is this process's own account. For root it is, in this order,
// whoever owns dir already, whoever called sudo, postgres, or nobody.
func serverAccount(dir string) account {
	if uid := os.Geteuid(); uid != 0 {
		return account{uid: uid, gid: os.Getegid(), name: cmp.Or(os.Getenv("USER"), "uid "+strconv.Itoa(uid))}
	}
	if st, err := os.Stat(dir); err == nil {
		if u, err := user.LookupId(strconv.Itoa(int(ownerOf(st).Uid))); err == nil {
			if a, ok := dropTo(u); ok {
				return a
			}
		}
	}
	if u, err := user.LookupId(os.Getenv("SUDO_UID")); err == nil {
		if a, ok := dropTo(u); ok {
			return a
		}
	}
	for _, name := range []string{"postgres", "_postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			if a, ok := dropTo(u); ok {
				return a
			}
		}
	}
	return account{uid: 65534, gid: 65534, name: "nobody", drop: true}
}

func dropTo(u *user.User) (account, bool) {
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return account{uid: uid, gid: gid, name: u.Username, drop: true}, err1 == nil && err2 == nil && uid > 0
}

// attributes put a child under the account and in a process group of its own:
// a Ctrl-C at the terminal reaches us alone, and we stop the server last.
func (a account) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a.drop {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attr
}

// canEnter judges by the mode bits of a directory.
func (a account) canEnter(dir os.FileInfo) bool {
	st, mode := ownerOf(dir), dir.Mode().Perm()
	switch {
	case int(st.Uid) == a.uid:
		return mode&0o100 != 0
	case int(st.Gid) == a.gid:
		return mode&0o010 != 0
	default:
		return mode&0o001 != 0
	}
}

func ownerOf(fi os.FileInfo) *syscall.Stat_t { return fi.Sys().(*syscall.Stat_t) }
