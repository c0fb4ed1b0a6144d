package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	defsync "defendersync/sync"
)

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	reasons := h.unready(r.Context())
	if len(reasons) == 0 {
		text(w, http.StatusOK, "ok\n")
		return
	}
	text(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n")
}

// unready says why the worker is not ready, one reason a line; nothing when it is.
func (h *handler) unready(ctx context.Context) []string {
	for _, c := range h.checks {
		if err := runCheck(ctx, c); err != nil {
			h.log.Warn("not ready: "+c.Reason, "err", err)
			return []string{c.Reason}
		}
	}
	status, err := h.status.get(ctx)
	if err != nil {
		h.log.Warn("not ready: the status could not be read", "err", err)
		return []string{statusUnreadable}
	}
	return staleStreams(status)
}

func runCheck(ctx context.Context, c Check) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	return c.Run(ctx)
}

func staleStreams(status defsync.Status) []string {
	var reasons []string
	for _, t := range status.Tenants {
		for _, s := range t.Streams {
			if s.Stale {
				reasons = append(reasons, fmt.Sprintf("tenant %s: stream %s is stale: %s", t.Name, s.Stream, staleness(s)))
			}
		}
	}
	return reasons
}

func staleness(s defsync.StreamStatus) string {
	switch {
	case s.LagSeconds == nil:
		return "nothing has been stored yet"
	case s.InPass:
		return "its pass has not ended yet, it lags " + lag(s.LagSeconds)
	}
	return "no pass has ended for three firings of its schedule, it lags " + lag(s.LagSeconds)
}
