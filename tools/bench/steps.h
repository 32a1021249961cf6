/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * steps.h - durations by a clock that goes on in steps
 *
 * Some counters do not count each tick: a processor of 2.6 GHz may tell the time in
 * steps of 10 ns, a tick more or less. A duration is then one of two multiples of the
 * step, the more often the one the nearer it is, and its median is a multiple, too: by
 * up to half a step beside the duration's. Those that are told the same are therefore
 * taken to be spread evenly over the step around it, as one does with grouped data.
 */
#ifndef TOOLS_BENCH_STEPS_H
#define TOOLS_BENCH_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_STEP_LEAST 8	/* ticks; what is less is not told from no step */
#define BENCH_STEP_MOST 500

static inline bool bench_goes_in(const uint64_t *differences, unsigned int nr, uint64_t step)
{
	for (unsigned int i = 0; i < nr; i++)
		/* Who was interrupted meanwhile may have met a step that is not a whole one. */
		if (differences[i] <= BENCH_STEP_MOST && (differences[i] + 1) % step > 2)
			return false;
	return true;
}

/*
 * The greatest step of which all @nr differences are multiples, but for a tick; or 1. They
 * are to be of different durations, not all shorter than a step.
 */
static inline uint64_t bench_step(const uint64_t *differences, unsigned int nr)
{
	for (uint64_t step = BENCH_STEP_MOST; step >= BENCH_STEP_LEAST; step--)
		if (bench_goes_in(differences, nr, step))
			return step;
	return 1;
}

/* Which step, the nearest. */
static inline uint64_t bench_nth_step(uint64_t ticks, uint64_t step)
{
	return (ticks + step / 2) / step;
}

/* Sample @i of @nr in order, in ticks. */
static inline double bench_between_steps(const uint32_t *sorted, uint32_t nr, uint32_t i,
					 uint64_t step)
{
	uint64_t nth = bench_nth_step(sorted[i], step);
	uint32_t first = i, end = i + 1;

	while (first && bench_nth_step(sorted[first - 1], step) == nth)
		first--;
	while (end < nr && bench_nth_step(sorted[end], step) == nth)
		end++;
	return nth * step + step * ((i - first + 0.5) / (end - first) - 0.5);
}

#endif /* TOOLS_BENCH_STEPS_H */
