package sync

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Bounds on what a schedule may mean.
const (
	minEvery   = time.Second
	maxEvery   = 366 * 24 * time.Hour
	maxDays    = 36500
	zonePrefix = "CRON_TZ="
)

// Schedule says when a stream is due. The zero Schedule is never due.
type Schedule struct {
	expr string
	cron cron.Schedule
}

// ParseSchedule reads five-field cron, @hourly and its kin, or "@every 10m".
// Times are UTC unless the expression begins with "CRON_TZ=Zone ".
//
// It is a guard around robfig/cron, which panics on a zone with nothing after
// it and accepts schedules that can never fire: whatever has no firing within
// five years, or one more often than every second, is an error here.
func ParseSchedule(expr string) (Schedule, error) {
	return parseSchedule(expr, time.Now())
}

func parseSchedule(expr string, now time.Time) (Schedule, error) {
	expr = strings.TrimSpace(expr)
	zone, spec, err := cutZone(expr)
	if err != nil {
		return Schedule{}, err
	}
	if after, ok := strings.CutPrefix(spec, "@every"); ok {
		every, err := parseEvery(after)
		return Schedule{expr: expr, cron: every}, err
	}
	if err := checkFields(spec); err != nil {
		return Schedule{}, err
	}
	parsed, err := cron.ParseStandard(zonePrefix + zone + " " + sundays(spec))
	if err != nil {
		return Schedule{}, fmt.Errorf("not a schedule: %w; write five fields such as */5 * * * *, a word such as @hourly, or @every 10m", err)
	}
	if parsed.Next(now).IsZero() {
		return Schedule{}, errors.New("never fires: no such date within five years")
	}
	return Schedule{expr: expr, cron: parsed}, nil
}

// Next is the first time after t at which the schedule fires, in t's location.
// A local time that a clock change skips is not made up for, and one that it
// repeats fires twice; neither matters to a stream, which resumes from its
// checkpoint whenever it runs.
func (s Schedule) Next(t time.Time) time.Time {
	if s.cron == nil {
		return time.Time{}
	}
	return s.cron.Next(t)
}

// String is the expression as written.
func (s Schedule) String() string { return s.expr }

// cutZone splits "CRON_TZ=Zone spec" and answers UTC where no zone is named.
func cutZone(expr string) (zone, spec string, err error) {
	if strings.HasPrefix(expr, "TZ=") {
		return "", "", errors.New("TZ= is not understood; write CRON_TZ=Zone before the five fields, or leave it out for UTC")
	}
	rest, ok := strings.CutPrefix(expr, zonePrefix)
	if !ok {
		return "UTC", expr, nil
	}
	zone, spec, _ = strings.Cut(rest, " ")
	spec = strings.TrimSpace(spec)
	switch _, err := time.LoadLocation(zone); {
	case zone == "" || zone == "Local" || err != nil:
		return "", "", fmt.Errorf("no such time zone %q; write a name such as CRON_TZ=Europe/Berlin", zone)
	case spec == "":
		return "", "", errors.New("names a time zone and no times; write five fields after it")
	}
	return zone, spec, nil
}

// checkFields refuses what robfig/cron reads as something else: no expression
// at all, and a field of nothing but commas, which matches no time.
func checkFields(spec string) error {
	fields := strings.Fields(spec)
	if len(fields) == 0 {
		return errors.New("empty; write five fields such as */5 * * * *, a word such as @hourly, or @every 10m")
	}
	for _, f := range fields {
		if strings.HasPrefix(f, ",") || strings.HasSuffix(f, ",") || strings.Contains(f, ",,") {
			return fmt.Errorf("not a schedule: field %q has an empty place in its list", f)
		}
	}
	return nil
}

// sundays writes a Sunday that is 7, as cron has it beside 0, as robfig/cron reads it.
func sundays(spec string) string {
	fields := strings.Fields(spec)
	if len(fields) != 5 {
		return spec
	}
	days := strings.Split(fields[4], ",")
	for i, d := range days {
		switch from, ok := strings.CutSuffix(d, "-7"); {
		case d == "7":
			days[i] = "0"
		case ok && len(from) == 1 && from >= "0" && from <= "6":
			days[i] = from + "-6,0"
		}
	}
	fields[4] = strings.Join(days, ",")
	return strings.Join(fields, " ")
}

func parseEvery(text string) (cron.Schedule, error) {
	if strings.TrimSpace(text) == "" || text[0] != ' ' {
		return nil, errors.New("@every wants a duration; write @every 10m")
	}
	d, err := ParseDuration(strings.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("@every: %w", err)
	}
	if d < minEvery || d > maxEvery {
		return nil, fmt.Errorf("@every %s is outside 1s to 366d", strings.TrimSpace(text))
	}
	return cron.Every(d), nil
}

// ParseDuration reads a positive duration in Go's notation, before which whole
// days may stand: 90s, 12h, 30d, 1d12h.
func ParseDuration(s string) (time.Duration, error) {
	d, err := ParseMargin(s)
	if err != nil || d == 0 {
		return 0, fmt.Errorf("%q is not a positive duration; write one such as 90s, 12h, 30d or 1d12h", s)
	}
	return d, nil
}

// ParseMargin is [ParseDuration] for what may also be nothing: 0, 0s.
func ParseMargin(s string) (time.Duration, error) {
	bad := fmt.Errorf("%q is not a duration of 0s or more; write one such as 0s, 90s, 12h or 1d12h", s)
	var days uint64
	rest := s
	if before, after, ok := strings.Cut(s, "d"); ok {
		var err error
		if days, err = strconv.ParseUint(before, 10, 32); err != nil || days > maxDays {
			return 0, bad
		}
		if after == "" {
			after = "0"
		}
		rest = after
	}
	part, err := time.ParseDuration(rest)
	if err != nil || part < 0 || part > maxDays*24*time.Hour || strings.ContainsAny(rest, "+-") {
		return 0, bad
	}
	return time.Duration(days)*24*time.Hour + part, nil
}
