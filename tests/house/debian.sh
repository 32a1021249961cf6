#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the Debian packages build, hold what they should, and lintian neither errs nor warns
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
for tool in dpkg-buildpackage dh dh_dkms lintian; do
	command -v $tool >/dev/null || { echo "$tool is not installed: this is for Debian"; exit 4; }
done
unset MAKEFLAGS MAKELEVEL MFLAGS CC CFLAGS CPPFLAGS LDFLAGS LDLIBS V BUILD DESTDIR
export LC_ALL=C DEB_BUILD_OPTIONS=parallel=2
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
tree=$tmp/tree root=$tmp/root

fail()
{
	echo "$*"
	exit 1
}

version=$(sed -n 's/^VERSION := //p' Makefile)
[ "$(dpkg-parsechangelog -S Version)" = "$version" ] || fail "debian/changelog is not of version $version"

# The tree without what was built in it.
mkdir "$tree" "$root" || exit 1
if git -c safe.directory='*' rev-parse --is-inside-work-tree >/dev/null 2>&1; then
	git -c safe.directory='*' ls-files -z -co --exclude-standard
else
	find . \( -name .git -o -path ./build \) -prune -o ! -type d -print0
fi | xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done' sh |
	tar -c --null -T - | tar -x -C "$tree" || fail "the tree cannot be copied"
(cd "$tree" && dpkg-buildpackage -us -uc) >"$tmp/log" 2>&1 </dev/null || {
	tail -n 50 "$tmp/log"
	fail "dpkg-buildpackage failed"
}

# has PACKAGE FILE...: and no other package may have it.
has()
{
	local package=$1 file owner
	shift

	for file; do
		owner=$(grep -lxF "$file" "$tmp"/*.list | sed 's|.*/||; s|\.list$||')
		[ "$owner" = "$package" ] || fail "$file is in '$owner', not in $package"
	done
}

for deb in "$tmp"/*.deb; do
	name=${deb##*/} name=${name%%_*}
	case $name in *-dbgsym) continue ;; esac
	dpkg-deb --fsys-tarfile "$deb" | tar -t | sed 's|^\.||' >"$tmp/$name.list"
	dpkg-deb -x "$deb" "$root"
done
lib=/usr/lib/$(dpkg-architecture -qDEB_HOST_MULTIARCH)
has libshmux0 "$lib/libshmux.so.0"
has libshmux-dev "$lib/libshmux.so" "$lib/libshmux.a" "$lib/pkgconfig/shmux.pc" /usr/share/man/man3/libshmux.3.gz \
	$(cd libshmux/include && ls shmux/*.h | sed 's|^|/usr/include/|') $(cd uapi && ls linux/*.h | sed 's|^|/usr/include/|')
has shmux-tools /usr/bin/shmux /usr/share/bash-completion/completions/shmux \
	/usr/share/man/man1/shmux.1.gz /usr/share/man/man7/shmux.7.gz
has shmux-dkms /usr/share/man/man4/shmux.4.gz "/usr/src/shmux-$version/dkms.conf" /usr/lib/udev/rules.d/60-shmux.rules /usr/lib/modules-load.d/shmux.conf

# The library's symbols are as of a version; the command runs; the module builds
# of nothing but what is in its package.
dpkg-deb -I "$tmp"/libshmux0_*.deb symbols >"$tmp/symbols" || fail "libshmux0 has no symbols file"
for symbol in $(sed -n 's/^[ \t]*\(shmux_[a-z0-9_]*\);.*/\1/p' libshmux/libshmux.map); do
	grep -q "^ $symbol@SHMUX_[0-9.]* [0-9.]*\$" "$tmp/symbols" || fail "libshmux0's symbols file lacks $symbol"
done
"$root/usr/bin/shmux" --help >/dev/null || fail "the packaged command does not run"
if [ "$(uname -m)" = x86_64 ]; then
	kernel=$(tests/vm/kernel 6.1 | tail -n 1)
	make -C "$kernel/build" M="$root/usr/src/shmux-$version" modules >"$tmp/log" 2>&1 || {
		tail -n 30 "$tmp/log"
		fail "the module does not build from shmux-dkms"
	}
fi

lintian --fail-on error,warning --allow-root "$tmp"/*.changes >"$tmp/log" 2>&1 || {
	cat "$tmp/log"
	fail "lintian is not content"
}
