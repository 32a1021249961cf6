#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Sees to it that the Debian packages for `make demo`, `make check`,
# `make check-debug-kernel` or `make check-uml` are there.
# Run as root it says what is missing and how large the download is, and
# installs it; otherwise it prints the one line to type, and fails.
#
# Usage: tests/setup.sh demo|check|debug-kernel|uml
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

case ${1-} in
demo) wanted="gcc libc6-dev make" ;;
check) wanted="gcc libc6-dev make clang libclang-rt-dev g++ pkg-config libnl-3-dev libnl-genl-3-dev python3 python3-yaml rsync xz-utils spin clang-tidy cppcheck valgrind sparse coccinelle libpython3.11 dkms build-essential debhelper dh-dkms lintian golang-go golang-github-hashicorp-yamux-dev golang-github-xtaci-smux-dev libzmq3-dev libnng-dev curl libhttp-parser-dev chromium gnuplot-nox" ;;
debug-kernel) wanted="gcc libc6-dev make pkg-config libnl-3-dev libnl-genl-3-dev xz-utils bison flex bc libelf-dev patch qemu-system-x86 busybox-static cpio" ;;
uml) wanted="gcc gcc-multilib libc6-dev make pkg-config libnl-3-dev libnl-genl-3-dev xz-utils bison flex bc busybox-static cpio" ;;
*)
	echo "usage: tests/setup.sh demo|check|debug-kernel|uml" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "This is not Debian: the equivalents of these packages are needed: $wanted"
	exit 0
fi
# The 32-bit half of the header tests exists on amd64 alone; so do the kernels
# that the module's tests run in, with their tools for building it.
if [ "$1" = check ] && [ "$(dpkg --print-architecture)" = amd64 ]; then
	wanted="$wanted gcc-multilib qemu-system-x86 busybox-static cpio libelf1 libssl3"
fi

missing=
for package in $wanted; do
	case $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) in
	ii*) ;;
	*) missing="$missing $package" ;;
	esac
done
[ -z "$missing" ] && exit 0

install="apt-get install -y --no-install-recommends$missing"
size()
{
	apt-get install -y --print-uris --no-install-recommends $missing 2>/dev/null |
		sed -n 's/^Need to get \(.*\) of archives.*/\1/p' | sed 's|/.*||; s| *\([kMG]\)B| \1B|'
}

if [ "$(id -u)" -ne 0 ]; then
	size=$(size || :)
	echo "make $1 needs Debian packages that are not installed:$missing"
	echo "As root, run this${size:+ (a download of $size)}, then try again:"
	echo "  apt-get update && $install"
	exit 1
fi

echo "Asking Debian for the packages that make $1 needs:$missing"
apt-get -qq -o Acquire::Retries=3 update || echo "The package lists could not all be refreshed; going on with what there is."
echo "Installing them, a download of $(size || :)."
apt-get -qq -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 install -y --no-install-recommends \
	$missing >/dev/null </dev/null || {
	echo "The installation failed. Try it by hand: $install" >&2
	exit 1
}
