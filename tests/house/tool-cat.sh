#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux cat carries any bytes both ways at once, ends as it should, and says so when it cannot
set -u -o pipefail
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
src=$PWD
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
name=test-cat-$$
cd "$tmp" || exit 1

fail()
{
	echo "$*"
	tail -n +1 -- *.err 2>/dev/null
	kill $(jobs -p) 2>/dev/null
	exit 1
}

shmux()
{
	timeout 30 "$build/shmux" "$@"
}

# leaves PID STATUS WHAT
leaves()
{
	local status

	wait "$1"
	status=$?
	[ $status = "$2" ] || fail "$3 left with status $status instead of $2"
}

# says FILE ENAME: one sentence, and the right one.
says()
{
	[ "$(wc -l <"$1")" = 1 ] || fail "$1: one sentence was expected"
	grep -q "^shmux: cannot .*: .* ($2)\$" "$1" || fail "$1: a sentence with $2 was expected"
}

# exchange ADDRESS FILE1 FILE2: one to the listener, the other to the dialler.
exchange()
{
	local listener

	shmux cat -l "$1" <"$3" >got1 2>l.err &
	listener=$!
	shmux cat --wait "$1" <"$2" >got2 2>d.err || fail "the dialler of $1 failed"
	leaves $listener 0 "the listener on $1"
	cmp "$2" got1 && cmp "$3" got2 || fail "on $1 other bytes arrived than were sent"
	[ ! -s l.err ] && [ ! -s d.err ] || fail "on $1 something was said"
}

head -c 30000001 /dev/urandom >large
head -c 7654321 /dev/urandom >other
printf x >tiny
: >empty

exchange $name large other
exchange $name large empty
exchange $name empty large
exchange $name empty empty
exchange memfd:$name tiny large
exchange "memfd:$tmp/socket" other tiny
[ ! -e socket ] || fail "the socket is still there"

# Both through pipes, which come in pieces.
cat large | shmux cat -l $name 2>l.err | cat >got1 &
cat other | shmux cat --wait $name 2>d.err | cat >got2 || fail "cat through pipes failed"
wait
cmp large got2 && cmp other got1 || fail "through pipes other bytes arrived than were sent"

# Progress is told on standard error.
shmux cat -l $name <empty >got1 2>l.err &
shmux cat --wait --progress $name <other >/dev/null 2>d.err || fail "cat --progress failed"
wait
grep -q '^shmux: sent 7.65 MB, received 0 B, .*B/s$' d.err || fail "--progress told something else"

# A peer that closes ends us, whatever our input waits for.
cat >polite.c <<'END'
#include <stdio.h>
#include <shmux/shmux.h>
int main(int argc, char **argv)
{
	struct shmux_listener *l;
	struct shmux_stream *st;
	char buf[64];

	if (argc != 2 || shmux_listener_open(argv[1], NULL, &l) ||
	    shmux_listener_accept(l, 0, &st) || shmux_stream_read(st, buf, 64) < 0 ||
	    shmux_stream_write(st, "welcome", 7) != 7)
		return 1;
	shmux_stream_close(st);
	return getchar() == EOF ? 0 : 1;
}
END
gcc -I"$src/libshmux/include" -pthread -o polite polite.c "$build/libshmux.a" || fail "no server"
mkfifo idle stay
exec 9<>idle
timeout 30 ./polite $name <stay &
server=$!
exec 8>stay
printf 'hello, world' >&9
shmux cat --wait $name <idle >got1 2>d.err || fail "cat did not end when the server had closed"
[ "$(cat got1)" = welcome ] || fail "the server's answer did not arrive"
exec 8>&-
leaves $server 0 "the server"

# What cannot be written is a failure on both sides.
shmux cat -l $name <empty >/dev/full 2>l.err &
listener=$!
shmux cat --wait $name <large >/dev/null 2>d.err && fail "the dialler did not notice the full device"
leaves $listener 1 "the listener with the full device"
says l.err ENOSPC
says d.err ECONNRESET

# A closed pipe likewise.
shmux cat -l $name <large >/dev/null 2>l.err &
{ shmux cat --wait $name <idle 2>d.err; echo $? >status; } | head -c 1 >/dev/null
wait
[ "$(cat status)" = 1 ] || fail "cat into a closed pipe left with status $(cat status)"
says d.err EPIPE
says l.err ECONNRESET

# Input that cannot be read is not its end.
shmux cat -l $name </ >/dev/null 2>l.err &
listener=$!
shmux cat --wait $name <empty >/dev/null 2>d.err && fail "what could not be read arrived as an end"
leaves $listener 1 "the listener that cannot read"
says l.err EISDIR
says d.err ECONNRESET

# A peer that is killed. The byte that arrives tells that they are connected.
mkfifo arrived silent
exec 7<>silent
"$build/shmux" cat -l $name <silent >arrived 2>l.err &
listener=$!
shmux cat --wait $name <idle >/dev/null 2>d.err &
dialler=$!
printf y >&9
read -r -N 1 byte <arrived
kill -KILL $listener
leaves $dialler 1 "the dialler whose peer was killed"
wait $listener 2>/dev/null
[ "$byte" = y ] || fail "another byte arrived"
says d.err ECONNRESET

# Nobody there.
shmux cat $name <empty 2>d.err && fail "cat got through to nobody"
says d.err ECONNREFUSED
shmux cat --wait --timeout 0.1 $name <empty 2>d.err && fail "cat waited to get through to nobody"
says d.err ETIMEDOUT
shmux cat -l --timeout 0.1 $name <empty 2>d.err && fail "cat -l heard nobody"
says d.err ETIMEDOUT
exit 0
