package rules

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// unpack writes an archive to a new directory and parses it besides.
func unpack(t *testing.T, name string) (dir string, a *txtar.Archive) {
	t.Helper()
	a, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	if err := txtar.Write(a, dir); err != nil {
		t.Fatal(err)
	}
	return dir, a
}

// site writes a directory that is the starter's with some files replaced or
// added, given as an archive.
func site(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	unpackTo(t, dir, archive)
	return dir
}

func unpackTo(t testing.TB, dir, archive string) {
	t.Helper()
	for _, f := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, f.Name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, f.Data, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
}

func load(t *testing.T, dir string) *Set {
	t.Helper()
	s, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// problems loads a directory that has some.
func problems(t *testing.T, dir string) Problems {
	t.Helper()
	_, err := Load(dir)
	var ps Problems
	if !errors.As(err, &ps) {
		t.Fatalf("Load: %v, want Problems", err)
	}
	return ps
}

// golden compares what a directory of the archive gives with the archive's
// file of that name, or rewrites it.
func golden(t *testing.T, archive string, a *txtar.Archive, name, got string) {
	t.Helper()
	for i, f := range a.Files {
		if f.Name != name {
			continue
		}
		if *update {
			a.Files[i].Data = []byte(got)
			if err := os.WriteFile(archive, txtar.Format(a), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if string(f.Data) != got {
			t.Errorf("got:\n%s\nwant:\n%s", got, f.Data)
		}
		return
	}
	t.Fatalf("%s has no file %s", archive, name)
}

func TestBadDirectories(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			dir, a := unpack(t, name)
			set, err := Load(dir)
			if err == nil || set != nil {
				t.Fatalf("Load gives %v, %v; want only an error", set, err)
			}
			golden(t, name, a, "problems", strings.ReplaceAll(err.Error(), dir, "DIR")+"\n")
		})
	}
}

// What directories that load are read as: the canonical forms of segments, the
// versions and sentences of rules, the warnings. A version that changes here
// would start every running test anew.
func TestGoodDirectories(t *testing.T) {
	names, err := filepath.Glob("testdata/good/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Setenv("REFRACT_TEST_KEY", "a-key")
			t.Setenv("REFRACT_TEST_SECRET", "0123456789abcdef0123456789abcdef")
			dir, a := unpack(t, name)
			s := load(t, dir)
			var b strings.Builder
			for _, g := range s.Segments {
				b.WriteString(g.Name + ": " + string(g.Who) + " " + g.Condition.String() + "\n")
			}
			for _, r := range s.Rules {
				b.WriteString(r.Name + " " + r.Version + "\n" + r.Sentence() + "\n")
			}
			for _, w := range s.Warnings {
				b.WriteString(w.String() + "\n")
			}
			golden(t, name, a, "told", b.String())
		})
	}
}

func TestLoadNeedsADirectory(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Load of nothing: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || errors.As(err, new(Problems)) {
		t.Errorf("Load of a file: %v", err)
	}
}

// What an archive of texts can't hold.
func TestAwkwardFiles(t *testing.T) {
	const good = "did: Project Created\nin_last: 7d\n"
	for _, test := range []struct {
		name    string
		content string
		want    string // the first problem, or empty
	}{
		{"byte order mark", "\ufeff" + good, ""},
		{"carriage returns", strings.ReplaceAll(good, "\n", "\r\n"), ""},
		{"no newline at the end", strings.TrimSpace(good), ""},
		{"UTF-16", "\xff\xfed\x00i\x00d\x00", "segments/it.yaml:1:1: is not UTF-8 text"},
		{"Latin-1", "did: Caf\xe9\n", "segments/it.yaml:1:9: is not UTF-8 text"},
		{"NUL", "did: A\x00\n", "segments/it.yaml:1:7: is not UTF-8 text"},
		{"escaped NUL", `did: "A\0"`, "segments/it.yaml:1:6: did has a control character"},
		{"empty", "", "segments/it.yaml: is empty"},
		{"comment only", "# later\n", "segments/it.yaml: is empty"},
		{"huge", good + strings.Repeat("#\n", maxFile/2), "segments/it.yaml: is longer than 1048576 bytes"},
		{"deep", strings.Repeat("[", 20000), "segments/it.yaml:1:1: is not YAML: exceeded max depth of 10000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := site(t, "")
			if err := os.WriteFile(filepath.Join(dir, "segments/it.yaml"), []byte(test.content), 0o644); err != nil {
				t.Fatal(err)
			}
			if test.want == "" {
				load(t, dir)
				return
			}
			if got, _, _ := strings.Cut(problems(t, dir)[0].String(), "\nhint"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestLinks(t *testing.T) {
	dir := site(t, "")
	link := func(to, name string) {
		t.Helper()
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// As a ConfigMap is mounted: every file is a link into a hidden directory.
	hidden := filepath.Join(dir, "segments", "..data")
	if err := os.Mkdir(hidden, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(hidden, "mounted.yaml"), []byte("did: A\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	link("..data/mounted.yaml", "segments/mounted.yaml")
	if s := load(t, dir); len(s.Segments) != 2 || s.Segments[1].Name != "mounted" {
		t.Fatalf("segments: %v", s.Segments)
	}
	link("loop.yaml", "segments/loop.yaml")
	link("nowhere", "segments/nowhere.yaml")
	link(".", "segments/dir.yaml")
	got := problems(t, dir)
	want := []string{"it is not a regular file", "too many levels of symbolic links", "no such file or directory"}
	if len(got) != len(want) {
		t.Fatalf("problems:\n%v", got)
	}
	for i, p := range got {
		if !strings.Contains(p.Message, want[i]) {
			t.Errorf("%v: want %s", p, want[i])
		}
	}
	link(".", "surfaces/self")
	if err := os.RemoveAll(filepath.Join(dir, "rules")); err != nil {
		t.Fatal(err)
	}
	link("rules", "rules")
	if got := problems(t, dir); got[0].File != "rules" {
		t.Errorf("a directory that is a loop: %v", got)
	}
}

func TestUnreadable(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root reads everything")
	}
	dir := site(t, "")
	if err := os.Chmod(filepath.Join(dir, edgeFile), 0); err != nil {
		t.Fatal(err)
	}
	if got := problems(t, dir); got[0].Message != "can't be read: permission denied" || got[0].Hint == "" {
		t.Errorf("%v", got)
	}
}

// What editors and tools leave behind is none of ours; what looks like a file
// of ours that would not be read, is said.
func TestNeighbours(t *testing.T) {
	dir := site(t, `
-- segments/.hidden.yaml --
?
-- segments/old.yaml~ --
?
-- segments/#edited.yaml# --
?
-- segments/notes.txt --
?
-- segmnts/lost.yaml --
?
-- README.md --
?
`)
	s := load(t, dir)
	var got []string
	for _, w := range s.Warnings {
		got = append(got, w.String())
	}
	want := "segments/notes.txt: is not read: it does not end in .yaml|segmnts: is not read\nhint: did you mean segments/?"
	if strings.Join(got, "|") != want {
		t.Errorf("warnings:\n%s", strings.Join(got, "|"))
	}
}

func TestRevisionAndVersion(t *testing.T) {
	base := load(t, site(t, ""))
	again := load(t, site(t, ""))
	if base.Revision != again.Revision || base.Rules[0].Version != again.Rules[0].Version || len(base.Revision) != 12 || len(base.Rules[0].Version) != 12 {
		t.Fatalf("the same content: revisions %s, %s; versions %s, %s", base.Revision, again.Revision, base.Rules[0].Version, again.Rules[0].Version)
	}
	for _, test := range []struct {
		file, old, new string
		same           bool // the version
	}{
		{"rules/invite-teammate.yaml", "treatment: 50%", "treatment: 90%", true},
		{"rules/invite-teammate.yaml", "share: 100%", "share: 10%", true},
		{"rules/invite-teammate.yaml", "state: draft", "state: live", true},
		{"rules/invite-teammate.yaml", "growth@example.com", "someone@example.com", true},
		{"rules/invite-teammate.yaml", "# priority: 0", "priority: 3", true},
		{"rules/invite-teammate.yaml", "# expires: 2027-03-01", "expires: 2027-03-01", true},
		{"segments/created-without-teammate.yaml", "describe: Visitors", "describe: People", true},
		{"surfaces/project-home.card.yaml", "max_bytes: 4096", "max_bytes: 4097", true},
		{"rules/invite-teammate.yaml", "tolerate: 10%", "tolerate: 0.1", true},
		{"rules/invite-teammate.yaml", "tolerate: 10%", "tolerate: 11%", false},
		{"rules/invite-teammate.yaml", "unit: visitor", "unit: account", false},
		{"rules/invite-teammate.yaml", "expect: increase", "expect: decrease", false},
		{"rules/invite-teammate.yaml", "Teammate Invited, within: 7d", "Teammate Invited, within: 8d", false},
		{"rules/invite-teammate.yaml", "{event: Project Deleted,", "{event: Project Deleted, where: {a: 1},", false},
		{"segments/created-without-teammate.yaml", "within: 48h", "within: 47h", false},
		{"surfaces/project-home.card.yaml", "pages: [/projects/*]", "pages: [/projects/**]", false},
		{"responses/invite-teammate.html", "Invite a teammate:", "Invite somebody:", false},
	} {
		dir := site(t, "")
		name := filepath.Join(dir, test.file)
		old, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		changed := bytes.Replace(old, []byte(test.old), []byte(test.new), 1)
		if bytes.Equal(changed, old) {
			t.Fatalf("%s has no %q", test.file, test.old)
		}
		if err := os.WriteFile(name, changed, 0o644); err != nil {
			t.Fatal(err)
		}
		s := load(t, dir)
		if s.Revision == base.Revision {
			t.Errorf("%s: the revision stays", test.new)
		}
		if same := s.Rules[0].Version == base.Rules[0].Version; same != test.same {
			t.Errorf("%s: the version stays: %v, want %v", test.new, same, test.same)
		}
	}
}

func TestInit(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "site")
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	s := load(t, dir)
	if len(s.Warnings) > 0 || len(s.Rules) != 1 || s.Rules[0].State != Draft || len(s.Live()) != 0 {
		t.Errorf("warnings %v, rules %v, live %v", s.Warnings, s.Rules, s.Live())
	}
	rule := filepath.Join(dir, "rules/invite-teammate.yaml")
	if err := os.WriteFile(rule, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, edgeFile)); err != nil {
		t.Fatal(err)
	}
	if err := Init(dir); err == nil {
		t.Error("a second Init succeeds")
	}
	if b, _ := os.ReadFile(rule); string(b) != "mine" {
		t.Error("Init overwrites a file")
	}
	if _, err := os.Stat(filepath.Join(dir, edgeFile)); err == nil {
		t.Error("an Init that refuses writes some files nevertheless")
	}
}

func TestSecrets(t *testing.T) {
	dir := site(t, `
-- refract.yaml --
origin: http://127.0.0.1:3000
admin: 0.0.0.0:9180
token: env:REFRACT_TEST_TOKEN
sources: {segment: {write_key: plain-key}}
`)
	if got := problems(t, dir)[0]; got.Line != 3 || !strings.Contains(got.Message, "not set") {
		t.Errorf("a variable that is not set: %v", got)
	}
	t.Setenv("REFRACT_TEST_TOKEN", " ")
	if got := problems(t, dir)[0]; got.Line != 3 || !strings.Contains(got.Message, "empty") {
		t.Errorf("a variable that is empty: %v", got)
	}
	t.Setenv("REFRACT_TEST_TOKEN", "s3cret\n")
	s := load(t, dir)
	if s.Edge.Token != "s3cret" || s.Edge.Sources["segment"].Key != "plain-key" {
		t.Errorf("token %q, write key %q", s.Edge.Token, s.Edge.Sources["segment"].Key)
	}
	if len(s.Warnings) != 1 || strings.Contains(s.Warnings[0].String(), "plain-key") {
		t.Errorf("warnings: %v", s.Warnings)
	}
}
