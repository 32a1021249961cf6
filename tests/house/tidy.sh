#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: clang-tidy finds nothing wrong in the library, the tools and the examples
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

command -v clang-tidy >/dev/null || { echo "clang-tidy is not installed"; exit 1; }
# What is looked for is in .clang-tidy, tools/.clang-tidy and examples/.clang-tidy.
# The analyzer follows a function's paths as far as so many nodes; its own limit
# of 225000 found nothing more when it was tried, and takes ten times as long.
files=$(ls libshmux/*/*.c tools/*.c tools/bench/*.c examples/*.c examples/*/*.c) || exit 1
# Each with outputs of its own: it writes to stderr word by word, and those of two would
# be told apart by nobody.
tidy() {
	local out=$tmp/${1//\//+}

	clang-tidy --quiet "$1" -- -std=gnu11 -D_GNU_SOURCE= -Ilibshmux/include -Iuapi -Ilibshmux \
		-Itools $(pkg-config --cflags libnl-genl-3.0 | sed 's/-I/-isystem /g') \
		-Xclang -analyzer-config -Xclang max-nodes=30000 >"$out.out" 2>"$out.err"
}
export -f tidy
export tmp
echo "$files" | xargs -P2 -I{} bash -c 'tidy "$1"' tidy {}
status=$?
# How many warnings of others' headers it keeps to itself is no news.
said=$(cat "$tmp"/*.out; grep -hvE '^[0-9]+ warnings? generated\.$' "$tmp"/*.err)
[ -z "$said" ] || echo "$said"
[ $status -eq 0 ] && [ -z "$said" ]
