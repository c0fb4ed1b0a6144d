package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
	"defendersync/sync/translate"
)

// Kinds of quarantine rows beside those of translate: what the payload holds.
const (
	kindIncidentAlerts = "incident_alerts" // the incident is stored, its alerts could not be read
	kindHuntingRow     = "hunting_row"     // a row that PostgreSQL refused, or an element of an answer that is no row
	kindResponse       = "response"        // bytes that could not be read as records
)

// partialReason goes to sync.gaps when the service answers 206.
const partialReason = "the service answered 206: it says itself that something is missing"

// window is the ordinary phase: ask for what comes next and decide whether the
// answer holds it whole.
func (p *pass) window(ctx context.Context) error {
	w := span{p.cursor, p.until}
	if p.width > 0 {
		w.until = earlier(w.until, w.since.Add(p.width))
	}
	a, err := p.ask(ctx, defender.Request{Since: w.since, Until: w.until, Top: p.top})
	if err != nil {
		return p.refused(ctx, w, err)
	}
	end := w.until
	inOrder := p.ep.ordered && p.inOrder(a)
	switch {
	case !a.full:
	case a.astray(w):
		end = later(earlier(w.until, p.vouched(a.served, w.until)), w.since.Add(tick))
		return p.enter(ctx, &atom{At: w.since, End: end, Top: p.top})
	case inOrder && a.sorted && a.last.After(w.since):
		if end = earlier(a.last, w.until); p.top == 1 && end.Before(w.until) {
			p.atom = &atom{At: end, Top: p.ep.limit, Mark: firstRound} // asked for by time, it would come once more
		}
	case p.ep.ordered && a.sorted && a.last.After(w.since) && a.last.Before(w.until):
		return p.shorten(ctx, w, a.last)
	case p.ep.ordered && a.sorted && a.last.Equal(w.since), w.width() <= tick:
		return p.enter(ctx, &atom{At: w.since, Top: p.top})
	default:
		return p.narrow(ctx, a.cut(w))
	}
	p.whole = w.width()
	p.widen(w, a)
	verdict, reason := a.verdict()
	vouched := p.vouched(a.served, end)
	if vouched.Before(end) {
		p.until = earlier(p.until, vouched) // the server's present: nothing more to be had in this pass
	}
	return p.advance(ctx, a, vouched, verdict, reason)
}

// verdict is about a window that the answer holds up to its cap.
func (a *answer) verdict() (store.Verdict, string) {
	if a.partial {
		return store.Truncated, partialReason
	}
	return store.Complete, ""
}

// astrayBy is how far outside of its window a record has to be until the filter is
// not obeyed: services round.
const astrayBy = time.Second

// astray says whether the answer to w has records that were not asked for. Such a
// service answers a narrower window with the same, and only its links lead on.
func (a *answer) astray(w span) bool {
	return !a.first.IsZero() && a.first.Before(w.since.Add(-astrayBy)) || !a.last.Before(w.until.Add(astrayBy))
}

// cut is how wide the window should have been: half, or up to where the middle
// one of the records that came stands. Records that crowd in one microsecond
// are so come upon at once.
func (a *answer) cut(w span) time.Duration {
	var at []time.Duration
	for _, t := range a.Times {
		if !t.IsZero() {
			at = append(at, micro(t).Sub(w.since))
		}
	}
	if len(at) == 0 {
		return w.halved()
	}
	slices.Sort(at)
	return max(min(w.halved(), at[len(at)/2]), tick)
}

// narrow asks for less than the window whose answer was thrown away, and
// remembers that at once: a pass killed on its way down would else ask all of it
// again.
func (p *pass) narrow(ctx context.Context, width time.Duration) error {
	p.width = width
	return p.save(ctx, store.Commit{})
}

// shorten asks again for what comes before last: the answer ends there, but
// nothing says yet that it was in order and left out only what is later.
func (p *pass) shorten(ctx context.Context, w span, last time.Time) error {
	p.width = last.Sub(w.since)
	return p.save(ctx, store.Commit{})
}

// widen sets the next window by what this one held. While a bad record is being
// isolated windows only get narrower: growing again would run into it each time.
func (p *pass) widen(w span, a *answer) {
	if p.width == 0 || p.trouble {
		return
	}
	p.width = nextWidth(w.width(), a.records, p.ep.limit)
	if p.ep.ordered && a.sorted && (p.rises >= enoughRises || p.width >= firstWidth) {
		p.width = 0 // an ordered answer needs no width
	}
}

// enter goes into one microsecond that did not fit, to page inside it.
func (p *pass) enter(ctx context.Context, at *atom) error {
	at.Mark = firstRound
	p.atom = at
	return p.save(ctx, store.Commit{})
}

// Rounds through one microsecond that keeps changing while it is paged. A
// record that is updated leaves it, and the ones behind move up past the
// reader, so that a round sees one less for each that left while it went on. A
// round that sees as many as the one before, and writes nothing, has missed none.
// That it wrote nothing is not enough: one record may be missed by every round.
const (
	maxRounds  = 5
	firstRound = -1
)

// atomPage reads the next page inside one microsecond.
func (p *pass) atomPage(ctx context.Context) error {
	at := p.atom
	w := at.span()
	req := defender.Request{Since: w.since, Until: w.until, Top: at.Top, Next: at.Next, NoAlerts: at.Bare}
	if p.ep.skips {
		req.Skip = at.Skip
	}
	a, err := p.ask(ctx, req)
	if err != nil {
		return p.atomRefused(ctx, err)
	}
	if a.next != "" && a.next == at.Next {
		return p.unlinked(ctx, errors.New("it leads to itself"))
	}
	at.Pages++
	at.Steps = 0
	at.Partial = at.Partial || a.partial
	at.Skip += a.records
	at.Seen += a.records
	at.Next = a.next
	if at.Bare {
		a.Partial = idsOf(a)
	}
	if more := a.next != "" || p.ep.skips && a.full; more {
		return p.save(ctx, p.take(a))
	}
	return p.lastPage(ctx, a)
}

// lastPage is the end of a round. One page is a snapshot and needs no second;
// of several, what they wrote has to be known before the round can be judged.
func (p *pass) lastPage(ctx context.Context, a *answer) error {
	if p.atom.Pages == 1 && !p.atom.Bare {
		return p.leave(ctx, a, store.Complete, "")
	}
	p.atom.Ended = true
	return p.save(ctx, p.take(a))
}

// endRound trusts a round that saw as many records as the one before and wrote
// none, and reads another after any other. Alerts that are left out are asked
// for when the rounds are over: in between they would give what is there so much
// time to change that no round could be trusted.
func (p *pass) endRound(ctx context.Context) error {
	at := p.atom
	switch {
	case at.Bare && at.Pages == 1 || at.Mark == p.cp.Changed && at.Seen == at.Last:
		return p.leave(ctx, &answer{}, store.Complete, "")
	case at.Round+1 >= maxRounds:
		return p.leave(ctx, &answer{}, store.Truncated, fmt.Sprintf("%s kept changing through %d readings", at.name(), maxRounds))
	}
	p.atom = &atom{At: at.At, End: at.End, Top: at.Top, Round: at.Round + 1, Mark: p.cp.Changed, Last: at.Seen, Bare: at.Bare, Bad: at.Bad}
	return p.save(ctx, store.Commit{})
}

// leave vouches for the microsecond and goes on after it.
func (p *pass) leave(ctx context.Context, a *answer, verdict store.Verdict, reason string) error {
	end := p.atom.span().until
	if verdict == store.Complete && p.atom.Partial {
		verdict, reason = store.Truncated, partialReason
	}
	if p.atom.Bad {
		p.calmDown()
	}
	p.atom = nil
	if p.width > 0 && p.whole > 0 && !p.trouble {
		p.width = p.whole // what was narrow was the crowd in one microsecond
	}
	return p.advance(ctx, a, end, verdict, reason)
}

// idsOf lists the incidents of an answer as the API names them.
func idsOf(a *answer) []string {
	ids := make([]string, len(a.Incidents))
	for i := range a.Incidents {
		ids[i] = translate.IncidentKey(a.Incidents[i].IncidentID)
	}
	return ids
}

// pendingAlerts reads the alerts of one incident that did not come with it.
func (p *pass) pendingAlerts(ctx context.Context) error {
	id := p.pending.IDs[0]
	page, err := p.alerts(defender.ContextWithMeter(ctx, p.meter), id, p.pending.Next)
	if err != nil {
		return p.alertsRefused(ctx, err)
	}
	c := p.take(&answer{Rows: translate.Alerts(p.cp.TenantID, page.Records, micro(p.now())), records: len(page.Records)})
	p.pending.Next = page.Next
	p.pending.Partial = p.pending.Partial || page.Incomplete
	switch {
	case page.Next != "":
		return p.save(ctx, c)
	case p.pending.Partial:
		c.Quarantine = append(c.Quarantine, alertsUnread(id, errors.New(partialReason)))
	default:
		c.Resolved = append(c.Resolved, store.QuarantineKey{Kind: kindIncidentAlerts, Key: id})
	}
	p.pending = pending{IDs: p.pending.IDs[1:]}
	return p.save(ctx, c)
}

// alertsRefused begins the alerts of an incident again where a next link is
// forgotten, and leaves them in quarantine where it is they, or the incident is
// gone, and not the service.
func (p *pass) alertsRefused(ctx context.Context, err error) error {
	switch {
	case statusGone(err) && p.pending.Next != "" && p.pending.Round+1 < maxRounds:
		p.pending.Next, p.pending.Partial = "", false
		p.pending.Round++
		return p.save(ctx, store.Commit{})
	case isolatable(err):
		if down := p.probe(ctx); down != nil {
			return errors.Join(err, down)
		}
	case p.ep.skips && ctx.Err() == nil: // the tenant was moved to the API without this call
	case !statusGone(err):
		return err
	}
	c := store.Commit{Quarantine: []store.Quarantined{alertsUnread(p.pending.IDs[0], err)}}
	p.pending = pending{IDs: p.pending.IDs[1:]}
	return p.save(ctx, c)
}

func alertsUnread(id string, err error) store.Quarantined {
	payload, _ := json.Marshal(map[string]string{"incidentId": id}) // a map of strings always marshals
	return store.Quarantined{Kind: kindIncidentAlerts, Key: id, Payload: payload,
		Reason: "the incident is stored, its alerts could not all be read: " + err.Error()}
}

// isolatable says whether a failure may belong to one record rather than to the
// service: it lasted through the retries and says nothing against the caller.
func isolatable(err error) bool {
	var status *defender.StatusError
	if errors.As(err, &status) {
		return status.Status >= 500
	}
	var large *defender.TooLargeError
	var decode *defender.DecodeError
	var timeout *defender.TimeoutError
	return errors.As(err, &large) || errors.As(err, &decode) || errors.As(err, &timeout)
}

// statusGone is what a next link that the service has forgotten answers with,
// and an incident that is no more. A link to another host is as good as forgotten.
func statusGone(err error) bool {
	var status *defender.StatusError
	var link *defender.LinkError
	return errors.As(err, &link) || errors.As(err, &status) && (status.Status == 400 || status.Status == 404 || status.Status == 410)
}
