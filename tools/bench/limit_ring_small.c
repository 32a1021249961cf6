// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_ring_small.c - round trip over bare rings of small records
 *
 * A record carries its own commit word, so the consumer watches the very line
 * that it will read. 48 bytes fit in that line; 64 need a second, which is
 * written first. The consumer asks for it while it watches the first, so that
 * both cross together (tried: 335 ns; not asked for 375; a word of its own in
 * each 365; an index in a line of its own 390).
 * The answer says that the record was consumed; no index is published.
 */
#include "case.h"

enum { NR_RECORDS = 64 };

struct line {
	_Alignas(64) _Atomic uint64_t commit;	/* the record's number */
	_Atomic uint64_t tail;			/* of 64 bytes: the last 8 in each line */
	uint64_t payload[6];
};

struct ring {
	_Alignas(256) struct line records[NR_RECORDS][2];
};

static inline void put(struct ring *tx, uint64_t n, const uint64_t *payload, size_t bytes)
{
	struct line *line = tx->records[n % NR_RECORDS];

	if (bytes == 64) {
		atomic_store_explicit(&line[1].tail, payload[7], memory_order_relaxed);
		atomic_store_explicit(&line[0].tail, payload[6], memory_order_relaxed);
	}
	memcpy(line[0].payload, payload, 48);
	atomic_store_explicit(&line[0].commit, n, memory_order_release);
}

static inline void get(struct ring *rx, uint64_t n, uint64_t *payload, size_t bytes)
{
	struct line *line = rx->records[n % NR_RECORDS];

	while (atomic_load_explicit(&line->commit, memory_order_acquire) != n) {
		if (bytes == 64)
			atomic_load_explicit(&line[1].tail, memory_order_relaxed);
		bench_relax();
	}
	memcpy(payload, line[0].payload, 48);
	if (bytes == 64) {
		payload[6] = atomic_load_explicit(&line[0].tail, memory_order_relaxed);
		payload[7] = atomic_load_explicit(&line[1].tail, memory_order_relaxed);
	}
}

static inline __attribute__((always_inline)) void ping(struct bench_run *run, size_t bytes)
{
	struct ring *tx = run->shared, *rx = tx + 1;
	_Alignas(16) uint64_t out[8], in[8];
	uint64_t n = 1;

	bench_start(run);
	do {
		bench_fill(out, bytes, n);
		put(tx, n, out, bytes);
		get(rx, n, in, bytes);
		bench_check(run, in, bytes, ~n++);
	} while (bench_lap(run));
}

static inline __attribute__((always_inline)) void pong(struct bench_run *run, size_t bytes)
{
	struct ring *rx = run->shared, *tx = rx + 1;
	_Alignas(16) uint64_t out[8], in[8];

	for (uint64_t n = 1;; n++) {
		get(rx, n, in, bytes);
		bench_check(run, in, bytes, n);
		bench_fill(out, bytes, ~n);
		put(tx, n, out, bytes);
	}
}

/* The compiler makes a loop for each size. */
static void near(struct bench_run *run)
{
	run->bc->bytes == 48 ? ping(run, 48) : ping(run, 64);
}

static void far(struct bench_run *run)
{
	run->bc->bytes == 48 ? pong(run, 48) : pong(run, 64);
}

const struct bench_case bench_limit_ring_small[] = {
	{ "limit", "ring-rtt", 48, "spin", "copy", 0, "split", NULL, near, far },
	{ "limit", "ring-rtt", 64, "spin", "copy", 0, "split", NULL, near, far },
	{ 0 }
};
