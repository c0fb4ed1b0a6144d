package main

import (
	"fmt"
	"net/url"

	"github.com/spf13/cobra"
)

func (a *app) consentURLCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "consent-url",
		Short: "Print the admin-consent link of each tenant's app",
		Args:  noArguments,
		RunE: own(func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			for _, t := range c.Tenants {
				link, err := consentURL(t)
				if err != nil {
					return err
				}
				fmt.Fprintf(a.stdout, "%s\t%s\n", t.Name, link)
			}
			return nil
		}),
	}
}

// consentURL is the page on which an administrator of the tenant grants the app
// the permissions that its registration asks for.
func consentURL(t tenantConfig) (string, error) {
	e, err := t.endpoints()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s/%s/adminconsent?client_id=%s", e.Login, t.TenantID, url.QueryEscape(string(t.ClientID))), nil
}
