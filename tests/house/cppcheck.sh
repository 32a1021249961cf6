#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: cppcheck finds nothing wrong in the library, the tools and the examples
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1

command -v cppcheck >/dev/null || { echo "cppcheck is not installed"; exit 1; }
# The one header of the system's whose macros it must know to parse ours.
queue=$(echo '#include <sys/queue.h>' | gcc -M -x c - | tr ' ' '\n' | grep '/sys/queue\.h$')
# It parses, and passes over, what __GNUC__ guards.
cppcheck --quiet -j2 --error-exitcode=1 --std=c11 --library=posix \
	--enable=warning,style,performance,portability \
	--suppressions-list=tests/house/cppcheck.suppressions \
	--template='{file}:{line}: {message} [{id}]' --include="$queue" -D__GNUC__=12 -D_GNU_SOURCE \
	-Ilibshmux/include -Iuapi -Ilibshmux -Itools libshmux tools examples
