/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * over.h - which kind of region the tests run over
 *
 * SHMUX_TEST_OVER=kmod in the environment has every session that a test makes by
 * these run over /dev/shmux, which must be there; else they run over memfd.
 */
#ifndef TESTS_OVER_H
#define TESTS_OVER_H

#include <stdbool.h>

#include "process.h"

bool over_kmod(void);

/*
 * What is to be attached by both sides: a socket pair of @type, or two ends of
 * the device's. Close-on-exec. Return: 0 or -errno.
 */
int over_pair(int type, int fds[2]);

/* "kmod:" or "memfd:". */
const char *over_scheme(void);

/* As name_make(), insisting on the kind. */
void over_name(char name[NAME_SIZE]);

/* @address without its scheme, if it has one. */
const char *over_plain(const char *address);

/* To be said in a SKIP of what is about sockets and memfds alone. */
#define OVER_SOCKETS "it is about sockets, and runs over memfd"

#endif /* TESTS_OVER_H */
