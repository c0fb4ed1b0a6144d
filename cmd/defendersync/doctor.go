package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Statuses of a finding.
const (
	findingOK      = "ok"
	findingFailed  = "failed"
	findingSkipped = "skipped" // could not be looked at: the detail says why
)

// finding is one line of the doctor's report. Names in it are stable.
type finding struct {
	Check  string `json:"check"`            // config, reach, clock, token, roles, call, database, privileges, migrations or disk
	Target string `json:"target,omitempty"` // what was checked: a host, a tenant, a stream
	Status string `json:"status"`           // ok, failed or skipped
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do; empty unless failed
}

// report is what `doctor --json` prints.
type report struct {
	OK     bool      `json:"ok"`
	Checks []finding `json:"checks"`
}

func (r *report) ok(check, target, detail string, args ...any) {
	r.add(finding{check, target, findingOK, fmt.Sprintf(detail, args...), ""})
}

func (r *report) skip(check, target, why string) {
	r.add(finding{check, target, findingSkipped, why, ""})
}

func (r *report) fail(check, target string, err error, fix string) {
	r.add(finding{check, target, findingFailed, oneLine(err.Error()), fix})
}

func (r *report) add(f finding) { r.Checks = append(r.Checks, f) }

func (r *report) failures() int {
	n := 0
	for _, f := range r.Checks {
		if f.Status == findingFailed {
			n++
		}
	}
	return n
}

func (a *app) doctorCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check everything a sync needs, and say how to fix what is wrong",
		Args:  noArguments,
		RunE: own(func(cmd *cobra.Command, _ []string) error {
			r, err := a.examine(cmd.Context())
			if err != nil && asJSON && r.failures() > 0 { // whoever reads it by machine is told by machine
				return errors.Join(err, a.printReport(r, asJSON))
			}
			if err == nil {
				r.OK = r.failures() == 0
				err = a.printReport(r, asJSON)
			}
			if err == nil && !r.OK {
				err = &exitError{exitFailed, fmt.Errorf("%d of %d checks failed", r.failures(), len(r.Checks))}
			}
			return err
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "machine-readable")
	return cmd
}

// examine makes all checks that can be made, in the order of the contract. Its
// own error is that of a wrong configuration, without which there is nothing
// more to check.
func (a *app) examine(ctx context.Context) (*report, error) {
	r := &report{}
	c, err := a.config()
	if err != nil {
		r.fail("config", a.configPath, err, "correct it, and see `defendersync config check`")
		return r, err
	}
	log, err := a.logger()
	if err != nil {
		return r, err
	}
	r.ok("config", a.configPath, "%s", counted(len(c.Tenants), "tenant"))
	db, dbErr := openDatabase(ctx, c, log)
	if dbErr == nil {
		defer db.close(log)
	}
	hosts := make(map[string]reading)
	for _, t := range c.Tenants {
		e := &tenantExam{cfg: c, tenant: t, report: r, log: log, hosts: hosts, waits: a.screen}
		if dbErr == nil {
			e.db = db
		}
		e.run(ctx)
	}
	examineDatabase(ctx, r, c, db, dbErr)
	return r, ctx.Err()
}

func (a *app) printReport(r *report, asJSON bool) error {
	if asJSON {
		return printJSON(a.stdout, r)
	}
	l := a.look()
	t := newTable(column{name: "STATUS", tone: findingTone}, column{name: "CHECK"}, column{name: "TARGET", elastic: true}, column{name: "DETAIL", elastic: true})
	for _, f := range r.Checks {
		t.add(f.Status, f.Check, f.Target, f.Detail)
	}
	if err := t.print(a.stdout, l); err != nil {
		return err
	}
	return printFixes(a.stdout, l, r)
}

func findingTone(status string) tone {
	switch status {
	case findingOK:
		return good
	case findingFailed:
		return bad
	}
	return faint
}

// printFixes writes each failure in full below the table, and what to do about
// it: once where one thing cures several.
func printFixes(w io.Writer, l look, r *report) error {
	var fixes []string
	cured := make(map[string]string) // by fix, a line for each failure
	for _, f := range r.Checks {
		if f.Fix == "" {
			continue
		}
		if cured[f.Fix] == "" {
			fixes = append(fixes, f.Fix)
		}
		cured[f.Fix] += l.prose(strings.TrimSpace(f.Check+" "+f.Target)+": "+f.Detail) + "\n"
	}
	for _, fix := range fixes {
		if _, err := fmt.Fprintf(w, "\n%s%s\n", cured[fix], l.in(strong, l.prose("  fix: "+fix))); err != nil {
			return err
		}
	}
	return nil
}
