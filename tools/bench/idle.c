// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * idle.c - what both ends use of the machine while nothing is said
 */
#include "ends.h"
#include "usage.h"

#define SETTLE 0.2		/* seconds before they are watched */

struct sum {
	double cpu, wakeups;
};

static struct sum look(const pid_t pids[BENCH_NR_ENDS])
{
	struct sum sum = { 0 };

	for (int end = 0; end < BENCH_NR_ENDS; end++) {
		sum.cpu += bench_cpu_of(pids[end]);
		sum.wakeups += bench_sleeps_of(pids[end]);
	}
	return sum;
}

static void watch(struct bench *b, const pid_t pids[BENCH_NR_ENDS], double seconds)
{
	struct sum before = look(pids), after;
	double began = bench_now(), took;

	bench_nap(seconds);
	took = bench_now() - began;
	after = look(pids);
	b->idle.wakeups = (after.wakeups - before.wakeups) / took;
	b->idle.cpu = (after.cpu - before.cpu) / took;
	b->idle.known = b->idle.wakeups >= 0 && b->idle.cpu >= 0;
}

void bench_watch_idle(struct bench *b, const struct bench_case *bc, double seconds)
{
	double until = bench_now() + BENCH_PATIENCE;
	struct bench_run *run = b->run;
	pid_t pids[BENCH_NR_ENDS];

	if (bench_ends_start(b, bc, 1, false, pids)) {
		while (!run->settled && bench_now() < until && !run->failure[0])
			bench_nap(0.001);
		if (!run->settled && !run->failure[0])
			bench_ends_give_up(b);
		bench_nap(SETTLE);
		if (!run->failure[0])
			watch(b, pids, seconds);
	}
	if (!bench_ends_stop(b, pids))
		b->idle.known = false;
}
