#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: each acquire, release and fence of the library cites a claim of BARRIERS.md, each claim is cited and names tests that exist, and the helpers compile to what it says
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
page=libshmux/BARRIERS.md
bad=0

complain()
{
	echo "$*"
	bad=1
}

claims=$(sed -n 's/^\*\*\[\(B[0-9]*\)\].*/\1/p' $page)
[ "$(wc -w <<<"$claims")" -ge 10 ] || complain "$page has only these claims: $claims"
sources=$(find libshmux -name '*.[ch]' ! -path libshmux/base/barrier.h)

# A citation stands at most eight lines above what it is about, or beside it.
while IFS=: read -r file line; do
	sed -n "$((line > 8 ? line - 8 : 1)),${line}p" "$file" | grep -q '\[B[0-9]*\]' ||
		complain "$file:$line: which claim of $page is this?"
done < <(grep -nE '\<shmux_(fence|load_acquire|store_release)\(|__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST|CONSUME)|__sync_|__atomic_thread_fence' \
	$sources | cut -d: -f1,2)

# Nothing goes around the helpers without saying in which order.
if grep -nE '__atomic_[a-z_]+\(' $sources | grep -vE '__ATOMIC_|,$|__atomic_compare_exchange'; then
	complain "an atomic operation without an order"
fi

# Both sides of a claim cite it.
cited=$(grep -oh '\[B[0-9]*\]' $sources | tr -d '[]')
for claim in $(sort -u <<<"$cited"); do
	grep -qx "$claim" <<<"$claims" || complain "$claim is cited, and is not in $page"
done
for claim in $claims; do
	[ "$(grep -cx "$claim" <<<"$cited")" -ge 2 ] || complain "$claim is in $page, and not cited by both sides"
done

# What it names: functions, litmus tests, planted faults, models.
while IFS= read -r name; do
	case $name in
	*.pml) [ -f "tests/spin/$name" ] || complain "$page: there is no model $name" ;;
	*'()') grep -qw -- "${name%()}" $sources libshmux/include/shmux/*.h ||
		complain "$page: there is no function $name" ;;
	*[!A-Z_]*) ;;
	[A-Z]*) grep -qE "^#if.*\<$name\>" tests/spin/*.pml || [ "$name" = FUTEX_WAITV ] ||
		complain "$page: no model knows the fault $name" ;;
	esac
done < <(grep -o '`[^` ]*`' $page | tr -d '`')
while IFS= read -r name; do
	grep -q "^proctype ${name}_" tests/spin/ring.pml || complain "$page: there is no litmus test $name"
done < <(tr '\n' ' ' <$page | grep -oiE '\<litmus (`[a-z]+`( \([^)]*\))?,? ?)+' | sed 's/([^)]*)//g' | grep -o '`[a-z]*`' | tr -d '`')
for name in $(sed -n 's/^proctype \([a-z]*\)_.*/\1/p' tests/spin/ring.pml | sort -u); do
	grep -q "\`$name\`" $page || complain "$page says nothing of the litmus test $name"
done

# compiles_to TARGET HELPER INSTRUCTION: the helper is there, with that instruction.
compiles_to()
{
	local code

	code=$(printf '#include "base/barrier.h"\n%s\n' "$2" |
		clang --target="$1" -ffreestanding -O2 -Ilibshmux -fno-asynchronous-unwind-tables -S -o - -x c - 2>&1) ||
		{ complain "$code"; return; }
	code=$(sed -n '/^f:/,/^\.Lfunc_end/p' <<<"$code" | tr -s ' \t\n' ' ')
	[[ $code == *" $3"* ]] || complain "$2: no $3 for $1: $code"
}

if clang -print-targets 2>/dev/null | grep -q aarch64; then
	store='void f(uint32_t *p) { shmux_store_release(p, 1); }'
	load='uint32_t f(uint32_t *p) { return shmux_load_acquire(p); }'
	fence='void f(void) { shmux_fence(); }'
	compiles_to x86_64-linux-gnu "$store" 'movl $1, (%rdi) retq'
	compiles_to x86_64-linux-gnu "$load" 'movl (%rdi), %eax retq'
	compiles_to x86_64-linux-gnu "$fence" 'lock addl $0, -4(%rsp)'
	compiles_to aarch64-linux-gnu "$store" 'stlr '
	compiles_to aarch64-linux-gnu "$load" 'ldar '
	compiles_to aarch64-linux-gnu "$fence" 'dmb ish'
fi
exit $bad
