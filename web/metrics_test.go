package web

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"testing"

	defsync "defendersync/sync"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestMetricNamesAreGood(t *testing.T) {
	c := newCollector(steady(sample()), "v1", slog.New(slog.DiscardHandler))
	problems, err := testutil.CollectAndLint(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsSayWhatTheStatusSays(t *testing.T) {
	want := fmt.Sprintf(`
# HELP defendersync_build_info Always 1; the labels say what is running.
# TYPE defendersync_build_info gauge
defendersync_build_info{goversion=%q,version="v1"} 1
# HELP defendersync_database_up 1 when the status could be read from the database.
# TYPE defendersync_database_up gauge
defendersync_database_up 1
# HELP defendersync_last_run_calls Calls that the last pass made.
# TYPE defendersync_last_run_calls gauge
defendersync_last_run_calls{stream="incidents",tenant="contoso"} 7
# HELP defendersync_last_run_duration_seconds Duration of the last pass, once it has ended.
# TYPE defendersync_last_run_duration_seconds gauge
defendersync_last_run_duration_seconds{stream="incidents",tenant="contoso"} 60
# HELP defendersync_last_run_outcome 1 for the outcome of the last pass, 0 for the others.
# TYPE defendersync_last_run_outcome gauge
defendersync_last_run_outcome{outcome="ok",stream="incidents",tenant="contoso"} 0
defendersync_last_run_outcome{outcome="failed",stream="incidents",tenant="contoso"} 0
defendersync_last_run_outcome{outcome="partial",stream="incidents",tenant="contoso"} 1
defendersync_last_run_outcome{outcome="interrupted",stream="incidents",tenant="contoso"} 0
defendersync_last_run_outcome{outcome="running",stream="incidents",tenant="contoso"} 0
# HELP defendersync_last_run_rows Records of the last pass by what became of them.
# TYPE defendersync_last_run_rows gauge
defendersync_last_run_rows{result="inserted",stream="incidents",tenant="contoso"} 3
defendersync_last_run_rows{result="read",stream="incidents",tenant="contoso"} 40
defendersync_last_run_rows{result="unchanged",stream="incidents",tenant="contoso"} 32
defendersync_last_run_rows{result="updated",stream="incidents",tenant="contoso"} 5
# HELP defendersync_last_run_start_timestamp_seconds Start of the last pass.
# TYPE defendersync_last_run_start_timestamp_seconds gauge
defendersync_last_run_start_timestamp_seconds{stream="incidents",tenant="contoso"} 1.79517576e+09
# HELP defendersync_last_run_throttled_seconds Time that the last pass waited for the service's limits.
# TYPE defendersync_last_run_throttled_seconds gauge
defendersync_last_run_throttled_seconds{stream="incidents",tenant="contoso"} 1.5
# HELP defendersync_quota_limit Calls for incidents and alerts that the worker allows itself in a window.
# TYPE defendersync_quota_limit gauge
defendersync_quota_limit{tenant="contoso",window="hour"} 1500
defendersync_quota_limit{tenant="contoso",window="minute"} 50
# HELP defendersync_quota_remaining Calls for incidents and alerts that are left in the current window.
# TYPE defendersync_quota_remaining gauge
defendersync_quota_remaining{tenant="contoso",window="hour"} 1200
defendersync_quota_remaining{tenant="contoso",window="minute"} 47
# HELP defendersync_stream_coverage_ratio Part of the time between start and watermark that is complete.
# TYPE defendersync_stream_coverage_ratio gauge
defendersync_stream_coverage_ratio{stream="incidents",tenant="contoso"} 0.995
# HELP defendersync_stream_gap_seconds Length of the ranges in sync.gaps together.
# TYPE defendersync_stream_gap_seconds gauge
defendersync_stream_gap_seconds{stream="alerts",tenant="contoso"} 0
defendersync_stream_gap_seconds{stream="incidents",tenant="contoso"} 1800
# HELP defendersync_stream_gaps Ranges in sync.gaps.
# TYPE defendersync_stream_gaps gauge
defendersync_stream_gaps{stream="alerts",tenant="contoso"} 0
defendersync_stream_gaps{stream="incidents",tenant="contoso"} 1
# HELP defendersync_stream_in_pass 1 while a pass is under way or waits to be resumed.
# TYPE defendersync_stream_in_pass gauge
defendersync_stream_in_pass{stream="alerts",tenant="contoso"} 0
defendersync_stream_in_pass{stream="incidents",tenant="contoso"} 1
# HELP defendersync_stream_last_pass_timestamp_seconds Start of the last pass that ended.
# TYPE defendersync_stream_last_pass_timestamp_seconds gauge
defendersync_stream_last_pass_timestamp_seconds{stream="incidents",tenant="contoso"} 1.79517576e+09
# HELP defendersync_stream_warning 1 while something looks wrong although nothing failed: see warnings in the status.
# TYPE defendersync_stream_warning gauge
defendersync_stream_warning{kind="expiring",stream="alerts",tenant="contoso"} 0
defendersync_stream_warning{kind="expiring",stream="incidents",tenant="contoso"} 1
defendersync_stream_warning{kind="run",stream="alerts",tenant="contoso"} 0
defendersync_stream_warning{kind="run",stream="incidents",tenant="contoso"} 0
defendersync_stream_warning{kind="silence",stream="alerts",tenant="contoso"} 0
defendersync_stream_warning{kind="silence",stream="incidents",tenant="contoso"} 0
defendersync_stream_warning{kind="volume",stream="alerts",tenant="contoso"} 0
defendersync_stream_warning{kind="volume",stream="incidents",tenant="contoso"} 1
# HELP defendersync_stream_lag_seconds Time from the watermark to now.
# TYPE defendersync_stream_lag_seconds gauge
defendersync_stream_lag_seconds{stream="incidents",tenant="contoso"} 150
# HELP defendersync_stream_next_run_timestamp_seconds When the schedule fires next.
# TYPE defendersync_stream_next_run_timestamp_seconds gauge
defendersync_stream_next_run_timestamp_seconds{stream="incidents",tenant="contoso"} 1.79517606e+09
# HELP defendersync_stream_quarantine_records Records in sync.quarantine.
# TYPE defendersync_stream_quarantine_records gauge
defendersync_stream_quarantine_records{stream="alerts",tenant="contoso"} 0
defendersync_stream_quarantine_records{stream="incidents",tenant="contoso"} 2
# HELP defendersync_stream_rows Incidents or alerts of the tenant in the database.
# TYPE defendersync_stream_rows gauge
defendersync_stream_rows{stream="alerts",tenant="contoso"} 0
defendersync_stream_rows{stream="incidents",tenant="contoso"} 321
# HELP defendersync_stream_stale 1 when no pass has ended for three firings of the schedule.
# TYPE defendersync_stream_stale gauge
defendersync_stream_stale{stream="alerts",tenant="contoso"} 0
defendersync_stream_stale{stream="incidents",tenant="contoso"} 0
# HELP defendersync_stream_start_timestamp_seconds Where the stream begins.
# TYPE defendersync_stream_start_timestamp_seconds gauge
defendersync_stream_start_timestamp_seconds{stream="incidents",tenant="contoso"} 1.794816e+09
# HELP defendersync_stream_watermark_timestamp_seconds Everything from the start to here is stored or listed as a gap.
# TYPE defendersync_stream_watermark_timestamp_seconds gauge
defendersync_stream_watermark_timestamp_seconds{stream="incidents",tenant="contoso"} 1.79517585e+09
`, runtime.Version())
	c := newCollector(steady(sample()), "v1", slog.New(slog.DiscardHandler))
	if err := testutil.CollectAndCompare(c, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}

func TestMetricsOfAnUnreadableStatus(t *testing.T) {
	_, body := ask(t, NewHandler(Config{Status: broken, Version: "v1"}), "GET", "/metrics")
	if !strings.Contains(body, "\ndefendersync_database_up 0\n") || strings.Contains(body, "defendersync_stream") {
		t.Errorf("scraped:\n%s", body)
	}
}

func TestScrapeParses(t *testing.T) {
	r, body := ask(t, NewHandler(Config{Status: steady(sample()), Version: "v1"}), "GET", "/metrics")
	wantCode(t, r, 200)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name := range families {
		if !strings.HasPrefix(name, "defendersync_") {
			t.Errorf("%s does not begin with defendersync_", name)
		}
	}
	for _, name := range []string{"defendersync_build_info", "defendersync_stream_lag_seconds", "defendersync_go_goroutines"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestHandlersDoNotShareRegistries makes two: with a global registry the second would panic.
func TestHandlersDoNotShareRegistries(t *testing.T) {
	for range 2 {
		_, body := ask(t, NewHandler(Config{Status: steady(defsync.Status{}), Version: "v1"}), "GET", "/metrics")
		if !strings.Contains(body, "defendersync_database_up 1") {
			t.Error(errors.New(body))
		}
	}
}
