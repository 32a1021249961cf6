// SPDX-License-Identifier: LGPL-2.1-or-later
/* context.c - dialling: sessions that are shared, and whose listener is accepted */
#include <errno.h>
#include <grp.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "harness.h"
#include "linux/shmux_ring.h"
#include "far.h"
#include "pair.h"
#include "process.h"

#define SOON (20 * MSEC)
#define NOBODY 65534

/* A child that echoes whatever streams come, and a context of ours. */
FIXTURE(context)
{
	int nr_fds;
	char name[NAME_SIZE];
	struct far server;
	struct shmux_context *context;
};

struct service {
	char name[NAME_SIZE];
	uid_t uid;		/* become this user first, if not 0 */
};

static void *echo(void *arg)
{
	struct shmux_stream *st = arg;
	char buf[1024];
	ssize_t n;

	/* Until the end, or the client's. */
	while ((n = shmux_stream_read(st, buf, sizeof(buf))) > 0)
		shmux_stream_write(st, buf, (size_t)n);
	shmux_stream_close(st);
	return NULL;
}

/* Return only on an error. */
static int64_t side_serve(struct side *side)
{
	struct shmux_stream *st;
	pthread_attr_t attr;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	while (!(ret = shmux_listener_accept(side->listener, 0, &st)))
		SIDE_EQ(0, pthread_create(&thread, &attr, echo, st));
	return ret;
}

static int64_t side_listen(struct side *side)
{
	const struct service *service = side->in;
	struct shmux_listener_options options = { .size = sizeof(options), .mode = 0666 };

	if (service->uid)
		SIDE_TRUE(!setgroups(0, NULL) &&
			  !setresgid(service->uid, service->uid, service->uid) &&
			  !setresuid(service->uid, service->uid, service->uid));
	return shmux_listener_open(service->name, &options, &side->listener);
}

static void serve_as(struct __test_metadata *_metadata, struct far *server, const char *name,
		     uid_t uid)
{
	struct service service = { .uid = uid };

	snprintf(service.name, sizeof(service.name), "%s", name);
	ASSERT_EQ(0, far_start(server, FAR_CHILD));
	ASSERT_EQ(0, far_call(server, side_listen, &service, sizeof(service), NULL, 0));
	far_begin(server, side_serve, NULL, 0, 0);
}

FIXTURE_SETUP(context)
{
	self->nr_fds = process_nr_fds();
	name_make(self->name);
	serve_as(_metadata, &self->server, self->name, 0);
	ASSERT_EQ(0, shmux_context_open(NULL, &self->context));
}

FIXTURE_TEARDOWN(context)
{
	shmux_context_close(self->context);
	far_kill(&self->server);
	if (!_metadata->aborted) {
		EXPECT_EQ(self->nr_fds, process_nr_fds());
		EXPECT_FALSE(process_leaks());
	}
}

static int dial(struct shmux_context *context, const char *address, uint32_t flags,
		struct shmux_stream **st)
{
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.flags = flags,
		.deadline = shmux_now() + LONG_ENOUGH,
	};

	return shmux_context_dial(context, address, &options, st);
}

/* What is written comes back. */
static void check_echoes(struct __test_metadata *_metadata, struct shmux_stream *st)
{
	char buf[8] = "";

	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));
	EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
}

TEST_F(context, dial_makes_a_stream)
{
	struct shmux_stream *st;

	EXPECT_EQ(0, shmux_context_nr_sessions(self->context));
	ASSERT_EQ(0, shmux_context_dial(self->context, self->name, NULL, &st));

	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
	EXPECT_EQ(0, shmux_stream_is_message(st));
	check_echoes(_metadata, st);
	shmux_stream_close(st);
}

TEST_F(context, dials_to_one_address_share_a_session)
{
	struct shmux_stream *st[10];

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, dial(self->context, self->name, 0, &st[i]));
		EXPECT_EQ(shmux_stream_session(st[0]), shmux_stream_session(st[i]));
	}
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
	for (int i = 0; i < 10; i++) {
		check_echoes(_metadata, st[i]);
		shmux_stream_close(st[i]);
	}
}

TEST_F(context, session_stays_when_its_last_stream_has_been_closed)
{
	struct shmux_session *session;
	struct shmux_stream *st;

	ASSERT_EQ(0, dial(self->context, self->name, 0, &st));
	session = shmux_stream_session(st);
	shmux_stream_close(st);
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));

	ASSERT_EQ(0, dial(self->context, self->name, 0, &st));
	EXPECT_EQ(session, shmux_stream_session(st));
	shmux_stream_close(st);
}

TEST_F(context, contexts_do_not_share)
{
	struct shmux_context *other;
	struct shmux_stream *st[2];

	ASSERT_EQ(0, shmux_context_open(NULL, &other));
	ASSERT_EQ(0, dial(self->context, self->name, 0, &st[0]));
	ASSERT_EQ(0, dial(other, self->name, 0, &st[1]));

	EXPECT_NE(shmux_stream_session(st[0]), shmux_stream_session(st[1]));
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
	EXPECT_EQ(1, shmux_context_nr_sessions(other));
	check_echoes(_metadata, st[0]);
	check_echoes(_metadata, st[1]);
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
	shmux_context_close(other);
}

TEST_F(context, other_address_is_another_session)
{
	struct shmux_stream *st[2];
	struct far second;
	char name[NAME_SIZE];

	name_make(name);
	serve_as(_metadata, &second, name, 0);
	ASSERT_EQ(0, dial(self->context, self->name, 0, &st[0]));
	ASSERT_EQ(0, dial(self->context, name, 0, &st[1]));

	EXPECT_EQ(2, shmux_context_nr_sessions(self->context));
	check_echoes(_metadata, st[0]);
	check_echoes(_metadata, st[1]);
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
	far_kill(&second);
}

TEST_F(context, dial_after_the_sessions_death_makes_a_new_one)
{
	struct shmux_stream *old, *st;
	char buf[8];

	ASSERT_EQ(0, dial(self->context, self->name, 0, &old));
	check_echoes(_metadata, old);
	far_kill(&self->server);
	EXPECT_EQ(-ECONNREFUSED, dial(self->context, self->name, 0, &st));
	serve_as(_metadata, &self->server, self->name, 0);

	ASSERT_EQ(0, dial(self->context, self->name, 0, &st));
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
	check_echoes(_metadata, st);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(old, buf, sizeof(buf)));
	shmux_stream_close(old);
	shmux_stream_close(st);
}

TEST_F(context, dead_session_is_counted_no_more)
{
	struct shmux_stream *st;
	char buf[8];

	ASSERT_EQ(0, dial(self->context, self->name, 0, &st));
	far_kill(&self->server);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);

	EXPECT_EQ(0, shmux_context_nr_sessions(self->context));
}

TEST_F(context, nobody_listening_is_econnrefused_at_a_name_and_enoent_at_a_path)
{
	struct shmux_stream *st;

	EXPECT_EQ(-ECONNREFUSED, dial(self->context, "shmux-test-nobody-there", 0, &st));
	EXPECT_EQ(-ENOENT, dial(self->context, "memfd:/tmp/shmux-test-nobody-there", 0, &st));
	EXPECT_EQ(0, shmux_context_nr_sessions(self->context));
}

struct waiting_dial {
	struct shmux_context *context;
	const char *name;
	struct shmux_stream *st;
};

static int64_t dial_and_wait(void *arg)
{
	struct waiting_dial *job = arg;

	return dial(job->context, job->name, SHMUX_DIAL_WAIT, &job->st);
}

TEST_F(context, dial_may_wait_for_the_listener_to_appear)
{
	struct waiting_dial job = { .context = self->context, .name = self->name };
	struct worker dialler;

	far_kill(&self->server);
	worker_start(&dialler, dial_and_wait, &job);
	ASSERT_TRUE(worker_wait_blocked(&dialler));
	serve_as(_metadata, &self->server, self->name, 0);

	ASSERT_EQ(0, worker_join(&dialler));
	check_echoes(_metadata, job.st);
	shmux_stream_close(job.st);
}

TEST_F(context, dial_may_wait_for_a_path_to_appear)
{
	char directory[NAME_SIZE], address[NAME_SIZE];
	struct waiting_dial job = { .context = self->context, .name = address };
	struct worker dialler;
	struct far second;

	ASSERT_EQ(0, directory_make(directory));
	snprintf(address, sizeof(address), "memfd:%.40s/s", directory);
	worker_start(&dialler, dial_and_wait, &job);
	ASSERT_TRUE(worker_wait_blocked(&dialler));
	serve_as(_metadata, &second, address, 0);

	ASSERT_EQ(0, worker_join(&dialler));
	check_echoes(_metadata, job.st);
	shmux_stream_close(job.st);
	far_kill(&second);
	directory_remove(directory);
}

TEST_F(context, waiting_dial_gives_up_at_the_deadline)
{
	struct shmux_dial_options options = { .size = sizeof(options), .flags = SHMUX_DIAL_WAIT };
	struct shmux_stream *st;

	options.deadline = shmux_now() + SOON;
	EXPECT_EQ(-ETIMEDOUT, shmux_context_dial(self->context, "shmux-test-nobody-there", &options,
						 &st));
	EXPECT_LE(options.deadline, shmux_now());
}

TEST_F(context, unblock_cancels_a_waiting_dial)
{
	struct waiting_dial job = { .context = self->context, .name = "shmux-test-nobody-there" };
	struct worker dialler;

	worker_start(&dialler, dial_and_wait, &job);
	ASSERT_TRUE(worker_wait_blocked(&dialler));
	shmux_context_unblock(self->context);

	EXPECT_EQ(-ECANCELED, worker_join(&dialler));
}

/* Be cancelled, then dial again. Return: what the second time brought. */
static int64_t dial_twice(void *arg)
{
	struct waiting_dial *job = arg;
	struct shmux_dial_options options = { .size = sizeof(options), .flags = SHMUX_DIAL_WAIT };

	if (dial_and_wait(arg) != -ECANCELED)
		return 0;
	options.deadline = shmux_now() + 200 * MSEC;
	return shmux_context_dial(job->context, job->name, &options, &job->st);
}

TEST_F(context, unblock_touches_no_later_dial)
{
	struct waiting_dial job = { .context = self->context, .name = "shmux-test-nobody-there" };
	struct worker diallers[4];

	/* Some are back before others have noticed. */
	for (size_t i = 0; i < ARRAY_SIZE(diallers); i++)
		worker_start(&diallers[i], dial_twice, &job);
	for (size_t i = 0; i < ARRAY_SIZE(diallers); i++) {
		ASSERT_TRUE(worker_wait_blocked(&diallers[i]));
	}
	shmux_context_unblock(self->context);

	for (size_t i = 0; i < ARRAY_SIZE(diallers); i++) {
		EXPECT_EQ(-ETIMEDOUT, worker_join(&diallers[i]));
	}
}

/* More dials than the ring has room for, to a server that takes note of none. */
struct many_dials {
	struct shmux_context *context;
	const char *name;
	uint64_t timeout;	/* of each, ns */
};

static int64_t dial_until_full(void *arg)
{
	struct many_dials *job = arg;
	struct shmux_dial_options options = { .size = sizeof(options) };
	struct shmux_stream *st;
	int ret;

	do {
		options.deadline = shmux_now() + job->timeout;
		ret = shmux_context_dial(job->context, job->name, &options, &st);
		if (!ret)
			shmux_stream_close(st);
	} while (!ret);
	return ret;
}

/* A context with a session in it whose ring is small and whose peer is stopped. */
static void stop_server(struct __test_metadata *_metadata, struct far *server, const char *name,
			struct shmux_context **context)
{
	struct shmux_context_options options = {
		.size = sizeof(options),
		.session = SESSION_OPTIONS(.ring_slots = 64),
	};
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_context_open(&options, context));
	ASSERT_EQ(0, dial(*context, name, 0, &st));
	check_echoes(_metadata, st);
	shmux_stream_close(st);
	ASSERT_EQ(0, kill(server->pid, SIGSTOP));
}

TEST_F(context, dial_into_a_full_ring_gives_up_at_the_deadline)
{
	struct many_dials job = { .name = self->name, .timeout = 200 * MSEC };
	struct worker dialler;

	stop_server(_metadata, &self->server, self->name, &job.context);
	worker_start(&dialler, dial_until_full, &job);
	EXPECT_TRUE(wait_until(worker_is_done(&dialler)));
	ASSERT_EQ(0, kill(self->server.pid, SIGCONT));

	EXPECT_EQ(-ETIMEDOUT, worker_join(&dialler));
	shmux_context_close(job.context);
}

TEST_F(context, dial_into_a_full_ring_is_cancelled_by_unblock)
{
	struct many_dials job = { .name = self->name, .timeout = 1000 * SEC };
	struct worker dialler;

	stop_server(_metadata, &self->server, self->name, &job.context);
	worker_start(&dialler, dial_until_full, &job);
	ASSERT_TRUE(worker_wait_blocked(&dialler));
	shmux_context_unblock(job.context);

	EXPECT_EQ(-ECANCELED, worker_join(&dialler));
	ASSERT_EQ(0, kill(self->server.pid, SIGCONT));
	shmux_context_close(job.context);
}

TEST_F(context, dial_into_a_full_ring_holds_up_no_other_dial)
{
	struct many_dials job = { .name = self->name, .timeout = 1000 * SEC };
	struct worker dialler;
	struct shmux_stream *st;
	struct far second;
	char name[NAME_SIZE];

	name_make(name);
	serve_as(_metadata, &second, name, 0);
	stop_server(_metadata, &self->server, self->name, &job.context);
	worker_start(&dialler, dial_until_full, &job);
	ASSERT_TRUE(worker_wait_blocked(&dialler));

	ASSERT_EQ(0, dial(job.context, name, 0, &st));
	check_echoes(_metadata, st);
	shmux_stream_close(st);
	far_kill(&self->server);
	EXPECT_GT(0, worker_join(&dialler));
	shmux_context_close(job.context);
	far_kill(&second);
}

TEST_F(context, dial_may_ask_for_messages)
{
	struct shmux_stream *st;
	char buf[8];

	ASSERT_EQ(0, dial(self->context, self->name, SHMUX_DIAL_MESSAGES, &st));
	EXPECT_EQ(1, shmux_stream_is_message(st));

	ASSERT_EQ(3, shmux_stream_write(st, "one", 3));
	ASSERT_EQ(5, shmux_stream_write(st, "three", 5));
	EXPECT_EQ(3, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
}

TEST_F(context, dial_accepts_the_user_that_was_named)
{
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.flags = SHMUX_DIAL_UID,
		.deadline = shmux_now() + LONG_ENOUGH,
		.uid = geteuid(),
	};
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_context_dial(self->context, self->name, &options, &st));
	check_echoes(_metadata, st);
	shmux_stream_close(st);
}

TEST_F(context, dial_refuses_another_user_than_the_named)
{
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.flags = SHMUX_DIAL_UID,
		.deadline = shmux_now() + LONG_ENOUGH,
		.uid = geteuid() + 1,
	};
	struct shmux_stream *st;

	EXPECT_EQ(-EACCES, shmux_context_dial(self->context, self->name, &options, &st));
	EXPECT_EQ(0, shmux_context_nr_sessions(self->context));
}

TEST_F(context, session_that_is_shared_is_checked_again_for_each_dial)
{
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.flags = SHMUX_DIAL_UID,
		.deadline = shmux_now() + LONG_ENOUGH,
		.uid = geteuid() + 1,
	};
	struct shmux_stream *st, *refused;

	ASSERT_EQ(0, dial(self->context, self->name, 0, &st));

	EXPECT_EQ(-EACCES, shmux_context_dial(self->context, self->name, &options, &refused));
	check_echoes(_metadata, st);
	shmux_stream_close(st);
}

TEST_F(context, strangers_listener_is_refused_unless_any_will_do)
{
	struct shmux_session *session;
	struct shmux_stream *st;
	struct far stranger;
	char name[NAME_SIZE];

	if (geteuid())
		SKIP(return, "it takes root");
	name_make(name);
	serve_as(_metadata, &stranger, name, NOBODY);

	EXPECT_EQ(-EACCES, dial(self->context, name, 0, &st));
	EXPECT_EQ(-EACCES, shmux_session_dial(name, NULL, shmux_now() + LONG_ENOUGH, &session));
	ASSERT_EQ(0, dial(self->context, name, SHMUX_DIAL_ANY_UID, &st));
	check_echoes(_metadata, st);
	shmux_stream_close(st);
	far_kill(&stranger);
}

struct check {
	int verdict;
	int asked;
	struct shmux_peer peer;
};

static int check_listener(void *arg, const struct shmux_peer *peer)
{
	struct check *check = arg;

	check->asked++;
	check->peer = *peer;
	return check->verdict;
}

TEST_F(context, check_is_asked_who_listens)
{
	struct check check = { .verdict = -EACCES };
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.deadline = shmux_now() + LONG_ENOUGH,
		.check = check_listener,
		.check_arg = &check,
	};
	struct shmux_stream *st;

	EXPECT_EQ(-EACCES, shmux_context_dial(self->context, self->name, &options, &st));
	EXPECT_EQ(1, check.asked);
	EXPECT_EQ(self->server.pid, check.peer.pid);
	EXPECT_EQ(geteuid(), check.peer.uid);

	check.verdict = 0;
	ASSERT_EQ(0, shmux_context_dial(self->context, self->name, &options, &st));
	EXPECT_EQ(2, check.asked);
	check_echoes(_metadata, st);
	shmux_stream_close(st);
}

TEST_F(context, bad_options_are_refused)
{
	struct shmux_session_options session = { .size = sizeof(session), .window = 1 };
	struct shmux_context_options context_options = { .size = 0 };
	struct shmux_dial_options options = { .size = 0 };
	struct shmux_context *context;
	struct shmux_stream *st;

	EXPECT_EQ(-EINVAL, shmux_context_open(&context_options, &context));
	context_options.size = sizeof(context_options);
	context_options.session = &session;
	EXPECT_EQ(-EINVAL, shmux_context_open(&context_options, &context));

	EXPECT_EQ(-EINVAL, shmux_context_dial(self->context, self->name, &options, &st));
	options.size = sizeof(options);
	options.flags = 0x80;
	EXPECT_EQ(-EINVAL, shmux_context_dial(self->context, self->name, &options, &st));
	options.flags = 0;
	options.reserved = 1;
	EXPECT_EQ(-EINVAL, shmux_context_dial(self->context, self->name, &options, &st));
	options.reserved = 0;
	options.flags = SHMUX_DIAL_UID | SHMUX_DIAL_ANY_UID;
	EXPECT_EQ(-EINVAL, shmux_context_dial(self->context, self->name, &options, &st));
}

TEST_F(context, bad_addresses_are_refused)
{
	char name[NAME_SIZE + 200];
	struct shmux_stream *st;

	EXPECT_EQ(-EINVAL, dial(self->context, "", 0, &st));
	EXPECT_EQ(-EINVAL, dial(self->context, "a/b", 0, &st));
	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = 0;
	EXPECT_EQ(-ENAMETOOLONG, dial(self->context, name, 0, &st));
}

TEST_F(context, streams_outlive_it)
{
	struct shmux_stream *st[2];

	ASSERT_EQ(0, dial(self->context, self->name, 0, &st[0]));
	ASSERT_EQ(0, dial(self->context, self->name, 0, &st[1]));
	shmux_context_close(self->context);
	self->context = NULL;

	check_echoes(_metadata, st[0]);
	shmux_stream_close(st[0]);
	check_echoes(_metadata, st[1]);
	shmux_stream_close(st[1]);
}

TEST_F(context, closing_nothing_is_allowed)
{
	shmux_context_close(NULL);
	shmux_listener_close(NULL);
}

static int64_t dial_and_echo(void *arg)
{
	struct waiting_dial *job = arg;
	struct shmux_stream *st;
	int64_t nr = 0;
	char buf[8];

	for (int i = 0; i < 50; i++) {
		if (dial(job->context, job->name, 0, &st))
			break;
		if (shmux_stream_write(st, "hello", 5) == 5 &&
		    shmux_stream_read(st, buf, sizeof(buf)) == 5)
			nr++;
		shmux_stream_close(st);
	}
	return nr;
}

TEST_F(context, threads_that_dial_at_once_share_one_session)
{
	struct waiting_dial job = { .context = self->context, .name = self->name };
	struct worker diallers[8];

	for (size_t i = 0; i < ARRAY_SIZE(diallers); i++)
		worker_start(&diallers[i], dial_and_echo, &job);
	for (size_t i = 0; i < ARRAY_SIZE(diallers); i++) {
		EXPECT_EQ(50, worker_join(&diallers[i]));
	}
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
}

TEST_HARNESS_MAIN
