// Caddy with its standard modules and replace-response: one of the peers of
// scripts/bench-peers. It is a module of its own, since Caddy's dependencies
// are many.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"
	_ "github.com/caddyserver/replace-response"
)

func main() { caddycmd.Main() }
