package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

const healthTimeout = 5 * time.Second

func (a *app) healthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Ask the running worker's /healthz: exit 0 when it answers",
		Args:  noArguments,
		RunE: own(func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if c.Server.Listen == "" {
				return usageErrorf("%s: server.listen is empty: there is no HTTP to ask", a.configPath)
			}
			return a.health(cmd.Context(), healthURL(string(c.Server.Listen)))
		}),
	}
}

// networkCause drops the method and URL that the caller's sentence already names.
func networkCause(err error) error {
	var at *url.Error
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}

// healthURL is where a worker that listens on address is asked from its own
// machine: an address that means all interfaces is none to dial.
func healthURL(address string) string {
	host, port, _ := net.SplitHostPort(address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "http://" + net.JoinHostPort(host, port) + "/healthz"
}

func (a *app) health(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s does not answer: %w", address, networkCause(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", address, resp.Status)
	}
	_, err = io.Copy(a.stdout, io.LimitReader(resp.Body, 1<<10))
	return err
}
