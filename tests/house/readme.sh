#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the README's example is short, compiles, and prints what the README shows
#
# In README.md the line before a fence says what the fence holds:
#   <!-- example: server.c --> and <!-- example: client.c -->
#   <!-- output: server -->, and where the client prints, <!-- output: client -->
# The client is started again as long as it fails, until the server is there.
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'kill $server 2>/dev/null; rm -rf "$tmp"' EXIT
server=
lib=${BUILD:-build}/libshmux.a

fail()
{
	echo "$*"
	exit 1
}

# fence MARK: the text of the fence that follows the line MARK.
fence()
{
	awk -v mark="<!-- $1 -->" '
		$0 == mark { found = 1; next }
		found && !inside && /^```/ { inside = 1; next }
		inside && /^```/ { exit }
		inside { print }
	' README.md
}

for side in server client; do
	fence "example: $side.c" >"$tmp/$side.c"
	[ -s "$tmp/$side.c" ] || fail "README.md has no fence after <!-- example: $side.c -->"
	lines=$(wc -l <"$tmp/$side.c")
	[ "$lines" -le 15 ] || fail "README.md's $side.c has $lines lines, where 15 are promised"
	gcc -std=gnu11 -O2 -Wall -Wextra -Werror -pthread -Ilibshmux/include -o "$tmp/$side" "$tmp/$side.c" "$lib" ||
		fail "README.md's $side.c does not compile"
done
fence "output: server" >"$tmp/server.want"
fence "output: client" >"$tmp/client.want"
[ -s "$tmp/server.want" ] || fail "README.md has no fence after <!-- output: server -->"

# stdbuf has the server's output reach us even if we have to end it.
stdbuf -oL "$tmp/server" >"$tmp/server.out" 2>"$tmp/server.err" &
server=$!
end=$((SECONDS + 10))
until timeout 10 "$tmp/client" >"$tmp/client.out" 2>"$tmp/client.err"; do
	kill -0 $server 2>/dev/null || { cat "$tmp/server.err"; fail "the server left before the client got through"; }
	[ $SECONDS -lt $end ] || { cat "$tmp"/*.err; fail "the client did not get through in ten seconds"; }
	sleep 0.02
done
# The server may leave by itself, or serve for ever.
until cmp -s "$tmp/server.want" "$tmp/server.out"; do
	[ $SECONDS -lt $end ] || break
	if ! kill -0 $server 2>/dev/null; then
		wait $server
		break
	fi
	sleep 0.02
done

for side in server client; do
	diff -u --label "what README.md shows of the $side" --label "what it printed" \
		"$tmp/$side.want" "$tmp/$side.out" || { cat "$tmp/$side.err"; exit 1; }
done
