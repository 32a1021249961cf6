#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the epoll server of examples/ serves two users at once, and turns a third one away with a sentence on either side
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
build=$(realpath "${BUILD:-build}")
tmp=$(mktemp -d) || exit 1
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$tmp"' EXIT
address=test-epoll-server-$$
users=(12345 65534) stranger=54321

${MAKE:-make} --no-print-directory BUILD="$build" ${CHECK_FLAGS:-} "$build/examples/epoll-server" \
	>"$tmp/make" 2>&1 || { cat "$tmp/make"; exit 1; }
if [ "$(id -u)" != 0 ]; then
	echo "only root can be several users"
	exit 4
fi
chmod 755 "$tmp"
cp "$build/examples/epoll-server" "$build/shmux" "$tmp" || exit 1
head -c 1000000 /dev/urandom >"$tmp/sample"

fail()
{
	echo "$*"
	tail -n +1 -- "$tmp"/*.err
	exit 1
}

# as UID COMMAND...
as()
{
	local uid=$1
	shift
	exec setpriv --reuid="$uid" --regid="$uid" --clear-groups timeout 30 "$@"
}

# The first user is the server's own.
mkfifo "$tmp/ready"
(as "${users[0]}" "$tmp/epoll-server" "$address" "${users[1]}") >"$tmp/ready" 2>"$tmp/server.err" &
read -r line <"$tmp/ready"
[ "$line" = "listening on $address" ] || fail "the server said '$line'"

# Both stay connected while each sends all of the sample, twice.
for uid in "${users[@]}"; do
	mkfifo "$tmp/$uid.in"
	(as "$uid" "$tmp/shmux" cat --any-user "$address") \
		<"$tmp/$uid.in" >"$tmp/$uid.out" 2>"$tmp/$uid.err" &
	pids[uid]=$!
done
exec 3>"$tmp/${users[0]}.in" 4>"$tmp/${users[1]}.in"
for half in 1 2; do
	cat "$tmp/sample" >&3 &
	cat "$tmp/sample" >&4 || fail "user ${users[1]} is not served"
	wait $! || fail "user ${users[0]} is not served"
done

# Meanwhile the third one learns where it stands, and so does the server.
(as $stranger "$tmp/shmux" cat --any-user "$address") </dev/null 2>"$tmp/stranger.err" &&
	fail "user $stranger was served"
grep -q "^shmux: cannot .*: one side does not admit the other's user (EACCES)\$" "$tmp/stranger.err" ||
	fail "user $stranger was not told why"
grep -q "with process [0-9]* of user $stranger: we do not admit that user (EACCES)\$" \
	"$tmp/server.err" || fail "the server was not told about user $stranger"

exec 3>&- 4>&-
for uid in "${users[@]}"; do
	wait "${pids[uid]}" || fail "the client of user $uid left with status $?"
	cat "$tmp/sample" "$tmp/sample" | cmp - "$tmp/$uid.out" || fail "user $uid got other bytes"
done
