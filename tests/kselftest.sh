#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Fetches the kernel's test harness, kselftest.h and kselftest_harness.h, out of
# Debian's linux-source package into a directory outside the tree. Needs no
# root and does nothing when they are there already.
#
# Usage: tests/kselftest.sh [DIRECTORY]
set -eu

cache=${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/shmux
dest=${1:-$cache/kselftest}
work=$dest.work.$$

[ -f "$dest/kselftest_harness.h" ] && [ -f "$dest/kselftest.h" ] && exit 0

die()
{
	echo "tests/kselftest.sh: $*" >&2
	exit 1
}

for tool in apt-get dpkg-deb tar xz; do
	command -v $tool >/dev/null || die "$tool is needed to fetch the kernel's test harness"
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
echo "Fetching the kernel's test harness: $package, a download of $((size / 1000000)) MB, once."
if ! download; then
	own_lists
	find_package || die "no linux-source package is on offer: look at /etc/apt/sources.list"
	download || download || die "the download of $package failed"
fi

mkdir "$work/headers"
dpkg-deb --fsys-tarfile "$work/$package"_*.deb |
	tar -xO --wildcards './usr/src/linux-source-*.tar.xz' |
	tar -xJ -C "$work/headers" --wildcards --transform 's|.*/||' \
		'linux-source-*/tools/testing/selftests/kselftest.h' \
		'linux-source-*/tools/testing/selftests/kselftest_harness.h' ||
	die "$package could not be unpacked"
[ -f "$work/headers/kselftest_harness.h" ] || die "$package holds no kselftest_harness.h"

# One move makes both files appear together.
mkdir -p "$(dirname "$dest")"
rm -rf "$dest"
mv "$work/headers" "$dest" || die "cannot move the headers to $dest"
echo "The kernel's test harness is in $dest."
