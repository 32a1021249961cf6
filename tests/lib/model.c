// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * model.c - random operations on a few streams, against a naive model
 *
 * The model of a direction of a stream is a queue of bytes, or of messages,
 * kept as positions in a pattern. One thread plays both sides, so that each
 * step is done and checked before the next. effort.h tells of the seed.
 */
#include <errno.h>

#include "effort.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

enum { NR_STREAMS = 6, NR_QUEUED = 4096, NR_HELD = 4, BUFFER = 200000 };

/* One direction: what has been written and not been read. */
struct direction {
	struct shmux_stream *from, *to;
	struct shmux_session *from_session, *to_session;
	bool messages;
	uint32_t seed;
	uint64_t written, read;		/* bytes, ever: positions in the pattern */
	uint32_t lens[NR_QUEUED];	/* of messages under way; a ring */
	uint32_t nr_written, nr_read;	/* messages, ever */
	bool fin;			/* half-closed by the writer */
	bool stopped;			/* the reader wants no more */
	uint32_t partial;		/* of the next message, taken in views */

	struct shmux_span spans[NR_HELD];
	int nr_spans;
	struct {
		struct shmux_view view;
		uint64_t position;
	} views[NR_HELD];
	int nr_views;
};

struct model {
	struct __test_metadata *metadata;
	struct direction directions[2 * NR_STREAMS];
	uint64_t random;
	uint64_t step;
	char *buf;
	bool reset[NR_STREAMS];
};

FIXTURE(model)
{
	struct pair pair;
	struct model *model;
};

FIXTURE_VARIANT(model)
{
	struct shmux_session_options options;
};

/* Ample, by default; scarce, so that everything runs out all the time. */
FIXTURE_VARIANT_ADD(model, ample)
{
	.options = { .size = sizeof(struct shmux_session_options) },
};

FIXTURE_VARIANT_ADD(model, scarce)
{
	.options = {
		.size = sizeof(struct shmux_session_options),
		.ring_slots = 64,
		.arena_size = 65536,
		.window = 20000,
		.first_grant = 100,
		.budget = 60000,
		.streams_max = 100,
	},
};

static void model_begin(struct model *model, struct pair *pair, int i,
			struct __test_metadata *_metadata)
{
	bool messages = i % 2;
	struct shmux_stream *near;
	struct direction *d = &model->directions[2 * i];

	ASSERT_EQ(0, shmux_session_open(pair->session,
					messages ? SHMUX_STREAM_MESSAGES : SHMUX_STREAM_BYTES,
					&near));
	memset(d, 0, 2 * sizeof(*d));
	d[0].from = d[1].to = near;
	d[0].from_session = d[1].to_session = pair->session;
	d[0].to_session = d[1].from_session = pair->far.side.session;
	ASSERT_EQ(0, shmux_session_accept(pair->far.side.session, 0, &d[0].to));
	d[1].from = d[0].to;
	for (int k = 0; k < 2; k++) {
		d[k].messages = messages;
		d[k].seed = random_next(&model->random);
	}
	model->reset[i] = false;
}

FIXTURE_SETUP(model)
{
	ASSERT_EQ(0, pair_open(&self->pair, PAIR_SAME_PROCESS, &variant->options,
			       &variant->options));
	self->model = calloc(1, sizeof(*self->model));
	self->model->buf = malloc(BUFFER);
	self->model->random = effort_seed();
	for (int i = 0; i < NR_STREAMS; i++)
		model_begin(self->model, &self->pair, i, _metadata);
}

static void give_back(struct direction *d)
{
	while (d->nr_spans)
		shmux_stream_cancel(d->from, &d->spans[--d->nr_spans]);
	while (d->nr_views)
		shmux_stream_release(d->to, &d->views[--d->nr_views].view);
}

FIXTURE_TEARDOWN(model)
{
	for (int i = 0; i < 2 * NR_STREAMS; i++)
		give_back(&self->model->directions[i]);
	for (int i = 0; i < NR_STREAMS; i++) {
		shmux_stream_close(self->model->directions[2 * i].from);
		shmux_stream_close(self->model->directions[2 * i].to);
	}
	free(self->model->buf);
	free(self->model);
	PAIR_TEARDOWN(&self->pair);
}

/* Bytes that the next read may see. */
static int64_t unread(const struct direction *d)
{
	return d->messages ? d->lens[d->nr_read % NR_QUEUED] - d->partial :
			     (int64_t)(d->written - d->read);
}

static bool is_empty(const struct direction *d)
{
	return d->messages ? d->nr_read == d->nr_written : d->read == d->written;
}

/* A length: short, medium or long. */
static uint32_t length(struct model *model)
{
	static const uint32_t most[] = { 4, 60, 300, 5000, 70000, 150000 };

	return random_between(&model->random, 0, most[random_between(&model->random, 0, 5)]);
}

static void note_written(struct direction *d, uint32_t len)
{
	if (d->messages)
		d->lens[d->nr_written++ % NR_QUEUED] = len;
	d->written += len;
}

/* Of the message that is read next, or of the bytes: @len have been taken. */
static void note_read(struct direction *d, uint32_t len, bool whole)
{
	d->read += len;
	d->partial = d->messages && !whole ? d->partial + len : 0;
	if (d->messages && whole)
		d->nr_read++;
}

/* The error that a write is to meet, or 0. */
static int write_error(const struct direction *d, bool reset)
{
	if (reset)
		return -ECONNRESET;
	return d->fin || d->stopped ? -EPIPE : 0;
}

static int end_error(const struct direction *d)
{
	return d->messages ? -ENODATA : 0;
}

#define _metadata (model->metadata)

static void step_write(struct model *model, struct direction *d, bool reset)
{
	uint32_t len = length(model);
	unsigned int flags = SHMUX_NOWAIT;
	struct iovec iov[2];
	ssize_t n;

	if (d->messages && d->nr_written - d->nr_read == NR_QUEUED)
		return;
	if (random_between(&model->random, 0, 500) == 0)
		flags |= SHMUX_FIN;
	pattern_fill(model->buf, len, d->written, d->seed);
	iov[0].iov_base = model->buf;
	iov[0].iov_len = random_between(&model->random, 0, len);
	iov[1].iov_base = model->buf + iov[0].iov_len;
	iov[1].iov_len = len - iov[0].iov_len;
	n = shmux_stream_send(d->from, iov, 2, flags);
	/* One of several chunks cannot be sent without waiting between them. */
	if (d->messages && len > shmux_stream_reserve_max(d->from)) {
		ASSERT_TRUE(n == -EMSGSIZE || (n && n == write_error(d, reset)));
		return;
	}
	if (write_error(d, reset) && (len || d->messages)) {
		ASSERT_EQ(write_error(d, reset), n);
		return;
	}
	if (n < 0) {
		/* An empty one on a stream that is over may be either. */
		ASSERT_TRUE(n == -EAGAIN || (!len && n == write_error(d, reset)));
		return;
	}
	ASSERT_GE(len, n);
	if (d->messages) {
		ASSERT_EQ(len, n);
	}
	note_written(d, (uint32_t)n);
	/* The half-close comes with the last byte. */
	if (n == len && flags & SHMUX_FIN && !write_error(d, reset))
		d->fin = true;
}

static void step_reserve(struct model *model, struct direction *d, bool reset)
{
	uint32_t len = length(model) + 1;
	int ret;

	if (d->nr_spans == NR_HELD)
		return;
	ret = shmux_stream_reserve(d->from, len, &d->spans[d->nr_spans], SHMUX_NOWAIT);
	if (len > shmux_stream_reserve_max(d->from)) {
		ASSERT_GT(0, ret);
	} else if (write_error(d, reset)) {
		ASSERT_EQ(write_error(d, reset), ret);
	} else if (ret) {
		ASSERT_EQ(-EAGAIN, ret);
	} else {
		ASSERT_LE(len, d->spans[d->nr_spans++].size);
	}
}

/* Submit or cancel one of the spans. */
static void step_submit(struct model *model, struct direction *d, bool reset)
{
	struct shmux_span span;
	uint32_t len, which;
	ssize_t n;

	if (!d->nr_spans || (d->messages && d->nr_written - d->nr_read == NR_QUEUED))
		return;
	which = random_between(&model->random, 0, (uint32_t)d->nr_spans - 1);
	span = d->spans[which];
	d->spans[which] = d->spans[--d->nr_spans];
	if (random_between(&model->random, 0, 3) == 0) {
		shmux_stream_cancel(d->from, &span);
		return;
	}
	len = random_between(&model->random, 0, (uint32_t)span.size);
	pattern_fill(span.data, len, d->written, d->seed);
	n = shmux_stream_submit(d->from, &span, len, 0);
	if (write_error(d, reset)) {
		ASSERT_TRUE(n == write_error(d, reset) || (!len && !d->messages));
		return;
	}
	ASSERT_EQ(len, n);
	note_written(d, len);
}

/* Reading has found nothing: is that so? */
static void check_nothing(struct model *model, struct direction *d, ssize_t n)
{
	/* A call takes note of so much only; drain() sees to it that all comes. */
	if (n == -EAGAIN)
		return;
	ASSERT_TRUE(is_empty(d));
	ASSERT_TRUE(d->fin);
	ASSERT_EQ(end_error(d), n);
}

static bool is_over_for_reader(struct model *model, struct direction *d, bool reset, ssize_t n)
{
	if (reset) {
		ASSERT_EQ(-ECONNRESET, n);
		return true;
	}
	if (d->stopped) {
		ASSERT_EQ(end_error(d), n);
		return true;
	}
	return false;
}

static void step_read(struct model *model, struct direction *d, bool reset)
{
	uint32_t size = length(model) + 1;
	ssize_t n;

	if (d->partial)
		return;
	n = shmux_stream_try_read(d->to, model->buf, size);
	if (is_over_for_reader(model, d, reset, n))
		return;
	if (n < 0 && n != -EMSGSIZE) {
		check_nothing(model, d, n);
		return;
	}
	if (!n && !d->messages) {
		check_nothing(model, d, n);
		return;
	}
	ASSERT_FALSE(is_empty(d));
	if (n == -EMSGSIZE) {
		ASSERT_TRUE(d->messages);
		ASSERT_LT(size, unread(d));
		ASSERT_EQ(unread(d), shmux_stream_next_len(d->to));
		return;
	}
	if (d->messages) {
		ASSERT_EQ(unread(d), n);
	}
	ASSERT_GE(unread(d), n);
	ASSERT_EQ(-1, pattern_check(model->buf, (size_t)n, d->read, d->seed));
	note_read(d, (uint32_t)n, true);
}

static void step_take(struct model *model, struct direction *d, bool reset)
{
	struct shmux_view view;
	ssize_t n;

	if (d->nr_views == NR_HELD)
		return;
	n = shmux_stream_take(d->to, &view, SHMUX_NOWAIT);
	if (is_over_for_reader(model, d, reset, n))
		return;
	if (n < 0 || (!n && !d->messages)) {
		check_nothing(model, d, n);
		return;
	}
	ASSERT_FALSE(is_empty(d));
	ASSERT_EQ(n, (ssize_t)view.len);
	ASSERT_GE(unread(d), n);
	if (d->messages) {
		ASSERT_EQ(unread(d) > n, !!view.more);
	}
	ASSERT_EQ(-1, pattern_check(view.data, view.len, d->read, d->seed));
	d->views[d->nr_views].view = view;
	d->views[d->nr_views++].position = d->read;
	note_read(d, (uint32_t)n, !d->messages || !view.more);
}

static void step_release(struct model *model, struct direction *d)
{
	uint32_t which;

	if (!d->nr_views)
		return;
	which = random_between(&model->random, 0, (uint32_t)d->nr_views - 1);
	ASSERT_EQ(-1, pattern_check(d->views[which].view.data, d->views[which].view.len,
				    d->views[which].position, d->seed));
	shmux_stream_release(d->to, &d->views[which].view);
	d->views[which] = d->views[--d->nr_views];
}

/* peek and discard have no form that does not wait; a past deadline does it. */
static void step_peek(struct model *model, struct direction *d, bool reset)
{
	uint32_t want = random_between(&model->random, 1,
				       (uint32_t)shmux_stream_peek_max(d->to));
	const void *data;
	ssize_t n;

	if (d->partial)
		return;
	shmux_stream_set_deadline(d->to, SHMUX_READ, 1);
	n = shmux_stream_peek(d->to, want, &data);
	shmux_stream_set_deadline(d->to, SHMUX_READ, SHMUX_NEVER);
	if (is_over_for_reader(model, d, reset, n))
		return;
	if (n == -ETIMEDOUT)
		return;
	if (is_empty(d)) {
		check_nothing(model, d, n);
		return;
	}
	ASSERT_LE(0, n);
	if (d->messages) {
		ASSERT_EQ(unread(d), n);
	} else {
		ASSERT_GE(unread(d), n);
		ASSERT_TRUE(n >= (ssize_t)want || (d->fin && n == unread(d)));
	}
	ASSERT_EQ(-1, pattern_check(data, (size_t)n, d->read, d->seed));
}

static void step_discard(struct model *model, struct direction *d, bool reset)
{
	uint32_t want = length(model) + 1;
	ssize_t n;

	if (d->partial)
		return;
	shmux_stream_set_deadline(d->to, SHMUX_READ, 1);
	n = shmux_stream_discard(d->to, want);
	shmux_stream_set_deadline(d->to, SHMUX_READ, SHMUX_NEVER);
	if (is_over_for_reader(model, d, reset, n))
		return;
	if (n == -ETIMEDOUT)
		return;
	if (is_empty(d)) {
		check_nothing(model, d, n);
		return;
	}
	ASSERT_LE(0, n);
	if (d->messages) {
		ASSERT_EQ(unread(d), n);
	} else {
		ASSERT_GE(unread(d), n);
		ASSERT_GE(want, n);
	}
	note_read(d, (uint32_t)n, true);
}

static void step_look(struct model *model, struct direction *d, bool reset)
{
	ssize_t n = shmux_stream_next_len(d->to);

	if (reset || d->stopped || d->partial || n < 0)
		return;
	if (d->messages) {
		ASSERT_FALSE(is_empty(d));
		ASSERT_EQ(unread(d), n);
	} else {
		ASSERT_GE(unread(d), n);
	}
}

/* Let each side take note of everything that the other has said. */
static void settle(struct pair *pair)
{
	for (int i = 0; i < 100; i++) {
		session_pump(pair->session);
		session_pump(pair->far.side.session);
	}
}

/* Rarely: end a direction, or the stream, or start afresh. */
static void step_end(struct model *model, FIXTURE_DATA(model) *self, int i)
{
	struct direction *d = &model->directions[2 * i];
	struct direction *one = &d[random_between(&model->random, 0, 1)];

	switch (random_between(&model->random, 0, 5)) {
	case 0:
		ASSERT_EQ(model->reset[i] ? -ECONNRESET : 0,
			  shmux_stream_shutdown(one->from, SHMUX_WRITE));
		one->fin = true;
		break;
	case 1:
		ASSERT_EQ(model->reset[i] ? -ECONNRESET : 0,
			  shmux_stream_shutdown(one->to, SHMUX_READ));
		one->stopped = true;
		break;
	case 2:
		/* Where either side has nothing more to say a reset is not heard. */
		if ((d[0].fin && d[1].fin) || (d[0].fin && d[1].stopped) ||
		    (d[1].fin && d[0].stopped))
			break;
		if (shmux_stream_reset(one->from, SHMUX_CODE_USER) == 0)
			model->reset[i] = true;
		break;
	default:
		give_back(&d[0]);
		give_back(&d[1]);
		shmux_stream_close(d->from);
		shmux_stream_close(d->to);
		settle(&self->pair);
		model_begin(model, &self->pair, i, _metadata);
	}
	settle(&self->pair);
}

static void step(struct model *model, FIXTURE_DATA(model) *self)
{
	int i = (int)random_between(&model->random, 0, NR_STREAMS - 1);
	struct direction *d = &model->directions[2 * i + random_between(&model->random, 0, 1)];
	bool reset = model->reset[i];

	switch (random_between(&model->random, 0, 15)) {
	case 0:
	case 1:
	case 2:
	case 3:
		step_write(model, d, reset);
		break;
	case 4:
	case 5:
		step_reserve(model, d, reset);
		break;
	case 6:
	case 7:
		step_submit(model, d, reset);
		break;
	case 8:
	case 9:
		step_read(model, d, reset);
		break;
	case 10:
		step_take(model, d, reset);
		break;
	case 11:
		step_release(model, d);
		break;
	case 12:
		step_peek(model, d, reset);
		break;
	case 13:
		step_discard(model, d, reset);
		break;
	case 14:
		step_look(model, d, reset);
		break;
	case 15:
		if (random_between(&model->random, 0, 50) == 0)
			step_end(model, self, i);
		else if (random_between(&model->random, 0, 1))
			session_pump(d->from_session);
		break;
	}
}

/* What is left in a direction comes, and then the end does. */
static void drain(struct model *model, FIXTURE_DATA(model) *self, struct direction *d, bool reset)
{
	uint64_t end = shmux_now() + LONG_ENOUGH;
	ssize_t n;

	if (reset || d->stopped)
		return;
	while (d->nr_views)
		step_release(model, d);
	while (!is_empty(d) && shmux_now() < end) {
		if (d->partial)
			step_take(model, d, reset);
		else
			step_read(model, d, reset);
		while (d->nr_views)
			step_release(model, d);
		settle(&self->pair);
	}
	ASSERT_TRUE(is_empty(d));
	ASSERT_EQ(0, shmux_stream_shutdown(d->from, SHMUX_WRITE));
	settle(&self->pair);
	n = shmux_stream_try_read(d->to, model->buf, BUFFER);
	ASSERT_EQ(end_error(d), n);
}

#undef _metadata

/* Nothing is queued, lent or reserved when all streams are closed. */
static void check_clean(struct __test_metadata *_metadata, struct pair *pair)
{
	struct shmux_session *sessions[] = { pair->session, pair->far.side.session };

	settle(pair);
	for (int i = 0; i < 2; i++) {
		struct shmux_session_counters counters = session_counters(sessions[i]);

		EXPECT_EQ(0, counters.streams_open);
		EXPECT_EQ(0, counters.rx_queued);
		EXPECT_EQ(0, counters.granted);
		EXPECT_EQ(0, counters.chunks_lent);
		EXPECT_EQ(0, counters.arena_used);
		EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(sessions[i]));
	}
}

TEST_F(model, random_operations_agree_with_a_queue)
{
	struct model *model = self->model;
	uint64_t end = shmux_now() + 3 * SEC;

	model->metadata = _metadata;
	while (shmux_now() < end && _metadata->passed) {
		for (int i = 0; i < 100; i++) {
			model->step++;
			step(model, self);
		}
	}
	TH_LOG("%llu steps, %llu bytes", (unsigned long long)model->step,
	       (unsigned long long)session_counters(self->pair.session).bytes_received);
	for (int i = 0; i < 2 * NR_STREAMS; i++)
		drain(model, self, &model->directions[i], model->reset[i / 2]);
	for (int i = 0; i < 2 * NR_STREAMS; i++)
		give_back(&model->directions[i]);
	for (int i = 0; i < NR_STREAMS; i++) {
		shmux_stream_close(model->directions[2 * i].from);
		shmux_stream_close(model->directions[2 * i].to);
		model->directions[2 * i].from = NULL;
		model->directions[2 * i].to = NULL;
	}
	check_clean(_metadata, &self->pair);
}

TEST_HARNESS_MAIN
