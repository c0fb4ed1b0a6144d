package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"defendersync": main})
}

// TestScript runs the command line's contract. Beside testscript's own
// commands the scripts have:
//
//	exits CODE COMMAND ARG...       runs a command, which has to end with CODE
//	serve VAR PATH STATUS           answers PATH with STATUS and "ok" on an address put in VAR
//	wrong FILE OLD NEW MESSAGE      runs `config check` on FILE with its one OLD
//	                                replaced by NEW: exit 2, nothing on stdout, and
//	                                on stderr the one line "FILE:MESSAGE..."
//
// and those of tenantCommands. In OLD and NEW, \n is a line end.
func TestScript(t *testing.T) {
	commands := tenantCommands()
	commands["exits"], commands["serve"], commands["wrong"] = cmdExits, cmdServe, cmdWrong
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                commands,
		Setup: func(env *testscript.Env) error {
			shipped, err := os.ReadFile("../../config.yaml")
			if err != nil {
				return err
			}
			if err := os.WriteFile(env.WorkDir+"/shipped.yaml", shipped, 0o600); err != nil {
				return err
			}
			return setStage(env)
		},
	})
}

func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARG...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if got := exitOf(ts, args[1:]...); got != want {
		ts.Fatalf("%s: exit %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func exitOf(ts *testscript.TestScript, args ...string) int {
	err := ts.Exec(args[0], args[1:]...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		ts.Check(err)
	}
	if err != nil {
		return exit.ExitCode()
	}
	return 0
}

func cmdWrong(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 4 {
		ts.Fatalf("usage: wrong FILE OLD NEW MESSAGE")
	}
	lines := strings.NewReplacer(`\n`, "\n", `\t`, "\t")
	file, old, replacement, message := args[0], lines.Replace(args[1]), lines.Replace(args[2]), args[3]
	content := ts.ReadFile(file)
	if n := strings.Count(content, old); n != 1 {
		ts.Fatalf("%s holds %q %d times", file, old, n)
	}
	changed := strings.Replace(content, old, replacement, 1)
	ts.Check(os.WriteFile(ts.MkAbs("wrong.yaml"), []byte(changed), 0o600))
	if got := exitOf(ts, "defendersync", "--config", "wrong.yaml", "config", "check"); got != exitUsage {
		ts.Fatalf("exit %d, want %d, with:\n%s", got, exitUsage, changed)
	}
	if out := ts.ReadFile("stdout"); out != "" {
		ts.Fatalf("stdout has %q", out)
	}
	said := ts.ReadFile("stderr")
	if !strings.HasPrefix(said, "wrong.yaml:"+message) || strings.Count(said, "\n") != 1 {
		ts.Fatalf("got  %swant the one line wrong.yaml:%s", said, message)
	}
}

func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: serve VAR PATH STATUS")
	}
	status, err := strconv.Atoi(args[2])
	ts.Check(err)
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+args[1], func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintln(w, "ok")
	})
	server := httptest.NewServer(mux)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.Listener.Addr().String())
}
