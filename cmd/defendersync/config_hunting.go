package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"defendersync/store"
	defsync "defendersync/sync"
)

// huntingConfig is one stream of advanced hunting: a whole table, or a query.
type huntingConfig struct {
	streamConfig
	Table       identifier   `yaml:"table"`
	Name        identifier   `yaml:"name"`
	Query       queryText    `yaml:"query"`
	Mode        modeName     `yaml:"mode"`
	Reconcile   recurrence   `yaml:"reconcile"`
	Retention   duration     `yaml:"retention"`
	Columns     columnsRules `yaml:"columns"`
	TimeColumn  columnName   `yaml:"time_column"`
	Key         []columnName `yaml:"key"`
	OnNewColumn onNewColumn  `yaml:"on_new_column"`
	Entities    []entityName `yaml:"entities"`
	Lookback    duration     `yaml:"lookback"`
	RowLocal    bool         `yaml:"row_local"`
	Window      windowName   `yaml:"window"`

	hunt   *defsync.Hunt // what all this comes to, once resolve has succeeded
	advice []string      // what about the entry is allowed and hardly meant
}

// columnsRules say what is left out of a table, and what a pseudonym stands for.
type columnsRules struct {
	Drop []columnName `yaml:"drop"`
	Hash []columnName `yaml:"hash"`
}

// huntingReconcile is when whole tables are compared with the source, where the
// file does not say: in a quiet hour, at a minute that few others choose.
const huntingReconcile = "17 3 * * *"

// longestHuntingName leaves room for the _current of a table's view in the 63
// bytes of a PostgreSQL name.
const longestHuntingName = 55

// label is the name of the table or query, as configured.
func (h *huntingConfig) label() string {
	if h.Table != "" {
		return string(h.Table)
	}
	return string(h.Name)
}

// table is the name of its table in the schema hunting.
func (h *huntingConfig) table() string { return store.SnakeCase(h.label()) }

// resolve works out what the entry means. The error names the setting to change.
func (h *huntingConfig) resolve(autoMigrate bool) error {
	hunt, err := defsync.Hunt{
		Name: h.label(), Table: string(h.Table), Query: string(h.Query),
		Mode: defsync.Mode(h.Mode), TimeColumn: string(h.TimeColumn), Key: texts(h.Key),
		Drop: texts(h.Columns.Drop), Hash: texts(h.Columns.Hash), OnNewColumn: string(h.OnNewColumn), Entities: texts(h.Entities),
		Lookback: time.Duration(h.Lookback), RowLocal: h.RowLocal, Window: string(h.Window),
		Retention: time.Duration(h.Retention), Reconcile: h.Reconcile.Schedule, AutoMigrate: autoMigrate,
	}.Resolve()
	if err != nil {
		return err
	}
	if h.hunt = hunt; h.reconcilable() && !h.Reconcile.set {
		hunt.Reconcile, err = defsync.ParseSchedule(huntingReconcile)
	}
	return err
}

// reconcilable says whether the source can count the stream's rows by the hour.
func (h *huntingConfig) reconcilable() bool {
	return h.hunt.Table != "" && h.hunt.Mode == defsync.ModeEvents
}

// stream is the entry as the worker needs it.
func (h *huntingConfig) stream() defsync.Stream {
	s := h.streamConfig.stream(defsync.HuntingStream(h.label()))
	s.Hunt = h.hunt
	return s
}

// hunts says whether any stream of advanced hunting is enabled.
func (s *streamsConfig) hunts() bool {
	for _, h := range s.Hunting {
		if h.Enabled {
			return true
		}
	}
	return false
}

// huntingTables are the streams that are enabled, by their tables.
func (s *streamsConfig) huntingTables() map[string]string {
	streams := make(map[string]string)
	for _, h := range s.Hunting {
		if h.Enabled {
			streams[h.table()] = defsync.HuntingStream(h.label())
		}
	}
	return streams
}

// texts keeps none apart from an empty list, which for entities differ.
func texts[T ~string](all []T) []string {
	if all == nil {
		return nil
	}
	s := []string{}
	for _, v := range all {
		s = append(s, string(v))
	}
	return s
}

var identifierForm = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)

// identifier names a table of advanced hunting or a query, and by that a table here.
type identifier string

func (i *identifier) setText(s string) error {
	if !identifierForm.MatchString(s) {
		return errors.New("is not a name; write letters, digits and underscores, a letter first")
	}
	if n := len(defsync.HuntingStream(s)) - len(defsync.HuntingStream("")); n > longestHuntingName {
		return fmt.Errorf("makes a table's name of %d letters; make it %d or fewer", n, longestHuntingName)
	}
	*i = identifier(s)
	return nil
}

// columnName is a column as the service spells it. A query may give one any name.
type columnName string

func (c *columnName) setText(s string) error {
	if strings.TrimSpace(s) == "" || strings.ContainsFunc(s, unicode.IsControl) {
		return errors.New("is not a column; write its name as the service spells it")
	}
	*c = columnName(s)
	return nil
}

// entityName is a documented column of advanced hunting whose values are hosts,
// users, addresses, URLs, hashes or mailboxes.
type entityName string

func (e *entityName) setText(s string) error {
	spelled := make(map[string]string)
	var lower []string
	for _, c := range defsync.HuntEntityColumns() {
		l := strings.ToLower(c)
		spelled[l], lower = c, append(lower, l)
	}
	if c, ok := spelled[strings.ToLower(s)]; ok {
		*e = entityName(c)
		return nil
	}
	if near := closest(s, lower); near != "" {
		return fmt.Errorf("is no column that is known to name entities; did you mean %s?", spelled[near])
	}
	return errors.New("is no column that is known to name entities; a query can give its column the name of one by project-rename")
}

type modeName string

func (m *modeName) setText(s string) error {
	return oneOf((*string)(m), s, string(defsync.ModeEvents), string(defsync.ModeReplace), string(defsync.ModeSnapshot))
}

type onNewColumn string

func (o *onNewColumn) setText(s string) error { return oneOf((*string)(o), s, "add", "ignore", "fail") }

type windowName string

func (w *windowName) setText(s string) error {
	if s != defsync.WindowTimespan {
		return fmt.Errorf("is not known; write %s, or leave window out for a prelude before the query", defsync.WindowTimespan)
	}
	*w = windowName(s)
	return nil
}

// recurrence is a schedule that may be none, which differs from not being set.
type recurrence struct {
	schedule
	set bool
}

func (r *recurrence) setText(s string) error {
	if r.set = true; s == "" {
		return nil
	}
	return r.schedule.setText(s)
}

// queryText is KQL. In it ${...} is expanded only where it can be nothing else:
// "${jndi:" is something to hunt for.
type queryText string

var queryExpansion = regexp.MustCompile(`\$\{(file:[^}]*|[A-Za-z_][A-Za-z0-9_]*(:-[^}]*)?)\}`)

func (*queryText) confidential() {} // no secret, but too long for an error

func (q *queryText) setSource(source string, env environment) error {
	var failed error
	text := queryExpansion.ReplaceAllStringFunc(source, func(found string) string {
		value, err := env.value(found[len("${") : len(found)-len("}")])
		failed = errors.Join(failed, err)
		return value
	})
	switch {
	case failed != nil:
		return failed
	case strings.TrimSpace(text) == "":
		return errors.New("is empty; write a query")
	case !utf8.ValidString(text):
		return errors.New("is not UTF-8 text")
	}
	*q = queryText(text)
	return nil
}
