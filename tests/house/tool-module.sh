#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: without the kernel module, or without libnl, the tools say so in a sentence and show what memfd can
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=${BUILD:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
name=test-module-$$

if [ -e /dev/shmux ]; then
	echo "the kernel module is loaded here"
	exit 4
fi

fail()
{
	echo "$*"
	cat "$tmp/out" "$tmp/err"
	kill $(jobs -p) 2>/dev/null
	exit 1
}

# good ARGUMENT...: it succeeds, without a complaint.
good()
{
	timeout 20 "$tool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null || fail "shmux $* failed"
	[ ! -s "$tmp/err" ] || fail "shmux $* complained"
}

# has TEXT
has()
{
	grep -q -- "$1" "$tmp/out" || fail "'$1' is not said"
}

# The output is of so many JSON values, each on its line (or one on many), and
# the Python expression holds of the last, v.
json()
{
	python3 - "$tmp/out" "$1" "$2" <<'END' || fail "the JSON is not as it should be: $2"
import json, sys
text = open(sys.argv[1]).read()
values = [json.loads(text)] if sys.argv[2] == "one" else [json.loads(line) for line in text.splitlines()]
v = values[-1]
sys.exit(0 if eval(sys.argv[3]) else 1)
END
}

# bad WORDS ARGUMENT...: it fails by a sentence.
bad()
{
	local words=$1
	shift

	timeout 20 "$tool" "$@" >"$tmp/out" 2>"$tmp/err" </dev/null && fail "shmux $* succeeded"
	[ "$(wc -l <"$tmp/err")" = 1 ] || fail "shmux $*: one line was expected"
	grep -q "^shmux: cannot .*: .*$words.* (E[A-Z]*)\$" "$tmp/err" || fail "shmux $*: '$words' was expected"
	[ ! -s "$tmp/out" ] || fail "shmux $*: it wrote to standard output"
}

# look WORDS: all of them say so, and show the server.
look()
{
	local words=$1

	good ls
	has "^$name  *$echo .* memfd "
	has "^Over memfd alone: $words"
	good ls --json
	json one "v['module'] is False and [l for l in v['listeners'] if l['address'] == '$name' and l['pid'] == $echo]"
	good show "$name"
	has "^  process *$echo "
	has "^Over memfd alone: $words"
	good show "memfd:$name" --json
	json one "len(v['listeners']) == 1 and v['listeners'][0]['number'] is None"
	good stat
	has "^  listeners *[1-9]"
	has "^Over memfd alone: $words"
	good stat --json
	json one "v['module'] is None and v['listeners'] >= 1"
	good stat -i 0.05 --count 2
	has "^Over memfd alone: $words"
	[ "$(grep -c '^ *[0-9]' "$tmp/out")" = 2 ] || fail "stat -i does not show two lines"
	good stat -i 0.05 --count 2 --json
	json each "len(values) == 2 and v['module'] is None and v['sessions'] >= 0"
	good top -i 0.05 --count 2 --json
	json each "len(values) == 2 and v['module'] is False"
}

# lack WORDS: what only the module has is not to be had.
lack()
{
	local words=$1

	bad "nobody listens there over memfd, and $words" show "kmod:$name"
	bad "$words.*, and over memfd there are none" monitor
	bad "$words.*, and over memfd there are none" monitor --json
	bad "$words.*, and over memfd there are none" limit
	bad "$words.*, and over memfd there are none" limit --json
	bad "$words.*, and over memfd there are none" limit user sessions 10k
}

tool=$build/shmux
mkfifo "$tmp/ready"
"$tool" echo "$name" 2>"$tmp/ready" &
echo=$!
read -r _ <"$tmp/ready"

nm "$tool" | grep -q ' U nl_socket_alloc' || fail "this build has no libnl: see tests/setup.sh"
look "the kernel module is not loaded"
lack "the kernel module is not loaded"

# The same objects, but for the one that speaks libnl.
gcc -std=gnu11 -Wall -Wextra -Werror -Iuapi -Itools -c -o "$tmp/none.o" tools/nl_none.c 2>"$tmp/err" &&
	gcc -pthread -o "$tmp/shmux" "$tmp/none.o" $(ls "$build"/obj/tools/*.o "$build"/obj/tools/bench/*.o | grep -v '/nl[a-z_]*\.o$') \
		"$build/libshmux.a" 2>"$tmp/err" || fail "the tool does not build without libnl"
tool=$tmp/shmux
look "this shmux was built without libnl"
lack "this shmux was built without libnl"

# A sandbox that has no such sockets is no matter of root.
tool=$build/shmux
cat >"$tmp/sandbox.c" <<'END' || exit 1
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

int socket(int domain, int type, int protocol)
{
	int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");

	if (domain != AF_NETLINK || protocol != NETLINK_GENERIC)
		return real(domain, type, protocol);
	errno = EPERM;
	return -1;
}
END
gcc -shared -fPIC -o "$tmp/sandbox.so" "$tmp/sandbox.c" 2>"$tmp/err" || fail "the sandbox does not build"
export LD_PRELOAD="$tmp/sandbox.so"
look "Operation not permitted"
bad "nobody listens there over memfd, and the kernel module does not answer" show "kmod:$name"
bad "Operation not permitted" monitor
bad "Operation not permitted" limit
bad "Operation not permitted" limit user sessions 10k
unset LD_PRELOAD

kill $echo
wait $echo
exit 0
