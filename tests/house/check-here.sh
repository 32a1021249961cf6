#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: make check-here loads, tests and unloads the module of the machine that it runs on, or says why it cannot
#
# This machine is asked where it takes no modules; a virtual one in any case.
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=${BUILD:-build}
unset MAKEFLAGS MAKELEVEL MFLAGS
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

fail()
{
	echo "$*"
	cat "$tmp/out"
	exit 1
}

if [ ! -e /proc/modules ]; then
	${MAKE:-make} --no-print-directory BUILD="$tmp/build" check-here >"$tmp/out" 2>/dev/null &&
		fail "make check-here succeeded in a kernel without modules"
	[ "$(wc -l <"$tmp/out")" = 1 ] || fail "one sentence was expected"
	grep -q "^The module cannot be tested in this kernel, Linux $(uname -r): .*\.\$" "$tmp/out" ||
		fail "it does not say why it cannot"
fi

[ "$(uname -m)" = x86_64 ] || { echo "the kernels are those for amd64, and this is $(uname -m)"; exit 4; }
# To be built it takes a module for that kernel, and no other room than its own.
kernel=$(tests/vm/kernel 6.1 | tail -n 1)
${MAKE:-make} --no-print-directory BUILD="$build" MODULE_DIR="$tmp/module" WERROR=1 KDIR="$kernel/build" module \
	>"$tmp/out" 2>&1 || fail "the module was not built"

cat >"$tmp/inside" <<'END'
#!/bin/sh
ln -s /proc/self/fd /dev/fd
mkdir -p /tests/vm /tree/tests/kmod
cp /bin/here /bin/run /tests/
cp /bin/complaints /tests/vm/
cp /bin/kick /bin/tool /tree/tests/kmod/
echo "complaints+='|so we complain'" >>/tests/vm/complaints

# say WHAT STATUS: the last line, and that it should be good or bad.
say()
{
	[ "$1" != good ] || [ "$2" -eq 0 ] || cat /tmp/out
	echo "@$1 $2 $(tail -n 1 /tmp/out)"
}
bash /tests/here /bin/shmux.ko /tree/tests/kmod/kick /tree/tests/kmod/tool >/tmp/out 2>&1
say good $?
insmod /bin/shmux.ko
bash /tests/here /bin/shmux.ko /tree/tests/kmod/kick >/tmp/out 2>&1
say loaded $?
rmmod shmux
echo junk >/tmp/junk.ko
bash /tests/here /tmp/junk.ko /tree/tests/kmod/kick >/tmp/out 2>&1
say junk $?
printf '#!/bin/sh\necho 1..1\necho not ok 1 - it\nexit 1\n' >/tree/tests/kmod/bad
chmod +x /tree/tests/kmod/bad
bash /tests/here /bin/shmux.ko /tree/tests/kmod/bad >/tmp/out 2>&1
say bad $?
printf '#!/bin/sh\necho so we complain >/dev/kmsg\necho 1..1\necho ok 1 - it\n' >/tree/tests/kmod/bad
bash /tests/here /bin/shmux.ko /tree/tests/kmod/bad >/tmp/out 2>&1
say complaint $?
printf '#!/bin/sh\nexec 3<>/dev/shmux\nenv -u SHMUX_TEST_ID sleep 300 <&3 >/dev/null 2>&1 &\necho $! >/tmp/holder\necho 1..1\necho ok 1 - it\n' >/tree/tests/kmod/bad
bash /tests/here /bin/shmux.ko /tree/tests/kmod/bad >/tmp/out 2>&1
say held $?
kill "$(cat /tmp/holder)" 2>/dev/null
# What it held goes a moment later; a module that stays is seen by what comes next.
for try in $(seq 100); do
	rmmod shmux 2>/tmp/rmmod && break
	sleep 0.1
done
[ ! -d /sys/module/shmux ] || echo "@stuck $(cat /tmp/rmmod)"
echo 1 >/proc/sys/kernel/modules_disabled
bash /tests/here /bin/shmux.ko /tree/tests/kmod/kick >/tmp/out 2>&1
say disabled $?
su nobody -s /bin/sh -c 'bash /tests/here /bin/shmux.ko /tree/tests/kmod/kick' >/tmp/out 2>&1
say nobody $?
echo "1..1"
echo "ok 1 - it"
END
chmod +x "$tmp/inside"
files=()
for file in "$(command -v bash)" tests/here tests/run tests/vm/complaints "$build"/tests/kmod/{kick,tool} "$build/shmux" \
	"$tmp/module/kmod/shmux.ko"; do
	files+=(-f "$file")
done
BUILD=$build tests/vm/run -m none "${files[@]}" 6.1 "$tmp/inside" >"$tmp/out" 2>&1 || fail "the virtual machine is not content"

# expect WHAT STATUS TEXT
expect()
{
	grep -q "^# @$1 $2 .*$3" "$tmp/out" || fail "$1: status $2 and '$3' were expected"
}
cannot="The module cannot be tested in this kernel, Linux 6\.1[^:]*:"
here="On this machine, Linux 6\.1[^:]*: the module loads;"
expect good 0 "$here [0-9]* passed, 0 failed.*; it unloads and leaves nothing behind; the kernel has not complained\.\$"
expect loaded 1 "$cannot shmux is loaded already"
expect junk 1 "$cannot it refuses the module"
expect bad 1 "$here 0 passed, 1 failed; it unloads and leaves nothing behind; the kernel has not complained\.\$"
expect complaint 1 "$here 1 passed, 0 failed; it unloads and leaves nothing behind; THE KERNEL HAS COMPLAINED\.\$"
expect held 1 "$here .*; IT DOES NOT UNLOAD (.*); the kernel has not complained\.\$"
expect disabled 1 "$cannot it takes no more modules"
expect nobody 1 "$cannot to load a module takes root"
