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
# The tests of ours that docs/conformance.md names beside httputil's.
sed -n '/^| httputil/,$p' docs/conformance.md | grep '^| Test' | cut -d'|' -f3 | grep -o 'Test[A-Za-z0-9]*' | sort -u | while read -r name; do
	grep -rq --include='*_test.go' "^func $name(" proxy cmd/refract || { echo "docs/conformance.md names $name, which is no test" >&2; exit 1; }
done
mkdir -p "$cache"
go build -o "$cache/refract" ./cmd/refract
(cd scripts && go build -o "$cache/" tool && go build -o "$cache/conformance" ./conformance)
exec "$cache/conformance" -refract "$cache/refract" -tools "$cache" "$@"
