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

/* What one case has yielded so far: one figure of each kind a round. */
struct bench_result {
	const struct bench_case *bc;
	const char *absent;		/* why it is not measured here, or NULL */
	unsigned int nr_rounds;
	double p50[BENCH_MAX_ROUNDS];	/* ns; all 0 if one way */
	double p99[BENCH_MAX_ROUNDS];
	double rate[BENCH_MAX_ROUNDS];	/* messages a second */
	uint64_t stalled_bytes;
	bool failed;
};

/* System calls of both ends while neither had to wait. */
struct bench_calls {
	bool known;
	uint64_t nr_calls, nr_messages;
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

	struct bench_calls calls_rtt, calls_oneway, calls_churn;
	struct bench_idle idle;

	double ticks_per_ns;
	int cpus[2];		/* the first two we may use, or -1 */
	struct bench_run *run;	/* one slice at a time */
	bool failed;		/* something could not be measured; it was said */
};

/* Return: 0 or -errno. */
int bench_open(struct bench *b);
void bench_close(struct bench *b);

/* Adds @bc; @absent is NULL, or why it cannot be measured. Return: 0 or -errno. */
int bench_add(struct bench *b, const struct bench_case *bc, const char *absent);

/* Runs all that was added and is not absent, round after round. */
void bench_run_rounds(struct bench *b);

/* Counts the system calls of a busy spell of @bc, whose placement is split. */
void bench_count_calls(struct bench *b, const struct bench_case *bc, struct bench_calls *calls);

/* Watches the ends of @bc for @seconds once they have settled down. */
void bench_watch_idle(struct bench *b, const struct bench_case *bc, double seconds);

/* The median over the rounds of that round's figure; 0 if there is none, or no @r. */
double bench_p50(const struct bench_result *r);
double bench_p99(const struct bench_result *r);
double bench_rate(const struct bench_result *r);

/* The extremes of p50 over the rounds. */
double bench_p50_min(const struct bench_result *r);
double bench_p50_max(const struct bench_result *r);

#endif /* SHMUX_BENCH_MEASURE_H */
