#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: a run of shmux bench is drawn whole, on no ground, in colours that show on white and on black
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

complain()
{
	echo "$*"
	bad=1
}

# Two systems of three sizes, one quantile of which is not known; and what is not to be drawn:
# many streams, another placement.
python3 - "$tmp/run.json" <<'PYTHON'
import json, sys
rows = []
def add(system, test, wait, size, ns, **more):
    rows.append({"system": system, "test": test, "bytes": size, "wait": wait, "path": "copy",
                 "batch": None, "streams": None, "sessions": None, "threads": None, "depth": None,
                 "placement": "split", "p50_ns": ns, "p99_ns": 2 * ns, "p999_ns": 9 * ns,
                 "bytes_per_s": size / ns * 1e9, **more})
for size in (8, 64, 65536):
    for system, wait, ns in (("shmux", "spin", 300), ("af_unix", "block", 40000)):
        add(system, "rtt", wait, size, ns + size)
        add(system, "oneway", wait, size, ns + size, batch=1)
    add("pipe", "rtt", "block", size, 500, streams=64)
    add("tcp", "rtt", "block", size, 500, placement="same")
next(row for row in rows if row["system"] == "af_unix" and row["bytes"] == 64)["p999_ns"] = None
json.dump({"machine": {"cpu": "Some CPU", "cpus": 2, "kernel": "Linux 6"}, "rows": rows},
          open(sys.argv[1], "w"))
PYTHON

tools/bench/plots "$tmp/run.json" "$tmp/plots" >"$tmp/out" 2>&1 || complain "it failed: $(cat "$tmp/out")"
python3 - "$tmp/plots" <<'PYTHON' || complain "the pictures are not as they should be"
import glob, os, re, sys
import xml.etree.ElementTree as tree

def luminance(rgb):
    parts = [c / 255 for c in rgb]
    parts = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

def contrast(x, y):
    low, high = sorted((luminance(x), luminance(y)))
    return (high + 0.05) / (low + 0.05)

paths = sorted(glob.glob(os.path.join(sys.argv[1], "*")))
assert [os.path.basename(p) for p in paths] == ["quantiles.svg", "rtt.svg", "throughput.svg"], paths
for path in paths:
    text = open(path, encoding="utf-8").read()
    words = "".join(tree.fromstring(text.encode()).itertext())
    for word in ("shmux, spinning", "AF_UNIX stream", "Some CPU, 2 CPUs, Linux 6"):
        assert word in words, (path, word)
    for word in ("pipe", "TCP"):
        assert word not in words, (path, word)
    assert re.search(r'<rect x="0" y="0" [^>]*fill="none"/>', text), (path, "has a ground")
    colours = {tuple(map(int, found)) for found in
               re.findall(r"rgb\( *(\d+), *(\d+), *(\d+)\)", text)}
    assert len(colours) >= 3, (path, colours)
    for colour in colours:
        assert contrast(colour, (255, 255, 255)) >= 3, (path, colour)
        assert contrast(colour, (0x0d, 0x11, 0x17)) >= 3, (path, colour)
    assert "SPDX-License-Identifier" in "".join(text.splitlines(True)[:3]), path
PYTHON

# A run that cannot be drawn, and none at all.
echo '{"machine": {"cpu": null, "cpus": 1, "kernel": "Linux 6"}, "rows": []}' >"$tmp/empty.json"
tools/bench/plots "$tmp/empty.json" "$tmp/none" >"$tmp/out" 2>&1 && complain "it drew nothing, and said nothing"
grep -q 'the run has no two sizes of rtt' "$tmp/out" || complain "it does not say what is missing: $(cat "$tmp/out")"
tools/bench/plots "$tmp/nowhere.json" "$tmp/none" >"$tmp/out" 2>&1 && complain "it drew a run that is not there"
grep -q 'cannot read' "$tmp/out" || complain "it does not say what it cannot read: $(cat "$tmp/out")"
exit $bad
