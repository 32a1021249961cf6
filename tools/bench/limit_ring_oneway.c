// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_ring_oneway.c - a bare ring one way, published by an index
 *
 * Slots of 64 bytes of payload; the index, in a line of its own, is published
 * after 1, 8 or 64 of them. As many slots as shmux's ring has by default. The
 * consumer publishes its index every quarter of the ring, and each end remembers
 * what it last saw of the other's.
 *
 * Publication is a sequentially consistent store, which is what a ring needs
 * whose consumer may be asleep: having published, the producer must be able to
 * look whether to wake it. One that never sleeps can do without; that limit is
 * limit_record.c, and this ring without the fence reaches 20 to 130 M/s at batch
 * 1, by chance of whether the consumer keeps up.
 */
#include "case.h"

enum { NR_SLOTS = 2048 };

struct ring {
	_Alignas(256) _Atomic uint32_t producer;
	_Alignas(256) _Atomic uint32_t consumer;
	_Alignas(4096) uint64_t slots[NR_SLOTS][8];
};

static inline void produce(struct bench_run *run, uint32_t batch)
{
	struct ring *ring = run->shared;
	_Alignas(16) uint64_t out[8];
	uint32_t n = 0, seen = 0;

	for (;;) {
		while (n + batch - seen > NR_SLOTS)
			seen = atomic_load_explicit(&ring->consumer, memory_order_acquire);
		for (uint32_t i = 0; i < batch; i++, n++) {
			bench_fill(out, 64, n);
			memcpy(ring->slots[n % NR_SLOTS], out, 64);
		}
		atomic_store_explicit(&ring->producer, n, memory_order_seq_cst);
	}
}

static void near(struct bench_run *run)
{
	struct ring *ring = run->shared;
	_Alignas(16) uint64_t in[8];
	uint32_t n = 0, seen = 0;

	bench_start(run);
	do {
		for (uint32_t i = 0; i < NR_SLOTS / 4; i++, n++) {
			while (seen == n)
				seen = atomic_load_explicit(&ring->producer, memory_order_acquire);
			memcpy(in, ring->slots[n % NR_SLOTS], 64);
			bench_check(run, in, 64, n);
		}
		atomic_store_explicit(&ring->consumer, n, memory_order_release);
	} while (bench_took(run, NR_SLOTS / 4));
}

/* The compiler makes a loop for each batch. */
static void far(struct bench_run *run)
{
	switch (run->bc->batch) {
	case 1:
		produce(run, 1);
		break;
	case 8:
		produce(run, 8);
		break;
	case 64:
		produce(run, 64);
		break;
	}
}

const struct bench_case bench_limit_ring_oneway[] = {
	{ "limit", "ring-oneway", 64, "spin", "copy", 1, "split", NULL, near, far },
	{ "limit", "ring-oneway", 64, "spin", "copy", 8, "split", NULL, near, far },
	{ "limit", "ring-oneway", 64, "spin", "copy", 64, "split", NULL, near, far },
	{ 0 }
};
