package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"defendersync/migrations"
	"defendersync/store"
	"defendersync/store/storetest"
	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

func newExam(t *testing.T) *tenantExam {
	t.Helper()
	c := parseText(t, twoTenants)
	log := slog.New(slog.DiscardHandler)
	e := &tenantExam{cfg: c, tenant: c.Tenants[1], report: &report{}, log: log, hosts: make(map[string]reading), waits: new(strings.Builder)}
	var err error
	if e.client, err = e.tenant.clientConfig(log); err != nil {
		t.Fatal(err)
	}
	return e
}

// only is the one finding of an exam.
func only(t *testing.T, e *tenantExam) finding {
	t.Helper()
	if len(e.report.Checks) != 1 {
		t.Fatalf("%d findings, want 1: %+v", len(e.report.Checks), e.report.Checks)
	}
	return e.report.Checks[0]
}

func TestDoctorNamesTheFixOfWhatCannotBeReached(t *testing.T) {
	const base = "https://graph.microsoft.com"
	for want, err := range map[string]error{
		"make graph.microsoft.com resolvable":             &net.DNSError{Err: "no such host", Name: "graph.microsoft.com"},
		"trust the certificate's issuer":                  &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}},
		"allow outbound HTTPS to graph.microsoft.com, or": &net.OpError{Op: "dial", Err: errors.New("refused")},
	} {
		if got := reachFix(fmt.Errorf("send: %w", err), base); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", err, got, want)
		}
	}
}

func TestDoctorDoesNotTrustAnUnknownCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo)
	e := newExam(t)
	e.reach(t.Context(), server.URL)
	if f := only(t, e); f.Status != findingFailed || !strings.Contains(f.Fix, "trust the certificate") {
		t.Errorf("%+v", f)
	}
}

func TestDoctorComparesClocks(t *testing.T) {
	for skew, want := range map[time.Duration]string{
		0: findingOK, time.Minute: findingOK, -time.Minute: findingOK, 10 * time.Minute: findingFailed, -10 * time.Minute: findingFailed,
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(-skew).UTC().Format(http.TimeFormat))
		}))
		e := newExam(t)
		e.reach(t.Context(), server.URL)
		e.clock()
		server.Close()
		if f := e.report.Checks[1]; f.Check != "clock" || f.Status != want {
			t.Errorf("skew %s: %+v, want %s", skew, f, want)
		}
	}
	e := newExam(t)
	e.clock()
	if f := only(t, e); f.Status != findingSkipped {
		t.Errorf("with no answer: %+v", f)
	}
}

func TestDoctorComparesRoles(t *testing.T) {
	e := newExam(t)
	e.roles("incidents", []string{"Alert.Read.All", "Incident.ReadWrite.All"}, nil)
	if f := only(t, e); f.Status != findingOK || f.Detail != "Incident.ReadWrite.All" {
		t.Errorf("%+v", f)
	}
	e = newExam(t)
	e.roles("incidents", nil, nil)
	f := only(t, e)
	if f.Status != findingFailed || !strings.Contains(f.Detail, "(it has: none)") {
		t.Errorf("%+v", f)
	}
	for _, part := range []string{"bbbbbbbb-2222-3333-4444-555555555555", "Incident.Read.All of Microsoft Threat Protection", "/adminconsent?client_id="} {
		if !strings.Contains(f.Fix, part) {
			t.Errorf("the fix %q lacks %q", f.Fix, part)
		}
	}
}

// A token that cannot be read is as good as another when the API answered to it.
func TestDoctorTellsAnOpaqueTokenFromNone(t *testing.T) {
	opaque := errors.New("token is opaque")
	refused := &defender.TokenError{Code: 7000222, Advice: "it is old: make a new secret", Fix: "make a new secret"}
	for _, c := range []struct {
		err    error
		call   error
		status string
		fix    string
	}{
		{nil, nil, findingOK, ""},
		{opaque, nil, findingOK, ""},
		{opaque, &defender.PermissionError{Need: []string{"x"}}, findingOK, ""},
		{fmt.Errorf("get it: %w", refused), refused, findingFailed, "tenant two: make a new secret"},
		{&defender.TokenError{Code: 1, Advice: "Odd: very."}, errors.New("no token"), findingFailed, "check tenant_id, client_id and credential of the tenant two by what the service says"},
		{errors.New("no route"), errors.New("no route"), findingFailed, "make the token endpoint reachable"},
	} {
		e := newExam(t)
		e.token(c.err, map[string]error{"incidents": c.call})
		if f := only(t, e); f.Status != c.status || !strings.Contains(f.Fix, c.fix) || strings.Contains(f.Detail, "make a new secret") {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}

func TestDoctorTellsWhyACallFailed(t *testing.T) {
	for _, c := range []struct {
		err    error
		status string
		fix    string
	}{
		{nil, findingOK, ""},
		{&defender.PermissionError{Need: []string{"Incident.Read.All"}}, findingFailed, "Incident.Read.All"},
		{&defender.TokenError{}, findingSkipped, ""},
		{&defender.StatusError{Status: 500}, findingFailed, "try again"},
		{&net.DNSError{Err: "no such host"}, findingFailed, "resolvable"},
		{fmt.Errorf("record the call: %w", &recordError{errors.New("permission denied")}), findingFailed, "let the role read and write the database"},
		{errNoBudget, findingSkipped, ""},
	} {
		e := newExam(t)
		e.call("incidents", c.err)
		if f := only(t, e); f.Status != c.status || !strings.Contains(f.Fix, c.fix) || strings.Contains(f.Detail, "make a new secret") {
			t.Errorf("%v: %+v", c.err, f)
		}
	}
}

// The names of the report are a contract with scripts.
func TestReportIsStable(t *testing.T) {
	r := &report{}
	r.ok("config", "c.yaml", "%s", counted(1, "tenant"))
	r.fail("token", "contoso", errors.New("a\nb"), "do this")
	r.skip("call", "contoso/alerts", "no token")
	got, err := json.Marshal(r)
	const want = `{"ok":false,"checks":[` +
		`{"check":"config","target":"c.yaml","status":"ok","detail":"1 tenant"},` +
		`{"check":"token","target":"contoso","status":"failed","detail":"a; b","fix":"do this"},` +
		`{"check":"call","target":"contoso/alerts","status":"skipped","detail":"no token"}]}`
	if string(got) != want || err != nil {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	var b strings.Builder
	if err := printFixes(&b, look{}, r); err != nil || b.String() != "\ntoken contoso: a; b\n  fix: do this\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

// One thing to do is told once, and a check without a target has no gap before its colon.
func TestFixesAreToldOnce(t *testing.T) {
	r := &report{}
	r.fail("roles", "contoso/incidents", errors.New("none"), "grant it")
	r.fail("database", "", errors.New("gone"), "start it")
	r.fail("call", "contoso/incidents", errors.New("refused"), "grant it")
	var b strings.Builder
	const want = "\nroles contoso/incidents: none\ncall contoso/incidents: refused\n  fix: grant it\n" +
		"\ndatabase: gone\n  fix: start it\n"
	if err := printFixes(&b, look{}, r); err != nil || b.String() != want {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestDoctorAsksAHostOnce(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	e := newExam(t)
	e.reach(t.Context(), server.URL+"/login")
	next := newExam(t)
	next.hosts, next.report = e.hosts, e.report
	next.reach(t.Context(), server.URL+"/graph")
	if only(t, e); asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if next.clocks.server.IsZero() {
		t.Error("what the host's clock said is lost to the second tenant")
	}
}

// silent is a service that grants a token and counts the calls it gets.
type silent struct{ calls int }

func (s *silent) RoundTrip(req *http.Request) (*http.Response, error) {
	body := `{"access_token":"x","expires_in":3600,"token_type":"Bearer"}`
	if req.Method == http.MethodGet {
		s.calls++
		body = `{"value":[]}`
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// A used-up minute is waited for, but not for long, and is no fault of the network.
func TestDoctorKeepsWithinTheLimits(t *testing.T) {
	for ago, want := range map[time.Duration]error{10 * time.Second: errNoBudget, 50 * time.Second: nil} {
		synctest.Test(t, func(t *testing.T) {
			service := new(silent)
			e := newExam(t)
			cfg := e.client
			cfg.Transport, cfg.Limits.PerMinute, cfg.Limits.PerHour = service, 2, 1500
			cfg.Seed = []time.Time{time.Now().Add(-ago), time.Now().Add(-ago)}
			client, err := defender.New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			calls := e.callAll(t.Context(), client)
			told := map[error]string{nil: "waiting 12s for the incidents quota (2/min)\n", errNoBudget: "waiting up to 45s for the incidents quota (2/min)\n"}
			if got := e.waits.(*strings.Builder).String(); got != told[want] {
				t.Errorf("told %q of the wait, want %q", got, told[want])
			}
			if waited := time.Since(began); waited > callTimeout {
				t.Errorf("waited %s", waited)
			}
			for stream, err := range calls {
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", stream, err, want)
				}
			}
			if made := service.calls > 0; made != (want == nil) || len(calls) == 0 {
				t.Errorf("%d calls sent for %d streams", service.calls, len(calls))
			}
		})
	}
}

// The writer of docs/roles.md, which is not to migrate, lacks nothing; it would, if
// it had to.
func TestDoctorAsksForWhatTheWorkerNeeds(t *testing.T) {
	info := store.DatabaseInfo{Role: "w", MissingToMigrate: []string{"GRANT m TO w"}, SchemaOwner: "m"}
	for auto, want := range map[bool]finding{
		false: {"privileges", "w", findingOK, "may read and write; an operator migrates", ""},
		true:  {"privileges", "w", findingFailed, "the role lacks privileges", "as the owner run: GRANT m TO w"},
	} {
		e := newExam(t)
		e.cfg.Database.AutoMigrate = auto
		examinePrivileges(e.report, e.cfg, info)
		if f := only(t, e); f != want {
			t.Errorf("auto_migrate %t: %+v, want %+v", auto, f, want)
		}
	}
}

// What a worker has called counts, and where that cannot be told nothing is called.
func TestDoctorCountsWhatIsOnRecord(t *testing.T) {
	ctx, e := t.Context(), newExam(t)
	e.db = &database{Store: storetest.New(t)}
	now := time.Now()
	for _, ago := range []time.Duration{0, 0, time.Minute, 2 * time.Hour} {
		if err := e.db.RecordCall(ctx, e.client.TenantID, defsync.QuotaFamily, now.Add(-ago)); err != nil {
			t.Fatal(err)
		}
	}
	cfg := e.client
	e.count(ctx, &cfg, incidentCalls())
	if err := cfg.OnCall(ctx, now); err != nil || len(cfg.Seed) != 3 {
		t.Errorf("%d calls known, want the 3 of the last hour; %v", len(cfg.Seed), err)
	}
	if _, err := e.db.Pool().Exec(ctx, "DROP TABLE sync.quota"); err != nil {
		t.Fatal(err)
	}
	blind := e.client
	e.count(ctx, &blind, incidentCalls())
	for name, onCall := range map[string]func(context.Context, time.Time) error{"unread": blind.OnCall, "unwritten": cfg.OnCall} {
		var unrecorded *recordError
		if err := onCall(ctx, now); !errors.As(err, &unrecorded) {
			t.Errorf("%s: error %v, want a recordError", name, err)
		}
	}
}

// The number that is pending at first is the one that is applied later: those of
// hunting tables are apart.
func TestDoctorCountsMigrations(t *testing.T) {
	at := time.Unix(1, 0)
	done, table, left := migrations.Migration{AppliedAt: at}, migrations.Migration{Table: "a", AppliedAt: at}, migrations.Migration{Table: "b"}
	for want, all := range map[string][]migrations.Migration{
		"2 applied":      {done, done},
		"1 of 2 pending": {done, {}},
		"1 applied, and of hunting tables 2 applied":      {done, table, table},
		"1 applied, and of hunting tables 1 of 2 pending": {done, table, left},
	} {
		if got := countPending(all, map[string]string{"b": "hunting/b"}).String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
