// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_slow.c - round trips on eight streams in turn, beside one with a slow reader
 *
 * @far takes a message of 4 KiB from the slow stream each millisecond, @near writes
 * one more as often, so that it stays as full as it can be. The samples are of the
 * fast ones.
 */
#include "shmux_end.h"

#include <errno.h>

enum { NR_FAST = 8, BYTES = 64, SLOW_BYTES = 4096 };

struct streams {
	struct shmux_stream *slow, *fast[NR_FAST];
	uint64_t each, next;	/* ticks: a millisecond, and when the slow one is due */
};

static bool is_due(struct streams *s, uint64_t now)
{
	if (now < s->next)
		return false;
	s->next = now + s->each;
	return true;
}

/* Until it takes no more. */
static void fill_slow(struct bench_run *run, struct streams *s)
{
	static _Alignas(16) uint8_t buf[SLOW_BYTES];
	ssize_t put;

	do
		put = shmux_stream_try_write(s->slow, buf, sizeof(buf));
	while (put > 0);
	if (put != -EAGAIN)
		bench_fail(run, "shmux_stream_try_write", put);
}

static void near(struct bench_run *run)
{
	struct shmux_session *session = bench_near_session(run);
	struct streams s = { .each = 1e6 * run->ticks_per_ns };
	_Alignas(16) uint8_t buf[BYTES];
	uint64_t n = 0;

	s.slow = bench_near_stream(run, session);
	for (unsigned int i = 0; i < NR_FAST; i++)
		s.fast[i] = bench_near_stream(run, session);
	bench_start(run);
	do {
		struct shmux_stream *st = s.fast[n % NR_FAST];

		bench_fill(buf, BYTES, n);
		bench_put(run, st, buf, BYTES);
		bench_get(run, st, buf, BYTES);
		bench_check(run, buf, BYTES, ~n++);
		if (is_due(&s, run->last))
			fill_slow(run, &s);
	} while (bench_lap(run));
}

static void take_slow(struct bench_run *run, struct streams *s)
{
	static _Alignas(16) uint8_t buf[SLOW_BYTES];
	ssize_t got = shmux_stream_try_read(s->slow, buf, sizeof(buf));

	if (got <= 0 && got != -EAGAIN)
		bench_fail(run, "shmux_stream_try_read", got);
}

static void far(struct bench_run *run)
{
	struct shmux_session *session = bench_far_session(run);
	struct streams s = { .each = 1e6 * run->ticks_per_ns };
	_Alignas(16) uint8_t buf[BYTES];

	s.slow = bench_far_stream(run, session);
	for (unsigned int i = 0; i < NR_FAST; i++)
		s.fast[i] = bench_far_stream(run, session);
	for (uint64_t n = 0;; n++) {
		struct shmux_stream *st = s.fast[n % NR_FAST];

		bench_get(run, st, buf, BYTES);
		bench_check(run, buf, BYTES, n);
		bench_fill(buf, BYTES, ~n);
		bench_put(run, st, buf, BYTES);
		if (is_due(&s, bench_ticks()))
			take_slow(run, &s);
	}
}

#define ROW(wait, level) \
	{ "shmux", "slow-rtt", BYTES, wait, "copy", 0, "split", bench_shmux_setup, near, far, \
	  level, 0.05, .streams = 1 + NR_FAST }

const struct bench_case bench_shmux_slow[] = {
	ROW("spin", BENCH_USUAL),
	ROW("adaptive", BENCH_FULL),
	ROW("block", BENCH_USUAL),
	{ 0 }
};
