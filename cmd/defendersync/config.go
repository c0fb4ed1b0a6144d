package main

import (
	"fmt"
	"os"
	"time"

	defsync "defendersync/sync"
)

// config is the whole configuration file. A field's yaml tag is its key; the
// JSON schema in config.schema.json has the same keys, and a test compares them.
type config struct {
	DataDir  string         `yaml:"data_dir"`
	Database databaseConfig `yaml:"database"`
	Server   serverConfig   `yaml:"server"`
	Tenants  []tenantConfig `yaml:"tenants"`
	Streams  streamsConfig  `yaml:"streams"`
}

type databaseConfig struct {
	URL            databaseURL `yaml:"url"`
	MaxConnections int         `yaml:"max_connections"`
	AutoMigrate    bool        `yaml:"auto_migrate"`
}

type serverConfig struct {
	Listen listenAddress `yaml:"listen"`
}

type tenantConfig struct {
	Name       tenantName       `yaml:"name"`
	TenantID   guid             `yaml:"tenant_id"`
	ClientID   guid             `yaml:"client_id"`
	Credential credentialConfig `yaml:"credential"`
	API        apiName          `yaml:"api"`
	Cloud      cloudName        `yaml:"cloud"`
	Endpoints  endpointsConfig  `yaml:"endpoints"`
	Audiences  audiencesConfig  `yaml:"audiences"`
	OAuth      oauthVersion     `yaml:"oauth"`
	Limits     limitsConfig     `yaml:"limits"`
}

// credentialConfig holds every kind of credential that the file may name, of
// which this version knows how to use the first two.
type credentialConfig struct {
	ClientSecret        secret     `yaml:"client_secret"`
	ClientSecretFile    secretFile `yaml:"client_secret_file"`
	CertificateFile     string     `yaml:"certificate_file"`
	CertificatePassword secret     `yaml:"certificate_password"`
	KeyVault            struct {
		Vault  string `yaml:"vault"`
		Secret string `yaml:"secret"`
	} `yaml:"key_vault"`
	WorkloadIdentity struct {
		TokenFile string `yaml:"token_file"`
	} `yaml:"workload_identity"`
	ManagedIdentity struct {
		ClientID string `yaml:"client_id"`
	} `yaml:"managed_identity"`
}

type endpointsConfig struct {
	Login    baseURL `yaml:"login"`
	Graph    baseURL `yaml:"graph"`
	Defender baseURL `yaml:"defender"`
}

type audiencesConfig struct {
	Graph    audienceURL `yaml:"graph"`
	Defender audienceURL `yaml:"defender"`
}

type limitsConfig struct {
	IncidentsPerMinute positive `yaml:"incidents_per_minute"`
	IncidentsPerHour   positive `yaml:"incidents_per_hour"`
	HuntingPerMinute   positive `yaml:"hunting_per_minute"`
	Share              share    `yaml:"share"`
}

type streamsConfig struct {
	Defaults  timingConfig    `yaml:"defaults"`
	Incidents streamConfig    `yaml:"incidents"`
	Alerts    streamConfig    `yaml:"alerts"`
	Hunting   []huntingConfig `yaml:"hunting"`
}

// timingConfig is when a stream runs and how much it reads. A field that is
// not set takes the value of streams.defaults.
type timingConfig struct {
	Schedule schedule   `yaml:"schedule"`
	Start    startPoint `yaml:"start"`
	Overlap  margin     `yaml:"overlap"`
	Settle   margin     `yaml:"settle"`
}

type streamConfig struct {
	timingConfig
	Enabled bool `yaml:"enabled"`
}

func (c *config) setDefaults() {
	c.DataDir = "./data"
	c.Database.MaxConnections = 4
	c.Database.AutoMigrate = true
	c.Server.Listen = "127.0.0.1:8080"
	c.Streams.Incidents.setDefaults()
	c.Streams.Alerts.setDefaults()
}

func (t *timingConfig) fillFrom(d timingConfig) {
	if t.Schedule.String() == "" {
		t.Schedule = d.Schedule
	}
	if t.Start == (startPoint{}) {
		t.Start = d.Start
	}
	if !t.Overlap.set {
		t.Overlap = d.Overlap
	}
	if !t.Settle.set {
		t.Settle = d.Settle
	}
}

func (s *streamConfig) setDefaults() { s.Enabled = true }

func (t *tenantConfig) setDefaults() {
	t.API, t.Cloud, t.OAuth = "graph", "commercial", "v2"
	t.Limits = limitsConfig{IncidentsPerMinute: 50, IncidentsPerHour: 1500, HuntingPerMinute: 15, Share: 1}
}

// builtinTiming is what streams.defaults says where the file does not.
func builtinTiming() (timingConfig, error) {
	s, err := defsync.ParseSchedule("*/5 * * * *")
	return timingConfig{
		Schedule: schedule{s},
		Start:    startPoint{Age: 30 * 24 * time.Hour},
		Overlap:  marginOf(30 * time.Minute),
		Settle:   marginOf(2 * time.Minute),
	}, err
}

// loadConfig reads, decodes and checks the file. Its error is a problems list
// where the content is at fault.
func loadConfig(path string, env environment, now time.Time) (*config, error) {
	content, err := env.readFile(path)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, fmt.Errorf("%s: no such file: write one (config.yaml of the source is annotated) or name another with --config", path)
		}
		return nil, fmt.Errorf("%s: cannot be read: %w", path, rootCause(err))
	}
	return parseConfig(path, content, env, now)
}

// parseConfig is loadConfig without the file system: path only names the file in errors.
func parseConfig(path string, content []byte, env environment, now time.Time) (*config, error) {
	timing, err := builtinTiming()
	if err != nil {
		return nil, err
	}
	c := new(config)
	c.setDefaults()
	d := newDecoder(path, env)
	d.document(content, c)
	c.Streams.Defaults.fillFrom(timing)
	c.Streams.Incidents.fillFrom(c.Streams.Defaults)
	c.Streams.Alerts.fillFrom(c.Streams.Defaults)
	for i := range c.Streams.Hunting {
		c.Streams.Hunting[i].fillFrom(c.Streams.Defaults)
	}
	if len(d.found) == 0 { // else one mistake would be told twice
		checkConfig(c, d, now)
	}
	if err := d.problems(); err != nil {
		return nil, err
	}
	return c, nil
}
