package sync

import (
	"context"
	"fmt"
	"time"

	"defendersync/store"
)

// warning says so when the stream has been quieter than it can be by itself: a
// revoked licence or a filtered view looks just like a quiet tenant.
func (p *course) warning(ctx context.Context, s *store.Store) (string, error) {
	ledger, err := s.Coverage(ctx, p.cp.TenantID, p.stream.Name, p.cp.StartTime, p.cp.Watermark)
	if err != nil {
		return "", err
	}
	return unexpectedZero(p.stream.Name, span{p.cp.StartTime, p.cp.Watermark}, ledger), nil
}

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
		return fmt.Sprintf("the source has served no %s at all since %s: %s", stream, known.since.Format(time.DateOnly), silenceAdvice)
	}
	usual := float64(rows) * float64(silence) / float64(known.width())
	if silence < silenceFrom || usual < silenceRows {
		return ""
	}
	return fmt.Sprintf("no %s in the last %s, where about %.0f would have been usual: %s",
		stream, silence.Round(time.Minute), usual, silenceAdvice)
}
