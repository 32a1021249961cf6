#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: messages take no more instructions than docs/performance.md says, and for what it says
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
program=${BUILD:-build}/tests/count/instructions

skip()
{
	echo "$*"
	exit 4
}

[ -x "$program" ] || { echo "$program was not built"; exit 1; }
for tool in valgrind callgrind_annotate objdump readelf; do
	command -v $tool >/dev/null || { echo "$tool is not installed"; exit 1; }
done
# The figures are those of one compiler, which another one need not reach.
[ "$(uname -m)" = x86_64 ] || skip "the instructions that are counted are of x86-64, and this is $(uname -m)"
readelf -p .comment "${BUILD:-build}/obj/libshmux/core/send.o" | grep -q 'GCC: .* 12\.' ||
	skip "the figures are of what gcc 12 makes"
case " $(cat "${BUILD:-build}/.flags") " in
*-fsanitize*) skip "the sanitizers have instructions of their own" ;;
*' -O2 '*) ;;
*) skip "the figures are of what is built with -O2" ;;
esac
case $(getconf GNU_LIBC_VERSION) in
'glibc 2.36') ;;
*) skip "the figures are of glibc 2.36, and this is $(getconf GNU_LIBC_VERSION)" ;;
esac

# collect CASE STEP NR: all the instructions of so many, but those that copy: which
# these are depends on the processor.
collect()
{
	local out=$tmp/$1.$2.$3

	timeout -k 5 60 valgrind --quiet --vgdb=no --tool=callgrind --toggle-collect="$2*" \
		--callgrind-out-file="$out" "$program" "$1" "$3" >"$out.log" 2>&1 ||
		{ cat "$out.log" >&2; return 1; }
	callgrind_annotate --threshold=100 --auto=no --show-percs=no "$out" >"$out.txt" || return 1
	awk '
	$1 == "." { next }
	/PROGRAM TOTALS/ { gsub(",", "", $1); total = $1 }
	/:[^ ]*(mem(cpy|move)|copy_past)/ { gsub(",", "", $1); copied += $1 }
	END { print total - copied }' "$out.txt"
}

# What comes before and after the messages, and the first of them, is in both runs. They
# are whole batches.
nr=512
count()
{
	local once twice

	once=$(collect "$1" "$2" $nr) && twice=$(collect "$1" "$2" $((2 * nr))) &&
		echo "$1 $2 $(((twice - once + nr / 2) / nr))" >"$tmp/counted.$1.$2"
}
export -f collect count
export program tmp nr

# The table of docs/performance.md: | what | `CASE STEP` | instructions |
sed -n 's/^| .* | `\([a-z0-9-]* step_[a-z]*\)` | \([0-9]*\) |$/\1 \2/p' docs/performance.md >"$tmp/wanted"
cut -d ' ' -f 1-2 "$tmp/wanted" | xargs -P2 -L1 bash -c 'count "$1" "$2"' count

bad=0 seen=0
while read -r name step wanted; do
	seen=$((seen + 1))
	read -r _ _ counted <"$tmp/counted.$name.$step" || { bad=1; continue; }
	if [ $((counted * 20)) -gt $((wanted * 21)) ]; then
		echo "$name: $step takes $counted instructions, and took $wanted"
		bad=1
	fi
	[ -z "${VERBOSE:-}" ] || echo "$name $step $counted"
done <"$tmp/wanted"
[ $seen -ge 11 ] || { echo "docs/performance.md has $seen figures to compare with"; exit 1; }

# compare STEP TABLE: what the budget prints, each stage of it, is in the docs' table, but
# for a twentieth of it all.
compare()
{
	timeout -k 5 60 tests/count/budget "$1" >"$tmp/budget" ||
		{ echo "tests/count/budget $1 has failed"; return 1; }
	awk -v step="$1" -v table="$2" '
	function stale(line, what) { print "docs/performance.md:" line ": " what; bad = 1 }
	FILENAME != ARGV[2] {
		n = $1
		sub(/^[ 0-9.]*/, ""); sub(/:.*/, "")
		counted[$0] = n
		next
	}
	/^$/ { inside = 0 }
	{ split($0, cell, / *[|] */); sub(/:.*/, "", cell[2]) }
	cell[2] == table && cell[3] == "instructions" { inside = FNR }
	inside && cell[3] ~ /^[0-9]+$/ { wanted[cell[2]] = cell[3]; line[cell[2]] = FNR; last = FNR }
	END {
		all = wanted["in all"]
		if (!all)
			stale(FNR, "there is no table of \"" table "\", for tests/count/budget " step)
		for (stage in line) {
			if (!(stage in counted)) {
				stale(line[stage], "tests/count/budget " step " prints no \"" stage "\"")
				continue
			}
			off = counted[stage] - wanted[stage]
			if (off > all / 20 || -off > all / 20)
				stale(line[stage], "\"" stage "\" of " step " takes " counted[stage] \
					" instructions, not " wanted[stage])
		}
		for (stage in counted)
			if (all && !(stage in line))
				stale(last, "there is no \"" stage "\", which tests/count/budget " step " prints")
		exit bad
	}' "$tmp/budget" docs/performance.md
}

compare step_write "write" || bad=1
compare step_read "read, of what is there" || bad=1
exit $bad
