// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_cacheline.c - two cache lines, one each way: what the machine can do
 *
 * Each end writes a word in its own line and watches the other's. No payload.
 * Watched in the quickest way that we know: 105 ns, 130 without a pause, 168 with
 * an lfence in its place (AMD).
 */
#include "case.h"

struct line {
	_Alignas(256) _Atomic uint32_t word;
};

static void near(struct bench_run *run)
{
	struct line *tx = run->shared, *rx = tx + 1;
	uint32_t n = 0;

	bench_start(run);
	do {
		atomic_store_explicit(&tx->word, ++n, memory_order_release);
		while (atomic_load_explicit(&rx->word, memory_order_acquire) != n)
			bench_relax();
	} while (bench_lap(run));
}

static void far(struct bench_run *run)
{
	struct line *rx = run->shared, *tx = rx + 1;

	for (uint32_t n = 1;; n++) {
		while (atomic_load_explicit(&rx->word, memory_order_acquire) != n)
			bench_relax();
		atomic_store_explicit(&tx->word, n, memory_order_release);
	}
}

const struct bench_case bench_limit_cacheline[] = {
	{ "limit", "cacheline", 0, "spin", NULL, 0, "split", NULL, near, far },
	{ 0 }
};
