package demo

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"text/template"
)

//go:embed site
var siteFS embed.FS

// Vars are what the demo's refract.yaml says of the machine that it runs on.
type Vars struct {
	Listen   string // "127.0.0.1:8080"
	Origin   string // URL of the sample app
	Admin    string // "127.0.0.1:9180"
	Data     string // the store's directory
	WriteKey string // of the Segment mount: "env:NAME", or the key itself (then a load warns of it)
}

// Site writes the demo's site directory to dir, which it creates if need be.
// It overwrites nothing: a file that is already there is an error that wraps
// fs.ErrExist.
func Site(dir string, v Vars) error {
	return fs.WalkDir(siteFS, "site", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(path, "site")))
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := siteFS.ReadFile(path)
		if err != nil {
			return err
		}
		if name, ok := strings.CutSuffix(target, ".tmpl"); ok {
			target = name
			if content, err = fill(content, v); err != nil {
				return err
			}
		}
		return create(target, content)
	})
}

func fill(content []byte, v Vars) ([]byte, error) {
	t, err := template.New("refract.yaml").Parse(string(content))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func create(name string, content []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("the demo's site: %w", err)
	}
	_, err = f.Write(content)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
