// SPDX-License-Identifier: LGPL-2.1-or-later
/* memory.c - what a session costs, in pages of both processes together */
#include <errno.h>

#include "effort.h"
#include "harness.h"
#include "over.h"
#include "pair.h"
#include "process.h"

#define KIB 1024
/*
 * Of a session, whose rings are large and hardly touched. The module has them there
 * at once; then a look at a page of a ring maps the others near it as well.
 */
#define RINGS (2 * 4096 * 64)
#define SESSION_MAX (64 * KIB + (over_kmod() ? RINGS : 0))

enum { NR_SESSIONS = 32 };

/* Two processes with several sessions between them. */
FIXTURE(memory)
{
	int nr_fds;
	char name[NAME_SIZE];
	struct far far;
};

static int64_t side_listen(struct side *side)
{
	return shmux_listener_open(side->in, NULL, &side->listener);
}

FIXTURE_SETUP(memory)
{
	self->nr_fds = process_nr_fds();
	name_make(self->name);
	ASSERT_EQ(0, far_start(&self->far, FAR_CHILD));
	ASSERT_EQ(0, far_call(&self->far, side_listen, self->name, sizeof(self->name), NULL, 0));
}

FIXTURE_TEARDOWN(memory)
{
	if (_metadata->aborted)
		far_kill(&self->far);
	EXPECT_EQ(0, far_stop(&self->far));
	if (!_metadata->aborted) {
		EXPECT_EQ(self->nr_fds, process_nr_fds());
		EXPECT_FALSE(process_leaks());
	}
}

/* The next stream of whichever session; echo @in bytes on it. */
static int64_t side_serve_one(struct side *side)
{
	size_t len = *(const size_t *)side->in;
	struct iovec iov = { .iov_base = malloc(len), .iov_len = len };
	int64_t n = -1;

	SIDE_EQ(0, shmux_listener_accept(side->listener, 0, &side->stream));
	side_add(side, side->stream);
	if (shmux_stream_recv(side->stream, &iov, 1, SHMUX_WAITALL) == (ssize_t)len)
		n = shmux_stream_write(side->stream, iov.iov_base, len);
	side->stream = NULL;
	free(iov.iov_base);
	return n;
}

static int64_t side_close_streams(struct side *side)
{
	struct shmux_stream *none;

	for (size_t i = 0; i < side->nr_streams; i++)
		shmux_stream_close(side->streams[i]);
	side->nr_streams = 0;
	/* The listener lets go of those whose peer has closed. */
	return shmux_listener_accept(side->listener, SHMUX_NOWAIT, &none);
}

static int64_t side_pss(struct side *side)
{
	(void)side;
	return process_pss();
}

struct connection {
	struct shmux_session *session;
	struct shmux_stream *st;
};

/* A session, a stream and one echo of @len bytes. */
static void connect_one(struct __test_metadata *_metadata, FIXTURE_DATA(memory) *self,
			struct connection *c, size_t len)
{
	static char buf[64 * KIB];
	struct iovec iov = { .iov_base = buf, .iov_len = len };

	far_begin(&self->far, side_serve_one, &len, sizeof(len), 0);
	ASSERT_EQ(0, shmux_session_dial(self->name, NULL, shmux_now() + LONG_ENOUGH, &c->session));
	ASSERT_EQ(0, shmux_session_open(c->session, 0, &c->st));
	ASSERT_EQ((ssize_t)len, shmux_stream_write(c->st, buf, len));
	ASSERT_EQ((ssize_t)len, shmux_stream_recv(c->st, &iov, 1, SHMUX_WAITALL));
	ASSERT_EQ((int64_t)len, far_finish(&self->far, NULL));
}

static void disconnect(struct connection *c)
{
	shmux_stream_close(c->st);
	shmux_session_close(c->session, 0);
}

static int64_t pss_of_both(struct far *far)
{
	return process_pss() + far_run(far, side_pss);
}

/* The growth for a session in the mean, the first ones having warmed up. */
static int64_t growth(struct __test_metadata *_metadata, FIXTURE_DATA(memory) *self, size_t len)
{
	struct connection c[2 + NR_SESSIONS];
	int64_t before = 0, after;

	for (size_t i = 0; i < ARRAY_SIZE(c); i++) {
		if (i == 2) {
			pss_of_both(&self->far);
			before = pss_of_both(&self->far);
		}
		connect_one(_metadata, self, &c[i], len);
	}
	after = pss_of_both(&self->far);
	for (size_t i = 0; i < ARRAY_SIZE(c); i++)
		disconnect(&c[i]);
	far_run(&self->far, side_close_streams);
	TH_LOG("%zu bytes: %lld KiB a session", len,
	       (long long)(after - before) / NR_SESSIONS / KIB);
	return (after - before) / NR_SESSIONS;
}

TEST_F(memory, session_costs_at_most_64_kib_after_one_echo)
{
	if (process_is_sanitized())
		SKIP(return, "the sanitizer's memory is not ours");
	EXPECT_GE(SESSION_MAX, growth(_metadata, self, 64));
}

TEST_F(memory, larger_echo_costs_little_more_than_its_bytes)
{
	if (process_is_sanitized())
		SKIP(return, "the sanitizer's memory is not ours");
	EXPECT_GE(SESSION_MAX + 4 * 32 * KIB, growth(_metadata, self, 32 * KIB));
}

TEST_F_TIMEOUT(memory, closed_sessions_leave_nothing_behind, EFFORT_TIMEOUT)
{
	const int warm_up = effort_is_emulated() ? 30 : 100;
	const int nr = effort_is_emulated() ? 60 : 200;
	struct connection c;
	int64_t before = 0, after;

	if (process_is_sanitized())
		SKIP(return, "the sanitizer's memory is not ours");
	for (int i = 0; i < warm_up + nr; i++) {
		if (i == warm_up) {
			pss_of_both(&self->far);
			before = pss_of_both(&self->far);
		}
		connect_one(_metadata, self, &c, 32 * KIB);
		disconnect(&c);
		EXPECT_EQ(-EAGAIN, far_run(&self->far, side_close_streams));
	}
	after = pss_of_both(&self->far);
	/* If each left a page it would be twice as much. */
	EXPECT_GE(nr * 2 * KIB, after - before) {
		TH_LOG("%lld bytes more", (long long)(after - before));
	}
}

TEST_HARNESS_MAIN
