/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * measure.h - running cases, and what they have yielded
 */
#ifndef SHMUX_BENCH_MEASURE_H
#define SHMUX_BENCH_MEASURE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "case.h"

enum { BENCH_MAX_ROUNDS = 16 };

/* What a round tells of a case. The costs are a message. */
enum bench_figure {
	BENCH_P50,		/* ns; all NAN if one way */
	BENCH_P99,		/* NAN if there are less than 100 samples */
	BENCH_P999,		/* 1000 */
	BENCH_MAX,
	BENCH_RATE,		/* round trips a second, or messages if one way */
	BENCH_NEAR_CPU,		/* ns */
	BENCH_FAR_CPU,
	BENCH_SLEEPS,		/* of both ends */
	BENCH_KICKS,		/* see struct bench_run; NAN if there are none */
	BENCH_NR_FIGURES,
};

/* System calls of both ends. */
struct bench_calls {
	bool known;
	uint64_t nr_calls, nr_messages;
};

/* What one case has yielded so far. */
struct bench_result {
	const struct bench_case *bc;
	const char *absent;		/* why it is not measured here, or NULL */
	unsigned int nr_rounds;
	double figures[BENCH_NR_FIGURES][BENCH_MAX_ROUNDS];
	uint64_t nr_samples, nr_messages;	/* of all rounds */
	uint64_t stalled_bytes, idle_bytes;	/* of the last round */
	uint64_t peak_bytes;		/* of both ends, where it was most */
	struct bench_calls calls;
	bool failed;
};

/* Both ends together, while nothing is said. */
struct bench_idle {
	bool known;
	double wakeups;		/* a second */
	double cpu;		/* share of one CPU */
};

struct bench {
	struct bench_result *results;
	unsigned int nr_results;
	unsigned int nr_rounds;
	double seconds;		/* for all rounds together; 0: as long as they take */
	double longest;		/* seconds: a longer slice tells nothing new */
	double slice;		/* as planned: seconds of a row that does not need longer */
	double took;		/* seconds, of all rounds */

	struct bench_idle idle;

	double ticks_per_ns;
	uint64_t clock_step;	/* ticks, or 1; see steps.h */
	int cpus[2];		/* the first two we may use, or -1 */
	struct bench_run *run;	/* one slice at a time */
	bool failed;		/* something could not be measured; it was said */
};

/* Return: 0 or -errno. */
int bench_open(struct bench *b);
void bench_close(struct bench *b);

/* Adds @bc; @absent is NULL, or why it cannot be measured. Return: 0 or -errno. */
int bench_add(struct bench *b, const struct bench_case *bc, const char *absent);

/* Once all is added: brings the rows into order, and finds @b->slice. */
void bench_plan(struct bench *b);

/* Runs all that was added and is not absent, round after round. */
void bench_run_rounds(struct bench *b);

/* Counts the system calls of a slice of its own: see calls.c. */
void bench_count_calls(struct bench *b, struct bench_result *r);

/* Watches the ends of @bc for @seconds once they have settled down. */
void bench_watch_idle(struct bench *b, const struct bench_case *bc, double seconds);

/* Messages that @near has received, or sent and received, while it was measured. */
uint64_t bench_nr_messages(const struct bench_run *run);

/* Of the rounds' figures, the one in the middle, the least, the largest; NAN if a round
 * does not tell it, or there is none, or no @r. */
double bench_median(const struct bench_result *r, enum bench_figure figure);
double bench_least(const struct bench_result *r, enum bench_figure figure);
double bench_most(const struct bench_result *r, enum bench_figure figure);

/* System calls a message, of both ends; NAN if not counted. */
double bench_calls(const struct bench_result *r);

#endif /* SHMUX_BENCH_MEASURE_H */
