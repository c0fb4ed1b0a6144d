package web

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// lag is a lag in words, to the second.
func lag(seconds *float64) string {
	if seconds == nil {
		return "nothing stored yet"
	}
	return time.Duration(*seconds * float64(time.Second)).Round(time.Second).String()
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// grouped writes a number with a comma for each thousand.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// count is a number with its noun, which takes an s.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return grouped(int64(n)) + " " + noun + "s"
}

// length is a duration in its two largest units, as one reads it out.
func length(d time.Duration) string {
	const day = 24 * time.Hour
	d = max(d, 0)
	switch {
	case d < time.Second:
		return "under 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return two(d, time.Minute, "min", time.Second, "s")
	case d < day:
		return two(d, time.Hour, "h", time.Minute, "min")
	}
	return two(d, day, "d", time.Hour, "h")
}

// two leaves out a second unit of which there is none.
func two(d, large time.Duration, largeName string, small time.Duration, smallName string) string {
	s := fmt.Sprintf("%d %s", d/large, largeName)
	if rest := d % large / small; rest > 0 {
		s += fmt.Sprintf(" %d %s", rest, smallName)
	}
	return s
}

// took is how long something lasted, to the tenth of a second while that matters.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", max(d, 0)/time.Millisecond)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return length(d)
}

// fromNow is a time as seen from now, in one unit.
func fromNow(t, now time.Time) string {
	d := t.Sub(now)
	if past := -d; past >= 0 {
		if past < time.Second {
			return "just now"
		}
		return coarse(past) + " ago"
	}
	return "in " + coarse(d)
}

func coarse(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", max(d.Round(time.Second), time.Second)/time.Second)
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return grouped(int64(d/day)) + " d"
}

// moment is a time in UTC as people write it, without what goes without saying
// now: the day when it is today, the year when it is this one.
func moment(t, now time.Time) string {
	t, now = t.UTC(), now.UTC()
	switch {
	case t.Format(time.DateOnly) == now.Format(time.DateOnly):
		return t.Format("15:04:05")
	case t.Year() == now.Year():
		return t.Format("2 Jan 15:04")
	}
	return t.Format("2 Jan 2006 15:04")
}

// day is a date for an axis that ends now.
func day(t, now time.Time) string {
	if t.UTC().Year() != now.UTC().Year() {
		return t.UTC().Format("2 Jan 2006")
	}
	return t.UTC().Format("2 Jan")
}

// percent never says 100 of what is less.
func percent(p float64) string {
	switch {
	case p >= 100:
		return "100 %"
	case p > 99.99:
		return "99.99 %"
	}
	return fmt.Sprintf("%.2f %%", p)
}

// maxText is how much of an error the page shows. The rest is in `status --json`.
const maxText = 600

// sentence is an error on one line, bounded.
func sentence(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + " …"
	}
	return s
}

// closed is an error as a sentence that another one follows.
func closed(s string) string {
	if s = sentence(s); s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// pieces cuts a name after its slashes and underscores.
func pieces(name string) []string {
	var all []string
	for {
		i := strings.IndexAny(name, "/_") + 1
		if i == 0 || i == len(name) {
			return append(all, name)
		}
		all, name = append(all, name[:i]), name[i:]
	}
}
