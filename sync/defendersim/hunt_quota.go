package defendersim

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// HuntCost is the processing that a hunting query uses up which looks at the
// given number of rows: those of its table and of its time.
func HuntCost(rows int) time.Duration {
	return 50*time.Millisecond + time.Duration(rows)*10*time.Microsecond
}

// huntCycle is how long a budget of processing lasts, from one quarter of an
// hour of the clock to the next.
const huntCycle = 15 * time.Minute

// huntBudget is the processing that hunting may use.
type huntBudget struct {
	max        time.Duration // 0 means no limit
	retryAfter bool

	mu    sync.Mutex
	cycle time.Time // when it began
	used  time.Duration
}

// left tells whether a query may begin, else how long it has to wait.
func (b *huntBudget) left(now time.Time) (ok bool, wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	return b.max == 0 || b.used < b.max, b.cycle.Add(huntCycle).Sub(now)
}

func (b *huntBudget) use(now time.Time, cost time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(now)
	b.used += cost
}

func (b *huntBudget) turn(now time.Time) {
	if began := now.Truncate(huntCycle); !began.Equal(b.cycle) {
		b.cycle, b.used = began, 0
	}
}

// HuntingCPU is the processing that hunting queries have used in the present
// quarter of an hour.
func (s *Sim) HuntingCPU() time.Duration {
	b := &s.quota.hunting
	b.mu.Lock()
	defer b.mu.Unlock()
	b.turn(s.now())
	return b.used
}

// exhausted refuses a query for want of processing; nil lets it pass.
func (s *Sim) exhausted(c *call) *answer {
	ok, wait := s.quota.hunting.left(c.at)
	if ok {
		return nil
	}
	code := "TooManyRequests"
	if c.older() {
		code = "429"
	}
	whole := time.Duration(seconds(wait)) * time.Second
	a := c.fail(http.StatusTooManyRequests, code, fmt.Sprintf(
		"You have exceeded processing resources allocated to this tenant. You can run queries again in %s.", time.Time{}.Add(whole).Format(time.TimeOnly)))
	if s.quota.hunting.retryAfter {
		a.set("Retry-After", strconv.Itoa(seconds(wait)))
	}
	return a
}
