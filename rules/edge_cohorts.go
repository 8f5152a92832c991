package rules

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// What cohorts need not say.
const (
	DefaultCohortAge     = 24 * time.Hour
	DefaultMemberExpires = 7 * 24 * time.Hour
	DefaultPullEvery     = 10 * time.Minute
	DefaultPostHog       = "https://us.posthog.com"
)

// Cohorts is how memberships of other systems' cohorts come in.
type Cohorts struct {
	// MaxAge is how long after its system's last word a cohort is believed that
	// no feed says otherwise of; 0: for ever. DefaultCohortAge.
	MaxAge time.Duration
	Feeds  map[string]CohortFeed // who may tell, by the vendor's name
	Pull   *CohortPull           // nil: nothing is asked for
}

// CohortFeed is a vendor that may tell its mount who is in its cohorts. At least
// one of Password, Token and Secret is there.
type CohortFeed struct {
	User, Password string // of Basic authorization, resolved
	Token          string // what it must present, resolved; empty: nothing
	Secret         string // what it signs with, resolved; empty: it needn't
	MaxAge         time.Duration
	Expires        time.Duration // when a membership ends whose message says nothing of that; 0: never
}

// CohortPull is a project of PostHog whose cohorts are asked for. Their names
// are "posthog/" and the number.
type CohortPull struct {
	Host    string // URL of the app, without a slash at its end; DefaultPostHog
	Project string // its number
	Key     string // a personal API key, resolved
	Cohorts []int  // at least one
	Every   time.Duration
	MaxAge  time.Duration
}

// feeds are the vendors that tell, with what each presents.
var feeds = []struct {
	name    string
	secrets []string
	needed  bool // all of them; else one will do
	expires bool // nobody is told to have left: each membership ends by itself, and the cohort is believed for ever
}{
	{"mixpanel", []string{"user", "password"}, true, false},
	{"amplitude", []string{"token"}, true, false},
	{"segment", []string{"secret", "token"}, false, false},
	{"rudderstack", []string{"token"}, true, false},
	{"braze", []string{"token"}, true, true},
}

// read reads the feeds of cohorts.
func (c *Cohorts) read(v value) {
	var names []string
	for _, feed := range feeds {
		names = append(names, feed.name)
	}
	f, ok := v.fields("a mapping of vendors whose cohorts come in", append(names, "posthog", "max_age")...)
	if !ok {
		return
	}
	set(&c.MaxAge)(wait(f.get("max_age")))
	for _, feed := range feeds {
		known := append(slices.Clone(feed.secrets), "max_age")
		if feed.expires {
			known = append(known, "expires")
		}
		s, ok := f.get(feed.name).fields("a mapping with "+strings.Join(feed.secrets, " and "), known...)
		if !ok {
			continue
		}
		to := CohortFeed{MaxAge: c.MaxAge}
		if feed.expires {
			to.MaxAge = 0
		}
		at := map[string]*string{"user": &to.User, "password": &to.Password, "token": &to.Token, "secret": &to.Secret}
		some := false
		for _, key := range feed.secrets {
			read := s.get
			if feed.needed {
				read = func(key string) value { return s.need(key, key+": env:NAME") }
			}
			some = some || s.get(key).present() || slices.Contains(s.meant, key)
			if key == "user" {
				set(at[key])(resolved(read(key)))
			} else {
				set(at[key])(secret(read(key)))
			}
		}
		if !feed.needed && !some {
			s.refuse("set one of them to env:NAME", "%s has neither %s", feed.name, strings.Join(feed.secrets, " nor "))
		}
		if feed.name == "segment" && to.Secret != "" && !s.get("token").present() {
			s.get("secret").warn("set token: env:NAME too, and have the webhook send it as a header",
				"segment signs the first message of a batch only: who sees one can add others to it")
		}
		set(&to.MaxAge)(wait(s.get("max_age")))
		if feed.expires {
			to.Expires = DefaultMemberExpires
			set(&to.Expires)(wait(s.get("expires")))
		}
		if c.Feeds == nil {
			c.Feeds = map[string]CohortFeed{}
		}
		c.Feeds[feed.name] = to
	}
	c.readPull(f.get("posthog"))
}

func (c *Cohorts) readPull(v value) {
	f, ok := v.fields("a mapping with project, key and cohorts", "host", "project", "key", "cohorts", "every", "max_age")
	if !ok {
		return
	}
	p := &CohortPull{Host: DefaultPostHog, Every: DefaultPullEvery, MaxAge: c.MaxAge}
	host := f.get("host")
	if s, ok := postAddress(host); ok {
		if strings.Contains(s, "?") {
			host.refuse("", "host must be a URL without a query")
		}
		p.Host = strings.TrimRight(s, "/")
	}
	if n, ok := count(f.need("project", "the project's number: project: 12345"), 1); ok {
		p.Project = strconv.Itoa(n)
	}
	set(&p.Key)(secret(f.need("key", "a personal API key that may read cohorts and persons: key: env:NAME")))
	list, _ := f.need("cohorts", "the numbers in the cohorts' addresses: cohorts: [98]").some("numbers of cohorts")
	for _, entry := range list {
		n, ok := count(entry, 1)
		if ok && slices.Contains(p.Cohorts, n) {
			entry.refuse("", "the cohort %d is there twice", n)
		} else if ok {
			p.Cohorts = append(p.Cohorts, n)
		}
	}
	every := f.get("every")
	set(&p.Every)(window(every))
	if every.present() && p.Every < time.Minute {
		every.refuse("", "every must be at least 1m: PostHog limits how often it may be asked")
	}
	age := f.get("max_age")
	set(&p.MaxAge)(wait(age))
	if p.MaxAge != 0 && p.MaxAge <= p.Every {
		if !age.present() {
			age = every
		}
		age.refuse("ask more often, or let max_age be a few times every",
			"cohorts are asked for every %s but believed for %s", FormatDuration(p.Every), FormatDuration(p.MaxAge))
	}
	c.Pull = p
}
