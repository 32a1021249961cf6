// SPDX-License-Identifier: LGPL-2.1-or-later
/* eventloop.c - sessions and listeners in an epoll loop: descriptor, pump, edges */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>

#include "effort.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "process.h"

#define NR_EVENTS 64

FIXTURE(eventloop)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *session;
	struct shmux_stream *near;
	struct shmux_event events[NR_EVENTS];
};

PAIR_VARIANTS(eventloop);

FIXTURE_SETUP(eventloop)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	self->session = self->pair.session;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	shmux_stream_set_user(self->near, self);
}

FIXTURE_TEARDOWN(eventloop)
{
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

/* Whether the session's descriptor is readable within @timeout ms. */
static bool is_readable(struct shmux_session *session, int timeout)
{
	struct pollfd fd = { .fd = shmux_session_fd(session), .events = POLLIN };

	return poll(&fd, 1, timeout) == 1 && fd.revents & POLLIN;
}

/* Pump until there is nothing left, as a loop does before it polls. */
static void settle(struct __test_metadata *_metadata, struct shmux_session *session)
{
	struct shmux_event events[NR_EVENTS];
	int n;

	do {
		n = shmux_session_pump(session, events, NR_EVENTS);
		ASSERT_LE(0, n);
	} while (n);
}

/* Poll and pump until there is an event. Return: how many there are. */
static int wait_events(struct __test_metadata *_metadata, FIXTURE_DATA(eventloop) *self)
{
	uint64_t end = shmux_now() + LONG_ENOUGH;
	int n;

	do {
		ASSERT_TRUE(is_readable(self->session, 10000));
		n = shmux_session_pump(self->session, self->events, NR_EVENTS);
	} while (!n && shmux_now() < end);
	return n;
}

/* One event came, and it is this. */
static void check_event(struct __test_metadata *_metadata, FIXTURE_DATA(eventloop) *self, int n,
			struct shmux_stream *st, uint32_t event)
{
	ASSERT_EQ(1, n);
	EXPECT_EQ(st, self->events[0].stream);
	EXPECT_EQ(event, self->events[0].events & event);
}

TEST_F(eventloop, descriptor_is_not_readable_when_there_is_no_news)
{
	ASSERT_LE(0, shmux_session_fd(self->session));
	settle(_metadata, self->session);

	EXPECT_FALSE(is_readable(self->session, 50));
	EXPECT_EQ(0, shmux_session_pump(self->session, self->events, NR_EVENTS));
}

TEST_F(eventloop, descriptor_stays_the_same)
{
	int fd = shmux_session_fd(self->session);

	settle(_metadata, self->session);
	EXPECT_EQ(fd, shmux_session_fd(self->session));
}

TEST_F(eventloop, bytes_make_it_readable_and_name_their_stream)
{
	char buf[8] = "";

	settle(_metadata, self->session);
	ASSERT_EQ(5, far_write(self->far, "hello", 5));

	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_READ);
	EXPECT_EQ(self, self->events[0].user);
	EXPECT_EQ(5, shmux_stream_try_read(self->near, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(-EAGAIN, shmux_stream_try_read(self->near, buf, sizeof(buf)));
}

TEST_F(eventloop, bytes_that_came_before_anyone_asked_for_the_descriptor_are_not_missed)
{
	ASSERT_EQ(5, far_write(self->far, "hello", 5));

	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_READ);
}

TEST_F(eventloop, stream_is_named_once_for_what_came_once)
{
	settle(_metadata, self->session);
	ASSERT_EQ(5, far_write(self->far, "hello", 5));
	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_READ);

	/* It is unread still, but that is no news. */
	EXPECT_EQ(0, shmux_session_pump(self->session, self->events, NR_EVENTS));
	EXPECT_FALSE(is_readable(self->session, 20));

	ASSERT_EQ(5, far_write(self->far, "again", 5));
	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_READ);
}

TEST_F(eventloop, news_between_two_pumps_are_not_missed)
{
	char buf[8];

	for (uint32_t i = effort_count(2000); i--;) {
		ASSERT_EQ(1, far_write(self->far, "x", 1));
		check_event(_metadata, self, wait_events(_metadata, self), self->near,
			    SHMUX_EVENT_READ);
		ASSERT_EQ(1, shmux_stream_try_read(self->near, buf, sizeof(buf)));
	}
}

TEST_F(eventloop, end_of_a_stream_is_an_event)
{
	char buf[8];

	settle(_metadata, self->session);
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_WRITE));

	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_READ);
	EXPECT_EQ(0, shmux_stream_try_read(self->near, buf, sizeof(buf)));
}

TEST_F(eventloop, reset_is_an_event_for_reader_and_writer)
{
	char buf[8];

	settle(_metadata, self->session);
	ASSERT_EQ(0, far_reset(self->far, SHMUX_CODE_USER));

	check_event(_metadata, self, wait_events(_metadata, self), self->near,
		    SHMUX_EVENT_READ | SHMUX_EVENT_WRITE);
	EXPECT_EQ(-ECONNRESET, shmux_stream_try_read(self->near, buf, sizeof(buf)));
}

TEST_F(eventloop, stop_sending_is_an_event_for_the_writer)
{
	NOT_OVER_YAMUX("does not tell that nobody reads any more");
	settle(_metadata, self->session);
	ASSERT_EQ(0, far_shutdown(self->far, SHMUX_READ));

	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_WRITE);
	EXPECT_EQ(-EPIPE, shmux_stream_try_write(self->near, "x", 1));
}

TEST_F(eventloop, credit_after_there_was_none_is_an_event)
{
	static char buf[65536];
	struct bulk bulk = { .piece = 65536 };
	ssize_t n;

	settle(_metadata, self->session);
	while ((n = shmux_stream_try_write(self->near, buf, sizeof(buf))) > 0)
		bulk.len += (uint64_t)n;
	ASSERT_EQ(-EAGAIN, n);
	ASSERT_LE(0, far_pump(self->far));
	while (far_try_read(self->far, buf, sizeof(buf)) > 0)
		;

	check_event(_metadata, self, wait_events(_metadata, self), self->near, SHMUX_EVENT_WRITE);
	EXPECT_LT(0, shmux_stream_try_write(self->near, "x", 1));
}

TEST_F(eventloop, room_for_an_open_after_there_was_none_is_an_event)
{
	enum { SLOTS = 64 };
	struct shmux_stream *opened[SLOTS + 1];
	struct pair pair;
	int nr = 0, err = 0;

	NOT_OVER_YAMUX("has no ring");
	ASSERT_EQ(0, pair_open(&pair, variant->kind, SESSION_OPTIONS(.ring_slots = SLOTS), NULL));
	ASSERT_LE(0, shmux_session_fd(pair.session));
	settle(_metadata, pair.session);
	while (!err && nr <= SLOTS) {
		err = shmux_session_open(pair.session, SHMUX_STREAM_NOWAIT, &opened[nr]);
		nr += !err;
	}
	ASSERT_EQ(-EAGAIN, err);
	EXPECT_FALSE(is_readable(pair.session, 50));
	ASSERT_LE(0, far_pump(&pair.far));

	ASSERT_TRUE(is_readable(pair.session, 10000));
	ASSERT_EQ(1, shmux_session_pump(pair.session, self->events, NR_EVENTS));
	EXPECT_EQ(NULL, self->events[0].stream);
	EXPECT_EQ(SHMUX_EVENT_WRITE, self->events[0].events);
	EXPECT_EQ(0, shmux_session_open(pair.session, SHMUX_STREAM_NOWAIT, &opened[nr++]));
	while (nr--)
		shmux_stream_close(opened[nr]);
	EXPECT_EQ(0, pair_close(&pair));
}

/* Write to each stream what it takes, until the session takes nothing more. */
static void fill(struct __test_metadata *_metadata, struct shmux_session *session,
		 struct shmux_stream *streams[], int nr)
{
	static char buf[65536];
	struct shmux_event events[NR_EVENTS];

	do {
		for (int i = 0; i < nr; i++)
			while (shmux_stream_try_write(streams[i], buf, sizeof(buf)) > 0)
				;
		ASSERT_LE(0, shmux_session_pump(session, events, NR_EVENTS));
	} while (is_readable(session, 20));
}

TEST_F(eventloop, room_that_another_call_has_made_is_an_event)
{
	struct shmux_stream *streams[8];
	uint32_t seen = 0;
	int n;

	if (!pair_is_yamux(variant->kind))
		SKIP(return, "it is the peer who makes room in a ring");
	settle(_metadata, self->session);
	for (int i = 0; i < 8; i++)
		ASSERT_EQ(0, shmux_session_open(self->session, SHMUX_STREAM_BYTES, &streams[i]));
	fill(_metadata, self->session, streams, 8);

	/* The peer takes it all in, and we say the rest while we ask something else. */
	for (int i = 0; i < 20; i++) {
		ASSERT_LE(0, far_pump(self->far));
		ASSERT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(self->session));
	}

	EXPECT_TRUE(is_readable(self->session, 1000));
	n = shmux_session_pump(self->session, self->events, NR_EVENTS);
	for (int i = 0; i < n; i++)
		seen |= self->events[i].stream ? self->events[i].events : 0;
	EXPECT_EQ(SHMUX_EVENT_WRITE, seen & SHMUX_EVENT_WRITE);
	for (int i = 0; i < 8; i++)
		shmux_stream_close(streams[i]);
}

TEST_F(eventloop, stream_that_waits_to_be_accepted_is_an_event)
{
	struct shmux_stream *st;

	settle(_metadata, self->session);
	ASSERT_EQ(0, far_open(self->far, 0));

	check_event(_metadata, self, wait_events(_metadata, self), NULL, SHMUX_EVENT_ACCEPT);
	ASSERT_EQ(0, shmux_session_accept(self->session, SHMUX_NOWAIT, &st));
	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->session, SHMUX_NOWAIT, &st));
	shmux_stream_close(st);
}

TEST_F(eventloop, peers_death_is_an_event)
{
	bool dead = false;
	int n;

	if (variant->kind == PAIR_SAME_PROCESS)
		SKIP(return, "the peer cannot die alone");
	settle(_metadata, self->session);
	far_kill(self->far);

	/* The stream that was open may be named as well. */
	while (!dead) {
		n = wait_events(_metadata, self);
		ASSERT_LT(0, n);
		for (int i = 0; i < n; i++)
			dead |= !self->events[i].stream &&
				self->events[i].events & SHMUX_EVENT_DEAD;
	}
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->session));
}

TEST_F(eventloop, peers_close_is_an_event)
{
	bool over = false;
	int n;

	settle(_metadata, self->session);
	far_close_session(self->far);

	while (!over) {
		n = wait_events(_metadata, self);
		ASSERT_LT(0, n);
		for (int i = 0; i < n; i++)
			over |= !!(self->events[i].events & SHMUX_EVENT_DEAD);
	}
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->session));
}

/* The streams of side->streams with these numbers get a byte. */
static int64_t side_poke(struct side *side)
{
	const uint32_t *number = side->in;

	for (size_t i = 0; i < side->in_len / sizeof(*number); i++)
		SIDE_EQ(1, shmux_stream_write(side->streams[number[i]], "x", 1));
	return 0;
}

enum { NR_STREAMS = 200 };

static void open_many(struct __test_metadata *_metadata, FIXTURE_DATA(eventloop) *self,
		      struct shmux_stream **st)
{
	/* The fixture's stream is the far side's first. */
	st[0] = self->near;
	for (int i = 1; i <= NR_STREAMS; i++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st[i]));
		shmux_stream_set_user(st[i], &st[i]);
	}
	settle(_metadata, self->session);
}

TEST_F(eventloop, only_the_streams_with_news_are_named)
{
	static const uint32_t poked[] = { 17, 42, 133 };
	struct shmux_stream *st[NR_STREAMS + 1];
	bool named[NR_STREAMS + 1] = { false };
	int nr = 0;

	open_many(_metadata, self, st);
	ASSERT_EQ(0, far_call(self->far, side_poke, poked, sizeof(poked), NULL, 0));
	while (nr < 3) {
		int n = wait_events(_metadata, self);

		ASSERT_LT(0, n);
		for (int i = 0; i < n; i++) {
			struct shmux_stream **slot = self->events[i].user;

			ASSERT_EQ(*slot, self->events[i].stream);
			EXPECT_FALSE(named[slot - st]);
			named[slot - st] = true;
		}
		nr += n;
	}
	EXPECT_EQ(3, nr);
	EXPECT_TRUE(named[17] && named[42] && named[133]);
	EXPECT_EQ(0, shmux_session_pump(self->session, self->events, NR_EVENTS));
	for (int i = 1; i <= NR_STREAMS; i++)
		shmux_stream_close(st[i]);
}

TEST_F(eventloop, more_news_than_asked_for_come_with_the_next_pump)
{
	uint32_t poked[NR_STREAMS];
	struct shmux_stream *st[NR_STREAMS + 1];
	int times[NR_STREAMS + 1] = { 0 };
	uint64_t end = shmux_now() + LONG_ENOUGH;
	int nr = 0, n;

	open_many(_metadata, self, st);
	for (uint32_t i = 0; i < NR_STREAMS; i++)
		poked[i] = i;
	ASSERT_EQ(0, far_call(self->far, side_poke, poked, sizeof(poked), NULL, 0));
	while (nr < NR_STREAMS && shmux_now() < end) {
		n = shmux_session_pump(self->session, self->events, 3);
		ASSERT_LE(0, n);
		ASSERT_GE(3, n);
		for (int i = 0; i < n; i++) {
			for (uint32_t k = 0; k < NR_STREAMS; k++)
				times[k] += st[k] == self->events[i].stream;
		}
		nr += n;
	}
	for (uint32_t i = 0; i < NR_STREAMS; i++) {
		EXPECT_EQ(1, times[i]);
	}
	EXPECT_EQ(0, shmux_session_pump(self->session, self->events, 3));
	for (int i = 1; i <= NR_STREAMS; i++)
		shmux_stream_close(st[i]);
}

TEST_F(eventloop, closed_stream_is_named_no_more)
{
	settle(_metadata, self->session);
	ASSERT_EQ(5, far_write(self->far, "hello", 5));
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->near) == 5));
	shmux_stream_close(self->near);
	self->near = NULL;

	EXPECT_EQ(0, shmux_session_pump(self->session, self->events, NR_EVENTS));
}

TEST_F(eventloop, pump_with_no_room_for_events_is_refused)
{
	EXPECT_EQ(-EINVAL, shmux_session_pump(self->session, self->events, 0));
	EXPECT_EQ(-EINVAL, shmux_session_pump(self->session, self->events, -1));
}

static int64_t read_one(void *arg)
{
	char buf[8];

	return shmux_stream_read(arg, buf, sizeof(buf));
}

TEST_F(eventloop, blocked_call_in_another_thread_does_not_steal_the_news)
{
	struct shmux_stream *other;
	struct worker reader;
	char buf[8];

	/* The reader pumps, too. What it finds for others must reach the loop. */
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &other));
	settle(_metadata, self->session);
	worker_start(&reader, read_one, self->near);
	for (int i = 0; i < 300; i++) {
		ASSERT_EQ(1, far_write(self->far, "x", 1));
		do {
			ASSERT_LT(0, wait_events(_metadata, self));
		} while (shmux_stream_try_read(other, buf, sizeof(buf)) != 1);
	}
	shmux_stream_unblock(self->near, SHMUX_READ);
	EXPECT_EQ(-ECANCELED, worker_join(&reader));
	shmux_stream_close(other);
}

/* Many sessions, each in one epoll; the far side is a loop as well. */
FIXTURE(loop)
{
	int nr_fds;
	int epoll;
	char name[NAME_SIZE];
	struct far far;
};

FIXTURE_VARIANT(loop)
{
	enum far_place place;
};

FIXTURE_VARIANT_ADD(loop, same_process)
{
	.place = FAR_SAME_PROCESS,
};

FIXTURE_VARIANT_ADD(loop, two_processes)
{
	.place = FAR_CHILD,
};

FIXTURE_SETUP(loop)
{
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, far_start(&self->far, variant->place));
	name_make(self->name);
	self->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->epoll);
}

FIXTURE_TEARDOWN(loop)
{
	close(self->epoll);
	if (_metadata->aborted)
		far_kill(&self->far);
	EXPECT_EQ(0, far_stop(&self->far));
	if (!_metadata->aborted) {
		EXPECT_EQ(self->nr_fds, process_nr_fds());
		EXPECT_FALSE(process_leaks());
	}
}

enum { NR_SESSIONS = 40, NR_EACH = 8, NR_ROUNDS = 20 };

static int64_t side_listen(struct side *side)
{
	return shmux_listener_open(side->in, NULL, &side->listener);
}

/*
 * Accept and echo in one thread that sleeps in poll() alone, until every stream
 * that was opened has ended.
 */
static int64_t side_serve(struct side *side)
{
	struct pollfd fd = { .events = POLLIN };
	struct shmux_stream *st;
	size_t nr_done = 0;
	char buf[64];
	ssize_t n;
	int ret;

	fd.fd = shmux_listener_fd(side->listener);
	SIDE_TRUE(fd.fd >= 0);
	while (nr_done < NR_SESSIONS * NR_EACH) {
		while (!(ret = shmux_listener_accept(side->listener, SHMUX_NOWAIT, &st)))
			side_add(side, st);
		SIDE_EQ(-EAGAIN, ret);
		for (size_t i = 0; i < side->nr_streams; i++) {
			st = side->streams[i];
			if (!st)
				continue;
			while ((n = shmux_stream_try_read(st, buf, sizeof(buf))) > 0)
				SIDE_EQ(n, shmux_stream_try_write(st, buf, (size_t)n));
			if (n == -EAGAIN)
				continue;
			SIDE_EQ(0, n);
			shmux_stream_close(st);
			side->streams[i] = NULL;
			nr_done++;
		}
		SIDE_TRUE(poll(&fd, 1, 1) >= 0);
	}
	return (int64_t)nr_done;
}

struct connection {
	struct shmux_session *session;
	struct shmux_stream *st[NR_EACH];
	uint32_t nr_back[NR_EACH];	/* rounds that have come back */
};

/* Take what has come on one connection and send the next round where it has. */
static int serve_connection(struct __test_metadata *_metadata, struct connection *c)
{
	struct shmux_event events[4];
	uint32_t number;
	int n, nr_done = 0;

	do {
		n = shmux_session_pump(c->session, events, 4);
		ASSERT_LE(0, n);
		for (int i = 0; i < n; i++) {
			struct shmux_stream **slot = events[i].user;
			uint32_t *nr_back;

			if (!(events[i].events & SHMUX_EVENT_READ))
				continue;
			ASSERT_EQ(*slot, events[i].stream);
			nr_back = &c->nr_back[slot - c->st];
			while (shmux_stream_try_read(*slot, &number, 4) == 4) {
				ASSERT_EQ(*nr_back, number);
				number = ++*nr_back;
				if (number < NR_ROUNDS) {
					ASSERT_EQ(4, shmux_stream_try_write(*slot, &number, 4));
				} else {
					nr_done++;
				}
			}
		}
	} while (n == 4);
	return nr_done;
}

TEST_F(loop, serves_many_sessions_in_one_epoll)
{
	struct connection *connections = calloc(NR_SESSIONS, sizeof(*connections));
	struct epoll_event events[16];
	int nr_done = 0;

	ASSERT_EQ(0, far_call(&self->far, side_listen, self->name, sizeof(self->name), NULL, 0));
	far_begin(&self->far, side_serve, NULL, 0, 0);
	for (int i = 0; i < NR_SESSIONS; i++) {
		struct connection *c = &connections[i];
		struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
		uint32_t zero = 0;

		ASSERT_EQ(0, shmux_session_dial(self->name,
						SESSION_OPTIONS(.ring_slots = 256,
								.arena_size = 65536),
						shmux_now() + LONG_ENOUGH, &c->session));
		for (int k = 0; k < NR_EACH; k++) {
			ASSERT_EQ(0, shmux_session_open(c->session, 0, &c->st[k]));
			shmux_stream_set_user(c->st[k], &c->st[k]);
			ASSERT_EQ(4, shmux_stream_write(c->st[k], &zero, 4));
		}
		ASSERT_EQ(0, epoll_ctl(self->epoll, EPOLL_CTL_ADD, shmux_session_fd(c->session),
				       &event));
		/* From now on its descriptor tells. */
		nr_done += serve_connection(_metadata, c);
	}
	while (nr_done < NR_SESSIONS * NR_EACH) {
		int n = epoll_wait(self->epoll, events, 16, 10000);

		ASSERT_LT(0, n);
		for (int i = 0; i < n; i++)
			nr_done += serve_connection(_metadata, events[i].data.ptr);
	}
	for (int i = 0; i < NR_SESSIONS; i++) {
		for (int k = 0; k < NR_EACH; k++)
			shmux_stream_close(connections[i].st[k]);
	}
	EXPECT_EQ(NR_SESSIONS * NR_EACH, far_finish(&self->far, NULL));
	for (int i = 0; i < NR_SESSIONS; i++)
		shmux_session_close(connections[i].session, 0);
	free(connections);
}

TEST_HARNESS_MAIN
