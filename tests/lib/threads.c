// SPDX-License-Identifier: LGPL-2.1-or-later
/* threads.c - one session, many threads */
#include <errno.h>

#include "effort.h"
#include "harness.h"
#include "linux/shmux_ring.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

#define NR_THREADS 8

FIXTURE(threads)
{
	struct pair pair;
	struct far *far;
	struct shmux_session *session;
};

PAIR_VARIANTS(threads);

FIXTURE_SETUP(threads)
{
	ASSERT_EQ(0, pair_open(&self->pair, variant->kind, NULL, NULL));
	self->far = &self->pair.far;
	self->session = self->pair.session;
}

FIXTURE_TEARDOWN(threads)
{
	PAIR_TEARDOWN(&self->pair);
}

static int64_t echo_and_close(void *arg)
{
	struct side side = { .stream = arg };
	int64_t ret = side_echo(&side);

	shmux_stream_close(side.stream);
	return ret;
}

struct served {
	struct worker worker;
	struct served *next;
};

/*
 * Accept until the go-away, and echo each stream in a thread of its own.
 * Return: how many there were, or SIDE_FAILED if one went wrong.
 */
static int64_t side_serve(struct side *side)
{
	struct served *all = NULL, *one;
	struct shmux_stream *st;
	int64_t nr = 0, ret = 0;

	while (!shmux_session_accept(side->session, 0, &st)) {
		one = malloc(sizeof(*one));
		one->next = all;
		all = one;
		worker_start(&one->worker, echo_and_close, st);
		nr++;
	}
	while ((one = all)) {
		if (worker_join(&one->worker) < 0)
			ret = SIDE_FAILED;
		all = one->next;
		free(one);
	}
	return ret ? ret : nr;
}

/* One of many clients; each has a session, and perhaps a stream, to itself. */
struct client {
	struct worker worker;
	struct shmux_session *session;
	struct shmux_stream *st;
	uint32_t number;
	uint32_t rounds;
};

static int64_t echo_rounds(struct shmux_stream *st, uint32_t seed, uint32_t rounds)
{
	char out[300], in[300];
	struct iovec iov = { .iov_base = in };
	uint64_t random = seed;

	for (uint32_t i = 0; i < rounds; i++) {
		iov.iov_len = random_between(&random, 1, sizeof(out));
		pattern_fill(out, iov.iov_len, i, seed);
		SIDE_EQ(iov.iov_len, shmux_stream_write(st, out, iov.iov_len));
		SIDE_EQ(iov.iov_len, shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
		SIDE_EQ(-1, pattern_check(in, iov.iov_len, i, seed));
	}
	return rounds;
}

static int64_t client_echoes(void *arg)
{
	struct client *client = arg;

	return echo_rounds(client->st, client->number, client->rounds);
}

static int64_t client_opens_and_closes(void *arg)
{
	struct client *client = arg;
	struct shmux_stream *st;

	for (uint32_t i = 0; i < client->rounds; i++) {
		SIDE_EQ(0, shmux_session_open(client->session, 0, &st));
		SIDE_EQ(3, echo_rounds(st, client->number + i, 3));
		shmux_stream_close(st);
	}
	return client->rounds;
}

static int64_t read_one(void *arg)
{
	char byte = 0;
	ssize_t n = shmux_stream_read(arg, &byte, 1);

	return n == 1 ? byte : n;
}

static int64_t side_write_number(struct side *side)
{
	uint32_t number = *(const uint32_t *)side->in;
	char byte = (char)number;

	/* The latest is not among them. */
	return shmux_stream_write(number < side->nr_streams ? side->streams[number] : side->stream,
				  &byte, 1);
}

static int64_t accept_one(void *arg)
{
	struct shmux_stream *st = NULL;
	int ret = shmux_session_accept(arg, 0, &st);

	shmux_stream_close(st);
	return ret;
}

static int64_t side_open_and_close(struct side *side)
{
	struct shmux_stream *st;

	SIDE_EQ(0, shmux_session_open(side->session, 0, &st));
	shmux_stream_close(st);
	return 0;
}

static int64_t side_go_away(struct side *side)
{
	return shmux_session_go_away(side->session, 7);
}

/* One reads, and takes in what comes for the other, who accepts. */
TEST_F(threads, accept_wakes_for_a_stream_and_for_a_go_away_while_another_thread_reads)
{
	struct worker reader, accepter;
	struct shmux_stream *st;
	uint32_t number = 99;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	worker_start(&reader, read_one, st);
	ASSERT_TRUE(worker_wait_blocked(&reader));

	worker_start(&accepter, accept_one, self->session);
	ASSERT_TRUE(worker_wait_blocked(&accepter));
	ASSERT_EQ(0, far_run(self->far, side_open_and_close));
	EXPECT_EQ(0, worker_join(&accepter));

	worker_start(&accepter, accept_one, self->session);
	ASSERT_TRUE(worker_wait_blocked(&accepter));
	ASSERT_EQ(0, far_run(self->far, side_go_away));
	EXPECT_EQ(-ESHUTDOWN, worker_join(&accepter));

	ASSERT_EQ(1, far_call(self->far, side_write_number, &number, sizeof(number), NULL, 0));
	EXPECT_EQ(99, worker_join(&reader));
	shmux_stream_close(st);
}

TEST_F(threads, two_blocked_on_two_streams_each_get_their_own)
{
	struct shmux_stream *st[2];
	struct worker readers[2];

	for (uint32_t i = 0; i < 2; i++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st[i]));
	}
	for (uint32_t round = 0; round < effort_count(200); round++) {
		for (uint32_t i = 0; i < 2; i++)
			worker_start(&readers[i], read_one, st[i]);
		/* Whoever of them pumps for both: the first, then the second. */
		for (uint32_t i = 0; i < 2; i++) {
			uint32_t number = (round + i) % 2;

			ASSERT_EQ(1, far_call(self->far, side_write_number, &number,
					      sizeof(number), NULL, 0));
			ASSERT_EQ(number, worker_join(&readers[number]));
		}
	}
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
}

TEST_F(threads, any_order_of_wake_ups_reaches_the_right_one)
{
	struct shmux_stream *st[NR_THREADS];
	struct worker readers[NR_THREADS];
	uint64_t random = 3;

	for (uint32_t i = 0; i < NR_THREADS; i++) {
		ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st[i]));
		worker_start(&readers[i], read_one, st[i]);
	}
	for (uint32_t round = 0; round < effort_count(500); round++) {
		uint32_t number = random_between(&random, 0, NR_THREADS - 1);

		/* Now and then they are all asleep. */
		if (round % 50 == 0) {
			for (uint32_t i = 0; i < NR_THREADS; i++) {
				ASSERT_TRUE(worker_wait_blocked(&readers[i]));
			}
		}
		ASSERT_EQ(1, far_call(self->far, side_write_number, &number, sizeof(number), NULL,
				      0));
		ASSERT_EQ(number, worker_join(&readers[number]));
		worker_start(&readers[number], read_one, st[number]);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		ASSERT_TRUE(worker_wait_blocked(&readers[i]));
		shmux_stream_unblock(st[i], SHMUX_READ);
		EXPECT_EQ(-ECANCELED, worker_join(&readers[i]));
		shmux_stream_close(st[i]);
	}
}

TEST_F(threads, each_with_a_stream_echoes_at_once)
{
	struct client clients[NR_THREADS];

	far_begin(self->far, side_serve, NULL, 0, 0);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		clients[i] = (struct client){ .number = i + 1, .rounds = effort_count(1000) };
		ASSERT_EQ(0, shmux_session_open(self->session, 0, &clients[i].st));
		worker_start(&clients[i].worker, client_echoes, &clients[i]);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		EXPECT_EQ(effort_count(1000), worker_join(&clients[i].worker));
		shmux_stream_close(clients[i].st);
	}
	ASSERT_EQ(0, shmux_session_go_away(self->session, 0));
	EXPECT_EQ(NR_THREADS, far_finish(self->far, NULL));
}

TEST_F(threads, each_opens_and_closes_streams_at_once)
{
	struct client clients[NR_THREADS];
	uint32_t rounds = effort_count(100);

	far_begin(self->far, side_serve, NULL, 0, 0);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		clients[i] = (struct client){ .number = i, .rounds = rounds };
		clients[i].session = self->session;
		worker_start(&clients[i].worker, client_opens_and_closes, &clients[i]);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		EXPECT_EQ(rounds, worker_join(&clients[i].worker));
	}
	ASSERT_EQ(0, shmux_session_go_away(self->session, 0));
	EXPECT_EQ(rounds * NR_THREADS, far_finish(self->far, NULL));
	EXPECT_EQ(0, shmux_session_drain(self->session, shmux_now() + LONG_ENOUGH));
}

TEST_F(threads, writer_and_reader_share_a_stream)
{
	struct bulk_job job = { .bulk = { .len = 4 << 20, .piece = 10000, .seed = 1,
					  .flags = SHMUX_FIN } };
	struct worker writer;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &job.st));
	far_begin(self->far, side_echo, NULL, 0, 0);
	worker_start(&writer, bulk_write_job, &job);

	EXPECT_EQ(4 << 20, bulk_read(job.st, &job.bulk));
	EXPECT_EQ(4 << 20, worker_join(&writer));
	EXPECT_EQ(4 << 20, far_finish(self->far, NULL));
	shmux_stream_close(job.st);
}

/* Records of a number and its repetition, written to one stream by many. */
enum { NR_RECORDS = 500, RECORD = 200 };

static int64_t write_records(void *arg)
{
	struct client *client = arg;
	char record[RECORD];

	memset(record, (int)client->number, sizeof(record));
	for (int i = 0; i < NR_RECORDS; i++)
		SIDE_EQ(RECORD, shmux_stream_write(client->st, record, sizeof(record)));
	return NR_RECORDS;
}

static int64_t side_read_records(struct side *side)
{
	uint32_t seen[NR_THREADS] = { 0 };
	char record[RECORD];
	int64_t nr = 0;
	ssize_t n;

	while ((n = shmux_stream_read(side->stream, record, sizeof(record))) == RECORD) {
		for (size_t i = 1; i < sizeof(record); i++)
			SIDE_EQ(record[0], record[i]);
		seen[(unsigned char)record[0] % NR_THREADS]++;
		nr++;
	}
	SIDE_EQ(-ENODATA, n);
	for (uint32_t i = 0; i < NR_THREADS; i++)
		SIDE_EQ(NR_RECORDS, seen[i]);
	return nr;
}

TEST_F(threads, messages_of_many_writers_stay_whole)
{
	struct client clients[NR_THREADS];
	struct shmux_stream *st;

	NOT_OVER_YAMUX("carries no messages");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &st));
	far_begin(self->far, side_read_records, NULL, 0, 0);
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		clients[i] = (struct client){ .st = st, .number = i };
		worker_start(&clients[i].worker, write_records, &clients[i]);
	}
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		EXPECT_EQ(NR_RECORDS, worker_join(&clients[i].worker));
	}
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
	EXPECT_EQ(NR_THREADS * NR_RECORDS, far_finish(self->far, NULL));
	shmux_stream_close(st);
}

static int64_t read_messages(void *arg)
{
	char record[RECORD];
	int64_t nr = 0;
	ssize_t n;

	while ((n = shmux_stream_read(arg, record, sizeof(record))) == 4)
		nr++;
	SIDE_EQ(-ENODATA, n);
	return nr;
}

static int64_t side_write_numbers(struct side *side)
{
	for (uint32_t i = 0; i < effort_count(5000); i++)
		SIDE_EQ(4, shmux_stream_write(side->stream, &i, 4));
	return shmux_stream_shutdown(side->stream, SHMUX_WRITE);
}

TEST_F(threads, messages_are_shared_out_to_many_readers)
{
	struct worker readers[NR_THREADS];
	struct shmux_stream *st;
	int64_t nr = 0;

	NOT_OVER_YAMUX("carries no messages");
	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_MESSAGES, &st));
	for (int i = 0; i < NR_THREADS; i++)
		worker_start(&readers[i], read_messages, st);
	far_begin(self->far, side_write_numbers, NULL, 0, 0);
	for (int i = 0; i < NR_THREADS; i++)
		nr += worker_join(&readers[i]);
	EXPECT_EQ(0, far_finish(self->far, NULL));
	EXPECT_EQ(effort_count(5000), nr);
	shmux_stream_close(st);
}

static int64_t accept_until_go_away(void *arg)
{
	struct shmux_stream *st;
	int64_t nr = 0;

	while (!shmux_session_accept(arg, 0, &st)) {
		shmux_stream_close(st);
		nr++;
	}
	return nr;
}

static int64_t side_open_many(struct side *side)
{
	struct shmux_stream *st;

	for (uint32_t i = 0; i < effort_count(500); i++) {
		SIDE_EQ(0, shmux_session_open(side->session, 0, &st));
		shmux_stream_close(st);
	}
	SIDE_EQ(0, shmux_session_go_away(side->session, 0));
	/* Over a wire, some of that may have had no room yet. */
	return shmux_session_drain(side->session, shmux_now() + LONG_ENOUGH);
}

TEST_F(threads, streams_are_shared_out_to_many_acceptors)
{
	struct worker acceptors[NR_THREADS];
	int64_t nr = 0;

	for (int i = 0; i < NR_THREADS; i++)
		worker_start(&acceptors[i], accept_until_go_away, self->session);
	EXPECT_EQ(0, far_call(self->far, side_open_many, NULL, 0, NULL, 0));
	for (int i = 0; i < NR_THREADS; i++) {
		/* What found no room goes out while it is in a call. */
		while (!worker_is_done(&acceptors[i]))
			ASSERT_LE(0, far_pump(self->far));
		nr += worker_join(&acceptors[i]);
	}
	EXPECT_EQ(effort_count(500), nr);
}

static int64_t unblock_for_a_while(void *arg)
{
	uint64_t end = shmux_now() + 300 * MSEC;

	while (shmux_now() < end) {
		shmux_stream_unblock(arg, SHMUX_READ | SHMUX_WRITE);
		shmux_stream_set_deadline(arg, SHMUX_READ, shmux_now() + SEC);
	}
	return 0;
}

TEST_F(threads, cancelling_all_the_time_loses_no_byte)
{
	struct shmux_stream *st;
	struct worker canceller;
	struct bulk bulk = { .len = 1 << 20, .piece = 100, .seed = 1 };
	uint64_t got = 0;
	char buf[1000];
	ssize_t n;

	ASSERT_EQ(0, pair_open_stream(&self->pair, SHMUX_STREAM_BYTES, &st));
	far_begin(self->far, side_bulk_write, &bulk, sizeof(bulk), 0);
	worker_start(&canceller, unblock_for_a_while, st);
	while (got < bulk.len) {
		n = shmux_stream_read(st, buf, sizeof(buf));
		if (n == -ECANCELED || n == -ETIMEDOUT)
			continue;
		ASSERT_LT(0, n);
		ASSERT_EQ(-1, pattern_check(buf, (size_t)n, got, 1));
		got += (uint64_t)n;
	}
	EXPECT_EQ(1 << 20, far_finish(self->far, NULL));
	worker_join(&canceller);
	shmux_stream_close(st);
}

TEST_F(threads, pings_of_many_are_all_answered)
{
	struct client clients[NR_THREADS];

	far_begin(self->far, side_serve, NULL, 0, 0);
	for (uint32_t i = 0; i < NR_THREADS / 2; i++) {
		clients[i] = (struct client){ .session = self->session, .number = i, .rounds = 50 };
		worker_start(&clients[i].worker, client_opens_and_closes, &clients[i]);
	}
	for (uint32_t i = 0; i < effort_count(200); i++) {
		ASSERT_EQ(0, shmux_session_ping(self->session, shmux_now() + LONG_ENOUGH, NULL));
	}
	for (uint32_t i = 0; i < NR_THREADS / 2; i++) {
		EXPECT_EQ(50, worker_join(&clients[i].worker));
	}
	ASSERT_EQ(0, shmux_session_go_away(self->session, 0));
	EXPECT_EQ(50 * NR_THREADS / 2, far_finish(self->far, NULL));
}

TEST_HARNESS_MAIN
