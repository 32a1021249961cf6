#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux bench measures many streams, sessions, threads, requests and dials at once, and says what cannot be
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=${BUILD:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

complain()
{
	echo "$*"
	sed 's/^/    /' "$tmp/out"
	bad=1
}

# A short run of a test has the rows of a longer one.
for test in streams-rtt streams-oneway sessions-rtt threads-oneway slow-rtt flood mass-open open dial accept; do
	timeout 120 "$build/shmux" bench --quick --test $test --json "$tmp/$test" >"$tmp/out" 2>&1 || complain "$test failed"
done
# Where descriptors are few, thousands of sessions are absent, and the rest is not.
(ulimit -n 1024 && exec timeout 120 "$build/shmux" bench --quick --system shmux --test mass --json "$tmp/mass") >"$tmp/out" 2>&1 ||
	complain "mass failed with few descriptors"
for nr in 1000 4096; do
	grep -q "^1 row of shmux absent: $nr sessions want [0-9]* open files" "$tmp/out" ||
		complain "it does not say why $nr sessions are absent"
done

python3 - "$tmp" <<'PYTHON' || bad=1
import json, sys

def rows(test):
    return json.load(open(f"{sys.argv[1]}/{test}"))["rows"]

def numbers(test, key):
    return {row[key] for row in rows(test) if row["system"] == "shmux"}

assert numbers("streams-rtt", "streams") == {1, 64, 4096}
assert numbers("streams-oneway", "streams") == {1, 64, 4096}
assert numbers("sessions-rtt", "sessions") == {1, 100, 1000}
assert numbers("threads-oneway", "threads") == {1, 2, 4}
assert numbers("threads-oneway", "bytes") == {64, 65536}
assert numbers("flood", "depth") == {1, 8, 32, 128, 1000, 10000}
for test in ("streams-rtt", "sessions-rtt", "slow-rtt", "mass", "mass-open", "open", "dial", "accept"):
    assert rows(test) and all(row["p50_ns"] > 0 for row in rows(test)), test
for test in ("streams-oneway", "threads-oneway", "flood"):
    assert all(row["msgs_per_s"] > 0 for row in rows(test)), test
assert all(row["peak_bytes"] > 0 for row in rows("flood"))

# A sample is a pass over all: its time, and the rate, must be of as many.
for row in rows("mass") + rows("mass-open"):
    many = (row["streams"] or row["sessions"])
    together = row["msgs_per_s"] * row["max_ns"] / 1e9
    assert together >= 0.9 * many, (row, together)

# The streams are there, and take memory at both ends.
million, = rows("open")
assert million["streams"] == 1000000 and 16e6 < million["idle_bytes"] < 512e6, million
PYTHON
exit $bad
