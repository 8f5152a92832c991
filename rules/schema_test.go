package rules

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// kindOf is the kind of a site directory's file.
func kindOf(path string) string {
	switch filepath.Dir(path) {
	case segmentsDir:
		return "segment"
	case surfacesDir:
		return "surface"
	case rulesDir:
		return "rule"
	case approvalsDir:
		return "" // what is wrong there stops no load: see TestSchemaOfApprovals
	}
	if path == approversFile {
		return "approvers"
	}
	return "edge"
}

func compiled(t *testing.T, kind string) *jsonschema.Schema {
	t.Helper()
	b, err := Schema(kind)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(kind, doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(kind)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// instance is a YAML file as editors hand it to a schema.
func instance(t *testing.T, data []byte) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(dated(v))
	if err != nil {
		t.Fatal(err)
	}
	if v, err = jsonschema.UnmarshalJSON(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	return v
}

// dated turns dates back to texts, which is what they are to JSON.
func dated(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			v[k] = dated(e)
		}
	case []any:
		for i, e := range v {
			v[i] = dated(e)
		}
	case time.Time:
		return v.Format(time.DateOnly)
	}
	return v
}

// yamlFiles are the YAML files of a directory, by their paths in it.
func yamlFiles(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	names, _ := filepath.Glob(filepath.Join(dir, "*.yaml"))
	more, _ := filepath.Glob(filepath.Join(dir, "*/*.yaml"))
	for _, name := range append(names, more...) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path, err := filepath.Rel(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		all[path] = b
	}
	return all
}

// Whatever loads is valid, and an unknown key anywhere is refused by both.
func TestSchemasAgreeWithLoad(t *testing.T) {
	t.Setenv("REFRACT_TEST_KEY", "a-key")
	t.Setenv("REFRACT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
	reference, _ := unpack(t, "testdata/good/reference.txtar")
	operations, _ := unpack(t, "testdata/good/operations.txtar")
	edge, _ := unpack(t, "testdata/good/edge.txtar")
	exposures, _ := unpack(t, "testdata/good/exposures.txtar")
	cohorts, _ := unpack(t, "testdata/good/cohorts.txtar")
	identity, _ := unpack(t, "testdata/good/identity.txtar")
	approvers, _ := unpack(t, "testdata/good/approvers.txtar")
	for _, dir := range []string{reference, operations, edge, exposures, cohorts, identity, approvers, site(t, ""), site(t, deciding)} {
		load(t, dir)
		for path, data := range yamlFiles(t, dir) {
			if kindOf(path) == "" {
				continue
			}
			schema := compiled(t, kindOf(path))
			if err := schema.Validate(instance(t, data)); err != nil {
				t.Errorf("%s loads, but is not valid: %v", path, err)
			}
			for _, mutant := range mutants(t, data) {
				if schema.Validate(instance(t, mutant)) == nil {
					t.Errorf("%s with an unknown key is valid:\n%s", path, mutant)
				}
				name := filepath.Join(dir, path)
				if err := os.WriteFile(name, mutant, 0o644); err != nil {
					t.Fatal(err)
				}
				if _, err := Load(dir); err == nil {
					t.Errorf("%s with an unknown key loads:\n%s", path, mutant)
				}
				if err := os.WriteFile(name, data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// warnsOf says whether the load warned of the file: what is wrong in approvals/
// stops none.
func warnsOf(s *Set, path, message string) bool {
	return slices.ContainsFunc(s.Warnings, func(p Problem) bool { return p.File == path && strings.Contains(p.Message, message) })
}

// mutants are the file with an unknown key in each of its mappings, except
// those whose keys are free.
func mutants(t *testing.T, data []byte) [][]byte {
	t.Helper()
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	var walk func(n *yaml.Node, key string)
	walk = func(n *yaml.Node, key string) {
		if n.Kind == yaml.MappingNode && !slices.Contains([]string{"trait", "where", "set", "attr", "dns", "approvers"}, key) {
			kept := n.Content
			n.Content = append(slices.Clone(kept), &yaml.Node{Kind: yaml.ScalarNode, Value: "zzz"}, &yaml.Node{Kind: yaml.ScalarNode, Value: "x"})
			b, err := yaml.Marshal(&root)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
			n.Content = kept
		}
		for i, c := range n.Content {
			key := ""
			if n.Kind == yaml.MappingNode && i%2 == 1 {
				key = n.Content[i-1].Value
			}
			walk(c, key)
		}
	}
	walk(&root, "")
	return all
}

// The keys of each kind are those that Load reads, both ways.
func TestSchemasHaveTheKeysOfLoad(t *testing.T) {
	files := map[string]string{"edge": edgeFile, "segment": "segments/x.yaml", "surface": "surfaces/x.yaml", "rule": "rules/x.yaml", "approvers": approversFile}
	for _, kind := range SchemaKinds() {
		if kind == "approvals" {
			continue // see TestSchemaOfApprovals
		}
		b, err := Schema(kind)
		if err != nil {
			t.Fatal(err)
		}
		var schema struct {
			Properties map[string]any `json:"properties"`
		}
		if err := json.Unmarshal(b, &schema); err != nil {
			t.Fatal(err)
		}
		dir := site(t, "")
		try := func(key string) Problems {
			t.Helper()
			if err := os.WriteFile(filepath.Join(dir, files[kind]), []byte(key+": [{}]\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			return problems(t, dir)
		}
		for key := range schema.Properties {
			for _, p := range try(key) {
				if strings.Contains(p.Message, "unknown key") {
					t.Errorf("%s: Load does not know %s", kind, key)
				}
			}
		}
		told := false
		for _, p := range try("qqqqqqqqqq") {
			list, ok := strings.CutPrefix(p.Hint, "known here: ")
			if !ok {
				continue
			}
			told = true
			for _, key := range strings.Split(list, ", ") {
				later := slices.ContainsFunc(try(key), func(p Problem) bool { return strings.Contains(p.Message, "not supported by this version") })
				if schema.Properties[key] == nil && !later {
					t.Errorf("%s: the schema does not know %s", kind, key)
				}
			}
		}
		if !told {
			t.Errorf("%s: Load does not tell which keys it knows", kind)
		}
	}
	if _, err := Schema("sauce"); err == nil {
		t.Error("there is a schema of sauce")
	}
}

// The keys of an approval are those that Load reads, both ways, and the same are
// needed. What refract approve writes is valid.
func TestSchemaOfApprovals(t *testing.T) {
	schema := compiled(t, "approvals")
	dir, ada, bob := twoKeys(t)
	ada.approve(t, dir, approvedRule)
	st := bob.statement(t, dir, approvedRule)
	st.Until = approvedAt.Add(time.Hour)
	if err := AddApproval(dir, st, bob.sign(t, st)); err != nil {
		t.Fatal(err)
	}
	path := approvalsDir + "/" + approvedRule + ".yaml"
	file := filepath.Join(dir, path)
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(instance(t, good)); err != nil {
		t.Errorf("what approve wrote is not valid: %v", err)
	}
	var list []map[string]any
	if err := yaml.Unmarshal(good, &list); err != nil {
		t.Fatal(err)
	}
	for _, mutant := range mutants(t, good) {
		if schema.Validate(instance(t, mutant)) == nil {
			t.Errorf("with an unknown key it is valid:\n%s", mutant)
		}
		if err := os.WriteFile(file, mutant, 0o644); err != nil {
			t.Fatal(err)
		}
		if !warnsOf(load(t, dir), path, `unknown key "zzz"`) {
			t.Errorf("Load does not warn of an unknown key:\n%s", mutant)
		}
	}
	needed := map[string]bool{"by": true, "content": true, "at": true, "until": false, "signature": true}
	if len(list) != 2 || len(list[1]) != len(needed) {
		t.Fatalf("approve wrote %v", list)
	}
	for key, need := range needed {
		without := maps.Clone(list[1])
		delete(without, key)
		b, err := yaml.Marshal([]any{without})
		if err != nil {
			t.Fatal(err)
		}
		if valid := schema.Validate(instance(t, b)) == nil; valid == need {
			t.Errorf("without %s: valid is %v", key, valid)
		}
		if err := os.WriteFile(file, b, 0o644); err != nil {
			t.Fatal(err)
		}
		if warnsOf(load(t, dir), path, key+" is missing") != need {
			t.Errorf("without %s: Load needs it: %v", key, !need)
		}
	}
}
