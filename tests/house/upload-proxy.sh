#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the upload proxy of examples/ passes files on whole in constant memory over NAME, TCP and a child's stdio, and what is broken off never counts
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$tmp"' EXIT
export no_proxy='*'

if [ ! -e /usr/include/http_parser.h ]; then
	echo "there is no http_parser.h (libhttp-parser-dev)"
	exit 4
fi
${MAKE:-make} --no-print-directory BUILD="$build" ${CHECK_FLAGS:-} "$build/examples/upload-proxy" \
	"$build/examples/upload-receiver" >"$tmp/make" 2>&1 || { cat "$tmp/make"; exit 1; }
proxy=$build/examples/upload-proxy receiver=$build/examples/upload-receiver

# Bytes of the largest upload; by NAME, and by the others.
large=2800000000 less=300000000
[ -n "${SHMUX_STRESS-}" ] && less=$large
head -c 3000000 /dev/urandom >"$tmp/sample"
head -c 1000 /dev/urandom >"$tmp/small"

fail()
{
	echo "${way-}: $*"
	tail -n 20 -- "$tmp"/*.err
	exit 1
}

# until SECONDS COMMAND...
until_true()
{
	local try

	for ((try = 0; try < $1 * 50; try++)); do
		"${@:2}" && return
		sleep 0.02
	done
	return 1
}

begin_receiver()
{
	: >"$tmp/receiver.err"
	"$receiver" "$1" "$tmp/inbox" </dev/null 2>>"$tmp/receiver.err" &
	receiver_pid=$!
	until_true 10 grep -q "^receiving on" "$tmp/receiver.err" || fail "the receiver did not begin"
}

begin_proxy()
{
	: >"$tmp/port"
	"$proxy" 0 "$1" </dev/null >>"$tmp/port" 2>>"$tmp/receiver.err" &
	proxy_pid=$!
	until_true 10 grep -q "^listening on port" "$tmp/port" || fail "the proxy did not begin"
	port=$(sed -n 's/^listening on port //p' "$tmp/port")
	url=http://127.0.0.1:$port/
}

# memory FIELD: of the proxy, in KiB
memory()
{
	sed -n "s/^$1:[^0-9]*\([0-9]*\) kB/\1/p" "/proc/$proxy_pid/status"
}

# expect STATUS CURL-ARGUMENT...
expect()
{
	local want=$1 status
	shift
	status=$(curl -sS --max-time 120 -o "$tmp/got" -w '%{http_code}' "$@" 2>"$tmp/curl.err")
	[ "$status" = "$want" ] || fail "curl $*: $status, where $want is due: $(cat "$tmp/got")"
}

# What the receiver says next, as a pattern.
receiver_says()
{
	until_true 20 grep -q -e "$1" "$tmp/receiver.err" || fail "the receiver did not say '$1'"
}

# speaks WORDS: a form by hand, over descriptor 3
speaks()
{
	exec 3<>"/dev/tcp/127.0.0.1/$port" || fail "the proxy does not listen"
	printf 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n' "$1" >&3
	printf 'Content-Type: multipart/form-data; boundary=BB\r\n\r\n--BB\r\n' >&3
	printf 'Content-Disposition: form-data; name="f"; filename="%s"\r\n\r\n' "$2" >&3
}

form_len()
{
	printf -- '--BB\r\nContent-Disposition: form-data; name="f"; filename="%s"\r\n\r\n' "$1" | wc -c
}

check_files()
{
	expect 200 -F text=nothing -F "file=@$tmp/sample" -F "again=@$tmp/small;filename=a b" "$url"
	cmp "$tmp/sample" "$tmp/inbox/sample" || fail "another file arrived"
	cmp "$tmp/small" "$tmp/inbox/a_b" || fail "another second file arrived"
	grep -q '^sample: 3000000 bytes$' "$tmp/got" || fail "the answer is: $(cat "$tmp/got")"
	expect 200 -H 'Transfer-Encoding: chunked' -F "file=@/dev/null;filename=empty" "$url"
	[ -f "$tmp/inbox/empty" ] && [ ! -s "$tmp/inbox/empty" ] || fail "an empty file did not arrive"
	expect 405 "$url"
	expect 415 -d x=y "$url"
	expect 400 -F x=y "$url"
}

check_many_at_once()
{
	local i pids=()

	for i in {1..16}; do
		curl -sS --max-time 60 -o "$tmp/got.$i" -F "file=@$tmp/sample;filename=many$i" "$url" \
			2>>"$tmp/curl.err" &
		pids+=($!)
	done
	for i in "${pids[@]}"; do
		wait "$i" || fail "one of many left with status $?"
	done
	for i in {1..16}; do
		cmp "$tmp/sample" "$tmp/inbox/many$i" || fail "of many another arrived"
	done
}

# A client that goes away.
check_abort()
{
	speaks 100000000 aborted
	cat "$tmp/sample" >&3
	exec 3>&- 3<&-
	receiver_says '^lost aborted after [0-9]*: Operation canceled$'
	[ ! -e "$tmp/inbox/aborted" ] || fail "an upload that was broken off was stored"
}

# A body that is as long as it says, and has not its last boundary.
check_boundary()
{
	local len

	len=$(form_len cut)
	speaks $((len + 3000000)) cut
	cat "$tmp/sample" >&3
	head -n 1 <&3 | grep -q '^HTTP/1.1 400 ' || fail "a missing boundary is not 400"
	exec 3>&- 3<&-
	receiver_says '^lost cut after [0-9]*: Bad message$'
	[ ! -e "$tmp/inbox/cut" ] || fail "a body without its last boundary was stored"
}

# An upstream that cannot store, and says so at the end, or earlier.
check_upstream_failure()
{
	mv "$tmp/inbox" "$tmp/elsewhere"
	expect 502 -F "file=@$tmp/sample;filename=unstored" "$url"
	grep -q '^No such file or directory$' "$tmp/got" || fail "502 says: $(cat "$tmp/got")"
	mv "$tmp/elsewhere" "$tmp/inbox"
}

# The size in all, the idle proxy's memory, and what it came to at most.
check_memory()
{
	local idle peak
	truncate -s "$1" "$tmp/large"
	idle=$(memory VmRSS)
	expect 200 -F "file=@$tmp/large;filename=/dev/null" "$large_url"
	receiver_says "^stored .* $1 "
	peak=$(memory VmHWM)
	[ $((peak - idle)) -le 16384 ] || fail "$1 bytes took $peak KiB, idle $idle KiB"
	[ "$(sed -n "s/^stored [^ ]* \($1 .*\)/\1/p" "$tmp/receiver.err")" = "$("$receiver" --file "$tmp/large")" ] ||
		fail "other $1 bytes arrived"
}

begins()
{
	way=$1
	mkdir -p "$tmp/inbox"
	rm -f "$tmp/inbox"/*
	: >"$tmp/receiver.err"
	[ "$2" = child ] || begin_receiver "$1"
	begin_proxy "$3"
	large_url=$url
}

ends()
{
	kill $proxy_pid && wait $proxy_pid 2>/dev/null
	[ -n "${receiver_pid-}" ] && kill $receiver_pid && wait $receiver_pid 2>/dev/null
	receiver_pid=
}

# This one counts and hashes, and keeps nothing.
large_upload()
{
	way=$1
	: >"$tmp/receiver.err"
	if [ "$2" != child ]; then
		"$receiver" "$1" </dev/null 2>>"$tmp/receiver.err" &
		receiver_pid=$!
		until_true 10 grep -q "^receiving on" "$tmp/receiver.err" || fail "the receiver did not begin"
	fi
	begin_proxy "$3"
	expect 200 -F "file=@$tmp/small" "$url"
	large_url=$url
	check_memory "$4"
	ends
}

check_way()
{
	begins "$@"
	check_files
	check_many_at_once
	check_abort
	check_boundary
	check_upstream_failure
	ends
}

name=test-upload-$$
check_way $name server $name

# An upstream that is not there, one that dies amid an upload, and a proxy that does.
begins $name server $name
speaks 100000000 dying
cat "$tmp/small" >&3
kill -9 $receiver_pid && wait $receiver_pid 2>/dev/null
cat "$tmp/sample" >&3 2>/dev/null
head -n 1 <&3 | grep -q '^HTTP/1.1 502 ' || fail "an upstream that dies is not 502"
exec 3>&- 3<&-
expect 502 -F "file=@$tmp/small" "$url"
begin_receiver $name
expect 200 -F "file=@$tmp/small" "$url"
speaks 100000000 orphan
# More than lies in between: some of it has gone on.
for i in {1..8}; do
	cat "$tmp/sample" >&3
done
kill -9 $proxy_pid && wait $proxy_pid 2>/dev/null
receiver_says '^lost orphan after [0-9]*: Connection reset by peer$'
exec 3>&- 3<&-
[ ! -e "$tmp/inbox/orphan" ] || fail "an upload of a proxy that was killed was stored"
kill $receiver_pid && wait $receiver_pid 2>/dev/null
receiver_pid=

large_upload $name server $name $large

tcp=yamux+tcp:127.0.0.1:$((20000 + $$ % 12000))
check_way $tcp server $tcp
large_upload $tcp server $tcp $less
check_way exec child "exec:$receiver stdio: $tmp/inbox"
large_upload exec child "exec:$receiver stdio:" $less
exit 0
