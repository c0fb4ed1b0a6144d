package store

import (
	"bytes"
	"math"
	"time"
)

// epoch is PostgreSQL's: its times are microseconds from here.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// noTime is the instant of a row whose time column holds none. It is
// PostgreSQL's -infinity, so that no served time is equal to it.
const noTime = math.MinInt64

// parseInstant reads an ISO 8601 time, truncated down to microseconds after
// [epoch]. A time without a zone is UTC.
func parseInstant(t token) (micros int64, ok bool) {
	s := t.text
	if t.kind != isString || len(s) < len("2006-01-02") || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	year, ok1 := digits(s[0:4])
	month, ok2 := digits(s[5:7])
	day, ok3 := digits(s[8:10])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	midnight := time.Date(int(year), time.Month(month), int(day), 0, 0, 0, 0, time.UTC)
	seconds := midnight.Unix() - epoch.Unix()
	clock, fraction, rest, ok := parseClock(s[10:])
	if !ok {
		return 0, false
	}
	zone, ok := parseZone(rest)
	return (seconds+clock-zone)*1e6 + fraction, ok
}

// instant is the time that is so many microseconds after [epoch].
func instant(micros int64) time.Time {
	return time.UnixMicro(epoch.UnixMicro() + micros).UTC()
}

func daysIn(year, month int64) int64 {
	return int64(time.Date(int(year), time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day())
}

// parseClock reads Thh:mm[:ss[.fffffff]], or nothing, and returns what follows.
func parseClock(s []byte) (seconds, micros int64, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != 'T' && s[0] != 't' && s[0] != ' ' {
		return 0, 0, s, len(s) == 0
	}
	if s = s[1:]; len(s) < len("15:04") || s[2] != ':' {
		return 0, 0, nil, false
	}
	hour, ok1 := digits(s[0:2])
	minute, ok2 := digits(s[3:5])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, 0, nil, false
	}
	seconds, s = hour*3600+minute*60, s[5:]
	if len(s) < 3 || s[0] != ':' {
		return seconds, 0, s, true
	}
	second, ok := digits(s[1:3])
	if !ok || second > 59 {
		return 0, 0, nil, false
	}
	micros, s = parseFraction(s[3:])
	return seconds + second, micros, s, true
}

// parseFraction reads .fffffff as microseconds, truncated, and returns what follows.
func parseFraction(s []byte) (micros int64, rest []byte) {
	if len(s) < 2 || s[0] != '.' && s[0] != ',' || s[1] < '0' || s[1] > '9' {
		return 0, s
	}
	s = s[1:]
	unit := int64(100_000)
	for len(s) > 0 && s[0] >= '0' && s[0] <= '9' {
		micros += int64(s[0]-'0') * unit
		unit /= 10
		s = s[1:]
	}
	return micros, s
}

// parseZone reads Z, ±hh:mm, ±hhmm or nothing as seconds east of UTC.
func parseZone(s []byte) (seconds int64, ok bool) {
	switch {
	case len(s) == 0 || len(s) == 1 && (s[0] == 'Z' || s[0] == 'z'):
		return 0, true
	case len(s) == 6 && s[3] == ':':
		s = append(append(make([]byte, 0, 5), s[:3]...), s[4:]...)
	}
	if len(s) != 5 || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, ok1 := digits(s[1:3])
	minute, ok2 := digits(s[3:5])
	if !ok1 || !ok2 || hour > 23 || minute > 59 {
		return 0, false
	}
	seconds = hour*3600 + minute*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, true
}

// digits reads a number that has nothing but digits, at most nine.
func digits(s []byte) (n int64, ok bool) {
	if len(s) == 0 || len(s) > 9 {
		return 0, false
	}
	for _, c := range s {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}

// timeSpan is a length of time as PostgreSQL's interval keeps it.
type timeSpan struct {
	days   int64
	micros int64
}

// parseSpan reads .NET's [-][d.]hh:mm:ss[.fffffff] and ISO 8601's
// [-]PnDTnHnMn.nS, truncated towards zero to microseconds.
func parseSpan(t token) (s timeSpan, ok bool) {
	if t.kind != isString {
		return s, false
	}
	text, negative := bytes.CutPrefix(t.text, []byte("-"))
	if len(text) > 0 && text[0] == 'P' {
		s, ok = parseISOSpan(text[1:])
	} else {
		s, ok = parseNetSpan(text)
	}
	if negative {
		s.days, s.micros = -s.days, -s.micros
	}
	return s, ok && s.days == int64(int32(s.days))
}

func parseNetSpan(text []byte) (s timeSpan, ok bool) {
	if colon := bytes.IndexByte(text, ':'); colon >= 0 {
		if dot := bytes.IndexByte(text[:colon], '.'); dot >= 0 {
			if s.days, ok = digits(text[:dot]); !ok {
				return s, false
			}
			text = text[dot+1:]
		}
	}
	seconds, micros, rest, ok := parseClock(append([]byte{'T'}, text...))
	s.micros = seconds*1e6 + micros
	return s, ok && len(rest) == 0 && bytes.Count(text, []byte(":")) == 2
}

// parseISOSpan reads what follows the P. Years and months are no length of time.
func parseISOSpan(text []byte) (s timeSpan, ok bool) {
	clock, any := false, false
	for len(text) > 0 {
		if text[0] == 'T' && !clock {
			clock, text = true, text[1:]
			continue
		}
		n := 0
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		value, ok := digits(text[:n])
		if !ok {
			return s, false
		}
		fraction, rest := parseFraction(text[n:])
		if len(rest) == 0 || len(rest) != len(text[n:]) && rest[0] != 'S' {
			return s, false
		}
		switch unit := rest[0]; {
		case unit == 'W' && !clock:
			s.days += 7 * value
		case unit == 'D' && !clock:
			s.days += value
		case unit == 'H' && clock:
			s.micros += value * 3600 * 1e6
		case unit == 'M' && clock:
			s.micros += value * 60 * 1e6
		case unit == 'S' && clock:
			s.micros += value*1e6 + fraction
		default:
			return s, false
		}
		if s.micros > 1<<61 {
			return s, false // some more would not be counted
		}
		text, any = rest[1:], true
	}
	return s, any
}
