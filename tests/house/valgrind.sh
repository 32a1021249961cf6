#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: valgrind sees no byte read that was not written, none touched that was given back, none lost
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
build=${BUILD:-build}
# The parsers of what a peer says, and who owns memory.
programs="unit/hello unit/shm unit/region unit/endpoint unit/rx unit/table unit/credit
	unit/returns unit/listener unit/address"
limit=280
if [ -n "${SHMUX_STRESS:-}" ]; then
	programs+=" unit/seam unit/arena lib/session lib/stream lib/message lib/zerocopy
		lib/context lib/listener trust/peer trust/frames"
	limit=1500
fi

command -v valgrind >/dev/null || { echo "valgrind is not installed"; exit 1; }

# An error in any process that a test forks, a leak too, is that process's status.
# valgrind 3.19 does not know pidfd_open and futex_waitv: so the library does as on
# a kernel that has them not. It is slow: no program is held to promised times.
printf '%s\n' $programs | env -u SHMUX_STRESS xargs -P2 -I{} sh -c '
	mkdir -p "$1/${3%/*}"
	timeout -k 5 "$2" valgrind --quiet --vgdb=no --trace-children=yes \
		--child-silent-after-fork=no --leak-check=full --errors-for-leak-kinds=definite \
		--show-leak-kinds=definite --error-exitcode=99 \
		"$0/tests/$3" </dev/null >"$1/$3" 2>&1 || echo "$3 $?" >>"$1/bad"' \
	"$build" "$tmp" "$limit" {}

[ -s "$tmp/bad" ] || exit 0
while read -r program status; do
	echo "$program left with status $status:"
	grep -E '^(not ok|==[0-9]+==|# .*:[0-9]+:)' "$tmp/$program" | head -n 40
done <"$tmp/bad"
exit 1
