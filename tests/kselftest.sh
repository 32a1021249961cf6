#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Fetches what we use of the kernel's source out of Debian's linux-source package
# into a directory outside the tree: the test harness (kselftest.h,
# kselftest_harness.h, lib.mk and what that runs), and in scripts/ the tools that
# judge style (checkpatch.pl, kernel-doc, coccinelle's scripts). Needs no root and
# does nothing when all is there already.
#
# Usage: tests/kselftest.sh [DIRECTORY]
set -eu

cache=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/shmux
dest=${1:-$cache/kselftest}
work=$dest.work.$$

files="kselftest.h kselftest_harness.h lib.mk kselftest/runner.sh kselftest/prefix.pl
	scripts/checkpatch.pl scripts/spelling.txt scripts/const_structs.checkpatch
	scripts/kernel-doc scripts/coccinelle/free/kfree.cocci"

# lacking DIRECTORY: prints which of these it has not.
lacking()
{
	for file in $files; do
		[ -s "$1/$file" ] || echo "$file"
	done
}

[ -z "$(lacking "$dest")" ] && exit 0

die()
{
	echo "tests/kselftest.sh: $*" >&2
	exit 1
}

for tool in apt-get dpkg-deb tar xz; do
	command -v $tool >/dev/null || die "$tool is needed to fetch the kernel's test harness and tools"
done
mkdir -p "$work" || die "cannot make the directory $work"
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# Package lists of our own are the fall-back where the system's are missing or
# out of date; they need no root either.
apt_opts="-o APT::Sandbox::User=$(id -un)"
own_lists()
{
	mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
	apt_opts="$apt_opts -o Dir::State::Lists=$work/lists -o Dir::Cache=$work/cache"
	apt-get $apt_opts -qq update || :
}

find_package()
{
	package=$(apt-cache $apt_opts show --no-all-versions linux-source 2>/dev/null |
		sed -n 's/^Depends:.*\(linux-source-[0-9][0-9.]*[0-9]\).*/\1/p' | head -n 1)
	[ -n "$package" ] || return 1
	size=$(apt-cache $apt_opts show --no-all-versions "$package" 2>/dev/null |
		sed -n 's/^Size: //p' | head -n 1)
	[ -n "$size" ]
}

download()
{
	(cd "$work" && apt-get $apt_opts -qq -o Acquire::Retries=3 download "$package")
}

if ! find_package; then
	own_lists
	find_package || die "no linux-source package is on offer: look at /etc/apt/sources.list"
fi
echo "Fetching the kernel's test harness and tools: $package, a download of $((size / 1000000)) MB, once."
if ! download; then
	own_lists
	find_package || die "no linux-source package is on offer: look at /etc/apt/sources.list"
	download || download || die "the download of $package failed"
fi

mkdir "$work/files"
dpkg-deb --fsys-tarfile "$work/$package"_*.deb |
	tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
	tar -xJ -C "$work/files" --wildcards --no-same-owner \
		--transform 's|^linux-source-[^/]*/||;s|^tools/testing/selftests/||' \
		'linux-source-*/tools/testing/selftests/kselftest.h' \
		'linux-source-*/tools/testing/selftests/kselftest_harness.h' \
		'linux-source-*/tools/testing/selftests/lib.mk' \
		'linux-source-*/tools/testing/selftests/kselftest/*' \
		'linux-source-*/scripts/checkpatch.pl' \
		'linux-source-*/scripts/spelling.txt' \
		'linux-source-*/scripts/const_structs.checkpatch' \
		'linux-source-*/scripts/kernel-doc' \
		'linux-source-*/scripts/coccinelle/*' ||
	die "$package could not be unpacked"
lacking=$(lacking "$work/files")
[ -z "$lacking" ] || die "$package does not hold" $lacking

# One move makes all files appear together; an older set makes way.
mkdir -p "$(dirname "$dest")"
[ ! -e "$dest" ] || mv "$dest" "$work/old" || die "cannot replace $dest"
mv -T "$work/files" "$dest" || die "cannot move the files to $dest"
echo "The kernel's test harness and tools are in $dest."
