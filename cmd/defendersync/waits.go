package main

import (
	"fmt"
	"io"
	"time"

	"defendersync/sync/defender"
)

// tellWaits says on w what a command waits for that has nothing else to show
// meanwhile; most is how long it would wait, 0 for as long as it takes.
func tellWaits(w io.Writer, family string, most time.Duration) func(defender.Wait) {
	return func(wait defender.Wait) {
		span := brief(wait.For)
		if most > 0 && wait.For > most {
			span = "up to " + brief(most)
		}
		if wait.Limit == 0 {
			fmt.Fprintf(w, "waiting %s: the service asked for it\n", span)
			return
		}
		per := "min"
		if wait.Per == time.Hour {
			per = "h"
		}
		fmt.Fprintf(w, "waiting %s for the %s quota (%d/%s)\n", span, family, wait.Limit, per)
	}
}
