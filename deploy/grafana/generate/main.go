// Generate writes the dashboards of deploy/grafana/dashboards, which are
// committed and which Grafana reads as they are. It is a module of its own, for
// the sake of Grafana's types: nothing of it is in the program.
//
// Each dashboard is a file here, with the SQL of its panels; `make dashboards`
// writes them, and a test compares what is committed.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// folder is where the dashboards are, seen from here.
const folder = "../dashboards"

func main() {
	if err := writeAll(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// dashboards lists all of them, in the order of the links between them.
func dashboards() []board {
	return []board{soc(), incident(), mitre(), entities(), hunting(), health()}
}

func writeAll() error {
	for _, d := range dashboards() {
		text, err := render(d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(file(d), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func file(d board) string { return filepath.Join(folder, *d.Uid+".json") }

// render is how a dashboard stands in its file: keys in order and nothing
// escaped that need not be, so that a change of SQL can be read in a diff.
func render(d board) ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", *d.Uid, err)
	}
	text, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(tree)
	return out.Bytes(), err
}
