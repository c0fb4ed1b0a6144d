package web

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"time"

	defsync "defendersync/sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics is the handler of /metrics over a registry of its own.
func (h *handler) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(h.status.get, h.version, h.log))
	// All names begin alike: what is scraped of others on the machine is not mixed up with it.
	prometheus.WrapRegistererWithPrefix("defendersync_", registry).MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(h.log.Handler(), slog.LevelWarn)})
}

// collector turns the status into metrics at each scrape, so that what is
// scraped is what `status` says. While the status can't be read it says so by
// database_up 0 and leaves the rest out, rather than repeat old numbers.
type collector struct {
	status  func(context.Context) (defsync.Status, error)
	version string
	log     *slog.Logger
	descs   descriptions
}

// descriptions are the metrics by what they are about.
type descriptions struct {
	buildInfo, databaseUp *prometheus.Desc

	quotaLimit, quotaRemaining *prometheus.Desc // tenant, window

	huntingLimit, huntingRemaining, huntingBlocked *prometheus.Desc // tenant
	expiring                                       *prometheus.Desc // tenant, stream

	// tenant, stream
	lag, start, watermark, coverage, rows, gaps, gapSeconds, quarantine, stale, inPass, nextRun, passed *prometheus.Desc
	runStarted, runDuration, runCalls, runThrottled                                                     *prometheus.Desc

	runRows    *prometheus.Desc // tenant, stream, result
	runOutcome *prometheus.Desc // tenant, stream, outcome
	warning    *prometheus.Desc // tenant, stream, kind
}

func newCollector(status func(context.Context) (defsync.Status, error), version string, log *slog.Logger) *collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("defendersync_"+name, help, labels, nil)
	}
	stream := func(name, help string, more ...string) *prometheus.Desc {
		return desc(name, help, append([]string{"tenant", "stream"}, more...)...)
	}
	return &collector{status: status, version: version, log: log, descs: descriptions{
		buildInfo:      desc("build_info", "Always 1; the labels say what is running.", "version", "goversion"),
		databaseUp:     desc("database_up", "1 when the status could be read from the database."),
		quotaLimit:     desc("quota_limit", "Calls for incidents and alerts that the worker allows itself in a window.", "tenant", "window"),
		quotaRemaining: desc("quota_remaining", "Calls for incidents and alerts that are left in the current window.", "tenant", "window"),

		huntingLimit:     desc("hunting_quota_limit", "Hunting queries that the worker allows itself in a minute.", "tenant"),
		huntingRemaining: desc("hunting_quota_remaining", "Hunting queries that are left in the current minute.", "tenant"),
		huntingBlocked:   desc("hunting_blocked_until_timestamp_seconds", "No hunting query before this, because the service said so.", "tenant"),
		expiring:         stream("hunting_expiring_hours", "Hours that were not read yet and that the service keeps for three days more at most."),

		lag:          stream("stream_lag_seconds", "Time from the watermark to now."),
		start:        stream("stream_start_timestamp_seconds", "Where the stream begins."),
		watermark:    stream("stream_watermark_timestamp_seconds", "Everything from the start to here is stored or listed as a gap."),
		coverage:     stream("stream_coverage_ratio", "Part of the time between start and watermark that is complete."),
		rows:         stream("stream_rows", "Incidents or alerts of the tenant in the database."),
		gaps:         stream("stream_gaps", "Ranges in sync.gaps."),
		gapSeconds:   stream("stream_gap_seconds", "Length of the ranges in sync.gaps together."),
		quarantine:   stream("stream_quarantine_records", "Records in sync.quarantine."),
		stale:        stream("stream_stale", "1 when no pass has ended for three firings of the schedule."),
		inPass:       stream("stream_in_pass", "1 while a pass is under way or waits to be resumed."),
		nextRun:      stream("stream_next_run_timestamp_seconds", "When the schedule fires next."),
		passed:       stream("stream_last_pass_timestamp_seconds", "Start of the last pass that ended."),
		warning:      stream("stream_warning", "1 while something looks wrong although nothing failed: see warnings in the status.", "kind"),
		runStarted:   stream("last_run_start_timestamp_seconds", "Start of the last pass."),
		runDuration:  stream("last_run_duration_seconds", "Duration of the last pass, once it has ended."),
		runCalls:     stream("last_run_calls", "Calls that the last pass made."),
		runThrottled: stream("last_run_throttled_seconds", "Time that the last pass waited for the service's limits."),
		runRows:      stream("last_run_rows", "Records of the last pass by what became of them.", "result"),
		runOutcome:   stream("last_run_outcome", "1 for the outcome of the last pass, 0 for the others.", "outcome"),
	}}
}

// Describe implements [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	d := c.descs
	for _, desc := range []*prometheus.Desc{d.buildInfo, d.databaseUp, d.quotaLimit, d.quotaRemaining,
		d.lag, d.start, d.watermark, d.coverage, d.rows, d.gaps, d.gapSeconds, d.quarantine, d.stale, d.inPass, d.nextRun, d.passed, d.warning,
		d.huntingLimit, d.huntingRemaining, d.huntingBlocked, d.expiring,
		d.runStarted, d.runDuration, d.runCalls, d.runThrottled, d.runRows, d.runOutcome} {
		to <- desc
	}
}

// Collect implements [prometheus.Collector]. It is handed no context: the
// status's own time-out bounds it.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	gauge(to, c.descs.buildInfo, 1, c.version, runtime.Version())
	status, err := c.status(context.Background())
	if err != nil {
		c.log.Warn("the status could not be read for /metrics", "err", err)
	}
	gauge(to, c.descs.databaseUp, number(err == nil))
	if err != nil {
		return
	}
	for _, t := range status.Tenants {
		c.collectQuota(to, t)
		for _, s := range t.Streams {
			c.collectStream(to, s, t.Name, s.Stream)
			if s.LastRun != nil {
				c.collectRun(to, s.LastRun, t.Name, s.Stream)
			}
		}
	}
}

func (c *collector) collectQuota(to chan<- prometheus.Metric, t defsync.TenantStatus) {
	gauge(to, c.descs.quotaLimit, float64(t.Quota.PerMinute), t.Name, "minute")
	gauge(to, c.descs.quotaLimit, float64(t.Quota.PerHour), t.Name, "hour")
	gauge(to, c.descs.quotaRemaining, float64(t.Quota.RemainingMinute), t.Name, "minute")
	gauge(to, c.descs.quotaRemaining, float64(t.Quota.RemainingHour), t.Name, "hour")
	if t.Hunting != nil {
		gauge(to, c.descs.huntingLimit, float64(t.Hunting.PerMinute), t.Name)
		gauge(to, c.descs.huntingRemaining, float64(t.Hunting.RemainingMinute), t.Name)
		instant(to, c.descs.huntingBlocked, t.Hunting.BlockedUntil, t.Name)
	}
}

func (c *collector) collectStream(to chan<- prometheus.Metric, s defsync.StreamStatus, labels ...string) {
	if s.LagSeconds != nil {
		gauge(to, c.descs.lag, *s.LagSeconds, labels...)
	}
	if s.CoveragePercent != nil {
		gauge(to, c.descs.coverage, *s.CoveragePercent/100, labels...)
	}
	if s.Mode == string(defsync.ModeEvents) {
		gauge(to, c.descs.expiring, s.ExpiringHours, labels...)
	}
	instant(to, c.descs.start, s.Start, labels...)
	instant(to, c.descs.watermark, s.Watermark, labels...)
	instant(to, c.descs.nextRun, s.NextRun, labels...)
	instant(to, c.descs.passed, s.PassedAt, labels...)
	for _, kind := range defsync.WarningKinds() {
		warned := slices.ContainsFunc(s.Warnings, func(w defsync.Warning) bool { return w.Kind == kind })
		gauge(to, c.descs.warning, number(warned), append(slices.Clone(labels), string(kind))...)
	}
	gaps := 0.0
	for _, g := range s.Gaps {
		gaps += g.To.Sub(g.From).Seconds()
	}
	gauge(to, c.descs.gaps, float64(len(s.Gaps)), labels...)
	gauge(to, c.descs.gapSeconds, gaps, labels...)
	gauge(to, c.descs.quarantine, float64(s.Quarantine), labels...)
	gauge(to, c.descs.stale, number(s.Stale), labels...)
	gauge(to, c.descs.inPass, number(s.InPass), labels...)
	gauge(to, c.descs.rows, float64(s.Rows), labels...)
}

func (c *collector) collectRun(to chan<- prometheus.Metric, r *defsync.RunStatus, tenant, stream string) {
	instant(to, c.descs.runStarted, &r.StartedAt, tenant, stream)
	if r.FinishedAt != nil {
		gauge(to, c.descs.runDuration, r.FinishedAt.Sub(r.StartedAt).Seconds(), tenant, stream)
	}
	gauge(to, c.descs.runCalls, float64(r.Calls), tenant, stream)
	gauge(to, c.descs.runThrottled, r.ThrottledSeconds, tenant, stream)
	for result, n := range map[string]int64{"read": r.RowsRead, "inserted": r.RowsInserted, "updated": r.RowsUpdated, "unchanged": r.RowsUnchanged} {
		gauge(to, c.descs.runRows, float64(n), tenant, stream, result)
	}
	for _, o := range []defsync.Outcome{outcomeRunning, defsync.OutcomeOK, defsync.OutcomePartial, defsync.OutcomeFailed, defsync.OutcomeInterrupted} {
		gauge(to, c.descs.runOutcome, number(r.Outcome == string(o)), tenant, stream, string(o))
	}
}

// outcomeRunning is what sync.runs says of a pass that has not ended.
const outcomeRunning defsync.Outcome = "running"

func gauge(to chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// instant sends a time as seconds since 1970, and nothing for a time that is not known.
func instant(to chan<- prometheus.Metric, d *prometheus.Desc, t *time.Time, labels ...string) {
	if t != nil {
		gauge(to, d, float64(t.UnixMicro())/1e6, labels...)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
