#!/usr/bin/env bash
# Has h2spec, slowhttptest, toxiproxy, go-httpbin, curl, nghttp and testssl.sh
# judge the proxy, and prints one table; exits 1 if a check fails. Arguments go
# to scripts/conformance, such as -only h2spec,toxiproxy.
#
# What Debian has comes from apt, what is written in Go from the module proxy,
# pinned in scripts/go.mod, into the cache directory. All of it listens on
# loopback, and is gone when this ends.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/refract/conformance

scripts/apt-tools curl nghttp:nghttp2-client slowhttptest testssl:testssl.sh
mkdir -p "$cache"
go build -o "$cache/refract" ./cmd/refract
(cd scripts && go build -o "$cache/" tool && go build -o "$cache/conformance" ./conformance)
exec "$cache/conformance" -refract "$cache/refract" -tools "$cache" "$@"
