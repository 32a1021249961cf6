#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux bench yamux measures ours, Go's and the bare socket alike, and says why rows are missing
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

[ -x "$build/shmux-bench-go-yamux" ] || { echo "$build/shmux-bench-go-yamux was not built"; exit 1; }
timeout 60 "$build/shmux" bench yamux --quick --json "$tmp/json" >"$tmp/out" 2>&1 || complain "it failed"
for row in 'af_unix rtt' 'af_unix oneway' 'yamux rtt' 'yamux churn' 'yamux oneway' 'go-yamux rtt' 'go-yamux churn' 'go-yamux oneway'; do
	[ "$(grep -cE "^${row/ / +} .* same " "$tmp/out")" -ge 1 ] || complain "there is no row $row"
done
[ "$(grep -cE 'hashicorp/yamux +[<>]= .* (met|MISSED)$' "$tmp/out")" -ge 3 ] || complain "a goal is not judged"
python3 - "$tmp/json" <<'PYTHON' || complain "the JSON is not as it should be"
import json, sys
run = json.load(open(sys.argv[1]))
rows = run["rows"]
assert {row["system"] for row in rows} == {"af_unix", "yamux", "go-yamux"}
assert all(row["msgs_per_s"] > 0 for row in rows)
for row in rows:
    if row["test"] != "oneway":
        # On a busy machine a slice may have too few samples to tell all of them.
        times = [row[k] for k in ("p50_ns", "p99_ns", "p999_ns", "max_ns") if row[k] is not None]
        assert len(times) >= 2 and 0 < times[0] and times == sorted(times)
# Every message takes both sides' time, and is slept for at times by who does not spin.
assert all(row["near_cpu_ns"] > 0 and row["far_cpu_ns"] > 0 for row in rows)
assert all(row["sleeps"] > 0 for row in rows if row["test"] == "rtt" and row["wait"] == "block")
assert all(row["kicks"] is None for row in rows)
assert sum(row["calls"] is not None for row in rows) == 2
assert run["machine"]["cpus"] > 1 and run["machine"]["kernel"].startswith("Linux ")
assert run["method"]["level"] == "quick" and run["method"]["rounds"] == 5
assert run["absent"] == []
PYTHON

# How many calls it takes does not depend on the machine, but for how often they are
# counted: on a busy one again.
for _ in 1 2 3; do
	calls=$(grep -c 'system calls .* met$' "$tmp/out")
	[ "$calls" = 2 ] && break
	timeout 60 "$build/shmux" bench yamux --quick --system yamux >"$tmp/out" 2>&1
done
[ "$calls" = 2 ] || complain "it makes more system calls than it need"

# Those of Go's processes, threads and children among them: three a message at least.
timeout 60 "$build/shmux" bench yamux --system go-yamux --test rtt --json "$tmp/json" >"$tmp/out" 2>&1 || complain "it failed"
python3 - "$tmp/json" <<'PYTHON' || complain "Go's system calls are not counted"
import json, sys
assert all(row["calls"] > 3 for row in json.load(open(sys.argv[1]))["rows"])
PYTHON

# Without the program in Go.
cp "$build/shmux" "$tmp/shmux" || exit 1
timeout 60 "$tmp/shmux" bench yamux --quick --test churn --json "$tmp/json" >"$tmp/out" 2>&1 || complain "it failed without Go"
grep -q "^2 rows of go-yamux absent: there is no $tmp/shmux-bench-go-yamux; 'make bench-go' builds it" "$tmp/out" ||
	complain "it does not say what is absent"
grep -q '^yamux  *churn' "$tmp/out" || complain "without Go the other rows are absent too"
python3 - "$tmp/json" <<'PYTHON' || complain "the JSON does not tell what is absent"
import json, sys
run = json.load(open(sys.argv[1]))
assert {row["system"] for row in run["rows"]} == {"yamux"}
assert [row["system"] for row in run["absent"]] == ["go-yamux"] * 2
assert all("golang-go" in row["why"] and row["test"] == "churn" for row in run["absent"])
PYTHON
exit $bad
