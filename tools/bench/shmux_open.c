// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_open.c - a million streams, opened one after the other, none of them closed
 *
 * A sample is the opening of one; @far accepts them meanwhile, and they are all
 * there when both ends look how much more memory they have than before: resident
 * pages, those of the shared regions counted twice.
 */
#include "shmux_end.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { MILLION = 1000000, BYTES = 64 };

_Static_assert(MILLION <= (int)BENCH_MAX_SAMPLES, "each stream is a sample");

static uint64_t resident(struct bench_run *run)
{
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long long pages;

	if (!statm || fscanf(statm, "%*u %llu", &pages) != 1)
		bench_fail(run, "/proc/self/statm", errno);
	fclose(statm);
	return pages * sysconf(_SC_PAGESIZE);
}

/* Room for the handles, written to, so that it does not count as the streams'. */
static struct shmux_stream **make_room(struct bench_run *run)
{
	size_t size = run->bc->streams * sizeof(struct shmux_stream *);

	return memset(bench_buffer(run, size), 1, size);
}

static void near(struct bench_run *run)
{
	struct shmux_stream **streams = make_room(run);
	struct shmux_session *s = bench_near_session(run);
	_Alignas(16) uint8_t buf[BYTES];
	unsigned int last = run->bc->streams - 1;
	uint64_t before;

	memset(run->samples, 1, run->bc->streams * sizeof(*run->samples));
	before = resident(run);
	run->slice = UINT64_MAX / 2;	/* until all are open */
	bench_start(run);
	for (unsigned int i = 0; i <= last; i++) {
		streams[i] = bench_near_stream(run, s);
		bench_lap(run);
	}
	bench_end(run);
	bench_fill(buf, BYTES, last);
	bench_put(run, streams[last], buf, BYTES);
	bench_get(run, streams[last], buf, BYTES);
	bench_check(run, buf, BYTES, ~(uint64_t)last);
	run->idle_bytes += resident(run) - before;
}

static void far(struct bench_run *run)
{
	struct shmux_stream **streams = make_room(run);
	struct shmux_session *s = bench_far_session(run);
	_Alignas(16) uint8_t buf[BYTES];
	unsigned int last = run->bc->streams - 1;
	uint64_t before = resident(run);

	for (unsigned int i = 0; i <= last; i++)
		streams[i] = bench_far_stream(run, s);
	bench_get(run, streams[last], buf, BYTES);
	bench_check(run, buf, BYTES, last);
	run->idle_bytes = resident(run) - before;
	bench_fill(buf, BYTES, ~(uint64_t)last);
	bench_put(run, streams[last], buf, BYTES);
	pause();
}

#define ROW(wait, level) \
	{ "shmux", "open", 0, wait, "copy", 0, "split", bench_shmux_setup, near, far, \
	  level, 0.05, .streams = MILLION }

const struct bench_case bench_shmux_open[] = {
	ROW("adaptive", BENCH_USUAL),
	ROW("spin", BENCH_FULL),
	{ 0 }
};
