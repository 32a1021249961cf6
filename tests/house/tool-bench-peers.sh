#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux bench measures each peer, and says why one that is not there is absent
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

complain()
{
	echo "$*"
	sed 's/^/    /' "$tmp/out"
	bad=1
}

# bench TOOL ARGUMENT...: leaves what it says in $tmp/out.
bench()
{
	timeout 120 "$1" bench "${@:2}" >"$tmp/out" 2>&1
}

# has SYSTEM TEST: there is such a row, with a figure.
has()
{
	grep -qE "^$1 +$2 .* [0-9.]+ [kMG]/s" "$tmp/out" || complain "there is no row $1 $2"
}

bench "$build/shmux" --quick || complain "it failed"
for system in af_unix seqpacket pipe tcp shm mq zeromq nng go-yamux go-smux; do
	has $system rtt
	has $system oneway
	grep -q "rows\? of $system absent" "$tmp/out" && complain "rows of $system are absent"
done
has go-smux churn

# Every size, where how large messages go is ours.
for system in shm go-smux; do
	for test in rtt oneway; do
		bench "$build/shmux" --quick --system $system --test $test || complain "$system failed"
		[ "$(grep -cE "^$system +$test +(8|64|1024|4096|65536|1048576|16777216) .* split .* [kMG]B/s" "$tmp/out")" = 7 ] ||
			complain "rows of $system are missing"
	done
done

# No name is left of them; that of a run now under way is not theirs.
for pid in $(sed -n 's/.*@shmux-bench-\([0-9]*\)-.*/\1/p' /proc/net/unix); do
	[ -d "/proc/$pid" ] || complain "a listener was left behind"
done

# The libraries are not linked, and their absence is told. So is that of the programs in Go.
ldd "$build/shmux" >"$tmp/out" || complain "ldd failed"
grep -E 'libzmq|libnng' "$tmp/out" && complain "the command is linked with a peer's library"
cp "$build/shmux" "$tmp/shmux" || exit 1
: >"$tmp/libzmq.so.5"
: >"$tmp/libnng.so.1"
export LD_LIBRARY_PATH=$tmp
for system in zeromq nng go-yamux go-smux; do
	bench "$tmp/shmux" --quick --system $system || complain "it failed without $system"
	grep -qE "^[0-9]+ rows of $system absent: .*\.\$" "$tmp/out" ||
		complain "it does not say that $system is absent"
	grep -qE "^$system " "$tmp/out" && complain "there are rows of $system, which is absent"
done
exit $bad
