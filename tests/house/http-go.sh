#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: curl reaches net/http in Go through our forwarder, and net/http calls our HTTP server, over yamux on standard input and output
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$tmp"' EXIT
go=$build/tests/go/gopeer
export no_proxy='*'

fail()
{
	echo "$*"
	tail -n 20 -- "$tmp"/*.err
	exit 1
}

[ -x "$go" ] || { echo "$go was not built"; exit 1; }
${MAKE:-make} --no-print-directory BUILD="$build" ${CHECK_FLAGS:-} "$build/examples/http-stdio" \
	>"$tmp/make" 2>&1 || { cat "$tmp/make"; exit 1; }

# Our server, called from Go: each of its connections is a stream that Go opens.
mkfifo "$tmp/there" "$tmp/back" || exit 1
timeout 60 "$build/examples/http-stdio" <"$tmp/there" >"$tmp/back" 2>"$tmp/http.err" &
timeout 60 "$go" -client http-client "
GET / 1 200
GET /none 1 404
GET /bytes/1000000 20 200
POST /echo 100 200 10
POST /echo 20 200 1000000
POST /echo 1000 200 100
" >"$tmp/there" <"$tmp/back" 2>"$tmp/go.err" || fail "Go's client: status $?"
wait $! || fail "our server: status $?"

# Go's server, called by curl: each of its connections is a stream that we open.
"$build/shmux" forward tcp:127.0.0.1:0 "exec:$go http-server" 2>"$tmp/forward.err" </dev/null &
for _ in {1..500}; do
	url=$(sed -n 's/.*listening on tcp:/http:\/\//p' "$tmp/forward.err" | head -n 1)
	[ -n "$url" ] && break
	sleep 0.02
done
[ -n "$url" ] || fail "the forwarder does not listen"
head -c 3000000 /dev/urandom >"$tmp/sample"
get()
{
	curl -sS --max-time 30 "$@" 2>"$tmp/curl.err" || fail "curl $*: status $?"
}

[ "$(get "$url/hello")" = "Hello from Go." ] || fail "no hello"
get --data-binary "@$tmp/sample" "$url/echo" | cmp - "$tmp/sample" || fail "another echo"
get -H 'Transfer-Encoding: chunked' --data-binary "@$tmp/sample" "$url/echo" | cmp - "$tmp/sample" || fail "another echo in chunks"
[ "$(get --data-binary "@$tmp/sample" "$url/count")" = 3000000 ] || fail "not so many bytes went"
get "$url/pattern?len=5000000" >"$tmp/pattern"
[ "$(wc -c <"$tmp/pattern")" = 5000000 ] || fail "not so many bytes came"
get "$url/chunks?len=5000000" | cmp - "$tmp/pattern" || fail "other bytes in chunks"
[ "$(get -Z --parallel-max 50 "$url/pattern?len=[1-200]" | wc -c)" = 20100 ] || fail "not so many bytes in parallel"
kill $! && wait $!
exit 0
