/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_SAY_H
#define SHMUX_TOOLS_SAY_H

struct shmux_stream;

/* Exit codes of every subcommand. */
enum {
	SAY_DONE = 0,
	SAY_FAILED = 1,
	SAY_USAGE = 2,
};

/*
 * "shmux: cannot WHAT: REASON (ENAME)" on standard error. @error is an errno
 * or its negative; @reason NULL means the system's own words for it.
 * Return: SAY_FAILED.
 */
int say_cannot(int error, const char *reason, const char *what, ...)
	__attribute__((format(printf, 3, 4)));

/* The same for a bad command line: it ends with where to read on. */
int say_usage(const char *command, const char *reason, const char *what, ...)
	__attribute__((format(printf, 3, 4)));

/*
 * What is behind an error of a call on @st, where we know better than strerror;
 * else NULL.
 */
const char *say_stream_reason(struct shmux_stream *st, int error);

/* Likewise for an error of a dial or a listen. */
const char *say_address_reason(int error);

#endif /* SHMUX_TOOLS_SAY_H */
