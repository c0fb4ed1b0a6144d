package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"
	"defendersync/sync/kql"
)

// lookBack is how far advanced hunting sees.
const lookBack = 30 * 24 * time.Hour

// checkHunting reports what is wrong with streams.hunting, and works out what
// each entry comes to.
func checkHunting(c *config, d *decoder, now time.Time) {
	streams := make(map[string]int)
	for i := range c.Streams.Hunting {
		h := &huntCheck{huntingConfig: &c.Streams.Hunting[i], d: d, path: fmt.Sprintf("streams.hunting[%d]", i), now: now}
		if !h.kind() {
			continue
		}
		stream := defsync.HuntingStream(h.label())
		if first, ok := streams[stream]; ok {
			d.failAt(h.path, "is stream %s, as streams.hunting[%d] is; names must differ by more than case and underscores", stream, first)
			continue
		}
		streams[stream] = i
		h.check(c)
	}
	checkHuntingViews(c.Streams.Hunting, d)
	if len(c.Streams.Hunting) == 0 { // those that are disabled count: `query --check` asks for them, too
		return
	}
	for i, t := range c.Tenants {
		if l := t.Limits; l.hunting().PerMinute < 1 {
			d.failAt(fmt.Sprintf("tenants[%d].limits.share", i), "leaves less than one hunting call of %d; write %s or more, or raise hunting_per_minute",
				l.HuntingPerMinute, smallestShare(l.HuntingPerMinute))
		}
	}
}

// checkHuntingViews reports a table that would have the name of a snapshot's view.
func checkHuntingViews(all []huntingConfig, d *decoder) {
	views := make(map[string]int)
	for i, h := range all {
		if h.hunt != nil && h.hunt.Mode == defsync.ModeSnapshot {
			views[h.table()+"_current"] = i
		}
	}
	for i, h := range all {
		if of, ok := views[h.table()]; ok {
			d.failAt(fmt.Sprintf("streams.hunting[%d]", i), "fills hunting.%s, which is the view of what is current in the snapshot of streams.hunting[%d]; "+
				"give one of the two another name", h.table(), of)
		}
	}
}

// huntCheck checks one entry.
type huntCheck struct {
	*huntingConfig
	d    *decoder
	path string
	now  time.Time
}

// fail reports a mistake of a key of the entry, or with "" of the entry.
func (h *huntCheck) fail(key, format string, args ...any) {
	h.d.failAt(strings.TrimSuffix(h.path+"."+key, "."), format, args...)
}

func (h *huntCheck) has(key string) bool { return h.d.has(h.path + "." + key) }

// advise keeps what is allowed and hardly meant.
func (h *huntCheck) advise(format string, args ...any) {
	h.advice = append(h.advice, fmt.Sprintf(format, args...))
}

// kind says whether the entry is one thing: a table or a query with its name.
func (h *huntCheck) kind() bool {
	switch table, name, query := h.has("table"), h.has("name"), h.has("query"); {
	case table && name:
		h.fail("name", "stands beside table; keep table for a whole table, or name and query for a query")
	case table && query:
		h.fail("query", "stands beside table; keep table for a whole table, or name and query for a query")
	case name && !query:
		h.fail("", "has a name and no query; write the query, or table for a whole table")
	case query && !name:
		h.fail("", "has a query and no name; write name, which names its stream and its table")
	case !table && !name:
		h.fail("", "is neither a table nor a query; write table, or name and query")
	default:
		return true
	}
	return false
}

func (h *huntCheck) check(c *config) {
	if h.has("start") && h.Start.At.After(h.now) {
		h.fail("start", "%s is in the future", h.Start)
	}
	if err := h.resolve(c.Database.AutoMigrate); err != nil {
		h.fail("", "%v", err)
		return
	}
	h.columns()
	h.spelling()
	h.entities()
	h.meaning()
	if h.Table != "" {
		h.known()
	}
	h.older(c.Tenants)
}

// older reports a query that only Graph can window: the older API takes no Timespan.
func (h *huntCheck) older(tenants []tenantConfig) {
	i := slices.IndexFunc(tenants, func(t tenantConfig) bool { return t.dialect() == defender.Older })
	if i < 0 {
		return
	}
	if h.Window != "" {
		h.fail("window", "cannot be kept on tenant %s: the older API takes no Timespan; leave window out, or write api: graph", tenants[i].Name)
		return
	}
	if escaped := kql.Parse(string(h.Query)).Unbounded(); len(escaped) > 0 {
		h.fail("query", "cannot be windowed on tenant %s: %s needs a Timespan, which the older API does not take; name the tables, or write api: graph",
			tenants[i].Name, strings.Join(escaped, ", "))
	}
}

// columns checks that the rules for columns leave what the table needs.
func (h *huntCheck) columns() {
	h.once("key", h.Key)
	h.once("columns.drop", h.Columns.Drop)
	h.once("columns.hash", h.Columns.Hash)
	for i, c := range h.Columns.Drop {
		at := fmt.Sprintf("columns.drop[%d]", i)
		switch {
		case c.in(h.hunt.TimeColumn):
			h.fail(at, "%s is the time of the rows, which cannot be left out", c)
		case c.in(texts(h.Key)...):
			h.fail(at, "%s is part of key; take it from one of the two", c)
		case c.in(h.hunt.Key...):
			h.fail(at, "%s tells the rows of %s apart; write key with other columns, or keep it", c, h.Table)
		}
	}
	for i, c := range h.Columns.Hash {
		at := fmt.Sprintf("columns.hash[%d]", i)
		switch {
		case c.in(h.hunt.TimeColumn):
			h.fail(at, "%s is the time of the rows, which cannot be hashed", c)
		case c.in(texts(h.Columns.Drop)...):
			h.fail(at, "%s is dropped, too; take it from one of the two", c)
		}
	}
}

// spelling reports a name that is hardly a column of a documented table: as a
// mistake where it is nearly that of one. Any other is allowed, or nobody could
// hide a column that is new; the stream fails where the service has none of it.
func (h *huntCheck) spelling() {
	spelled := make(map[string]string)
	var lower []string
	for _, c := range kql.Columns(string(h.Table)) {
		l := strings.ToLower(c)
		spelled[l], lower = c, append(lower, l)
	}
	if len(lower) == 0 {
		return
	}
	for _, s := range []struct {
		key   string
		names []columnName
	}{{"key", h.Key}, {"columns.drop", h.Columns.Drop}, {"columns.hash", h.Columns.Hash}} {
		for i, c := range s.names {
			switch near := closest(string(c), lower); {
			case c.in(lower...):
			case near != "":
				h.fail(fmt.Sprintf("%s[%d]", s.key, i), "%s has no column %s; did you mean %s?", h.Table, c, spelled[near])
			default:
				h.advise("%s names %s, which is not documented of %s: the stream fails if the service has no such column", s.key, c, h.Table)
			}
		}
	}
}

// entities checks that what is to be seen in a stream can be: events with a time,
// in columns that are stored as they are.
func (h *huntCheck) entities() {
	switch {
	case len(h.Entities) == 0:
		return
	case h.hunt.Mode != defsync.ModeEvents:
		h.fail("entities", "is for mode events, whose rows say when something was seen; take it out")
		return
	case h.hunt.TimeColumn == "":
		h.fail("entities", "needs to know when a row happened; name the column in time_column")
		return
	}
	for i, e := range h.Entities {
		at := fmt.Sprintf("entities[%d]", i)
		switch c := columnName(e); {
		case slices.Contains(h.Entities[:i], e):
			h.fail(at, "%s is named twice", e)
		case c.in(texts(h.Columns.Drop)...) || c.in(texts(h.Columns.Hash)...):
			h.fail(at, "%s is private by columns, and no sighting is made of it; take it from one of the two", e)
		}
	}
}

// in says whether one of the names is the column's. Rules for columns mean
// every spelling of a name: what is to stay private must not hang on a capital.
func (c columnName) in(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, string(c)) })
}

// once reports what a list names twice. Keys tell names apart by case, as the
// service does.
func (h *huntCheck) once(key string, names []columnName) {
	for i, n := range names {
		if slices.Contains(names[:i], n) {
			h.fail(fmt.Sprintf("%s[%d]", key, i), "%s is named twice", n)
		}
	}
}

// meaning reports settings that the mode gives no meaning to: as a mistake
// where somebody would lean on them, else as advice.
func (h *huntCheck) meaning() {
	mode := h.hunt.Mode
	if mode == defsync.ModeReplace && h.has("retention") {
		h.fail("retention", "means nothing in mode replace, which keeps the last result only; take it out")
	}
	if mode == defsync.ModeEvents && h.hunt.TimeColumn == "" && h.has("retention") {
		h.fail("retention", "needs to know how old a row is; name the column in time_column")
	}
	if h.Reconcile.String() != "" && !h.reconcilable() {
		h.fail("reconcile", "compares whole tables with a time, hour by hour, which this is not; take it out")
	}
	if mode == defsync.ModeEvents {
		h.eventsOnly()
		return
	}
	if h.RowLocal {
		h.fail("row_local", "is for mode events; take it out")
	}
	for _, key := range []string{"start", "overlap", "settle"} {
		if h.has(key) {
			h.advise("%s means nothing in mode %s, which reads everything each time", key, mode)
		}
	}
	if !h.has("schedule") {
		h.advise("is read whole on the schedule of streams.defaults (%s); write one of its own, such as \"0 4 * * *\"", h.Schedule)
	}
}

// eventsOnly is the part of meaning for mode events.
func (h *huntCheck) eventsOnly() {
	if h.has("lookback") {
		h.fail("lookback", "is for modes replace and snapshot; in mode events write start")
	}
	from := defsync.Start(h.Start).Time(h.now)
	if edge := h.now.Add(-lookBack); h.has("start") && from.Before(edge.Add(-time.Minute)) {
		h.advise("start %s is further back than the 30 days that advanced hunting sees: reading begins there", h.Start)
	}
}

// known advises on a table that is probably a slip of the pen. Any name is
// allowed: new tables come without a notice.
func (h *huntCheck) known() {
	if _, ok := kql.Lookup(string(h.Table)); ok {
		return
	}
	lower := make(map[string]string)
	var names []string
	for _, t := range kql.Tables() {
		name := strings.ToLower(t.Name)
		lower[name] = t.Name
		names = append(names, name)
	}
	near := lower[strings.ToLower(string(h.Table))]
	if near == "" {
		near = lower[closest(string(h.Table), names)]
	}
	if near != "" {
		h.advise("%s is no table that is known here; was %s meant? Case counts", h.Table, near)
	}
}

// closest is nearest with little patience: names of tables and columns are long and
// alike.
func closest(word string, known []string) string {
	near := nearest(word, known)
	if distance(strings.ToLower(word), near) > 2 {
		return ""
	}
	return near
}

// warnings are what a person should know of the streams, each with its stream's name.
func (c *config) warnings() []string {
	var all []string
	for i := range c.Streams.Hunting {
		h := &c.Streams.Hunting[i]
		if !h.Enabled {
			continue
		}
		for _, w := range slices.Concat(h.advice, h.hunt.Warnings()) {
			all = append(all, fmt.Sprintf("%s: %s", defsync.HuntingStream(h.label()), w))
		}
	}
	return all
}
