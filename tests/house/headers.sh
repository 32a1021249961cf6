#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: each public header compiles alone, as C and as C++, and the shared bytes on 32 bits too
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0 seen=0

# try COMPILER LANGUAGE STANDARD HEADER [FLAG...]
try()
{
	local compiler=$1 language=$2 std=$3 header=$4
	shift 4

	# Twice, for its include guard.
	printf '#include <%s>\n#include <%s>\n' "$header" "$header" >"$tmp/alone.c"
	"$compiler" -x "$language" -std="$std" -Wall -Wextra -Werror -pedantic -fsyntax-only \
		-Ilibshmux/include -Iuapi "$@" "$tmp/alone.c" 2>"$tmp/log" && return
	echo "<$header> does not compile alone with $compiler -std=$std $*:"
	head -n 20 "$tmp/log"
	bad=1
}

for path in libshmux/include/shmux/*.h uapi/linux/*.h; do
	[ -f "$path" ] || continue
	header=${path#libshmux/include/} header=${header#uapi/}
	seen=$((seen + 1))
	try gcc c c11 "$header"
	try gcc c gnu11 "$header"
	try clang c c11 "$header"
	try g++ c++ c++17 "$header"
done

m32="echo 'int main(void) { return 0; }' | gcc -m32 -x c -o $tmp/m32 -"
if eval "$m32" 2>/dev/null; then
	for path in libshmux/include/shmux/*.h uapi/linux/*.h; do
		[ -f "$path" ] || continue
		header=${path#libshmux/include/} header=${header#uapi/}
		try gcc c gnu11 "$header" -m32
	done
elif [ "$(uname -m)" = x86_64 ]; then
	echo "gcc -m32 does not work here: install gcc-multilib"
	bad=1
fi
[ $seen -gt 0 ] || { echo "no header was found at all"; bad=1; }
exit $bad
