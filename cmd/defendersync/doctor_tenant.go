package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
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
	db     *database          // nil when it cannot be opened: calls then go unrecorded
	hosts  map[string]reading // those that were asked, for this tenant or another
	waits  io.Writer          // told of each wait for the limits

	client defender.Config
	clocks reading // of the host that told its time last
}

// reading is what two clocks said at once.
type reading struct{ server, ours time.Time }

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
	client, err := e.newClient(ctx, e.client, incidentCalls())
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
// count against the quota like any other's, where the database can record them,
// and beside those that a worker has made. A wait that the service asked a worker
// for holds here, too.
func (e *tenantExam) newClient(ctx context.Context, cfg defender.Config, f callFamily) (*defender.Client, error) {
	cfg.MaxWait, cfg.Timeout, cfg.HuntTimeout = reachTimeout, callTimeout, callTimeout
	if e.db == nil || e.db.requireCurrent(ctx, schemaAdvice) != nil {
		return defender.New(cfg)
	}
	e.count(ctx, &cfg, f)
	client, err := defender.New(cfg)
	if err != nil {
		return nil, err
	}
	// A database that cannot say so stops the first call, in count.
	_ = f.close(ctx, e.db.Store, cfg.TenantID, client)
	return client, nil
}

// count ties a client to the calls on record. Without them it may make none,
// because it could exceed the limits.
func (e *tenantExam) count(ctx context.Context, cfg *defender.Config, f callFamily) {
	record(cfg, e.db.Store, f)
	put := cfg.OnCall
	recent, err := f.recent(ctx, e.db.Store, cfg.TenantID)
	cfg.Seed = recent
	cfg.OnCall = func(ctx context.Context, at time.Time) error {
		failed := err
		if failed == nil {
			failed = put(ctx, at)
		}
		if failed != nil {
			return &recordError{failed}
		}
		return nil
	}
}

// recordError is the database's refusal to tell of calls or to record one.
type recordError struct{ error }

func (e *recordError) Unwrap() error { return e.error }

// errNoBudget means that no call could be sent in the time for it.
var errNoBudget = errors.New("the calls that limits allows are used up, as while a worker catches up; look again later")

// reach asks a base URL for anything at all: whatever answers has been resolved,
// connected to and trusted.
func (e *tenantExam) reach(ctx context.Context, base string) {
	host := hostOf(base)
	if told, ok := e.hosts[host]; ok {
		e.look(told)
		return
	}
	told := e.probe(ctx, base)
	e.hosts[host] = told
	e.look(told)
}

// look takes note of a host's clock, where it told one.
func (e *tenantExam) look(told reading) {
	if !told.server.IsZero() {
		e.clocks = told
	}
}

func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	return u.Scheme + "://" + u.Host
}

func (e *tenantExam) probe(ctx context.Context, base string) (told reading) {
	ctx, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, base+"/", nil)
	if err != nil {
		e.report.fail("reach", base, err, "correct endpoints in the configuration")
		return told
	}
	asked := time.Now()
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		e.report.fail("reach", base, networkCause(err), reachFix(err, base))
		return told
	}
	resp.Body.Close()
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		told = reading{server: at, ours: asked}
	}
	e.report.ok("reach", base, "answers in %s", time.Since(asked).Round(time.Millisecond))
	return told
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
	if e.clocks.server.IsZero() {
		e.report.skip("clock", name, "no service answered with its time")
		return
	}
	skew := e.clocks.ours.Sub(e.clocks.server).Round(time.Second)
	if skew.Abs() > worstSkew {
		e.report.fail("clock", name, fmt.Errorf("this machine's clock is off by %s", skew), "set the clock, by NTP or chrony")
		return
	}
	e.report.ok("clock", name, "within %s of the service's", (skew.Abs() + time.Second).String())
}

// callAll makes one call per stream. The streams of incidents and alerts share
// their limits, and those of advanced hunting theirs: where they leave none for
// one, nor do they for the next.
func (e *tenantExam) callAll(ctx context.Context, client *defender.Client) map[string]error {
	var lists, hunting []defsync.Stream
	for _, s := range e.cfg.streamsOf(e.tenant) {
		if s.Hunt != nil {
			hunting = append(hunting, s)
		} else {
			lists = append(lists, s)
		}
	}
	calls := make(map[string]error)
	now := time.Now()
	lister := caller{client, tellWaits(e.waits, defsync.QuotaFamily, callTimeout)}
	callEach(calls, lists, func(s defsync.Stream) error { return lister.list(ctx, s.Name, now) })
	if len(hunting) == 0 {
		return calls
	}
	hunter, err := e.newClient(ctx, e.tenant.hunterConfig(e.client, client), huntingCalls())
	callEach(calls, hunting, func(s defsync.Stream) error {
		if err != nil {
			return err
		}
		return caller{hunter, tellWaits(e.waits, defsync.HuntFamily, callTimeout)}.hunt(ctx, s.Hunt, now)
	})
	return calls
}

// callEach makes the calls of streams that share their limits.
func callEach(calls map[string]error, streams []defsync.Stream, one func(defsync.Stream) error) {
	var err error
	for _, s := range streams {
		if !errors.Is(err, errNoBudget) {
			err = one(s)
		}
		calls[s.Name] = err
	}
}

// caller makes calls as far as the limits let it.
type caller struct {
	*defender.Client
	waiting func(defender.Wait)
}

// list asks for one record of the last hour.
func (c caller) list(ctx context.Context, stream string, now time.Time) error {
	req := defender.Request{Since: now.Add(-time.Hour), Until: now, Top: 1, Attempts: 1}
	return c.inBudget(ctx, func(ctx context.Context) error {
		call := c.Incidents
		if stream == defsync.AlertsStream {
			call = c.Alerts
		}
		_, err := call(ctx, req)
		return err
	})
}

// inBudget makes one call. The error is errNoBudget where the limits never let
// it be sent.
func (c caller) inBudget(ctx context.Context, call func(context.Context) error) error {
	meter := defender.Meter{Waiting: c.waiting}
	ctx, cancel := context.WithTimeout(defender.ContextWithMeter(ctx, &meter), callTimeout)
	defer cancel()
	err := call(ctx)
	if errors.Is(err, context.DeadlineExceeded) && meter.Calls.Load() == 0 && meter.Throttled.Load() > int64(callTimeout/2) {
		return errNoBudget
	}
	return err
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
	detail, fix := tokenFix(err, name)
	e.report.fail("token", name, errors.New(detail), fix)
}

// tokenFix parts what a refusal is about from what to do about it.
func tokenFix(err error, tenant string) (detail, fix string) {
	detail = err.Error()
	refused, is := errors.AsType[*defender.TokenError](err)
	switch {
	case is && refused.Fix != "":
		return strings.Replace(detail, ": "+refused.Fix, "", 1), "tenant " + tenant + ": " + refused.Fix
	case is:
		return detail, "check tenant_id, client_id and credential of the tenant " + tenant + " by what the service says"
	}
	return detail, "make the token endpoint reachable and check tenant_id, client_id and credential"
}

// answered says whether an error is the API's own answer.
func answered(err error) bool {
	var permission *defender.PermissionError
	var status *defender.StatusError
	var throttled *defender.ThrottledError
	return errors.As(err, &permission) || errors.As(err, &status) || errors.As(err, &throttled) || huntAnswered(err)
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
	var unrecorded *recordError
	switch {
	case err == nil:
		e.report.ok("call", target, "answered")
	case errors.Is(err, errNoBudget):
		e.report.skip("call", target, err.Error())
	case errors.As(err, &unrecorded):
		e.report.fail("call", target, fmt.Errorf("not made, because the database cannot count it: %w", unrecorded.error),
			"let the role read and write the database: see the checks database and privileges")
	case errors.As(err, &permission):
		e.report.fail("call", target, err, e.grantFix(permission.Need))
	case errors.As(err, &token):
		e.report.skip("call", target, "there is no token")
	case huntAnswered(err):
		e.report.fail("call", target, err, huntFix(err))
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
