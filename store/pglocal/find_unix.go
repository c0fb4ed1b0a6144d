//go:build unix

package pglocal

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// Find returns the directory of the server binaries that [Start] would use for
// a new directory. The account counts: what root may run is not always for the
// account that root's server runs as.
func Find(binDir string) (string, error) {
	found, err := find(cmp.Or(binDir, os.Getenv("PG_BIN")), places(), serverAccount(""))
	if err != nil {
		return "", err
	}
	return found[0].binDir, nil
}

// places are where packagers put the server, as globs.
func places() []string {
	return []string{
		"/usr/lib/postgresql/*/bin",                      // Debian, Ubuntu
		"/usr/pgsql-*/bin",                               // the PostgreSQL project's RPMs
		"/usr/libexec/postgresql*",                       // Alpine
		"/usr/lib/postgresql*/bin",                       // SUSE
		"/usr/local/pgsql/bin",                           // built from source
		"/opt/homebrew/opt/postgresql*/bin",              // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",                 // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin", // Homebrew on Linux
		"/Applications/Postgres.app/Contents/Versions/*/bin",
		"/run/current-system/sw/bin", // NixOS
	}
}

// find lists what runs here, the preferred one first: only named when it is
// not empty, else PATH and then the places, newest major version first.
func find(named string, globs []string, as account) ([]install, error) {
	if named != "" {
		in, ok := probe(named, as)
		if !ok {
			return nil, fmt.Errorf("PG_BIN is %s, where no initdb and postgres run as %s: %w", named, as.name, ErrNoBinaries)
		}
		return []install{in}, nil
	}
	var found []install
	for _, dir := range candidates(globs) {
		if in, ok := probe(dir, as); ok {
			found = append(found, in)
		}
	}
	if len(found) == 0 {
		return nil, ErrNoBinaries
	}
	slices.SortStableFunc(found, func(a, b install) int { return cmp.Compare(b.major, a.major) })
	return found, nil
}

// candidates are the directories to probe, each real directory once.
func candidates(globs []string) []string {
	var dirs []string
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			dirs = append(dirs, filepath.Dir(real))
		}
	}
	for _, g := range globs {
		matches, _ := filepath.Glob(g) // the patterns are constant and well-formed
		for _, m := range matches {
			if real, err := filepath.EvalSymlinks(m); err == nil && !slices.Contains(dirs, real) {
				dirs = append(dirs, real)
			}
		}
	}
	return dirs
}

// probe reports whether the account can really run the server in dir: a copy
// that lacks a shared library, or sits where the account cannot go, does not
// count.
func probe(dir string, as account) (install, bool) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return install{}, false
	}
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return install{}, false
	}
	c := exec.Command(filepath.Join(dir, "postgres"), "--version")
	c.SysProcAttr = as.attributes()
	c.Dir = "/"
	c.Env = environment()
	out, err := c.Output()
	if err != nil {
		return install{}, false
	}
	m := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if m == nil {
		return install{}, false
	}
	major, err := strconv.Atoi(string(m[1]))
	return install{binDir: dir, major: major}, err == nil
}

// environment is all that the server sees of ours: neither the PG* variables
// of a shell, which would redirect it, nor anybody's secrets.
func environment() []string {
	env := []string{"LC_ALL=C", "TZ=UTC"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}
