package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/goccy/go-yaml"

	"github.com/corexalgo/ftpclient"
)

// A config is what nightly.yaml says.
type config struct {
	Servers string   `yaml:"servers"` // the file of the servers, from the folder of this one
	Mirrors []mirror `yaml:"mirrors"`
}

// A mirror is two folders, of which one is made like the other.
type mirror struct {
	Server    string              `yaml:"server"` // its name in the file of the servers
	Remote    string              `yaml:"remote"`
	Local     string              `yaml:"local"`
	Direction ftpclient.Direction `yaml:"direction"` // download, unless it says upload
	Include   []string            `yaml:"include"`
	Exclude   []string            `yaml:"exclude"`
	Delete    bool                `yaml:"delete"`
}

// load reads both files.
func load(path string) (ftpclient.Config, []mirror, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return ftpclient.Config{}, nil, err
	}
	var c config
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return ftpclient.Config{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	for i, m := range c.Mirrors {
		if m.Server == "" || m.Local == "" {
			return ftpclient.Config{}, nil, fmt.Errorf("%s: mirror %d needs a server and a local folder", path, i+1)
		}
	}
	servers, err := ftpclient.LoadConfig(filepath.Join(filepath.Dir(path), c.Servers))
	return servers, c.Mirrors, err
}
