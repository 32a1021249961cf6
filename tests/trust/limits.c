// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limits.c - sessions at their limits, and processes at theirs
 *
 * Streams that nobody reads by the thousand, floods of nothing, the longest
 * messages over the smallest memory, in blocked calls and in event loops; and
 * what becomes of a process, and of who talks to it, when the kernel gives it no
 * more memory or descriptors. When a call into libc fails is for faults.c.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "effort.h"
#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define KIB 1024u
#define MIB (1024u * KIB)

/* As small as options allow. */
#define LEAST .ring_slots = 64, .arena_size = 64 * KIB, .window = 4 * KIB, .first_grant = 64

/* --- lanes: one stream, used both ways with every call there is -------------- */

struct lane {
	struct shmux_stream *st;
	bool messages;
	bool modest; /* asks for no more at once than a first grant */
	uint32_t tx_seed, rx_seed; /* of the content */
	uint64_t random; /* for the choice of calls; near and far differ */
	uint64_t tx_lens, rx_lens; /* for the lengths of messages: alike at both ends */
	uint64_t len; /* bytes to send, or number of messages */
	uint64_t sent, received; /* likewise */
	uint32_t longest;
	bool fin;
};

/* What both sides of a test are told. */
struct errand {
	uint32_t nr; /* of lanes */
	bool messages;
	bool modest;
	bool events; /* one thread and an event loop */
	bool far; /* which side this is */
	uint64_t len;
	uint64_t seed;
};

#define PIECE_MAX 6000u
#define MESSAGE_BUF (256 * KIB)

static uint32_t at_most(uint64_t a, uint32_t b)
{
	return a < b ? (uint32_t)a : b;
}

/* The length of the next message: any, and often those at the seams. */
static uint32_t message_len(uint64_t *lens, uint32_t longest)
{
	static const uint32_t seams[] = { 0, 1, 56, 60, 64, 1020, 4096, 16384, 32768, 65536 };
	uint32_t kind = random_between(lens, 0, 3), len;

	if (kind == 0)
		return longest;
	if (kind == 1)
		return random_between(lens, 0, longest);
	len = seams[random_between(lens, 0, ARRAY_SIZE(seams) - 1)] + random_between(lens, 0, 2);
	len = len ? len - 1 : 0;
	return len < longest ? len : longest;
}

/* Bytes, in place: the room as it comes. Return: bytes, or a negative errno. */
static ssize_t put_in_place(struct lane *lane, uint32_t n, unsigned int flags)
{
	struct shmux_span span;
	int ret;

	/* Who peeks waits for up to half a window. */
	n = at_most(lane->modest ? 64 : shmux_stream_reserve_max(lane->st) / 2, n);
	ret = shmux_stream_reserve(lane->st, n, &span, flags);
	if (ret)
		return ret;
	if (random_next(&lane->random) % 8 == 0) {
		/* Thought better of it. */
		shmux_stream_cancel(lane->st, &span);
		return 0;
	}
	pattern_fill(span.data, n, lane->sent, lane->tx_seed);
	return shmux_stream_submit(lane->st, &span, n, 0);
}

/* Send some bytes. Return: how many, or a negative errno. */
static ssize_t send_bytes(struct lane *lane, unsigned int flags)
{
	char buf[PIECE_MAX];
	uint32_t n = random_between(&lane->random, 1, at_most(lane->len - lane->sent, PIECE_MAX));
	struct iovec iov[3];

	pattern_fill(buf, n, lane->sent, lane->tx_seed);
	switch (random_between(&lane->random, 0, 3)) {
	case 0:
		return put_in_place(lane, n, flags);
	case 1:
		iov[0] = (struct iovec){ buf, n / 3 };
		iov[1] = (struct iovec){ buf + n / 3, 0 };
		iov[2] = (struct iovec){ buf + n / 3, n - n / 3 };
		return shmux_stream_send(lane->st, iov, 3, flags | SHMUX_MORE);
	case 2:
		n = at_most(n, 40);
		break;
	}
	iov[0] = (struct iovec){ buf, n };
	return shmux_stream_send(lane->st, iov, 1, flags);
}

/* The next message. Return: 0 or a negative errno. */
static int send_message(struct lane *lane, char *buf, unsigned int flags)
{
	uint64_t lens = lane->tx_lens;
	uint32_t len = message_len(&lens, lane->longest);
	struct iovec iov = { buf, len };
	ssize_t n;

	pattern_fill(buf, len, lane->sent * 1000, lane->tx_seed);
	n = shmux_stream_send(lane->st, &iov, 1, flags);
	if (n == (ssize_t)len) {
		lane->tx_lens = lens;
		lane->sent++;
		return 0;
	}
	return n < 0 ? (int)n : -EBADMSG;
}

/* Send until all is sent, or would wait. Return: 0 or a negative errno. */
static int lane_send(struct lane *lane, char *buf, unsigned int flags)
{
	ssize_t n = 0;

	while (n >= 0 && lane->sent < lane->len) {
		if (lane->messages) {
			n = send_message(lane, buf, flags);
		} else {
			n = send_bytes(lane, flags);
			if (n > 0)
				lane->sent += (uint64_t)n;
		}
	}
	if (n >= 0)
		n = shmux_stream_shutdown(lane->st, SHMUX_WRITE);
	return n < 0 ? (int)n : 0;
}

static int check_bytes(struct lane *lane, const void *data, size_t n)
{
	if (pattern_check(data, n, lane->received, lane->rx_seed) >= 0)
		return -EBADMSG;
	lane->received += n;
	return 0;
}

/* Receive some bytes. Return: how many, 0 at the end, or a negative errno. */
static ssize_t receive_bytes(struct lane *lane, unsigned int flags)
{
	uint32_t most = at_most(shmux_stream_peek_max(lane->st), PIECE_MAX);
	uint32_t n = random_between(&lane->random, 1, most);
	struct shmux_view view;
	struct iovec iov[2];
	char buf[PIECE_MAX];
	const void *data;
	ssize_t ret;
	int bad;

	switch (random_between(&lane->random, 0, flags & SHMUX_NOWAIT ? 1 : 3)) {
	case 0:
		ret = shmux_stream_take(lane->st, &view, flags);
		bad = ret > 0 ? check_bytes(lane, view.data, view.len) : 0;
		shmux_stream_release(lane->st, &view);
		return bad ? bad : ret;
	case 1:
		iov[0] = (struct iovec){ buf, n / 2 };
		iov[1] = (struct iovec){ buf + n / 2, n - n / 2 };
		ret = shmux_stream_recv(lane->st, iov, 2, flags);
		break;
	case 2:
		ret = shmux_stream_peek(lane->st, lane->modest ? 1 : n, &data);
		bad = ret > 0 ? check_bytes(lane, data, (size_t)ret) : 0;
		if (bad || ret <= 0)
			return bad ? bad : ret;
		return shmux_stream_discard(lane->st, (size_t)ret);
	default:
		iov[0] = (struct iovec){ buf, n };
		ret = shmux_stream_recv(lane->st, iov, 1, flags | SHMUX_WAITALL);
		break;
	}
	bad = ret > 0 ? check_bytes(lane, buf, (size_t)ret) : 0;
	return bad ? bad : ret;
}

/* A message in its parts. Return: its length or a negative errno. */
static ssize_t take_message(struct lane *lane, char *buf, unsigned int flags)
{
	struct shmux_view view;
	size_t len = 0;
	ssize_t n;
	int more;

	do {
		n = shmux_stream_take(lane->st, &view, flags);
		if (n < 0)
			return n;
		memcpy(buf + len, view.data, view.len);
		len += view.len;
		more = view.more;
		shmux_stream_release(lane->st, &view);
	} while (more);
	return (ssize_t)len;
}

/* The next message. Return: 1, 0 at the end, or a negative errno. */
static int receive_message(struct lane *lane, char *buf, unsigned int flags)
{
	uint64_t lens = lane->rx_lens;
	uint32_t len = message_len(&lens, lane->longest);
	struct iovec iov = { buf, MESSAGE_BUF };
	const void *data = buf;
	ssize_t n;

	switch (random_between(&lane->random, 0, flags & SHMUX_NOWAIT ? 1 : 2)) {
	case 0:
		n = shmux_stream_recv(lane->st, &iov, 1, flags);
		break;
	case 1:
		n = take_message(lane, buf, flags);
		break;
	default:
		n = shmux_stream_peek(lane->st, 1, &data);
		break;
	}
	if (n < 0)
		return n == -ENODATA ? 0 : (int)n;
	if (n != (ssize_t)len ||
	    pattern_check(data, len, lane->received * 1000, lane->rx_seed) >= 0)
		return -EBADMSG;
	if (data != buf && shmux_stream_discard(lane->st, 1) != n)
		return -EBADMSG;
	lane->rx_lens = lens;
	lane->received++;
	return 1;
}

/* Receive until the end, or until it would wait. Return: 0 or a negative errno. */
static int lane_receive(struct lane *lane, char *buf, unsigned int flags)
{
	ssize_t n;

	do
		n = lane->messages ? receive_message(lane, buf, flags) : receive_bytes(lane, flags);
	while (n > 0);
	if (n)
		return (int)n;
	lane->fin = true;
	return lane->received == lane->len ? 0 : -EBADMSG;
}

static int64_t lane_send_all(void *arg)
{
	char *buf = malloc(MESSAGE_BUF);
	int ret = lane_send(arg, buf, 0);

	free(buf);
	return ret;
}

static int64_t lane_receive_all(void *arg)
{
	char *buf = malloc(MESSAGE_BUF);
	int ret = lane_receive(arg, buf, 0);

	free(buf);
	return ret;
}

static void lane_init(struct lane *lane, struct shmux_stream *st, const struct errand *e,
		      uint32_t i)
{
	*lane = (struct lane){
		.st = st,
		.messages = e->messages,
		.modest = e->modest,
		.tx_seed = 2 * i + e->far,
		.rx_seed = 2 * i + !e->far,
		.random = e->seed + 1000 * i + e->far,
		.tx_lens = e->seed + 2 * i + e->far,
		.rx_lens = e->seed + 2 * i + !e->far,
		.len = e->len,
		.longest = at_most(e->messages ? shmux_stream_message_max(st) : 0, MESSAGE_BUF),
	};
	/* Who waits for ever fails the test, and does not hang it. */
	shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, shmux_now() + 6 * LONG_ENOUGH);
	/* Longer ones cannot go without waiting. */
	if (e->events)
		lane->longest = at_most(shmux_stream_reserve_max(st), lane->longest);
}

/* A thread for each way of each lane. Return: 0 or the first error. */
static int run_threads(struct lane *lanes, uint32_t nr)
{
	struct worker *workers = calloc(2 * nr, sizeof(*workers));
	int64_t ret = 0, one;

	for (uint32_t i = 0; i < nr; i++) {
		worker_start(&workers[2 * i], lane_send_all, &lanes[i]);
		worker_start(&workers[2 * i + 1], lane_receive_all, &lanes[i]);
	}
	for (uint32_t i = 0; i < 2 * nr; i++) {
		one = worker_join(&workers[i]);
		if (!ret)
			ret = one;
	}
	free(workers);
	return (int)ret;
}

/* One thread that never waits but in poll. Return: 0 or the first error. */
static int run_events(struct shmux_session *s, struct lane *lanes, uint32_t nr)
{
	struct pollfd pfd = { .fd = shmux_session_fd(s), .events = POLLIN };
	char *buf = malloc(MESSAGE_BUF);
	uint32_t done = 0;
	int ret = 0;

	while (pfd.fd >= 0 && !ret && done < nr) {
		done = 0;
		for (uint32_t i = 0; i < nr && !ret; i++) {
			struct lane *lane = &lanes[i];

			if (lane->sent < lane->len)
				ret = lane_send(lane, buf, SHMUX_NOWAIT);
			if ((!ret || ret == -EAGAIN) && !lane->fin)
				ret = lane_receive(lane, buf, SHMUX_NOWAIT);
			if (ret == -EAGAIN)
				ret = 0;
			done += lane->fin && lane->sent == lane->len;
		}
		if (ret || done == nr)
			break;
		ret = session_pump(s);
		if (ret == 0 && poll(&pfd, 1, 10000) == 0)
			ret = -ETIMEDOUT;
		else if (ret > 0)
			ret = 0;
	}
	free(buf);
	return ret;
}

static int run_lanes(struct shmux_session *s, struct lane *lanes, const struct errand *e)
{
	return e->events ? run_events(s, lanes, e->nr) : run_threads(lanes, e->nr);
}

static int64_t side_run(struct side *side)
{
	const struct errand *e = side->in;
	struct lane *lanes = calloc(e->nr, sizeof(*lanes));
	int ret;

	for (uint32_t i = 0; i < e->nr; i++) {
		struct shmux_stream *st;

		SIDE_EQ(0, shmux_session_accept(side->session, 0, &st));
		side_add(side, st);
		lane_init(&lanes[i], st, e, i);
	}
	ret = run_lanes(side->session, lanes, e);
	free(lanes);
	return ret;
}

/* Both sides send and receive on all lanes at once. */
static void check_errand(struct __test_metadata *_metadata, struct pair *pair,
			 const struct errand *errand)
{
	struct lane *lanes = calloc(errand->nr, sizeof(*lanes));
	struct errand far = *errand;

	far.far = true;
	far_begin(&pair->far, side_run, &far, sizeof(far), 0);
	for (uint32_t i = 0; i < errand->nr; i++) {
		struct shmux_stream *st;

		ASSERT_EQ(0, shmux_session_open(pair->session, errand->messages, &st));
		lane_init(&lanes[i], st, errand, i);
	}
	EXPECT_EQ(0, run_lanes(pair->session, lanes, errand));
	EXPECT_EQ(0, far_finish(&pair->far, NULL));
	for (uint32_t i = 0; i < errand->nr; i++)
		shmux_stream_close(lanes[i].st);
	free(lanes);
}

/* --- as small as can be -------------------------------------------------------- */

FIXTURE(least)
{
	struct pair pair;
};

FIXTURE_VARIANT(least)
{
	bool events;
};

FIXTURE_VARIANT_ADD(least, blocking){
	.events = false,
};

FIXTURE_VARIANT_ADD(least, event_loop){
	.events = true,
};

FIXTURE_SETUP(least)
{
}

FIXTURE_TEARDOWN(least)
{
	PAIR_TEARDOWN(&self->pair);
}

TEST_F_TIMEOUT(least, session_carries_bytes_by_every_call_both_ways_at_once, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 1,
		.events = variant->events,
		.len = 400 * KIB,
		.seed = effort_seed(),
	};
	const struct shmux_session_options *options =
		SESSION_OPTIONS(LEAST, .budget = 4 * KIB, .streams_max = 1, .backlog = 1);

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	check_errand(_metadata, &self->pair, &errand);
}

TEST_F_TIMEOUT(least, session_carries_several_streams_on_a_budget_for_one, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 8,
		.modest = true,
		.events = variant->events,
		.len = 40 * KIB,
		.seed = effort_seed(),
	};
	const struct shmux_session_options *options =
		SESSION_OPTIONS(LEAST, .budget = 5 * KIB, .streams_max = 8, .backlog = 8);

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	check_errand(_metadata, &self->pair, &errand);
}

TEST_F_TIMEOUT(least, session_carries_messages, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 3,
		.messages = true,
		.events = variant->events,
		.len = 200,
		.seed = effort_seed(),
	};
	const struct shmux_session_options *options =
		SESSION_OPTIONS(LEAST, .budget = 12 * KIB, .streams_max = 3, .backlog = 3);

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	check_errand(_metadata, &self->pair, &errand);
}

TEST_F_TIMEOUT(least, ring_and_arena_carry_the_longest_messages_of_many_streams_both_ways,
	       EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 6,
		.messages = true,
		.events = variant->events,
		.len = 40,
		.seed = effort_seed(),
	};
	/* Four arenas long: each needs chunks back in the middle. */
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.ring_slots = 64, .arena_size = 64 * KIB, .window = MESSAGE_BUF,
				.message_max = MESSAGE_BUF, .budget = 2 * MIB, .streams_max = 6);

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	check_errand(_metadata, &self->pair, &errand);
}

TEST_F_TIMEOUT(least, memory_of_one_side_is_enough_for_a_large_other_side, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 4,
		.events = variant->events,
		.len = 300 * KIB,
		.seed = effort_seed(),
	};

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES,
			       SESSION_OPTIONS(LEAST, .budget = 16 * KIB, .streams_max = 4), NULL));
	check_errand(_metadata, &self->pair, &errand);
}

/* --- a full window ------------------------------------------------------------ */

#define WINDOW (64 * KIB)

FIXTURE(window)
{
	struct pair pair;
	struct shmux_stream *st;
};

FIXTURE_SETUP(window)
{
	const struct shmux_session_options *options = SESSION_OPTIONS(.window = WINDOW);

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	ASSERT_EQ(0, pair_open_stream(&self->pair, 0, &self->st));
}

FIXTURE_TEARDOWN(window)
{
	shmux_stream_close(self->st);
	PAIR_TEARDOWN(&self->pair);
}

/* Write much more than the window; begin to read when it is full. */
static void fill_window(struct __test_metadata *_metadata, FIXTURE_DATA(window) *self)
{
	struct bulk bulk = { .len = 4 * WINDOW, .piece = 4 * WINDOW, .seed = 1 };

	far_begin(&self->pair.far, side_bulk_write, &bulk, sizeof(bulk), 0);
	ASSERT_TRUE(wait_until(shmux_stream_next_len(self->st) == WINDOW));
	ASSERT_TRUE(far_wait_blocked(&self->pair.far));
	shmux_stream_set_deadline(self->st, SHMUX_READ, shmux_now() + LONG_ENOUGH);
}

TEST_F(window, that_was_full_and_is_read_in_part_lets_a_peek_go_on)
{
	static char buf[WINDOW];
	uint64_t at = WINDOW - 1000;
	const void *data;

	fill_window(_metadata, self);
	ASSERT_EQ((ssize_t)at, shmux_stream_read(self->st, buf, at));
	while (at < 4 * WINDOW) {
		/* As much as may be peeked at, then leave a little. */
		size_t n = at_most(4 * WINDOW - at, (uint32_t)shmux_stream_peek_max(self->st));

		ASSERT_EQ((ssize_t)n, shmux_stream_peek(self->st, n, &data));
		ASSERT_EQ(-1, pattern_check(data, n, at, 1));
		n = n > 1000 ? n - 1000 : n;
		ASSERT_EQ((ssize_t)n, shmux_stream_discard(self->st, n));
		at += n;
	}
	EXPECT_EQ(4 * WINDOW, far_finish(&self->pair.far, NULL));
}

TEST_F(window, is_no_bound_on_how_much_one_call_waits_for)
{
	static char buf[4 * WINDOW];
	struct iovec iov[3] = {
		{ buf, WINDOW },
		{ buf + WINDOW, 0 },
		{ buf + WINDOW, 3 * WINDOW },
	};

	fill_window(_metadata, self);
	ASSERT_EQ(4 * WINDOW, shmux_stream_recv(self->st, iov, 3, SHMUX_WAITALL));
	EXPECT_EQ(-1, pattern_check(buf, sizeof(buf), 0, 1));
	EXPECT_EQ(4 * WINDOW, far_finish(&self->pair.far, NULL));
}

/* Each writes all it has before it reads: neither can finish. */
static int64_t side_write_first(struct side *side)
{
	static char buf[4 * WINDOW];
	ssize_t n;

	pattern_fill(buf, sizeof(buf), 0, 2);
	shmux_stream_set_deadline(side->stream, SHMUX_WRITE, shmux_now() + 200 * MSEC);
	n = shmux_stream_write(side->stream, buf, sizeof(buf));
	SIDE_EQ(-ETIMEDOUT, shmux_stream_write(side->stream, buf, sizeof(buf)));
	return n;
}

/* Read what the other has got rid of; there is no more. */
static int read_exactly(struct shmux_stream *st, size_t len, uint32_t seed)
{
	static char buf[4 * WINDOW];
	struct iovec iov = { buf, len };

	if (shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL) != (ssize_t)len ||
	    pattern_check(buf, len, 0, seed) >= 0)
		return -EBADMSG;
	return (int)shmux_stream_try_read(st, buf, 1);
}

static int64_t side_read_exactly(struct side *side)
{
	return read_exactly(side->stream, *(const size_t *)side->in, 1);
}

TEST_F(window, that_is_full_both_ways_tells_each_writer_how_far_it_got)
{
	static char buf[4 * WINDOW];
	ssize_t near, far;

	pattern_fill(buf, sizeof(buf), 0, 1);
	far_begin(&self->pair.far, side_write_first, NULL, 0, 0);
	shmux_stream_set_deadline(self->st, SHMUX_WRITE, shmux_now() + 200 * MSEC);
	near = shmux_stream_write(self->st, buf, sizeof(buf));
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_write(self->st, buf, sizeof(buf)));
	far = far_finish(&self->pair.far, NULL);
	ASSERT_LT(0, near);
	ASSERT_GE(WINDOW, near);
	ASSERT_LT(0, far);
	ASSERT_GE(WINDOW, far);

	EXPECT_EQ(-EAGAIN, read_exactly(self->st, (size_t)far, 2));
	EXPECT_EQ(-EAGAIN,
		  far_call(&self->pair.far, side_read_exactly, &near, sizeof(near), NULL, 0));
}

/* --- a thousand streams that nobody reads --------------------------------------- */

#define NR_STALLED 1000u
#define BUDGET (16 * MIB)

FIXTURE(crowd)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *stalled[NR_STALLED];
	uint32_t nr;
	int64_t rss; /* of the far side before there was anything */
};

FIXTURE_VARIANT(crowd)
{
	bool events;
};

FIXTURE_VARIANT_ADD(crowd, blocking){
	.events = false,
};

FIXTURE_VARIANT_ADD(crowd, event_loop){
	.events = true,
};

static int64_t side_rss(struct side *side)
{
	(void)side;
	return process_rss();
}

/* Take all streams that wait, and note what is there, without reading. */
static int64_t side_take_in(struct side *side)
{
	struct shmux_stream *st;
	int64_t nr = 0;

	while (!shmux_session_accept(side->session, SHMUX_NOWAIT, &st)) {
		side_add(side, st);
		nr++;
	}
	session_pump(side->session);
	return nr;
}

FIXTURE_SETUP(crowd)
{
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.budget = BUDGET, .streams_max = 4096, .first_grant = 256,
				.backlog = 2048, .message_max = MIB);

	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	self->far = &self->pair.far;
	self->rss = far_run(self->far, side_rss);
}

FIXTURE_TEARDOWN(crowd)
{
	while (self->nr)
		shmux_stream_close(self->stalled[--self->nr]);
	PAIR_TEARDOWN(&self->pair);
}

/* Open them all, and write whatever each one takes. */
static uint64_t open_crowd(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) *self,
			   unsigned int flags, const void *buf, size_t len)
{
	uint64_t written = 0;
	bool any = true;

	while (self->nr < NR_STALLED) {
		if (shmux_session_open(self->pair.session, flags, &self->stalled[self->nr]))
			break;
		self->nr++;
		if (self->nr % 50 == 0)
			far_run(self->far, side_take_in);
	}
	EXPECT_EQ(NR_STALLED, self->nr);
	while (any) {
		any = false;
		for (uint32_t i = 0; i < self->nr; i++) {
			while (shmux_stream_try_write(self->stalled[i], buf, len) >= 0) {
				written++;
				any = true;
			}
			if (i % 50 == 0)
				far_run(self->far, side_take_in);
		}
		far_run(self->far, side_take_in);
	}
	return written;
}

/* What the far side holds and uses is bounded, whatever it was sent. */
static void check_bounded(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) *self)
{
	struct shmux_session_counters counters;
	int64_t growth = far_run(self->far, side_rss) - self->rss;

	ASSERT_EQ(0, far_counters(self->far, &counters));
	EXPECT_LE(counters.rx_queued, BUDGET);
	EXPECT_LE(counters.granted, BUDGET);
	TH_LOG("the reader's side has grown by %lld KiB for %llu KiB", (long long)growth / 1024,
	       (unsigned long long)counters.rx_queued / 1024);
	/* The sanitizer's memory is not ours. */
	if (!process_is_sanitized())
		EXPECT_LE(growth, (int64_t)BUDGET * 3 / 2 + 2 * MIB);
}

TEST_F_TIMEOUT(crowd, that_nobody_reads_leaves_another_stream_all_it_needs, EFFORT_TIMEOUT)
{
	static char buf[20000];
	struct errand errand = {
		.nr = 2,
		.events = variant->events,
		.len = 500 * KIB,
		.seed = effort_seed(),
	};

	EXPECT_LT(NR_STALLED, open_crowd(_metadata, self, 0, buf, sizeof(buf)));
	check_bounded(_metadata, self);
	errand.modest = true;
	check_errand(_metadata, &self->pair, &errand);
	check_bounded(_metadata, self);
}

TEST_F_TIMEOUT(crowd, of_empty_messages_is_charged_for_its_memory, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 1,
		.modest = true,
		.events = variant->events,
		.len = 50 * KIB,
		.seed = effort_seed(),
	};
	uint64_t nr = open_crowd(_metadata, self, SHMUX_STREAM_MESSAGES, "", 0);

	EXPECT_LE(nr, BUDGET / 64);
	EXPECT_LE(NR_STALLED, nr);
	check_bounded(_metadata, self);
	check_errand(_metadata, &self->pair, &errand);
}

TEST_F_TIMEOUT(crowd, of_single_bytes_is_charged_for_its_memory, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 1,
		.modest = true,
		.events = variant->events,
		.len = 50 * KIB,
		.seed = effort_seed(),
	};

	/* Messages, so that they cannot be put together. */
	EXPECT_LE(open_crowd(_metadata, self, SHMUX_STREAM_MESSAGES, "x", 1), BUDGET / 64);
	check_bounded(_metadata, self);
	check_errand(_metadata, &self->pair, &errand);
}

TEST_F_TIMEOUT(crowd, that_is_opened_and_closed_and_never_accepted_is_bounded, EFFORT_TIMEOUT)
{
	struct errand errand = {
		.nr = 1,
		.modest = true,
		.events = variant->events,
		.len = 50 * KIB,
		.seed = effort_seed(),
	};
	struct shmux_session_counters counters;
	char buf[200] = "";

	for (int i = 0; i < 20000; i++) {
		struct shmux_stream *st;

		ASSERT_EQ(0, shmux_session_open(self->pair.session, 0, &st));
		shmux_stream_try_write(st, buf, sizeof(buf));
		shmux_stream_close(st);
		/* The other side does look, if no more than that. */
		while (i % 100 == 0 && session_counters(self->pair.session).ring_depth)
			far_pump(self->far);
	}
	ASSERT_EQ(0, far_counters(self->far, &counters));
	EXPECT_GE(2048, counters.accept_depth);
	check_bounded(_metadata, self);

	/* Those that were refused were refused; then there is room again. */
	ASSERT_TRUE(wait_until(far_run(self->far, side_take_in) == 0 &&
			       session_pump(self->pair.session) >= 0 &&
			       session_counters(self->pair.session).ring_depth == 0));
	check_errand(_metadata, &self->pair, &errand);
}

/* --- memory, as the kernel counts it -------------------------------------------- */

/* A control group for the memory of one process; either version. */
struct cage {
	char path[256];
	bool unified;
};

static int write_file(const char *dir, const char *name, uint64_t value)
{
	char path[320];
	FILE *file;
	int ret;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "we");
	if (!file)
		return -errno;
	fprintf(file, "%llu", (unsigned long long)value);
	ret = fclose(file) ? -errno : 0;
	return ret;
}

/* The number after @key, or at the beginning if there is none; -1: not there. */
static int64_t read_file(const char *dir, const char *name, const char *key)
{
	char path[320], line[128];
	long long value = -1;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (!strncmp(line, key, strlen(key)))
			sscanf(line + strlen(key), "%lld", &value);
	if (file)
		fclose(file);
	return value;
}

/* Our own group in the hierarchy that /proc/self/cgroup marks by @mark. */
static void own_group(const char *mark, char *path, size_t size)
{
	FILE *file = fopen("/proc/self/cgroup", "re");
	char line[256];

	*path = 0;
	while (file && fgets(line, sizeof(line), file)) {
		char *at = strstr(line, mark);

		if (at)
			snprintf(path, size, "%.*s", (int)strcspn(at + strlen(mark), "\n"),
				 at + strlen(mark));
	}
	if (file)
		fclose(file);
}

static bool cage_try(struct cage *cage, const char *root, const char *group, const char *file)
{
	snprintf(cage->path, sizeof(cage->path), "%s%s/shmux-test-%d", root, group, getpid());
	if (mkdir(cage->path, 0755))
		return false;
	if (read_file(cage->path, file, "") != -1)
		return true;
	rmdir(cage->path);
	return false;
}

static bool cage_make(struct cage *cage)
{
	static const char old[] = "/sys/fs/cgroup/memory", new[] = "/sys/fs/cgroup";
	char group[128];

	cage->unified = false;
	own_group(":memory:", group, sizeof(group));
	if (cage_try(cage, old, group, "memory.usage_in_bytes") ||
	    cage_try(cage, old, "", "memory.usage_in_bytes"))
		return true;
	cage->unified = true;
	own_group("0::", group, sizeof(group));
	return cage_try(cage, new, group, "memory.current") ||
	       cage_try(cage, new, "", "memory.current");
}

static int cage_enter(struct cage *cage, pid_t pid)
{
	return write_file(cage->path, "cgroup.procs", (uint64_t)pid);
}

static int cage_limit(struct cage *cage, uint64_t bytes)
{
	return write_file(cage->path, cage->unified ? "memory.max" : "memory.limit_in_bytes",
			  bytes);
}

static int64_t cage_usage(struct cage *cage)
{
	return read_file(cage->path, cage->unified ? "memory.current" : "memory.usage_in_bytes",
			 "");
}

static int64_t cage_nr_killed(struct cage *cage)
{
	return read_file(cage->path, cage->unified ? "memory.events" : "memory.oom_control",
			 "oom_kill ");
}

FIXTURE(caged)
{
	struct cage cage;
	bool made;
	struct pair pair; /* the far side is to go in */
	struct shmux_stream *st;
};

#define ARENA (32 * MIB)

FIXTURE_SETUP(caged)
{
	/* Large enough that it is the arena that bounds. */
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.arena_size = ARENA, .window = 2 * ARENA, .budget = 4 * ARENA,
				.first_grant = 2 * ARENA, .streams_max = 1, .message_max = MIB,
				.peer_size_max = ARENA + 2 * MIB);

	self->made = cage_make(&self->cage);
	if (!self->made)
		return;
	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, options, options));
	ASSERT_EQ(0, pair_open_stream(&self->pair, 0, &self->st));
	ASSERT_EQ(0, cage_enter(&self->cage, self->pair.far.pid));
}

FIXTURE_TEARDOWN(caged)
{
	if (!self->made)
		return;
	shmux_stream_close(self->st);
	PAIR_TEARDOWN(&self->pair);
	rmdir(self->cage.path);
}

#define NEEDS_A_CAGE()                                                                    \
	do {                                                                              \
		if (!self->made)                                                          \
			SKIP(return, "no control group for memory can be made here");     \
	} while (0)

/* Read and drop @in bytes. */
static int64_t side_read_away(struct side *side)
{
	static char buf[64 * KIB];
	uint64_t left = *(const uint64_t *)side->in;

	while (left) {
		ssize_t n = shmux_stream_read(side->stream, buf, at_most(left, sizeof(buf)));

		SIDE_TRUE(n > 0);
		left -= (uint64_t)n;
	}
	return 0;
}

/* Send all of our arena as it is: pages that have never been touched. */
static uint64_t send_untouched(struct shmux_stream *st)
{
	struct shmux_span spans[256];
	size_t size = 256 * KIB;
	uint64_t sent = 0;
	int nr = 0;

	while (nr < (int)ARRAY_SIZE(spans) &&
	       !shmux_stream_reserve(st, size, &spans[nr], SHMUX_NOWAIT))
		nr++;
	for (int i = 0; i < nr; i++)
		if (shmux_stream_submit(st, &spans[i], size, 0) == (ssize_t)size)
			sent += size;
	return sent;
}

TEST_F(caged, reader_is_charged_for_no_more_than_the_region_that_it_takes)
{
	int64_t before, growth;
	uint64_t sent = 0;

	NEEDS_A_CAGE();
	before = cage_usage(&self->cage);
	/* As much as it may ever cost, and not a bit more. */
	ASSERT_EQ(0, cage_limit(&self->cage, (uint64_t)before + ARENA + 3 * MIB));
	for (int i = 0; i < 3; i++) {
		sent = send_untouched(self->st);
		ASSERT_LE(ARENA / 2, sent);
		ASSERT_EQ(0,
			  far_call(&self->pair.far, side_read_away, &sent, sizeof(sent), NULL, 0));
		growth = cage_usage(&self->cage) - before;
		TH_LOG("%lld KiB for %llu KiB read", (long long)growth / 1024,
		       (unsigned long long)sent / 1024);
		EXPECT_LE(growth, (int64_t)ARENA + 3 * MIB);
	}
	EXPECT_EQ(0, cage_nr_killed(&self->cage));
}

static int64_t side_write_for_ever(struct side *side)
{
	static char buf[64 * KIB];
	uint64_t at = 0;

	for (;; at += sizeof(buf)) {
		pattern_fill(buf, sizeof(buf), at, 1);
		SIDE_EQ(sizeof(buf), shmux_stream_write(side->stream, buf, sizeof(buf)));
	}
}

TEST_F(caged, writer_that_the_kernel_kills_leaves_what_it_wrote_and_disturbs_nobody)
{
	static char buf[64 * KIB];
	struct shmux_stream *other;
	struct pair pair;
	uint64_t at = 0;
	ssize_t n;

	NEEDS_A_CAGE();
	ASSERT_EQ(0, pair_open(&pair, PAIR_TWO_PROCESSES, NULL, NULL));
	ASSERT_EQ(0, pair_open_stream(&pair, 0, &other));
	ASSERT_EQ(0, cage_limit(&self->cage, (uint64_t)cage_usage(&self->cage) + 8 * MIB));

	/* tests/vm/verdict looks for this. */
	TH_LOG("the memory of %s is to run out", strrchr(self->cage.path, '/') + 1);
	far_begin(&self->pair.far, side_write_for_ever, NULL, 0, 0);
	EXPECT_EQ(SIDE_DEAD, far_finish(&self->pair.far, NULL));
	EXPECT_LT(0, cage_nr_killed(&self->cage));
	while ((n = shmux_stream_read(self->st, buf, sizeof(buf))) > 0) {
		ASSERT_EQ(-1, pattern_check(buf, (size_t)n, at, 1));
		at += (uint64_t)n;
	}
	EXPECT_EQ(-ECONNRESET, n);
	EXPECT_LT(MIB, at);
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(self->st, buf, 1));

	ASSERT_EQ(5, far_write(&pair.far, "alive", 5));
	ASSERT_EQ(5, shmux_stream_read(other, buf, sizeof(buf)));
	shmux_stream_close(other);
	EXPECT_EQ(0, pair_close(&pair));
	far_kill(&self->pair.far);
}

/* --- limits of a process ---------------------------------------------------------- */

FIXTURE(limited)
{
	struct far server; /* echoes */
	char name[NAME_SIZE];
};

static int64_t side_listen(struct side *side)
{
	return shmux_listener_open(side->in, NULL, &side->listener);
}

static int64_t side_serve(struct side *side)
{
	char buf[SHMUX_ADDRESS_MAX];
	bool quit = false;

	while (!quit) {
		struct shmux_stream *st;
		ssize_t n;

		SIDE_EQ(0, shmux_listener_accept(side->listener, 0, &st));
		while ((n = shmux_stream_read(st, buf, sizeof(buf))) > 0) {
			quit = buf[0] == 'q';
			if (shmux_stream_write(st, buf, (size_t)n) != n)
				break;
		}
		shmux_stream_close(st);
	}
	return 0;
}

FIXTURE_SETUP(limited)
{
	name_make(self->name);
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, far_call(&self->server, side_listen, self->name, sizeof(self->name), NULL, 0));
	far_begin(&self->server, side_serve, NULL, 0, 0);
}

/* Everything that takes descriptors or memory. Return: 0 or the first error. */
static int converse(const char *name, const char *text)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	struct shmux_event event;
	char buf[16];
	ssize_t n;
	int ret = shmux_session_dial(name, NULL, shmux_now() + LONG_ENOUGH, &s);

	if (ret)
		return ret;
	ret = shmux_session_open(s, 0, &st);
	if (!ret) {
		ret = shmux_session_fd(s);
		if (ret >= 0)
			ret = shmux_session_pump(s, &event, 1);
		if (ret >= 0) {
			n = shmux_stream_write(st, text, 1);
			if (n == 1)
				n = shmux_stream_read(st, buf, sizeof(buf));
			ret = n == 1 ? 0 : n < 0 ? (int)n : -EBADMSG;
		}
		shmux_stream_close(st);
	}
	shmux_session_close(s, 0);
	return ret;
}

FIXTURE_TEARDOWN(limited)
{
	if (_metadata->aborted) {
		far_kill(&self->server);
		return;
	}
	EXPECT_EQ(0, converse(self->name, "quit"));
	EXPECT_EQ(0, far_finish(&self->server, NULL));
	EXPECT_EQ(0, far_stop(&self->server));
}

TEST_F(limited, descriptors_that_run_out_are_emfile_until_there_are_some)
{
	int nr_fds = process_nr_fds(), ret = -EMFILE, k = 0;
	struct rlimit whole, few;
	struct shmux_listener *l;
	char name[NAME_SIZE];
	int fd = dup(STDERR_FILENO);

	/* The lowest that is free. */
	close(fd);
	name_make(name);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &whole));
	few = whole;
	for (; k < 12 && ret; k++) {
		few.rlim_cur = (rlim_t)(fd + k);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
		ret = converse(self->name, "x");
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &whole));
		if (ret)
			EXPECT_EQ(-EMFILE, ret);
		ASSERT_EQ(nr_fds, process_nr_fds());
		ASSERT_EQ(0, converse(self->name, "x"));
	}
	EXPECT_EQ(0, ret);
	EXPECT_LT(2, k);

	for (k = 0, ret = -EMFILE; k < 12 && ret; k++) {
		few.rlim_cur = (rlim_t)(fd + k);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &few));
		ret = shmux_listener_open(name, NULL, &l);
		if (!ret)
			shmux_listener_close(l);
		ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &whole));
		if (ret)
			EXPECT_EQ(-EMFILE, ret);
		ASSERT_EQ(nr_fds, process_nr_fds());
	}
	EXPECT_EQ(0, ret);
	EXPECT_LT(2, k);
}

TEST_F(limited, address_space_that_runs_out_is_enomem_until_there_is_some)
{
	struct rlimit whole, little;
	int ret = -ENOMEM, k = 0;
	uint64_t used;

	if (process_is_sanitized())
		SKIP(return, "the sanitizer takes all the address space there is");
	/* What is kept for good is there now. */
	ASSERT_EQ(0, converse(self->name, "x"));
	ASSERT_EQ(0, getrlimit(RLIMIT_AS, &whole));
	used = (uint64_t)read_file("/proc/self", "statm", "") * (uint64_t)sysconf(_SC_PAGESIZE);
	little = whole;
	for (; k < 200 && ret; k++) {
		little.rlim_cur = used + (uint64_t)k * 128 * KIB;
		ASSERT_EQ(0, setrlimit(RLIMIT_AS, &little));
		ret = converse(self->name, "x");
		ASSERT_EQ(0, setrlimit(RLIMIT_AS, &whole));
		if (ret)
			EXPECT_EQ(-ENOMEM, ret);
		ASSERT_EQ(0, converse(self->name, "x"));
	}
	EXPECT_EQ(0, ret);
	EXPECT_LT(10, k);
}

static int64_t side_dial_locked(struct side *side)
{
	struct rlimit limit = { .rlim_cur = 128 * KIB, .rlim_max = 128 * KIB };
	struct shmux_session *s;
	int64_t ret;

	/* Root may lock what it likes. */
	SIDE_EQ(0, setrlimit(RLIMIT_MEMLOCK, &limit));
	if (geteuid() == 0)
		SIDE_EQ(0, seteuid(65534));
	SIDE_EQ(0, mlockall(MCL_FUTURE));
	ret = shmux_session_dial(side->in, NULL, shmux_now() + LONG_ENOUGH, &s);
	munlockall();
	if (!ret)
		shmux_session_close(s, 0);
	return ret;
}

TEST_F(limited, memory_that_must_be_locked_and_cannot_be_is_enomem)
{
	struct far far;

	if (process_is_sanitized())
		SKIP(return, "the sanitizer lets nobody lock memory");
	ASSERT_EQ(0, far_start(&far, FAR_CHILD));
	EXPECT_EQ(-ENOMEM,
		  far_call(&far, side_dial_locked, self->name, sizeof(self->name), NULL, 0));
	EXPECT_EQ(0, far_stop(&far));
	EXPECT_EQ(0, converse(self->name, "x"));
}

TEST_F(limited, files_that_may_not_be_as_large_are_efbig_and_no_signal)
{
	struct rlimit whole, small;
	char name[NAME_SIZE + 8];

	/* What the module makes is no file. */
	snprintf(name, sizeof(name), "memfd:%s", self->name);
	ASSERT_EQ(0, getrlimit(RLIMIT_FSIZE, &whole));
	small = whole;
	small.rlim_cur = MIB;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &small));
	EXPECT_EQ(-EFBIG, converse(name, "x"));
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &whole));
	EXPECT_EQ(0, converse(name, "x"));
}

TEST_HARNESS_MAIN
