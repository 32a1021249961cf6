#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the programs of tests/kmod are kselftests: lib.mk builds, lists, installs and runs them, and where they are installed the kernel's own runner runs them
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath -m "${BUILD:-build}")
export KSELFTEST_DIR=${KSELFTEST_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/shmux/kselftest}
unset MAKEFLAGS MAKELEVEL MFLAGS
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

fail()
{
	echo "$*"
	cat "$tmp/out"
	exit 1
}

kselftest()
{
	${MAKE:-make} --no-print-directory -C tests/kmod BUILD="$build" ${CHECK_FLAGS-} "$@" >"$tmp/out" 2>&1
}

expected=$(for source in tests/kmod/*.c; do basename "$source" .c; done)
[ ! -f /usr/lib32/libc.a ] || expected="$expected abi32"

kselftest all || fail "they are not built"
kselftest emit_tests COLLECTION=shmux || fail "they are not listed"
[ "$(sed -n 's/^shmux://p' "$tmp/out" | sort | xargs)" = "$(printf '%s\n' $expected | sort | xargs)" ] ||
	fail "others are listed than there are"

# One in place of them all, as there may be no device: it is told of the settings.
cat >"$tmp/limit" <<'END'
#!/bin/sh
echo "limit: $kselftest_timeout"
END
chmod +x "$tmp/limit"
limit="limit: $(sed -n 's/^timeout=//p' tests/kmod/settings)"
kselftest run_tests TEST_GEN_PROGS="$tmp/limit" || fail "none is run"
grep -qx 'ok 1 selftests: shmux: limit' "$tmp/out" && grep -qx "# $limit" "$tmp/out" || fail "it does not run as it should"

kselftest install INSTALL_PATH="$tmp/kselftest/shmux" || fail "they are not installed"
[ "$(ls "$tmp/kselftest/shmux" | sort | xargs)" = "$(printf '%s\n' $expected config settings | sort | xargs)" ] ||
	fail "installed is: $(ls "$tmp/kselftest/shmux" | xargs)"

[ "$(uname -m)" = x86_64 ] || { echo "the kernels are those for amd64, and this is $(uname -m)"; exit 4; }
kernel=$(tests/vm/kernel 6.1 | tail -n 1)
grep -v "^#" tests/kmod/config | grep -vxFf "$kernel/build/.config" >"$tmp/out" && fail "this kernel has not all that config asks for"

# As it is done with the kernel's own: what is installed, and the runner beside it.
cp -R "$KSELFTEST_DIR/kselftest" "$tmp/kselftest/"
cp "$tmp/limit" "$tmp/kselftest/shmux/"
cat >"$tmp/kselftest/shmux/bad" <<'END'
#!/bin/sh
exit 1
END
chmod +x "$tmp/kselftest/shmux/bad"
tar -C "$tmp" -cf "$tmp/kselftest.tar" kselftest
cat >"$tmp/inside" <<'END'
#!/bin/sh
ln -s /proc/self/fd/1 /dev/stdout
tar -C /tmp -xf /bin/kselftest.tar
cd /tmp/kselftest/shmux
export BASE_DIR=/tmp/kselftest
. /tmp/kselftest/kselftest/runner.sh
run_many /tmp/kselftest/shmux/limit /tmp/kselftest/shmux/kick /tmp/kselftest/shmux/bad 2>&1 | sed 's/^/@/'
echo "1..1"
echo "ok 1 - it"
END
chmod +x "$tmp/inside"
BUILD=$build tests/vm/run -f "$tmp/kselftest.tar" -f "$build/tests/kmod/kick" 6.1 "$tmp/inside" >"$tmp/out" 2>&1 ||
	fail "the virtual machine is not content"

expect()
{
	grep -qxE "# @$1" "$tmp/out" || fail "'$1' was expected"
}
expect "# $limit"
expect "ok 1 selftests: shmux: limit"
expect "ok 2 selftests: shmux: kick"
expect "# # PASSED: ([0-9]+) / \\1 tests passed\\."
expect "not ok 3 selftests: shmux: bad # exit=1"
