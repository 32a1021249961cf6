#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: every test that docs/security.md names is there, in the program that it names
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
bad=0 seen=0 program=

# In a row of the table a name with a slash is a program, and what follows are its tests.
while IFS= read -r name; do
	case $name in
	house/*.sh | common/*.c)
		program=
		seen=$((seen + 1))
		[ -f "tests/$name" ] || { echo "there is no tests/$name"; bad=1; }
		;;
	fuzz/)
		[ -d tests/fuzz ] || { echo "there is no tests/fuzz"; bad=1; }
		;;
	*/*)
		program=tests/$name.c
		[ -f "$program" ] || { echo "there is no $program"; bad=1; }
		;;
	*_*)
		seen=$((seen + 1))
		[ -n "$program" ] && grep -qw -- "$name" "$program" ||
			{ echo "${program:-no program} has no test $name"; bad=1; }
		;;
	esac
done < <(sed -n 's/^| .* | \(.*\) |$/\1/p' docs/security.md | grep -o '`[^`]*`' | tr -d '`')
[ $seen -ge 40 ] || { echo "only $seen tests are named"; bad=1; }
exit $bad
