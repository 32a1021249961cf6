#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: make bench-check says which ratio got worse, and fails; not so for times, for what got better, for an absent peer
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

# run NAME SHMUX_NS AF_UNIX_NS SHMUX_RATE: a run with these figures; '-' is no row, 'absent' an absent one.
run()
{
	python3 - "$tmp" "$@" <<'PYTHON'
import json, sys
tmp, name, *figures = sys.argv[1:]
cells = (("shmux", "rtt", "p50_ns", figures[0]), ("af_unix", "rtt", "p50_ns", figures[1]),
         ("shmux", "oneway", "msgs_per_s", figures[2]), ("af_unix", "oneway", "msgs_per_s", "1000"))
run = {"machine": {"cpu": "Some CPU", "cpus": 2, "arch": "x86_64"}, "method": {"others_busy": 0},
       "rows": [], "absent": []}
for system, test, figure, value in cells:
    row = {"system": system, "test": test, "bytes": 64, "wait": "block", "path": "copy",
           "batch": None, "streams": None, "sessions": None, "threads": None, "depth": None,
           "placement": "same"}
    if value == "absent":
        run["absent"].append({**row, "why": "it is not installed"})
    elif value != "-":
        run["rows"].append({**row, figure: float(value)})
json.dump(run, open(f"{tmp}/{name}", "w"))
PYTHON
}

# check EXIT TEXT RUN...: it exits so, and says so.
check()
{
	local want=$1 text=$2 got
	shift 2
	(cd "$tmp" && "$OLDPWD/tools/bench/check" baseline "$@") >"$tmp/out" 2>&1
	got=$?
	[ $got = "$want" ] || complain "$*: it exits with $got, not $want"
	grep -qF -- "$text" "$tmp/out" || complain "$*: it does not say '$text'"
}

python3 - "$tmp/baseline" <<'PYTHON'
import json, sys
def row(system, test):
    return {"system": system, "test": test, "bytes": 64, "wait": "block", "path": "copy", "placement": "same"}
def pair(test, figure):
    return {"figure": figure, "row": row("shmux", test), "beside": row("af_unix", test),
            "ratio": None, "tolerance": 0.1}
json.dump({"machine": None, "pairs": [pair("rtt", "p50_ns"), pair("oneway", "msgs_per_s")]},
          open(sys.argv[1], "w"))
PYTHON

run then 500 1000 2000
check 1 'the baseline has no ratio yet of shmux rtt 64 B block copy same' then
tools/bench/check --write "$tmp/baseline" "$tmp/then" >"$tmp/out" 2>&1 || complain "it writes no baseline"
check 0 'Of 2 ratios, 2 are as before, 0 are better, 0 are worse, 0 are unknown.' then

run slower 5000 10000 2000	# times are the machine's
check 0 '2 are as before' slower
run near 540 1000 1850		# and so is what lies within the tolerance
check 0 '2 are as before' near
run worse 600 1000 2000
check 1 'Worse: shmux rtt 64 B block copy same takes 0.600 times as long as af_unix rtt 64 B block copy same; it was 0.500, and 10% are allowed.' worse
run fewer 500 1000 1500
check 1 'Worse: shmux oneway 64 B block copy same carries 1.500 times as many messages' fewer
run better 400 1000 2000
check 0 'Better: shmux rtt 64 B' better
check 0 '2 are as before' worse then near	# one of three says nothing
check 1 'Worse:' worse then worse

run vanished - 1000 2000
check 1 'Unknown: the run has no row shmux rtt 64 B block copy same.' vanished
run absent 500 absent 2000
check 0 'Unknown: af_unix rtt 64 B block copy same is absent: it is not installed.' absent
run silent 500 1000 2000
sed -i 's/"p50_ns": 500.0/"p50_ns": null/' "$tmp/silent"
check 1 'Unknown: the run tells no p50_ns of shmux rtt' silent
check 1 'cannot read nowhere' nowhere

# What is known is written, what is not stays.
tools/bench/check --write "$tmp/baseline" "$tmp/absent" >"$tmp/out" 2>&1 && complain "it wrote a ratio that it does not know"
check 0 '2 are as before' then
sed 's/Some CPU/Another/' "$tmp/then" >"$tmp/elsewhere"
check 0 'The baseline is of another machine (Some CPU, 2 CPUs)' elsewhere

# The baseline that is kept names rows that a short run has, wherever they can be measured.
"$build/shmux" bench --quick --list --json "$tmp/list" >"$tmp/out" 2>&1 || complain "it lists nothing"
python3 - "$tmp/list" tools/bench/baseline.json <<'PYTHON' >"$tmp/out" 2>&1 || complain "the baseline names rows that there are not"
import json, sys
run, baseline = (json.load(open(path)) for path in sys.argv[1:])
def key(row):
    return tuple(row.get(k) for k in ("system", "test", "bytes", "wait", "path", "batch", "streams",
                                      "sessions", "threads", "depth", "placement"))
there = {key(row) for row in run["rows"] + run["absent"]}
assert baseline["pairs"]
lost = [row for pair in baseline["pairs"] for row in (pair["row"], pair["beside"]) if key(row) not in there]
assert not lost, lost
PYTHON
exit $bad
