// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * handover.c - news that one thread takes and another waits for
 *
 * One thread of a session leads, the others follow, or poll the descriptor, or
 * only look in. Whatever one of them takes up, or gives up, must reach whom it
 * concerns, and nobody who need not know. How a single sleeper is woken is in
 * wake.c.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "harness.h"

#include "delays.h"
#include "effort.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

/* After so long a blocked call sleeps on the descriptors, not on a futex. */
#define DEEP (70 * MSEC)

#define CHUNK 16384 /* a quarter of the arena, the largest there is */
#define FIRST_GRANT (4 * CHUNK)

FIXTURE(handover)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *session;
	struct shmux_stream *idle; /* that nothing comes for */
	struct worker reader; /* of it; it leads */
	bool reading;
};

PAIR_VARIANTS(handover);

static int64_t read_one(void *arg)
{
	char byte = 0;
	ssize_t n = shmux_stream_read(arg, &byte, 1);

	return n == 1 ? byte : n;
}

FIXTURE_SETUP(handover)
{
	struct shmux_session_options *options =
		SESSION_OPTIONS(.ring_slots = 64, .arena_size = 65536, .window = 1 << 20,
				.first_grant = FIRST_GRANT, .streams_max = 64,
				.spin = SHMUX_SPIN_NONE);

	delays_set(true);
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, options, options));
	self->far = &self->pair.far;
	self->session = self->pair.session;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->idle));
	worker_start(&self->reader, read_one, self->idle);
	self->reading = true;
	ASSERT_TRUE(worker_wait_blocked(&self->reader));
}

/* Let nobody lead. */
static void end_reader(FIXTURE_DATA(handover) * self)
{
	if (!self->reading)
		return;
	shmux_stream_unblock(self->idle, SHMUX_READ);
	worker_join(&self->reader);
	self->reading = false;
}

FIXTURE_TEARDOWN(handover)
{
	if (!_metadata->aborted) {
		end_reader(self);
		shmux_stream_close(self->idle);
	}
	PAIR_TEARDOWN(&self->pair);
}

static int64_t side_read_to_the_end(struct side *side)
{
	static char buf[65536];
	int64_t sum = 0;
	ssize_t n;

	while ((n = shmux_stream_read(side->stream, buf, sizeof(buf))) > 0)
		sum += n;
	return n ? n : sum;
}

static bool is_readable(int fd, uint64_t wait)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	return poll(&pfd, 1, (int)(wait / MSEC)) == 1;
}

/* Pump until there is less than could be. Return: what came for @st. */
static uint32_t pump_events(struct shmux_session *session, const struct shmux_stream *st)
{
	struct shmux_event events[4];
	uint32_t seen = 0;
	int nr;

	do {
		nr = shmux_session_pump(session, events, 4);
		for (int i = 0; i < nr; i++)
			if (events[i].stream == st)
				seen |= events[i].events;
	} while (nr == 4);
	return seen;
}

/* Do not come back before everything has been told. */
static void pump_all(struct shmux_session *session)
{
	struct shmux_event events[4];

	while (shmux_session_pump(session, events, 4) > 0)
		;
}

/* --- room and credit ---------------------------------------------------------- */

TEST_F_TIMEOUT(handover, room_that_a_look_at_the_counters_finds_is_told_to_who_waits_for_it,
	       EFFORT_TIMEOUT)
{
	struct bulk_job job = {
		.bulk = { .len = 1 << 20, .piece = 5000, .seed = 1, .flags = SHMUX_FIN }
	};
	struct worker writer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &job.st));
	/* With delays, on a machine that has others to serve, it takes its seconds. */
	ASSERT_EQ(0, shmux_stream_set_deadline(job.st, SHMUX_WRITE, shmux_now() + 6 * LONG_ENOUGH));
	far_begin(self->far, side_read_to_the_end, NULL, 0, 0);
	worker_start(&writer, bulk_write_job, &job);
	while (!worker_is_done(&writer))
		session_counters(self->session);

	EXPECT_EQ(1 << 20, worker_join(&writer));
	shmux_stream_close(job.st);
	EXPECT_EQ(1 << 20, far_finish(self->far, NULL));
}

TEST_F(handover, credit_of_a_span_that_is_cancelled_is_told_to_the_event_loop)
{
	int fd = shmux_session_fd(self->session);
	struct shmux_span spans[4];
	struct shmux_stream *st;

	NOT_OVER_YAMUX("has no spans");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0, shmux_stream_reserve(st, CHUNK, &spans[i], SHMUX_NOWAIT));
	}
	ASSERT_EQ(-EAGAIN, shmux_stream_try_write(st, "x", 1));
	pump_all(self->session);

	for (int i = 0; i < 4; i++)
		shmux_stream_cancel(st, &spans[i]);
	EXPECT_TRUE(is_readable(fd, LONG_ENOUGH));
	EXPECT_TRUE(pump_events(self->session, st) & SHMUX_EVENT_WRITE);
	EXPECT_EQ(1, shmux_stream_try_write(st, "x", 1));
	shmux_stream_close(st);
}

/* An event loop that tries again whenever it is told to. Return: how often. */
static int try_for_a_while(struct shmux_session *session, struct shmux_stream *st, size_t len)
{
	int fd = shmux_session_fd(session), nr = 0;
	static char buf[CHUNK];

	while (nr < 100 && shmux_stream_try_write(st, buf, len) == -EAGAIN) {
		nr++;
		do {
			if (!is_readable(fd, 50 * MSEC))
				return nr;
		} while (!(pump_events(session, st) & SHMUX_EVENT_WRITE));
	}
	return nr;
}

TEST_F(handover, event_loop_is_not_called_in_vain_while_only_smaller_chunks_are_free)
{
	struct shmux_stream *st, *other;
	struct shmux_span spans[4];

	NOT_OVER_YAMUX("has no chunks");
	end_reader(self);
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &other));
	for (int i = 0; i < 4; i++) {
		ASSERT_EQ(0,
			  shmux_stream_reserve(st, i ? CHUNK : CHUNK / 4, &spans[i], SHMUX_NOWAIT));
	}
	shmux_session_fd(self->session);
	pump_all(self->session);

	EXPECT_GE(3, try_for_a_while(self->session, other, CHUNK));
	for (int i = 0; i < 4; i++)
		shmux_stream_cancel(st, &spans[i]);
	shmux_stream_close(st);
	shmux_stream_close(other);
}

static int64_t write_long_message(void *arg)
{
	static char message[FIRST_GRANT - 1000];

	return shmux_stream_write(arg, message, sizeof(message));
}

static int64_t side_read_messages(struct side *side)
{
	static char message[FIRST_GRANT];

	SIDE_EQ(FIRST_GRANT - 1000, shmux_stream_read(side->stream, message, sizeof(message)));
	return shmux_stream_read(side->stream, message, sizeof(message));
}

TEST_F(handover, event_loop_is_told_when_another_threads_long_message_is_over_not_before)
{
	struct shmux_stream *st, *other;
	struct shmux_span span;
	struct worker writer;

	NOT_OVER_YAMUX("carries no messages");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &other));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &st));
	/* So that its parts do not fit. */
	ASSERT_EQ(0, shmux_stream_reserve(other, CHUNK, &span, SHMUX_NOWAIT));
	worker_start(&writer, write_long_message, st);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	shmux_session_fd(self->session);
	pump_all(self->session);

	EXPECT_GE(3, try_for_a_while(self->session, st, 1));
	shmux_stream_cancel(other, &span);
	far_begin(self->far, side_read_messages, NULL, 0, 0);
	EXPECT_EQ(FIRST_GRANT - 1000, worker_join(&writer));
	EXPECT_TRUE(is_readable(shmux_session_fd(self->session), LONG_ENOUGH));
	EXPECT_TRUE(pump_events(self->session, st) & SHMUX_EVENT_WRITE);
	EXPECT_EQ(3, shmux_stream_try_write(st, "end", 3));
	EXPECT_EQ(3, far_finish(self->far, NULL));
	shmux_stream_close(st);
	shmux_stream_close(other);
}

/* --- deadlines ---------------------------------------------------------------- */

struct extended {
	struct shmux_stream *st;
	uint64_t deadline; /* atomic */
	uint32_t returned; /* atomic */
};

static int64_t read_and_tell(void *arg)
{
	struct extended *e = arg;
	char byte;
	ssize_t n = shmux_stream_read(e->st, &byte, 1);

	__atomic_store_n(&e->returned, 1, __ATOMIC_RELEASE);
	return n;
}

/*
 * Move the deadline on before it comes, again and again. Return: whether we were
 * in time each time, though the call has given up.
 */
static bool gives_up_early(struct extended *e, uint64_t step, int times)
{
	uint64_t deadline = shmux_now() + 100 * MSEC, next;
	struct worker worker;
	bool in_time = true, early = false;

	shmux_stream_set_deadline(e->st, SHMUX_READ, deadline);
	e->returned = 0;
	worker_start(&worker, read_and_tell, e);
	for (int i = 0; i < times && in_time && !early; i++) {
		next = shmux_now() + step;
		shmux_stream_set_deadline(e->st, SHMUX_READ, next);
		in_time = shmux_now() < deadline;
		early = in_time && shmux_now() < next &&
			__atomic_load_n(&e->returned, __ATOMIC_ACQUIRE) && shmux_now() < next;
		deadline = next;
		/* As late as can be. */
		while (shmux_now() + step / 8 < deadline)
			;
	}
	shmux_stream_unblock(e->st, SHMUX_READ);
	worker_join(&worker);
	return early;
}

TEST_F(handover, call_whose_deadline_is_moved_on_in_time_does_not_time_out)
{
	struct extended e;
	int nr_early = 0;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &e.st));
	/* Once as the follower of another, once alone. */
	for (int i = 0; i < 2; i++) {
		for (int round = 0; round < 50; round++)
			nr_early += gives_up_early(&e, 400000, 10);
		end_reader(self);
	}
	EXPECT_EQ(0, nr_early);
	shmux_stream_close(e.st);
}

/* --- pings -------------------------------------------------------------------- */

static int64_t ping_often(void *arg)
{
	for (int i = 0; i < 100; i++) {
		int err = shmux_session_ping(arg, shmux_now() + LONG_ENOUGH, NULL);

		if (err)
			return err;
	}
	return 0;
}

TEST_F(handover, every_ping_of_many_threads_is_answered_though_there_is_no_room)
{
	struct worker pingers[24];

	/* More than the ring has slots kept for such. */
	for (int i = 0; i < 24; i++)
		worker_start(&pingers[i], ping_often, self->session);
	far_begin(self->far, side_read_to_the_end, NULL, 0, 0);
	for (int i = 0; i < 24; i++) {
		EXPECT_EQ(0, worker_join(&pingers[i]));
	}
	shmux_stream_shutdown(self->idle, SHMUX_WRITE);
	EXPECT_EQ(0, far_finish(self->far, NULL));
}

/* --- children ----------------------------------------------------------------- */

static int64_t side_echo_to_the_end(struct side *side)
{
	return side_echo(side);
}

struct exchange {
	struct shmux_stream *st;
	bool over;
};

static int64_t exchange_until_over(void *arg)
{
	struct exchange *e = arg;
	int64_t nr = 0;
	char byte;

	do {
		SIDE_EQ(1, shmux_stream_write(e->st, "x", 1));
		SIDE_EQ(1, shmux_stream_read(e->st, &byte, 1));
		nr++;
	} while (!__atomic_load_n(&e->over, __ATOMIC_RELAXED));
	return nr;
}

TEST_F(handover, child_forked_amid_the_calls_of_other_threads_gets_echild_and_disturbs_nobody)
{
	struct exchange exchange = { .over = false };
	struct shmux_stream *st;
	struct worker worker;
	int status, nr = 0;
	char byte;
	pid_t pid;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	far_begin(self->far, side_echo_to_the_end, NULL, 0, 0);
	exchange.st = st;
	worker_start(&worker, exchange_until_over, &exchange);
	do {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			/* Whoever held the lock is not here to give it back. */
			alarm(10);
			if (shmux_stream_read(st, &byte, 1) != -ECHILD ||
			    shmux_stream_try_write(self->idle, "x", 1) != -ECHILD ||
			    shmux_stream_is_message(st) ||
			    shmux_session_ping(self->session, 0, NULL) != -ECHILD)
				_exit(1);
			shmux_stream_close(st);
			if (shmux_session_close(self->session, 0) != -ECHILD)
				_exit(2);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
		nr++;
	} while (nr < 100 && !worker_is_done(&worker));

	__atomic_store_n(&exchange.over, true, __ATOMIC_RELAXED);
	EXPECT_LT(0, worker_join(&worker));
	EXPECT_EQ(100, nr);
	shmux_stream_close(st);
	EXPECT_LT(0, far_finish(self->far, NULL));
}

/* --- a listener beside blocked calls --------------------------------------------- */

static int64_t side_dial(struct side *side)
{
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.flags = SHMUX_DIAL_WAIT,
		.deadline = shmux_now() + LONG_ENOUGH,
	};

	if (!side->context)
		SIDE_EQ(0, shmux_context_open(NULL, &side->context));
	if (side->stream)
		side_add(side, side->stream);
	SIDE_EQ(0, shmux_context_dial(side->context, side->in, &options, &side->stream));
	return 0;
}

static int64_t side_write_to_the_first(struct side *side)
{
	return shmux_stream_write(side->streams[0], "a", 1);
}

static int64_t accept_and_close(void *arg)
{
	struct shmux_stream *st;
	int64_t nr = 0;

	for (; !shmux_listener_accept(arg, 0, &st); nr++)
		shmux_stream_close(st);
	return nr;
}

TEST(reader_asleep_for_long_is_reached_after_a_listener_took_news_of_others)
{
	struct shmux_listener *listener;
	struct worker acceptor, reader;
	struct shmux_stream *st;
	char name[NAME_SIZE];
	struct far far;

	name_make(name);
	ASSERT_EQ(0, far_start(&far, FAR_CHILD));
	ASSERT_EQ(0, shmux_listener_open(name, NULL, &listener));
	far_begin(&far, side_dial, name, sizeof(name), 0);
	ASSERT_EQ(0, shmux_listener_accept(listener, 0, &st));
	ASSERT_EQ(0, far_finish(&far, NULL));
	worker_start(&acceptor, accept_and_close, listener);
	for (int round = 0; round < 10; round++) {
		worker_start(&reader, read_one, st);
		ASSERT_TRUE(worker_wait_blocked(&reader));
		usleep(DEEP / 1000);
		ASSERT_EQ(0, far_call(&far, side_dial, name, sizeof(name), NULL, 0));
		ASSERT_TRUE(worker_wait_blocked(&acceptor));
		ASSERT_TRUE(worker_wait_blocked(&reader));
		ASSERT_EQ(1, far_run(&far, side_write_to_the_first));
		ASSERT_TRUE(wait_until(worker_is_done(&reader)));
		ASSERT_EQ('a', worker_join(&reader));
	}
	shmux_listener_unblock(listener);
	EXPECT_LE(10, worker_join(&acceptor));
	shmux_stream_close(st);
	shmux_listener_close(listener);
	EXPECT_EQ(0, far_stop(&far));
}

TEST_HARNESS_MAIN
