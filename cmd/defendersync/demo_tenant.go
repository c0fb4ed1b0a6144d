package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"defendersync/sync/defendersim"
)

const (
	demoIncidents   = 300 // per unit of --scale
	demoSeed        = 1   // the same tenant each time, ending now
	demoConnections = 4
	demoSchedule    = "@every 5s"
	demoChange      = time.Second
	demoLimit       = 100000 // calls per minute and per hour: the simulated tenant has no quota to keep
)

// demoTenant is a simulated tenant that answers on this machine.
type demoTenant struct {
	sim    *defendersim.Sim
	server *http.Server
	url    string
}

// startTenant makes a world and serves it on a free loopback port.
func startTenant(ctx context.Context, f demoFlags) (*demoTenant, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve the simulated tenant: %w", err)
	}
	world := defendersim.NewWorld(defendersim.WorldOptions{Seed: demoSeed, Incidents: f.scale * demoIncidents})
	sim := defendersim.New(defendersim.Options{World: world, Hunting: world.DemoHunting(f.scale)})
	t := &demoTenant{sim: sim, url: "http://" + ln.Addr().String(), server: &http.Server{Handler: sim, ReadHeaderTimeout: time.Minute}}
	if f.once {
		world.Freeze()
	}
	go func() { _ = t.server.Serve(ln) }() // ends by stop; a broken listener shows in the worker's calls
	return t, nil
}

func (t *demoTenant) stop() { t.server.Close() }

// live lets something happen every now and then.
func (t *demoTenant) live(ctx context.Context) {
	tick := time.NewTicker(demoChange)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.sim.World().Step()
			t.sim.Hunting().LiveStep(time.Now())
		}
	}
}

// config is what a file that connects the tenant would say.
func (t *demoTenant) config(f demoFlags) (*config, error) {
	app := t.sim.Config()
	c := &config{DataDir: f.dataDir}
	c.setDefaults()
	tenant := tenantConfig{Name: "demo", TenantID: guid(app.TenantID), ClientID: guid(app.ClientID)}
	tenant.setDefaults()
	tenant.Credential.ClientSecret.read = func() (string, error) { return app.Secret, nil }
	tenant.Endpoints = endpointsConfig{Login: baseURL(t.url), Graph: baseURL(t.url), Defender: baseURL(t.url)}
	tenant.Limits = limitsConfig{IncidentsPerMinute: demoLimit, IncidentsPerHour: demoLimit, HuntingPerMinute: demoLimit, Share: 1}
	c.Tenants = []tenantConfig{tenant}
	var err error
	c.Streams, err = demoStreams(f)
	return c, err
}
