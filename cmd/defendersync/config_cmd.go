package main

import (
	_ "embed"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

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
	fmt.Fprintln(t, "TENANT\tTENANT ID\tAPI\tCLOUD\tCALLS/MIN\tCALLS/HOUR")
	for _, tenant := range c.Tenants {
		limits := tenant.Limits.incidents()
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%d\n", tenant.Name, tenant.TenantID, tenant.API, tenant.Cloud, limits.PerMinute, limits.PerHour)
	}
	fmt.Fprintln(t, "\nSTREAM\tSCHEDULE\tNEXT\tSTART\tOVERLAP\tSETTLE")
	for _, s := range []struct {
		name string
		streamConfig
	}{{"incidents", c.Streams.Incidents}, {"alerts", c.Streams.Alerts}} {
		if !s.Enabled {
			fmt.Fprintf(t, "%s\tdisabled\n", s.name)
			continue
		}
		next := s.Schedule.Next(time.Now()).UTC().Format(time.RFC3339)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.name, s.Schedule, next, s.Start, s.Overlap, s.Settle)
	}
	for _, tenant := range c.Tenants {
		if c.Streams.Alerts.Enabled && tenant.dialect() == defender.Older {
			fmt.Fprintf(t, "\n%s\thas no stream alerts: on the older API alerts come with their incidents\n", tenant.Name)
		}
	}
	fmt.Fprintf(t, "\ndatabase\t%s\n", databaseSummary(c))
	fmt.Fprintf(t, "http\t%s\n", httpSummary(c))
	return t.Flush()
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
