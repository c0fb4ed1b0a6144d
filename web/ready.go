package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	defsync "defendersync/sync"
)

func (h *handler) readyz(w http.ResponseWriter, r *http.Request) {
	status, reasons := h.unready(r.Context())
	if len(reasons) == 0 {
		text(w, http.StatusOK, strings.Join(append([]string{"ok"}, warningLines(status)...), "\n")+"\n")
		return
	}
	text(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n")+"\n")
}

// unready says why the worker is not ready, one reason a line; nothing when it is.
func (h *handler) unready(ctx context.Context) (defsync.Status, []string) {
	if reason, err := h.askReady(ctx); reason != "" {
		h.log.Warn("not ready: "+reason, "err", err)
		return defsync.Status{}, []string{reason}
	}
	status, err := h.status.get(ctx)
	if err != nil {
		h.log.Warn("not ready: the status could not be read", "err", err)
		return defsync.Status{}, []string{statusUnreadable}
	}
	return status, staleStreams(status)
}

// warningLines are for whoever looks: what they say is no reason to restart a
// worker, or to send it no traffic.
func warningLines(status defsync.Status) []string {
	var lines []string
	for _, t := range status.Tenants {
		for _, s := range t.Streams {
			for _, w := range s.Warnings {
				lines = append(lines, fmt.Sprintf("warning: %s/%s: %s", t.Name, s.Stream, strings.Join(strings.Fields(w.Text), " ")))
			}
		}
	}
	return lines
}

func (h *handler) askReady(ctx context.Context) (reason string, err error) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	return h.ready(ctx)
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
