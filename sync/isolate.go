package sync

import (
	"context"
	"errors"
	"fmt"
	"time"

	"defendersync/store"
	"defendersync/sync/defender"
)

// refused deals with a window that the service would not give. A failure that
// lasted through the retries is either the service, and then the pass fails and
// a later one goes on here, or one record, and then it is isolated: a smaller
// page, then alone, then without its alerts, then a narrower window, and at
// last its microsecond is recorded as failed and the stream goes on.
func (p *pass) refused(ctx context.Context, w span, err error) error {
	if !isolatable(err) {
		return err
	}
	if alive := p.alive(ctx); alive != nil {
		return errors.Join(err, alive)
	}
	p.expectTrouble()
	switch {
	case p.ep.ordered && p.top > 1:
		p.top = smaller(p.top)
		return nil
	case p.ep.bare && (!p.stubborn || w.width() <= tick):
		return p.withoutAlerts(ctx, w, err)
	case w.width() > tick:
		return p.narrow(ctx, w.halved())
	case p.ep.skips:
		return p.enter(ctx, &atom{At: w.since, Top: smaller(p.ep.limit), Bad: true})
	default:
		return p.giveUp(ctx, w, err)
	}
}

// cleanAnswers is how many answers in a row have to succeed before a failure is
// again taken for the service's: enough to be past the record that caused it.
const cleanAnswers = 5

// expectTrouble sends once instead of four times while a record that makes its
// answer fail is near.
func (p *pass) expectTrouble() {
	if !p.trouble {
		p.calm = p.width
	}
	p.trouble, p.clean = true, 0
}

// succeeded takes back, a step at a time, what isolating made smaller.
func (p *pass) succeeded() {
	if !p.trouble {
		return
	}
	if p.clean++; p.clean < cleanAnswers {
		return
	}
	p.top, p.clean = larger(p.top, p.ep.limit), 0
	p.trouble = p.top < p.ep.limit
	p.stubborn = p.stubborn && p.trouble
}

// calmDown is for when the bad record has been passed.
func (p *pass) calmDown() {
	if p.trouble {
		p.width, p.top, p.trouble, p.clean = p.calm, p.ep.limit, false, 0
		p.stubborn = false
	}
}

func smaller(top int) int {
	if top > 10 {
		return 10
	}
	return 1
}

func larger(top, limit int) int {
	if top == 1 {
		return min(10, limit)
	}
	return limit
}

// alive says whether the service answers at all, as far as is known. One that
// does not is down, and nothing is to be learnt from it about a record.
func (p *pass) alive(ctx context.Context) error {
	if p.trouble {
		return nil // it answered a moment ago
	}
	return p.probe(ctx)
}

// probe asks for a window without records, older than the product. Nothing is
// stepped over before it was asked: the service may have gone down since.
func (p *pass) probe(ctx context.Context) error {
	empty := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	_, err := p.ep.fetch(defender.ContextWithMeter(ctx, p.meter), defender.Request{Since: empty, Until: empty.Add(tick), Top: 1})
	return err
}

// withoutAlerts finds the first incident of the window by leaving the alerts
// out, vouches for the emptiness before it, and goes into its microsecond. It
// asks for a whole page: one record alone shows nothing of the order.
func (p *pass) withoutAlerts(ctx context.Context, w span, cause error) error {
	a, err := p.ask(ctx, defender.Request{Since: w.since, Until: w.until, Top: p.ep.limit, NoAlerts: true})
	switch {
	case err != nil && !isolatable(err):
		return err
	case err == nil && !a.first.IsZero() && (p.inOrder(a) || !a.full || w.width() <= tick):
		return p.enterBare(ctx, w, a)
	case w.width() > tick:
		p.expectTrouble()
		p.stubborn = err != nil
		return p.narrow(ctx, w.halved())
	default:
		return p.giveUp(ctx, w, cause)
	}
}

// enterBare vouches for the emptiness before the first record of a, and goes
// into its microsecond.
func (p *pass) enterBare(ctx context.Context, w span, a *answer) error {
	at := later(w.since, earlier(a.first, w.until.Add(-tick)))
	p.atom = &atom{At: at, Top: p.ep.limit, Bad: true, Bare: true, Mark: firstRound}
	var c store.Commit
	if at.After(p.cursor) {
		verdict, reason := a.verdict()
		c.Coverage = []store.Coverage{p.coverage(at, 0, verdict, reason)}
		p.move(at, a.served)
	}
	return p.save(ctx, c)
}

// atomRefused deals with a page inside one microsecond that failed.
func (p *pass) atomRefused(ctx context.Context, err error) error {
	at := p.atom
	if at.Next != "" && statusGone(err) {
		return p.unlinked(ctx, err)
	}
	if !isolatable(err) {
		return err
	}
	if alive := p.alive(ctx); alive != nil {
		return errors.Join(err, alive)
	}
	p.expectTrouble()
	at.Bad = true
	switch {
	case at.Top > 1 && at.Next == "":
		at.Top = smaller(at.Top)
		return p.save(ctx, store.Commit{})
	case p.ep.skips:
		return p.stepOver(ctx, err)
	case p.ep.bare && !at.Bare:
		p.atom = at.again(p.ep.limit)
		p.atom.Bad, p.atom.Bare = true, true
		return p.save(ctx, store.Commit{})
	default:
		p.atom = nil
		return p.giveUp(ctx, at.span(), err)
	}
}

// maxDeadLinks is how many microseconds of a pass may be left because their
// links do not work. Where all are dead it is the service, and not a place.
const maxDeadLinks = 3

// unlinked begins a microsecond again whose next link the service has
// forgotten. A link that never works must not stop the stream.
func (p *pass) unlinked(ctx context.Context, err error) error {
	at := p.atom
	if at.Round++; at.Round >= maxRounds {
		if p.deadLinks++; p.deadLinks > maxDeadLinks {
			return fmt.Errorf("the links to next pages do not work, in %d places: %w", p.deadLinks, err)
		}
		return p.leave(ctx, &answer{}, store.Truncated, "the link to the next page does not work: "+err.Error())
	}
	at.Next, at.Skip, at.Pages, at.Seen, at.Mark, at.Partial = "", 0, 0, 0, firstRound, false
	return p.save(ctx, store.Commit{})
}

// maxSteps is how many places in a row are stepped over before it is taken for
// granted that the service fails for the microsecond, whatever the place.
const maxSteps = 3

// stepOver leaves one record of the older API behind, in quarantine: asked for
// alone, by its place, it still makes the answer fail.
func (p *pass) stepOver(ctx context.Context, err error) error {
	if down := p.probe(ctx); down != nil {
		return errors.Join(err, down)
	}
	at := p.atom
	w := at.span()
	if at.Steps++; at.Steps >= maxSteps {
		p.atom = nil
		return p.giveUp(ctx, w, err)
	}
	q := unread(w, err)
	q.Key = fmt.Sprintf("%s#%d", q.Key, at.Skip)
	at.Skip++
	return p.save(ctx, store.Commit{Quarantine: []store.Quarantined{q}})
}

// giveUp records one microsecond as failed, with what was served of it, and
// goes on after it.
func (p *pass) giveUp(ctx context.Context, w span, err error) error {
	if down := p.probe(ctx); down != nil {
		return errors.Join(err, down)
	}
	c := store.Commit{
		Coverage:   []store.Coverage{p.coverage(w.until, 0, store.Failed, err.Error())},
		Quarantine: []store.Quarantined{unread(w, err)},
	}
	p.move(w.until, time.Time{})
	p.calmDown()
	return p.save(ctx, c)
}

// unread is the quarantine row of an answer that could not be read.
func unread(w span, err error) store.Quarantined {
	q := store.Quarantined{Kind: kindResponse, Reason: err.Error(), Key: windowKey(w)}
	var decode *defender.DecodeError
	if errors.As(err, &decode) {
		q.Payload = decode.Body
	}
	return q
}
