// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * seam.c - sessions behave alike whichever link carries their frames
 *
 * The same tests over the shared-memory link and over one that shares nothing
 * (link_socketpair.h). One process has both ends, so what is written here has
 * arrived there when the call returns.
 */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "harness.h"

#include "core/core.h"
#include "core/credit.h"
#include "core/options.h"
#include "core/rx.h"
#include "link/shm.h"
#include "link_socketpair.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define WINDOW 65536u

FIXTURE(seam)
{
	struct pair pair;		/* over shared memory */
	struct shmux_session *near, *far;
	struct shmux_session_options options;
	int nr_fds;
};

FIXTURE_VARIANT(seam)
{
	bool shm;
};

FIXTURE_VARIANT_ADD(seam, socketpair)
{
	.shm = false,
};

FIXTURE_VARIANT_ADD(seam, shm)
{
	.shm = true,
};

/* A session over one end of a socketpair. */
static int session_over(int fd, enum shmux_role role, const struct shmux_session_options *given,
			struct shmux_session **session)
{
	struct shmux_session_options options;
	struct shmux__link *link;
	int err = shmux__options_resolve(given, &options, NULL);

	if (err)
		return err;
	link = link_socketpair_open(fd, role, &options);
	if (!link)
		return -ENOMEM;
	return shmux__session_new(link, &options, "", session);
}

FIXTURE_SETUP(seam)
{
	int fds[2];

	self->nr_fds = process_nr_fds();
	self->options = (struct shmux_session_options){
		.size = sizeof(self->options),
		/* Far less room than window: both run out. */
		.ring_slots = 64,
		.arena_size = 65536,
		.window = WINDOW,
		.backlog = 8,
		/* No spinning: whoever has to wait is to be woken. */
		.spin = SHMUX_SPIN_NONE,
	};
	if (variant->shm) {
		ASSERT_EQ(0, pair_open(&self->pair, PAIR_SAME_PROCESS, &self->options,
				       &self->options));
		self->near = self->pair.session;
		self->far = self->pair.far.side.session;
		return;
	}
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	ASSERT_EQ(0, session_over(fds[0], SHMUX_ROLE_DIALLER, &self->options, &self->near));
	ASSERT_EQ(0, session_over(fds[1], SHMUX_ROLE_ACCEPTOR, &self->options, &self->far));
}

static void close_near(FIXTURE_DATA(seam) *self)
{
	shmux_session_close(self->near, 0);
	self->near = self->pair.session = NULL;
}

FIXTURE_TEARDOWN(seam)
{
	if (variant->shm) {
		PAIR_TEARDOWN(&self->pair);
		return;
	}
	shmux_session_close(self->near, 0);
	shmux_session_close(self->far, 0);
	self->near = self->far = NULL;
	EXPECT_EQ(self->nr_fds, process_nr_fds());
	EXPECT_FALSE(process_leaks());
}

/* A stream and both its handles. */
struct ends {
	struct shmux_stream *near, *far;
};

static void open_stream(struct __test_metadata *_metadata, FIXTURE_DATA(seam) *self,
			unsigned int flags, struct ends *st)
{
	ASSERT_EQ(0, shmux_session_open(self->near, flags, &st->near));
	ASSERT_EQ(0, shmux_session_accept(self->far, 0, &st->far));
}

static void close_stream(struct ends *st)
{
	shmux_stream_close(st->near);
	shmux_stream_close(st->far);
}

static void check_reads(struct __test_metadata *_metadata, struct shmux_stream *st,
			const char *text)
{
	struct iovec iov;
	char buf[256] = "";

	iov = (struct iovec){ .iov_base = buf, .iov_len = strlen(text) };
	EXPECT_EQ((ssize_t)strlen(text), shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
	EXPECT_STREQ(text, buf);
}

/* --- opening -------------------------------------------------------------- */

TEST_F(seam, stream_opened_on_one_side_is_accepted_on_the_other)
{
	struct shmux_stream *none;
	struct ends st;

	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->far, SHMUX_NOWAIT, &none));
	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	EXPECT_EQ(shmux_stream_id(st.near), shmux_stream_id(st.far));
	EXPECT_EQ(1, shmux_stream_is_message(st.far));
	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->near, SHMUX_NOWAIT, &none));
	close_stream(&st);
}

TEST_F(seam, both_sides_open_streams)
{
	struct shmux_stream *near[2], *far[2];

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &near[0]));
	ASSERT_EQ(0, shmux_session_open(self->far, 0, &far[1]));
	ASSERT_EQ(0, shmux_session_accept(self->near, 0, &near[1]));
	ASSERT_EQ(0, shmux_session_accept(self->far, 0, &far[0]));
	ASSERT_EQ(3, shmux_stream_write(near[0], "one", 3));
	ASSERT_EQ(3, shmux_stream_write(near[1], "two", 3));
	check_reads(_metadata, far[1], "two");
	check_reads(_metadata, far[0], "one");
	for (int i = 0; i < 2; i++) {
		shmux_stream_close(near[i]);
		shmux_stream_close(far[i]);
	}
}

TEST_F(seam, stream_beyond_the_backlog_is_refused_with_its_code)
{
	struct shmux_stream *near[9], *far;
	uint32_t code = 0;
	char byte;
	int i;

	for (i = 0; i < 9; i++)
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &near[i]));
	for (i = 0; i < 8; i++) {
		ASSERT_EQ(0, shmux_session_accept(self->far, 0, &far));
		shmux_stream_close(far);
	}
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(near[8], &byte, 1));
	EXPECT_EQ(0, shmux_stream_reset_code(near[8], &code));
	EXPECT_EQ(SHMUX_CODE_BACKLOG, code);
	for (i = 0; i < 9; i++)
		shmux_stream_close(near[i]);
}

TEST_F(seam, thousands_of_streams_come_and_go)
{
	struct ends st;
	char buf[8];
	int i;

	for (i = 0; i < 3000; i++) {
		open_stream(_metadata, self, 0, &st);
		ASSERT_EQ(4, shmux_stream_write(st.near, "ping", 4));
		ASSERT_EQ(4, shmux_stream_read(st.far, buf, sizeof(buf)));
		ASSERT_EQ(4, shmux_stream_write(st.far, "pong", 4));
		ASSERT_EQ(4, shmux_stream_read(st.near, buf, sizeof(buf)));
		close_stream(&st);
	}
	EXPECT_EQ(0, session_counters(self->near).streams_open);
	/* It hears of the last end when it is next in a call. */
	EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(self->far));
	EXPECT_EQ(0, session_counters(self->far).streams_open);
}

/* --- bytes ---------------------------------------------------------------- */

TEST_F(seam, bytes_go_both_ways)
{
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(5, shmux_stream_write(st.near, "hello", 5));
	ASSERT_EQ(5, shmux_stream_write(st.far, "world", 5));
	check_reads(_metadata, st.far, "hello");
	check_reads(_metadata, st.near, "world");
	close_stream(&st);
}

static void check_writes_of_any_length(struct __test_metadata *_metadata,
				       FIXTURE_DATA(seam) *self)
{
	char out[5000], in[5000];
	struct iovec iov = { .iov_base = in };
	struct ends st;
	uint32_t len;

	open_stream(_metadata, self, 0, &st);
	/* The first grants are small: let them grow. */
	ASSERT_EQ(1, shmux_stream_write(st.near, "x", 1));
	check_reads(_metadata, st.far, "x");
	for (len = 1; len <= sizeof(out); len += len < 200 ? 1 : 37) {
		struct bulk_job writer = { st.near, { .len = len, .piece = len, .seed = len } };
		struct worker worker;

		worker_start(&worker, bulk_write_job, &writer);
		iov.iov_len = len;
		ASSERT_EQ(len, shmux_stream_recv(st.far, &iov, 1, SHMUX_WAITALL));
		ASSERT_EQ(len, worker_join(&worker));
		ASSERT_EQ(-1, pattern_check(in, len, 0, len));
	}
	close_stream(&st);
}

TEST_F(seam, write_of_any_length_arrives_whole)
{
	check_writes_of_any_length(_metadata, self);
}

/* As if it had been learned, for good. */
static void fill_by(struct shmux_session *s, enum shmux__way way)
{
	struct shmux__fill *f = &shmux__shm(s->link)->fill;

	f->way = f->usual = way;
	f->laps = UINT32_MAX;
}

TEST_F(seam, write_of_any_length_arrives_whole_however_chunks_are_filled)
{
	uint32_t way;

	if (!variant->shm)
		SKIP(return, "this link has no chunks");
	for (way = 0; way < SHMUX__NR_WAYS; way++) {
		fill_by(self->near, (enum shmux__way)way);
		check_writes_of_any_length(_metadata, self);
	}
}

/* Send @bulk from @from to @to. */
static void check_transfer(struct __test_metadata *_metadata, struct shmux_stream *from,
			   struct shmux_stream *to, struct bulk bulk)
{
	struct bulk_job writer = { from, bulk };
	struct worker worker;

	worker_start(&worker, bulk_write_job, &writer);
	bulk.piece = 7777;
	EXPECT_EQ((int64_t)bulk.len, bulk_read(to, &bulk));
	EXPECT_EQ((int64_t)bulk.len, worker_join(&worker));
}

/* A stream whose window is open as wide as it goes: wider than there is room. */
static void open_wide_stream(struct __test_metadata *_metadata, FIXTURE_DATA(seam) *self,
			     struct ends *st)
{
	open_stream(_metadata, self, 0, st);
	check_transfer(_metadata, st->near, st->far,
		       (struct bulk){ .len = 16 * WINDOW, .piece = 900 });
	EXPECT_LE(0, session_pump(self->far));
	EXPECT_LE(0, session_pump(self->near));
}

static bool goes_in_a_chunk(struct __test_metadata *_metadata, FIXTURE_DATA(seam) *self,
			    struct ends *st, size_t len)
{
	static const char out[4096];
	uint64_t before, after, used;
	char in[4096];

	self->near->link->ops->arena(self->near->link, &before, &used);
	EXPECT_EQ((ssize_t)len, shmux_stream_write(st->near, out, len));
	self->near->link->ops->arena(self->near->link, &after, &used);
	while (shmux_stream_try_read(st->far, in, sizeof(in)) > 0)
		;
	EXPECT_LE(0, session_pump(self->near));
	return after != before;
}

TEST_F(seam, write_of_a_few_kilobytes_goes_in_a_chunk_where_those_in_turn_are_quicker)
{
	struct ends st;

	if (!variant->shm)
		SKIP(return, "this link has no chunks");
	open_wide_stream(_metadata, self, &st);
	fill_by(self->near, SHMUX__WAY_TURN);
	/* It shows with the next that counts. */
	goes_in_a_chunk(_metadata, self, &st, 2500);
	EXPECT_TRUE(goes_in_a_chunk(_metadata, self, &st, 2500));
	EXPECT_TRUE(goes_in_a_chunk(_metadata, self, &st, 2049));
	EXPECT_FALSE(goes_in_a_chunk(_metadata, self, &st, 2048));
	fill_by(self->near, SHMUX__WAY_HOT);
	goes_in_a_chunk(_metadata, self, &st, 2500);
	EXPECT_FALSE(goes_in_a_chunk(_metadata, self, &st, 2500));
	close_stream(&st);
}

/* Buffers of 64 bytes. */
#define NR_SMALL 40

static ssize_t send_small(struct shmux_stream *st, unsigned int flags)
{
	static char bytes[NR_SMALL * 64];
	struct iovec iov[NR_SMALL];

	for (size_t i = 0; i < NR_SMALL; i++)
		iov[i] = (struct iovec){ bytes + i * 64, 64 };
	return shmux_stream_send(st, iov, NR_SMALL, flags);
}

static size_t read_all(struct shmux_stream *st)
{
	char buf[4096];
	ssize_t n;
	size_t len = 0;

	while ((n = shmux_stream_try_read(st, buf, sizeof(buf))) > 0)
		len += (size_t)n;
	return len;
}

TEST_F(seam, small_buffers_of_which_more_follows_are_held_back_however_many)
{
	struct ends st;

	open_wide_stream(_metadata, self, &st);
	ASSERT_EQ(NR_SMALL * 64, send_small(st.near, SHMUX_MORE));
	EXPECT_EQ(0, read_all(st.far));
	ASSERT_EQ(1, shmux_stream_write(st.near, "", 1));
	EXPECT_EQ(NR_SMALL * 64 + 1, read_all(st.far));
	close_stream(&st);
}

TEST_F(seam, small_buffers_without_waiting_take_all_the_room_there_is)
{
	static const char small[64];
	struct ends st;
	ssize_t n;
	size_t len;

	if (!variant->shm)
		SKIP(return, "the room of this link is the kernel's");
	open_wide_stream(_metadata, self, &st);
	for (int filled = 0; filled < 28; filled++) {
		len = 0;
		for (int i = 0; i < filled; i++) {
			n = shmux_stream_try_write(st.near, small, sizeof(small));
			len += n > 0 ? (size_t)n : 0;
		}
		n = send_small(st.near, SHMUX_NOWAIT);
		ASSERT_TRUE(n > 0 || n == -EAGAIN);
		len += n > 0 ? (size_t)n : 0;
		if (n != NR_SMALL * 64) {
			EXPECT_EQ(-EAGAIN, shmux_stream_try_write(st.near, small, sizeof(small)))
			{
				TH_LOG("with %d in the ring", filled);
			}
		}
		EXPECT_EQ(len, read_all(st.far));
		EXPECT_LE(0, session_pump(self->near));
	}
	close_stream(&st);
}

TEST_F(seam, chunk_that_was_never_lent_and_comes_back_ends_the_session_at_the_next_write)
{
	static const char out[3000];
	struct ends st[2];

	if (!variant->shm)
		SKIP(return, "this link has no chunks");
	open_wide_stream(_metadata, self, &st[0]);
	open_wide_stream(_metadata, self, &st[1]);
	fill_by(self->near, SHMUX__WAY_TURN);
	goes_in_a_chunk(_metadata, self, &st[0], sizeof(out));
	/* So many that the next write looks which are back. */
	for (int i = 0; i < 16; i++)
		ASSERT_EQ((ssize_t)sizeof(out),
			  shmux_stream_try_write(st[i % 2].near, out, sizeof(out)));
	EXPECT_EQ(8 * sizeof(out), read_all(st[0].far));
	EXPECT_EQ(8 * sizeof(out), read_all(st[1].far));
	shmux__returns_put(&shmux__shm(self->far->link)->give_back, 12345);

	EXPECT_EQ(-EPROTO, shmux_stream_try_write(st[0].near, out, sizeof(out)));
	EXPECT_EQ(-EPROTO, shmux_stream_write(st[0].near, "", 1));
	close_stream(&st[0]);
	close_stream(&st[1]);
}

/* Who has them may be who writes, and submit them only then. */
TEST_F(seam, write_of_a_few_kilobytes_does_not_wait_for_chunks_that_are_kept)
{
	static const size_t lens[] = { 2049, 2500, 2200 };
	char out[3000] = "", in[3000];
	struct shmux_span spans[8];
	struct ends st, keeps[2];
	uint64_t lent, used;
	size_t i, n = 0;

	if (!variant->shm)
		SKIP(return, "this link has no chunks");
	open_wide_stream(_metadata, self, &st);
	open_wide_stream(_metadata, self, &keeps[0]);
	open_wide_stream(_metadata, self, &keeps[1]);
	fill_by(self->near, SHMUX__WAY_TURN);
	goes_in_a_chunk(_metadata, self, &st, 2500);
	for (n = 0; n < 4; n++)
		ASSERT_EQ(0, shmux_stream_reserve(keeps[n / 2].near, 16384, &spans[n],
						  SHMUX_NOWAIT));
	self->near->link->ops->arena(self->near->link, &lent, &used);
	ASSERT_EQ(self->options.arena_size, used);
	for (i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		EXPECT_EQ((ssize_t)lens[i], shmux_stream_try_write(st.near, out, lens[i]));
		while (shmux_stream_try_read(st.far, in, sizeof(in)) > 0)
			;
		EXPECT_LE(0, session_pump(self->near));
	}
	for (n = 0; n < 4; n++)
		shmux_stream_cancel(keeps[n / 2].near, &spans[n]);
	close_stream(&keeps[0]);
	close_stream(&keeps[1]);
	close_stream(&st);
}

TEST_F(seam, large_transfer_arrives_in_order)
{
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	check_transfer(_metadata, st.near, st.far,
		       (struct bulk){ .len = 8 << 20, .piece = 100000, .seed = 1 });
	check_transfer(_metadata, st.far, st.near,
		       (struct bulk){ .len = 1 << 20, .piece = 100, .seed = 2 });
	close_stream(&st);
}

TEST_F(seam, large_transfer_ends_between_peers_one_of_whom_knows_no_blocked_frame)
{
	struct ends st;

	self->near->link->features &= ~SHMUX_FEATURE_BLOCKED;
	open_stream(_metadata, self, 0, &st);
	check_transfer(_metadata, st.near, st.far,
		       (struct bulk){ .len = 8 << 20, .piece = 100000, .seed = 3 });
	EXPECT_EQ(0, st.far->state & STREAM_HUNGRY);
	check_transfer(_metadata, st.far, st.near,
		       (struct bulk){ .len = 8 << 20, .piece = 100000, .seed = 4 });
	close_stream(&st);
}

/* Let both sides say and hear what there is, and answer. */
static void pump_twice(FIXTURE_DATA(seam) *self)
{
	for (int i = 0; i < 2; i++) {
		session_pump(self->near);
		session_pump(self->far);
	}
	session_pump(self->near);
}

TEST_F(seam, credit_that_comes_when_nobody_waits_for_it_any_more_goes_back)
{
	struct ends st;
	char *buf = calloc(1, WINDOW);

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	/* It asks, and gives up at once. */
	shmux_stream_set_deadline(st.near, SHMUX_WRITE, 1);
	ASSERT_EQ(-ETIMEDOUT, shmux_stream_write(st.near, buf, WINDOW));
	pump_twice(self);
	EXPECT_FALSE(st.far->state & STREAM_HUNGRY);
	/* The grant had been under way. */
	shmux__credit_wanted(st.far, WINDOW);
	pump_twice(self);
	EXPECT_EQ(256u, st.near->tx_credit);
	EXPECT_EQ(st.near->tx_credit, st.far->rx_granted);
	EXPECT_EQ(st.far->rx_granted, st.far->rx_limit);

	/* Who writes again has it again. */
	shmux_stream_set_deadline(st.near, SHMUX_WRITE, SHMUX_NEVER);
	EXPECT_EQ(100, shmux_stream_write(st.near, buf, 100));
	pump_twice(self);
	shmux__credit_wanted(st.far, WINDOW / 2);
	pump_twice(self);
	EXPECT_LE(WINDOW / 2, st.near->tx_credit);
	free(buf);
	close_stream(&st);
}

TEST_F(seam, credit_of_a_message_that_breaks_off_goes_back)
{
	struct ends st, other;
	struct shmux_span span;
	char *buf = calloc(1, WINDOW);

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	open_stream(_metadata, self, 0, &other);
	shmux__credit_wanted(st.far, WINDOW);
	shmux__credit_wanted(other.far, WINDOW);
	pump_twice(self);
	ASSERT_LE(WINDOW, st.near->tx_credit);
	/* There is room for its first parts only. */
	if (variant->shm) {
		ASSERT_EQ(0, shmux_stream_reserve(other.near, 4096, &span, SHMUX_NOWAIT));
	}
	shmux_stream_set_deadline(st.near, SHMUX_WRITE, 1);
	ASSERT_EQ(-ETIMEDOUT, shmux_stream_write(st.near, buf, WINDOW));
	ASSERT_GT(WINDOW, st.near->tx_credit);
	pump_twice(self);
	EXPECT_EQ(256u, st.near->tx_credit);
	EXPECT_EQ(st.near->tx_credit, st.far->rx_granted);
	if (variant->shm)
		shmux_stream_cancel(other.near, &span);
	free(buf);
	close_stream(&other);
	close_stream(&st);
}

TEST_F(seam, peer_that_knows_no_message_streams_is_not_asked_for_one)
{
	struct shmux_stream *none = NULL;
	struct ends st;

	self->near->link->features &= ~SHMUX_FEATURE_MESSAGES;
	EXPECT_EQ(-EOPNOTSUPP,
		  shmux_session_open(self->near, SHMUX_STREAM_MESSAGES, &none));
	EXPECT_EQ(NULL, none);
	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(5, shmux_stream_write(st.near, "hello", 5));
	check_reads(_metadata, st.far, "hello");
	close_stream(&st);
}

TEST_F(seam, large_transfers_in_both_directions_do_not_wait_for_each_other)
{
	struct worker writers[2], readers[2];
	struct bulk_job jobs[4];
	struct ends st;
	int i;

	open_stream(_metadata, self, 0, &st);
	for (i = 0; i < 2; i++) {
		struct bulk bulk = { .len = 4 << 20, .piece = 30000, .seed = (uint32_t)i };

		jobs[i] = (struct bulk_job){ i ? st.far : st.near, bulk };
		jobs[2 + i] = (struct bulk_job){ i ? st.near : st.far, bulk };
	}
	for (i = 0; i < 2; i++) {
		worker_start(&writers[i], bulk_write_job, &jobs[i]);
		worker_start(&readers[i], bulk_read_job, &jobs[2 + i]);
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(4 << 20, worker_join(&writers[i]));
		EXPECT_EQ(4 << 20, worker_join(&readers[i]));
	}
	close_stream(&st);
}

TEST_F(seam, transfers_on_many_streams_at_once_are_not_mixed)
{
	enum { NR = 6 };
	struct worker writers[NR], readers[NR];
	struct bulk_job out[NR], in[NR];
	struct ends st[NR];
	int i;

	for (i = 0; i < NR; i++) {
		struct bulk bulk = { .len = 500000, .piece = 900 + 777 * i, .seed = i };

		open_stream(_metadata, self, 0, &st[i]);
		out[i] = (struct bulk_job){ st[i].near, bulk };
		in[i] = (struct bulk_job){ st[i].far, bulk };
	}
	for (i = 0; i < NR; i++) {
		worker_start(&writers[i], bulk_write_job, &out[i]);
		worker_start(&readers[i], bulk_read_job, &in[i]);
	}
	for (i = 0; i < NR; i++) {
		EXPECT_EQ(500000, worker_join(&writers[i]));
		EXPECT_EQ(500000, worker_join(&readers[i]));
		close_stream(&st[i]);
	}
}

TEST_F(seam, corked_writes_arrive_at_uncork)
{
	struct ends st;
	char byte;
	int i;

	open_stream(_metadata, self, 0, &st);
	shmux_session_cork(self->near);
	for (i = 0; i < 10; i++)
		ASSERT_EQ(1, shmux_stream_write(st.near, "x", 1));
	EXPECT_EQ(-EAGAIN, shmux_stream_try_read(st.far, &byte, 1));
	shmux_session_uncork(self->near);
	check_reads(_metadata, st.far, "xxxxxxxxxx");
	close_stream(&st);
}

TEST_F(seam, bytes_can_be_looked_at_dropped_and_taken)
{
	struct shmux_view view;
	const void *data;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(6, shmux_stream_write(st.near, "abcdef", 6));
	ASSERT_EQ(6, shmux_stream_write(st.near, "ghijkl", 6));
	EXPECT_LE(8, shmux_stream_peek(st.far, 8, &data));
	EXPECT_EQ(0, memcmp("abcdefgh", data, 8));
	EXPECT_EQ(4, shmux_stream_discard(st.far, 4));
	EXPECT_LT(0, shmux_stream_take(st.far, &view, 0));
	EXPECT_EQ(0, memcmp("ef", view.data, 2));
	shmux_stream_release(st.far, &view);
	close_stream(&st);
}

/* Where nothing is shared there is nothing to write in place. */
/* One that has begun before the other looked. */
TEST_F(seam, reader_may_take_what_another_one_looks_at)
{
	struct ends st;
	const void *data;
	char byte = 0;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(1, shmux_stream_write(st.near, "x", 1));
	ASSERT_EQ(1, shmux_stream_peek(st.far, 1, &data));
	shmux_lock(&self->far->lock);
	EXPECT_EQ(1, shmux__rx_copy(st.far, &byte, 1));
	shmux_unlock(&self->far->lock);
	EXPECT_EQ('x', byte);
	EXPECT_EQ(-EAGAIN, shmux_stream_try_read(st.far, &byte, 1));
	ASSERT_EQ(1, shmux_stream_write(st.near, "y", 1));
	check_reads(_metadata, st.far, "y");
	close_stream(&st);
}

TEST_F(seam, reservation_is_had_or_its_limit_is_zero)
{
	struct shmux_span span;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	if (shmux_stream_reserve_max(st.near)) {
		ASSERT_EQ(0, shmux_stream_reserve(st.near, 100, &span, 0));
		memcpy(span.data, "in place", 8);
		EXPECT_EQ(8, shmux_stream_submit(st.near, &span, 8, 0));
		check_reads(_metadata, st.far, "in place");
	} else {
		EXPECT_GT(0, shmux_stream_reserve(st.near, 100, &span, 0));
	}
	close_stream(&st);
}

/* --- messages ------------------------------------------------------------- */

struct message_job {
	struct shmux_stream *st;
	size_t len;
	uint32_t seed;
};

static int64_t write_message(void *arg)
{
	struct message_job *job = arg;
	char *buf = malloc(job->len + 1);
	int64_t ret;

	pattern_fill(buf, job->len, 0, job->seed);
	ret = shmux_stream_write(job->st, buf, job->len);
	free(buf);
	return ret;
}

TEST_F(seam, messages_keep_their_boundaries_whatever_their_length)
{
	static const size_t lens[] = { 0,    1,	   55,	 56,   57,   0,	   999,	 1000,
				       1001, 1063, 1064, 2000, 4096, 9999, 20000, WINDOW };
	size_t nr = sizeof(lens) / sizeof(lens[0]), i;
	char *buf = malloc(WINDOW);
	struct message_job job;
	struct worker worker;
	struct ends st;

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	ASSERT_EQ(WINDOW, shmux_stream_message_max(st.near));
	for (i = 0; i < 3 * nr; i++) {
		job = (struct message_job){ st.near, lens[i % nr], (uint32_t)i };
		worker_start(&worker, write_message, &job);
		ASSERT_EQ((ssize_t)job.len, shmux_stream_read(st.far, buf, WINDOW));
		ASSERT_EQ(-1, pattern_check(buf, job.len, 0, job.seed));
		ASSERT_EQ((int64_t)job.len, worker_join(&worker));
	}
	free(buf);
	close_stream(&st);
}

TEST_F(seam, messages_queue_up_and_are_read_one_by_one)
{
	struct ends st;
	char buf[8];

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	ASSERT_EQ(3, shmux_stream_write(st.near, "one", 3));
	ASSERT_EQ(0, shmux_stream_write(st.near, "", 0));
	ASSERT_EQ(5, shmux_stream_write(st.near, "three", 5));
	EXPECT_EQ(3, shmux_stream_next_len(st.far));
	EXPECT_EQ(-EMSGSIZE, shmux_stream_read(st.far, buf, 2));
	EXPECT_EQ(3, shmux_stream_read(st.far, buf, sizeof(buf)));
	EXPECT_EQ(0, shmux_stream_read(st.far, buf, sizeof(buf)));
	EXPECT_EQ(5, shmux_stream_read(st.far, buf, sizeof(buf)));
	EXPECT_EQ(-EAGAIN, shmux_stream_try_read(st.far, buf, sizeof(buf)));
	close_stream(&st);
}

TEST_F(seam, message_beyond_the_longest_is_refused)
{
	char *buf = calloc(1, WINDOW + 1);
	struct ends st;

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	EXPECT_EQ(-EMSGSIZE, shmux_stream_write(st.near, buf, WINDOW + 1));
	free(buf);
	close_stream(&st);
}

TEST_F(seam, message_from_several_buffers_arrives_as_one)
{
	struct iovec iov[3] = { { "one ", 4 }, { "", 0 }, { "message", 7 } };
	struct ends st;
	char buf[16] = "";

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	EXPECT_EQ(11, shmux_stream_writev(st.near, iov, 3));
	EXPECT_EQ(11, shmux_stream_read(st.far, buf, sizeof(buf)));
	EXPECT_STREQ("one message", buf);
	close_stream(&st);
}

/* --- ends ----------------------------------------------------------------- */

TEST_F(seam, half_close_ends_one_direction)
{
	struct ends st;
	char byte;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(5, shmux_stream_write(st.near, "hello", 5));
	ASSERT_EQ(0, shmux_stream_shutdown(st.near, SHMUX_WRITE));
	EXPECT_EQ(-EPIPE, shmux_stream_write(st.near, "x", 1));
	check_reads(_metadata, st.far, "hello");
	EXPECT_EQ(0, shmux_stream_read(st.far, &byte, 1));
	ASSERT_EQ(3, shmux_stream_write(st.far, "yes", 3));
	check_reads(_metadata, st.near, "yes");
	close_stream(&st);
}

TEST_F(seam, write_carries_the_half_close)
{
	struct iovec iov = { .iov_base = "last", .iov_len = 4 };
	struct ends st;
	char byte;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(4, shmux_stream_send(st.near, &iov, 1, SHMUX_FIN));
	check_reads(_metadata, st.far, "last");
	EXPECT_EQ(0, shmux_stream_read(st.far, &byte, 1));
	close_stream(&st);
}

TEST_F(seam, end_of_a_message_stream_is_no_message)
{
	struct ends st;
	char byte;

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	ASSERT_EQ(0, shmux_stream_write(st.near, "", 0));
	ASSERT_EQ(0, shmux_stream_shutdown(st.near, SHMUX_WRITE));
	EXPECT_EQ(0, shmux_stream_read(st.far, &byte, 1));
	EXPECT_EQ(-ENODATA, shmux_stream_read(st.far, &byte, 1));
	close_stream(&st);
}

TEST_F(seam, writer_fails_once_the_reader_wants_no_more)
{
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(0, shmux_stream_shutdown(st.far, SHMUX_READ));
	EXPECT_EQ(-EPIPE, shmux_stream_write(st.near, "x", 1));
	ASSERT_EQ(3, shmux_stream_write(st.far, "yes", 3));
	check_reads(_metadata, st.near, "yes");
	close_stream(&st);
}

TEST_F(seam, code_of_a_reset_is_told_to_the_other_side)
{
	uint32_t code = 0;
	struct ends st;
	char byte;

	open_stream(_metadata, self, 0, &st);
	EXPECT_EQ(-ENODATA, shmux_stream_reset_code(st.far, &code));
	ASSERT_EQ(0, shmux_stream_reset(st.near, SHMUX_CODE_USER + 42));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st.far, &byte, 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st.far, "x", 1));
	EXPECT_EQ(0, shmux_stream_reset_code(st.far, &code));
	EXPECT_EQ(SHMUX_CODE_USER + 42, code);
	close_stream(&st);
}

TEST_F(seam, what_had_arrived_can_be_read_after_the_session_is_over)
{
	struct ends st;
	char byte;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(4, shmux_stream_write(st.near, "last", 4));
	close_near(self);
	check_reads(_metadata, st.far, "last");
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st.far, &byte, 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st.far, "x", 1));
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->far));
	close_stream(&st);
}

/* Write in small pieces until that would wait. Return: bytes taken. */
static ssize_t write_until_full(struct shmux_stream *st)
{
	char buf[900] = { 0 };
	ssize_t done = 0, n;

	while ((n = shmux_stream_try_write(st, buf, sizeof(buf))) > 0)
		done += n;
	return n == -EAGAIN ? done : n;
}

TEST_F(seam, end_is_told_though_there_was_no_room_for_it)
{
	struct ends st;
	ssize_t done;
	char byte;

	open_wide_stream(_metadata, self, &st);
	done = write_until_full(st.near);
	ASSERT_LT(0, done);
	ASSERT_NE(0, session_counters(self->near).room_stalls);
	shmux_stream_close(st.near);
	close_near(self);
	EXPECT_EQ(done, shmux_stream_discard(st.far, (size_t)done));
	EXPECT_EQ(0, shmux_stream_read(st.far, &byte, 1));
	shmux_stream_close(st.far);
}

/* --- back-pressure -------------------------------------------------------- */

TEST_F(seam, stream_that_nobody_reads_takes_no_more_than_its_window)
{
	struct ends st, other;
	ssize_t done = 0, n;
	int i;

	open_stream(_metadata, self, 0, &st);
	open_stream(_metadata, self, 0, &other);
	/* Let the other side grant what it will. */
	for (i = 0; i < 100; i++) {
		n = write_until_full(st.near);
		ASSERT_LE(0, n);
		done += n;
		EXPECT_LE(0, session_pump(self->far));
	}
	EXPECT_LT(0, done);
	EXPECT_GE(WINDOW, done);
	EXPECT_EQ((uint64_t)done, session_counters(self->far).rx_queued);

	/* It holds nobody up. */
	ASSERT_EQ(5, shmux_stream_write(other.near, "hello", 5));
	check_reads(_metadata, other.far, "hello");
	ASSERT_EQ(5, shmux_stream_write(other.far, "world", 5));
	check_reads(_metadata, other.near, "world");

	/* And goes on where it is read. */
	EXPECT_EQ(done, shmux_stream_discard(st.far, (size_t)done));
	EXPECT_LT(0, shmux_stream_try_write(st.near, "x", 1));
	close_stream(&st);
	close_stream(&other);
}

TEST_F(seam, write_of_more_than_the_window_tells_at_the_deadline_how_much_was_taken)
{
	char *buf = calloc(1, 4 * WINDOW);
	struct ends st;
	ssize_t n;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(0, shmux_stream_set_deadline(st.near, SHMUX_WRITE, shmux_now() + 20 * MSEC));
	n = shmux_stream_write(st.near, buf, 4 * WINDOW);
	EXPECT_LT(0, n);
	EXPECT_GT(WINDOW, n);
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_write(st.near, buf, 4 * WINDOW));
	ASSERT_EQ(0, shmux_stream_shutdown(st.near, SHMUX_WRITE));
	EXPECT_EQ(n, shmux_stream_discard(st.far, 4 * WINDOW));
	free(buf);
	close_stream(&st);
}

/* A message that is given up amid its parts is never seen, nor is any of it. */
TEST_F(seam, message_given_up_half_way_leaves_no_trace)
{
	struct message_job job;
	struct worker worker;
	struct ends st;
	char buf[16] = "", *large = malloc(WINDOW);
	int i;

	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	job = (struct message_job){ st.near, WINDOW, 3 };
	worker_start(&worker, write_message, &job);
	ASSERT_EQ(WINDOW, shmux_stream_read(st.far, large, WINDOW));
	ASSERT_EQ(WINDOW, worker_join(&worker));

	/* There is credit for all of it now, but not room, and nobody looks. */
	EXPECT_LE(0, session_pump(self->near));
	for (i = 0; i < 20; i++) {
		shmux_stream_set_deadline(st.near, SHMUX_WRITE, shmux_now() + 2 * MSEC);
		if (write_message(&job) == -ETIMEDOUT) {
			EXPECT_LE(0, session_pump(self->far));
			shmux_stream_set_deadline(st.near, SHMUX_WRITE, SHMUX_NEVER);
		} else {
			EXPECT_EQ(WINDOW, shmux_stream_read(st.far, large, WINDOW));
			EXPECT_EQ(-1, pattern_check(large, WINDOW, 0, job.seed));
		}
		shmux_stream_set_deadline(st.near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH);
		EXPECT_EQ(5, shmux_stream_write(st.near, "after", 5));
		EXPECT_EQ(5, shmux_stream_read(st.far, buf, sizeof(buf)));
		EXPECT_STREQ("after", buf);
	}
	shmux_stream_set_deadline(st.near, SHMUX_WRITE, shmux_now() + LONG_ENOUGH);
	worker_start(&worker, write_message, &job);
	EXPECT_EQ(WINDOW, shmux_stream_read(st.far, large, WINDOW));
	EXPECT_EQ(WINDOW, worker_join(&worker));
	free(large);
	close_stream(&st);
}

/* Fill the link until there is room for one part of a message, not for two. */
static void leave_room_for_one_part(FIXTURE_DATA(seam) *self, struct shmux_stream *st)
{
	struct shmux__link *l = self->near->link;
	uint32_t most = l->chunk_max ? 63 : LINK_SOCKETPAIR_ROOM - 1100;
	char buf[40] = { 0 };

	while (l->ops->ring_depth(l) < most &&
	       shmux_stream_try_write(st, buf, sizeof(buf)) == sizeof(buf))
		;
}

/* When the rest does not go out there is no room to take back what did, either. */
TEST_F(seam, next_message_does_not_overtake_the_end_of_one_that_was_given_up)
{
	struct message_job job;
	struct worker worker;
	struct ends st, stuffing;
	char *buf = malloc(WINDOW);
	ssize_t n;

	open_wide_stream(_metadata, self, &stuffing);
	open_stream(_metadata, self, SHMUX_STREAM_MESSAGES, &st);
	job = (struct message_job){ st.near, WINDOW, 3 };
	worker_start(&worker, write_message, &job);
	ASSERT_EQ(WINDOW, shmux_stream_read(st.far, buf, WINDOW));
	ASSERT_EQ(WINDOW, worker_join(&worker));
	EXPECT_LE(0, session_pump(self->far));
	EXPECT_LE(0, session_pump(self->near));

	leave_room_for_one_part(self, stuffing.near);
	shmux_stream_set_deadline(st.near, SHMUX_WRITE, shmux_now() + 5 * MSEC);
	job.len = 20000;
	EXPECT_EQ(-ETIMEDOUT, write_message(&job));
	EXPECT_LE(0, session_pump(self->far));
	/* The very next call; it need not wait, so the deadline is no matter. */
	EXPECT_EQ(5, shmux_stream_write(st.near, "after", 5));
	n = shmux_stream_read(st.far, buf, WINDOW);
	EXPECT_EQ(5, n);
	EXPECT_EQ(0, memcmp("after", buf, 5));
	free(buf);
	close_stream(&st);
	close_stream(&stuffing);
}

/* --- blocking, waking, deadlines ------------------------------------------ */

static int64_t read_one(void *st)
{
	char buf[8];

	return shmux_stream_read(st, buf, sizeof(buf));
}

static int64_t write_much(void *st)
{
	char *buf = calloc(1, 4 * WINDOW);
	int64_t ret = shmux_stream_write(st, buf, 4 * WINDOW);

	free(buf);
	return ret;
}

static int64_t accept_one(void *session)
{
	struct shmux_stream *st;
	int ret = shmux_session_accept(session, 0, &st);

	if (!ret)
		shmux_stream_close(st);
	return ret;
}

TEST_F(seam, blocked_reader_wakes_when_bytes_come)
{
	struct worker reader;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&reader, read_one, st.far);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(5, shmux_stream_write(st.near, "hello", 5));
	EXPECT_EQ(5, worker_join(&reader));
	close_stream(&st);
}

TEST_F(seam, each_of_several_blocked_readers_wakes_for_its_own_stream)
{
	enum { NR = 4 };
	struct worker readers[NR];
	struct ends st[NR];
	int i;

	for (i = 0; i < NR; i++) {
		open_stream(_metadata, self, 0, &st[i]);
		worker_start(&readers[i], read_one, st[i].far);
		ASSERT_TRUE(worker_wait_blocked(&readers[i]));
	}
	/* The one that leads is neither the first nor the last to go. */
	static const int order[NR] = { 2, 0, 3, 1 };

	for (i = 0; i < NR; i++) {
		ASSERT_EQ(1 + order[i], shmux_stream_write(st[order[i]].near, "hello",
							   (size_t)(1 + order[i])));
		EXPECT_EQ(1 + order[i], worker_join(&readers[order[i]]));
	}
	for (i = 0; i < NR; i++)
		close_stream(&st[i]);
}

TEST_F(seam, blocked_reader_wakes_at_the_end_and_at_a_reset)
{
	struct worker reader;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&reader, read_one, st.far);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, shmux_stream_shutdown(st.near, SHMUX_WRITE));
	EXPECT_EQ(0, worker_join(&reader));

	worker_start(&reader, read_one, st.near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_EQ(0, shmux_stream_reset(st.far, SHMUX_CODE_USER));
	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
	close_stream(&st);
}

TEST_F(seam, blocked_writer_goes_on_when_the_reader_reads)
{
	struct worker writer;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&writer, write_much, st.near);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	EXPECT_EQ(4 * WINDOW, shmux_stream_discard(st.far, 4 * WINDOW));
	EXPECT_EQ(4 * WINDOW, worker_join(&writer));
	close_stream(&st);
}

TEST_F(seam, blocked_acceptor_wakes_when_a_stream_is_opened)
{
	struct shmux_stream *near;
	struct worker acceptor;

	worker_start(&acceptor, accept_one, self->far);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	ASSERT_EQ(0, shmux_session_open(self->near, 0, &near));
	EXPECT_EQ(0, worker_join(&acceptor));
	shmux_stream_close(near);
}

TEST_F(seam, unblock_ends_the_calls_that_are_blocked_now)
{
	struct worker reader, acceptor;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&reader, read_one, st.near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	worker_start(&acceptor, accept_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	shmux_stream_unblock(st.near, SHMUX_READ);
	EXPECT_EQ(-ECANCELED, worker_join(&reader));
	shmux_session_unblock(self->near);
	EXPECT_EQ(-ECANCELED, worker_join(&acceptor));
	ASSERT_EQ(5, shmux_stream_write(st.far, "hello", 5));
	EXPECT_EQ(5, read_one(st.near));
	close_stream(&st);
}

TEST_F(seam, reading_and_accepting_give_up_at_their_deadlines)
{
	uint64_t start = shmux_now();
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	shmux_stream_set_deadline(st.near, SHMUX_READ, start + 20 * MSEC);
	EXPECT_EQ(-ETIMEDOUT, read_one(st.near));
	EXPECT_LE(start + 20 * MSEC, shmux_now());
	shmux_session_set_deadline(self->near, start + 40 * MSEC);
	EXPECT_EQ(-ETIMEDOUT, accept_one(self->near));
	EXPECT_LE(start + 40 * MSEC, shmux_now());
	close_stream(&st);
}

TEST_F(seam, new_deadline_moves_that_of_a_call_that_is_blocked)
{
	struct worker reader;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&reader, read_one, st.near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	shmux_stream_set_deadline(st.near, SHMUX_READ, shmux_now() + 10 * MSEC);
	EXPECT_EQ(-ETIMEDOUT, worker_join(&reader));
	close_stream(&st);
}

TEST_F(seam, blocked_calls_wake_when_the_other_side_closes_the_session)
{
	struct worker reader, acceptor;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&reader, read_one, st.far);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	worker_start(&acceptor, accept_one, self->far);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	close_near(self);
	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
	EXPECT_GT(0, worker_join(&acceptor));
	close_stream(&st);
}

TEST_F(seam, blocked_calls_wake_when_their_own_side_closes_the_session)
{
	struct worker reader, acceptor;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	worker_start(&acceptor, accept_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&acceptor));
	worker_start(&reader, read_one, st.near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	close_near(self);
	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
	EXPECT_GT(0, worker_join(&acceptor));
	close_stream(&st);
}

/*
 * The reader leads and wants frames. Room comes without any: what is written is
 * less than what the other side would grant anew.
 */
TEST_F(seam, writer_that_waits_for_room_goes_on_beside_a_reader_of_another_stream)
{
	struct bulk bulk = { .len = 25000, .piece = 900 };
	struct ends idle, busy;
	struct worker reader, writer;
	struct bulk_job job;

	open_stream(_metadata, self, 0, &idle);
	open_wide_stream(_metadata, self, &busy);
	job = (struct bulk_job){ busy.near, bulk };
	worker_start(&reader, read_one, idle.near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));
	shmux_stream_set_deadline(busy.far, SHMUX_READ, shmux_now() + 2 * SEC);
	EXPECT_EQ(25000, shmux_stream_discard(busy.far, 25000));

	/* However it was: let all end. */
	ASSERT_EQ(1, shmux_stream_write(idle.far, "x", 1));
	EXPECT_EQ(1, worker_join(&reader));
	shmux_stream_set_deadline(busy.far, SHMUX_READ, SHMUX_NEVER);
	shmux_stream_unblock(busy.near, SHMUX_WRITE);
	EXPECT_EQ(25000, worker_join(&writer));
	close_stream(&idle);
	close_stream(&busy);
}

/* --- the session ---------------------------------------------------------- */

static int64_t serve_pings(void *session)
{
	struct shmux_stream *st;

	/* Whatever it returns: it is in a call until unblocked. */
	return shmux_session_accept(session, 0, &st);
}

TEST_F(seam, ping_is_answered_by_a_peer_that_is_in_a_call)
{
	struct worker server;
	uint64_t rtt = 0;

	EXPECT_EQ(-ETIMEDOUT, shmux_session_ping(self->near, shmux_now() + 10 * MSEC, &rtt));
	worker_start(&server, serve_pings, self->far);
	EXPECT_EQ(0, shmux_session_ping(self->near, shmux_now() + LONG_ENOUGH, &rtt));
	EXPECT_LT(0, rtt);
	shmux_session_unblock(self->far);
	if (!worker_is_done(&server))
		shmux_session_unblock(self->far);
	EXPECT_EQ(-ECANCELED, worker_join(&server));
}

TEST_F(seam, after_a_go_away_streams_run_on_and_none_is_opened)
{
	struct shmux_stream *none;
	struct ends st;
	uint32_t code;

	open_stream(_metadata, self, 0, &st);
	EXPECT_EQ(-ENODATA, shmux_session_go_away_code(self->near, &code));
	ASSERT_EQ(0, shmux_session_go_away(self->far, SHMUX_CODE_USER + 7));
	ASSERT_EQ(0, shmux_session_go_away_code(self->near, &code));
	EXPECT_EQ(SHMUX_CODE_USER + 7, code);
	EXPECT_EQ(-ENODATA, shmux_session_go_away_code(self->far, &code));
	EXPECT_EQ(-ESHUTDOWN, shmux_session_open(self->far, 0, &none));
	EXPECT_EQ(-ESHUTDOWN, shmux_session_open(self->near, 0, &none));
	EXPECT_EQ(-ESHUTDOWN, shmux_session_accept(self->near, 0, &none));
	EXPECT_EQ(SHMUX_SESSION_GOING_AWAY, shmux_session_state(self->near));
	ASSERT_EQ(5, shmux_stream_write(st.near, "hello", 5));
	check_reads(_metadata, st.far, "hello");
	close_stream(&st);
}

TEST_F(seam, stream_opened_before_a_go_away_was_heard_is_refused)
{
	struct shmux_stream *near;
	uint32_t code = 0;
	char byte;

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &near));
	/* Not yet looked at, so the other side has not got it. */
	ASSERT_EQ(0, shmux_session_go_away(self->far, 0));
	EXPECT_LE(0, session_pump(self->far));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(near, &byte, 1));
	EXPECT_EQ(0, shmux_stream_reset_code(near, &code));
	EXPECT_EQ(SHMUX_CODE_GOING_AWAY, code);
	shmux_stream_close(near);
}

TEST_F(seam, drain_waits_for_the_last_stream)
{
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	EXPECT_EQ(-ETIMEDOUT, shmux_session_drain(self->near, shmux_now() + 10 * MSEC));
	close_stream(&st);
	EXPECT_EQ(0, shmux_session_drain(self->near, shmux_now() + LONG_ENOUGH));
	EXPECT_EQ(0, shmux_session_drain(self->far, shmux_now() + LONG_ENOUGH));
}

TEST_F(seam, counters_tell_what_went_over)
{
	struct shmux_session_counters near, far;
	struct ends st;

	open_stream(_metadata, self, 0, &st);
	ASSERT_EQ(5, shmux_stream_write(st.near, "hello", 5));
	check_reads(_metadata, st.far, "hello");
	near = session_counters(self->near);
	far = session_counters(self->far);
	EXPECT_EQ(5, near.bytes_sent);
	EXPECT_EQ(5, far.bytes_received);
	EXPECT_EQ(2, near.frames_sent);
	EXPECT_EQ(2, far.frames_received);
	EXPECT_EQ(1, near.streams_open);
	EXPECT_EQ(0, far.rx_queued);
	close_stream(&st);
}

/* --- in an event loop ------------------------------------------------------ */

static bool is_readable(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };

	return poll(&polled, 1, 0) == 1;
}

/* Pump until it has no more. Return: what happened to @st (NULL: the session). */
static uint32_t pump_events(struct shmux_session *s, const struct shmux_stream *st)
{
	struct shmux_event events[4];
	uint32_t seen = 0;
	int nr, i;

	do {
		nr = shmux_session_pump(s, events, 4);
		for (i = 0; i < nr; i++)
			if (events[i].stream == st)
				seen |= events[i].events;
	} while (nr == 4);
	return seen;
}

TEST_F(seam, descriptor_is_readable_when_there_is_news_and_quiet_otherwise)
{
	struct shmux_stream *near, *far;
	uint32_t events;
	int fd, i;

	fd = shmux_session_fd(self->far);
	ASSERT_LE(0, fd);
	pump_events(self->far, NULL);
	EXPECT_FALSE(is_readable(fd));

	ASSERT_EQ(0, shmux_session_open(self->near, 0, &near));
	EXPECT_TRUE(is_readable(fd));
	EXPECT_EQ(SHMUX_EVENT_ACCEPT, pump_events(self->far, NULL));
	ASSERT_EQ(0, shmux_session_accept(self->far, SHMUX_NOWAIT, &far));
	pump_events(self->far, NULL);
	EXPECT_FALSE(is_readable(fd));

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(1, shmux_stream_write(near, "x", 1));
		EXPECT_TRUE(is_readable(fd));
		EXPECT_EQ(SHMUX_EVENT_READ, pump_events(self->far, far));
		check_reads(_metadata, far, "x");
		pump_events(self->far, NULL);
		EXPECT_FALSE(is_readable(fd));
	}
	close_near(self);
	/* A last bell may have come before the death: it is readable until that is told. */
	for (events = 0, i = 0; i < 2 && !(events & SHMUX_EVENT_DEAD); i++) {
		EXPECT_TRUE(is_readable(fd));
		events = pump_events(self->far, NULL);
	}
	EXPECT_TRUE(events & SHMUX_EVENT_DEAD);
	shmux_stream_close(near);
	shmux_stream_close(far);
}

TEST_F(seam, writer_in_an_event_loop_is_told_when_it_can_go_on)
{
	struct ends st;
	ssize_t done;
	int fd;

	fd = shmux_session_fd(self->near);
	ASSERT_LE(0, fd);
	open_stream(_metadata, self, 0, &st);
	done = write_until_full(st.near);
	ASSERT_LT(0, done);
	pump_events(self->near, NULL);
	EXPECT_FALSE(is_readable(fd));
	EXPECT_EQ(done, shmux_stream_discard(st.far, (size_t)done));
	EXPECT_LE(0, session_pump(self->far));
	ASSERT_TRUE(is_readable(fd));
	EXPECT_EQ(SHMUX_EVENT_WRITE, pump_events(self->near, st.near));
	EXPECT_LT(0, shmux_stream_try_write(st.near, "x", 1));
	close_stream(&st);
}

/* Lets something happen at the last moment before the near end arms. */
static struct {
	struct shmux__link_ops ops;
	const struct shmux__link_ops *link_ops;
	struct shmux_session *far;
	struct shmux_stream *st;
	size_t len;
} before_arm;

static uint32_t arm_too_late(struct shmux__link *l, uint32_t reasons_and_bells)
{
	if (before_arm.st && (reasons_and_bells & SHMUX_ARMED_ROOM)) {
		shmux_stream_discard(before_arm.st, before_arm.len);
		session_pump(before_arm.far);
		before_arm.st = NULL;
	}
	return before_arm.link_ops->arm(l, reasons_and_bells);
}

TEST_F(seam, room_that_comes_while_an_event_loop_arms_is_not_missed)
{
	struct ends st;
	ssize_t done;
	int fd;

	fd = shmux_session_fd(self->near);
	ASSERT_LE(0, fd);
	open_wide_stream(_metadata, self, &st);
	before_arm.link_ops = self->near->link->ops;
	before_arm.ops = *before_arm.link_ops;
	before_arm.ops.arm = arm_too_late;
	self->near->link->ops = &before_arm.ops;

	done = write_until_full(st.near);
	ASSERT_LT(0, done);
	before_arm.far = self->far;
	before_arm.st = st.far;
	before_arm.len = (size_t)done;
	pump_events(self->near, NULL);
	ASSERT_EQ(NULL, before_arm.st);
	EXPECT_TRUE(is_readable(fd));
	EXPECT_TRUE(pump_events(self->near, st.near) & SHMUX_EVENT_WRITE);
	self->near->link->ops = before_arm.link_ops;
	close_stream(&st);
}

TEST_F(seam, event_loop_that_writes_last_before_it_sleeps_is_told_of_room)
{
	struct ends st;
	ssize_t done;
	int fd;

	fd = shmux_session_fd(self->near);
	ASSERT_LE(0, fd);
	open_wide_stream(_metadata, self, &st);
	pump_events(self->near, NULL);
	ASSERT_FALSE(is_readable(fd));
	done = write_until_full(st.near);
	ASSERT_LT(0, done);
	ASSERT_NE(0, session_counters(self->near).room_stalls);
	/* Whether it sleeps at once, or has a last look. */
	if (is_readable(fd))
		EXPECT_EQ(0, pump_events(self->near, NULL));
	EXPECT_FALSE(is_readable(fd));
	/* A part is read, so little that no credit need be given for it. */
	EXPECT_EQ(done / 4, shmux_stream_discard(st.far, (size_t)done / 4));
	EXPECT_LE(0, session_pump(self->far));
	ASSERT_TRUE(is_readable(fd));
	EXPECT_EQ(SHMUX_EVENT_WRITE, pump_events(self->near, st.near));
	EXPECT_LT(0, shmux_stream_try_write(st.near, "x", 1));
	EXPECT_EQ(done - done / 4, shmux_stream_discard(st.far, (size_t)(done - done / 4)));
	close_stream(&st);
}

TEST_F(seam, event_loop_that_reads_last_before_it_sleeps_still_grants_once_there_is_room)
{
	struct shmux_stream *ended[8];
	struct ends out, in;
	uint32_t credit;
	ssize_t done;
	int fd, i;

	if (!variant->shm)
		SKIP(return, "that link has no depth to fill to the last slot");
	fd = shmux_session_fd(self->near);
	ASSERT_LE(0, fd);
	open_wide_stream(_metadata, self, &out);
	open_stream(_metadata, self, 0, &in);
	done = shmux_stream_try_write(in.far, (char[256]){ 0 }, 256);
	ASSERT_EQ(256, done);
	credit = in.far->tx_credit;
	pump_events(self->near, NULL);
	/* The ring is brimful, yet nothing has found it so. */
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, shmux_session_open(self->near, 0, &ended[i]));
	while (session_counters(self->near).ring_depth < 56)
		ASSERT_EQ(1, shmux_stream_try_write(out.near, "x", 1));
	for (i = 0; i < 8; i++)
		ASSERT_EQ(0, shmux_stream_shutdown(ended[i], SHMUX_WRITE));
	ASSERT_EQ(64, session_counters(self->near).ring_depth);
	EXPECT_EQ(done, shmux_stream_discard(in.near, (size_t)done));
	EXPECT_FALSE(is_readable(fd));

	EXPECT_LE(0, session_pump(self->far));
	ASSERT_TRUE(is_readable(fd));
	pump_events(self->near, NULL);
	EXPECT_LE(0, session_pump(self->far));
	EXPECT_LT(credit, in.far->tx_credit);
	close_stream(&out);
	close_stream(&in);
	for (i = 0; i < 8; i++)
		shmux_stream_close(ended[i]);
}

/* Both ends are event loops, in turn, and everything runs out all the time. */
TEST_F(seam, two_event_loops_carry_a_large_transfer_to_its_end)
{
	enum { LEN = 2 << 20 };
	uint64_t written = 0, read = 0;
	int near_fd, far_fd, idle = 0;
	char out[5000], in[3000];
	struct ends st;
	ssize_t n;

	near_fd = shmux_session_fd(self->near);
	far_fd = shmux_session_fd(self->far);
	open_stream(_metadata, self, 0, &st);
	while (read < LEN && idle < 10) {
		idle++;
		if (written < LEN && (is_readable(near_fd) || !written)) {
			session_pump(self->near);
			do {
				n = LEN - written < sizeof(out) ? LEN - written : sizeof(out);
				pattern_fill(out, (size_t)n, written, 1);
				n = shmux_stream_try_write(st.near, out, (size_t)n);
				if (n > 0)
					written += (uint64_t)n;
			} while (n > 0 && written < LEN);
			ASSERT_TRUE(n > 0 || n == -EAGAIN);
			session_pump(self->near);
			idle = 0;
		}
		if (is_readable(far_fd)) {
			session_pump(self->far);
			while ((n = shmux_stream_try_read(st.far, in, sizeof(in))) > 0) {
				ASSERT_EQ(-1, pattern_check(in, (size_t)n, read, 1));
				read += (uint64_t)n;
			}
			ASSERT_EQ(-EAGAIN, n);
			session_pump(self->far);
			idle = 0;
		}
	}
	EXPECT_EQ(LEN, written);
	EXPECT_EQ(LEN, read);
	close_stream(&st);
}

/* --- two processes --------------------------------------------------------- */

static int serve_one(int fd)
{
	struct side side = { .fd = -1 };
	int64_t echoed;

	if (session_over(fd, SHMUX_ROLE_ACCEPTOR, NULL, &side.session) ||
	    shmux_session_accept(side.session, 0, &side.stream))
		return 1;
	echoed = side_echo(&side);
	shmux_stream_close(side.stream);
	shmux_session_close(side.session, shmux_now() + LONG_ENOUGH);
	return echoed != 3 << 20;
}

TEST(two_processes_exchange_bytes_over_a_link_that_shares_no_memory)
{
	struct bulk bulk = { .len = 3 << 20, .piece = 50000, .seed = 9, .flags = SHMUX_FIN };
	struct shmux_session *session;
	struct shmux_stream *st;
	struct bulk_job writer;
	struct worker worker;
	int fds[2], status;
	pid_t child;
	char byte;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(fds[0]);
		_exit(serve_one(fds[1]));
	}
	close(fds[1]);
	ASSERT_EQ(0, session_over(fds[0], SHMUX_ROLE_DIALLER, NULL, &session));
	ASSERT_EQ(0, shmux_session_open(session, 0, &st));
	writer = (struct bulk_job){ st, bulk };
	worker_start(&worker, bulk_write_job, &writer);
	EXPECT_EQ((int64_t)bulk.len, bulk_read(st, &bulk));
	EXPECT_EQ((int64_t)bulk.len, worker_join(&worker));
	EXPECT_EQ(0, shmux_stream_read(st, &byte, 1));
	shmux_stream_close(st);
	EXPECT_EQ(0, shmux_session_close(session, shmux_now() + LONG_ENOUGH));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
}

TEST(death_of_the_other_process_is_seen_over_a_link_that_shares_no_memory)
{
	struct shmux_session *session;
	struct shmux_stream *st;
	int fds[2], status;
	pid_t child;
	char buf[8];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(fds[0]);
		if (session_over(fds[1], SHMUX_ROLE_ACCEPTOR, NULL, &session) ||
		    shmux_session_accept(session, 0, &st) ||
		    shmux_stream_write(st, "last", 4) != 4)
			_exit(1);
		_exit(0);
	}
	close(fds[1]);
	ASSERT_EQ(0, session_over(fds[0], SHMUX_ROLE_DIALLER, NULL, &session));
	ASSERT_EQ(0, shmux_session_open(session, 0, &st));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(4, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
	shmux_session_close(session, 0);
}

/* --- a peer that is gone and has always more to say ------------------------- */

static uint32_t nr_heard;

static int receive_without_end(struct shmux__link *l, struct shmux__frame *f)
{
	(void)l;
	*f = (struct shmux__frame){ .type = SHMUX_FRAME_PING };
	/* Nor does the test go on for ever. */
	return nr_heard++ < 1u << 20;
}

static bool ready_without_end(struct shmux__link *l, uint32_t reasons)
{
	(void)l;
	(void)reasons;
	return nr_heard < 1u << 20;
}

static int is_gone(struct shmux__link *l)
{
	(void)l;
	return -ECONNRESET;
}

TEST_F(seam, peer_that_is_gone_and_talks_on_is_heard_for_a_ring_and_no_longer)
{
	struct shmux__link *l = self->near->link;
	const struct shmux__link_ops *ops = l->ops;
	struct shmux__link_ops talkative = *ops;

	talkative.receive = receive_without_end;
	talkative.ready = ready_without_end;
	talkative.check_alive = is_gone;
	nr_heard = 0;
	l->ops = &talkative;
	self->near->alive_checked = 0;
	EXPECT_EQ(SHMUX_SESSION_DEAD, shmux_session_state(self->near));
	EXPECT_LE(l->peer_ring_slots, nr_heard);
	EXPECT_GE(l->peer_ring_slots + 3 * SHMUX_DRAIN_BATCH, nr_heard);
	l->ops = ops;
}

TEST_HARNESS_MAIN
