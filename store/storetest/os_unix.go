//go:build unix

package storetest

import "syscall"

// detached puts a child out of reach of the terminal's Ctrl-C.
func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
