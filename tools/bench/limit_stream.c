// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_stream.c - 64 KiB chunks one way, copied in and copied out
 *
 * Tried, in GB/s: rings of 64 KiB 6, 128 KiB 9, 256 KiB to 2 MiB 14.5 (beyond
 * the L1 but within the L2); publishing every 16, 8 or 4 KiB instead of every
 * chunk 14, 13 and 12.5.
 */
#include "case.h"

enum { CHUNK = 65536, RING_SIZE = 4 * CHUNK };

struct ring {
	_Alignas(256) _Atomic uint32_t producer;	/* bytes, free-running */
	_Alignas(256) _Atomic uint32_t consumer;
	_Alignas(4096) uint8_t bytes[RING_SIZE];
};

static _Alignas(4096) uint8_t buf[CHUNK];

static void source(struct bench_run *run)
{
	struct ring *ring = run->shared;
	uint32_t at = 0;

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, CHUNK, n);
		while (at - atomic_load_explicit(&ring->consumer, memory_order_acquire) ==
		       RING_SIZE)
			;
		memcpy(ring->bytes + at % RING_SIZE, buf, CHUNK);
		at += CHUNK;
		atomic_store_explicit(&ring->producer, at, memory_order_release);
	}
}

static void sink(struct bench_run *run)
{
	struct ring *ring = run->shared;
	uint64_t n = 0;
	uint32_t at = 0;

	bench_start(run);
	do {
		while (atomic_load_explicit(&ring->producer, memory_order_acquire) == at)
			;
		memcpy(buf, ring->bytes + at % RING_SIZE, CHUNK);
		at += CHUNK;
		atomic_store_explicit(&ring->consumer, at, memory_order_release);
		bench_check(run, buf, CHUNK, n++);
	} while (bench_took(run, 1));
}

const struct bench_case bench_limit_stream[] = {
	{ "limit", "copy-stream", CHUNK, "spin", "copy", 0, "split", NULL, sink, source },
	{ 0 }
};
