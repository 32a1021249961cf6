/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * steps.h - durations by a clock that goes on in steps
 *
 * Some counters do not count each tick: a processor of 2.6 GHz may tell the time in
 * steps of 10 ns. A duration is then one of two multiples of the step, the more often
 * the one the nearer it is, and its median is a multiple, too: by up to half a step
 * beside the duration's. Those told the same are therefore taken to be spread evenly
 * over a step around what was told, as one does with grouped data.
 */
#ifndef TOOLS_BENCH_STEPS_H
#define TOOLS_BENCH_STEPS_H

#include <stdint.h>

/* The greatest step of which all @nr differences are multiples; 0 if all are 0. */
static inline uint64_t bench_step(const uint64_t *differences, unsigned int nr)
{
	uint64_t step = 0, left, rest;

	for (unsigned int i = 0; i < nr; i++)
		for (left = differences[i]; left; left = rest) {
			rest = step % left;
			step = left;
		}
	return step;
}

/* Sample @i of @nr in order, in ticks. */
static inline double bench_between_steps(const uint32_t *sorted, uint32_t nr, uint32_t i,
					 uint64_t step)
{
	uint32_t first = i, end = i + 1;

	while (first && sorted[first - 1] == sorted[i])
		first--;
	while (end < nr && sorted[end] == sorted[i])
		end++;
	return sorted[i] + step * ((i - first + 0.5) / (end - first) - 0.5);
}

#endif /* TOOLS_BENCH_STEPS_H */
