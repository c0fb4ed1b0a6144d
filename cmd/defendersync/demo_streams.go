package main

import (
	"time"

	defsync "defendersync/sync"
)

// demoStreams reads everything that the simulated tenant holds. The demo that
// syncs twice does so each time, to show that what is read again is not written again.
func demoStreams(f demoFlags) (streamsConfig, error) {
	every, err := defsync.ParseSchedule(demoSchedule)
	overlap := 10 * time.Minute
	if f.once {
		overlap = 180 * 24 * time.Hour
	}
	timing := timingConfig{
		Schedule: schedule{every},
		Start:    startPoint{Age: 180 * 24 * time.Hour},
		Overlap:  marginOf(overlap),
		Settle:   marginOf(time.Second),
	}
	stream := streamConfig{timing, true}
	c := streamsConfig{Defaults: timing, Incidents: stream, Alerts: stream, Hunting: demoHunting()}
	for i := range c.Hunting {
		h := &c.Hunting[i]
		h.streamConfig = stream
		h.Start = startPoint{Age: lookBack}
		if err == nil {
			err = h.resolve(true)
		}
	}
	return c, err
}

// demoHunting is a stream of each kind: whole tables, one of them without a key,
// a snapshot, and a query.
func demoHunting() []huntingConfig {
	return []huntingConfig{
		{Table: "DeviceProcessEvents"},
		{Table: "EmailEvents"},
		{Table: "AlertEvidence"},
		{Table: "DeviceTvmSoftwareVulnerabilities"},
		{Name: "encoded_powershell", TimeColumn: "Timestamp", Query: `DeviceProcessEvents
| where FileName =~ "powershell.exe" and ProcessCommandLine contains "-enc"
| project Timestamp, DeviceName, AccountName, InitiatingProcessFileName, ProcessCommandLine`},
	}
}
