package main

import (
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// column is how the cells under one heading are shown. What applies on a
// terminal only leaves nothing out elsewhere.
type column struct {
	name    string
	short   string            // the name on a terminal, where cells are narrower than the whole; "" for none
	right   bool              // for numbers
	tone    func(string) tone // nil is plain
	elastic bool              // on a terminal: cut where the table is too wide
	common  bool              // on a terminal: left out where all rows say the same
	quiet   bool              // on a terminal: left out where no row has anything to say
}

// number is a column of numbers.
func number(name string) column { return column{name: name, right: true} }

// trouble is one of numbers that should be 0.
func trouble(name string) column {
	return column{name: name, right: true, quiet: true, tone: troubleTone}
}

// table is rows under headings.
type table struct {
	columns []column
	rows    [][]string
}

func newTable(columns ...column) *table { return &table{columns: columns} }

// heading is the name of the column.
func (c column) heading(l look) string {
	if l.terminal() && c.short != "" {
		return c.short
	}
	return c.name
}

// add appends a row; cells that are missing at its end are empty.
func (t *table) add(cells ...string) {
	t.rows = append(t.rows, append(cells, make([]string, len(t.columns)-len(cells))...))
}

// between is the space between columns.
const between = "  "

// leastElastic is the width under which nothing is cut.
const leastElastic = 16

// print writes the table: in aligned columns, or, on a terminal that is too
// narrow for it, as one block of lines for each row.
func (t *table) print(w io.Writer, l look) error {
	shown := t.shown(l)
	widths := t.widths(l, shown)
	text := ""
	if t.fit(l, shown, widths) {
		text = t.aligned(l, shown, widths)
	} else {
		text = t.blocks(l, shown)
	}
	_, err := io.WriteString(w, text)
	return err
}

// shown are the columns that have something to tell, by number.
func (t *table) shown(l look) []int {
	var shown []int
	for i, c := range t.columns {
		silent := c.common && t.all(i, func(cell string) bool { return cell == t.rows[0][i] }) ||
			c.quiet && t.all(i, func(cell string) bool { return cell == "" || cell == "0" || cell == "-" })
		if !l.terminal() || !silent {
			shown = append(shown, i)
		}
	}
	return shown
}

func (t *table) all(column int, is func(cell string) bool) bool {
	return !slices.ContainsFunc(t.rows, func(row []string) bool { return !is(row[column]) })
}

func (t *table) widths(l look, shown []int) []int {
	var widths []int
	for _, i := range shown {
		widest := width(t.columns[i].heading(l))
		for _, row := range t.rows {
			widest = max(widest, width(row[i]))
		}
		widths = append(widths, widest)
	}
	return widths
}

// fit takes from elastic columns what the terminal has no room for. It says
// whether that was enough.
func (t *table) fit(l look, shown, widths []int) bool {
	if !l.terminal() {
		return true
	}
	over := len(between)*(len(widths)-1) - l.columns
	for _, w := range widths {
		over += w
	}
	for n, i := range slices.Backward(shown) { // what a row is of stands before what is said of it
		if t.columns[i].elastic && over > 0 {
			cut := min(over, max(widths[n]-leastElastic, 0))
			widths[n] -= cut
			over -= cut
		}
	}
	return over <= 0
}

func (t *table) aligned(l look, shown, widths []int) string {
	var b strings.Builder
	line := func(cell func(c column, i int) (string, tone)) {
		var cells []string
		for n, i := range shown {
			text, tone := cell(t.columns[i], i)
			text = padded(shortened(text, widths[n]), widths[n], t.columns[i].right)
			if n == len(shown)-1 {
				text = strings.TrimRight(text, " ")
			}
			cells = append(cells, l.in(tone, text))
		}
		b.WriteString(strings.TrimRight(strings.Join(cells, between), " ") + "\n")
	}
	line(func(c column, _ int) (string, tone) { return c.heading(l), strong })
	for _, row := range t.rows {
		line(func(c column, i int) (string, tone) { return row[i], c.toneOf(row[i]) })
	}
	return b.String()
}

// blocks writes each row as lines of a heading and its cell.
func (t *table) blocks(l look, shown []int) string {
	widest := 0
	for _, i := range shown {
		widest = max(widest, width(t.columns[i].heading(l)))
	}
	var b strings.Builder
	for n, row := range t.rows {
		if n > 0 {
			b.WriteString("\n")
		}
		for _, i := range shown {
			name := l.in(strong, padded(t.columns[i].heading(l), widest, false))
			cell := shortened(row[i], max(l.columns-widest-len(between), leastElastic))
			b.WriteString(strings.TrimRight(name+between+l.in(t.columns[i].toneOf(cell), cell), " ") + "\n")
		}
	}
	return b.String()
}

func (c column) toneOf(cell string) tone {
	if c.tone == nil {
		return plain
	}
	return c.tone(cell)
}

// width is how many columns of a terminal a text takes, where each character
// takes one.
func width(s string) int { return utf8.RuneCountInString(s) }

func padded(s string, to int, right bool) string {
	space := strings.Repeat(" ", max(to-width(s), 0))
	if right {
		return space + s
	}
	return s + space
}

// shortened cuts a text that is too long, and shows that it did.
func shortened(s string, to int) string {
	if width(s) <= to {
		return s
	}
	return string([]rune(s)[:max(to-1, 0)]) + "…"
}
