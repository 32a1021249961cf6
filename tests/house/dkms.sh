#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: DKMS adds, builds, installs and removes the module, for both series of kernels, and make does it in one go
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
[ "$(uname -m)" = x86_64 ] || { echo "the headers of Debian's kernels bring tools for amd64 alone"; exit 4; }
[ "$(id -u)" -eq 0 ] || { echo "dkms asks for root"; exit 4; }
command -v dkms >/dev/null || { echo "dkms is not installed"; exit 1; }
unset MAKEFLAGS MAKELEVEL MFLAGS CC CFLAGS CPPFLAGS LDFLAGS LDLIBS V
export LC_ALL=C
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

fail()
{
	echo "$*"
	tail -n 40 "$tmp/log" "$tmp"/dkms/shmux/*/build/make.log "$tmp"/dkms/shmux/*/*/*/log/make.log 2>/dev/null
	exit 1
}

version=$(sed -n 's/^VERSION := //p' Makefile)
grep -qx "PACKAGE_VERSION=\"$version\"" dkms.conf || fail "dkms.conf is not of version $version"

# A machine of our own, as far as dkms can see.
mkdir "$tmp/dkms" "$tmp/src" "$tmp/modules" || exit 1
# With nothing to sign with it makes no key in the real machine's folder.
export sign_file=$tmp/none
flags=(--dkmstree "$tmp/dkms" --installtree "$tmp/modules" --no-depmod)
try()
{
	local action=$1
	shift
	dkms "$action" -m shmux -v "$version" --sourcetree "$tmp/src" "${flags[@]}" "$@" \
		>"$tmp/log" 2>&1 </dev/null || fail "dkms $action $* failed"
}

# status OF PATTERN: what dkms says of shmux shall be so.
status()
{
	dkms status "${flags[@]}" >"$tmp/log" 2>&1
	grep -Eq "$1" "$tmp/log" || fail "dkms status does not say '$1'"
}

# installed RELEASE: the module is there, and meant for that kernel.
installed()
{
	local ko=$tmp/modules/$1/updates/dkms/shmux.ko

	[ -f "$ko" ] || fail "there is no $ko"
	case $(/sbin/modinfo -F vermagic "$ko") in
	"$1 "*) ;;
	*) fail "$ko is for '$(/sbin/modinfo -F vermagic "$ko")'" ;;
	esac
}

# gone: nothing is left but what was there before.
gone()
{
	local left

	left=$(find "$tmp/modules" -name 'shmux*'; find "$tmp/dkms" -mindepth 1 -path '*shmux*')
	[ -z "$left" ] || fail "dkms remove has left behind: $left"
}

kernels=() releases=()
for series in 6.1 6.12; do
	tests/vm/kernel $series >"$tmp/log" || fail "no kernel $series"
	kernels+=("$(tail -n 1 "$tmp/log")")
	releases+=("$(cat "${kernels[-1]}/release")")
	mkdir -p "$tmp/modules/${releases[-1]}"
done

mkdir "$tmp/src/shmux-$version"
cp -R Kbuild dkms.conf kmod uapi "$tmp/src/shmux-$version/"
try add
status "^shmux/$version: added"
for i in 0 1; do
	kernel=(-k "${releases[i]}" --kernelsourcedir "${kernels[i]}/build")
	try build "${kernel[@]}"
	status "^shmux/$version, ${releases[i]//+/.}, .*: built"
	try install "${kernel[@]}"
	status "^shmux/$version, ${releases[i]//+/.}, .*: installed"
	installed "${releases[i]}"
done
try remove -k "${releases[0]}"
[ ! -e "$tmp/modules/${releases[0]}/updates/dkms/shmux.ko" ] || fail "the module for ${releases[0]} is still there"
installed "${releases[1]}"
try remove --all
gone
rm -rf "$tmp/src/shmux-$version"

make=("${MAKE:-make}" --no-print-directory DKMS_TREE="$tmp/src" PREFIX="$tmp/usr"
	DKMS_FLAGS="${flags[*]}")
# The second time the sources may be others.
for i in 0 1; do
	"${make[@]}" dkms-install DKMS_KERNEL="-k ${releases[i]} --kernelsourcedir ${kernels[i]}/build" \
		>"$tmp/log" 2>&1 || fail "make dkms-install failed for ${releases[i]}"
	installed "${releases[i]}"
done
[ ! -e "$tmp/modules/${releases[0]}/updates/dkms/shmux.ko" ] || fail "make dkms-install left the module of before"
[ -f "$tmp/usr/lib/udev/rules.d/60-shmux.rules" ] || fail "the rule for udev was not installed"
[ -f "$tmp/usr/lib/modules-load.d/shmux.conf" ] || fail "the entry of modules-load.d was not installed"
"${make[@]}" dkms-remove >"$tmp/log" 2>&1 || fail "make dkms-remove failed"
gone
left=$(find "$tmp/src" "$tmp/usr" ! -type d)
[ -z "$left" ] || fail "make dkms-remove has left behind: $left"
