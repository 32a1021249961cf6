// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * measure.c - runs cases
 *
 * Owns the clock and the figures; knows nothing of what is measured. The cases
 * run one after the other, a slice each, round after round, so that whatever the
 * machine does meanwhile happens to all of them; those that will be compared run
 * next to each other. A figure is the median over the rounds of that round's.
 */
#define _GNU_SOURCE
#include "measure.h"

#include <errno.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ends.h"
#include "steps.h"

#define SLICE_MIN 0.03		/* seconds; rather fewer rounds than shorter slices */
#define SLICE_COST 0.005	/* of the processes' coming and going, at first */
#define ENOUGH_ROUNDS 3		/* for a median, where time has run out */

/* --- figures -------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/*
 * Of the @nr figures in order, the one at @share of the way from first to last; NAN if
 * one is: p99.9 of some rounds would stand beside p99 of all.
 */
static double quantile(const double *figures, unsigned int nr, double share)
{
	double sorted[BENCH_MAX_ROUNDS];

	for (unsigned int i = 0; i < nr; i++)
		if (isnan(figures[i]))
			return NAN;
	if (!nr)
		return NAN;
	memcpy(sorted, figures, nr * sizeof(*sorted));
	qsort(sorted, nr, sizeof(*sorted), compare_doubles);
	return sorted[(unsigned int)((nr - 1) * share)];
}

double bench_median(const struct bench_result *r, enum bench_figure figure)
{
	return r ? quantile(r->figures[figure], r->nr_rounds, 0.5) : NAN;
}

double bench_least(const struct bench_result *r, enum bench_figure figure)
{
	return r ? quantile(r->figures[figure], r->nr_rounds, 0) : NAN;
}

double bench_most(const struct bench_result *r, enum bench_figure figure)
{
	return r ? quantile(r->figures[figure], r->nr_rounds, 1) : NAN;
}

uint64_t bench_nr_messages(const struct bench_run *run)
{
	return run->nr_samples ? 2ull * run->nr_samples * run->per_sample : run->nr_messages;
}

double bench_calls(const struct bench_result *r)
{
	return r->calls.known ? (double)r->calls.nr_calls / r->calls.nr_messages : NAN;
}

static int compare_ticks(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* In ns, sample @i of those in order. */
static double sample(const struct bench *b, uint32_t i)
{
	const struct bench_run *run = b->run;

	/* Of several round trips it is a share of what the clock told. */
	return bench_between_steps(run->samples, run->nr_samples, i,
				   run->per_sample > 1 ? 1 : b->clock_step) *
	       run->per_sample / b->ticks_per_ns;
}

/* The one at @share; NAN where there are too few of them to tell. */
static double sample_at(const struct bench *b, double share)
{
	uint32_t nr = b->run->nr_samples;

	return nr * (1 - share) >= 1 ? sample(b, nr * share) : NAN;
}

static void set(struct bench_result *r, enum bench_figure figure, double value)
{
	r->figures[figure][r->nr_rounds] = value;
}

static void keep_times(struct bench *b, struct bench_result *r)
{
	struct bench_run *run = b->run;
	uint32_t nr = run->nr_samples;
	double sum = 0;

	for (uint32_t i = 0; i < nr; i++)
		sum += run->samples[i];
	qsort(run->samples, nr, sizeof(*run->samples), compare_ticks);
	set(r, BENCH_P50, sample(b, nr / 2));
	set(r, BENCH_P99, sample_at(b, 0.99));
	set(r, BENCH_P999, sample_at(b, 0.999));
	set(r, BENCH_MAX, run->samples[nr - 1] * (double)run->per_sample / b->ticks_per_ns);
	set(r, BENCH_RATE, nr * b->ticks_per_ns * 1e9 / sum);
	r->nr_samples += nr;
}

static void keep_costs(const struct bench_run *run, struct bench_result *r)
{
	const struct bench_usage *from = &run->before, *until = &run->after;
	double nr = run->ended ? bench_nr_messages(run) : NAN;

	set(r, BENCH_NEAR_CPU, (until->cpu[BENCH_NEAR] - from->cpu[BENCH_NEAR]) * 1e9 / nr);
	set(r, BENCH_FAR_CPU, (until->cpu[BENCH_FAR] - from->cpu[BENCH_FAR]) * 1e9 / nr);
	set(r, BENCH_SLEEPS, (until->sleeps - from->sleeps) / nr);
	set(r, BENCH_KICKS, (until->kicks - from->kicks) / nr);
}

/* Takes the slice's figures from its run. */
static void keep(struct bench *b, struct bench_result *r)
{
	struct bench_run *run = b->run;

	if (!run->nr_samples && !run->nr_messages) {
		strcpy(run->failure, "nothing arrived");
		return;
	}
	for (int figure = 0; figure < BENCH_NR_FIGURES; figure++)
		set(r, figure, NAN);
	if (run->nr_samples)
		keep_times(b, r);
	else
		set(r, BENCH_RATE, run->nr_messages * b->ticks_per_ns * 1e9 /
				   (run->last - run->from));
	keep_costs(run, r);
	r->nr_messages += bench_nr_messages(run);
	r->stalled_bytes = run->stalled_bytes;
	r->idle_bytes = run->idle_bytes;
	if (r->peak_bytes < run->peak_bytes)
		r->peak_bytes = run->peak_bytes;
	r->nr_rounds++;
}

static bool measure(struct bench *b, struct bench_result *r, double seconds)
{
	double give_up = bench_now() + seconds + BENCH_PATIENCE;
	struct bench_run *run = b->run;
	pid_t pids[BENCH_NR_ENDS];

	if (bench_ends_start(b, r->bc, seconds, false, pids)) {
		while (!bench_ends_gone(b, pids, BENCH_NEAR) && !run->failure[0]) {
			if (pids[BENCH_FAR] > 0)
				bench_ends_gone(b, pids, BENCH_FAR);
			if (bench_now() > give_up)
				bench_ends_give_up(b);
			bench_nap(0.001);
		}
		if (!run->failure[0])
			keep(b, r);
	}
	return bench_ends_stop(b, pids);
}

/* --- rounds --------------------------------------------------------------- */

int bench_add(struct bench *b, const struct bench_case *bc, const char *absent)
{
	struct bench_result *results;

	results = reallocarray(b->results, b->nr_results + 1, sizeof(*results));
	if (!results)
		return -ENOMEM;
	b->results = results;
	if (!absent && !strcmp(bc->placement, "split") && b->cpus[1] < 0)
		absent = "two CPUs are wanted, and we may use only one";
	results[b->nr_results++] = (struct bench_result){ .bc = bc, .absent = absent };
	return 0;
}

static bool is_oneway(const struct bench_case *bc)
{
	return strstr(bc->test, "oneway") || !strcmp(bc->test, "copy-stream");
}

/* What will be compared comes together: same kind, same CPUs, about as long. */
static int compare_kinds(const void *a, const void *b)
{
	const struct bench_case *x = ((const struct bench_result *)a)->bc;
	const struct bench_case *y = ((const struct bench_result *)b)->bc;
	int by;

	by = is_oneway(x) - is_oneway(y);
	if (!by)
		by = strcmp(y->placement, x->placement);
	if (!by)
		by = (int)(x->bytes > 64 ? x->bytes : 0) - (int)(y->bytes > 64 ? y->bytes : 0);
	if (!by)
		by = strcmp(y->wait, x->wait);
	if (!by)
		by = strcmp(x->system, y->system);
	return by ? by : (x > y) - (x < y);
}

static bool is_measured(const struct bench_result *r)
{
	return !r->absent && !r->failed;
}

static double longer(double x, double y)
{
	return x > y ? x : y;
}

/* How long each slice of a round may be: what those leave that need longer. */
static double share_out(const struct bench *b, double seconds, double cost)
{
	double slice = b->longest, before, left;
	unsigned int nr;

	do {
		before = slice;
		left = seconds;
		nr = 0;
		for (unsigned int i = 0; i < b->nr_results; i++) {
			const struct bench_result *r = &b->results[i];

			if (!is_measured(r))
				continue;
			left -= cost;
			if (r->bc->slice > slice)
				left -= r->bc->slice;
			else
				nr++;
		}
		if (nr && left / nr < slice)
			slice = longer(left / nr, SLICE_MIN);
	} while (slice < before);
	return slice;
}

/* Return: what a slice has cost beside its own time. */
static double run_round(struct bench *b, double slice)
{
	double began = bench_now(), seconds = 0;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < b->nr_results; i++) {
		struct bench_result *r = &b->results[i];

		if (!is_measured(r))
			continue;
		r->failed = !measure(b, r, longer(slice, r->bc->slice));
		seconds += longer(slice, r->bc->slice);
		nr++;
	}
	return nr ? longer((bench_now() - began - seconds) / nr, 0) : 0;
}

void bench_plan(struct bench *b)
{
	qsort(b->results, b->nr_results, sizeof(*b->results), compare_kinds);
	b->slice = b->seconds ? share_out(b, b->seconds / b->nr_rounds, SLICE_COST) :
				b->longest;
}

void bench_run_rounds(struct bench *b)
{
	double began = bench_now(), slice = b->slice, cost = SLICE_COST, left;
	bool tell = isatty(STDERR_FILENO);

	for (unsigned int round = 0; round < b->nr_rounds; round++) {
		left = began + b->seconds - bench_now();
		if (b->seconds && left <= 0 && round >= ENOUGH_ROUNDS)
			break;
		if (b->seconds)
			slice = share_out(b, left / (b->nr_rounds - round), cost);
		if (tell)
			fprintf(stderr, "\rround %u of %u ", round + 1, b->nr_rounds);
		cost = run_round(b, slice);
	}
	b->took = bench_now() - began;
	if (tell)
		fputs("\r                    \r", stderr);
}

/* --- setting up ----------------------------------------------------------- */

static void find_cpus(struct bench *b)
{
	cpu_set_t set;
	int nr = 0;

	b->cpus[0] = b->cpus[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			b->cpus[nr++] = cpu;
}

/* The median of a few tries: one that is preempted half way tells nothing. */
static void calibrate(struct bench *b)
{
	double tries[5];

	for (int i = 0; i < 5; i++) {
		uint64_t ticks = bench_ticks();
		double from = bench_now(), to;

		do
			to = bench_now();
		while (to - from < 0.005);
		tries[i] = (bench_ticks() - ticks) / ((to - from) * 1e9);
	}
	b->ticks_per_ns = quantile(tries, 5, 0.5);
}

static void find_step(struct bench *b)
{
	uint64_t differences[1000], before = bench_ticks(), now;
	volatile unsigned int left;

	for (unsigned int i = 0; i < 1000; i++) {
		/* For as long as any message takes. */
		for (left = i % 97; left; left--)
			;
		now = bench_ticks();
		differences[i] = now - before;
		before = now;
	}
	b->clock_step = bench_step(differences, 1000);
}

static void *map_shared(size_t size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);
}

int bench_open(struct bench *b)
{
	void *run, *shared, *samples;

	run = map_shared(sizeof(*b->run), 0);
	shared = map_shared(BENCH_SHARED, 0);
	samples = map_shared(BENCH_MAX_SAMPLES * sizeof(*b->run->samples), MAP_POPULATE);
	if (run == MAP_FAILED || shared == MAP_FAILED || samples == MAP_FAILED)
		return -errno;
	b->run = run;
	b->run->shared = shared;
	b->run->samples = samples;
	find_cpus(b);
	calibrate(b);
	find_step(b);
	return 0;
}

void bench_close(struct bench *b)
{
	munmap(b->run->samples, BENCH_MAX_SAMPLES * sizeof(*b->run->samples));
	munmap(b->run->shared, BENCH_SHARED);
	munmap(b->run, sizeof(*b->run));
	free(b->results);
}
