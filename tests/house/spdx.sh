#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: every source file names its license, and the right one
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1

# Prints the license that FILE must name, or nothing if it need not name one.
license_for()
{
	case $1 in
	COPYING | NEWS | LICENSES/* | debian/changelog | debian/copyright | debian/source/* | *.md | *.json | tests/fuzz/corpus/*) ;;
	uapi/*.h | uapi/*.yaml) echo "GPL-2.0-only WITH Linux-syscall-note" ;;
	Kbuild | dkms.conf | kmod/* | tests/planted/*.patch) echo "GPL-2.0-only" ;;
	*) echo "LGPL-2.1-or-later" ;;
	esac
}

# The files of the tree as git sees them, or all but the builds without git.
files()
{
	if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -co --exclude-standard
	else
		find . -name .git -prune -o -path ./build -prune -o -type f -print | sed 's|^\./||'
	fi
}

bad=0 seen=0
while IFS= read -r file; do
	[ -f "$file" ] || continue
	seen=$((seen + 1))
	want=$(license_for "$file")
	[ -n "$want" ] || continue
	got=$(head -n 3 "$file" | sed -n 's|.*SPDX-License-Identifier: *||p' |
		sed -e 's| *\*/.*||' -e 's| *-->.*||' -e 's|[[:space:]]*$||' | head -n 1)
	if [ -z "$got" ]; then
		echo "$file: no SPDX-License-Identifier in its first three lines"
		bad=1
	elif [ "$got" != "$want" ]; then
		echo "$file: licensed as '$got', where '$want' is due"
		bad=1
	fi
done < <(files)

for id in GPL-2.0-only LGPL-2.1-or-later Linux-syscall-note; do
	[ -s "LICENSES/$id.txt" ] || { echo "LICENSES/$id.txt is missing"; bad=1; }
done
[ $seen -gt 0 ] || { echo "no file was found at all"; bad=1; }
exit $bad
