/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * fail.h - how a test talks to the fault injector that was loaded before libc
 *
 * The injector stands before the functions of libc that the library calls. A
 * plan says which call of one thread is to fail and how; calls count, and fail,
 * only between on() and off(), so that the test's own calls do neither. Other
 * threads and processes are never touched.
 */
#ifndef TESTS_PRELOAD_FAIL_H
#define TESTS_PRELOAD_FAIL_H

#include <stdbool.h>

enum fail_mode {
	FAIL_NEVER, /* only count */
	FAIL_ONCE, /* the n-th call of all, or of @function */
	FAIL_FROM, /* of the calls that can fail in one way the n-th, and all after it */
};

struct fail_plan {
	enum fail_mode mode;
	long n; /* counted from 1 */
	unsigned int which; /* FAIL_ONCE: which of the errors that call can meet */
	const char *function; /* FAIL_ONCE: NULL, or the one whose calls count */
	int error; /* FAIL_FROM: the way */
};

struct fail_report {
	long calls; /* that the plan counts */
	long failed; /* of them */
	const char *function; /* that failed first */
	int error; /* with this */
};

/* What the process has, as the functions in between have seen it. */
struct fail_holdings {
	long heap; /* pieces of memory allocated */
	long mapped; /* bytes mapped */
};

struct fail_control {
	void (*plan)(const struct fail_plan *plan);
	void (*on)(void);
	void (*off)(void);
	struct fail_report (*report)(void);
	struct fail_holdings (*holdings)(void);

	/* Whether @function is stood before; how often it has failed, here. */
	bool (*knows)(const char *function);
	long (*nr_failed)(const char *function);
	/* The names, one by one; NULL after the last. */
	const char *(*name)(int i);
};

/* Found by dlsym(), so that a program runs without the injector too. */
const struct fail_control *fail_control(void);

#endif /* TESTS_PRELOAD_FAIL_H */
