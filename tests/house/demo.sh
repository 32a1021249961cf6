#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux demo sends a large file over eight streams, and is done within 30 seconds
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tool=${BUILD:-build}/shmux
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

fail()
{
	echo "$*"
	cat "$tmp/out" "$tmp/err"
	exit 1
}

# check_sum FILE: that is what arrived.
check_sum()
{
	local sum

	sum=$(sha256sum <"$1")
	grep -q "sha256 *${sum%% *}, the same at both ends" "$tmp/out" || fail "the sum is not that of $1"
}

before=$SECONDS
timeout 60 "$tool" demo >"$tmp/out" 2>"$tmp/err" || fail "shmux demo failed"
[ $((SECONDS - before)) -lt 30 ] || fail "it took $((SECONDS - before)) s"
file=$(sed -n 's/.* sends \(.*\) ([0-9.]* .B.*)$/\1/p' "$tmp/out")
[ -r "$file" ] || fail "it does not say which file it sent"
if [ "$(stat -Lc %s "$file")" -ge 30000000 ]; then
	check_sum "$file"
fi
for word in AF_UNIX pipe B/s; do
	grep -qi "$word" "$tmp/out" || fail "its table does not mention $word"
done
[ ! -s "$tmp/err" ] || fail "it complained"

# A file of one's own; a short one goes several times over.
head -c 40000003 /dev/urandom >"$tmp/large"
"$tool" demo --no-table --file "$tmp/large" >"$tmp/out" 2>"$tmp/err" || fail "demo --file failed"
check_sum "$tmp/large"
head -c 10000001 "$tmp/large" >"$tmp/small"
"$tool" demo --no-table --file "$tmp/small" >"$tmp/out" 2>"$tmp/err" || fail "a short file failed"
cat "$tmp/small" "$tmp/small" "$tmp/small" >"$tmp/thrice"
check_sum "$tmp/thrice"
exit 0
