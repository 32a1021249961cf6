# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the Makefile and that of tests/kmod have in common: the flags, and where
# the kernel's test harness is. Paths begin with $(tree), which ends in / if it is
# not empty.

CFLAGS ?= -O2 -g

# The kernel's test harness is fetched once and kept outside the tree.
XDG_CACHE_HOME ?= $(or $(HOME),/var/tmp)/.cache
KSELFTEST_DIR  ?= $(XDG_CACHE_HOME)/shmux/kselftest

# -D_GNU_SOURCE= (empty) agrees with a source that defines it for itself.
base_flags := -std=gnu11 -Wall -Wextra $(if $(WERROR),-Werror) -pthread -MMD -MP
# What is compared tells the fuzzer little, and costs it a third of its time.
sanitize   := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=all \
	-fno-omit-frame-pointer) \
	$(if $(findstring fuzzer,$(SANITIZE)),-fno-sanitize-coverage=trace-cmp)
public_inc := -I$(tree)libshmux/include -I$(tree)uapi
# The harness's macros leave parameters unused, even in a system header.
test_flags := $(base_flags) -Wno-unused-parameter -D_GNU_SOURCE= $(public_inc) \
	-I$(tree)tests -isystem $(KSELFTEST_DIR)
# What a test leaves behind is looked for when it exits: tests/common/leaks.c.
test_ldflags := -Wl,--wrap=_exit
