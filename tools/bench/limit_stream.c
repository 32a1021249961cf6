// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_stream.c - 64 KiB chunks one way, copied in and copied out
 *
 * Tried, in GB/s: rings of 64 KiB 6, 128 KiB 9, 256 KiB to 2 MiB 14.5 (beyond
 * the L1 but within the L2); publishing every 16, 8 or 4 KiB instead of every
 * chunk 14, 13 and 12.5.
 *
 * A message of many chunks goes through a ring as large as shmux's arena is by
 * default, and lies whole in the receiver's buffer before it is checked.
 */
#include "case.h"

enum { CHUNK = 65536, RING_MAX = 64 * CHUNK };

struct ring {
	_Alignas(256) _Atomic uint32_t producer;	/* bytes, free-running */
	_Alignas(256) _Atomic uint32_t consumer;
	_Alignas(4096) uint8_t bytes[RING_MAX];
};

static inline void put(struct ring *ring, const uint8_t *buf, uint32_t *at, size_t bytes,
		       uint32_t size)
{
	for (size_t len = 0; len < bytes; len += CHUNK) {
		while (*at - atomic_load_explicit(&ring->consumer, memory_order_acquire) == size)
			;
		memcpy(ring->bytes + *at % size, buf + len, CHUNK);
		*at += CHUNK;
		atomic_store_explicit(&ring->producer, *at, memory_order_release);
	}
}

static inline void get(struct ring *ring, uint8_t *buf, uint32_t *at, size_t bytes, uint32_t size)
{
	for (size_t len = 0; len < bytes; len += CHUNK) {
		while (atomic_load_explicit(&ring->producer, memory_order_acquire) == *at)
			;
		memcpy(buf + len, ring->bytes + *at % size, CHUNK);
		*at += CHUNK;
		atomic_store_explicit(&ring->consumer, *at, memory_order_release);
	}
}

static uint32_t ring_size(size_t bytes)
{
	return bytes == CHUNK ? 4 * CHUNK : RING_MAX;
}

static void source(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	uint8_t *buf = bench_buffer(run, bytes);
	uint32_t at = 0;

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, bytes, n);
		put(run->shared, buf, &at, bytes, ring_size(bytes));
	}
}

static void sink(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	uint8_t *buf = bench_buffer(run, bytes);
	uint64_t n = 0;
	uint32_t at = 0;

	bench_start(run);
	do {
		get(run->shared, buf, &at, bytes, ring_size(bytes));
		bench_check(run, buf, bytes, n++);
	} while (bench_took(run, 1));
}

const struct bench_case bench_limit_stream[] = {
	{ "limit", "copy-stream", CHUNK, "spin", "copy", 0, "split", NULL, sink, source },
	{ "limit", "copy-stream", 16 << 20, "spin", "copy", 0, "split", NULL, sink, source,
	  BENCH_USUAL, 0.25 },
	{ 0 }
};
