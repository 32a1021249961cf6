// SPDX-License-Identifier: LGPL-2.1-or-later
/* steps.c - tests of what the benchmark makes of a clock that goes on in steps */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "harness.h"

#include "../../tools/bench/steps.h"

enum { NR = 100001 };

static uint32_t samples[NR];

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* What a clock of this step, but for a tick, tells of @duration, whenever it begins. */
static void tell(double duration, unsigned int step)
{
	for (uint32_t i = 0; i < NR; i++) {
		double from = (double)i * step * 7 / NR;

		samples[i] = (uint32_t)((from + duration) / step) * step -
			     (uint32_t)(from / step) * step + i % 3 - 1;
	}
	qsort(samples, NR, sizeof(*samples), compare);
}

TEST(median_is_the_duration_though_the_clock_tells_multiples)
{
	for (double duration = 200; duration < 300; duration += 1.7) {
		tell(duration, 26);
		EXPECT_LE(fabs(bench_between_steps(samples, NR, NR / 2, 26) - duration), 13 / 4.0)
		{
			TH_LOG("%f is told as %f", duration,
			       bench_between_steps(samples, NR, NR / 2, 26));
		}
	}
}

TEST(clock_that_counts_each_tick_is_believed)
{
	for (uint32_t i = 0; i < NR; i++)
		samples[i] = i / 3;
	for (uint32_t i = 0; i < NR; i += 1000)
		EXPECT_LE(fabs(bench_between_steps(samples, NR, i, 1) - samples[i]), 0.5);
}

TEST(step_is_what_all_differences_are_multiples_of)
{
	const uint64_t stepping[] = { 52, 26, 0, 79, 25, 1, 131 }, counting[] = { 52, 27, 30 };

	EXPECT_EQ(26, bench_step(stepping, 7));
	EXPECT_EQ(1, bench_step(counting, 3));
}

TEST_HARNESS_MAIN
