package main

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

var update = flag.Bool("update", false, "write the dashboards instead of comparing with them")

// TestDashboards compares what is committed with what is written here.
func TestDashboards(t *testing.T) {
	if *update {
		if err := writeAll(); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{}
	for _, d := range dashboards() {
		text, err := render(d)
		if err != nil {
			t.Fatal(err)
		}
		want[file(d)] = true
		if have, err := os.ReadFile(file(d)); err != nil || string(have) != string(text) {
			t.Errorf("%s is not what is written here (%v): run make dashboards", file(d), err)
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil || len(files) != len(want) {
		t.Errorf("%q are in the folder, want %d: %v", files, len(want), err)
	}
}

// TestGrafanaKnowsEveryKey reads what is committed by Grafana's own types, which
// refuse what they do not know: in a dashboard, the options of each kind of
// panel and its fields, variables and queries.
func TestGrafanaKnowsEveryKey(t *testing.T) {
	known := cog.NewRuntime()
	known.RegisterDataqueryVariant(queryVariant())
	for _, kind := range []variants.PanelcfgConfig{stat.VariantConfig(), timeseries.VariantConfig(), barchart.VariantConfig(), bargauge.VariantConfig(),
		table.VariantConfig(), statetimeline.VariantConfig(), heatmap.VariantConfig()} {
		known.RegisterPanelcfgVariant(kind)
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var d board
		strict(t, f, d.UnmarshalJSONStrict(text))
		var parts struct{ Panels []struct{ Type string } }
		if err := json.Unmarshal(text, &parts); err != nil {
			t.Fatal(err)
		}
		for _, p := range parts.Panels {
			if _, ok := known.ConfigForPanelcfgVariant(p.Type); !ok && p.Type != "row" {
				t.Errorf("%s: nothing here knows the options of %s", f, p.Type)
			}
		}
	}
}

// strict fails for an error that says something: what Grafana's types say of
// what is right is an error, too, but an empty one.
func strict(t *testing.T, file string, err error) {
	t.Helper()
	var wrong cog.BuildErrors
	if err != nil && (!errors.As(err, &wrong) || len(wrong) > 0) {
		t.Errorf("%s: %v", file, err)
	}
}
