// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * golang.c - yamux with hashicorp/yamux, which is who others speak it with
 *
 * The other side is a program in Go (gopeer.h). Whatever happens, that library has
 * no cause to log an error.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "effort.h"
#include "far.h"
#include "gopeer.h"
#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

enum {
	WINDOW = 256 * 1024
};

FIXTURE(golang)
{
	struct gopeer go;
	int nr_fds;
	bool gone; /* it was killed, or has quit */
};

FIXTURE_VARIANT(golang)
{
	enum shmux_role role;
	bool pipes;
};

FIXTURE_VARIANT_ADD(golang, client_over_socket){
	.role = SHMUX_ROLE_DIALLER,
};

FIXTURE_VARIANT_ADD(golang, client_over_pipes){
	.role = SHMUX_ROLE_DIALLER,
	.pipes = true,
};

FIXTURE_VARIANT_ADD(golang, server_over_socket){
	.role = SHMUX_ROLE_ACCEPTOR,
};

FIXTURE_VARIANT_ADD(golang, server_over_pipes){
	.role = SHMUX_ROLE_ACCEPTOR,
	.pipes = true,
};

FIXTURE_SETUP(golang)
{
	const char *why;

	self->nr_fds = process_nr_fds();
	if (!gopeer_is_there(&why))
		SKIP_TEST("%s", why);
}

FIXTURE_TEARDOWN(golang)
{
	if (self->go.session && !self->gone)
		EXPECT_STREQ("none", gopeer_ask(&self->go, "complaints"));
	if (self->go.session)
		gopeer_leave(&self->go);
	if (self->go.pid)
		EXPECT_EQ(GOPEER_LEFT, gopeer_wait(&self->go));
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

#define START_WITH(options, ...)                                                     \
	ASSERT_EQ(0, gopeer_start(&self->go, variant->pipes, variant->role, options, \
				  (const char *const[]){ __VA_ARGS__ }))
#define START() START_WITH(NULL, NULL)

#define ASK(...) gopeer_ask(&self->go, __VA_ARGS__)
#define SAY(st, ...) ASSERT_TRUE(gopeer_say(&self->go, st, __VA_ARGS__))
#define LINE(st) gopeer_line(&self->go, st)

/* A stream on which a command has been said. */
#define TELL(...)                                                                 \
	({                                                                        \
		struct shmux_stream *told_ = gopeer_tell(&self->go, __VA_ARGS__); \
                                                                                  \
		ASSERT_NE(NULL, told_);                                           \
		told_;                                                            \
	})

/* It has forgotten every stream but the one that asks. */
#define EXPECT_NO_STREAM_LEFT() EXPECT_TRUE(wait_until(!strcmp("1", ASK("streams"))))

/* A stream that has been told to echo does, and then both let go of it. */
static bool echoes(struct shmux_stream *st, uint32_t seed, size_t len)
{
	char out[1024], in[1024];

	pattern_fill(out, len, 0, seed);
	if (shmux_stream_write(st, out, len) != (ssize_t)len)
		return false;
	if (shmux_stream_recv(st, &(struct iovec){ in, len }, 1, SHMUX_WAITALL) != (ssize_t)len)
		return false;
	return !memcmp(in, out, len);
}

static bool ends(struct shmux_stream *st)
{
	bool over;
	char byte;

	over = !shmux_stream_shutdown(st, SHMUX_WRITE) && !shmux_stream_read(st, &byte, 1);
	shmux_stream_close(st);
	return over;
}

/* --- many ------------------------------------------------------------------- */

TEST_F(golang, five_thousand_streams_of_ours_are_open_at_once)
{
	enum {
		NR = 5000
	};
	static struct shmux_stream *st[NR];

	START();
	for (int i = 0; i < NR; i++)
		st[i] = TELL("echo");
	EXPECT_TRUE(wait_until(atoi(ASK("streams")) == NR + 1));

	for (int i = 0; i < NR; i++)
		ASSERT_TRUE(echoes(st[i], (uint32_t)i, 100));
	for (int i = 0; i < NR; i++)
		ASSERT_TRUE(ends(st[i]));
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, five_thousand_streams_of_its_are_open_at_once)
{
	START();
	SAY(self->go.control, "open 5000 1000");

	EXPECT_STREQ("ok", gopeer_serve(&self->go));
	EXPECT_EQ(5001, session_counters(self->go.session).streams_opened);
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, twenty_thousand_streams_of_ours_come_and_go)
{
	START();
	for (uint32_t i = 0; i < 20000; i++) {
		struct shmux_stream *st = TELL("echo");

		ASSERT_TRUE(echoes(st, i, 16));
		ASSERT_TRUE(ends(st));
	}
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, twenty_thousand_streams_of_its_come_and_go)
{
	START();
	SAY(self->go.control, "sequence 20000 16");

	EXPECT_STREQ("ok", gopeer_serve(&self->go));
	EXPECT_EQ(20001, session_counters(self->go.session).streams_opened);
	EXPECT_NO_STREAM_LEFT();
}

static int64_t open_many(void *arg)
{
	struct gopeer *g = arg;

	for (uint32_t i = 0; i < 2000; i++) {
		struct shmux_stream *st = gopeer_tell(g, "echo");

		if (!st || !echoes(st, i, 100) || !ends(st))
			return -1;
	}
	return 0;
}

TEST_F(golang, both_sides_open_streams_at_once)
{
	struct worker worker;

	START();
	ASSERT_LE(0, shmux_session_fd(self->go.session));
	worker_start(&worker, open_many, &self->go);
	SAY(self->go.control, "open 2000 1000");

	EXPECT_STREQ("ok", gopeer_serve(&self->go));
	EXPECT_EQ(0, worker_join(&worker));
	EXPECT_EQ(4001, session_counters(self->go.session).streams_opened);
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, who_has_opened_256_that_it_has_not_accepted_waits)
{
	struct shmux_stream *st[300];
	struct worker worker;
	int nr = 0, err;

	START_WITH(NULL, "-accept", "1", NULL);
	ASSERT_STREQ("1", ASK("streams"));
	while (!(err = shmux_session_open(self->go.session, SHMUX_STREAM_NOWAIT, &st[nr])))
		nr++;
	EXPECT_EQ(-EAGAIN, err);
	EXPECT_EQ(256, nr);
	worker_start(&worker, open_many, &self->go);
	ASSERT_TRUE(worker_wait_blocked(&worker));
	EXPECT_FALSE(worker_is_done(&worker));

	EXPECT_STREQ("ok", ASK("accept"));
	EXPECT_EQ(0, worker_join(&worker));
	for (int i = 0; i < nr; i++)
		EXPECT_TRUE(ends(st[i]));
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, it_waits_when_it_has_opened_256_that_we_have_not_accepted)
{
	START();
	SAY(self->go.control, "open 300 100");
	EXPECT_TRUE(wait_until(session_pump(self->go.session) >= 0 &&
			       session_counters(self->go.session).accept_depth == 256));
	/* The answer to a ping comes after whatever it would still have opened. */
	ASSERT_EQ(0, shmux_session_ping(self->go.session, shmux_now() + LONG_ENOUGH, NULL));
	EXPECT_EQ(256, session_counters(self->go.session).accept_depth);

	EXPECT_STREQ("ok", gopeer_serve(&self->go));
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, streams_beyond_its_backlog_are_reset_and_no_others)
{
	struct shmux_stream *st[20];
	int nr_reset = 0;
	char byte;

	START_WITH(NULL, "-accept", "1", "-backlog", "8", NULL);
	ASSERT_STREQ("1", ASK("streams"));
	/* A stream may be reset before its line can be said. */
	for (int i = 0; i < 20; i++)
		st[i] = gopeer_tell(&self->go, "echo");
	ASSERT_STREQ("ok", ASK("accept"));

	for (int i = 0; i < 20; i++) {
		if (i < 8) {
			ASSERT_NE(NULL, st[i]);
			EXPECT_TRUE(echoes(st[i], 1, 100));
			EXPECT_TRUE(ends(st[i]));
		} else {
			nr_reset += !st[i] ||
				    shmux_stream_read(st[i], &byte, 1) == -ECONNRESET;
			shmux_stream_close(st[i]);
		}
	}
	EXPECT_EQ(12, nr_reset);
	EXPECT_NO_STREAM_LEFT();
}

/* --- ends ------------------------------------------------------------------- */

TEST_F(golang, our_half_close_is_its_end_of_file_and_it_can_still_answer)
{
	struct shmux_stream *st;
	char byte;

	START();
	st = TELL("count");
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));

	EXPECT_EQ(-EPIPE, shmux_stream_write(st, "more", 4));
	EXPECT_STREQ("5", LINE(st));
	EXPECT_EQ(0, shmux_stream_read(st, &byte, 1));
	shmux_stream_close(st);
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, its_close_is_our_end_of_file_and_we_can_still_write)
{
	struct shmux_stream *st;
	char byte;

	START();
	st = TELL("end");
	EXPECT_EQ(0, shmux_stream_read(st, &byte, 1));

	for (int i = 0; i < 100; i++)
		EXPECT_EQ(4, shmux_stream_write(st, "more", 4));
	EXPECT_STREQ("2", ASK("streams"));
	shmux_stream_close(st);
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, fin_with_the_last_bytes_is_both)
{
	struct shmux_stream *st;

	START();
	st = TELL("count");
	ASSERT_EQ(5, shmux_stream_send(st, &(struct iovec){ "hello", 5 }, 1, SHMUX_FIN));

	EXPECT_STREQ("5", LINE(st));
	shmux_stream_close(st);
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, reset_is_an_error_of_its_reader_and_of_its_writer)
{
	struct shmux_stream *reader, *writer;
	char byte;

	START();
	reader = TELL("read a");
	writer = TELL("write b");
	/* What it has not read when the reset comes is lost, its orders too. */
	ASSERT_STREQ("ok", LINE(reader));
	ASSERT_EQ(1, shmux_stream_read(writer, &byte, 1));
	ASSERT_EQ(0, shmux_stream_reset(reader, 300));
	ASSERT_EQ(0, shmux_stream_reset(writer, 300));

	EXPECT_STREQ("0 connection reset", ASK("fate a"));
	EXPECT_STREQ("connection reset", ASK("fate b"));
	shmux_stream_close(reader);
	shmux_stream_close(writer);
	EXPECT_NO_STREAM_LEFT();
}

TEST_F(golang, who_writes_to_what_we_have_closed_unread_is_told)
{
	struct shmux_stream *st;
	char byte;

	START();
	st = TELL("write a");
	ASSERT_EQ(1, shmux_stream_read(st, &byte, 1));
	shmux_stream_close(st);

	EXPECT_STREQ("connection reset", ASK("fate a"));
	EXPECT_NO_STREAM_LEFT();
}

/* --- bytes ------------------------------------------------------------------ */

static const struct bulk large = { .len = 64 << 20, .piece = 300000, .seed = 7 };

TEST_F(golang, it_reads_64_megabytes_as_we_wrote_them)
{
	struct shmux_stream *st;

	START();
	st = TELL("sink %llu %u", (unsigned long long)large.len, large.seed);
	EXPECT_EQ((int64_t)large.len, bulk_write(st, &large));

	EXPECT_STREQ("ok", LINE(st));
	EXPECT_TRUE(ends(st));
}

TEST_F(golang, we_read_64_megabytes_as_it_wrote_them)
{
	struct shmux_stream *st;

	START();
	st = TELL("source %llu %u %zu", (unsigned long long)large.len, large.seed, large.piece);

	EXPECT_EQ((int64_t)large.len, bulk_read(st, &large));
	EXPECT_TRUE(ends(st));
}

TEST_F(golang, much_goes_both_ways_at_once)
{
	struct bulk_job job = { .bulk = { .len = 16 << 20, .piece = 65536, .seed = 9 } };
	struct worker worker;

	START();
	job.st = TELL("echo");
	worker_start(&worker, bulk_write_job, &job);

	EXPECT_EQ((int64_t)job.bulk.len, bulk_read(job.st, &job.bulk));
	EXPECT_EQ((int64_t)job.bulk.len, worker_join(&worker));
	EXPECT_TRUE(ends(job.st));
}

TEST_F(golang, bytes_may_come_one_by_one)
{
	const struct bulk tiny = { .len = 20000, .piece = 1, .seed = 3 };
	struct shmux_stream *st;

	START();
	st = TELL("sink %llu %u", (unsigned long long)tiny.len, tiny.seed);
	EXPECT_EQ((int64_t)tiny.len, bulk_write(st, &tiny));
	EXPECT_STREQ("ok", LINE(st));
	SAY(st, "source %llu %u %zu", (unsigned long long)tiny.len, tiny.seed, tiny.piece);

	EXPECT_EQ((int64_t)tiny.len, bulk_read(st, &tiny));
	EXPECT_TRUE(ends(st));
}

/* --- windows ---------------------------------------------------------------- */

/* As much as it lets us send. */
static uint64_t fill(struct shmux_session *s, struct shmux_stream *st)
{
	static char buf[65536];
	uint64_t taken = 0;
	ssize_t n;

	for (;;) {
		pattern_fill(buf, sizeof(buf), taken, 1);
		n = shmux_stream_try_write(st, buf, sizeof(buf));
		if (n == -EAGAIN) {
			/* Is it the window, or the wire? */
			shmux_session_ping(s, shmux_now() + LONG_ENOUGH, NULL);
			n = shmux_stream_try_write(st, buf, sizeof(buf));
		}
		if (n <= 0)
			return taken;
		taken += (uint64_t)n;
	}
}

TEST_F(golang, reader_of_its_that_stops_holds_back_its_stream_alone)
{
	struct shmux_stream *st, *other;
	uint64_t taken;

	START();
	other = TELL("echo");
	st = TELL("hold a");
	/* What it reads by and by is read before what follows. */
	SAY(st, "sink %u 1", WINDOW);
	taken = fill(self->go.session, st);
	/* Its reader of lines has taken a page, of which Go may have told. */
	EXPECT_LE(WINDOW - 200, taken);
	EXPECT_GE(WINDOW, taken);
	EXPECT_EQ(-EAGAIN, shmux_stream_try_write(st, "x", 1));
	for (uint32_t i = 0; i < 100; i++)
		ASSERT_TRUE(echoes(other, i, 1000));

	EXPECT_STREQ("ok", ASK("release a"));
	for (; taken < WINDOW; taken++) {
		char byte;

		pattern_fill(&byte, 1, taken, 1);
		ASSERT_EQ(1, shmux_stream_write(st, &byte, 1));
	}
	EXPECT_STREQ("ok", LINE(st));
	EXPECT_TRUE(ends(st));
	EXPECT_TRUE(ends(other));
}

TEST_F(golang, stream_of_ours_that_nobody_reads_holds_back_no_other)
{
	const struct bulk bulk = { .len = 4 << 20, .piece = 100000, .seed = 5 };
	struct shmux_stream *st, *other;

	START();
	other = TELL("echo");
	st = TELL("source %llu %u 65536", (unsigned long long)bulk.len, bulk.seed);
	for (uint32_t i = 0; i < 1000; i++)
		ASSERT_TRUE(echoes(other, i, 1000));

	EXPECT_EQ((int64_t)bulk.len, bulk_read(st, &bulk));
	EXPECT_TRUE(ends(st));
	EXPECT_TRUE(ends(other));
}

TEST_F(golang, larger_window_that_it_announces_is_used)
{
	struct shmux_stream *st;
	uint64_t taken;

	START_WITH(NULL, "-window", "4194304", NULL);
	st = TELL("sink 0 1");
	/* It has accepted the stream, and told of the window with that. */
	ASSERT_STREQ("ok", LINE(st));
	SAY(st, "hold a");

	taken = fill(self->go.session, st);
	EXPECT_LE((4u << 20) - 100, taken);
	EXPECT_GE(4u << 20, taken);
	EXPECT_STREQ("ok", ASK("release a"));
	ASSERT_EQ(0, shmux_stream_reset(st, 300));
	shmux_stream_close(st);
}

TEST_F(golang, larger_window_of_ours_is_announced_and_used)
{
	const struct bulk bulk = { .len = 16 << 20, .piece = 100000, .seed = 5 };
	struct shmux_stream *st;

	START_WITH(SESSION_OPTIONS(.window = 4 << 20), NULL);
	st = TELL("source %llu %u 65536", (unsigned long long)bulk.len, bulk.seed);
	EXPECT_TRUE(wait_until(session_pump(self->go.session) >= 0 &&
			       session_counters(self->go.session).rx_queued >= WINDOW));

	EXPECT_EQ((int64_t)bulk.len, bulk_read(st, &bulk));
	EXPECT_TRUE(ends(st));
}

/* --- the session ------------------------------------------------------------ */

TEST_F(golang, our_go_away_ends_its_opening_and_streams_run_on)
{
	struct shmux_stream *st, *none;

	START();
	st = TELL("echo");
	ASSERT_EQ(0, shmux_session_go_away(self->go.session, 300));

	EXPECT_STREQ("remote end is not accepting connections", ASK("openone"));
	EXPECT_EQ(-ESHUTDOWN, shmux_session_open(self->go.session, 0, &none));
	EXPECT_TRUE(echoes(st, 1, 1000));
	EXPECT_TRUE(ends(st));
	EXPECT_STREQ("none", ASK("complaints"));
	EXPECT_TRUE(ends(self->go.control));
	self->go.control = NULL;
	EXPECT_EQ(0, shmux_session_drain(self->go.session, shmux_now() + LONG_ENOUGH));
	self->gone = true;
}

TEST_F(golang, its_go_away_ends_our_opening_and_streams_run_on)
{
	struct shmux_stream *st, *none;
	uint32_t code;

	START();
	st = TELL("echo");
	ASSERT_STREQ("ok", ASK("goaway"));

	EXPECT_EQ(-ESHUTDOWN, shmux_session_open(self->go.session, 0, &none));
	EXPECT_EQ(0, shmux_session_go_away_code(self->go.session, &code));
	EXPECT_TRUE(echoes(st, 1, 1000));
	EXPECT_TRUE(ends(st));
}

TEST_F(golang, stream_that_meets_its_go_away_on_the_way_is_reset)
{
	struct shmux_stream *st;
	int unread = 0;
	char byte;

	START();
	ASSERT_STREQ("1", ASK("streams"));
	/* Held back until it has gone away, of which we have not taken note. */
	shmux_session_cork(self->go.session);
	ASSERT_EQ(0, shmux_session_open(self->go.session, 0, &st));
	ASSERT_EQ(0, kill(self->go.pid, SIGUSR1));
	ASSERT_TRUE(wait_until(!ioctl(self->go.watch, FIONREAD, &unread) && unread == 12));
	shmux_session_uncork(self->go.session);

	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, &byte, 1));
	shmux_stream_close(st);
}

TEST_F(golang, pings_are_answered_either_way)
{
	uint64_t rtt;

	START();
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, shmux_session_ping(self->go.session, shmux_now() + LONG_ENOUGH, &rtt));
		EXPECT_LT(0, rtt);
	}
	EXPECT_STREQ("ok", ASK("ping 100"));
}

TEST_F(golang, its_keep_alive_is_answered_while_we_wait_in_a_call)
{
	/* It asks again once it has been answered; else it gives up. */
	START_WITH(NULL, "-keepalive", "2ms", "-patience", "5s", NULL);

	EXPECT_STREQ("ok", ASK("pings 20"));
	EXPECT_STREQ("ok", ASK("pings 40"));
}

TEST_F(golang, its_keep_alive_is_answered_while_we_are_busy)
{
	struct shmux_stream *st;

	START_WITH(NULL, "-keepalive", "1ms", "-patience", "5s", NULL);
	st = TELL("sink %llu %u", (unsigned long long)large.len, large.seed);
	EXPECT_EQ((int64_t)large.len, bulk_write(st, &large));

	EXPECT_STREQ("ok", LINE(st));
	EXPECT_TRUE(ends(st));
}

/* --- death ------------------------------------------------------------------ */

static int64_t read_one(void *arg)
{
	char byte;

	return shmux_stream_read(arg, &byte, 1);
}

static int64_t accept_one(void *arg)
{
	struct gopeer *g = arg;
	struct shmux_stream *st;

	return shmux_session_accept(g->session, 0, &st);
}

static int64_t write_much(void *arg)
{
	static char buf[2 * WINDOW];

	return shmux_stream_write(arg, buf, sizeof(buf)) < 0;
}

TEST_F(golang, calls_end_at_once_when_it_is_killed)
{
	struct worker reader, writer, acceptor;
	struct shmux_stream *st[2], *none;
	uint64_t killed;

	START();
	st[0] = TELL("hold a");
	st[1] = TELL("hold b");
	worker_start(&reader, read_one, st[0]);
	worker_start(&writer, write_much, st[1]);
	worker_start(&acceptor, accept_one, &self->go);
	ASSERT_TRUE(worker_wait_blocked(&reader));
	ASSERT_TRUE(worker_wait_blocked(&writer));
	ASSERT_TRUE(worker_wait_blocked(&acceptor));

	killed = shmux_now();
	ASSERT_EQ(0, kill(self->go.pid, SIGKILL));
	EXPECT_EQ(-ECONNRESET, worker_join(&reader));
	worker_join(&writer);
	EXPECT_EQ(-ECONNRESET, worker_join(&acceptor));
	EXPECT_GT(effort_bound(100 * MSEC), shmux_now() - killed);
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st[1], "x", 1));
	EXPECT_EQ(-ECONNRESET, shmux_session_open(self->go.session, 0, &none));
	EXPECT_EQ(128 + SIGKILL, gopeer_wait(&self->go));
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
	self->gone = true;
}

TEST_F(golang, what_it_wrote_before_it_quit_can_be_read)
{
	const struct bulk bulk = { .len = WINDOW, .piece = 100000, .seed = 5 };
	struct shmux_stream *st;
	char byte;

	START();
	st = TELL("source %llu %u 65536", (unsigned long long)bulk.len, bulk.seed);
	SAY(st, "quit");

	EXPECT_EQ((int64_t)bulk.len, bulk_read(st, &bulk));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, &byte, 1));
	EXPECT_EQ(0, gopeer_wait(&self->go));
	shmux_stream_close(st);
	self->gone = true;
}

/* In a process of its own, which is killed with a session and a stream in use. */
static void be_killed(struct gopeer *g, enum shmux_role role)
{
	if (gopeer_join(g, role, NULL) || shmux_session_open(g->session, 0, &g->control) ||
	    strcmp(gopeer_ask(g, "streams"), "1"))
		_exit(1);
	raise(SIGKILL);
}

TEST_F(golang, it_has_an_error_when_we_are_killed)
{
	const char *const as_server[] = { "peer", NULL };
	const char *const as_client[] = { "-client", "peer", NULL };
	int status;
	pid_t pid;

	ASSERT_EQ(0, gopeer_spawn(&self->go, variant->pipes,
				  variant->role == SHMUX_ROLE_DIALLER ? as_server : as_client));
	pid = fork();
	if (!pid)
		be_killed(&self->go, variant->role);
	close(self->go.stdio[0]);
	if (variant->pipes)
		close(self->go.stdio[1]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));

	EXPECT_EQ(SIGKILL, WTERMSIG(status));
	EXPECT_EQ(GOPEER_LEFT, gopeer_wait(&self->go));
}

/* --- what is spoken over it ------------------------------------------------- */

/*
 * Debian's yamux does not wake a reader whose deadline has passed, and so net/http
 * ends no connection before the other side does: with HTTP/1.1 it need not.
 */
TEST_F(golang, its_http_server_takes_our_streams_for_connections)
{
	static const char ask[] = "GET /pattern?len=100000 HTTP/1.1\r\nHost: x\r\n\r\n";
	const char *const as_server[] = { "http-server", NULL };
	const char *const as_client[] = { "-client", "http-server", NULL };
	const bool dials = variant->role == SHMUX_ROLE_DIALLER;
	struct bulk body = { .len = 100000, .piece = 30000, .seed = 1 };
	struct shmux_stream *st[100];

	ASSERT_EQ(0, gopeer_spawn(&self->go, variant->pipes, dials ? as_server : as_client));
	ASSERT_EQ(0, gopeer_join(&self->go, variant->role, NULL));
	self->gone = true;
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(0, shmux_session_open(self->go.session, 0, &st[i]));
		ASSERT_LT(0, shmux_stream_write(st[i], ask, sizeof(ask) - 1));
	}

	for (int i = 0; i < 100; i++) {
		EXPECT_STREQ("HTTP/1.1 200 OK\r", LINE(st[i]));
		while (strcmp("\r", LINE(st[i])))
			;
		EXPECT_EQ((int64_t)body.len, bulk_read(st[i], &body));
		shmux_stream_close(st[i]);
	}
}

TEST_HARNESS_MAIN
