package proxy

import (
	"testing"

	"github.com/seed14307185/refract/rules"
)

func TestBrowser(t *testing.T) {
	for _, c := range []struct {
		userAgent string
		want      rules.Browser
	}{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", rules.Chromium},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0", rules.Chromium},
		{"Mozilla/5.0 (Linux; Android 15; SM-S928B Build/AP3A; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/140.0.0.0 Mobile Safari/537.36", rules.Chromium},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", rules.Chromium},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0", rules.Firefox},
		{"Mozilla/5.0 (Android 15; Mobile; rv:143.0) Gecko/143.0 Firefox/143.0", rules.Firefox},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Safari/605.1.15", rules.Safari},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1", rules.Safari},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/143.0 Mobile/15E148 Safari/605.1.15", rules.Safari},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", rules.Safari},
		{"Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko", rules.OtherBrowser},
		{"Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18", rules.OtherBrowser},
		{"Planner/7.2 (iPhone; iOS 18.6) CFNetwork/3826.600.41 Darwin/24.6.0", rules.App},
		{"okhttp/5.1.0", rules.App},
		{"curl/8.16.0", rules.App},
		{"", rules.App},
	} {
		if got := browser(c.userAgent); got != c.want {
			t.Errorf("%q is %s, want %s", c.userAgent, got, c.want)
		}
	}
}

// An exposure has the browser that asked, in both arms.
func TestExposureHasTheBrowser(t *testing.T) {
	edge, s, p := front(t, pageWith(cardPage))
	var want []rules.Browser
	for userAgent, b := range map[string]rules.Browser{"Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0": rules.Firefox, "": rules.App} {
		for _, arm := range []rules.Arm{rules.Treatment, rules.Control} {
			do(t, "GET", edge+"/projects/7", "Cookie", "user="+s.member(p, "invite-teammate", arm), "User-Agent", userAgent)
			want = append(want, b)
		}
	}
	if len(s.exposures) != len(want) {
		t.Fatalf("%d exposures, want %d", len(s.exposures), len(want))
	}
	for i, x := range s.exposures {
		if x.Browser != want[i] {
			t.Errorf("exposure %d, in %s, is of %q, want %q", i, x.Arm, x.Browser, want[i])
		}
	}
}

func BenchmarkBrowser(b *testing.B) {
	const safari = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0.0.0 Mobile/15E148 Safari/604.1"
	for b.Loop() {
		browser(safari)
	}
}
