/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* terminals.h - two terminals, of which each shows what is typed at the other */
#ifndef TESTS_TERMINALS_H
#define TESTS_TERMINALS_H

#include <sys/types.h>

/*
 * Make two, in raw mode, and a child that holds their masters and carries bytes
 * between them until one is closed by all who have it; then the other is hung up,
 * and what has not been read there is lost, as terminals have it. Close-on-exec.
 * Return: the child, or -errno.
 */
pid_t terminals_open(int fds[2]);

#endif /* TESTS_TERMINALS_H */
