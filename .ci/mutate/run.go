package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	killed     = "killed"
	hung       = "killed (time)"
	survived   = "SURVIVED"
	uncompiled = "does not compile"
	stale      = "stale"
	broken     = "broken" // neither passed nor failed: the test could not run
)

// runner has the copy of the tree with all mutants in it.
type runner struct {
	dir    string
	env    []string
	limit  time.Duration
	files  map[string]*source
	apart  map[int]string    // mutants that could not be embedded: the text of their file
	beyond map[int][2]string // mutants that cannot be judged: verdict and reason
}

// plan embeds the mutants.
func (r *runner) plan(all []mutant) error {
	r.files, r.apart, r.beyond = map[string]*source{}, map[int]string{}, map[int][2]string{}
	for _, m := range all {
		if r.files[m.file] == nil {
			text, err := os.ReadFile(filepath.Join(r.dir, filepath.FromSlash(m.file)))
			if err != nil {
				return err
			}
			r.files[m.file] = &source{name: m.file, whole: string(text)}
		}
	}
	return r.embed(all)
}

// embed writes the files with all mutants in them that are not known to be bad.
func (r *runner) embed(all []mutant) error {
	for _, f := range r.files {
		f.added, f.calls = "", map[int]string{}
	}
	for n, m := range all {
		if r.beyond[n] != [2]string{} {
			continue
		}
		changed, err := m.apply(r.files[m.file].whole)
		if err != nil {
			r.beyond[n] = [2]string{stale, err.Error()}
		} else if !r.files[m.file].embed(n, changed) {
			r.apart[n] = changed
		}
	}
	for _, f := range r.files {
		name := filepath.Join(r.dir, filepath.FromSlash(f.name))
		if err := os.WriteFile(name, []byte(f.text()), 0o644); err != nil {
			return err
		}
		if f.added == "" {
			continue
		}
		if err := asking(filepath.Dir(name), f.whole); err != nil {
			return err
		}
	}
	return nil
}

var blamed = regexp.MustCompile(`without-(\d+)\.go:\d+.*`)

// build builds the test programs. Mutants that do not compile are left out.
func (r *runner) build(ctx context.Context, all []mutant) error {
	for _, pkg := range slices.Sorted(maps.Keys(testsOf(all))) {
		for {
			out, err := r.compile(ctx, pkg)
			if err == nil {
				break
			}
			found := blamed.FindAllStringSubmatch(out, -1)
			if len(found) == 0 {
				return fmt.Errorf("build the tests of %s: %w\n%s", pkg, err, out)
			}
			for _, f := range found {
				n, _ := strconv.Atoi(f[1])
				r.beyond[n] = [2]string{uncompiled, f[0]}
			}
			if err := r.embed(all); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runner) program(pkg string) string {
	return filepath.Join(r.dir, strings.ReplaceAll(pkg, "/", "_")+".test")
}

func (r *runner) compile(ctx context.Context, pkg string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-o", r.program(pkg), "./"+pkg)
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// testsOf are the named tests by package.
func testsOf(all []mutant) map[string][]string {
	tests := map[string][]string{}
	for _, m := range all {
		if !slices.Contains(tests[m.pkg], m.test) {
			tests[m.pkg] = append(tests[m.pkg], m.test)
		}
	}
	return tests
}

// unmutated runs all named tests while no mutant is meant; they have to pass.
func (r *runner) unmutated(ctx context.Context, all []mutant) error {
	byPackage := testsOf(all)
	for _, pkg := range slices.Sorted(maps.Keys(byPackage)) {
		tests := byPackage[pkg]
		start := time.Now()
		out, err := r.test(ctx, pkg, 5*r.limit, "", tests...)
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
		for _, name := range tests {
			if !strings.Contains(out, "\n--- PASS: "+name+" ") {
				return fmt.Errorf("%s has no %s", pkg, name)
			}
		}
		fmt.Printf("unmutated: %d tests of %s pass, %.1f s\n", len(tests), pkg, time.Since(start).Seconds())
	}
	return nil
}

// judge runs a mutant's test.
func (r *runner) judge(ctx context.Context, n int, m mutant) (verdict, said string) {
	if why, ok := r.beyond[n]; ok {
		return why[0], why[1]
	}
	if changed, ok := r.apart[n]; ok {
		file := filepath.Join(r.dir, filepath.FromSlash(m.file))
		if err := os.WriteFile(file, []byte(changed), 0o644); err != nil {
			return broken, err.Error()
		}
		defer func() {
			_ = os.WriteFile(file, []byte(r.files[m.file].text()), 0o644) // or the tests fail when everything is put back
			_, _ = r.compile(ctx, m.pkg)
		}()
		if out, err := r.compile(ctx, m.pkg); err != nil {
			return uncompiled, out
		}
	}
	out, err := r.test(ctx, m.pkg, r.limit, strconv.Itoa(n), m.test)
	switch {
	case err == nil:
		return survived, ""
	case strings.Contains(out, "panic: test timed out"):
		return hung, ""
	case strings.Contains(out, "--- FAIL: "+m.test+" ") || strings.Contains(out, "panic: ") || strings.Contains(out, "fatal error: "):
		return killed, firstWords(out)
	default:
		return broken, out
	}
}

// test runs tests of one package and returns what they print.
func (r *runner) test(ctx context.Context, pkg string, limit time.Duration, meant string, names ...string) (string, error) {
	args := []string{"-test.v", "-test.timeout", limit.String(), "-test.run", "^(" + strings.Join(names, "|") + ")$"}
	if r.drawsAtRandom(pkg) {
		args = append(args, "-rapid.seed=1", "-rapid.shrinktime=0s", "-rapid.nofailfile")
	}
	cmd := exec.CommandContext(ctx, r.program(pkg), args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Dir, cmd.Env = filepath.Join(r.dir, filepath.FromSlash(pkg)), append(r.env, switchName+"="+meant)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// drawsAtRandom says whether the package's tests take the flags of rapid.
func (r *runner) drawsAtRandom(pkg string) bool {
	files, _ := filepath.Glob(filepath.Join(r.dir, filepath.FromSlash(pkg), "*_test.go"))
	return slices.ContainsFunc(files, func(name string) bool {
		text, _ := os.ReadFile(name)
		return bytes.Contains(text, []byte(`"pgregory.net/rapid"`))
	})
}

// where begins what a test says when it fails.
var where = regexp.MustCompile(`^\s+(\[rapid\] )?\S+\.go:\d+: `)

// firstWords is the line in which a test first says what is wrong.
func firstWords(out string) string {
	for line := range strings.Lines(out) {
		if where.MatchString(line) || strings.HasPrefix(line, "panic: ") {
			return "    " + strings.TrimSpace(line[:min(len(line), 300)])
		}
	}
	return ""
}
