package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// fakeEnvironment expands from a map of variables and a map of files.
func fakeEnvironment(variables map[string]string, files fstest.MapFS) environment {
	return environment{
		lookup:   func(name string) (string, bool) { v, ok := variables[name]; return v, ok },
		readFile: func(path string) ([]byte, error) { return fs.ReadFile(files, path) },
	}
}

const oneTenant = `
tenants:
  - name: contoso
    tenant_id: 11111111-2222-3333-4444-555555555555
    client_id: aaaaaaaa-2222-3333-4444-555555555555
    credential:
      %s
`

var testNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

func parseOne(t *testing.T, credential string, env environment) *config {
	t.Helper()
	c, err := parseConfig("c.yaml", fmt.Appendf(nil, oneTenant, credential), env, testNow)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	c := parseOne(t, "client_secret: x", fakeEnvironment(nil, nil))
	tenant := c.Tenants[0]
	got := fmt.Sprintf("%s %d %t %s | %s %s %s %v | %v | %v", c.DataDir, c.Database.MaxConnections, c.Database.AutoMigrate, c.Server.Listen,
		tenant.API, tenant.Cloud, tenant.OAuth, tenant.Limits, c.Streams.Incidents, c.Streams.Alerts)
	const want = "./data 4 true 127.0.0.1:8080 | graph commercial v2 {50 1500 15 1} | {{*/5 * * * * 30d 30m 2m} true} | {{*/5 * * * * 30d 30m 2m} true}"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A rotated secret is used without a restart: the reader looks again each time.
func TestSecretIsReadAnew(t *testing.T) {
	variables := map[string]string{"S": "first"}
	files := fstest.MapFS{"secret": {Data: []byte("first\r\n")}}
	for _, credential := range []string{"client_secret: ${S}", "client_secret: ${file:secret}", "client_secret_file: secret"} {
		variables["S"], files["secret"].Data = "first", []byte("first\r\n")
		read := parseOne(t, credential, fakeEnvironment(variables, files)).Tenants[0].Credential.reader()
		variables["S"], files["secret"].Data = "second", []byte("second\n")
		if got, err := read(); got != "second" || err != nil {
			t.Errorf("%s: got %q, %v", credential, got, err)
		}
		delete(variables, "S")
		files["secret"].Data = nil
		if got, err := read(); err == nil {
			t.Errorf("%s: gone, and got %q", credential, got)
		}
	}
}

// Text that comes in by expansion is text, whatever YAML would make of it.
func TestSecretMayHoldAnyCharacter(t *testing.T) {
	for _, want := range []string{`a: b`, `# x`, `{"`, "'", `${HOME}`, "true", "0x10", "- a", "\ttab", "%41", "é✓"} {
		env := fakeEnvironment(map[string]string{"S": want}, nil)
		if got, err := parseOne(t, "client_secret: ${S}", env).Tenants[0].Credential.reader()(); got != want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	env := fakeEnvironment(map[string]string{"S": "hush", "D": "postgres://me:hush@h/d"}, fstest.MapFS{"f": {Data: []byte("hush")}})
	for _, credential := range []string{"client_secret: hush", "client_secret: ${S}", "client_secret_file: f"} {
		c, err := parseConfig("c.yaml", fmt.Appendf(nil, "database: {url: \"${D}\"}\n"+oneTenant, credential), env, testNow)
		if err != nil {
			t.Fatal(err)
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			refuseSecret(t, verb, fmt.Sprintf(verb, *c))
			refuseSecret(t, verb, fmt.Sprintf(verb, c.Database.URL))
			refuseSecret(t, verb, fmt.Sprintf(verb, c.Tenants[0].Credential.ClientSecret))
		}
		encoded, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		refuseSecret(t, "json", string(encoded))
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "url", c.Database.URL, "secret", c.Tenants[0].Credential.ClientSecret)
		refuseSecret(t, "log", log.String())
	}
}

func refuseSecret(t *testing.T, how, text string) {
	t.Helper()
	if strings.Contains(text, "hush") || strings.Contains(text, fmt.Sprintf("%x", "hush")) {
		t.Errorf("%s prints the secret: %s", how, text)
	}
}

func TestExpand(t *testing.T) {
	env := fakeEnvironment(map[string]string{"A": "x", "EMPTY": "", "B": "${A}"}, fstest.MapFS{"f": {Data: []byte("line\n\n")}})
	for in, want := range map[string]string{
		"": "", "plain": "plain", "$A": "$A", "$": "$", "}": "}", "${A}": "x", "a${A}b${A}": "axbx", "${EMPTY}": "",
		"${EMPTY:-d}": "d", "${NONE:-d:-e}": "d:-e", "${NONE:-}": "", "${A:-d}": "x", "${file:f}": "line", "${B}": "${A}",
	} {
		if got, err := env.expand(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"${", "${A", "${}", "${NONE}", "${ A}", "${A:+x}", "${file:none}", "${A:-${B}}", "${9}"} {
		if got, err := env.expand(in); err == nil {
			t.Errorf("%q: got %q, want an error", in, got)
		}
	}
}

func TestDurationIsWrittenAsInTheFile(t *testing.T) {
	for text, want := range map[string]string{"30d": "30d", "36h": "36h", "90s": "1m30s", "2m": "2m", "24h": "1d", "1h30m": "1h30m", "5s": "5s"} {
		var d duration
		if err := d.setText(text); err != nil {
			t.Fatal(err)
		}
		if got := d.String(); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestShareIsNeverExceeded(t *testing.T) {
	for _, c := range []struct {
		share       string
		limit, want int
	}{{"100%", 50, 50}, {"50%", 45, 22}, {"29%", 100, 29}, {"1%", 1500, 15}, {"99.9%", 50, 49}, {"33%", 100, 33}} {
		var s share
		if err := s.setText(c.share); err != nil {
			t.Fatal(err)
		}
		if got := s.of(positive(c.limit)); got != c.want {
			t.Errorf("%s of %d: %d, want %d", c.share, c.limit, got, c.want)
		}
	}
}

func TestNearest(t *testing.T) {
	known := []string{"alerts", "api", "client_id", "client_secret", "incidents"}
	for word, want := range map[string]string{
		"alert": "alerts", "Alerts": "alerts", "incident": "incidents", "clientid": "client_id", "apu": "api",
		"hunting": "", "x": "", "": "", "client": "client_id",
	} {
		if got := nearest(word, known); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// Whatever the file holds, the decoder neither panics nor answers with
// anything but lines that begin with a place.
func FuzzParseConfig(f *testing.F) {
	f.Add(fmt.Sprintf(oneTenant, "client_secret: ${S}"))
	f.Add("tenants: &a [*a]\n<<: {x: 1}\n? [a]\n: b\n")
	f.Add("a: !!binary |\n  aGk=\n---\n...\n%YAML 1.2\n")
	f.Add("streams: {defaults: {schedule: \"TZ=UTC\", start: -0}}")
	env := fakeEnvironment(map[string]string{"S": "x"}, nil)
	line := regexp.MustCompile(`^c\.yaml:[0-9]+:[0-9]+: \S`)
	f.Fuzz(func(t *testing.T, content string) {
		c, err := parseConfig("c.yaml", []byte(content), env, testNow)
		if err == nil {
			if len(c.Tenants) == 0 {
				t.Error("accepted without a tenant")
			}
			return
		}
		var ps problems
		if !errors.As(err, &ps) {
			t.Fatalf("not a list of problems: %v", err)
		}
		for _, text := range strings.Split(err.Error(), "\n") {
			if !line.MatchString(text) {
				t.Errorf("line without a place: %q", text)
			}
		}
	})
}

// The schema and the structs are two accounts of the same file.
func TestSchemaHasTheKeysOfTheStructs(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(configSchema, &root); err != nil {
		t.Fatal(err)
	}
	compareKeys(t, root, root, reflect.TypeFor[config](), "")
}

// compareKeys walks a schema beside the type that it describes.
func compareKeys(t *testing.T, root, schema map[string]any, typ reflect.Type, path string) {
	t.Helper()
	if ref, ok := schema["$ref"].(string); ok && schema["properties"] == nil {
		schema = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
	}
	if typ.Kind() == reflect.Slice && typ.Elem().Kind() == reflect.Struct {
		compareKeys(t, root, schema["items"].(map[string]any), typ.Elem(), path+"[]")
		return
	}
	if typ.Kind() != reflect.Struct || isScalar(typ) {
		return
	}
	properties, _ := schema["properties"].(map[string]any)
	fields := fieldsOf(reflect.New(typ).Elem())
	for key := range properties {
		if _, ok := fields[key]; !ok {
			t.Errorf("%s.%s is in the schema and not in the structs", path, key)
		}
	}
	for key, field := range fields {
		sub, ok := properties[key].(map[string]any)
		if !ok {
			t.Errorf("%s.%s is in the structs and not in the schema", path, key)
			continue
		}
		compareKeys(t, root, sub, field.Type(), path+"."+key)
	}
}

func isScalar(typ reflect.Type) bool {
	v := reflect.New(typ).Interface()
	_, text := v.(textSetter)
	_, source := v.(sourceSetter)
	return text || source
}
