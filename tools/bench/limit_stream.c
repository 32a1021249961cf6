// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_stream.c - 64 KiB chunks one way, copied in and copied out
 *
 * Tried, in GB/s: rings of 64 KiB 6, 128 KiB 9, 256 KiB to 2 MiB 14.5 (beyond
 * the L1 but within the L2); publishing every 16, 8 or 4 KiB instead of every
 * chunk 14, 13 and 12.5.
 *
 * On the path "deep" the ring is of 2 MiB. Where each core has an L2 of its own, as on
 * AMD, it is twice as quick as one that stays there: a line that is filled again need not
 * be taken back from the reader's.
 *
 * On the path "past" the writer's stores leave the caches out: where the two cores have
 * none in common that is the quicker way, by five times.
 *
 * A message of many chunks goes through a ring as large as shmux's arena is by
 * default, and lies whole in the receiver's buffer before it is checked.
 */
#include "case.h"

#ifdef __x86_64__
#include <emmintrin.h>
#endif

enum { CHUNK = 65536, RING_MAX = 64 * CHUNK };

struct ring {
	_Alignas(256) _Atomic uint32_t producer;	/* bytes, free-running */
	_Alignas(256) _Atomic uint32_t consumer;
	_Alignas(4096) uint8_t bytes[RING_MAX];
};

static void copy_past(uint8_t *to, const uint8_t *from)
{
#ifdef __x86_64__
	for (size_t i = 0; i < CHUNK; i += 16)
		_mm_stream_si128((__m128i *)(void *)(to + i),
				 _mm_loadu_si128((const __m128i *)(const void *)(from + i)));
	_mm_sfence();
#else
	memcpy(to, from, CHUNK);
#endif
}

static inline void put(struct ring *ring, const uint8_t *buf, uint32_t *at, size_t bytes,
		       uint32_t size, bool past)
{
	for (size_t len = 0; len < bytes; len += CHUNK) {
		while (*at - atomic_load_explicit(&ring->consumer, memory_order_acquire) == size)
			;
		if (past)
			copy_past(ring->bytes + *at % size, buf + len);
		else
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

static uint32_t ring_size(const struct bench_case *bc)
{
	if (!strcmp(bc->path, "deep"))
		return 32 * CHUNK;
	return bc->bytes == CHUNK ? 4 * CHUNK : RING_MAX;
}

static void source(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	uint8_t *buf = bench_buffer(run, bytes);
	uint32_t size = ring_size(run->bc);
	bool past = !strcmp(run->bc->path, "past");
	uint32_t at = 0;

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, bytes, n);
		put(run->shared, buf, &at, bytes, size, past);
	}
}

static void sink(struct bench_run *run)
{
	size_t bytes = run->bc->bytes;
	uint32_t size = ring_size(run->bc);
	uint8_t *buf = bench_buffer(run, bytes);
	uint64_t n = 0;
	uint32_t at = 0;

	bench_start(run);
	do {
		get(run->shared, buf, &at, bytes, size);
		bench_check(run, buf, bytes, n++);
	} while (bench_took(run, 1));
}

#define ROW(bytes, path, level, ...) \
	{ "limit", "copy-stream", bytes, "spin", path, 0, "split", NULL, sink, source, level, \
	  __VA_ARGS__ }

const struct bench_case bench_limit_stream[] = {
	ROW(CHUNK, "copy", BENCH_QUICK, 0),
	ROW(CHUNK, "deep", BENCH_QUICK, 0),
	ROW(CHUNK, "past", BENCH_QUICK, 0),
	ROW(16 << 20, "copy", BENCH_USUAL, 0.25),
	ROW(16 << 20, "past", BENCH_USUAL, 0.25),
	{ 0 }
};
