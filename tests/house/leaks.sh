#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: a test that leaves a descriptor or a mapped region behind fails
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT
build=${BUILD:-build}
harness=${KSELFTEST_DIR:-${XDG_CACHE_HOME:-${HOME:-/var/tmp}/.cache}/shmux/kselftest}
bad=0

cat >"$tmp/leaky.c" <<'END'
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "kselftest_harness.h"

static int memfd(void)
{
	int fd = memfd_create("shmux", MFD_CLOEXEC);

	return fd < 0 || ftruncate(fd, 4096) ? -1 : fd;
}

TEST(leaves_nothing)
{
	int fd = memfd();
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	ASSERT_NE(MAP_FAILED, p);
	munmap(p, 4096);
	close(fd);
}

TEST(leaves_a_descriptor)
{
	ASSERT_LE(0, dup(1));
}

TEST(leaves_a_mapping)
{
	int fd = memfd();

	ASSERT_NE(MAP_FAILED, mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0));
	close(fd);
}

TEST(has_a_child_that_leaves_a_descriptor)
{
	pid_t child = fork();
	int status;

	if (!child)
		_exit(dup(1) < 0);
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
}

TEST_HARNESS_MAIN
END
gcc -std=gnu11 -D_GNU_SOURCE= -isystem "$harness" -Wl,--wrap=_exit -pthread -o "$tmp/leaky" \
	"$tmp/leaky.c" "$build/obj/tests/common/leaks.o" || exit 1
"$tmp/leaky" >"$tmp/out" 2>&1 && { echo "the program that leaks passes"; bad=1; }

# want LINE: it is in what the program says.
want()
{
	grep -qE "$1" "$tmp/out" && return
	echo "it does not say '$1'"
	bad=1
}
want '^ok 1 .*leaves_nothing'
want '^not ok 2 .*leaves_a_descriptor'
want '^# leak: descriptor [0-9]+ is left open'
want '^not ok 3 .*leaves_a_mapping'
want '^# leak: still mapped: .*memfd:shmux'
want '^ok 4 .*has_a_child'
[ $bad -eq 0 ] || cat "$tmp/out"
exit $bad
