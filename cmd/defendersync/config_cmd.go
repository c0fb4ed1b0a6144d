package main

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	defsync "defendersync/sync"
	"defendersync/sync/defender"

	"github.com/spf13/cobra"
)

//go:embed config.schema.json
var configSchema []byte

func (a *app) configCommand() *cobra.Command {
	check := &cobra.Command{
		Use:   "check",
		Short: "Validate the configuration file, with line and column for each mistake",
		Args:  noArguments,
		RunE: own(func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			return printConfig(a.stdout, a.configPath, c)
		}),
	}
	schema := &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file, for editors",
		Args:  noArguments,
		RunE: own(func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(configSchema)
			return err
		}),
	}
	return group("config", "Check the configuration file or print its schema", check, schema)
}

// printConfig writes a summary that holds no secret.
func printConfig(w io.Writer, path string, c *config) error {
	fmt.Fprintf(w, "%s: ok\n\n", path)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "TENANT\tTENANT ID\tAPI\tCLOUD\tCALLS/MIN\tCALLS/HOUR\tHUNTING/MIN")
	for _, tenant := range c.Tenants {
		limits := tenant.Limits.incidents()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\t%d\n", tenant.Name, tenant.TenantID, tenant.API, tenant.Cloud,
			limits.PerMinute, limits.PerHour, tenant.Limits.hunting().PerMinute)
	}
	fmt.Fprintln(t, "\nSTREAM\tSCHEDULE\tNEXT\tSTART\tOVERLAP\tSETTLE")
	printSchedule(t, "incidents", c.Streams.Incidents, false)
	printSchedule(t, "alerts", c.Streams.Alerts, false)
	for i := range c.Streams.Hunting {
		h := &c.Streams.Hunting[i]
		printSchedule(t, h.stream().Name, h.streamConfig, h.hunt.Mode != defsync.ModeEvents)
	}
	for _, tenant := range c.Tenants {
		if c.Streams.Alerts.Enabled && tenant.dialect() == defender.Older {
			fmt.Fprintf(t, "\n%s\thas no stream alerts: on the older API alerts come with their incidents\n", tenant.Name)
		}
	}
	fmt.Fprintf(t, "\ndatabase\t%s\n", databaseSummary(c))
	fmt.Fprintf(t, "http\t%s\n", httpSummary(c))
	if warnings := c.warnings(); len(warnings) > 0 {
		fmt.Fprintf(t, "\n%s\n", strings.Join(warnings, "\n"))
	}
	return t.Flush()
}

// printSchedule writes the line of one stream. One that is read whole each time
// starts nowhere and overlaps nothing.
func printSchedule(w io.Writer, name string, s streamConfig, whole bool) {
	switch next := s.Schedule.Next(time.Now()).UTC().Format(time.RFC3339); {
	case !s.Enabled:
		fmt.Fprintf(w, "%s\tdisabled\n", name)
	case whole:
		fmt.Fprintf(w, "%s\t%s\t%s\t-\t-\t-\n", name, s.Schedule, next)
	default:
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", name, s.Schedule, next, s.Start, s.Overlap, s.Settle)
	}
}

func databaseSummary(c *config) string {
	if c.Database.URL == "" {
		return "a private PostgreSQL under " + c.DataDir
	}
	return "as database.url says"
}

func httpSummary(c *config) string {
	if c.Server.Listen == "" {
		return "off"
	}
	return string(c.Server.Listen)
}
