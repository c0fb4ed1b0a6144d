package deploy_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// provisioned are the files that Grafana reads when it starts, with all keys
// that its documentation has and that are used here: it ignores others silently.
type provisioned struct {
	APIVersion  int `yaml:"apiVersion"`
	Datasources []struct {
		Name, UID, Type, Access, URL, User string
		Editable                           bool
		SecureJSONData                     map[string]string `yaml:"secureJsonData"`
		JSONData                           struct {
			Database, SSLMode string
			PostgresVersion   int  `yaml:"postgresVersion"`
			TimescaleDB       bool `yaml:"timescaledb"`
			MaxOpenConns      int  `yaml:"maxOpenConns"`
			MaxIdleConnsAuto  bool `yaml:"maxIdleConnsAuto"`
			ConnMaxLifetime   int  `yaml:"connMaxLifetime"`
		} `yaml:"jsonData"`
	}
	Providers []struct {
		Name, Folder, Type    string
		DisableDeletion       bool `yaml:"disableDeletion"`
		AllowUIUpdates        bool `yaml:"allowUiUpdates"`
		UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
		Options               struct{ Path string }
	}
}

func provisioning(t *testing.T, file string) (p provisioned) {
	t.Helper()
	text, err := os.ReadFile("grafana/provisioning/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalWithOptions(text, &p, yaml.Strict()); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if p.APIVersion != 1 {
		t.Errorf("%s has version %d", file, p.APIVersion)
	}
	return p
}

// TestProvisioning wants the data source that the dashboards ask, without a
// secret in the file, and the folder of dashboards.
func TestProvisioning(t *testing.T) {
	d := provisioning(t, "datasources/defendersync.yaml").Datasources
	if len(d) != 1 || d[0].UID != source.UID || d[0].Type != source.Type || d[0].Access != "proxy" {
		t.Fatalf("%+v, want %v", d, source)
	}
	variable := regexp.MustCompile(`^\$__env\{\w+\}$`)
	for _, v := range []string{d[0].URL, d[0].User, d[0].JSONData.Database, d[0].JSONData.SSLMode, d[0].SecureJSONData["password"]} {
		if !variable.MatchString(v) {
			t.Errorf("%q is not taken from the environment", v)
		}
	}
	if p := provisioning(t, "dashboards/defendersync.yaml").Providers; len(p) != 1 || p[0].Type != "file" || p[0].AllowUIUpdates || p[0].Options.Path == "" {
		t.Errorf("%+v", p)
	}
}

// TestUnit holds the service to what it promises: one line, one key.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("defendersync.service")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	for _, want := range []string{"[Unit]", "[Service]", "[Install]", "DynamicUser=yes", "Restart=always", "RestartPreventExitStatus=2",
		"NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes", "CapabilityBoundingSet=", "WantedBy=multi-user.target"} {
		if !slices.Contains(lines, want) {
			t.Errorf("the unit has no line %s", want)
		}
	}
	line := regexp.MustCompile(`^(\[[A-Z]\w+\]|#.*|[A-Z][A-Za-z]+=.*|)$`)
	for i, l := range lines {
		if !line.MatchString(l) {
			t.Errorf("line %d: %q", i+1, l)
		}
	}
}
