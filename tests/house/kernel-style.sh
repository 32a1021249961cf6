#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: W=1, sparse, checkpatch, coccinelle and kernel-doc find nothing wrong in the kernel module
#
# The kernel's own tools, out of Debian's linux-source, over kmod/ and uapi/. Each
# is shown planted.c as well, and must find what is wrong with it: a tool that
# stumbles over its input, or is given none, is as silent as one that is content.
#
# The module is built against the headers of the kernels in KERNELS (6.1 6.12).
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
[ "$(uname -m)" = x86_64 ] || { echo "the headers of Debian's kernels bring tools for amd64 alone"; exit 4; }
tools=${KSELFTEST_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/shmux/kselftest}
tests/kselftest.sh "$tools" || exit 1
tools=$(realpath "$tools/scripts")
unset MAKEFLAGS MAKELEVEL MFLAGS CC CFLAGS CPPFLAGS LDFLAGS LDLIBS V
export LC_ALL=C
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
bad=0

for tool in sparse spatch perl; do
	command -v $tool >/dev/null || { echo "$tool is not installed"; exit 1; }
done

kernels=()
for series in ${KERNELS:-6.1 6.12}; do
	tests/vm/kernel "$series" >"$tmp/kernel" || { cat "$tmp/kernel"; exit 1; }
	kernels+=("$(tail -n 1 "$tmp/kernel")")
done

# The tree as the kernel has it: what is for user space as well is in include/uapi.
tree=$tmp/tree
mkdir -p "$tree/include/uapi" "$tree/planted" || exit 1
cp -r kmod "$tree/" && cp -r uapi/linux "$tree/include/uapi/" || exit 1
ln -s include/uapi "$tree/uapi"
echo 'obj-m += kmod/ planted/' >"$tree/Kbuild"
echo 'obj-m += planted.o' >"$tree/planted/Kbuild"
cat >"$tree/planted/planted.c" <<'END'
// SPDX-License-Identifier: GPL-2.0-only
#include <linux/module.h>
#include <linux/slab.h>

struct planted {
	char __user *theirs;
	int ours[8];
};

/**
 * planted_new() - what each tool has something to say of
 */
struct planted *planted_new(const char __user *theirs)
{
	struct planted *p = kzalloc(sizeof(p), GFP_KERNEL);

	if(p)
		p->ours[0] = *theirs;
	kfree(p);
	return p;
}

MODULE_LICENSE("GPL");
END
cd "$tree" || exit 1

# judge TOOL FINDINGS PATTERN...: FINDINGS, a file with a finding a line, shall say
# each PATTERN of planted.c, and nothing of any other file.
judge()
{
	local tool=$1 findings=$2 pattern
	shift 2

	for pattern; do
		grep -q "planted\.c.*$pattern" "$findings" && continue
		echo "$tool does not see what is wrong in planted.c: $pattern"
		bad=1
	done
	if grep -v '^planted/' "$findings" >"$tmp/rest"; then
		echo "$tool says:"
		head -n 50 "$tmp/rest"
		bad=1
	fi
}

# That the compiler is a little older or newer than the kernel's is no finding.
for kernel in "${kernels[@]}"; do
	rm -rf "$tmp/build"
	cp -r "$tree" "$tmp/build" || exit 1
	make -C "$kernel/build" M="$tmp/build" W=1 C=2 modules >"$tmp/make.out" 2>"$tmp/make.err" || {
		tail -n 50 "$tmp/make.out" "$tmp/make.err"
		echo "the module does not build for Linux $(cat "$kernel/release")"
		bad=1
	}
	grep -E '(warning|error):' "$tmp/make.err" | grep -v '^warning: the compiler differs' |
		sed "s|^$tmp/build/||" >"$tmp/compiler"
	judge "make W=1 C=2 for $(cat "$kernel/release")" "$tmp/compiler" \
		'no previous prototype' 'dereference of noderef expression'
done

# checkpatch FILES...: what it says with all types of --strict, but where a file is there
# for what is frowned upon elsewhere:
#   compat.h is for many kernels, and the only one to ask for a version
#   timeout.h waits, which is to look at an argument again
checkpatch()
{
	local file ignore

	for file; do
		case $file in
		kmod/compat.h) ignore=LINUX_VERSION_CODE,CONSTANT_COMPARISON ;;
		kmod/timeout.h) ignore=MACRO_ARG_REUSE ;;
		# Laid out like every header of tracepoints in the kernel.
		kmod/trace.h) ignore=OPEN_ENDED_LINE,PARENTHESIS_ALIGNMENT ;;
		*) ignore=none ;;
		esac
		perl "$tools/checkpatch.pl" --no-tree --strict --terse --no-summary --show-types \
			--ignore "$ignore" -f "$file" 2>&1
	done
}
checkpatch $(find include kmod planted -name '*.[ch]') >"$tmp/checkpatch"
judge checkpatch "$tmp/checkpatch" 'SPACING'

find include kmod planted -name '*.[ch]' -print0 |
	xargs -0 perl "$tools/kernel-doc" -none >"$tmp/kernel-doc" 2>&1
judge kernel-doc "$tmp/kernel-doc" "'theirs' not described"

# The scripts look at a file as far as it parses, and say nothing of the rest. What is no
# C by itself may only be the definition of a macro.
while IFS= read -r file; do
	[ "$file" = kmod/trace.h ] && continue	# the definition of macros, from end to end
	# Of a variable of each CPU's it does not see the definition; there is nothing to see.
	spatch --parse-c "$file" 2>&1 |
		grep -v '^bad: \(DEFINE_PER_CPU.*\|#include.*\)*$' >"$tmp/parsed"
	grep -q 'nb bad' "$tmp/parsed" || { echo "spatch has not looked at $file"; bad=1; }
	grep -q '^bad:\|^BAD:' "$tmp/parsed" || continue
	grep -q 'nb bad = 0 ' "$tmp/parsed" && continue
	grep -v TRACE_INCLUDE_PATH "$tmp/parsed" | grep '^BAD:' >"$tmp/bad" && ! grep -qv '\\$' "$tmp/bad" && continue
	echo "$file: spatch does not understand all of it"
	grep -A6 '^bad:\|^BAD' "$tmp/parsed" | head -n 50
	bad=1
done < <(find kmod planted -name '*.[ch]')

# In report mode, each with the options that it asks for. Left out are two that need a
# compiler of OCaml: one looks at the tables of a driver, the other for 0 where NULL
# is meant, which sparse finds.
cocci()
{
	local script=$1 options

	options=$(sed -n 's|^// Options:||p' "$script")
	spatch -D report --very-quiet --no-show-diff $options --cocci-file "$script" --dir . \
		>"$2/out.$$" 2>"$2/err.$$" || {
		echo "$script: spatch left with status $?"
		cat "$2/err.$$"
	}
	sed -n 's|^\./||; /:/p' "$2/out.$$"
}
export -f cocci
mkdir "$tmp/cocci"
find "$tools/coccinelle" -name '*.cocci' ! -name check_bq27xxx_data.cocci ! -name badzero.cocci -print0 | sort -z |
	xargs -0 -P2 -I{} bash -c 'cocci "$1" "$2"' cocci {} "$tmp/cocci" >"$tmp/reports"
judge coccinelle "$tmp/reports" 'application of sizeof to pointer' 'preceded by free'

exit $bad
