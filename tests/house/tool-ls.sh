#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux ls shows who listens, who is connected to whom, and how much is queued
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tool=$(realpath "${BUILD:-build}")/shmux
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
name=test-ls-$$
cd "$tmp" || exit 1
mkfifo ready in out

fail()
{
	echo "$*"
	cat ls.txt ls.json ./*.err 2>/dev/null
	kill $(jobs -p) 2>/dev/null
	exit 1
}

look()
{
	"$tool" ls >ls.txt 2>ls.err && "$tool" ls --json >ls.json 2>>ls.err || fail "shmux ls failed"
	[ ! -s ls.err ] || fail "shmux ls complained"
}

"$tool" echo $name 2>ready &
echo=$!
read -r _ <ready
"$tool" echo "memfd:$tmp/socket" 2>ready &
path=$!
read -r _ <ready
uid=$(id -u)

# What another chose moves no cursor: CSI and DEL in its address and its name, as
# the terminal's escape, in UTF-8, and as a bare byte; what is printable stays.
evil=$'\x1b[31m\xc2\x9b31m\x9b\x7f\xc3\xa9'
(exec -a "$evil" "$tool" echo "memfd:$tmp/$evil") 2>ready &
evil_pid=$!
read -r _ <ready
look
LC_ALL=C grep -q $'\x1b\|\x9b\|\x7f' ls.txt ls.json && fail "a control character is shown"
grep -q "^memfd:$tmp/?\[31m?31m??é .* ?\[31m?31m??é echo" ls.txt || fail "the rest of its name is not shown"
grep -q '\\u001b\[31m\\u009b31m\\ufffd\\u007f' ls.json || fail "its name is not in the JSON"
"$tool" show "memfd:$tmp/$evil" >ls.txt || fail "it cannot be shown"
LC_ALL=C grep -q $'\x1b\|\x9b\|\x7f' ls.txt && fail "show shows a control character"
kill $evil_pid
wait $evil_pid

look
grep -Eq "^$name +$echo +$uid +(memfd|both) .*shmux echo $name\$" ls.txt || fail "the listener is not shown"
grep -Eq "^memfd:$tmp/socket +$path +$uid +.*shmux echo" ls.txt || fail "the path is not shown"
grep -q "{\"address\": \"$name\", \"pid\": $echo, \"uid\": $uid, \"command\": \".*echo $name\", " ls.json ||
	fail "the listener is not in the JSON"

# A line that has come back tells that the session is there and at rest.
"$tool" cat $name <in >out 2>cat.err &
cat=$!
exec 8>in 9<out
echo hello >&8
read -r -t 20 line <&9 && [ "$line" = hello ] || fail "no echo"

look
if grep -q "\"address\": \"$name\".*\"dialler\": {\"pid\": $cat," ls.json; then
	grep -Eq "^$name +$cat +[0-9-]+ +shmux cat .* $echo +[0-9-]+ +shmux echo" ls.txt ||
		fail "the session is not shown"
	grep -q "\"address\": \"$name\".*\"listener\": {\"pid\": $echo, \"uid\": $uid" ls.json ||
		fail "the session's other end is not in the JSON"
else
	# Without the kernel's socket diagnosis there is no telling the peer.
	grep -q "\"address\": \"$name\".*\"dialler\": {\"pid\": null" ls.json ||
		fail "the session is not in the JSON"
fi
# Depth is for who may trace; then it is told, and one stream is open.
if head -c 1 "/proc/$echo/mem" 2>&1 | grep -q 'Permission denied'; then
	grep -q "\"address\": \"$name\", \"streams\": null" ls.json || fail "depth is told in spite of all"
else
	grep -q "\"address\": \"$name\", \"streams\": 1, .*\"queued\": [0-9]*, .*\"queued\": [0-9]*," ls.json ||
		fail "streams and depth are not told"

	# What a stopped server has not taken is queued.
	kill -STOP $echo
	echo world >&8
	try=0
	until grep -Eq "\"address\": \"$name\".*\"dialler\": .*\"queued\": [1-9].*\"listener\"" ls.json; do
		try=$((try + 1))
		[ $try -lt 1000 ] || fail "what is queued is not told"
		look
	done
	kill -CONT $echo
	read -r -t 20 line <&9 && [ "$line" = world ] || fail "no echo after the stop"
fi

exec 8>&-
wait $cat || fail "the client failed"
kill $echo $path
wait $echo $path
look
grep -q "^$name\|\"$name\"" ls.txt ls.json && fail "who has left is still shown"
if command -v python3 >/dev/null; then
	python3 -m json.tool <ls.json >/dev/null || fail "the JSON is none"
fi
exit 0
