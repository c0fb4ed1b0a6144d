package sync

import (
	"context"
	"fmt"
	"strings"
	"time"

	"defendersync/store"
)

// Warning is something about a stream that looks wrong although nothing failed.
type Warning struct {
	Kind WarningKind `json:"kind"`
	Text string      `json:"text"` // a sentence without its full stop
}

// WarningKind says what a warning is about. Names are stable.
type WarningKind string

const (
	WarningSilence  WarningKind = "silence"  // no record for longer than is usual
	WarningVolume   WarningKind = "volume"   // no record in an hour of the week that always had some
	WarningExpiring WarningKind = "expiring" // what was not read is about to be forgotten by the service
	WarningRun      WarningKind = "run"      // what the last run said and the next may not: a backfill, a comparison, an answer without all of the key
)

// WarningKinds lists all kinds.
func WarningKinds() []WarningKind {
	return []WarningKind{WarningSilence, WarningVolume, WarningExpiring, WarningRun}
}

// warner looks for what is unusual about one stream. It reads what is stored,
// and so a pass that has just ended and a status asked for later say the same.
type warner struct {
	store  *store.Store
	stream Stream
	cp     store.Checkpoint
	gaps   []store.Gap
}

// warnings says so when the stream is quieter than it can be by itself: a
// revoked licence or a filtered view looks just like a quiet tenant. Before a
// first pass has ended nothing is known of what is usual.
func (w warner) warnings(ctx context.Context) ([]Warning, error) {
	if w.cp.PassedAt.IsZero() {
		return nil, nil
	}
	ledger, err := w.store.Coverage(ctx, w.cp.TenantID, w.stream.Name, w.cp.StartTime, w.cp.Watermark)
	if err != nil {
		return nil, err
	}
	var all []Warning
	if text := w.silence(ledger); text != "" {
		all = append(all, Warning{WarningSilence, text})
	}
	text, err := w.emptyHour(ctx, w.store)
	if text != "" {
		all = append(all, Warning{WarningVolume, text})
	}
	return all, err
}

// silence says so where less has come than must have.
func (w warner) silence(ledger []store.Coverage) string {
	if h := w.stream.Hunt; h != nil && h.Mode != ModeEvents {
		if text := emptyResult(w.stream.Name, ledger); text != "" {
			return text
		}
	}
	return unexpectedZero(w.stream.Name, span{w.cp.StartTime, w.cp.Watermark}, ledger)
}

// warning is what sync.runs keeps of a pass that has ended: what is unusual
// now, and that the stream was stale before it, which the pass has mended.
func (p *course) warning(ctx context.Context, s *store.Store, before time.Time) (string, error) {
	gaps, err := s.Gaps(ctx, p.cp.TenantID, p.stream.Name)
	if err != nil {
		return "", err
	}
	all, err := warner{s, p.stream, p.cp, gaps}.warnings(ctx)
	var texts []string
	for _, w := range all {
		texts = append(texts, w.Text)
	}
	if !before.IsZero() && stale(before, p.stream.Schedule, p.started) {
		texts = append(texts, fmt.Sprintf("no pass had ended since %s UTC, though the schedule asks for one %s",
			before.UTC().Format("2006-01-02 15:04"), p.stream.Schedule))
	}
	return strings.Join(texts, noteEnd), err
}

// noteEnd is between the sentences of a run's warning.
const noteEnd = "; "

// From when on a silence is worth a word: so long, and where so many records
// would have been usual.
const (
	silenceFrom   = time.Hour
	silenceRows   = 30
	silenceAtAll  = 7 * 24 * time.Hour // for a stream that never had a record
	silenceAdvice = "check that the app still has its role and the tenant its licence"
)

// unexpectedZero looks at the ledger of known, in order, and not at one pass:
// each pass reads little more than the overlap, which may well be empty.
func unexpectedZero(stream string, known span, ledger []store.Coverage) string {
	rows, last := int64(0), known.since
	for _, c := range ledger {
		if rows += c.Rows; c.Rows > 0 {
			last = c.To
		}
	}
	silence := known.until.Sub(last)
	if rows == 0 {
		if silence < silenceAtAll {
			return ""
		}
		return fmt.Sprintf("the source has served no %s at all since %s: %s", recordsOf(stream), known.since.Format(time.DateOnly), silenceAdvice)
	}
	usual := float64(rows) * float64(silence) / float64(known.width())
	if silence < silenceFrom || usual < silenceRows {
		return ""
	}
	return fmt.Sprintf("no %s in the last %s, where about %.0f would have been usual: %s",
		recordsOf(stream), silence.Round(time.Minute), usual, silenceAdvice)
}

// emptyResult looks at a stream that is read whole, each time in one range of the
// ledger: an empty result ends every row that there was. It is told at once, and
// for as long as a silence is; a query that finds something now and then is not to
// warn for ever of the last time that it did.
func emptyResult(stream string, ledger []store.Coverage) string {
	last := len(ledger) - 1
	n := last
	for n >= 0 && ledger[n].Rows == 0 {
		n--
	}
	if n < 0 || n == last {
		return "" // it never had a row, or has
	}
	had := ledger[n].To
	if n < last-1 && ledger[last].To.Sub(had) > silenceAtAll {
		return ""
	}
	return fmt.Sprintf("the result of %s is empty, and had rows as late as %s UTC, which have all ended: %s, or that the query still means what it did",
		stream, had.UTC().Format("2006-01-02 15:04"), silenceAdvice)
}

// recordsOf names what a stream is made of.
func recordsOf(stream string) string {
	if strings.HasPrefix(stream, huntingPrefix) {
		return "rows of " + stream
	}
	return stream
}
