//go:build unix && !linux

package pglocal

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent does nothing: there is no such signal here, and the next start
// adopts a server that was left behind.
func dieWithParent(*syscall.SysProcAttr) {}

// serves reports whether the process is a server whose command line names the
// data directory.
func (in *instance) serves(pid int) bool {
	if pid <= 0 {
		return false
	}
	out, err := exec.Command("ps", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), in.data)
}

// anyProcess knows only the server itself: its children cannot be told from
// another server's.
func (in *instance) anyProcess() bool { return in.serves(in.postmaster()) }
