#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: a browser shows the page of examples/http-stdio, whose script asks once more, through shmux forward
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$tmp"' EXIT

fail()
{
	echo "$*"
	tail -n 20 -- "$tmp"/*.err
	exit 1
}

command -v chromium >/dev/null || { echo "chromium is not installed"; exit 4; }
${MAKE:-make} --no-print-directory BUILD="$build" ${CHECK_FLAGS:-} "$build/examples/http-stdio" \
	>"$tmp/make" 2>&1 || { cat "$tmp/make"; exit 1; }

mkfifo "$tmp/err"
"$build/shmux" forward tcp:127.0.0.1:0 "exec:'$build/examples/http-stdio'" 2>"$tmp/err" </dev/null &
forward=$!
exec 9<"$tmp/err"
read -r -t 20 -u 9 _ _ at || fail "the forwarder says nothing"

# Root's needs to be told that it may do without its sandbox.
timeout 100 chromium --headless --no-sandbox --disable-gpu --user-data-dir="$tmp/profile" \
	--no-proxy-server --virtual-time-budget=10000 --dump-dom "http://${at#tcp:}/" >"$tmp/dom" 2>"$tmp/chromium.err" ||
	fail "chromium left with status $?"
grep -q '<h1>It works</h1>' "$tmp/dom" || fail "it shows another page"
grep -q '<p id="script">From the top' "$tmp/dom" || fail "its script had no answer"
kill $forward
wait $forward || fail "the forwarder left with status $?"
