// SPDX-License-Identifier: LGPL-2.1-or-later
/* manystreams.c - a million streams open in one session, and what they cost */
#include <errno.h>

#include "effort.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "process.h"

/* Under the sanitizer each allocation is several times as large. */
static uint32_t nr_many(void)
{
	if (effort_is_emulated())
		return 50000;
	return process_is_sanitized() ? 100000 : 1000000;
}

/* The sanitizer's memory is not ours, and among few the session's own counts. */
static bool cost_is_known(void)
{
	return !process_is_sanitized() && !effort_is_emulated();
}

/* Memory a stream and a side may take while it is idle, in bytes. */
#define IDLE_MAX 128
/* And for what yamux calls it. */
#define IDLE_MAX_YAMUX (IDLE_MAX + 32)

/* Opened and accepted in groups that the backlog and the ring or the wire have room for. */
#define GROUP 200

FIXTURE(manystreams)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream **near;
	uint32_t nr; /* streams in @near */
};

PAIR_VARIANTS(manystreams);

static int64_t side_rss(struct side *side)
{
	(void)side;
	return process_rss();
}

/* Room for all handles, touched, so that it does not count as the streams'. */
static int64_t side_make_room(struct side *side)
{
	side->streams = malloc((1u << 20) * sizeof(*side->streams));
	SIDE_TRUE(side->streams != NULL);
	memset(side->streams, 1, (1u << 20) * sizeof(*side->streams));
	return process_rss();
}

FIXTURE_SETUP(manystreams)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.first_grant = 64, .streams_max = 1000000);

	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, options, options));
	self->far = &self->pair.far;
	self->near = malloc(nr_many() * sizeof(*self->near));
	ASSERT_NE(NULL, self->near);
	memset(self->near, 1, nr_many() * sizeof(*self->near));
}

FIXTURE_TEARDOWN(manystreams)
{
	while (self->nr) {
		shmux_stream_close(self->near[--self->nr]);
		/* The ring is not as large as that. */
		if (self->nr % GROUP == 0)
			far_pump(self->far);
	}
	free(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* The next @in streams. */
static int64_t side_accept_some(struct side *side)
{
	uint32_t nr = *(const uint32_t *)side->in;

	for (uint32_t i = 0; i < nr; i++) {
		struct shmux_stream *st;
		int ret = shmux_session_accept(side->session, 0, &st);

		SIDE_EQ(0, ret);
		side->streams[side->nr_streams++] = st;
	}
	return nr;
}

static void open_many(struct __test_metadata *_metadata, FIXTURE_DATA(manystreams) * self)
{
	uint32_t group = GROUP;

	while (self->nr < nr_many()) {
		for (uint32_t i = 0; i < GROUP; i++) {
			ASSERT_EQ(0,
				  shmux_session_open(self->pair.session, 0, &self->near[self->nr]));
			self->nr++;
		}
		ASSERT_EQ(GROUP,
			  far_call(self->far, side_accept_some, &group, sizeof(group), NULL, 0));
	}
}

/* Every stream of a group echoes its number. */
struct group {
	uint32_t first, nr;
};

static int64_t side_echo_group(struct side *side)
{
	const struct group *group = side->in;
	uint32_t number;

	for (uint32_t i = group->first; i < group->first + group->nr; i++) {
		SIDE_EQ(4, shmux_stream_read(side->streams[i], &number, 4));
		SIDE_EQ(i, number);
		SIDE_EQ(4, shmux_stream_write(side->streams[i], &number, 4));
	}
	return group->nr;
}

/* A figure for the near side; the far side's is worth as much. */
static void check_cost(struct __test_metadata *_metadata, enum pair_kind kind, const char *side,
		       int64_t growth, uint32_t nr)
{
	int nr_sides = kind == PAIR_SAME_PROCESS ? 2 : 1;

	TH_LOG("%s: %lld bytes a stream", side, (long long)(growth / nr));
	EXPECT_LE(growth / nr, nr_sides * (pair_is_yamux(kind) ? IDLE_MAX_YAMUX : IDLE_MAX));
}

TEST_F_TIMEOUT(manystreams, a_million_can_be_open_and_each_gets_its_own_bytes, 60)
{
	int64_t far_rss = far_run(self->far, side_make_room);
	int64_t near_rss = process_rss();
	struct group group = { .nr = GROUP };
	uint32_t number;

	open_many(_metadata, self);
	EXPECT_EQ(nr_many(), session_counters(self->pair.session).streams_open);
	if (cost_is_known()) {
		if (variant->kind == PAIR_SAME_PROCESS) {
			check_cost(_metadata, variant->kind, "both", process_rss() - near_rss,
				   self->nr);
		} else {
			check_cost(_metadata, variant->kind, "near", process_rss() - near_rss,
				   self->nr);
			check_cost(_metadata, variant->kind, "far",
				   far_run(self->far, side_rss) - far_rss, self->nr);
		}
	}

	/* Interleaved; in one thread a group must fit where nobody reads yet. */
	for (group.first = 0; group.first < self->nr; group.first += 50 * GROUP) {
		for (uint32_t i = group.first; i < group.first + GROUP; i++) {
			ASSERT_EQ(4, shmux_stream_write(self->near[i], &i, 4));
		}
		ASSERT_EQ(GROUP,
			  far_call(self->far, side_echo_group, &group, sizeof(group), NULL, 0));
		for (uint32_t i = group.first; i < group.first + GROUP; i++) {
			ASSERT_EQ(4, shmux_stream_read(self->near[i], &number, 4));
			ASSERT_EQ(i, number);
		}
	}
}

TEST_F_TIMEOUT(manystreams, streams_that_have_carried_bytes_cost_no_more_when_idle_again, 60)
{
	int64_t far_rss, near_rss;
	struct group group = { .nr = GROUP };
	uint32_t number;

	if (!cost_is_known())
		SKIP(return, "with the sanitizer, or few streams, the cost is not the streams'");
	if (variant->kind == PAIR_LISTENER || variant->kind == PAIR_YAMUX_PIPES)
		SKIP(return, "the same as with two processes, or over a socket");
	far_rss = far_run(self->far, side_make_room);
	near_rss = process_rss();
	open_many(_metadata, self);
	for (group.first = 0; group.first < self->nr; group.first += GROUP) {
		for (uint32_t i = group.first; i < group.first + GROUP; i++) {
			ASSERT_EQ(4, shmux_stream_write(self->near[i], &i, 4));
		}
		ASSERT_EQ(GROUP,
			  far_call(self->far, side_echo_group, &group, sizeof(group), NULL, 0));
		for (uint32_t i = group.first; i < group.first + GROUP; i++) {
			ASSERT_EQ(4, shmux_stream_read(self->near[i], &number, 4));
			ASSERT_EQ(i, number);
		}
	}

	if (variant->kind == PAIR_SAME_PROCESS) {
		check_cost(_metadata, variant->kind, "both", process_rss() - near_rss, self->nr);
	} else {
		check_cost(_metadata, variant->kind, "near", process_rss() - near_rss, self->nr);
		check_cost(_metadata, variant->kind, "far", far_run(self->far, side_rss) - far_rss,
			   self->nr);
	}
}

/* Read and echo whatever stream has something, by the pump's word alone. */
static int64_t side_serve_events(struct side *side)
{
	uint32_t nr = *(const uint32_t *)side->in, served = 0, number;
	struct shmux_event events[64];
	int n;

	while (served < nr) {
		n = shmux_session_pump(side->session, events, 64);
		SIDE_TRUE(n >= 0);
		for (int i = 0; i < n; i++) {
			if (!events[i].stream || !(events[i].events & SHMUX_EVENT_READ))
				continue;
			while (shmux_stream_try_read(events[i].stream, &number, 4) == 4) {
				SIDE_EQ(4, shmux_stream_write(events[i].stream, &number, 4));
				served++;
			}
		}
	}
	return served;
}

TEST_F_TIMEOUT(manystreams, the_busy_few_are_served_among_the_idle_many, 60)
{
	enum {
		ROUNDS = 200,
		BUSY = 100
	};
	uint32_t nr = ROUNDS * BUSY, number;

	far_run(self->far, side_make_room);
	open_many(_metadata, self);
	far_begin(self->far, side_serve_events, &nr, sizeof(nr), 0);
	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t i = 0; i < BUSY; i++) {
			number = round * BUSY + i;
			ASSERT_EQ(4, shmux_stream_write(self->near[i * (self->nr / BUSY)], &number,
							4));
		}
		for (uint32_t i = 0; i < BUSY; i++) {
			ASSERT_EQ(4,
				  shmux_stream_read(self->near[i * (self->nr / BUSY)], &number, 4));
			ASSERT_EQ(round * BUSY + i, number);
		}
	}
	EXPECT_EQ(nr, far_finish(self->far, NULL));
}

TEST_HARNESS_MAIN
