// SPDX-License-Identifier: LGPL-2.1-or-later
/* options.c - session options: each limit, each refusal, and what they do */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "process.h"

#define MIB (1024u * 1024u)

/* One member out of its limits, the rest valid. */
static const struct {
	const char *member;
	struct shmux_session_options options;
} bad[] = {
#define SIZE .size = sizeof(struct shmux_session_options)
	{ "size", { .size = 0 } },
	{ "size", { .size = 1 } },
	{ "ring_slots", { SIZE, .ring_slots = 32 } },
	{ "ring_slots", { SIZE, .ring_slots = 63 } },
	{ "ring_slots", { SIZE, .ring_slots = 100 } },
	{ "ring_slots", { SIZE, .ring_slots = 2047 } },
	{ "ring_slots", { SIZE, .ring_slots = 1u << 21 } },
	{ "ring_slots", { SIZE, .ring_slots = 1u << 31 } },
	{ "arena_size", { SIZE, .arena_size = 4096 } },
	{ "arena_size", { SIZE, .arena_size = 65535 } },
	{ "arena_size", { SIZE, .arena_size = 65536 + 1 } },
	{ "arena_size", { SIZE, .arena_size = 65536 + 2048 } },
	{ "arena_size", { SIZE, .arena_size = (1u << 30) + 4096 } },
	{ "window", { SIZE, .window = 1 } },
	{ "window", { SIZE, .window = 4095 } },
	{ "window", { SIZE, .window = (1u << 30) + 1 } },
	{ "first_grant", { SIZE, .first_grant = 1 } },
	{ "first_grant", { SIZE, .first_grant = 63 } },
	{ "first_grant", { SIZE, .first_grant = MIB + 1 } },
	{ "first_grant", { SIZE, .window = 8192, .first_grant = 8193 } },
	{ "budget", { SIZE, .budget = 1 } },
	{ "message_max", { SIZE, .message_max = MIB + 1 } },
	{ "message_max", { SIZE, .window = 8192, .message_max = 8193 } },
	{ "backlog", { SIZE, .backlog = (1u << 20) + 1 } },
	{ "streams_max", { SIZE, .streams_max = (1u << 21) + 1 } },
	{ "reserved", { SIZE, .reserved = 1 } },
};

static const struct shmux_session_options good[] = {
	{ SIZE },
	{ SIZE, .ring_slots = 64 },
	{ SIZE, .ring_slots = 1u << 20 },
	{ SIZE, .arena_size = 65536 },
	{ SIZE, .arena_size = 65536 + 4096 },
	{ SIZE, .window = 4096 },
	{ SIZE, .first_grant = 64 },
	{ SIZE, .first_grant = MIB },
	{ SIZE, .message_max = 1 },
	{ SIZE, .message_max = MIB },
	{ SIZE, .backlog = 1 },
	{ SIZE, .backlog = 1u << 20 },
	{ SIZE, .streams_max = 1 },
	{ SIZE, .spin = SHMUX_SPIN_NONE },
	{ SIZE, .spin = SHMUX_SPIN_ENDLESS },
	{ SIZE, .spin = 5000 },
};

FIXTURE(options)
{
	int nr_fds;
};

FIXTURE_SETUP(options)
{
	self->nr_fds = process_nr_fds();
}

FIXTURE_TEARDOWN(options)
{
	EXPECT_EQ(self->nr_fds, process_nr_fds());
	EXPECT_FALSE(process_leaks());
}

TEST_F(options, none_are_the_defaults)
{
	const char *why = NULL;

	EXPECT_EQ(0, shmux_session_options_verify(NULL, &why));
	EXPECT_EQ(0, shmux_session_options_verify(NULL, NULL));
}

TEST_F(options, each_limit_is_allowed)
{
	const char *why = "";

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		EXPECT_EQ(0, shmux_session_options_verify(&good[i], &why)) {
			TH_LOG("number %zu: %s", i, why);
		}
	}
}

TEST_F(options, each_bad_member_is_named)
{
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		why = NULL;
		EXPECT_EQ(-EINVAL, shmux_session_options_verify(&bad[i].options, &why)) {
			TH_LOG("number %zu: %s", i, bad[i].member);
		}
		EXPECT_TRUE(why && strstr(why, bad[i].member)) {
			TH_LOG("number %zu: %s: %s", i, bad[i].member, why ? why : "no word");
		}
		EXPECT_EQ(-EINVAL, shmux_session_options_verify(&bad[i].options, NULL));
	}
}

TEST_F(options, bad_ones_are_refused_wherever_a_session_is_made)
{
	struct shmux_listener_options listener_options = { .size = sizeof(listener_options) };
	struct shmux_context_options context_options = { .size = sizeof(context_options) };
	struct shmux_listener *listener;
	struct shmux_context *context;
	struct shmux_session *session;
	char name[NAME_SIZE];
	int fds[2];

	name_make(name);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
		EXPECT_EQ(-EINVAL, shmux_session_attach(fds[0], SHMUX_ROLE_DIALLER, &bad[i].options,
							SHMUX_NEVER, &session));
		EXPECT_EQ(-1, fcntl(fds[0], F_GETFD));
		close(fds[1]);
		EXPECT_EQ(-EINVAL,
			  shmux_session_dial(name, &bad[i].options, SHMUX_NEVER, &session));
		listener_options.session = &bad[i].options;
		EXPECT_EQ(-EINVAL, shmux_listener_open(name, &listener_options, &listener));
		context_options.session = &bad[i].options;
		EXPECT_EQ(-EINVAL, shmux_context_open(&context_options, &context));
	}
}

/* A session with these on both sides carries bytes both ways. */
static void check_carries(struct __test_metadata *_metadata,
			  const struct shmux_session_options *options, uint64_t len)
{
	struct bulk bulk = { .len = len, .piece = len, .seed = 1, .flags = SHMUX_FIN };
	struct shmux_stream *st;
	struct pair pair;

	ASSERT_EQ(0, pair_open(&pair, PAIR_TWO_PROCESSES, options, options));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	far_begin(&pair.far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ((int64_t)len, bulk_write(st, &bulk));
	ASSERT_EQ((int64_t)len, far_finish(&pair.far, NULL));
	far_begin(&pair.far, side_bulk_write, &bulk, sizeof(bulk), 0);
	EXPECT_EQ((int64_t)len, bulk_read(st, &bulk));
	ASSERT_EQ((int64_t)len, far_finish(&pair.far, NULL));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
}

TEST_F(options, sessions_of_every_size_carry_bytes)
{
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		/* Two sides that spin for ever want a CPU each. */
		if (good[i].spin == SHMUX_SPIN_ENDLESS && process_nr_cpus() < 2)
			continue;
		check_carries(_metadata, &good[i], 3 * MIB);
	}
}

TEST_F(options, smallest_session_carries_bytes)
{
	check_carries(_metadata,
		      SESSION_OPTIONS(.ring_slots = 64, .arena_size = 65536, .window = 4096,
				      .first_grant = 64, .budget = 4096, .streams_max = 1,
				      .backlog = 1),
		      2 * MIB);
}

TEST_F(options, longest_message_can_be_sent_with_whatever_is_allowed)
{
	static const struct shmux_session_options tight[] = {
		{ SIZE, .budget = 65536 },
		{ SIZE, .budget = 65536, .streams_max = 1 },
		{ SIZE, .budget = 2 * MIB },
		{ SIZE, .budget = 2 * MIB, .streams_max = 8192 },
		{ SIZE, .budget = 2 * MIB, .streams_max = 1 },
		{ SIZE, .window = 65536, .budget = 65536, .streams_max = 1 },
		{ SIZE, .window = 65536, .budget = 65536, .streams_max = 256 },
	};
	struct shmux_stream *st;
	struct pair pair;

	for (size_t i = 0; i < ARRAY_SIZE(tight); i++) {
		struct bulk bulk = { .seed = 1 };

		/* It may say so, but it may not promise what cannot be. */
		if (shmux_session_options_verify(&tight[i], NULL))
			continue;
		ASSERT_EQ(0, pair_open(&pair, PAIR_TWO_PROCESSES, &tight[i], &tight[i]));
		ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_MESSAGES, &st));
		bulk.len = bulk.piece = shmux_stream_message_max(st);
		shmux_stream_set_deadline(st, SHMUX_WRITE, shmux_now() + 2 * SEC);
		far_begin(&pair.far, side_bulk_read, &bulk, sizeof(bulk), 0);
		EXPECT_EQ((int64_t)bulk.len, bulk_write(st, &bulk)) {
			TH_LOG("number %zu", i);
		}
		shmux_stream_close(st);
		EXPECT_EQ((int64_t)bulk.len, far_finish(&pair.far, NULL));
		EXPECT_EQ(0, pair_close(&pair));
	}
}

TEST_F(options, sides_may_differ)
{
	struct bulk bulk = { .len = 4 * MIB, .piece = 100000, .seed = 1 };
	struct shmux_stream *st;
	struct pair pair;

	ASSERT_EQ(0, pair_open(&pair, PAIR_TWO_PROCESSES,
			       SESSION_OPTIONS(.ring_slots = 64, .arena_size = 65536,
					       .window = 4096),
			       SESSION_OPTIONS(.ring_slots = 65536, .arena_size = 16 * MIB,
					       .window = 8 * MIB)));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	far_begin(&pair.far, side_bulk_read, &bulk, sizeof(bulk), 0);
	EXPECT_EQ(4 * MIB, bulk_write(st, &bulk));
	EXPECT_EQ(4 * MIB, far_finish(&pair.far, NULL));
	far_begin(&pair.far, side_bulk_write, &bulk, sizeof(bulk), 0);
	EXPECT_EQ(4 * MIB, bulk_read(st, &bulk));
	EXPECT_EQ(4 * MIB, far_finish(&pair.far, NULL));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
}

static int64_t attach_far(void *arg)
{
	struct shmux_session *session;
	int ret = shmux_session_attach(*(int *)arg, SHMUX_ROLE_ACCEPTOR, NULL,
				       shmux_now() + LONG_ENOUGH, &session);

	if (!ret)
		shmux_session_close(session, 0);
	return ret;
}

TEST_F(options, region_that_is_larger_than_allowed_is_e2big_on_both_sides)
{
	struct shmux_session *session;
	struct worker other;
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	worker_start(&other, attach_far, &fds[1]);

	/* The other side's arena alone is 4 MiB. */
	EXPECT_EQ(-E2BIG, shmux_session_attach(fds[0], SHMUX_ROLE_DIALLER,
					       SESSION_OPTIONS(.peer_size_max = 2 * MIB),
					       shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(-E2BIG, worker_join(&other));
}

TEST_F(options, acceptor_refuses_a_large_region_in_the_same_way)
{
	struct shmux_session *session;
	struct worker other;
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	worker_start(&other, attach_far, &fds[1]);

	EXPECT_EQ(-E2BIG, shmux_session_attach(fds[0], SHMUX_ROLE_DIALLER,
					       SESSION_OPTIONS(.arena_size = 512 * MIB),
					       shmux_now() + LONG_ENOUGH, &session));
	EXPECT_EQ(-E2BIG, worker_join(&other));
}

TEST_F(options, are_copied)
{
	struct shmux_session_options *mine = malloc(sizeof(*mine));
	struct shmux_stream *st;
	struct pair pair;

	*mine = (struct shmux_session_options){ SIZE, .message_max = 1000 };
	ASSERT_EQ(0, pair_open(&pair, PAIR_SAME_PROCESS, NULL, mine));
	memset(mine, 0xff, sizeof(*mine));
	free(mine);

	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_MESSAGES, &st));
	EXPECT_EQ(1000, shmux_stream_message_max(st));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));
}

/* The sentences that the log callback got. */
struct log {
	int nr;
	char last[256];
};

static void note(void *arg, enum shmux_log_level level, const char *sentence)
{
	struct log *log = arg;

	(void)level;
	__atomic_add_fetch(&log->nr, 1, __ATOMIC_RELAXED);
	snprintf(log->last, sizeof(log->last), "%s", sentence);
}

TEST_F(options, log_hears_of_a_session_that_was_lost)
{
	struct shmux_stream *st;
	struct log log = { .nr = 0 };
	struct pair pair;
	char buf[8];

	ASSERT_EQ(0, pair_open(&pair, PAIR_TWO_PROCESSES,
			       SESSION_OPTIONS(.log = note, .log_arg = &log), NULL));
	ASSERT_EQ(0, pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st));
	far_kill(&pair.far);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
	EXPECT_EQ(0, pair_close(&pair));

	EXPECT_LT(0, log.nr);
	EXPECT_EQ(NULL, strchr(log.last, '\n'));
}

/* The descriptors of standard output and error, looked at from behind. */
TEST_F(options, without_a_log_nothing_is_printed)
{
	struct shmux_stream *st;
	struct pair pair;
	int saved[2], out;
	char buf[8];

	out = memfd_create("output", MFD_CLOEXEC);
	ASSERT_LE(0, out);
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		saved[i] = dup(1 + i);
		dup2(out, 1 + i);
	}
	if (!pair_open(&pair, PAIR_TWO_PROCESSES, NULL, NULL) &&
	    !pair_open_stream(&pair, SHMUX_STREAM_BYTES, &st)) {
		far_kill(&pair.far);
		shmux_stream_read(st, buf, sizeof(buf));
		shmux_stream_close(st);
		pair_close(&pair);
	}
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], 1 + i);
		close(saved[i]);
	}

	EXPECT_EQ(0, lseek(out, 0, SEEK_END));
	close(out);
}

TEST_F(options, version_and_clock_are_told)
{
	uint64_t now = shmux_now();

	EXPECT_EQ('0', shmux_version()[0]);
	EXPECT_LT(0, now);
	EXPECT_LE(now, shmux_now());
}

TEST_HARNESS_MAIN
