package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"defendersync/sync/defendersim"
)

// Whoever tries the README's question about a hash on the demo gets an answer.
func TestReadmeHashIsInTheDemo(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	hashes := regexp.MustCompile(`entity_key = '([0-9a-f]{64})'`).FindAllStringSubmatch(string(readme), -1)
	if len(hashes) == 0 {
		t.Fatal("the README asks for no hash")
	}
	for _, now := range []time.Time{time.Now(), time.Date(2027, 3, 1, 7, 0, 0, 0, time.UTC)} {
		world := defendersim.NewWorld(defendersim.WorldOptions{Seed: demoSeed, Incidents: demoIncidents, Now: func() time.Time { return now }})
		var all strings.Builder
		for _, row := range world.DemoHunting(1).Rows("DeviceProcessEvents", now) {
			fmt.Fprintln(&all, row.Values)
		}
		for _, h := range hashes {
			if !strings.Contains(all.String(), h[1]) {
				t.Errorf("no process of the demo of %s has the hash %s", now, h[1])
			}
		}
	}
}

func TestDemoSaysHowToBeginAgain(t *testing.T) {
	for dir, want := range map[string]string{
		"./data": "defendersync demo", "/tmp/d": "defendersync demo --data-dir '/tmp/d'", "it's": `defendersync demo --data-dir 'it'\''s'`,
	} {
		if got := (demoFlags{dataDir: dir}).again(); got != want {
			t.Errorf("%s: %s, want %s", dir, got, want)
		}
	}
}
