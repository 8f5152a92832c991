package rules

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

//go:embed starter
var starter embed.FS

// Init writes a commented site directory, whose only rule is a draft, and
// makes the directory if it isn't there. It writes nothing if one of its files
// exists already.
func Init(dir string) error {
	site, err := fs.Sub(starter, "starter")
	if err != nil {
		return fmt.Errorf("starter: %w", err)
	}
	each := func(do func(path string) error) error {
		return fs.WalkDir(site, ".", func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			return do(path)
		})
	}
	err = each(func(path string) error {
		name := filepath.Join(dir, path)
		if _, err := os.Lstat(name); err == nil {
			return fmt.Errorf("%s exists already: nothing is overwritten", name)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	return each(func(path string) error {
		data, err := fs.ReadFile(site, path)
		if err != nil {
			return err
		}
		return create(filepath.Join(dir, path), data)
	})
}

// create writes a file that is not there yet.
func create(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}
