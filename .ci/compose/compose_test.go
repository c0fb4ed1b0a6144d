// Package compose reads deploy/compose.yaml as Docker Compose does, without a
// container engine, and looks at what it would start.
package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const deploy = "../../deploy"

var assignment = regexp.MustCompile(`(?m)^([A-Z_]+)=(.*)$`)

// example is what env.example asks for, filled in; the values are told apart.
func example(t *testing.T) []string {
	t.Helper()
	var env []string
	for _, m := range assignment.FindAllStringSubmatch(read(t, "env.example"), -1) {
		if m[2] != "" {
			t.Errorf("env.example sets %s", m[1])
		}
		env = append(env, m[1]+"=/value/of/"+m[1])
	}
	return env
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(deploy, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func load(t *testing.T, env []string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{filepath.Join(deploy, "compose.yaml")}, cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, example(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestNothingHasADefault leaves each variable of env.example out, and each empty.
func TestNothingHasADefault(t *testing.T) {
	env := example(t)
	for i, v := range env {
		name, _, _ := strings.Cut(v, "=")
		for _, without := range [][]string{slices.Delete(slices.Clone(env), i, i+1), append(slices.Clone(env), name+"=")} {
			if _, err := load(t, without); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("without %s: %v", name, err)
			}
		}
	}
	if len(env) < 7 {
		t.Errorf("env.example has %d variables", len(env))
	}
}

// TestServices wants images of a version, ports of this machine alone, mounts
// that exist and that containers don't write, and waits for what is really ready.
func TestServices(t *testing.T) {
	p := project(t)
	pinned := regexp.MustCompile(`^[a-z/]+:\d+\.\d+(\.\d+)?(-[a-z]+)?$`)
	for name, s := range p.Services {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			t.Errorf("%s runs %s", name, s.Image)
		}
		if s.Build != nil && !exists(s.Build.Context, s.Build.Dockerfile) {
			t.Errorf("%s is built from %s", name, s.Build.Context)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s:%s", name, port.HostIP, port.Published)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && (!exists(v.Source) || !v.ReadOnly) {
				t.Errorf("%s mounts %s, read-only %t", name, v.Source, v.ReadOnly)
			}
		}
		for on, d := range s.DependsOn {
			other := p.Services[on]
			if d.Condition == types.ServiceConditionHealthy && other.HealthCheck == nil || d.Condition == types.ServiceConditionStarted {
				t.Errorf("%s waits for %s: %s", name, on, d.Condition)
			}
		}
		if d, ok := s.DependsOn["migrate"]; ok && d.Required {
			t.Errorf("%s does not start where one hunting table cannot be made", name)
		}
		if s.Privileged || len(s.CapAdd) > 0 || s.NetworkMode == "host" {
			t.Errorf("%s has rights that it does not need", name)
		}
	}
}

func exists(path ...string) bool {
	_, err := os.Stat(filepath.Join(path...))
	return err == nil
}

// TestNamesAgree wants every variable that a mounted file reads to be set for
// the container that reads it, every path to be where the file is, and the roles
// to be those that are made.
func TestNamesAgree(t *testing.T) {
	p := project(t)
	for _, c := range []struct{ service, file, variable string }{
		{"defendersync", "config.yaml", `\$\{([A-Z_]+)\}`}, // those without a default
		{"postgres", "postgres/roles.sql", `\\getenv \w+ (\w+)`},
		{"grafana", "grafana/provisioning/datasources/defendersync.yaml", `\$__env\{(\w+)\}`},
	} {
		found := regexp.MustCompile(c.variable).FindAllStringSubmatch(read(t, c.file), -1)
		for _, m := range found {
			if v := p.Services[c.service].Environment[m[1]]; v == nil || *v == "" {
				t.Errorf("%s reads %s, which %s is not given", c.file, m[1], c.service)
			}
		}
		if len(found) < 2 {
			t.Errorf("%s reads %q", c.file, found)
		}
	}
	worker, grafana := p.Services["defendersync"], p.Services["grafana"]
	roles := read(t, "postgres/roles.sql")
	for what, ok := range map[string]bool{
		"the worker's secret":      strings.Contains(read(t, "config.yaml"), worker.Secrets[0].Target),
		"the worker's role":        strings.Contains(roles, "CREATE ROLE defendersync ") && strings.HasPrefix(*worker.Environment["DATABASE_URL"], "postgres://defendersync@postgres:5432/"),
		"the worker's port":        strings.Contains(read(t, "config.yaml"), "listen: 0.0.0.0:8080"),
		"the reader's role":        strings.Contains(roles, "CREATE ROLE "+*grafana.Environment["DEFENDERSYNC_DB_USER"]+" "),
		"what the reader may read": slices.Equal(p.Services["migrate"].Command, []string{"migrate", "up", "--grant-read", *grafana.Environment["DEFENDERSYNC_DB_USER"]}),
		"the reader's password":    *grafana.Environment["DEFENDERSYNC_DB_PASSWORD"] == *p.Services["postgres"].Environment["READER_PASSWORD"],
		"the worker's password":    *worker.Environment["PGPASSWORD"] == *p.Services["postgres"].Environment["WRITER_PASSWORD"],
		"Grafana's dashboards":     mounted(grafana, "/etc/grafana/dashboards") && strings.Contains(read(t, "grafana/provisioning/dashboards/defendersync.yaml"), "path: /etc/grafana/dashboards\n"),
		"Grafana's first page":     exists(deploy, "grafana/dashboards", filepath.Base(*grafana.Environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])),
	} {
		if !ok {
			t.Errorf("%s: what is mounted and what is said differ", what)
		}
	}
}

func mounted(s types.ServiceConfig, target string) bool {
	return slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == target })
}
