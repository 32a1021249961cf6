#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: whatever is wrong with a command line, shmux says it in one sentence with the errno's name
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tool=${BUILD:-build}/shmux
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

complain()
{
	echo "$*"
	sed 's/^/    /' "$tmp/err"
	bad=1
}

# expect STATUS ENAME ARGUMENT...
expect()
{
	local want=$1 errno=$2 status
	shift 2

	timeout 20 "$tool" "$@" </dev/null >"$tmp/out" 2>"$tmp/err"
	status=$?
	[ $status = "$want" ] || complain "shmux $*: status $status, where $want is due"
	[ "$(wc -l <"$tmp/err")" = 1 ] || complain "shmux $*: one line was expected"
	grep -q "^shmux: cannot .*: .* ($errno)\$" "$tmp/err" ||
		complain "shmux $*: a sentence with $errno was expected"
	[ ! -s "$tmp/out" ] || complain "shmux $*: it wrote to standard output"
}

# helps ARGUMENT...
helps()
{
	timeout 20 "$tool" "$@" >"$tmp/out" 2>"$tmp/err" || complain "shmux $* failed"
	grep -q '^Usage: shmux' "$tmp/out" || complain "shmux $*: no usage was shown"
	[ ! -s "$tmp/err" ] || complain "shmux $*: it complained"
}

long=$(printf 'x%.0s' {1..65})
huge=$(printf 'x%.0s' {1..5000})

# The command itself.
expect 2 EINVAL
expect 2 EINVAL frobnicate
expect 2 EINVAL --frobnicate
expect 2 EINVAL -x
expect 2 EINVAL "$huge"
expect 2 EINVAL help frobnicate
expect 2 EINVAL $'two\nlines'

# Options and operands.
expect 2 EINVAL cat
expect 2 EINVAL cat one two
expect 2 EINVAL cat --frobnicate name
expect 2 EINVAL cat -lx name
expect 2 EINVAL cat --wait=3 name
expect 2 EINVAL cat -l --wait name
expect 2 EINVAL cat --timeout
expect 2 EINVAL cat name --timeout
for seconds in '' abc 1x -1 nan inf 1e300 0x; do
	expect 2 EINVAL cat --timeout "$seconds" name
	expect 2 EINVAL echo --drain "$seconds" name
	expect 2 EINVAL forward --drain "$seconds" name tcp:127.0.0.1:1
done
expect 2 EINVAL echo
expect 2 EINVAL echo one two
expect 2 EINVAL echo --frobnicate name
expect 2 EINVAL forward
expect 2 EINVAL forward one
expect 2 EINVAL forward one two three
expect 2 EINVAL forward --frobnicate one two
expect 2 EINVAL forward --verbose=3 one two
for place in tcp: tcp:host tcp:80 tcp::80 tcp:[::1 tcp:[::1]80 tcp:::1:80 tcp:host: tcp:host:http tcp:host:65536 \
	tcp:host:-1 unix: unix:/ unix:@ unix:name; do
	expect 2 EINVAL forward "$place" name
	expect 2 EINVAL forward name "$place"
done
expect 2 EINVAL ls name
expect 2 EINVAL ls --frobnicate
expect 2 EINVAL show
expect 2 EINVAL show one two
expect 2 EINVAL show --frobnicate name
expect 2 EINVAL stat name
expect 2 EINVAL stat -i
expect 2 EINVAL monitor name
expect 2 EINVAL top name
expect 2 EINVAL top --sort weight
for number in '' 0 -1 1x abc 99999999999999999999; do
	expect 2 EINVAL stat --count "$number"
	expect 2 EINVAL top --count "$number"
	expect 2 EINVAL monitor --count "$number"
done
for seconds in '' 0 0.001 -1 abc; do
	expect 2 EINVAL stat -i "$seconds"
	expect 2 EINVAL top --interval "$seconds"
done
expect 2 EINVAL limit user
expect 2 EINVAL limit user sessions
expect 2 EINVAL limit user sessions 1 2
expect 2 EINVAL limit nobody sessions 1
expect 2 EINVAL limit user nothing 1
expect 2 EINVAL limit --json user sessions 1
for number in '' -1 x 1x 1kk 1Kix i 99999999999999999999 18446744073709551615k; do
	expect 2 EINVAL limit user sessions "$number"
done
expect 2 EINVAL demo name
expect 2 EINVAL demo --frobnicate
expect 2 EINVAL demo --file

# Addresses.
for address in '' / a/b 'a b' ü memfd: memfd:a/b kmod: kmod:/a kmod:memfd:x memfd:memfd:x $'a\nb'; do
	expect 1 EINVAL cat "$address"
	expect 1 EINVAL cat -l "$address"
	expect 1 EINVAL echo "$address"
	expect 1 EINVAL forward "$address" tcp:127.0.0.1:1
done
expect 1 ENAMETOOLONG echo "$long"
expect 1 ENAMETOOLONG cat "$huge"
expect 1 ENAMETOOLONG echo "memfd:/$huge"
expect 1 ENOENT echo "memfd:$tmp/missing/socket"
expect 1 ENOENT cat "memfd:$tmp/missing"
expect 1 ENOTDIR echo "memfd:$tmp/out/socket"
expect 1 ENAMETOOLONG forward "unix:/$huge" name
expect 1 ENOENT forward "unix:$tmp/missing/socket" name
expect 1 EADDRNOTAVAIL forward tcp:192.0.2.1:1 name
expect 1 ECONNREFUSED cat "test-errors-$$"
if [ ! -e /dev/shmux ]; then
	expect 1 ENODEV cat "kmod:test-errors-$$"
	expect 1 ENODEV echo "kmod:test-errors-$$"
fi
if [ "$(id -u)" != 0 ]; then
	expect 1 EACCES echo memfd:/proc/1/socket
fi

expect 1 ENOENT show "test-errors-$$"
expect 1 ENOENT show "kmod:test-errors-$$"
expect 1 ENOENT show 4294967296
expect 1 ENOENT show "$huge"
expect 1 ENOTTY top

# Files.
: >"$tmp/empty"
expect 1 ENOENT demo --file "$tmp/missing"
expect 1 EISDIR demo --file "$tmp"
expect 1 ENODATA demo --file "$tmp/empty"
expect 1 ENODATA demo --file /dev/null
truncate -s 2G "$tmp/sparse"
expect 1 EFBIG demo --file "$tmp/sparse"

# A second listener on a name.
mkfifo "$tmp/ready"
"$tool" echo "test-errors-$$" 2>"$tmp/ready" &
read -r _ <"$tmp/ready"
expect 1 EADDRINUSE echo "test-errors-$$"
expect 1 EADDRINUSE cat -l "memfd:test-errors-$$"
expect 1 EADDRINUSE forward "test-errors-$$" tcp:127.0.0.1:1
kill $!
wait $!

# A full disk does not go unnoticed.
"$tool" --help >/dev/full 2>"$tmp/err" && complain "--help fitted on a full device"
grep -q '^shmux: cannot .* (ENOSPC)$' "$tmp/err" || complain "the full device was not mentioned"

# Help is no error.
helps --help
helps -h
helps help
for command in demo cat echo forward ls show stat top monitor limit bench; do
	helps $command --help
	helps help $command
done
"$tool" --version | grep -q '^shmux [0-9]' || complain "shmux --version tells none"
exit $bad
