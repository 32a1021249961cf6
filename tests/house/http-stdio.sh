#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the HTTP server of examples/ serves curl the same over its standard input and output, a NAME, yamux and TCP
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$tmp"' EXIT
name=test-http-$$

if [ ! -e /usr/include/http_parser.h ]; then
	echo "there is no http_parser.h (libhttp-parser-dev)"
	exit 4
fi
${MAKE:-make} --no-print-directory BUILD="$build" ${CHECK_FLAGS:-} "$build/examples/http-stdio" \
	>"$tmp/make" 2>&1 || { cat "$tmp/make"; exit 1; }
server=$build/examples/http-stdio
head -c 3000000 /dev/urandom >"$tmp/sample"
head -c 1000 /dev/urandom >"$tmp/small"
rev_expected=$(printf 'seven words' | rev)
export no_proxy='*'

fail()
{
	echo "$*"
	tail -n 20 -- "$tmp"/*.err
	exit 1
}

# begins COMMAND...: in the background; the address that it listens on is in $at.
begins()
{
	nr=$((${nr:-0} + 1))
	"$@" 2>"$tmp/$nr.err" </dev/null &
	for _ in {1..500}; do
		at=$(sed -n "s/^listening on //p" "$tmp/$nr.err" 2>/dev/null | tail -n 1)
		[ -n "$at" ] && return
		sleep 0.02
	done
	fail "$* did not begin"
}

get()
{
	curl -sS --max-time 30 "$@" 2>"$tmp/curl.err" || fail "$way: curl $*: status $?"
}

# expect STATUS CURL-ARGUMENT...
expect()
{
	local want=$1 status
	shift
	status=$(get -o "$tmp/got" -w '%{http_code}' "$@")
	[ "$status" = "$want" ] || fail "$way: curl $*: $status, where $want is due"
}

# speaks WORDS: raw, to the server; what comes back is in got.
speaks()
{
	exec 3<>"/dev/tcp/127.0.0.1/${url##*:}"
	printf '%b' "$1" >&3
	timeout 20 cat <&3 >"$tmp/got" || fail "$way: '$1' is not answered to the end"
	exec 3>&-
}

# count PATTERN NUMBER: so many lines of what came back.
count()
{
	[ "$(grep -ac "$1" "$tmp/got")" = "$2" ] || { cat "$tmp/got"; fail "$way: $2 lines of '$1' were expected"; }
}

# serves WAY URL
serves()
{
	local part
	way=$1 url=$2

	expect 200 "$url/"
	grep -q '<h1>It works</h1>' "$tmp/got" || fail "$way: / is another page"
	[ "$(get -d 'seven words' "$url/reverse")" = "$rev_expected" ] || fail "$way: not backwards"
	get --data-binary "@$tmp/sample" "$url/echo" | cmp - "$tmp/sample" || fail "$way: another echo"
	get -H 'Transfer-Encoding: chunked' --data-binary "@$tmp/sample" "$url/echo" | cmp - "$tmp/sample" ||
		fail "$way: another echo in chunks"
	get -H 'Expect: 100-continue' --data-binary "@$tmp/small" "$url/echo" | cmp - "$tmp/small" ||
		fail "$way: another echo after 100-continue"
	[ "$(get "$url/bytes/50000001" | wc -c)" = 50000001 ] || fail "$way: not so many bytes"
	get -I "$url/bytes/1234" >"$tmp/got"
	count '^Content-Length: 1234' 1
	get -I "$url/" | grep -q '^HTTP/1.1 200 ' || fail "$way: no HEAD"

	# Twenty requests over one connection, and many connections at once.
	part=$(get -w '%{num_connects}\n' -o /dev/null "$url/bytes/[1-20]" | grep -c '^1')
	[ "$part" = 1 ] || fail "$way: twenty requests took $part connections"
	get -Z --parallel-max 50 "$url/bytes/[1-200]" | wc -c >"$tmp/got"
	[ "$(cat "$tmp/got")" = 20100 ] || fail "$way: in parallel $(cat "$tmp/got") bytes came"
	get -0 -w '\n%{http_version}' "$url/bytes/3" >"$tmp/got"
	count '^abc$' 1

	# What is refused.
	expect 404 "$url/nothing"
	expect 404 "$url/bytes/x"
	expect 405 "$url/echo"
	expect 405 -d x "$url/"
	expect 413 --data-binary "@$tmp/sample" "$url/reverse"
	expect 413 -H 'Expect: 100-continue' --data-binary "@$tmp/sample" "$url/reverse"
	expect 413 -H 'Transfer-Encoding: chunked' --data-binary "@$tmp/sample" "$url/reverse"
	expect 404 --data-binary "@$tmp/sample" "$url/nothing"
	expect 414 "$url/$(printf 'x%.0s' {1..300})"
	expect 431 -H "X: $(printf 'x%.0s' {1..20000})" "$url/"
	expect 501 -X FROBNICATE "$url/"
	expect 400 -H 'Host:' "$url/"

	# Requests that do not wait for answers.
	speaks 'GET /bytes/5 HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nPINGGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n'
	count 'HTTP/1.1 200 OK' 3
	count '^abcdeHTTP' 1
	count '^PINGHTTP' 1
	speaks 'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nx'
	count 'HTTP/1.1 400 Bad Request' 1
	speaks '\x16\x03\x01\x02'
	count 'HTTP/1.1 [45]0' 1
}

begins "$server" tcp:127.0.0.1:0
serves "over TCP" "http://${at#tcp:}"

begins "$server" $name
begins "$build/shmux" forward tcp:127.0.0.1:0 $name
serves "over a NAME" "http://${at#tcp:}"

begins "$server" "yamux+unix:$tmp/socket"
begins "$build/shmux" forward tcp:127.0.0.1:0 "yamux+unix:$tmp/socket"
serves "over yamux" "http://${at#tcp:}"

begins "$build/shmux" forward tcp:127.0.0.1:0 "exec:$server"
serves "over standard input and output" "http://${at#tcp:}"

# Who is told to leave answers what it was asked.
rm "$tmp/got"
get "http://${at#tcp:}/bytes/100000000" >"$tmp/got" &
client=$!
until [ -s "$tmp/got" ]; do sleep 0.01; done
for pid in $(jobs -p); do
	[ "$pid" = $client ] || kill "$pid"
done
wait $client || fail "the last client was not served to the end"
[ "$(wc -c <"$tmp/got")" = 100000000 ] || fail "the last client got $(wc -c <"$tmp/got") bytes"
for pid in $(jobs -p); do
	[ "$pid" = $client ] || wait "$pid" || fail "a server or forwarder left with status $?"
done
exit 0
