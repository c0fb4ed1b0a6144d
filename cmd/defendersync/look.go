package main

import (
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"
)

// look is how stdout shows things. A terminal has colours, times as people say
// them, and tables that fit it. Anything else gets all of it, plain: another
// program may read that.
type look struct {
	columns int // of the terminal; 0 for none
	colour  bool
	now     time.Time // from which ages are counted
}

// usualColumns is the width of a terminal that does not tell its own.
const usualColumns = 100

func lookOf(f *os.File, env environment, now time.Time) look {
	if !isTerminal(f) {
		return look{now: now}
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil || columns < 1 {
		columns = usualColumns
	}
	return look{columns, coloured(env), now}
}

// coloured obeys NO_COLOR (no-color.org), and terminals that know no colours.
func coloured(env environment) bool {
	no, _ := env.lookup("NO_COLOR")
	kind, _ := env.lookup("TERM")
	return no == "" && kind != "dumb"
}

// look is that of stdout, now.
func (a *app) look() look { return lookOf(a.stdout, a.env, time.Now()) }

func (l look) terminal() bool { return l.columns > 0 }

// tone is what a word is to its reader.
type tone string

// The tones: escape sequences that every terminal with colours knows, and whose
// colours its owner has chosen.
const (
	plain  tone = ""
	strong tone = "\x1b[1m"
	faint  tone = "\x1b[2m"
	bad    tone = "\x1b[31m"
	good   tone = "\x1b[32m"
	odd    tone = "\x1b[33m"
)

// in writes text in a tone.
func (l look) in(t tone, text string) string {
	if !l.colour || t == plain || strings.TrimSpace(text) == "" {
		return text
	}
	return string(t) + text + "\x1b[0m"
}

// outcomeTone is that of a cell that begins with how something ended.
func outcomeTone(cell string) tone {
	word, rest, _ := strings.Cut(cell, " ")
	switch {
	case strings.HasPrefix(rest, "(stale)"), word == "failed", word == "locked":
		return bad
	case word == "ok":
		return good
	case word == "partial", word == "interrupted":
		return odd
	}
	return faint
}

// troubleTone is that of a number that should be 0.
func troubleTone(cell string) tone {
	if cell == "0" || cell == "-" {
		return faint
	}
	return odd
}

// number is grouped for people only.
func (l look) number(n int64) string {
	if l.terminal() {
		return grouped(n)
	}
	return strconv.FormatInt(n, 10)
}

// when is a time: as its distance from now on a terminal, in full elsewhere.
func (l look) when(t *time.Time) string {
	switch {
	case t == nil:
		return "-"
	case !l.terminal():
		return clock(t)
	case t.After(l.now):
		return "in " + brief(t.Sub(l.now))
	}
	return brief(l.now.Sub(*t)) + " ago"
}

// span is a duration: rounded to what matters on a terminal, in full elsewhere.
func (l look) span(d time.Duration) string {
	if l.terminal() {
		return brief(d)
	}
	return d.String()
}

// brief is a duration in its largest unit or two.
func brief(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 10*time.Minute:
		return withoutZero(d.Round(time.Second).String(), "0s")
	}
	return withoutZero(lasts(d.Round(time.Minute)), "0m")
}

// withoutZero is 5m for 5m0s.
func withoutZero(s, zero string) string {
	if rest, ok := strings.CutSuffix(s, zero); ok && !strings.ContainsAny(rest[len(rest)-1:], "0123456789") {
		return rest
	}
	return s
}

// prose is a sentence, in lines that fit the terminal; those after the first
// are indented by two more than it.
func (l look) prose(text string) string {
	if !l.terminal() {
		return text
	}
	var b strings.Builder
	indent := text[:len(text)-len(strings.TrimLeft(text, " "))]
	b.WriteString(indent)
	at := len(indent)
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case at+1+width(word) > l.columns:
			b.WriteString("\n  " + indent)
			at = 2 + len(indent)
		default:
			b.WriteString(" ")
			at++
		}
		b.WriteString(word)
		at += width(word)
	}
	return b.String()
}
