/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* stray.h - descriptors that a test sends along, as a hostile peer does */
#ifndef TESTS_STRAY_H
#define TESTS_STRAY_H

#include <stdbool.h>
#include <stddef.h>

/* Can a Unix socket have its kernel refuse them to who sends them? From Linux 6.16 on. */
bool stray_can_be_forbidden(void);

/* Send @nr bytes with @fd, which stays open. Return: 0 or a negative errno. */
int stray_send(int socket, const void *bytes, size_t nr, int fd, int flags);

/*
 * A TCP socket whose last close waits so many seconds for @listening, the caller's to
 * close, to be read from. Return: a descriptor, or -1.
 */
int stray_lingering(int seconds, int *listening);

#endif /* TESTS_STRAY_H */
