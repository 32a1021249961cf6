#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the library exports what its map lists and its headers declare, and needs libc alone
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
so=${BUILD:-build}/libshmux.so.0
map=libshmux/libshmux.map
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

[ -f "$so" ] || { echo "$so is not built"; exit 1; }

# One symbol a line: only the global parts of the map's nodes count.
sed -e 's|/\*.*\*/||' -e 's|#.*||' "$map" | tr '{};' '\n\n\n' |
	awk '/local:/ { on = 0 } /global:/ { on = 1; sub(/.*global:/, "") }
	     /^[ \t]*SHMUX_[0-9.]*[ \t]*$/ { on = 0 }
	     on && NF { print $1 }' | sort -u >"$tmp/map"
readelf --dyn-syms -W "$so" |
	awk '$7 != "UND" && ($5 == "GLOBAL" || $5 == "WEAK") && ($4 == "FUNC" || $4 == "OBJECT" ||
	     $4 == "IFUNC") && $7 != "ABS" { sub(/@.*/, "", $8); print $8 }' | sort -u >"$tmp/so"

[ -s "$tmp/map" ] || { echo "$map lists no symbol"; bad=1; }
if grep -q '[*?]' "$tmp/map"; then
	echo "$map must list each exported symbol by its name, without a wildcard"
	bad=1
fi
while read -r symbol; do
	echo "$symbol: in $map, but not exported by $so"
	bad=1
done < <(comm -23 "$tmp/map" "$tmp/so")
while read -r symbol; do
	echo "$symbol: exported by $so, but not in $map"
	bad=1
done < <(comm -13 "$tmp/map" "$tmp/so")

# Comments are no declarations.
cat libshmux/include/shmux/*.h | ${CC:-gcc} -fpreprocessed -dD -E -P -x c - >"$tmp/headers" 2>/dev/null
while read -r symbol; do
	grep -qE "(^|[^A-Za-z0-9_])${symbol}[[:space:]]*\(" "$tmp/headers" && continue
	echo "$symbol: exported, but declared in no public header"
	bad=1
done <"$tmp/so"

while read -r symbol; do
	grep -qxF "$symbol" "$tmp/so" && continue
	echo "$symbol: declared in a public header, but not exported"
	bad=1
done < <(grep -vE '^[[:space:]]*(#|static|typedef)' "$tmp/headers" | tr '\n' ' ' | tr ';{}' '\n\n\n' |
	grep -vE '\b(static|typedef)\b|\(\*' | grep -oE '\bshmux_[a-z0-9_]+[[:space:]]*\(' |
	tr -d ' \t(' | sort -u)

for needed in $(readelf -d "$so" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
	case $needed in
	libc.so.* | ld-linux*) ;;
	*)
		echo "$so needs $needed, where libc alone is promised"
		bad=1
		;;
	esac
done
readelf -d "$so" | grep -q 'SONAME.*\[libshmux.so.0\]' || { echo "$so has not the soname libshmux.so.0"; bad=1; }
exit $bad
