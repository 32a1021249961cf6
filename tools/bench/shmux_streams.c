// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_streams.c - 64 bytes on each of the open streams in turn
 *
 * Both ways, one round trip at a time; and one way, as fast as it goes.
 */
#include "shmux_end.h"

enum { BYTES = 64 };

static struct shmux_stream **near_streams(struct bench_run *run)
{
	struct shmux_stream **streams = bench_buffer(run, run->bc->streams * sizeof(*streams));
	struct shmux_session *s = bench_near_session(run);

	for (unsigned int i = 0; i < run->bc->streams; i++)
		streams[i] = bench_near_stream(run, s);
	return streams;
}

static struct shmux_stream **far_streams(struct bench_run *run)
{
	struct shmux_stream **streams = bench_buffer(run, run->bc->streams * sizeof(*streams));
	struct shmux_session *s = bench_far_session(run);

	for (unsigned int i = 0; i < run->bc->streams; i++)
		streams[i] = bench_far_stream(run, s);
	return streams;
}

static void near_rtt(struct bench_run *run)
{
	struct shmux_stream **streams = near_streams(run);
	_Alignas(16) uint8_t buf[BYTES];
	uint64_t n = 0;

	bench_start(run);
	do {
		struct shmux_stream *st = streams[n % run->bc->streams];

		bench_fill(buf, BYTES, n);
		bench_put(run, st, buf, BYTES);
		bench_get(run, st, buf, BYTES);
		bench_check(run, buf, BYTES, ~n++);
	} while (bench_lap(run));
}

static void far_rtt(struct bench_run *run)
{
	struct shmux_stream **streams = far_streams(run);
	_Alignas(16) uint8_t buf[BYTES];

	for (uint64_t n = 0;; n++) {
		struct shmux_stream *st = streams[n % run->bc->streams];

		bench_get(run, st, buf, BYTES);
		bench_check(run, buf, BYTES, n);
		bench_fill(buf, BYTES, ~n);
		bench_put(run, st, buf, BYTES);
	}
}

static void near_oneway(struct bench_run *run)
{
	struct shmux_stream **streams = near_streams(run);
	_Alignas(16) uint8_t buf[BYTES];
	uint64_t n = 0;

	bench_start(run);
	do {
		for (unsigned int i = 0; i < 64; i++) {
			bench_get(run, streams[n % run->bc->streams], buf, BYTES);
			bench_check(run, buf, BYTES, n++);
		}
	} while (bench_took(run, 64));
}

static void far_oneway(struct bench_run *run)
{
	struct shmux_stream **streams = far_streams(run);
	_Alignas(16) uint8_t buf[BYTES];

	for (uint64_t n = 0;; n++) {
		bench_fill(buf, BYTES, n);
		bench_put(run, streams[n % run->bc->streams], buf, BYTES);
	}
}

#define RTT(nr, wait, level) \
	{ "shmux", "streams-rtt", BYTES, wait, "copy", 0, "split", bench_shmux_setup, \
	  near_rtt, far_rtt, level, 0.05, .streams = (nr) }
#define ONEWAY(nr, wait, level) \
	{ "shmux", "streams-oneway", BYTES, wait, "copy", 1, "split", bench_shmux_setup, \
	  near_oneway, far_oneway, level, 0.05, .streams = (nr) }

const struct bench_case bench_shmux_streams[] = {
	RTT(1, "spin", BENCH_USUAL),
	RTT(64, "spin", BENCH_USUAL),
	RTT(4096, "spin", BENCH_USUAL),
	RTT(1, "block", BENCH_FULL),
	RTT(64, "block", BENCH_FULL),
	RTT(4096, "block", BENCH_FULL),
	ONEWAY(1, "spin", BENCH_USUAL),
	ONEWAY(64, "spin", BENCH_USUAL),
	ONEWAY(4096, "spin", BENCH_USUAL),
	ONEWAY(1, "adaptive", BENCH_FULL),
	ONEWAY(64, "adaptive", BENCH_FULL),
	ONEWAY(4096, "adaptive", BENCH_FULL),
	{ 0 }
};
