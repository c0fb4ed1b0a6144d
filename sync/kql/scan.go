package kql

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// instant is how times are written on the wire: UTC, in the ticks of 100 ns
// that the source counts in, rounded down.
const instant = "2006-01-02T15:04:05.0000000Z"

// Slice is one of Of parts of a window, chosen by a hash of the whole row. It
// is for an instant with more rows than one answer holds, which time can't
// divide any further. The zero Slice is the whole.
type Slice struct{ Of, At int }

// Scan reads a whole table, or as much of it as one window and slice hold.
type Scan struct {
	Table        string
	Time         string    // the column the window is about; "" for a table without one
	Since, Until time.Time // half open; both zero: no window
	Slice        Slice
	Drop         []string // columns that are not fetched

	// Keyless says that nothing but all of its columns tells a row from another.
	// Rows that are equal in what is fetched must then come in one slice, where
	// they can be counted: what is dropped is dropped before the hash.
	Keyless bool
}

// Text is the query. Each line is there only when it is needed.
func (s Scan) Text() string {
	lines, slice, drop := s.window(), s.slice(), s.drop()
	if s.Keyless {
		slice, drop = drop, slice
	}
	return strings.Join(slices.Concat(lines, slice, drop), "\n")
}

// CountText counts the rows that Text would fetch: per hour in the column Hour,
// or all of them where there is no time to count by.
func (s Scan) CountText() string {
	count := "| summarize Rows = count()"
	if s.Time != "" {
		count += " by Hour = bin(" + name(s.Time) + ", 1h)"
	}
	return strings.Join(slices.Concat(s.window(), s.slice(), []string{count}), "\n")
}

// window is the table and its window.
func (s Scan) window() []string {
	lines := []string{name(s.Table)}
	if s.Time != "" && !(s.Since.IsZero() && s.Until.IsZero()) {
		lines = append(lines, "| "+within(s.Time, s.Since, s.Until))
	}
	return lines
}

func (s Scan) slice() []string {
	if s.Slice.Of == 0 {
		return nil
	}
	return []string{fmt.Sprintf("| where hash(tostring(pack_all()), %d) == %d", s.Slice.Of, s.Slice.At)}
}

func (s Scan) drop() []string {
	if len(s.Drop) == 0 {
		return nil
	}
	columns := make([]string, len(s.Drop))
	for i, c := range s.Drop {
		columns[i] = name(c)
	}
	return []string{"| project-away " + strings.Join(columns, ", ")}
}

// within is the filter of a half-open window.
func within(column string, since, until time.Time) string {
	c := name(column)
	return fmt.Sprintf("where %s >= datetime(%s) and %s < datetime(%s)", c, since.UTC().Format(instant), c, until.UTC().Format(instant))
}

// name writes the name of a table or column, in brackets and quotes unless it
// is a plain identifier.
func name(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	b.WriteString("['")
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f || r == 0x2028 || r == 0x2029: // would end the line, and the string with it
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteString("']")
	return b.String()
}

func plain(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && !reserved[s]
}

// reserved are words of the language that the parser does not take for a table
// or a column, and a few of which one can't be sure.
var reserved = words(`
accumulate and anomalychart areachart as asc bagexpansion barchart between bin_legacy boolean by byte cachingpolicy
callout cancel card char columnchart contains contains_cs containscs count cycles dataexport datascope datatable date
datetime decimal decodeblocks desc double dynamic earliest encodingpolicy endswith endswith_cs expandoutput extend
extent_tags_retention external_data externaldata false find first flags float force_remote from harddelete
hardretention has has_all has_any has_cs hasprefix hasprefix_cs hassuffix hassuffix_cs hotcache in int invoke isfuzzy
join journal kind ladderchart last latest let like likecs limit linechart long lookup materialize mdm missing
nooptimization notcontains notcontainscs notlike notlikecs null of on or others pathformat piechart pivotchart print
project queries query_results real relaxed restricted_view_access row_level_security rowstore rowstore_references
rowstore_sealinfo rowstorepolicy rowstores sample scatterchart seal seals search set shards simple softdelete
softretention sql stackedareachart startswith startswith_cs statistics step storedqueryresultcontainers string
summarize tablepurge take time timechart timeline timepivot timespan title to toscalar totable treemap true uint ulong
union uniqueid unrestrictedviewers verbose viewers views where with_itemindex with_match_id with_source with_step_name
withsource writeaheadlog`)

// words makes a set of a list that is easier to read as one.
func words(list string) map[string]bool {
	set := make(map[string]bool)
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}
