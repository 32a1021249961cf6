#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux echo serves many at once, holds up nobody for one that does not read, and drains on SIGTERM
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tool=$(realpath "${BUILD:-build}")/shmux
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
name=test-echo-$$
cd "$tmp" || exit 1
mkfifo in out

fail()
{
	echo "$*"
	tail -n +1 -- *.err 2>/dev/null
	kill $(jobs -p) 2>/dev/null
	exit 1
}

# start OPTION...: an echo server; it is ready when this returns.
start()
{
	"$tool" echo "$@" $name 2>echo.err &
	echo=$!
	"$tool" cat --wait --timeout 20 $name </dev/null || fail "the server does not answer"
	[ "$(cat echo.err)" = "listening on $name" ] || fail "the server said something else"
}

# leaves PID STATUS WHAT
leaves()
{
	local status

	wait "$1"
	status=$?
	[ $status = "$2" ] || fail "$3 left with status $status instead of $2"
}

# open_stream: a client that we feed by descriptor 8 and hear by descriptor 9.
open_stream()
{
	"$tool" cat $name <in >out 2>cat.err &
	cat=$!
	exec 8>in 9<out
	say_and_hear first
}

say_and_hear()
{
	local line

	echo "$1" >&8
	read -r -t 20 line <&9 && [ "$line" = "$1" ] || fail "no echo of '$1'"
}

# Asking twice is the only way to see that it stopped listening.
wait_until_deaf()
{
	local try=0

	while "$tool" cat --timeout 1 $name </dev/null 2>/dev/null; do
		try=$((try + 1))
		[ $try -lt 1000 ] || fail "a draining server went on accepting"
	done
}

head -c 12345678 /dev/urandom >large

# Eight at once, and one that sends and never reads.
start
mkfifo never
exec 7<>never
"$tool" cat $name </dev/zero >never 2>stuck.err &
stuck=$!
clients=()
for i in 1 2 3 4 5 6 7 8; do
	timeout 60 "$tool" cat $name <large >got$i 2>cat$i.err &
	clients+=($!)
done
for pid in "${clients[@]}"; do
	leaves "$pid" 0 "a client"
done
for i in 1 2 3 4 5 6 7 8; do
	cmp large got$i || fail "other bytes came back than were sent"
done
kill -KILL $stuck
wait $stuck 2>/dev/null
kill $echo
leaves $echo 0 "the server with no stream open"

# Draining: no new streams, open ones run to their end.
start
open_stream
kill $echo
wait_until_deaf
say_and_hear second
exec 8>&-
leaves $cat 0 "the client of a draining server"
leaves $echo 0 "the drained server"
exec 9<&-

# Not for ever.
start --drain 0.1
open_stream
kill $echo
leaves $echo 1 "the server whose client stayed"
leaves $cat 1 "the client that stayed too long"
exec 8>&- 9<&-
grep -q '^shmux: cannot .* (ETIMEDOUT)$' echo.err || fail "the server did not say that it gave up"
grep -q '^shmux: cannot .* (ECONNRESET)$' cat.err || fail "the client did not say that it was cut"

# Nor after a second signal.
start --drain 1000
open_stream
kill $echo
wait_until_deaf
kill -INT $echo
leaves $echo 1 "the server that was told twice"
leaves $cat 1 "the client of the server that was told twice"
exec 8>&- 9<&-
grep -q '^shmux: cannot .* (EINTR)$' echo.err || fail "the server did not say why it cut the stream"
exit 0
