package proxy

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/seed14307185/refract/rules"
)

// Cookies as the vendors' browser SDKs write them. Ids that begin with a- are
// browsers', the others persons'.
func TestVendorCookies(t *testing.T) {
	amplitude := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(url.PathEscape(s))) }
	rudder := func(s string) string { return "RS_ENC_v3_" + base64.StdEncoding.EncodeToString([]byte(s)) }
	long := strings.Repeat("x", 300)
	for _, c := range []struct{ source, cookies, want string }{
		{"segment", "ajs_anonymous_id=a-1", "a-1"},
		{"segment", "ajs_anonymous_id=a-1; ajs_user_id=u-1", "u-1"},
		{"segment", `ajs_user_id=%22u%20+1%22`, "u +1"},
		{"segment", "ajs_user_id=" + long + "; ajs_anonymous_id=a-1", "a-1"},
		{"segment", "ajs_user_id=null; ajs_group_id=null; ajs_anonymous_id=%22a-1%22", "a-1"},
		{"segment", "ajs_user_id=null", ""},
		{"segment", "ajs_user_id=%22null%22", "null"},
		{"segment", "", ""},

		{"posthog", "ph_phc_k_posthog=" + url.PathEscape(`{"$device_id":"a-1","distinct_id":"a-1","$user_state":"anonymous","$sesid":[1,"s",2]}`), "a-1"},
		{"posthog", "ph_phc_k_posthog=" + url.PathEscape(`{"$device_id":"a-1","distinct_id":"u-1","$user_state":"identified"}`), "u-1"},
		{"posthog", "ph_phc_k_posthog=" + url.PathEscape(`{"distinct_id":42}`), "42"},
		{"posthog", "ph_phc_k_posthog_cpm=x; b=c", ""},
		{"posthog:phc_2", `ph_phc_1_posthog={"distinct_id":"u-1"}; ph_phc_2_posthog={"distinct_id":"u-2"}`, "u-2"},
		{"posthog:a+b/c=", `ph_aPLbSLcEQ_posthog={"distinct_id":"u-1"}`, "u-1"},
		{"posthog:mine", `ph_mine={"distinct_id":"u-1"}`, "u-1"},
		{"posthog", `ph_k_posthog={"distinct_id":["u-1"]}`, ""},
		{"posthog", `ph_k_posthog={"distinct_id":{"a":1},"$device_id":"a-1"}`, "a-1"},
		{"posthog", `ph_k_posthog={"distinct_id":1.5}`, ""},
		{"posthog", `ph_k_posthog={"distinct_id":"u-1`, ""},

		{"mixpanel", "mp_k_mixpanel=" + url.PathEscape(`{"distinct_id":"$device:a-1","$device_id":"a-1"}`), "a-1"},
		{"mixpanel", "mp_k_mixpanel=" + url.PathEscape(`{"distinct_id":"u-1","$device_id":"a-1","$user_id":"u-1"}`), "u-1"},
		{"mixpanel:mine", `mp_mine={"distinct_id":"u-1"}`, "u-1"},
		{"mixpanel:other", `mp_k_mixpanel={"distinct_id":"u-1"}`, ""},

		{"amplitude", "AMP_AMPKEY0123=" + amplitude(`{"deviceId":"a-1","userId":"u-1","optOut":false}`), "u-1"},
		{"amplitude", "AMP_MKTG_AMPKEY0123=x; AMP_TEST1=y; AMP_AMPKEY0123=" + amplitude(`{"deviceId":"a-1"}`), "a-1"},
		{"amplitude:AMPKEY0123456789", "AMP_AMPKEY0123=" + url.QueryEscape(amplitude(`{"deviceId":"a-1"}`)), "a-1"},
		{"amplitude:AMPKEY0123456789", "amp_AMPKEY=a-1.dS0x..1k.1k.0", "u-1"},
		{"amplitude", "amp_AMPKEY=a-1...1k.1k.0", "a-1"},
		{"amplitude", "AMP_AMPKEY0123=!", ""},

		{"rudderstack", "rl_anonymous_id=" + rudder(`"a-1"`) + "; rl_user_id=" + rudder(`""`), "a-1"},
		{"rudderstack", "rl_anonymous_id=" + rudder(`"a-1"`) + "; rl_user_id=RS_ENC_v3_InUtMSI=", "u-1"},
		{"rudderstack", "rl_user_id=%22u-1%22", "u-1"},
		{"rudderstack", "rl_user_id=RudderEncrypt%3AU2FsdGVkX1%2F5bkL6DoggzhwozhJKWnM1zIwQkGXtYJE%3D", "u-1"},
		{"rudderstack", "rl_user_id=RudderEncrypt:U2FsdGVkX183jQJWoinKsxB7XyPZuIBpyQt9TbT1jV6K0xUc3CpneyXFpsyZaI+9eKhPRfduEtqlI2e2+8+Fdg==", "c81da3a7-long-enough-to-be-two-blocks"},
		{"rudderstack", "rl_user_id=RudderEncrypt:U2FsdGVkX18=; rl_anonymous_id=RS_ENC_v3_!", ""},
		{"rudderstack", "rl_user_id=RudderEncrypt:U2FsdGVkX1/5bkL6DoggzhwpzhJKWnM1zIwQkGXtYJE=", ""},

		{"braze", "ab.storage.deviceId.k=g%3Aa-1%7Ce%3Aundefined%7Cc%3A1%7Cl%3A2", "a-1"},
		{"braze", "ab.storage.userId.k=g:u-1|e:undefined|c:1|l:2; ab.storage.deviceId.k=g:a-1|e:1", "u-1"},
		{"braze:k", "ab.storage.userId.j=g:u-1", ""},
		{"braze", "ab.storage.userId.k=e:1", ""},

		{"cookie:ajs_anonymous_id", "ajs_anonymous_id=%22a-1%22", "a-1"},
		{"cookie:rl_anonymous_id", "rl_anonymous_id=a-1", "a-1"},
		{"cookie:ajs_user_id", "ajs_user_id=u-1; ajs_anonymous_id=a-1", "u-1"},
		{"cookie:ajs_user_id", "ajs_user_id=null", ""},
		{"cookie:user", "user=u-1", "u-1"},
	} {
		kind, name, _ := strings.Cut(c.source, ":")
		got, browser := new(Proxy).readSource(&rules.IdentitySource{Kind: kind, Name: name}, http.Header{"Cookie": {"x=y; " + c.cookies}})
		if got != c.want || browser != strings.HasPrefix(c.want, "a-") {
			t.Errorf("%s of %q: %q, a browser's: %v; want %q", c.source, c.cookies, got, browser, c.want)
		}
	}
}

// Whatever stands in the cookies, what is read can be an id.
func FuzzVendorCookies(f *testing.F) {
	for _, s := range []string{"ph_k_posthog={\"distinct_id\":\"u\"}", "amp_k=a.dS0x.", "rl_user_id=RudderEncrypt:U2FsdGVkX1/5bkL6DoggzhwozhJKWnM1zIwQkGXtYJE=", "AMP_k=e30=", "ab.storage.userId.k=g:u|e:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cookies string) {
		h := http.Header{"Cookie": {cookies}}
		for _, kind := range rules.IdentityVendors {
			for _, key := range []string{"", "k"} {
				if id, _ := new(Proxy).readSource(&rules.IdentitySource{Kind: kind, Name: key}, h); id != validID(id) {
					t.Errorf("%s of %q: %q", kind, cookies, id)
				}
			}
		}
	})
}
