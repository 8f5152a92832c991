package cohorts_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/seed14307185/refract/cohorts"
	"github.com/seed14307185/refract/events"
	"github.com/seed14307185/refract/segments"
	"github.com/seed14307185/refract/store"
)

func gzipped(t testing.TB, s string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, s); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func ids(members []segments.Unit) (list []string) {
	for _, m := range members {
		list = append(list, m.ID)
	}
	return list
}

func TestUpload(t *testing.T) {
	for name, test := range map[string]struct {
		upload cohorts.Upload
		text   string
		want   string // ids, separated by blanks
	}{
		"plain lines":             {text: "ann\nbob\n", want: "ann bob"},
		"no end of the last line": {text: "ann\nbob", want: "ann bob"},
		"blank lines and blanks":  {text: "\n ann \n\n\tbob\n\n", want: "ann bob"},
		"a header":                {text: "user_id\nann\n", want: "ann"},
		"a header alone":          {text: "user_id\n", want: ""},
		"a column among others":   {text: "plan,user_id,note\npro,ann,\"a, \"\"b\"\"\nc\"\nfree,bob,\n", want: "ann bob"},
		"by rank":                 {text: "id,distinct_id\n1,ann\n2,bob\n", want: "ann bob"},
		"however it is written":   {text: "Plan,User ID\npro,ann\n", want: "ann"},
		"as told":                 {upload: cohorts.Upload{Column: "customer"}, text: "user_id,Customer\n1,ann\n", want: "ann"},
		"quotes":                  {text: "\"user_id\"\n\"ann\"\n\"bob, jr.\"\n", want: "ann|bob, jr."},
		"semicolons":              {text: "name;user_id\nA, B;ann\n", want: "ann"},
		"tabs":                    {text: "user_id\tname\nann\tA\n", want: "ann"},
		"CRLF":                    {text: "user_id,x\r\nann,1\r\nbob,2\r\n", want: "ann bob"},
		"a byte order mark":       {text: "\ufeffuser_id\r\nann\r\n", want: "ann"},
		"a mark before JSON":      {text: "\ufeff{\"id\":\"ann\"}", want: "ann"},
		"JSON objects":            {text: "{\"user_id\":\"ann\",\"plan\":{\"id\":7}}\n\n{\"plan\":1,\"userId\":\"b\\u00f6b\"}\r\n{\"id\":12345678901234567890}", want: "ann böb 12345678901234567890"},
		"JSON by rank":            {text: "{\"id\":\"1\",\"user_id\":null,\"distinct_id\":\"ann\"}", want: "ann"},
		"JSON as told":            {upload: cohorts.Upload{Column: "who"}, text: "{\"id\":\"1\",\"who\":\"ann\"}", want: "ann"},
		"JSON strings":            {text: "\"ann\"\n\"b\\\"b\"\n7\n", want: "ann b\"b 7"},
		"accounts":                {upload: cohorts.Upload{Accounts: true}, text: "user_id,account_id\nann,acme\n", want: "acme"},
		"accounts in JSON":        {upload: cohorts.Upload{Accounts: true}, text: "{\"user_id\":\"ann\",\"account\":\"acme\"}", want: "acme"},
		"the longest id":          {text: strings.Repeat("x", events.MaxID), want: strings.Repeat("x", events.MaxID)},
		"repetitions":             {text: "ann\nann\n", want: "ann ann"},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if test.want != "" {
				want = strings.FieldsFunc(test.want, func(r rune) bool { return r == '|' || r == ' ' && !strings.Contains(test.want, "|") })
			}
			for how, r := range map[string]io.Reader{
				"as it is":       strings.NewReader(test.text),
				"byte by byte":   iotest.OneByteReader(strings.NewReader(test.text)),
				"data with EOF":  iotest.DataErrReader(strings.NewReader(test.text)),
				"gzip":           strings.NewReader(gzipped(t, test.text)),
				"gzip in halves": iotest.HalfReader(strings.NewReader(gzipped(t, test.text))),
			} {
				members, err := test.upload.Read(r)
				if err != nil {
					t.Fatalf("%s: %v", how, err)
				}
				if got := ids(members); !slices.Equal(got, want) {
					t.Errorf("%s: %q, want %q", how, got, want)
				}
				for _, m := range members {
					if (m.Who == segments.Account) != test.upload.Accounts {
						t.Errorf("%s: %+v", how, m)
					}
				}
			}
		})
	}
}

func TestRefusedUpload(t *testing.T) {
	for name, test := range map[string]struct {
		upload cohorts.Upload
		text   string
		want   string
	}{
		"nothing":             {text: " \n\n", want: "ids: there is nothing in it\nhint: a header row alone"},
		"an id too long":      {text: "ann\n" + strings.Repeat("x", events.MaxID+1), want: "ids:2: the id is longer than 200 bytes"},
		"no id":               {text: "user_id,plan\nann,pro\n,free\n", want: "ids:3: there is no id\nhint: "},
		"a control character": {text: "ann\nb\x01b\n", want: "ids:2: the id has a control character"},
		"a C1 control":        {text: "ann\nb\u0085b\n", want: "ids:2: the id has a control character"},
		"no UTF-8":            {text: "ann\nb\xe9b\n", want: "ids:2: the id has a control character, or is not UTF-8"},
		"UTF-16":              {text: "\xff\xfea\x00", want: "ids:1: it is in UTF-16\nhint: "},
		"a workbook":          {text: "PK\x03\x04....", want: "ids:1: it is a zip archive or a workbook\nhint: "},
		"a JSON array":        {text: `["ann"]`, want: "ids:1: it is a JSON array, and not one value a line\nhint: "},
		"no known column":     {text: "name,email\nA,a@b\n", want: "ids:1: none of these columns is known to have ids: name, email\nhint: --column"},
		"no such column":      {upload: cohorts.Upload{Column: "x"}, text: "user_id,plan\nann,pro\n", want: `ids:1: there is no column "x", there are: user_id, plan`},
		"ragged":              {text: "user_id,plan\nann,pro\nbob\n", want: "ids:3: wrong number of fields"},
		"two in a line":       {text: "ann\nbob,cid\n", want: "ids:2: wrong number of fields"},
		"a stray quote":       {text: "ann\n\nb\"b\n", want: "ids:3: bare \" in non-quoted-field"},
		"an open quote":       {text: "user_id\nann\n\"bob\n" + strings.Repeat("cid\n", 100_000), want: "ids:3: the record has more than 65536 bytes\nhint: is a quotation mark missing?"},
		"a long line":         {text: "{\"id\":\"ann\"}\n{\"x\":\"" + strings.Repeat("x", 70_000) + "\"}", want: "ids:2: it has more than 65536 bytes"},
		"JSON cut":            {text: "{\"id\":\"ann\"}\n{\"id\":", want: "ids:2: the line ends within a JSON value\nhint: "},
		"no JSON":             {text: "{\"id\":\"ann\"}\n\nbob\n", want: "ids:3: "},
		"two values":          {text: "{\"id\":\"ann\"} {}\n", want: "ids:1: there is something after the value"},
		"no member":           {text: "{\"id\":\"ann\"}\n{\"name\":\"A\"}\n", want: "ids:2: there is no id"},
		"a null":              {text: "{\"id\":null}\n", want: "ids:1: there is no id"},
		"an object as id":     {text: "{\"id\":{}}\n", want: "ids:1: an id is a string or a whole number"},
		"a fraction":          {text: "{\"id\":1.5}\n", want: "ids:1: an id is a string or a whole number"},
		"a member twice":      {text: "{\"id\":\"a\",\"id\":\"b\"}\n", want: "ids:1: duplicate"},
		"gzip cut":            {text: gzipped(t, strings.Repeat("ann\n", 1000))[:30], want: "ids: it breaks off after "},
		"gzip broken":         {text: "\x1f\x8b" + strings.Repeat("x", 30), want: "ids: gzip: invalid header"},
	} {
		t.Run(name, func(t *testing.T) {
			test.upload.File = "ids"
			for _, r := range []io.Reader{strings.NewReader(test.text), iotest.OneByteReader(strings.NewReader(test.text))} {
				members, err := test.upload.Read(r)
				var bad *cohorts.LineError
				if members != nil || !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), test.want) {
					t.Errorf("%d members, %v; want %s", len(members), err, test.want)
				}
			}
		})
	}
	broken := errors.New("the line is dead")
	_, err := cohorts.Upload{File: "ids"}.Read(io.MultiReader(strings.NewReader("ann\n"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("of a reader that fails: %v", err)
	}
}

// TestUploadForms: what the standard library writes of any ids is read as these
// ids, in each form.
func TestUploadForms(t *testing.T) {
	for seed := range uint64(300) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		const letters = `abcXYZ0189-_.@+:/\"',; äß日🙂`
		all := []rune(letters)
		want := make([]string, 1+rnd.IntN(40))
		for i := range want {
			id := []rune{all[rnd.IntN(8)]} // neither blank nor a bracket
			for range rnd.IntN(12) {
				id = append(id, all[rnd.IntN(len(all))])
			}
			want[i] = strings.TrimSpace(string(id))
		}
		var table, objects, strung bytes.Buffer
		w := csv.NewWriter(&table)
		w.Comma = []rune(",;\t")[rnd.IntN(3)]
		w.UseCRLF = rnd.IntN(2) == 0
		rows := [][]string{{"note", "user_id"}}
		for i, id := range want {
			rows = append(rows, []string{strconv.Itoa(i), id})
			for b, v := range map[*bytes.Buffer]any{&objects: map[string]any{"a": i, "user_id": id, "z": nil}, &strung: id} {
				if err := json.NewEncoder(b).Encode(v); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := w.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		for form, text := range map[string]string{"CSV": table.String(), "objects": objects.String(), "strings": strung.String()} {
			members, err := cohorts.Upload{File: form}.Read(strings.NewReader(text))
			if err != nil {
				t.Fatalf("seed %d: %v\n%s", seed, err, text)
			}
			if got := ids(members); !slices.Equal(got, want) {
				t.Fatalf("seed %d, %s: %q, want %q", seed, form, got, want)
			}
		}
	}
}

func FuzzUpload(f *testing.F) {
	for _, s := range []string{"ann\nbob", "user_id,x\r\nann,\"1\"\"\"\r\n", "{\"id\":\"ann\"}\n\"bob\"\n", "\ufeffa;id\n1;2", gzipped(f, "ann\n")} {
		f.Add(s, "")
		f.Add(s, "id")
	}
	f.Fuzz(func(t *testing.T, text, column string) {
		members, err := cohorts.Upload{File: "ids", Column: column}.Read(strings.NewReader(text))
		var bad *cohorts.LineError
		if err != nil && !errors.As(err, &bad) {
			t.Errorf("an error that names no line: %v", err)
		}
		if err != nil && members != nil {
			t.Error("members of an upload that is refused")
		}
		for _, m := range members {
			if m.ID == "" || len(m.ID) > events.MaxID || strings.TrimSpace(m.ID) != m.ID {
				t.Errorf("the id %q", m.ID)
			}
		}
	})
}

// BenchmarkUpload reads a million ids of each form.
func BenchmarkUpload(b *testing.B) {
	const n = 1_000_000
	var plain, table, objects strings.Builder
	table.WriteString("user_id,plan,seats\n")
	for i := range n {
		id := fmt.Sprintf("user-%08d", (i*7919)%n)
		plain.WriteString(id + "\n")
		table.WriteString(id + ",pro,12\n")
		objects.WriteString(`{"user_id":"` + id + `","plan":"pro","seats":12}` + "\n")
	}
	for _, form := range []struct{ name, text string }{
		{"plain", plain.String()}, {"csv", table.String()}, {"jsonl", objects.String()}, {"gzip", gzipped(b, table.String())},
	} {
		b.Run(form.name, func(b *testing.B) {
			b.SetBytes(int64(len(form.text)))
			b.ReportAllocs()
			for b.Loop() {
				members, err := cohorts.Upload{}.Read(strings.NewReader(form.text))
				if err != nil || len(members) != n {
					b.Fatal(len(members), err)
				}
			}
		})
	}
}

// BenchmarkUploadStored reads a million ids in no order, from a CSV, and makes
// them the members of a cohort, in place of as many. The goal: 2 s on two cores.
func BenchmarkUploadStored(b *testing.B) {
	const n = 1_000_000
	s, err := store.Open(store.Options{Dir: b.TempDir(), Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	}()
	var table strings.Builder
	table.WriteString("user_id,plan,seats\n")
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, i := range rnd.Perm(n) {
		fmt.Fprintf(&table, "%016x,pro,12\n", uint64(i)*0x9e3779b97f4a7c15)
	}
	b.ReportAllocs()
	for b.Loop() {
		members, err := cohorts.Upload{}.Read(strings.NewReader(table.String()))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.ReplaceCohort(b.Context(), "crm/stuck", 0, members); err != nil {
			b.Fatal(err)
		}
	}
	if got := s.Cohorts()["crm/stuck"].Members; got != n {
		b.Errorf("%d members", got)
	}
}
