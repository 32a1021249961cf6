#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: a listener over memfd and the kernel module is shown as one, to others than its user too, and two of one name as two
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=${BUILD:-build}
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
name=test-both-$$

if [ "$(id -u)" != 0 ]; then
	echo "it takes root to be two users"
	exit 4
fi

fail()
{
	echo "$*"
	cat "$tmp/out" "$tmp/err"
	kill $(jobs -p) 2>/dev/null
	exit 1
}

# A module that knows of one listener, which the environment describes.
cat >"$tmp/nl.c" <<'END' || exit 1
#define module_open none_open
#define module_listeners none_listeners
#define module_sessions none_sessions
#include "nl_none.c"
#undef module_open
#undef module_listeners
#undef module_sessions
#include <stdio.h>
#include <stdlib.h>

int module_open(struct module **m)
{
	*m = (struct module *)1;
	return 0;
}

int module_listeners(struct module *m, struct module_listener **all, size_t *nr)
{
	(void)m;
	*all = calloc(1, sizeof(**all));
	*nr = *all && sscanf(getenv("LISTENER"), "%64s %d %u", (*all)->name, &(*all)->pid, &(*all)->uid) == 3;
	return *nr ? 0 : -ENOMEM;
}

int module_sessions(struct module *m, struct module_session **all, size_t *nr)
{
	(void)m;
	*all = NULL;
	*nr = 0;
	return 0;
}
END
: >"$tmp/out"
tool=$tmp/shmux
gcc -std=gnu11 -Wall -Wextra -Iuapi -Itools -c -o "$tmp/nl.o" "$tmp/nl.c" 2>"$tmp/err" &&
	gcc -pthread -o "$tool" "$tmp/nl.o" $(ls "$build"/obj/tools/*.o "$build"/obj/tools/bench/*.o | grep -v '/nl[a-z_]*\.o$') \
		"$build/libshmux.a" 2>"$tmp/err" || fail "the tool does not build"
chmod 755 "$tmp"

# shows USER LISTENER WANT: with the module's listener so, USER is shown this of those
# of the name: over, pid and uid, a line each.
shows()
{
	LISTENER="$name $2" setpriv --reuid "$1" --regid "$1" --clear-groups \
		"$tool" ls --json >"$tmp/out" 2>"$tmp/err" || fail "shmux ls failed"
	python3 - "$tmp/out" "$name" >"$tmp/got" <<'END' || fail "the JSON is none"
import json, sys
for l in json.load(open(sys.argv[1]))["listeners"]:
    if l["address"] == sys.argv[2]:
        print(l["over"], l["pid"], l["uid"])
END
	[ "$(sort "$tmp/got")" = "$3" ] || fail "to user $1, with $2 of the module's: '$3' was expected of"
}

mkfifo "$tmp/ready"
"$build/shmux" echo "memfd:$name" 2>"$tmp/ready" &
echo=$!
read -r _ <"$tmp/ready"
if LISTENER="- 1 0" setpriv --reuid 1001 --regid 1001 --clear-groups "$tool" ls | grep -q "^$name  *-  *- "; then
	kill $echo
	echo "this kernel has no socket diagnosis, and nothing tells whose a socket is"
	exit 4
fi

# Root sees whose the socket is; others see whose user's.
shows 0 "$echo 0" "both $echo 0"
shows 1001 "$echo 0" "both $echo 0"
shows 1001 "0 0" "both None 0"
shows 0 "$$ 0" "kmod $$ 0
memfd $echo 0"
shows 1001 "$$ 1001" "kmod $$ 1001
memfd None 0"
shows 1001 "0 1001" "kmod None 1001
memfd None 0"

kill $echo
wait $echo
exit 0
