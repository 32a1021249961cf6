#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux bench tells times and costs of the rows it says it measures, and why others are absent
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=${BUILD:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

complain()
{
	echo "$*"
	sed 's/^/    /' "$tmp/out" "$tmp/err"
	bad=1
}

bench()
{
	timeout 120 "$build/shmux" bench "$@" >"$tmp/out" 2>"$tmp/err"
}

# Both tables, narrow enough, after the machine and the method.
bench --quick --test churn --system shmux || complain "it failed"
grep -q 'CPUs, .* Linux .*, governor ' "$tmp/out" || complain "it does not tell the machine"
grep -q '^5 rounds, .* 20 % of a slice is warm-up$' "$tmp/out" || complain "it does not tell the method"
grep -qE '^system .* p50 +p99 +p99\.9 +max +rate +payload$' "$tmp/out" || complain "there is no table of times"
grep -qE '^system .* near CPU +far CPU +calls +sleeps +kicks$' "$tmp/out" || complain "there is no table of costs"
# With and without SHMUX_MORE, in each table.
[ "$(grep -cE '^shmux +churn .* (copy|more) ' "$tmp/out")" = 4 ] || complain "a row is missing"
[ "$(wc -L <"$tmp/out")" -le 140 ] || complain "it is wider than 140 columns"

# The JSON alone on standard output; who sleeps rings, and is counted.
bench --quick --system shmux --json - || complain "it failed"
grep -qE '^system .* p50 ' "$tmp/err" || complain "there is no table on standard error"
python3 - "$tmp/out" <<'PYTHON' || complain "the JSON is not as it should be"
import json, sys
run = json.load(open(sys.argv[1]))
assert run["method"]["level"] == "quick" and run["method"]["suite"] == "shmux"
rows = [row for row in run["rows"] if row["test"] == "rtt" and row["bytes"] == 64]
assert len({row["wait"] for row in rows}) == 3
for row in rows:
    # On a busy machine a slice may have too few samples to tell all of them.
    times = [row[key] for key in ("p50_ns", "p99_ns", "p999_ns", "max_ns") if row[key] is not None]
    assert len(times) >= 2 and 0 < times[0] and times == sorted(times)
    assert row["near_cpu_ns"] > 0 and row["far_cpu_ns"] > 0
    if row["wait"] == "block":
        # A sleep wants a doorbell.
        assert row["sleeps"] > 0 and 0 < row["kicks"] < 2
PYTHON

# Of a longer run, the calls of every row: a write and a read a message are two.
bench --system eventfd --json "$tmp/json" || complain "it failed"
python3 - "$tmp/json" <<'PYTHON' || complain "system calls are not counted"
import json, sys
rows = json.load(open(sys.argv[1]))["rows"]
assert rows and all(1.9 < row["calls"] < 2.1 for row in rows), [row["calls"] for row in rows]
PYTHON

# A longer run has all rows of a shorter one, and more.
for level in --quick "" --full; do
	bench $level --list --json "$tmp/list$level" || complain "it lists nothing"
done
python3 - "$tmp/list--quick" "$tmp/list" "$tmp/list--full" <<'PYTHON' || complain "the lists are not as they should be"
import json, sys
runs = [json.load(open(path)) for path in sys.argv[1:]]
quick, usual, full = ({json.dumps(row) for row in run["rows"]} for run in runs)
assert quick and quick <= usual <= full
assert all(row["p50_ns"] is None for run in runs for row in run["rows"])
PYTHON

# With one CPU, what wants two is absent, and said once a system.
timeout 60 taskset -c 0 "$build/shmux" bench --quick --test churn --system shmux --json "$tmp/json" >"$tmp/out" 2>"$tmp/err" ||
	complain "it failed on one CPU"
[ "$(grep -c '^2 rows of shmux absent: two CPUs are wanted, and we may use only one\.$' "$tmp/out")" = 1 ] ||
	complain "it does not say once what is absent"
python3 - "$tmp/json" <<'PYTHON' || complain "the JSON does not say what is absent"
import json, sys
run = json.load(open(sys.argv[1]))
assert run["rows"] == [] and {row["why"] for row in run["absent"]} == {"two CPUs are wanted, and we may use only one"}
PYTHON
exit $bad
