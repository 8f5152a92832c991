package proxy

import "testing"

// People with a phone of Cubot are none of the machines.
func TestBot(t *testing.T) {
	for agent, want := range map[string]bool{
		"Mozilla/5.0 (compatible; Googlebot/2.1)":                                                         true,
		"Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Chrome/120.0 Mobile Safari/537.36": false,
		"CUBOT_NOTE_S":                         false,
		"Mozilla/5.0 (Linux; CUBOT X) bingbot": true,
		"FocusBot/1.0":                         true,
		"Acubot/1":                             true,
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": false,
	} {
		if got := bot(agent); got != want {
			t.Errorf("%q is a bot: %v", agent, got)
		}
	}
}
