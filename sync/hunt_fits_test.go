package sync

import (
	"testing"

	"defendersync/store"
)

// A name has to be in the answer, in whatever capitals, or be documented of the
// table; an answer without a schema says nothing.
func TestHuntFits(t *testing.T) {
	columns := []store.HuntColumn{{Name: "deviceId", Type: "String"}, {Name: "Timestamp", Type: "DateTime"}, {Name: "Upn", Type: "String"}}
	for _, c := range []struct {
		hunt Hunt
		want string // the setting that does not fit
	}{
		{Hunt{Name: "q", Query: "X", Key: []string{"DeviceId", "timestamp"}, Hash: []string{"UPN"}, Drop: []string{"upn"}}, ""},
		{Hunt{Name: "q", Query: "X", Key: []string{"DeviceId", "TimeStmp"}}, "key"},
		{Hunt{Name: "q", Query: "X", Hash: []string{"Upm"}}, "columns.hash"},
		{Hunt{Name: "q", Query: "X", Drop: []string{"Upm"}}, "columns.drop"},
		{Hunt{Name: "q", Query: "X", Mode: ModeEvents, TimeColumn: "Time"}, "time_column"},
		{Hunt{Name: "q", Query: "X", Mode: ModeReplace, TimeColumn: "Time"}, ""},
		{Hunt{Name: "X_CL", Table: "X_CL", Hash: []string{"Upm"}}, "columns.hash"},
		{Hunt{Name: "X_CL", Table: "X_CL", Key: []string{"Upm"}}, "key"},
		{Hunt{Name: "X_CL", Table: "X_CL", Drop: []string{"Gone"}}, ""}, // at the source
		{Hunt{Name: "DeviceEvents", Table: "DeviceEvents", Key: []string{"DeviceId", "ReportId"}, Hash: []string{"AccountSid"}}, ""},
		{Hunt{Name: "DeviceEvents", Table: "DeviceEvents", Hash: []string{"AccountSide"}}, "columns.hash"},
		{Hunt{Name: "DeviceEvents", Table: "DeviceEvents", Key: []string{"DeviceIdd"}}, "key"},
	} {
		got := ""
		if err, _ := c.hunt.fits(columns).(*UnknownColumnError); err != nil {
			got = err.Setting
		}
		if got != c.want {
			t.Errorf("%+v: %q does not fit, want %q", c.hunt, got, c.want)
		}
		if err := c.hunt.fits(nil); err != nil {
			t.Errorf("no schema: %v", err)
		}
	}
}
