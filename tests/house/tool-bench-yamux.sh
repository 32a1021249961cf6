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

[ -x "$build/shmux-bench-go" ] || { echo "$build/shmux-bench-go was not built"; exit 1; }
timeout 60 "$build/shmux" bench yamux --quick --json "$tmp/json" >"$tmp/out" 2>&1 || complain "it failed"
for row in 'af_unix rtt' 'af_unix oneway' 'yamux rtt' 'yamux churn' 'yamux oneway' 'go rtt' 'go churn' 'go oneway'; do
	[ "$(grep -cE "^${row/ / +} .* same " "$tmp/out")" -ge 1 ] || complain "there is no row $row"
done
[ "$(grep -cE 'hashicorp/yamux +[<>]= .* (met|MISSED)$' "$tmp/out")" -ge 3 ] || complain "a goal is not judged"
python3 - "$tmp/json" <<'PYTHON' || complain "the JSON is not as it should be"
import json, sys
rows = json.load(open(sys.argv[1]))
assert {row["system"] for row in rows} == {"af_unix", "yamux", "go"}
assert all(row["msgs_per_s"] > 0 for row in rows)
assert all(row["p50_ns"] for row in rows if row["test"] != "oneway")
PYTHON

# How many calls it takes does not depend on the machine, but for how often they are
# counted: on a busy one again.
for _ in 1 2 3; do
	calls=$(grep -c 'system calls .* met$' "$tmp/out")
	[ "$calls" = 2 ] && break
	timeout 60 "$build/shmux" bench yamux --quick --system yamux >"$tmp/out" 2>&1
done
[ "$calls" = 2 ] || complain "it makes more system calls than it need"

# Without the program in Go.
cp "$build/shmux" "$tmp/shmux" || exit 1
timeout 60 "$tmp/shmux" bench yamux --quick --test churn >"$tmp/out" 2>&1 || complain "it failed without Go"
grep -q "^2 rows of go are absent: there is no $tmp/shmux-bench-go; 'make bench-go' builds it" "$tmp/out" ||
	complain "it does not say what is absent"
grep -q '^yamux  *churn' "$tmp/out" || complain "without Go the other rows are absent too"
exit $bad
