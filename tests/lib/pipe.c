// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pipe.c - rendezvous pipes: within a process, and over every kind of session
 *
 * The near end is the test's; the far one is a thread's, or a child's. Which of
 * them writes each test says.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "effort.h"
#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define KIB 1024u
#define MIB (1024u * 1024u)
#define SOON (20 * MSEC)
#define OPTIONS(bytes)                                                            \
	(&(struct shmux_pipe_options){ .size = sizeof(struct shmux_pipe_options), \
				       .buffer = (bytes) })

/* The far end; in a child the child's. */
static struct shmux_pipe *far_pipe;

FIXTURE(pipe)
{
	struct pair pair;
	struct far *far;
	struct shmux_pipe *near;
	int nr_fds;
	bool killed;
};

FIXTURE_VARIANT(pipe)
{
	bool local, scarce;
	enum pair_kind kind;
};

FIXTURE_VARIANT_ADD(pipe, within_a_process){
	.local = true,
};
FIXTURE_VARIANT_ADD(pipe, same_process){
	.kind = PAIR_SAME_PROCESS,
};
FIXTURE_VARIANT_ADD(pipe, two_processes){
	.kind = PAIR_TWO_PROCESSES,
};
FIXTURE_VARIANT_ADD(pipe, listener){
	.kind = PAIR_LISTENER,
};
/* Everything runs out all the time, amid a frame too. */
FIXTURE_VARIANT_ADD(pipe, scarce){
	.kind = PAIR_TWO_PROCESSES,
	.scarce = true,
};
FIXTURE_VARIANT_ADD(pipe, yamux_socket){
	.kind = PAIR_YAMUX_SOCKET,
};
FIXTURE_VARIANT_ADD(pipe, yamux_pipes){
	.kind = PAIR_YAMUX_PIPES,
};

/* What the far side is told to do, and how it went. */
struct order {
	uint32_t how, buffer;
	size_t len;
	uint64_t position;
	unsigned int flags;
	int error;
	uint64_t timeout; /* 0: none */
};

static int64_t side_attach_pipe(struct side *side)
{
	const struct order *o = side->in;
	struct shmux_stream *st = side->stream;

	side->stream = NULL;
	return shmux_pipe_attach(st, o->how, OPTIONS(o->buffer), &far_pipe);
}

static int64_t side_close_pipe(struct side *side)
{
	(void)side;
	shmux_pipe_close(far_pipe);
	far_pipe = NULL;
	return 0;
}

static void set_timeout(struct shmux_pipe *p, uint64_t timeout)
{
	shmux_pipe_set_deadline(p, timeout ? shmux_now() + timeout : SHMUX_NEVER);
}

static ssize_t send_pattern(struct shmux_pipe *p, size_t len, uint64_t position, unsigned int flags)
{
	char *buf = malloc(len + 1);
	struct iovec iov = { buf, len };
	ssize_t n;

	pattern_fill(buf, len, position, 7);
	n = shmux_pipe_send(p, &iov, 1, flags);
	free(buf);
	return n;
}

/* Return: what the call did; -EILSEQ: what came was not the pattern. */
static ssize_t recv_pattern(struct shmux_pipe *p, size_t size, uint64_t position,
			    unsigned int flags)
{
	char *buf = malloc(size + 1);
	struct iovec iov = { buf, size };
	ssize_t n = shmux_pipe_recv(p, &iov, 1, flags);

	if (n > 0 && pattern_check(buf, (size_t)n, position, 7) >= 0)
		n = -EILSEQ;
	free(buf);
	return n;
}

static int64_t side_send(struct side *side)
{
	const struct order *o = side->in;

	set_timeout(far_pipe, o->timeout);
	return send_pattern(far_pipe, o->len, o->position, o->flags);
}

static int64_t side_recv(struct side *side)
{
	const struct order *o = side->in;

	set_timeout(far_pipe, o->timeout);
	return recv_pattern(far_pipe, o->len, o->position, o->flags);
}

static int64_t side_shutdown_pipe(struct side *side)
{
	const struct order *o = side->in;

	set_timeout(far_pipe, o->timeout);
	return shmux_pipe_shutdown(far_pipe, o->error, o->flags);
}

static int64_t side_error(struct side *side)
{
	int error = 1;
	int err = shmux_pipe_error(far_pipe, &error);

	(void)side;
	return err ? err : error;
}

#define FAR(fn, ...)                                                       \
	({                                                                 \
		struct order order_ = { __VA_ARGS__ };                     \
		far_call(self->far, fn, &order_, sizeof(order_), NULL, 0); \
	})
#define FAR_BEGIN(fn, ...)                                            \
	({                                                            \
		struct order order_ = { __VA_ARGS__ };                \
		far_begin(self->far, fn, &order_, sizeof(order_), 0); \
	})

/* Make the pipe; @how: what the near end does. */
#define OPEN(how_, bytes)                                                                          \
	do {                                                                                       \
		unsigned int far_how_ = SHMUX_READ + SHMUX_WRITE - (how_);                         \
		struct shmux_stream *st_;                                                          \
                                                                                                   \
		if (variant->local) {                                                              \
			ASSERT_EQ(0,                                                               \
				  shmux_pipe_new(OPTIONS(bytes),                                   \
						 (how_) == SHMUX_READ ? &self->near : &far_pipe,   \
						 (how_) == SHMUX_READ ? &far_pipe : &self->near)); \
		} else {                                                                           \
			ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st_));     \
			ASSERT_EQ(0, FAR(side_attach_pipe, .how = far_how_, .buffer = (bytes)));   \
			ASSERT_EQ(0, shmux_pipe_attach(st_, how_, OPTIONS(bytes), &self->near));   \
		}                                                                                  \
	} while (0)

FIXTURE_SETUP(pipe)
{
	far_pipe = NULL;
	self->nr_fds = process_nr_fds();
	if (variant->local) {
		ASSERT_EQ(0, far_start(&self->pair.far, FAR_SAME_PROCESS));
	} else {
		const struct shmux_session_options *options =
			SESSION_OPTIONS(.ring_slots = 64, .arena_size = 65536, .window = 12000,
					.first_grant = 100, .budget = 60000, .streams_max = 100);

		if (!variant->scarce)
			options = NULL;
		ASSERT_EQ(0, pair_open(&self->pair, variant->kind, options, options));
	}
	self->far = &self->pair.far;
}

FIXTURE_TEARDOWN(pipe)
{
	shmux_pipe_close(self->near);
	if (!_metadata->aborted && !self->killed)
		far_run(self->far, side_close_pipe);
	if (!variant->local) {
		PAIR_TEARDOWN(&self->pair);
	} else if (!_metadata->aborted) {
		EXPECT_EQ(0, far_stop(self->far));
		EXPECT_EQ(self->nr_fds, process_nr_fds());
	}
}

/* A call on the near end, in a thread. */
struct job {
	struct worker worker;
	struct shmux_pipe *p;
	size_t len;
	uint64_t position;
	int error;
};

static int64_t job_send(void *arg)
{
	struct job *job = arg;

	return send_pattern(job->p, job->len, job->position, 0);
}

static int64_t job_recv(void *arg)
{
	struct job *job = arg;

	return recv_pattern(job->p, job->len, job->position, 0);
}

static int64_t job_shutdown(void *arg)
{
	struct job *job = arg;

	return shmux_pipe_shutdown(job->p, job->error, 0);
}

TEST_F(pipe, write_returns_when_the_last_of_it_has_been_read_and_not_before)
{
	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = 100);
	EXPECT_EQ(40, recv_pattern(self->near, 40, 0, 0));
	EXPECT_EQ(59, recv_pattern(self->near, 59, 40, 0));
	EXPECT_TRUE(far_wait_blocked(self->far));
	EXPECT_FALSE(far_is_done(self->far));
	EXPECT_EQ(1, recv_pattern(self->near, 40, 99, 0));
	EXPECT_EQ(100, far_finish(self->far, NULL));
}

TEST_F(pipe, read_that_waits_takes_the_whole_of_a_write_and_nothing_of_the_next)
{
	OPEN(SHMUX_WRITE, 0);
	FAR_BEGIN(side_recv, .len = 1000);
	EXPECT_EQ(10, send_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(10, far_finish(self->far, NULL));
	FAR_BEGIN(side_recv, .len = 1000, .position = 10);
	EXPECT_EQ(20, send_pattern(self->near, 20, 10, 0));
	EXPECT_EQ(20, far_finish(self->far, NULL));
}

TEST_F(pipe, read_with_room_takes_all_of_a_large_write)
{
	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = 3 * MIB);
	EXPECT_EQ(3 * MIB, recv_pattern(self->near, 4 * MIB, 0, 0));
	EXPECT_EQ(3 * MIB, far_finish(self->far, NULL));
}

TEST_F(pipe, list_of_many_buffers_is_one_write_and_one_read)
{
	struct iovec from[40], to[30];
	char in[40 * 30], out[40 * 30];
	int i;

	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = sizeof(in));
	for (i = 0; i < 30; i++)
		to[i] = (struct iovec){ in + i * 40, i == 3 ? 0 : 40 };
	EXPECT_EQ(29 * 40, shmux_pipe_recv(self->near, to, 30, 0));
	EXPECT_EQ(-1, pattern_check(in, 120, 0, 7));
	EXPECT_EQ(-1, pattern_check(in + 160, 40 * 26, 120, 7));
	EXPECT_EQ(40, recv_pattern(self->near, 100, 29 * 40, 0));
	EXPECT_EQ((int64_t)sizeof(in), far_finish(self->far, NULL));
	shmux_pipe_close(self->near);
	far_run(self->far, side_close_pipe);

	OPEN(SHMUX_WRITE, 0);
	FAR_BEGIN(side_recv, .len = 2 * sizeof(out));
	pattern_fill(out, sizeof(out), 0, 7);
	for (i = 0; i < 40; i++)
		from[i] = (struct iovec){ out + i * 30, 30 };
	EXPECT_EQ((int64_t)sizeof(out), shmux_pipe_send(self->near, from, 40, 0));
	EXPECT_EQ((int64_t)sizeof(out), far_finish(self->far, NULL));
}

TEST_F(pipe, empty_write_waits_for_a_read_which_returns_0)
{
	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = 0);
	EXPECT_TRUE(far_wait_blocked(self->far));
	EXPECT_FALSE(far_is_done(self->far));
	EXPECT_EQ(0, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(0, far_finish(self->far, NULL));
	FAR_BEGIN(side_send, .len = 5);
	EXPECT_EQ(5, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(5, far_finish(self->far, NULL));
}

TEST_F(pipe, read_without_room_waits_for_a_write_and_takes_nothing)
{
	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = 5);
	EXPECT_EQ(0, recv_pattern(self->near, 0, 0, 0));
	EXPECT_EQ(0, recv_pattern(self->near, 0, 0, 0));
	EXPECT_EQ(5, recv_pattern(self->near, 5, 0, 0));
	EXPECT_EQ(5, far_finish(self->far, NULL));
}

TEST_F(pipe, end_is_told_from_an_empty_write)
{
	int error = 1;

	OPEN(SHMUX_READ, 0);
	EXPECT_EQ(-ENODATA, shmux_pipe_error(self->near, &error));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = 0));
	EXPECT_EQ(-ENODATA, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(-ENODATA, recv_pattern(self->near, 0, 0, SHMUX_NOWAIT));
	EXPECT_EQ(0, shmux_pipe_error(self->near, &error));
	EXPECT_EQ(0, error);
	EXPECT_EQ(-EPIPE, FAR(side_send, .len = 1));
	EXPECT_EQ(0, FAR(side_error));
}

TEST_F(pipe, writers_error_is_what_readers_get)
{
	int error = 1;

	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = 5);
	EXPECT_EQ(5, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(5, far_finish(self->far, NULL));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EXDEV));
	EXPECT_EQ(-EXDEV, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(-EXDEV, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(0, shmux_pipe_error(self->near, &error));
	EXPECT_EQ(-EXDEV, error);
}

TEST_F(pipe, readers_error_is_what_writers_get_after_the_count_of_what_was_read)
{
	struct job job = { .len = 100 };
	int error = 1;

	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_EQ(30, FAR(side_recv, .len = 30));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EDOM));
	EXPECT_EQ(30, worker_join(&job.worker));
	EXPECT_EQ(-EDOM, send_pattern(self->near, 1, 0, 0));
	EXPECT_EQ(-EDOM, send_pattern(self->near, 0, 0, SHMUX_NOWAIT));
	EXPECT_EQ(0, shmux_pipe_error(self->near, &error));
	EXPECT_EQ(-EDOM, error);
	EXPECT_EQ(-EPIPE, FAR(side_recv, .len = 1));
}

TEST_F(pipe, errors_that_mean_something_here_can_be_given_as_well)
{
	static const int errors[] = { -ECHILD, -EAGAIN, -ETIMEDOUT, -ECANCELED, -EPROTO, -4095 };
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		int error = 1;

		OPEN(SHMUX_READ, 0);
		EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = errors[i]));
		EXPECT_EQ(errors[i], recv_pattern(self->near, 10, 0, 0));
		EXPECT_EQ(0, shmux_pipe_error(self->near, &error));
		EXPECT_EQ(errors[i], error);
		EXPECT_EQ(errors[i], recv_pattern(self->near, 10, 0, SHMUX_NOWAIT));
		shmux_pipe_close(self->near);
		self->near = NULL;
		far_run(self->far, side_close_pipe);
	}
}

TEST_F(pipe, reader_that_ends_without_an_error_gives_EPIPE)
{
	struct job job = { .len = 1 };

	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_TRUE(worker_wait_blocked(&job.worker));
	EXPECT_EQ(0, far_run(self->far, side_close_pipe));
	EXPECT_EQ(-EPIPE, worker_join(&job.worker));
}

TEST_F(pipe, large_write_that_is_ended_amid_tells_what_was_read)
{
	struct job job = { .len = 8 * MIB };

	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_EQ(1000001, FAR(side_recv, .len = 1000001));
	EXPECT_EQ(77, FAR(side_recv, .len = 77, .position = 1000001));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EDOM));
	EXPECT_EQ(1000078, worker_join(&job.worker));
}

TEST_F(pipe, first_end_is_the_one_that_counts)
{
	int error = 1;

	OPEN(SHMUX_READ, 0);
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EXDEV));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EDOM));
	EXPECT_EQ(-EXDEV, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, -EILSEQ, 0));
	EXPECT_EQ(0, shmux_pipe_error(self->near, &error));
	EXPECT_EQ(-EXDEV, error);
	EXPECT_EQ(-EXDEV, FAR(side_error));
}

TEST_F(pipe, writer_that_ends_after_its_reader_learns_that_all_was_read)
{
	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_send, .len = 5);
	EXPECT_EQ(5, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, -EDOM, 0));
	EXPECT_EQ(5, far_finish(self->far, NULL));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = 0));
	EXPECT_EQ(-EPIPE, FAR(side_send, .len = 5));
}

TEST_F(pipe, write_that_times_out_has_not_been_read_and_will_not_be)
{
	OPEN(SHMUX_WRITE, 0);
	set_timeout(self->near, SOON);
	EXPECT_EQ(-ETIMEDOUT, send_pattern(self->near, 100, 55, 0));
	EXPECT_EQ(-ETIMEDOUT, send_pattern(self->near, 0, 0, 0));
	set_timeout(self->near, 0);
	FAR_BEGIN(side_recv, .len = 1000);
	EXPECT_EQ(50, send_pattern(self->near, 50, 0, 0));
	EXPECT_EQ(50, far_finish(self->far, NULL));
}

TEST_F(pipe, write_that_times_out_amid_tells_what_was_read)
{
	struct job job = { .len = 100 };

	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_EQ(30, FAR(side_recv, .len = 30));
	shmux_pipe_set_deadline(self->near, shmux_now() + SOON);
	EXPECT_EQ(30, worker_join(&job.worker));
	set_timeout(self->near, 0);
	FAR_BEGIN(side_recv, .len = 1000);
	EXPECT_EQ(50, send_pattern(self->near, 50, 0, 0));
	EXPECT_EQ(50, far_finish(self->far, NULL));
}

TEST_F(pipe, read_that_times_out_takes_nothing_of_the_write_that_comes_then)
{
	OPEN(SHMUX_WRITE, 0);
	EXPECT_EQ(-ETIMEDOUT, FAR(side_recv, .len = 100, .timeout = SOON));
	set_timeout(self->near, SOON);
	EXPECT_EQ(-ETIMEDOUT, send_pattern(self->near, 100, 55, 0));
	set_timeout(self->near, 0);
	FAR_BEGIN(side_recv, .len = 100);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	EXPECT_EQ(60, far_finish(self->far, NULL));
}

TEST_F(pipe, cancelled_calls_return_at_once_and_later_ones_do_not)
{
	struct job jobs[3] = { { .len = 5 }, { .len = 5 }, { .len = 5 } };
	int i;

	OPEN(SHMUX_READ, 0);
	for (i = 0; i < 3; i++) {
		jobs[i].p = self->near;
		worker_start(&jobs[i].worker, job_recv, &jobs[i]);
	}
	for (i = 0; i < 3; i++)
		EXPECT_TRUE(worker_wait_blocked(&jobs[i].worker));
	shmux_pipe_unblock(self->near);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-ECANCELED, worker_join(&jobs[i].worker));
	FAR_BEGIN(side_send, .len = 5);
	EXPECT_EQ(5, recv_pattern(self->near, 10, 0, 0));
	EXPECT_EQ(5, far_finish(self->far, NULL));
}

TEST_F(pipe, cancelled_write_tells_what_was_read)
{
	struct job job = { .len = 100 };

	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_EQ(30, FAR(side_recv, .len = 30));
	/* What it waits for now is the next read. */
	EXPECT_TRUE(worker_wait_blocked(&job.worker));
	shmux_pipe_unblock(self->near);
	EXPECT_EQ(30, worker_join(&job.worker));
}

TEST_F(pipe, calls_blocked_on_an_end_that_is_closed_are_cancelled)
{
	struct job jobs[2] = { { .len = 5 }, { .len = 5 } };
	int i;

	OPEN(SHMUX_WRITE, 0);
	for (i = 0; i < 2; i++) {
		jobs[i].p = self->near;
		worker_start(&jobs[i].worker, job_send, &jobs[i]);
	}
	for (i = 0; i < 2; i++)
		EXPECT_TRUE(worker_wait_blocked(&jobs[i].worker));
	shmux_pipe_close(self->near);
	self->near = NULL;
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-ECANCELED, worker_join(&jobs[i].worker));
	EXPECT_EQ(-ENODATA, FAR(side_recv, .len = 5));
}

TEST_F(pipe, calls_blocked_on_an_end_that_is_shut_down_get_EPIPE)
{
	struct job jobs[2] = { { .len = 5 }, { .len = 5 } };
	int i;

	OPEN(SHMUX_WRITE, 0);
	for (i = 0; i < 2; i++) {
		jobs[i].p = self->near;
		worker_start(&jobs[i].worker, job_send, &jobs[i]);
	}
	for (i = 0; i < 2; i++)
		EXPECT_TRUE(worker_wait_blocked(&jobs[i].worker));
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, -EXDEV, 0));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EPIPE, worker_join(&jobs[i].worker));
	EXPECT_EQ(-EXDEV, FAR(side_recv, .len = 5));
}

/* Have the descriptor tell, and take note of what it tells of. */
static bool wait_for_news(struct shmux_pipe *p, struct shmux_session *session)
{
	struct pollfd pfd = { .fd = shmux_pipe_fd(p), .events = POLLIN };

	if (poll(&pfd, 1, 10000) != 1)
		return false;
	return !session || session_pump(session) >= 0;
}

static ssize_t poll_send(struct shmux_pipe *p, struct shmux_session *session, size_t len,
			 uint64_t position)
{
	ssize_t n;

	while ((n = send_pattern(p, len, position, SHMUX_NOWAIT)) == -EAGAIN)
		if (!wait_for_news(p, session))
			return -ETIME;
	return n;
}

static ssize_t poll_recv(struct shmux_pipe *p, struct shmux_session *session, size_t size,
			 uint64_t position)
{
	ssize_t n;

	while ((n = recv_pattern(p, size, position, SHMUX_NOWAIT)) == -EAGAIN)
		if (!wait_for_news(p, session))
			return -ETIME;
	return n;
}

static int64_t side_poll_recv(struct side *side)
{
	const struct order *o = side->in;

	return poll_recv(far_pipe, side->session, o->len, o->position);
}

static int64_t side_poll_send(struct side *side)
{
	const struct order *o = side->in;

	return poll_send(far_pipe, side->session, o->len, o->position);
}

TEST_F(pipe, without_waiting_nothing_is_done_that_would_wait)
{
	OPEN(SHMUX_WRITE, 0);
	EXPECT_EQ(-EAGAIN, send_pattern(self->near, 10, 0, SHMUX_NOWAIT));
	EXPECT_EQ(-EAGAIN, send_pattern(self->near, 0, 0, SHMUX_NOWAIT));
	EXPECT_EQ(-EAGAIN, FAR(side_recv, .len = 10, .flags = SHMUX_NOWAIT));
}

TEST_F(pipe, two_ends_that_only_poll_meet)
{
	uint64_t at;
	ssize_t n;

	OPEN(SHMUX_WRITE, 0);
	for (at = 0; at < 3000; at += (uint64_t)n) {
		FAR_BEGIN(side_poll_recv, .len = 100, .position = at);
		n = poll_send(self->near, self->pair.session, 150, at);
		ASSERT_EQ(100, n);
		ASSERT_EQ(n, far_finish(self->far, NULL));
	}
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, 0, 0));
	EXPECT_EQ(-ENODATA, FAR(side_poll_recv, .len = 10));
}

TEST_F(pipe, end_that_polls_meets_one_that_waits)
{
	OPEN(SHMUX_WRITE, 0);
	FAR_BEGIN(side_recv, .len = 100);
	EXPECT_EQ(60, poll_send(self->near, self->pair.session, 60, 0));
	EXPECT_EQ(60, far_finish(self->far, NULL));
	FAR_BEGIN(side_poll_recv, .len = 100);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	EXPECT_EQ(60, far_finish(self->far, NULL));
}

TEST_F(pipe, poll_tells_of_the_end)
{
	OPEN(SHMUX_WRITE, 0);
	FAR_BEGIN(side_poll_recv, .len = 100);
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, -EXDEV, 0));
	EXPECT_EQ(-EXDEV, far_finish(self->far, NULL));
	shmux_pipe_close(self->near);
	far_run(self->far, side_close_pipe);
	OPEN(SHMUX_READ, 0);
	FAR_BEGIN(side_poll_send, .len = 100);
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, -EXDEV, 0));
	EXPECT_EQ(-EXDEV, far_finish(self->far, NULL));
}

/* Writers, each of whose writes is of one letter. */
enum {
	NR_WRITERS = 4,
	NR_WRITES = 40,
	WRITE_LEN = 5000
};

static int64_t write_letters(void *arg)
{
	struct job *job = arg;
	char buf[WRITE_LEN];
	int i;

	memset(buf, 'a' + job->error, sizeof(buf));
	for (i = 0; i < NR_WRITES; i++)
		if (shmux_pipe_write(job->p, buf, sizeof(buf)) != sizeof(buf))
			return -1;
	return 0;
}

static int64_t side_read_letters(struct side *side)
{
	char buf[777], letter = 0;
	size_t run = 0;
	ssize_t n, i;

	(void)side;
	while ((n = shmux_pipe_read(far_pipe, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i++) {
			if (run % WRITE_LEN)
				SIDE_EQ(letter, buf[i]);
			letter = buf[i];
			run++;
		}
	SIDE_EQ(-ENODATA, n);
	return (int64_t)run;
}

TEST_F(pipe, writes_of_many_threads_are_whole)
{
	struct job jobs[NR_WRITERS] = { 0 };
	unsigned int buffer;
	int i;

	for (buffer = 0; buffer < 10000; buffer += 7000) {
		OPEN(SHMUX_WRITE, buffer);
		FAR_BEGIN(side_read_letters);
		for (i = 0; i < NR_WRITERS; i++) {
			jobs[i].p = self->near;
			jobs[i].error = i;
			worker_start(&jobs[i].worker, write_letters, &jobs[i]);
		}
		for (i = 0; i < NR_WRITERS; i++)
			EXPECT_EQ(0, worker_join(&jobs[i].worker));
		EXPECT_EQ(0, shmux_pipe_shutdown(self->near, 0, 0));
		EXPECT_EQ(NR_WRITERS * NR_WRITES * WRITE_LEN, far_finish(self->far, NULL));
		shmux_pipe_close(self->near);
		self->near = NULL;
		far_run(self->far, side_close_pipe);
	}
}

/* --- buffered --- */

TEST_F(pipe, buffered_write_returns_before_it_is_read_within_the_bound)
{
	OPEN(SHMUX_WRITE, 100);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	EXPECT_EQ(40, send_pattern(self->near, 40, 60, 0));
	EXPECT_EQ(-EAGAIN, send_pattern(self->near, 1, 0, SHMUX_NOWAIT));
	EXPECT_EQ(-EAGAIN, send_pattern(self->near, 0, 0, SHMUX_NOWAIT));
	set_timeout(self->near, SOON);
	EXPECT_EQ(-ETIMEDOUT, send_pattern(self->near, 1, 0, 0));
	EXPECT_EQ(60, FAR(side_recv, .len = 1000));
	set_timeout(self->near, 0);
	EXPECT_EQ(60, send_pattern(self->near, 70, 100, SHMUX_NOWAIT));
	EXPECT_EQ(40, FAR(side_recv, .len = 1000, .position = 60));
	EXPECT_EQ(60, FAR(side_recv, .len = 1000, .position = 100));
}

TEST_F(pipe, buffered_pipe_gives_all_before_it_tells_the_end)
{
	OPEN(SHMUX_WRITE, 1000);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	EXPECT_EQ(0, send_pattern(self->near, 0, 0, 0));
	EXPECT_EQ(40, send_pattern(self->near, 40, 60, 0));
	EXPECT_EQ(-EAGAIN, shmux_pipe_shutdown(self->near, -EXDEV, SHMUX_NOWAIT));
	EXPECT_EQ(50, FAR(side_recv, .len = 50));
	EXPECT_EQ(10, FAR(side_recv, .len = 50, .position = 50));
	EXPECT_EQ(0, FAR(side_recv, .len = 50, .position = 60));
	EXPECT_EQ(40, FAR(side_recv, .len = 50, .position = 60));
	EXPECT_EQ(-EXDEV, FAR(side_recv, .len = 50));
	EXPECT_EQ(0, shmux_pipe_shutdown(self->near, 0, 0));
}

TEST_F(pipe, buffered_pipe_that_is_ended_waits_until_all_has_been_read)
{
	struct job job = { 0 };

	OPEN(SHMUX_WRITE, 1000);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	job.p = self->near;
	worker_start(&job.worker, job_shutdown, &job);
	EXPECT_EQ(59, FAR(side_recv, .len = 59));
	EXPECT_TRUE(worker_wait_blocked(&job.worker));
	EXPECT_FALSE(worker_is_done(&job.worker));
	EXPECT_EQ(1, FAR(side_recv, .len = 50, .position = 59));
	EXPECT_EQ(0, worker_join(&job.worker));
}

TEST_F(pipe, reader_that_ends_a_buffered_pipe_unread_has_its_error_reported)
{
	struct job job = { .error = 0 };

	OPEN(SHMUX_WRITE, 1000);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	job.p = self->near;
	worker_start(&job.worker, job_shutdown, &job);
	EXPECT_TRUE(worker_wait_blocked(&job.worker));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EDOM));
	EXPECT_EQ(-EDOM, worker_join(&job.worker));
}

TEST_F(pipe, end_of_a_buffered_pipe_that_nobody_reads_times_out)
{
	OPEN(SHMUX_WRITE, 1000);
	EXPECT_EQ(60, send_pattern(self->near, 60, 0, 0));
	set_timeout(self->near, SOON);
	EXPECT_EQ(-ETIMEDOUT, shmux_pipe_shutdown(self->near, 0, 0));
	EXPECT_EQ(60, FAR(side_recv, .len = 100));
	EXPECT_EQ(-ENODATA, FAR(side_recv, .len = 100));
}

TEST_F(pipe, write_larger_than_the_buffer_goes_through)
{
	uint64_t at;
	ssize_t n;

	OPEN(SHMUX_READ, 1000);
	FAR_BEGIN(side_send, .len = MIB);
	for (at = 0; at < MIB; at += (uint64_t)n) {
		n = recv_pattern(self->near, 50000, at, 0);
		ASSERT_LT(0, n);
	}
	EXPECT_EQ(MIB, far_finish(self->far, NULL));
}

/* --- the peer's death --- */

/* Over these the far end is another process. */
#define NEEDS_PEER()                                                            \
	do {                                                                    \
		if (variant->local || variant->kind == PAIR_SAME_PROCESS)       \
			SKIP(return, "there is no other process to be killed"); \
	} while (0)

#define KILL_PEER()                  \
	do {                         \
		self->killed = true; \
		far_kill(self->far); \
	} while (0)

TEST_F(pipe, writers_error_outlives_its_process)
{
	NEEDS_PEER();
	OPEN(SHMUX_READ, 1000);
	EXPECT_EQ(50, FAR(side_send, .len = 50));
	EXPECT_EQ(-EAGAIN, FAR(side_shutdown_pipe, .error = -EXDEV, .flags = SHMUX_NOWAIT));
	KILL_PEER();
	EXPECT_EQ(50, recv_pattern(self->near, 100, 0, 0));
	EXPECT_EQ(-EXDEV, recv_pattern(self->near, 100, 0, 0));
}

TEST_F(pipe, readers_error_outlives_its_process)
{
	NEEDS_PEER();
	OPEN(SHMUX_WRITE, 0);
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EDOM));
	KILL_PEER();
	EXPECT_EQ(-EDOM, send_pattern(self->near, 100, 0, 0));
}

TEST_F(pipe, blocked_writer_gets_the_error_of_a_reader_that_is_killed_after_it)
{
	struct job job = { .len = 100 };

	NEEDS_PEER();
	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_TRUE(worker_wait_blocked(&job.worker));
	EXPECT_EQ(0, FAR(side_shutdown_pipe, .error = -EDOM));
	KILL_PEER();
	EXPECT_EQ(-EDOM, worker_join(&job.worker));
}

TEST_F(pipe, peer_that_is_killed_without_a_word_is_no_clean_end)
{
	struct job job = { .len = 100 };

	NEEDS_PEER();
	OPEN(SHMUX_READ, 1000);
	EXPECT_EQ(50, FAR(side_send, .len = 50));
	EXPECT_EQ(50, recv_pattern(self->near, 100, 0, 0));
	job.p = self->near;
	worker_start(&job.worker, job_recv, &job);
	EXPECT_TRUE(worker_wait_blocked(&job.worker));
	KILL_PEER();
	EXPECT_EQ(-ECONNRESET, worker_join(&job.worker));
}

TEST_F(pipe, writer_learns_of_its_readers_death_and_what_was_read)
{
	struct job job = { .len = 100 };
	int error = 1;

	NEEDS_PEER();
	OPEN(SHMUX_WRITE, 0);
	job.p = self->near;
	worker_start(&job.worker, job_send, &job);
	EXPECT_EQ(30, FAR(side_recv, .len = 30));
	KILL_PEER();
	EXPECT_EQ(30, worker_join(&job.worker));
	EXPECT_EQ(-ECONNRESET, send_pattern(self->near, 1, 0, 0));
	EXPECT_EQ(0, shmux_pipe_error(self->near, &error));
	EXPECT_EQ(-ECONNRESET, error);
}

struct play {
	uint64_t seed, total;
	uint32_t buffer;
};

static uint32_t some_length(uint64_t *random)
{
	switch (random_between(random, 0, 7)) {
	case 0:
		return 0;
	case 1:
		return random_between(random, 60000, 200000);
	case 2:
	case 3:
		return random_between(random, 1, 5000);
	default:
		return random_between(random, 1, 100);
	}
}

/* Writes of all sizes, until it is killed or told. */
static int64_t side_write_on(struct side *side)
{
	const struct play *play = side->in;
	uint64_t random = play->seed, at = 0;
	ssize_t n;

	do {
		n = send_pattern(far_pipe, some_length(&random), at, 0);
		at += n > 0 ? (uint64_t)n : 0;
	} while (n >= 0);
	return n;
}

static int64_t side_read_on(struct side *side)
{
	const struct play *play = side->in;
	uint64_t random = play->seed, at = 0;
	ssize_t n;

	do {
		n = recv_pattern(far_pipe, some_length(&random), at, 0);
		at += n > 0 ? (uint64_t)n : 0;
	} while (n >= 0);
	return n;
}

/* Kill it, whatever it is at. */
static int64_t job_kill(void *arg)
{
	struct far *far = arg;
	uint64_t random = effort_seed(), until = shmux_now() + random_next(&random) % (5 * MSEC);

	while (shmux_now() < until)
		;
	far_kill(far);
	return 0;
}

TEST_F(pipe, reader_gets_what_a_writer_that_is_killed_amid_anything_has_said_and_no_clean_end)
{
	struct play play = { .seed = effort_seed() };
	struct worker killer;
	uint64_t at = 0;
	ssize_t n;

	NEEDS_PEER();
	OPEN(SHMUX_READ, play.seed & 1 ? 50000 : 0);
	far_begin(self->far, side_write_on, &play, sizeof(play), 0);
	self->killed = true;
	worker_start(&killer, job_kill, self->far);
	do {
		n = recv_pattern(self->near, 100000, at, 0);
		at += n > 0 ? (uint64_t)n : 0;
	} while (n >= 0);
	EXPECT_EQ(-ECONNRESET, n);
	worker_join(&killer);
}

TEST_F(pipe, writer_ends_when_a_reader_is_killed_amid_anything)
{
	struct play play = { .seed = effort_seed() };
	uint64_t at = 0, random = play.seed;
	struct worker killer;
	ssize_t n;

	NEEDS_PEER();
	OPEN(SHMUX_WRITE, play.seed & 1 ? 50000 : 0);
	far_begin(self->far, side_read_on, &play, sizeof(play), 0);
	self->killed = true;
	worker_start(&killer, job_kill, self->far);
	do {
		n = send_pattern(self->near, some_length(&random), at, 0);
		at += n > 0 ? (uint64_t)n : 0;
	} while (n >= 0);
	EXPECT_EQ(-ECONNRESET, n);
	worker_join(&killer);
}

/* --- arguments --- */

TEST_F(pipe, wrong_arguments_are_refused)
{
	struct shmux_pipe *a, *b;
	struct iovec iov = { NULL, SIZE_MAX };

	EXPECT_EQ(-EINVAL, shmux_pipe_new(OPTIONS((1u << 30) + 1), &a, &b));
	EXPECT_EQ(-EINVAL, shmux_pipe_new(&(struct shmux_pipe_options){ .size = 1 }, &a, &b));
	EXPECT_EQ(-EINVAL,
		  shmux_pipe_new(
			  &(struct shmux_pipe_options){ .size = sizeof(struct shmux_pipe_options),
							.reserved = 1 },
			  &a, &b));
	OPEN(SHMUX_READ, 0);
	EXPECT_EQ(-EBADF, shmux_pipe_write(self->near, "", 1));
	EXPECT_EQ(-EBADF, FAR(side_recv, .len = 1));
	EXPECT_EQ(-EINVAL, shmux_pipe_recv(self->near, &iov, 1, 0));
	EXPECT_EQ(-EINVAL, shmux_pipe_recv(self->near, &iov, 0, SHMUX_MORE));
	EXPECT_EQ(-EINVAL, shmux_pipe_shutdown(self->near, 1, 0));
	EXPECT_EQ(-EINVAL, shmux_pipe_shutdown(self->near, -4096, 0));
	EXPECT_EQ(-EINVAL, shmux_pipe_shutdown(self->near, 0, SHMUX_FIN));
}

TEST_F(pipe, message_stream_is_refused)
{
	struct shmux_stream *st;
	struct shmux_pipe *p;

	if (variant->local || pair_is_yamux(variant->kind))
		SKIP(return, "there are no message streams");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &st));
	EXPECT_EQ(-EINVAL, shmux_pipe_attach(st, SHMUX_READ, NULL, &p));
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	EXPECT_EQ(-EINVAL, shmux_pipe_attach(st, SHMUX_READ | SHMUX_WRITE, NULL, &p));
}

/* --- a peer that says what it should not --- */

#define HELLO_R "\1\0\1\0pipe"
#define HELLO_W "\1\1\1\0pipe"
#define WORDS(s)                 \
	{                        \
		s, sizeof(s) - 1 \
	}

struct words {
	const char *words;
	size_t len;
};

static int64_t side_say(struct side *side)
{
	struct shmux_stream *st = side->stream;

	return shmux_stream_write(st, side->in, side->in_len);
}

#define SAID(w, how_)                                                                  \
	({                                                                             \
		struct shmux_stream *st_;                                              \
		ssize_t n_;                                                            \
                                                                                       \
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st_)); \
		ASSERT_EQ(0, shmux_pipe_attach(st_, how_, NULL, &self->near));         \
		ASSERT_EQ((int64_t)(w).len,                                            \
			  far_call(self->far, side_say, (w).words, (w).len, NULL, 0)); \
		set_timeout(self->near, 10 * SEC);                                     \
		do {                                                                   \
			n_ = (how_) == SHMUX_READ ?                                    \
				     shmux_pipe_read(self->near, buf, sizeof(buf)) :   \
				     shmux_pipe_write(self->near, buf, 10);            \
		} while (n_ >= 0);                                                     \
		shmux_pipe_close(self->near);                                          \
		self->near = NULL;                                                     \
		far_close(self->far);                                                  \
		n_;                                                                    \
	})

TEST_F(pipe, what_makes_no_sense_costs_the_reader_its_pipe_alone)
{
	static const struct words words[] = {
		WORDS("GET / HTTP/1.1\r\n"),
		WORDS(HELLO_R),
		WORDS("\1\1\1\0pipf"),
		WORDS("\1\3\1\0pipe"),
		WORDS("\4\1\1\0pipe"),
		WORDS(HELLO_W HELLO_W),
		WORDS(HELLO_W "\4\0\1\0\1\0\0\0x"),
		WORDS(HELLO_W "\4\2\0\0\1\0\0\0x"),
		WORDS(HELLO_W "\4\1\0\0\0\0\0\0"),
		WORDS(HELLO_W "\4\0\0\0\1\0\1\0"),
		WORDS(HELLO_W "\4\0\0\0\1\0\0\0x\2\1\0\0\1\0\0\0"),
		WORDS(HELLO_W "\3\0\1\0\1\0\0\0"),
		WORDS(HELLO_W "\5\0\0\0\0\x10\0\0"),
		WORDS(HELLO_W "\5\1\0\0\0\0\0\0"),
		WORDS(HELLO_W "\6\0\0\0\0\0\0\0"),
		WORDS(HELLO_W "\0\0\0\0\0\0\0\0"),
	};
	const struct words newer = WORDS("\1\1\2\0pipe"),
			   right = WORDS(HELLO_W "\5\0\0\0\x12\0\0\0");
	char buf[100];
	size_t i;

	if (variant->local)
		SKIP(return, "there is nobody to say it");
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		EXPECT_EQ(-EPROTO, SAID(words[i], SHMUX_READ))
	TH_LOG("words %zu", i);
	EXPECT_EQ(-EPROTONOSUPPORT, SAID(newer, SHMUX_READ));
	EXPECT_EQ(-0x12, SAID(right, SHMUX_READ));
}

TEST_F(pipe, what_makes_no_sense_costs_the_writer_its_pipe_alone)
{
	static const struct words words[] = {
		WORDS("HTTP/1.1 200 OK\r\n"),
		WORDS(HELLO_W),
		WORDS(HELLO_R HELLO_R),
		WORDS(HELLO_R "\2\1\1\0\1\0\0\0"),
		WORDS(HELLO_R "\2\2\0\0\1\0\0\0"),
		WORDS(HELLO_R "\3\0\0\0\1\0\0\0"),
		WORDS(HELLO_R "\3\0\1\0\0\0\0\0"),
		WORDS(HELLO_R "\3\1\0\0\0\0\0\0"),
		WORDS(HELLO_R "\2\1\0\0\5\0\0\0\3\0\2\0\5\0\0\0"),
		WORDS(HELLO_R "\2\1\0\0\5\0\0\0\3\0\1\0\6\0\0\0"),
		WORDS(HELLO_R "\4\0\0\0\1\0\0\0x"),
		WORDS(HELLO_R "\5\0\1\0\1\0\0\0"),
		WORDS(HELLO_R "\5\0\0\0\0\x10\0\0"),
	};
	const struct words newer = WORDS("\1\0\xff\xffpipe"),
			   right = WORDS(HELLO_R "\5\0\0\0\x12\0\0\0");
	char buf[100] = "";
	size_t i;

	if (variant->local)
		SKIP(return, "there is nobody to say it");
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		EXPECT_EQ(-EPROTO, SAID(words[i], SHMUX_WRITE))
	TH_LOG("words %zu", i);
	EXPECT_EQ(-EPROTONOSUPPORT, SAID(newer, SHMUX_WRITE));
	EXPECT_EQ(-0x12, SAID(right, SHMUX_WRITE));
}

TEST_F(pipe, stream_that_ends_without_a_word_is_no_clean_end)
{
	const struct words w = WORDS(HELLO_W "\4\0\0\0\5\0\0\0hel");
	struct shmux_stream *st;
	char buf[100];

	if (variant->local)
		SKIP(return, "there is no stream");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	ASSERT_EQ(0, shmux_pipe_attach(st, SHMUX_READ, NULL, &self->near));
	ASSERT_EQ((int64_t)w.len, far_call(self->far, side_say, w.words, w.len, NULL, 0));
	far_shutdown(self->far, SHMUX_WRITE);
	EXPECT_EQ(3, shmux_pipe_read(self->near, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_pipe_read(self->near, buf, sizeof(buf)));
}

/* --- at random --- */

enum {
	NR_LOG = 20000
};

/* What a side did: of a write the bytes wanted and taken, of a read those got. */
struct log {
	uint32_t nr;
	struct {
		uint32_t wanted;
		int32_t done;
	} calls[NR_LOG];
};

/* Any way to call. Return: flags. */
static unsigned int some_way(struct shmux_pipe *p, uint64_t *random)
{
	uint32_t way = random_between(random, 0, 9);

	if (way < 3)
		shmux_pipe_set_deadline(p, shmux_now() + random_between(random, 0, 200000));
	else if (way < 9)
		shmux_pipe_set_deadline(p, SHMUX_NEVER);
	return way == 9 ? SHMUX_NOWAIT : 0;
}

static void play_writer(struct shmux_pipe *p, const struct play *play, struct log *log)
{
	uint64_t random = play->seed, at = 0;
	unsigned int flags;
	uint32_t len;
	ssize_t n;

	while (at < play->total && log->nr < NR_LOG) {
		len = some_length(&random);
		flags = some_way(p, &random);
		n = send_pattern(p, len, at, flags);
		if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT)
			break;
		if (n >= 0) {
			log->calls[log->nr].wanted = len;
			log->calls[log->nr++].done = (int32_t)n;
			at += (uint64_t)n;
		}
	}
	shmux_pipe_set_deadline(p, SHMUX_NEVER);
	shmux_pipe_shutdown(p, -EXDEV, 0);
}

static ssize_t play_reader(struct shmux_pipe *p, const struct play *play, struct log *log)
{
	uint64_t random = play->seed + 1, at = 0;
	unsigned int flags;
	uint32_t size;
	ssize_t n;

	while (log->nr < NR_LOG) {
		size = some_length(&random) + 1;
		flags = some_way(p, &random);
		n = recv_pattern(p, size, at, flags);
		if (n < 0 && n != -EAGAIN && n != -ETIMEDOUT)
			return n;
		if (n >= 0) {
			log->calls[log->nr].wanted = size;
			log->calls[log->nr++].done = (int32_t)n;
			at += (uint64_t)n;
		}
	}
	return -E2BIG;
}

static int64_t side_play(struct side *side)
{
	play_writer(far_pipe, side->in, side->out);
	return 0;
}

/* The reads are those of the writes, one after another, none of two. */
static void check_logs(struct __test_metadata *_metadata, const struct log *writes,
		       const struct log *reads)
{
	uint32_t w, r = 0, left;

	for (w = 0; w < writes->nr; w++) {
		left = (uint32_t)writes->calls[w].done;
		if (!left) {
			ASSERT_EQ(0, writes->calls[w].wanted);
			ASSERT_LT(r, reads->nr);
			ASSERT_EQ(0, reads->calls[r].done)
			TH_LOG("write %u was empty, read %u was not", w, r);
			r++;
		}
		for (; left; r++) {
			ASSERT_LT(r, reads->nr);
			ASSERT_GE((int64_t)left, reads->calls[r].done)
			TH_LOG("read %u is of write %u and the next", r, w);
			ASSERT_LT(0, reads->calls[r].done);
			left -= (uint32_t)reads->calls[r].done;
		}
	}
	ASSERT_EQ(r, reads->nr);
}

TEST_F(pipe, any_sequence_of_calls_is_that_of_the_model)
{
	struct log *writes = calloc(1, sizeof(*writes)), *reads = calloc(1, sizeof(*reads));
	struct play play;
	uint64_t random = effort_seed();
	int round;

	for (round = 0; round < (effort_is_stress() ? 20 : 4); round++) {
		play.buffer = round & 1 ? random_between(&random, 1, 100000) : 0;
		play.total = effort_count(4 * MIB);
		if (play.buffer && play.buffer < 4096)
			play.total = 1000 * play.buffer;
		play.seed = random_next(&random);
		memset(reads, 0, sizeof(*reads));
		OPEN(SHMUX_READ, play.buffer);
		far_begin(self->far, side_play, &play, sizeof(play), sizeof(*writes));
		EXPECT_EQ(-EXDEV, play_reader(self->near, &play, reads));
		shmux_pipe_close(self->near);
		self->near = NULL;
		ASSERT_EQ(0, far_finish(self->far, writes));
		check_logs(_metadata, writes, reads);
		far_run(self->far, side_close_pipe);
	}
	free(writes);
	free(reads);
}

/* Many threads at both ends, that give up, cancel and end it. */
enum {
	NR_STORM = 4
};

struct storm {
	struct worker worker;
	struct shmux_pipe *p;
	uint64_t seed;
	uint64_t bytes;
	bool reader;
};

static int64_t storm_thread(void *arg)
{
	struct storm *storm = arg;
	char buf[3000] = "";
	struct iovec iov = { buf, 0 };
	ssize_t n;

	for (;;) {
		unsigned int flags = some_way(storm->p, &storm->seed);

		iov.iov_len = random_between(&storm->seed, 0, sizeof(buf));
		if (random_between(&storm->seed, 0, 99) == 0)
			shmux_pipe_unblock(storm->p);
		n = storm->reader ? shmux_pipe_recv(storm->p, &iov, 1, flags) :
				    shmux_pipe_send(storm->p, &iov, 1, flags);
		if (n >= 0)
			storm->bytes += (uint64_t)n;
		else if (n != -EAGAIN && n != -ETIMEDOUT && n != -ECANCELED)
			return n;
	}
}

static int64_t storm_through(struct shmux_pipe *p, bool reader, uint64_t seed, int *errors)
{
	struct storm storms[NR_STORM];
	uint64_t bytes = 0, until = shmux_now() + 100 * MSEC;
	int i, err = 0;

	for (i = 0; i < NR_STORM; i++) {
		storms[i] = (struct storm){ .p = p, .seed = seed + (uint64_t)i, .reader = reader };
		worker_start(&storms[i].worker, storm_thread, &storms[i]);
	}
	if (!reader) {
		while (shmux_now() < until) {
			shmux_pipe_unblock(p);
			sched_yield();
		}
		shmux_pipe_set_deadline(p, SHMUX_NEVER);
		do {
			err = shmux_pipe_shutdown(p, 0, 0);
		} while (err == -ETIMEDOUT || err == -ECANCELED);
	}
	for (i = 0; i < NR_STORM; i++) {
		if (worker_join(&storms[i].worker) != (reader ? -ENODATA : -EPIPE))
			++*errors;
		bytes += storms[i].bytes;
	}
	return err ? err : (int64_t)bytes;
}

static int64_t side_storm(struct side *side)
{
	const struct play *play = side->in;
	int errors = 0;
	int64_t bytes = storm_through(far_pipe, true, play->seed, &errors);

	SIDE_EQ(0, errors);
	return bytes;
}

TEST_F(pipe, no_byte_is_lost_or_read_twice_in_a_storm_of_threads)
{
	struct play play = { .seed = effort_seed() };
	int64_t written;
	int round, errors = 0;

	for (round = 0; round < (effort_is_stress() ? 20 : 2); round++) {
		OPEN(SHMUX_WRITE, round & 1 ? 5000 : 0);
		far_begin(self->far, side_storm, &play, sizeof(play), 0);
		written = storm_through(self->near, false, play.seed + 100, &errors);
		EXPECT_EQ(0, errors);
		EXPECT_EQ(written, far_finish(self->far, NULL));
		shmux_pipe_close(self->near);
		self->near = NULL;
		far_run(self->far, side_close_pipe);
		play.seed++;
	}
}

TEST_HARNESS_MAIN
