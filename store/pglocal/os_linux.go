package pglocal

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent makes the kernel ask for a fast shutdown when this process
// dies, even of SIGKILL.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// serves reports whether the process is PostgreSQL and works in the data
// directory: the server and its children change into it when they start. A
// zombie works nowhere, and neither does a stranger that got a reused pid.
func (in *instance) serves(pid int) bool {
	data, err := filepath.EvalSymlinks(in.data)
	if err != nil {
		return false
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	if cwd, err := os.Readlink(filepath.Join(proc, "cwd")); err != nil || cwd != data {
		return false
	}
	comm, err := os.ReadFile(filepath.Join(proc, "comm")) // not a person's shell
	return err == nil && strings.TrimSpace(string(comm)) == "postgres"
}

// anyProcess reports whether any PostgreSQL works in the data directory.
func (in *instance) anyProcess() bool {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && in.serves(pid) {
			return true
		}
	}
	return false
}
