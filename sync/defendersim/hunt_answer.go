package defendersim

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// huntAnswer answers a hunting query.
func (s *Sim) huntAnswer(c *call) *answer {
	if a := s.exhausted(c); a != nil {
		return a
	}
	if c.hunt.err != nil {
		return c.refuseHunt(c.hunt.err)
	}
	seen, err := reach(c.hunt.Timespan, c.at)
	if err != nil {
		return c.refuseHunt(err)
	}
	h := s.opt.Hunting
	h.mu.RLock()
	defer h.mu.RUnlock()
	env := &huntEnv{tables: h, now: c.at, reach: seen, rejectShadow: s.opt.HuntRejectPrelude}
	found, err := env.run(c.hunt.Query)
	cost := HuntCost(env.scanned)
	s.quota.hunting.use(c.at, cost)
	if err != nil {
		return c.refuseHunt(err)
	}
	if len(found.rows) > s.opt.HuntCap {
		found.rows = found.rows[:s.opt.HuntCap]
	}
	return s.encodeHunt(c, found, cost)
}

// refuseHunt is the error that a query or its body meets.
func (c *call) refuseHunt(err error) *answer {
	r, ok := errors.AsType[*huntRefusal](err)
	if !ok {
		r = &huntRefusal{message: err.Error()}
	}
	return c.fail(cmp.Or(r.status, http.StatusBadRequest), cmp.Or(r.code, "BadRequest"), r.message)
}

const tooLarge = "Query execution has exceeded the allowed result size. Optimize your query by limiting the amount of results and try again."

// encodeHunt writes what a query found, in the dialect of the request.
func (s *Sim) encodeHunt(c *call, found *huntRel, cost time.Duration) *answer {
	e := &huntEncoder{HuntEncoding: s.opt.HuntEncoding, older: c.older(), max: s.opt.HuntMaxBytes}
	if e.older {
		e.stats(found, cost, uint64(c.seq))
	} else {
		e.b = append(e.b, `{"@odata.context":"https://graph.microsoft.com/v1.0/$metadata#microsoft.graph.security.huntingQueryResults",`...)
	}
	e.schema(found.cols)
	places, ok := e.results(found)
	if !ok {
		return c.fail(http.StatusBadRequest, "BadRequest", tooLarge)
	}
	return &answer{body: e.b, rows: places}
}

// stats is what the older API says of a query's cost.
func (e *huntEncoder) stats(found *huntRel, cost time.Duration, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0x73746174))
	hits, misses := 1000+r.IntN(900_000), r.IntN(5000)
	w := &encoder{}
	w.braces(func() {
		w.float("ExecutionTime", cost.Seconds()/4)
		w.obj("resource_usage", func() {
			w.obj("cache", func() {
				for _, level := range []string{"memory", "disk"} {
					w.obj(level, func() {
						w.int("hits", int64(hits))
						w.int("misses", int64(misses))
						w.int("total", int64(hits+misses))
					})
					hits, misses = hits/700, misses/20
				}
			})
			w.obj("cpu", func() {
				w.text("user", timespanText(int64(cost/100)))
				w.text("kernel", "00:00:00")
				w.text("total cpu", timespanText(int64(cost/100)))
			})
			w.obj("memory", func() { w.int("peak_per_node", int64(200_000_000+r.IntN(60_000_000))) })
		})
		w.list("dataset_statistics", 1, func(int) {
			w.braces(func() {
				w.int("table_row_count", int64(len(found.rows)))
				w.int("table_size", int64(51*len(found.rows)))
			})
		})
	})
	e.b = append(append(append(e.b, `{"Stats":`...), w.b...), ',')
}

// timespanText writes ticks as the service writes a timespan: days only where
// there are any, and a fraction of seven digits or none.
func timespanText(ticks int64) string {
	b := make([]byte, 0, 32)
	if ticks < 0 {
		b, ticks = append(b, '-'), -ticks
	}
	if days := ticks / (24 * 3600 * ticksPerSecond); days > 0 {
		b = append(strconv.AppendInt(b, days, 10), '.')
	}
	rest := time.Duration(ticks%(24*3600*ticksPerSecond)) * 100
	layout := time.TimeOnly
	if rest%time.Second != 0 {
		layout = "15:04:05.0000000"
	}
	return string(time.Time{}.Add(rest).AppendFormat(b, layout))
}
