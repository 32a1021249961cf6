/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_loops.h - round trips and one way, for peers that put and get from a buffer
 *
 * @tx and @rx are what such a peer knows its two directions by: to descriptors,
 * mostly. The loops are inlined, and so are its put and get.
 */
#ifndef SHMUX_BENCH_PEER_LOOPS_H
#define SHMUX_BENCH_PEER_LOOPS_H

#include "case.h"

typedef void peer_put_t(struct bench_run *run, void *tx, const void *buf, size_t bytes);
typedef void peer_get_t(struct bench_run *run, void *rx, void *buf, size_t bytes);

#define PEER_LOOP static inline __attribute__((always_inline)) void

PEER_LOOP peer_ping(struct bench_run *run, void *tx, peer_put_t *put, void *rx, peer_get_t *get)
{
	size_t bytes = run->bc->bytes;
	void *buf = bench_buffer(run, bytes);
	uint64_t n = 0;

	bench_start(run);
	do {
		bench_fill(buf, bytes, n);
		put(run, tx, buf, bytes);
		get(run, rx, buf, bytes);
		bench_check(run, buf, bytes, ~n++);
	} while (bench_lap(run));
}

PEER_LOOP peer_pong(struct bench_run *run, void *tx, peer_put_t *put, void *rx, peer_get_t *get)
{
	size_t bytes = run->bc->bytes;
	void *buf = bench_buffer(run, bytes);

	for (uint64_t n = 0;; n++) {
		get(run, rx, buf, bytes);
		bench_check(run, buf, bytes, n);
		bench_fill(buf, bytes, ~n);
		put(run, tx, buf, bytes);
	}
}

PEER_LOOP peer_source(struct bench_run *run, void *tx, peer_put_t *put)
{
	size_t bytes = run->bc->bytes;
	void *buf = bench_buffer(run, bytes);

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, bytes, n);
		put(run, tx, buf, bytes);
	}
}

PEER_LOOP peer_sink(struct bench_run *run, void *rx, peer_get_t *get)
{
	size_t bytes = run->bc->bytes;
	void *buf = bench_buffer(run, bytes);
	uint64_t n = 0;

	bench_start(run);
	do {
		get(run, rx, buf, bytes);
		bench_check(run, buf, bytes, n++);
	} while (bench_took(run, 1));
}

#endif
