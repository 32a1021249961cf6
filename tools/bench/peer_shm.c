// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_shm.c - a ring of bytes each way in a shared mapping, and an eventfd to wake each end
 *
 * What one would write by hand for two processes that sleep: no name, no streams, no
 * limits, and nobody notices a death. An end that finds nothing to do says so in the
 * ring, looks once more and sleeps in its eventfd; who has published looks, behind a
 * fence, whether to ring. A consumer rings for room once half the ring is free.
 *
 * Messages larger than PART go part by part, so that one end copies out while the
 * other still copies in. Tried: parts of 16 KB cost three times as long for a round
 * trip of 64 KB on one CPU, for each wakes the other end; rings of 256 KB and 1 MB
 * more sleeps; of 4 MB more time, being larger than the L2.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "peer_loops.h"
#include "peer_rows.h"

enum { RING_SIZE = 2 << 20, PART = 128 << 10 };

struct ring {
	_Alignas(128) _Atomic uint32_t producer;	/* bytes, free-running */
	_Alignas(128) _Atomic uint32_t consumer;
	_Alignas(128) _Atomic uint32_t producer_asleep;
	_Alignas(128) _Atomic uint32_t consumer_asleep;
	_Alignas(4096) uint8_t bytes[RING_SIZE];
};

/* One end: what it writes, what it reads, and where it sleeps. */
struct end {
	struct ring *tx, *rx;
	uint32_t put, got;		/* our indices */
	uint32_t seen_room, seen_data;	/* what we last saw of the peer's */
	int bell, peers_bell;
};

static int setup(struct bench_run *run)
{
	for (int i = 0; i < 2; i++) {
		run->fds[i] = eventfd(0, EFD_CLOEXEC);
		if (run->fds[i] < 0)
			return -errno;
	}
	return 0;
}

static struct end end_of(struct bench_run *run, int which)
{
	struct ring *rings = run->shared;

	return (struct end){
		.tx = &rings[which],
		.rx = &rings[!which],
		.bell = run->fds[which],
		.peers_bell = run->fds[!which],
	};
}

/* Sleeps unless @index has moved on from @from. It may have when this returns. */
static void sleep_for(struct bench_run *run, int bell, _Atomic uint32_t *asleep,
		      _Atomic uint32_t *index, uint32_t from)
{
	uint64_t rung;

	/* Pairs with the fence in ring_if(): one of us sees what the other has stored. */
	atomic_store(asleep, 1);
	if (atomic_load(index) == from && read(bell, &rung, sizeof(rung)) != sizeof(rung))
		bench_fail(run, "read", errno);
	atomic_store_explicit(asleep, 0, memory_order_relaxed);
}

/* Call after publishing what the other may sleep for. */
static inline void ring_if(struct bench_run *run, int bell, _Atomic uint32_t *asleep)
{
	const uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(asleep, memory_order_relaxed) || !atomic_exchange(asleep, 0))
		return;
	if (write(bell, &one, sizeof(one)) != sizeof(one))
		bench_fail(run, "write", errno);
}

static inline void await_room(struct bench_run *run, struct end *end, uint32_t bytes)
{
	struct ring *tx = end->tx;

	while (end->put + bytes - end->seen_room > RING_SIZE) {
		uint32_t before = end->seen_room;

		end->seen_room = atomic_load_explicit(&tx->consumer, memory_order_acquire);
		if (end->seen_room == before)
			sleep_for(run, end->bell, &tx->producer_asleep, &tx->consumer, before);
	}
}

static inline void await_data(struct bench_run *run, struct end *end)
{
	struct ring *rx = end->rx;

	for (;;) {
		end->seen_data = atomic_load_explicit(&rx->producer, memory_order_acquire);
		if (end->seen_data != end->got)
			return;
		sleep_for(run, end->bell, &rx->consumer_asleep, &rx->producer, end->got);
	}
}

static inline void publish(struct bench_run *run, struct end *end, uint32_t bytes)
{
	end->put += bytes;
	atomic_store_explicit(&end->tx->producer, end->put, memory_order_release);
	ring_if(run, end->peers_bell, &end->tx->consumer_asleep);
}

/* A consumer takes all there is before it sleeps, so at last it does ring. */
static inline void release(struct bench_run *run, struct end *end, uint32_t bytes)
{
	end->got += bytes;
	atomic_store_explicit(&end->rx->consumer, end->got, memory_order_release);
	if (end->seen_data - end->got <= RING_SIZE / 2)
		ring_if(run, end->peers_bell, &end->rx->producer_asleep);
}

/* Sizes are powers of two: no part goes round the ring's end. */
static inline size_t part_of(size_t left)
{
	return left < PART ? left : PART;
}

static inline void put(struct bench_run *run, void *tx, const void *buf, size_t bytes)
{
	struct end *end = tx;

	for (size_t len = 0, part = part_of(bytes); len < bytes; len += part) {
		await_room(run, end, part);
		memcpy(end->tx->bytes + end->put % RING_SIZE, (const char *)buf + len, part);
		publish(run, end, part);
	}
}

static inline void get(struct bench_run *run, void *rx, void *buf, size_t bytes)
{
	struct end *end = rx;

	for (size_t len = 0, part = part_of(bytes); len < bytes; len += part) {
		await_data(run, end);
		memcpy((char *)buf + len, end->rx->bytes + end->got % RING_SIZE, part);
		release(run, end, part);
	}
}

static void ping(struct bench_run *run)
{
	struct end end = end_of(run, 0);

	peer_ping(run, &end, put, &end, get);
}

static void pong(struct bench_run *run)
{
	struct end end = end_of(run, 1);

	peer_pong(run, &end, put, &end, get);
}

static void source(struct bench_run *run)
{
	struct end end = end_of(run, 1);

	peer_source(run, &end, put);
}

/* Of small messages as many as there are, but no more than a quarter of the ring. */
static void sink(struct bench_run *run)
{
	struct end end = end_of(run, 0);
	size_t bytes = run->bc->bytes;
	void *buf = bench_buffer(run, bytes);
	uint32_t nr, len;
	uint64_t n = 0;

	if (bytes > PART) {
		peer_sink(run, &end, get);
		return;
	}
	bench_start(run);
	do {
		await_data(run, &end);
		for (nr = 0, len = 0; len < end.seen_data - end.got && len < RING_SIZE / 4; nr++) {
			memcpy(buf, end.rx->bytes + (end.got + len) % RING_SIZE, bytes);
			bench_check(run, buf, bytes, n++);
			len += bytes;
		}
		release(run, &end, len);
	} while (bench_took(run, nr));
}

#define SYSTEM "shm"
#define RTT setup, ping, pong
#define ONEWAY setup, sink, source

const struct bench_case bench_peer_shm[] = { PEER_ROWS_TO_16M, { 0 } };
