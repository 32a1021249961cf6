// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_ring_copy.c - round trip over bare rings, with a copy in and a copy out
 *
 * The index lies in a line of its own. 64 KiB are also sent in four fragments,
 * each published as soon as it is in, so that one end copies out while the other
 * still copies in (that row has batch 4). The answer says that the message was
 * consumed; no index comes back. Two messages or more must fit in the ring
 * (tried: 18 us; in place of one another 24 us).
 */
#include "case.h"

enum { RING_SIZE = 256 << 10 };

struct ring {
	_Alignas(4096) _Atomic uint64_t index;	/* fragments published */
	_Alignas(4096) uint8_t bytes[RING_SIZE];
};

static _Alignas(4096) uint8_t out[65536], in[65536];

static inline void put(struct ring *tx, uint64_t n, size_t bytes, unsigned int nr)
{
	uint8_t *to = tx->bytes + n * bytes % RING_SIZE;
	size_t part = bytes / nr;

	for (unsigned int i = 0; i < nr; i++) {
		memcpy(to + i * part, out + i * part, part);
		atomic_store_explicit(&tx->index, n * nr + i + 1, memory_order_release);
	}
}

static inline void get(struct ring *rx, uint64_t n, size_t bytes, unsigned int nr)
{
	const uint8_t *from = rx->bytes + n * bytes % RING_SIZE;
	size_t part = bytes / nr;

	for (unsigned int i = 0; i < nr; i++) {
		while (atomic_load_explicit(&rx->index, memory_order_acquire) <= n * nr + i)
			;
		memcpy(in + i * part, from + i * part, part);
	}
}

static void near(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	unsigned int nr = run->bc->batch ? run->bc->batch : 1;
	struct ring *tx = run->shared, *rx = tx + 1;
	uint64_t n = 0;

	bench_start(run);
	do {
		bench_fill(out, bytes, n);
		put(tx, n, bytes, nr);
		get(rx, n, bytes, nr);
		bench_check(run, in, bytes, ~n++);
	} while (bench_lap(run));
}

static void far(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	unsigned int nr = run->bc->batch ? run->bc->batch : 1;
	struct ring *rx = run->shared, *tx = rx + 1;

	for (uint64_t n = 0;; n++) {
		get(rx, n, bytes, nr);
		bench_check(run, in, bytes, n);
		bench_fill(out, bytes, ~n);
		put(tx, n, bytes, nr);
	}
}

const struct bench_case bench_limit_ring_copy[] = {
	{ "limit", "ring-rtt", 4096, "spin", "copy", 0, "split", NULL, near, far },
	{ "limit", "ring-rtt", 65536, "spin", "copy", 0, "split", NULL, near, far },
	{ "limit", "ring-rtt", 65536, "spin", "copy", 4, "split", NULL, near, far },
	{ 0 }
};
