package rules

import (
	"embed"
	"fmt"
)

// The schemas stand beside what they describe: their tests load the same files
// by both. A schema is for editors; Load says more, and decides.
//
//go:embed schema/*.json
var schemas embed.FS

// SchemaKinds are the kinds of file that have a schema.
func SchemaKinds() []string {
	return []string{"edge", "segment", "surface", "rule", "approvers", "approvals"}
}

// Schema returns the JSON Schema (draft 7, which editors know best) of a kind
// of file. The caller owns it.
func Schema(kind string) ([]byte, error) {
	b, err := schemas.ReadFile("schema/" + kind + ".json")
	if err != nil {
		return nil, fmt.Errorf("there is no schema %q: known are %s", kind, either(SchemaKinds()))
	}
	return b, nil
}
