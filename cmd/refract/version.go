package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// Set by the linker when a release is built: see the Makefile.
var version, commit string

// build says what a binary was made of.
type build struct{ version, commit string }

// buildOf returns what the linker was told, else what the go command wrote
// into the binary.
func buildOf() build {
	b := build{version, commit}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				b.commit = cmp.Or(b.commit, s.Value)
			}
		}
		if v := info.Main.Version; v != "(devel)" {
			b.version = cmp.Or(b.version, v)
		}
	}
	return build{cmp.Or(b.version, "dev"), cmp.Or(b.commit, "unknown")}
}

// String is what refract --version says after "version".
func (b build) String() string {
	return fmt.Sprintf("%s, commit %s, %s %s/%s", b.version, b.commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
