#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: gcc -fanalyzer finds nothing wrong in the library, the tools and the examples
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1

# Memory that is stored through a pointer to a pointer counts as lost with gcc 12
# (core/table.c, region/memfd.c); the sanitizers and valgrind look for leaks.
flags="-std=gnu11 -O2 -fanalyzer -Wall -Wextra -Werror -Wno-analyzer-malloc-leak -pthread
	-D_GNU_SOURCE= -Ilibshmux/include -Iuapi -Ilibshmux -Itools $(pkg-config --cflags libnl-genl-3.0) -c -o /dev/null"
files=$(ls libshmux/*/*.c tools/*.c tools/bench/*.c examples/*.c examples/*/*.c) || exit 1
echo "$files" | xargs -P2 -I{} gcc $flags {}
