#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: what make install puts in place is complete, and pkg-config finds it
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=${BUILD:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
root=$tmp/root
unset MAKEFLAGS MAKELEVEL MFLAGS

fail()
{
	echo "$*"
	exit 1
}

# The same flags as the build's, or make would build it anew.
install="${MAKE:-make} --no-print-directory BUILD=$build ${CHECK_FLAGS-} DESTDIR=$root PREFIX=/usr"
$install install >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "make install failed"; }

[ -x "$root/usr/bin/shmux" ] || fail "bin/shmux was not installed"
[ -f "$root/usr/share/bash-completion/completions/shmux" ] || fail "the bash completion was not installed"
bash -n "$root/usr/share/bash-completion/completions/shmux" || fail "bash cannot read the completion"
[ -f "$root/usr/include/linux/shmux_ring.h" ] || fail "include/linux/shmux_ring.h was not installed"
[ "$(readlink "$root/usr/lib/libshmux.so")" = libshmux.so.0 ] || fail "lib/libshmux.so does not point at libshmux.so.0"
[ -f "$root/usr/lib/libshmux.a" ] || fail "lib/libshmux.a was not installed"
for header in libshmux/include/shmux/*.h; do
	[ -f "$root/usr/include/shmux/${header##*/}" ] || fail "$header was not installed"
done
[ -f "$root/usr/share/man/man1/shmux.1" ] || fail "the man page shmux(1) was not installed"
for page in man/*.[1-9]; do
	[ -f "$root/usr/share/man/man${page##*.}/${page##*/}" ] || fail "$page was not installed"
done

# A program that needs nothing but what was installed.
cat >"$tmp/tiny.c" <<'END'
#include <shmux/shmux.h>
END
symbol=$(sed -n 's/^[ \t]*\(shmux_[a-z0-9_]*\);.*/\1/p' libshmux/libshmux.map | head -n 1)
[ -n "$symbol" ] || fail "libshmux.map lists no symbol"
printf 'int main(void)\n{\n\treturn (void *)%s == (void *)0;\n}\n' "$symbol" >>"$tmp/tiny.c"
export PKG_CONFIG_PATH='' PKG_CONFIG_LIBDIR=$root/usr/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
export PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1
flags=$(pkg-config --cflags --libs shmux) || fail "pkg-config does not know shmux"
gcc -std=c11 -o "$tmp/tiny" "$tmp/tiny.c" $flags || fail "a tiny program does not build with: $flags"
LD_LIBRARY_PATH=$root/usr/lib "$tmp/tiny" || fail "a tiny program does not run against the shared library"
flags=$(pkg-config --static --cflags --libs shmux)
gcc -static -std=c11 -o "$tmp/tiny" "$tmp/tiny.c" $flags || fail "a tiny program does not link statically with: $flags"
"$tmp/tiny" || fail "a tiny static program does not run"

$install uninstall >"$tmp/log" 2>&1 || { cat "$tmp/log"; fail "make uninstall failed"; }
left=$(find "$root" ! -type d)
[ -z "$left" ] || fail "make uninstall left behind: $left"
