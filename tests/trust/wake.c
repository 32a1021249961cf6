// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * wake.c - nobody sleeps on while what it waits for has come
 *
 * What the models of tests/spin found in the code, played through with the
 * library: threads that block, an event loop and calls that do neither, all on
 * one session. The far side does nothing by itself, so nothing else can wake us.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "over.h"
#include "pair.h"
#include "process.h"

#define SLOTS 64
#define CONTROL (SLOTS / 8) /* slots that payload leaves to control frames */
#define NR_OTHERS (CONTROL + 1)

FIXTURE(wake)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *session;
	struct shmux_stream *near;
	struct shmux_stream *others[NR_OTHERS];
};

FIXTURE_VARIANT(wake)
{
	enum pair_kind kind;
};

FIXTURE_VARIANT_ADD(wake, same_process){
	.kind = PAIR_SAME_PROCESS,
};

FIXTURE_VARIANT_ADD(wake, two_processes){
	.kind = PAIR_TWO_PROCESSES,
};

FIXTURE_SETUP(wake)
{
	/* Little room, and so much credit that it never is what is missing. */
	struct shmux_session_options *small =
		SESSION_OPTIONS(.ring_slots = SLOTS, .arena_size = 65536, .first_grant = 1 << 18,
				.streams_max = 32);

	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, small, small));
	self->far = &self->pair.far;
	self->session = self->pair.session;
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->near));
	for (int i = 0; i < NR_OTHERS; i++)
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &self->others[i]));
	ASSERT_LE(0, far_pump(self->far));
}

FIXTURE_TEARDOWN(wake)
{
	for (int i = 0; i < NR_OTHERS; i++)
		shmux_stream_close(self->others[i]);
	shmux_stream_close(self->near);
	PAIR_TEARDOWN(&self->pair);
}

static bool is_readable(struct shmux_session *session, uint64_t timeout)
{
	struct pollfd fd = { .fd = shmux_session_fd(session), .events = POLLIN };

	return poll(&fd, 1, (int)(timeout / MSEC)) == 1;
}

/* Poll and pump, as a loop does, until @stream is named for @event. */
static bool loop_until(struct shmux_session *session, struct shmux_stream *stream, uint32_t event)
{
	uint64_t end = shmux_now() + LONG_ENOUGH;
	struct shmux_event events[16];
	int n;

	while (shmux_now() < end && is_readable(session, LONG_ENOUGH)) {
		n = shmux_session_pump(session, events, 16);
		while (n-- > 0)
			if (events[n].stream == stream && (events[n].events & event))
				return true;
	}
	return false;
}

/* A loop has polled and pumped all there was, and is about to poll again. */
static void begin_loop(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self)
{
	ASSERT_LE(0, shmux_session_fd(self->session));
	ASSERT_LE(0, session_pump(self->session));
	ASSERT_FALSE(is_readable(self->session, 0));
}

/* Fill the ring with payload, up to what is kept for control. */
static void fill_ring(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self)
{
	char buf[56] = { 0 };

	while (session_counters(self->session).ring_depth < SLOTS - CONTROL)
		ASSERT_EQ(sizeof(buf), shmux_stream_write(self->near, buf, sizeof(buf)));
}

/* A write without waiting finds the ring full. */
static void meet_full_ring(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self)
{
	fill_ring(_metadata, self);
	ASSERT_EQ(-EAGAIN, shmux_stream_try_write(self->near, "x", 1));
}

/* Say more ends than there is room for: one is owed, that of the far's newest stream. */
static void owe_a_reset(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self)
{
	fill_ring(_metadata, self);
	for (int i = 0; i < NR_OTHERS; i++)
		ASSERT_EQ(0, shmux_stream_reset(self->others[i], SHMUX_CODE_USER + i));
	ASSERT_EQ(SLOTS, session_counters(self->session).ring_depth);
}

/* Whether the far side hears of that reset, if it pumps. */
static bool far_hears_reset(FIXTURE_DATA(wake) * self)
{
	uint32_t code = 0;

	far_pump(self->far);
	return !far_reset_code(self->far, &code) && code == SHMUX_CODE_USER + NR_OTHERS - 1;
}

static int64_t read_one(void *arg)
{
	char buf[8];

	return shmux_stream_read(arg, buf, sizeof(buf));
}

/* End what read_one() waits for. */
static void cancel_reader(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self,
			  struct worker *reader)
{
	shmux_stream_unblock(self->near, SHMUX_READ);
	EXPECT_EQ(-ECANCELED, worker_join(reader));
}

/* --- room in the ring -------------------------------------------------------- */

TEST_F(wake, loop_is_told_of_room_for_a_write_that_met_a_full_ring_after_the_pump)
{
	begin_loop(_metadata, self);
	meet_full_ring(_metadata, self);

	ASSERT_LE(0, far_pump(self->far));

	EXPECT_TRUE(loop_until(self->session, self->near, SHMUX_EVENT_WRITE));
}

TEST_F(wake, loop_is_told_of_room_while_another_thread_is_blocked)
{
	struct worker reader;

	begin_loop(_metadata, self);
	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	meet_full_ring(_metadata, self);
	ASSERT_LE(0, session_pump(self->session));

	ASSERT_LE(0, far_pump(self->far));

	EXPECT_TRUE(loop_until(self->session, self->near, SHMUX_EVENT_WRITE));
	cancel_reader(_metadata, self, &reader);
}

TEST_F(wake, loop_wakes_to_say_what_is_owed_since_the_pump)
{
	begin_loop(_metadata, self);
	owe_a_reset(_metadata, self);

	ASSERT_LE(0, far_pump(self->far));

	EXPECT_TRUE(is_readable(self->session, LONG_ENOUGH));
	ASSERT_LE(0, session_pump(self->session));
	EXPECT_TRUE(far_hears_reset(self));
}

TEST_F(wake, blocked_reader_wakes_to_say_what_another_thread_owes)
{
	struct worker reader;

	worker_start(&reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	owe_a_reset(_metadata, self);

	EXPECT_TRUE(wait_until(far_hears_reset(self)));
	cancel_reader(_metadata, self, &reader);
}

static int64_t drain(void *arg)
{
	return shmux_session_drain(arg, shmux_now() + 200 * MSEC);
}

TEST_F(wake, drain_ends_in_time_though_another_thread_owes_what_finds_no_room)
{
	struct worker drainer;

	/* The ring is full, and nothing is owed as yet. */
	fill_ring(_metadata, self);
	for (int i = 0; i < CONTROL; i++)
		ASSERT_EQ(0, shmux_stream_reset(self->others[i], SHMUX_CODE_USER));
	worker_start(&drainer, drain, self->session);
	ASSERT_TRUE(worker_wait_blocked(&drainer));

	ASSERT_EQ(0, shmux_stream_reset(self->others[CONTROL], SHMUX_CODE_USER));

	ASSERT_TRUE(wait_until(worker_is_done(&drainer)));
	EXPECT_EQ(-ETIMEDOUT, worker_join(&drainer));
}

/* --- room in the arena -------------------------------------------------------- */

static int64_t reserve_one(void *arg)
{
	struct shmux_span span;
	int ret = shmux_stream_reserve(arg, 8192, &span, 0);

	if (!ret)
		shmux_stream_cancel(arg, &span);
	return ret;
}

/* Reserve the whole arena. */
static void use_up_arena(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self,
			 struct shmux_span spans[4])
{
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(0, shmux_stream_reserve(self->near, 16384, &spans[i], SHMUX_NOWAIT));
}

static void give_up_arena(FIXTURE_DATA(wake) * self, struct shmux_span spans[4])
{
	for (int i = 0; i < 4; i++)
		shmux_stream_cancel(self->near, &spans[i]);
}

TEST_F(wake, span_that_is_cancelled_makes_room_for_another_stream)
{
	struct shmux_span spans[4];
	struct worker writer;

	use_up_arena(_metadata, self, spans);
	worker_start(&writer, reserve_one, self->others[0]);
	ASSERT_TRUE(worker_wait_blocked(&writer));

	shmux_stream_cancel(self->near, &spans[0]);

	EXPECT_TRUE(wait_until(worker_is_done(&writer)));
	shmux_stream_unblock(self->others[0], SHMUX_WRITE);
	EXPECT_EQ(0, worker_join(&writer));
	give_up_arena(self, spans);
}

TEST_F(wake, span_that_is_submitted_in_part_makes_room_for_another_stream)
{
	struct shmux_span spans[4];
	struct worker writer;

	use_up_arena(_metadata, self, spans);
	worker_start(&writer, reserve_one, self->others[0]);
	ASSERT_TRUE(worker_wait_blocked(&writer));

	ASSERT_EQ(1, shmux_stream_submit(self->near, &spans[0], 1, 0));

	EXPECT_TRUE(wait_until(worker_is_done(&writer)));
	shmux_stream_unblock(self->others[0], SHMUX_WRITE);
	EXPECT_EQ(0, worker_join(&writer));
	give_up_arena(self, spans);
}

TEST_F(wake, loop_is_told_of_room_that_a_cancelled_span_makes)
{
	struct shmux_span spans[4], more;

	begin_loop(_metadata, self);
	use_up_arena(_metadata, self, spans);
	ASSERT_EQ(-EAGAIN, shmux_stream_reserve(self->others[0], 8192, &more, SHMUX_NOWAIT));
	ASSERT_FALSE(is_readable(self->session, 0));

	shmux_stream_cancel(self->near, &spans[0]);

	EXPECT_TRUE(loop_until(self->session, self->others[0], SHMUX_EVENT_WRITE));
	give_up_arena(self, spans);
}

/* Payload tells the peer that we go on; who does not has to say so once more. */
TEST(span_that_lacks_credit_is_not_forgotten_when_another_is_submitted)
{
	struct shmux_session_options *small =
		SESSION_OPTIONS(.first_grant = 4096, .window = 4096);
	struct shmux_span first, second;
	struct shmux_stream *near;
	struct pair pair;
	char buf[1000];

	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, small, small));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &near));
	ASSERT_EQ(0, shmux_stream_reserve(near, sizeof(buf), &first, SHMUX_NOWAIT));
	EXPECT_EQ(-EAGAIN, shmux_stream_reserve(near, 4000, &second, SHMUX_NOWAIT));
	far_pump(&pair.far);
	memset(first.data, 0, sizeof(buf));
	ASSERT_EQ(sizeof(buf), shmux_stream_submit(near, &first, sizeof(buf), 0));
	ASSERT_EQ(sizeof(buf), far_try_read(&pair.far, buf, sizeof(buf)));

	EXPECT_EQ(-EAGAIN, shmux_stream_reserve(near, 4000, &second, SHMUX_NOWAIT));
	far_pump(&pair.far);
	EXPECT_EQ(0, shmux_stream_reserve(near, 4000, &second, SHMUX_NOWAIT));

	shmux_stream_cancel(near, &second);
	shmux_stream_close(near);
	EXPECT_EQ(0, pair_close(&pair));
}

/*
 * A peer that polls, and sleeps elsewhere, need not tell of the last slots that
 * it has consumed. Whatever the spans keep, the longest record has room.
 */
TEST(spans_leave_room_for_every_write_to_a_peer_that_only_polls)
{
	struct shmux_session_options *small =
		SESSION_OPTIONS(.ring_slots = SLOTS, .arena_size = 1 << 20, .first_grant = 1 << 18,
				.window = 1 << 18, .streams_max = 32);
	struct shmux_span spans[SLOTS];
	struct shmux_stream *near;
	char buf[960], waste[4096]; /* the longest record: 17 slots */
	struct pair pair;
	int nr = 0;

	memset(buf, 0, sizeof(buf));
	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, small, small));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &near));
	while (!shmux_stream_reserve(near, 4096, &spans[nr], SHMUX_NOWAIT))
		nr++;
	EXPECT_EQ(SLOTS / 8 * 3, nr);

	for (int i = 0; i < 200; i++) {
		/* It may have consumed any number of slots since it last told. */
		for (int j = 0; j < i % 16; j++)
			ASSERT_EQ(1, shmux_stream_try_write(near, buf, 1));
		while (far_try_read(&pair.far, waste, sizeof(waste)) > 0)
			;
		ASSERT_EQ(sizeof(buf), shmux_stream_try_write(near, buf, sizeof(buf)));
		while (far_try_read(&pair.far, waste, sizeof(waste)) > 0)
			;
		/* Take what credit it gave. */
		shmux_stream_next_len(near);
	}

	while (nr--)
		shmux_stream_cancel(near, &spans[nr]);
	shmux_stream_close(near);
	EXPECT_EQ(0, pair_close(&pair));
}

/* Who holds all the spans it may is told once it gives one back, and not before. */
TEST(loop_rests_while_its_own_spans_keep_all_they_may)
{
	struct shmux_session_options *small =
		SESSION_OPTIONS(.ring_slots = SLOTS, .arena_size = 1 << 20, .first_grant = 1 << 18,
				.window = 1 << 18, .streams_max = 32);
	struct shmux_span spans[SLOTS], more;
	struct shmux_event events[4];
	struct shmux_stream *near;
	struct pair pair;
	int nr = 0;

	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, small, small));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &near));
	ASSERT_LE(0, shmux_session_fd(pair.session));
	while (!shmux_stream_reserve(near, 4096, &spans[nr], SHMUX_NOWAIT))
		nr++;
	ASSERT_LE(0, session_pump(pair.session));

	/* Told of nothing that it could not do. */
	EXPECT_EQ(-EAGAIN, shmux_stream_reserve(near, 4096, &more, SHMUX_NOWAIT));
	EXPECT_FALSE(is_readable(pair.session, 0));
	EXPECT_EQ(0, shmux_session_pump(pair.session, events, 4));
	EXPECT_FALSE(is_readable(pair.session, 0));

	shmux_stream_cancel(near, &spans[--nr]);
	EXPECT_TRUE(loop_until(pair.session, near, SHMUX_EVENT_WRITE));
	EXPECT_EQ(0, shmux_stream_reserve(near, 4096, &more, SHMUX_NOWAIT));

	shmux_stream_cancel(near, &more);
	while (nr--)
		shmux_stream_cancel(near, &spans[nr]);
	shmux_stream_close(near);
	EXPECT_EQ(0, pair_close(&pair));
}

/* --- a blocked call and an event loop, woken by the same bell ------------------- */

/* Let a thread, or if 0 this one and whom it starts, run where this one does. */
static bool put_here(pid_t tid)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	return !sched_setaffinity(tid, sizeof(one), &one);
}

/*
 * From now on the thread runs only while this one, on the same CPU, sleeps. So
 * what both are woken for, this one always does first.
 */
static bool put_behind(struct worker *w)
{
	struct sched_param param = { 0 };

	return put_here(0) && put_here(w->tid) &&
	       !sched_setscheduler(w->tid, SCHED_IDLE, &param);
}

/* And now when others do, too. */
static bool put_beside(const struct worker *w)
{
	struct sched_param param = { 0 };

	return !sched_setscheduler(w->tid, SCHED_OTHER, &param);
}

/* A reader that sleeps on the descriptors, as one does that has slept for long. */
static void start_deep_reader(struct __test_metadata *_metadata, FIXTURE_DATA(wake) * self,
			      struct worker *reader)
{
	uint64_t sleeps;

	worker_start(reader, read_one, self->near);
	ASSERT_TRUE(worker_wait_blocked(reader));
	/* Its second sleep is a deep one; in the module the first is all there is. */
	sleeps = session_counters(self->session).sleeps;
	ASSERT_TRUE(over_kmod() ||
		    wait_until(session_counters(self->session).sleeps > sleeps));
	ASSERT_TRUE(worker_wait_blocked(reader));
	ASSERT_TRUE(put_behind(reader));
}

/* To the stream that is self->near here. */
static int64_t side_write_first(struct side *side)
{
	return shmux_stream_write(side->streams[0], "b", 1);
}

TEST_F(wake, reader_hears_of_its_bytes_after_the_loop_has_answered_the_bell)
{
	struct worker reader;

	begin_loop(_metadata, self);
	start_deep_reader(_metadata, self, &reader);

	/* To another stream: the loop takes it, and the reader may sleep on. */
	ASSERT_EQ(1, far_write(self->far, "a", 1));
	ASSERT_TRUE(loop_until(self->session, self->others[NR_OTHERS - 1], SHMUX_EVENT_READ));
	ASSERT_TRUE(wait_until(!is_readable(self->session, 0) || session_pump(self->session) < 0));
	ASSERT_TRUE(worker_wait_blocked(&reader));

	ASSERT_EQ(1, far_run(self->far, side_write_first));

	EXPECT_TRUE(wait_until(worker_is_done(&reader)));
	shmux_stream_unblock(self->near, SHMUX_READ);
	EXPECT_EQ(1, worker_join(&reader));
}

TEST_F(wake, reader_hears_of_its_end_though_the_loop_is_told_and_pumps_at_once)
{
	struct worker reader;
	char buf[8];

	begin_loop(_metadata, self);
	start_deep_reader(_metadata, self, &reader);
	ASSERT_EQ(1, far_write(self->far, "a", 1));

	/* Both the poke and the news for the loop go by the session's eventfd. */
	shmux_stream_unblock(self->near, SHMUX_READ);
	ASSERT_EQ(1, shmux_stream_try_read(self->others[NR_OTHERS - 1], buf, sizeof(buf)));
	ASSERT_LT(0, session_pump(self->session));

	EXPECT_TRUE(wait_until(worker_is_done(&reader)));
	shmux_stream_unblock(self->near, SHMUX_READ);
	EXPECT_EQ(-ECANCELED, worker_join(&reader));
}

/* --- a call that reads while another thread spins for the session ---------------- */

/* Has it run for so long that it must have come to spin? */
static bool has_spun(const struct worker *w)
{
	struct timespec used;
	clockid_t clock;

	return !pthread_getcpuclockid(w->thread, &clock) && !clock_gettime(clock, &used) &&
	       (uint64_t)used.tv_nsec + (uint64_t)used.tv_sec * SEC > 5 * MSEC;
}

static int64_t recv_one(void *arg)
{
	char buf[8];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	return shmux_stream_recv(arg, &iov, 1, 0);
}

/* Of one priority, on one CPU, a thread (0: this one) runs until it sleeps or gives way. */
static bool takes_turns(pid_t tid, int priority)
{
	struct sched_param param = { .sched_priority = priority };

	return !sched_setscheduler(tid, SCHED_FIFO, &param);
}

TEST(who_is_woken_on_the_cpu_of_who_spins_goes_first)
{
	struct shmux_session_options *spins = SESSION_OPTIONS(.spin = SHMUX_SPIN_ENDLESS);
	struct shmux_stream *spun_for, *other;
	struct worker reader, sleeper;
	struct pair pair;
	bool may;

	ASSERT_TRUE(put_here(0));
	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, spins, NULL));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &spun_for));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &other));
	worker_start(&reader, recv_one, spun_for);
	ASSERT_TRUE(wait_until(has_spun(&reader)));
	worker_start(&sleeper, recv_one, other);
	ASSERT_TRUE(worker_wait_blocked(&sleeper));
	may = takes_turns(0, 2) && takes_turns(reader.tid, 1) && takes_turns(sleeper.tid, 1);

	EXPECT_EQ(1, far_write(&pair.far, "a", 1));
	EXPECT_TRUE(wait_until(worker_is_done(&sleeper)));

	shmux_stream_unblock(other, SHMUX_READ);
	shmux_stream_unblock(spun_for, SHMUX_READ);
	EXPECT_EQ(1, worker_join(&sleeper));
	EXPECT_EQ(-ECANCELED, worker_join(&reader));
	shmux_stream_close(spun_for);
	shmux_stream_close(other);
	EXPECT_EQ(0, pair_close(&pair));
	if (!may)
		SKIP(return, "there may be no threads of real-time priority");
}

/* What comes for both, the call takes; who spins, on the CPU of the call, sees nothing come. */
static void read_beside_who_spins(struct __test_metadata *_metadata, unsigned int kind)
{
	struct shmux_session_options *spins = SESSION_OPTIONS(.spin = SHMUX_SPIN_ENDLESS);
	struct shmux_stream *spun_for, *other;
	struct worker reader;
	struct pair pair;

	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, spins, NULL));
	ASSERT_EQ(0, pair_open_stream(&pair, kind, &spun_for));
	ASSERT_EQ(0, pair_open_stream(&pair, kind, &other));
	worker_start(&reader, recv_one, spun_for);
	ASSERT_TRUE(wait_until(has_spun(&reader)));
	ASSERT_TRUE(put_behind(&reader));

	EXPECT_EQ(1, far_run(&pair.far, side_write_first));
	EXPECT_EQ(1, far_write(&pair.far, "a", 1));
	EXPECT_EQ(1, recv_one(other));
	EXPECT_TRUE(put_beside(&reader));

	EXPECT_TRUE(wait_until(worker_is_done(&reader)));
	shmux_stream_unblock(spun_for, SHMUX_READ);
	EXPECT_EQ(1, worker_join(&reader));
	shmux_stream_close(spun_for);
	shmux_stream_close(other);
	EXPECT_EQ(0, pair_close(&pair));
}

TEST(who_spins_hears_of_its_bytes_that_another_reader_took)
{
	read_beside_who_spins(_metadata, SHMUX_STREAM_BYTES);
}

TEST(who_spins_hears_of_its_message_that_another_reader_took)
{
	read_beside_who_spins(_metadata, SHMUX_STREAM_MESSAGES);
}

/* --- both ends on one CPU -------------------------------------------------------- */

static int64_t echo_all(void *side)
{
	return side_echo(side);
}

#define RALLY 1000

/* Return: how often the one that did so more often has slept. */
static uint64_t rally_on_one_cpu(struct __test_metadata *_metadata, uint64_t spin, bool *may)
{
	struct shmux_session_options *options = SESSION_OPTIONS(.spin = spin);
	uint64_t near_slept, far_slept;
	struct shmux_stream *near;
	struct worker echo;
	struct pair pair;
	char c = 'c';

	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, options, options));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &near));
	/* A thread of real-time priority that is wrong keeps the machine busy. */
	shmux_stream_set_deadline(near, SHMUX_READ, shmux_now() + LONG_ENOUGH);
	worker_start(&echo, echo_all, &pair.far.side);
	*may = takes_turns(0, 1) && takes_turns(echo.tid, 1);
	for (int i = 0; i < RALLY; i++) {
		ASSERT_EQ(1, shmux_stream_write(near, &c, 1));
		ASSERT_EQ(1, shmux_stream_read(near, &c, 1));
	}
	near_slept = session_counters(pair.session).sleeps;
	far_slept = session_counters(pair.far.side.session).sleeps;

	EXPECT_EQ(0, shmux_stream_shutdown(near, SHMUX_WRITE));
	EXPECT_EQ(RALLY, worker_join(&echo));
	shmux_stream_close(near);
	EXPECT_EQ(0, pair_close(&pair));
	return near_slept > far_slept ? near_slept : far_slept;
}

/* They may sleep while the machine takes the CPU from both; not each time. */
static void share_one_cpu(struct __test_metadata *_metadata, uint64_t spin)
{
	uint64_t slept = RALLY;
	bool may = true;

	ASSERT_TRUE(put_here(0));
	for (int tries = 0; tries < 10 && slept >= RALLY / 2; tries++)
		slept = rally_on_one_cpu(_metadata, spin, &may);
	if (!may)
		SKIP(return, "there may be no threads of real-time priority");
	/* In the module to wake the other and to sleep is one call: they do. */
	if (spin == SHMUX_SPIN_ENDLESS || !over_kmod())
		EXPECT_GT(RALLY / 2, slept);
}

TEST(ends_that_do_not_spin_and_share_a_cpu_answer_each_other_without_sleeping)
{
	share_one_cpu(_metadata, SHMUX_SPIN_NONE);
}

TEST(ends_that_adapt_and_share_a_cpu_answer_each_other_without_sleeping)
{
	share_one_cpu(_metadata, SHMUX_SPIN_ADAPTIVE);
}

/* Who would not give way had the other never answer, here; elsewhere in a tick or two. */
TEST(ends_that_spin_for_ever_and_share_a_cpu_answer_each_other)
{
	share_one_cpu(_metadata, SHMUX_SPIN_ENDLESS);
}

TEST_HARNESS_MAIN
