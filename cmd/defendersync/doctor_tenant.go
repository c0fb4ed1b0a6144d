package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
)

// Bounds on what the doctor waits for and puts up with.
const (
	reachTimeout = 10 * time.Second
	callTimeout  = 45 * time.Second
	worstSkew    = 2 * time.Minute
)

// tenantExam checks one tenant from the network up.
type tenantExam struct {
	cfg    *config
	tenant tenantConfig
	report *report
	log    *slog.Logger
	db     *database // nil when it cannot be opened: calls then go unrecorded

	client defender.Config
	server time.Time // what the API's clock said
	asked  time.Time // when it was asked, by ours
}

func (e *tenantExam) run(ctx context.Context) {
	name := string(e.tenant.Name)
	var err error
	if e.client, err = e.tenant.clientConfig(e.log); err != nil {
		e.report.fail("config", name, err, "correct the tenant in the configuration")
		return
	}
	e.reach(ctx, e.client.Login)
	e.reach(ctx, e.client.BaseURL)
	e.clock()
	client, err := e.newClient(ctx)
	if err != nil {
		e.report.fail("token", name, err, "correct the tenant in the configuration")
		return
	}
	roles, rolesErr := client.Roles(ctx)
	calls := e.callAll(ctx, client)
	e.token(rolesErr, calls)
	for _, s := range e.cfg.streamsOf(e.tenant) {
		e.roles(s.Name, roles, rolesErr)
	}
	for _, s := range e.cfg.streamsOf(e.tenant) {
		e.call(s.Name, calls[s.Name])
	}
}

// newClient makes a client that tries once and sits out no long wait. Its calls
// count against the quota like any other's, where the database can record them.
func (e *tenantExam) newClient(ctx context.Context) (*defender.Client, error) {
	cfg := e.client
	cfg.MaxWait, cfg.Timeout = reachTimeout, callTimeout
	if e.db != nil && e.db.requireCurrent(ctx, schemaAdvice) == nil {
		record(&cfg, e.db.Store)
	}
	return defender.New(cfg)
}

// reach asks a base URL for anything at all: whatever answers has been resolved,
// connected to and trusted.
func (e *tenantExam) reach(ctx context.Context, base string) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, base+"/", nil)
	if err != nil {
		e.report.fail("reach", base, err, "correct endpoints in the configuration")
		return
	}
	asked := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		e.report.fail("reach", base, networkCause(err), reachFix(err, base))
		return
	}
	resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		e.server, e.asked = at, asked
	}
	e.report.ok("reach", base, "answers in %s", time.Since(asked).Round(time.Millisecond))
}

func reachFix(err error, base string) string {
	host := base
	if u, perr := url.Parse(base); perr == nil {
		host = u.Hostname()
	}
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("make %s resolvable from here, or correct cloud or endpoints in the configuration", host)
	case errors.As(err, &cert):
		return "trust the certificate's issuer (SSL_CERT_FILE, where a proxy re-signs traffic), or correct endpoints in the configuration"
	}
	return fmt.Sprintf("allow outbound HTTPS to %s, or set HTTPS_PROXY", host)
}

// clock compares our time with the service's, as its Date header has it.
func (e *tenantExam) clock() {
	name := string(e.tenant.Name)
	if e.server.IsZero() {
		e.report.skip("clock", name, "no service answered with its time")
		return
	}
	skew := e.asked.Sub(e.server).Round(time.Second)
	if skew.Abs() > worstSkew {
		e.report.fail("clock", name, fmt.Errorf("this machine's clock is off by %s", skew), "set the clock, by NTP or chrony")
		return
	}
	e.report.ok("clock", name, "within %s of the service's", (skew.Abs() + time.Second).String())
}

// callAll makes one call per stream, for one record of the last hour.
func (e *tenantExam) callAll(ctx context.Context, client *defender.Client) map[string]error {
	calls := make(map[string]error)
	now := time.Now()
	req := defender.Request{Since: now.Add(-time.Hour), Until: now, Top: 1, Attempts: 1}
	for _, s := range e.cfg.streamsOf(e.tenant) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		var err error
		if s.Name == defsync.AlertsStream {
			_, err = client.Alerts(ctx, req)
		} else {
			_, err = client.Incidents(ctx, req)
		}
		cancel()
		calls[s.Name] = err
	}
	return calls
}

// token tells whether there is one. A token that cannot be read for its roles
// is as good as another when the API has answered to it.
func (e *tenantExam) token(err error, calls map[string]error) {
	name := string(e.tenant.Name)
	if err == nil {
		e.report.ok("token", name, "granted for %s", e.client.Audience)
		return
	}
	for _, call := range calls {
		if call == nil || answered(call) {
			e.report.ok("token", name, "granted for %s, opaque", e.client.Audience)
			return
		}
	}
	e.report.fail("token", name, err, tokenFix(err))
}

func tokenFix(err error) string {
	var refused *defender.TokenError
	if errors.As(err, &refused) && refused.Advice != "" {
		return refused.Advice
	}
	return "make the token endpoint reachable and check tenant_id, client_id and credential"
}

// answered says whether an error is the API's own answer.
func answered(err error) bool {
	var permission *defender.PermissionError
	var status *defender.StatusError
	var throttled *defender.ThrottledError
	return errors.As(err, &permission) || errors.As(err, &status) || errors.As(err, &throttled)
}

// roles compares what the token lists with what the stream needs.
func (e *tenantExam) roles(stream string, have []string, err error) {
	target := string(e.tenant.Name) + "/" + stream
	need := defender.Permissions(e.client.Dialect, stream)
	if err != nil {
		e.report.skip("roles", target, "the token's roles cannot be read")
		return
	}
	for _, role := range need {
		if slices.Contains(have, role) {
			e.report.ok("roles", target, "%s", role)
			return
		}
	}
	e.report.fail("roles", target, fmt.Errorf("the token has none of %s (it has: %s)", strings.Join(need, ", "), orNone(have)), e.grantFix(need))
}

// call tells what came of the stream's call.
func (e *tenantExam) call(stream string, err error) {
	target := string(e.tenant.Name) + "/" + stream
	var permission *defender.PermissionError
	var token *defender.TokenError
	switch {
	case err == nil:
		e.report.ok("call", target, "answered")
	case errors.As(err, &permission):
		e.report.fail("call", target, err, e.grantFix(permission.Need))
	case errors.As(err, &token):
		e.report.skip("call", target, "there is no token")
	case answered(err):
		e.report.fail("call", target, err, "see the service's message; if it passes, try again")
	default:
		e.report.fail("call", target, err, reachFix(err, e.client.BaseURL))
	}
}

// grantFix says which permission to grant and where to consent to it.
func (e *tenantExam) grantFix(need []string) string {
	api := "Microsoft Graph"
	if e.client.Dialect == defender.Older {
		api = "Microsoft Threat Protection"
	}
	link, err := consentURL(e.tenant)
	if err != nil {
		link = "`defendersync consent-url`"
	}
	least := need[0]
	return fmt.Sprintf("grant the app %s the application permission %s of %s, then admin consent: %s", e.client.ClientID, least, api, link)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
