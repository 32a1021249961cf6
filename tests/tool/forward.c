// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward.c - `shmux forward`, as clients and servers at plain sockets see it
 *
 * Between a client and a server of this process are two forwarders, or one. What
 * the client does at its socket the server sees at its own, as if they were joined.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "effort.h"
#include "forwarder.h"
#include "harness.h"
#include "pattern.h"
#include "process.h"
#include "stray.h"

enum way {
	WAY_PLAIN, /* tcp: to tcp:, one forwarder */
	WAY_TCP, /* tcp: to NAME to tcp: */
	WAY_UNIX, /* unix: to NAME to unix: */
	WAY_YAMUX, /* tcp: to yamux+unix: to tcp: */
	WAY_EXEC, /* tcp: to a child, whose standard input and output go to tcp: */
};

FIXTURE(forward)
{
	char dir[NAME_SIZE], name[NAME_SIZE];
	struct forwarder near, far; /* far: none if one is enough */
	int listener; /* the server's */
	char target[128];
};

FIXTURE_VARIANT(forward)
{
	enum way way;
};

FIXTURE_VARIANT_ADD(forward, plain){
	.way = WAY_PLAIN,
};

FIXTURE_VARIANT_ADD(forward, tcp){
	.way = WAY_TCP,
};

FIXTURE_VARIANT_ADD(forward, unix){
	.way = WAY_UNIX,
};

FIXTURE_VARIANT_ADD(forward, yamux){
	.way = WAY_YAMUX,
};

FIXTURE_VARIANT_ADD(forward, exec){
	.way = WAY_EXEC,
};

/* --- sockets ----------------------------------------------------------------- */

/* A call on one that hangs fails. */
static void set_patience(int fd)
{
	struct timeval patience = { .tv_sec = LONG_ENOUGH / SEC };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
}

static int open_tcp(uint16_t port, struct sockaddr_in *sin)
{
	*sin = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	return socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static int open_unix(const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strncpy(sun->sun_path, path, sizeof(sun->sun_path) - 1);
	return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Listen for what is forwarded to @target, which is filled in if it is empty. */
static int listen_for(char target[128], const char *dir, enum way way)
{
	socklen_t len = sizeof(struct sockaddr_in);
	const int yes = 1;
	struct sockaddr_in sin;
	struct sockaddr_un sun;
	int fd;

	if (way == WAY_UNIX) {
		snprintf(target, 128, "unix:%s/server", dir);
		fd = open_unix(target + 5, &sun);
		unlink(target + 5);
		if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) || listen(fd, 4096))
			return -1;
	} else {
		fd = open_tcp(*target ? (uint16_t)atoi(strrchr(target, ':') + 1) : 0, &sin);
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
		if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 4096) ||
		    getsockname(fd, (struct sockaddr *)&sin, &len))
			return -1;
		snprintf(target, 128, "tcp:127.0.0.1:%u", ntohs(sin.sin_port));
	}
	set_patience(fd);
	return fd;
}

/* A client of the forwarder that listens at @address, "tcp:..." or "unix:...". */
static int connect_to(const char *address)
{
	struct sockaddr_in sin;
	struct sockaddr_un sun;
	int fd, err;

	if (*address == 'u') {
		fd = open_unix(address + 5, &sun);
		err = connect(fd, (struct sockaddr *)&sun, sizeof(sun));
	} else {
		fd = open_tcp((uint16_t)atoi(strrchr(address, ':') + 1), &sin);
		err = connect(fd, (struct sockaddr *)&sin, sizeof(sin));
	}
	if (err) {
		close(fd);
		return -errno;
	}
	set_patience(fd);
	return fd;
}

/* Close it as the kernel does when a process dies with something unread. */
static void reset(int fd)
{
	const struct linger at_once = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

/* --- both sides -------------------------------------------------------------- */

/* A connection, at both its ends. */
struct joined {
	int client, server;
};

static bool join(const FIXTURE_DATA(forward) * self, struct joined *j)
{
	j->server = -1;
	j->client = connect_to(self->near.address);
	if (j->client >= 0)
		j->server = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
	if (j->server >= 0)
		set_patience(j->server);
	return j->server >= 0;
}

static void part(struct joined *j)
{
	close(j->client);
	close(j->server);
}

static bool pass(int from, int to, const char *word)
{
	char buf[64] = "";
	ssize_t len = (ssize_t)strlen(word);

	return send(from, word, (size_t)len, MSG_NOSIGNAL) == len &&
	       recv(to, buf, (size_t)len, MSG_WAITALL) == len && !strcmp(buf, word);
}

/* Whether each side hears the other. */
static bool talk(const struct joined *j)
{
	return pass(j->client, j->server, "ping") && pass(j->server, j->client, "pong");
}

/* What a read says: 0 is the end; a negative errno. */
static ssize_t hear(int fd)
{
	char buf[64];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	return n < 0 ? -errno : n;
}

/* A process that copies from one descriptor to the other; or sends, or checks. */
struct flow {
	int fd;
	uint32_t seed;
	uint64_t sent, received, len; /* @len: each way */
	bool is_bad;
};

/* Send and check what is to be had now. Return: whether there is more to do. */
static bool flow_some(struct flow *f)
{
	static char buf[100000];
	size_t n;
	ssize_t done;

	if (f->sent < f->len) {
		n = f->len - f->sent < sizeof(buf) ? f->len - f->sent : sizeof(buf);
		pattern_fill(buf, n, f->sent, f->seed);
		done = send(f->fd, buf, n, MSG_DONTWAIT | MSG_NOSIGNAL);
		f->sent += done > 0 ? (uint64_t)done : 0;
		f->is_bad |= done < 0 && errno != EAGAIN;
		if (f->sent == f->len)
			shutdown(f->fd, SHUT_WR);
	}
	done = recv(f->fd, buf, sizeof(buf), MSG_DONTWAIT);
	if (done > 0) {
		f->is_bad |= pattern_check(buf, (size_t)done, f->received, f->seed) >= 0;
		f->received += (uint64_t)done;
	}
	f->is_bad |= done < 0 && errno != EAGAIN;
	return !f->is_bad && (f->sent < f->len || done);
}

/* --- the fixture --------------------------------------------------------------- */

static int start(FIXTURE_DATA(forward) * self, enum way way, const char *option,
		 unsigned int nr_files)
{
	char listen[128], middle[600], tool[256];

	snprintf(listen, sizeof(listen), way == WAY_UNIX ? "unix:%s/client" : "tcp:127.0.0.1:0",
		 self->dir);
	if (way == WAY_PLAIN)
		return forwarder_start(&self->near, listen, self->target, option, nr_files);
	if (way == WAY_EXEC) {
		if (forwarder_tool(tool))
			return -1;
		snprintf(middle, sizeof(middle), "exec:'%s' forward --quiet stdio: %s", tool,
			 self->target);
		return forwarder_start(&self->near, listen, middle, option, nr_files);
	}
	snprintf(middle, sizeof(middle), way == WAY_YAMUX ? "yamux+unix:%s/middle" : "%s",
		 way == WAY_YAMUX ? self->dir : self->name);
	return forwarder_start(&self->far, middle, self->target, option, nr_files) ||
	       forwarder_start(&self->near, listen, middle, option, nr_files);
}

FIXTURE_SETUP(forward)
{
	signal(SIGPIPE, SIG_IGN);
	name_make(self->name);
	ASSERT_EQ(0, directory_make(self->dir));
	self->listener = listen_for(self->target, self->dir, variant->way);
	ASSERT_LE(0, self->listener);
	ASSERT_EQ(0, start(self, variant->way, NULL, 0));
}

static void stop(FIXTURE_DATA(forward) * self)
{
	if (self->near.pid)
		forwarder_end(&self->near, SIGKILL);
	if (self->far.pid)
		forwarder_end(&self->far, SIGKILL);
}

/* Another pair of them, with other options. */
static int restart(FIXTURE_DATA(forward) * self, enum way way, const char *option,
		   unsigned int nr_files)
{
	stop(self);
	return start(self, way, option, nr_files);
}

FIXTURE_TEARDOWN(forward)
{
	stop(self);
	close(self->listener);
	directory_remove(self->dir);
}

/* --- bytes -------------------------------------------------------------------- */

TEST_F(forward, bytes_arrive_as_they_were_sent_both_ways_at_once)
{
	struct flow client = { .seed = 1, .len = 20000003 },
		    server = { .seed = 1, .len = 20000003 };
	struct joined j;
	bool goes_on = true;

	ASSERT_TRUE(join(self, &j));
	client.fd = j.client;
	server.fd = j.server;

	while (goes_on) {
		struct pollfd p[] = { { .fd = j.client, .events = POLLIN },
				      { .fd = j.server, .events = POLLIN } };

		poll(p, 2, 1);
		goes_on = flow_some(&client);
		goes_on |= flow_some(&server);
	}

	EXPECT_FALSE(client.is_bad || server.is_bad);
	EXPECT_EQ(server.len, client.received);
	EXPECT_EQ(client.len, server.received);
	part(&j);
}

TEST_F(forward, small_words_go_to_and_fro)
{
	struct joined j;

	ASSERT_TRUE(join(self, &j));
	for (uint32_t i = effort_count(2000); i--;)
		ASSERT_TRUE(talk(&j));
	part(&j);
}

/* One that lingers would hold up every connection when it is dropped. */
TEST_F(forward, unix_sockets_take_no_descriptors)
{
	struct joined j;

	if (variant->way != WAY_UNIX)
		SKIP(return, "TCP carries none");
	if (!stray_can_be_forbidden())
		SKIP(return, "this kernel cannot refuse them (Linux 6.16 can)");
	ASSERT_TRUE(join(self, &j));
	EXPECT_EQ(-EPERM, stray_send(j.client, "x", 1, j.client, 0));
	EXPECT_EQ(-EPERM, stray_send(j.server, "x", 1, j.server, 0));
	EXPECT_TRUE(talk(&j));
	part(&j);
}

TEST_F(forward, client_that_sends_and_closes_is_heard_to_its_end)
{
	static char sent[300000], got[sizeof(sent)];
	struct joined j;

	pattern_fill(sent, sizeof(sent), 0, 7);
	ASSERT_TRUE(join(self, &j));
	ASSERT_EQ(sizeof(sent), (size_t)send(j.client, sent, sizeof(sent), MSG_NOSIGNAL));
	close(j.client);

	EXPECT_EQ(sizeof(got), (size_t)recv(j.server, got, sizeof(got), MSG_WAITALL));
	EXPECT_EQ(-1, pattern_check(got, sizeof(got), 0, 7));
	EXPECT_EQ(0, hear(j.server));
	close(j.server);
}

TEST_F(forward, half_close_goes_through_and_the_other_direction_runs_on)
{
	struct joined j;

	for (int turn = 0; turn < 2; turn++) {
		int *first, *second;

		ASSERT_TRUE(join(self, &j));
		ASSERT_TRUE(talk(&j));
		first = turn ? &j.server : &j.client;
		second = turn ? &j.client : &j.server;
		ASSERT_EQ(0, shutdown(*first, SHUT_WR));
		EXPECT_EQ(0, hear(*second));
		EXPECT_TRUE(pass(*second, *first, "still here"));
		EXPECT_TRUE(pass(*second, *first, "and here"));
		ASSERT_EQ(0, shutdown(*second, SHUT_WR));
		EXPECT_EQ(0, hear(*first));
		part(&j);
	}
}

/* --- what goes away ------------------------------------------------------------ */

TEST_F(forward, reset_goes_through_either_way_and_touches_no_other_connection)
{
	struct joined other, j;

	ASSERT_TRUE(join(self, &other));
	for (int turn = 0; turn < 2; turn++) {
		ASSERT_TRUE(join(self, &j));
		ASSERT_TRUE(talk(&j));
		reset(turn ? j.server : j.client);
		/* A Unix socket has no word for it. */
		EXPECT_EQ(variant->way == WAY_UNIX ? 0 : -ECONNRESET,
			  hear(turn ? j.client : j.server));
		close(turn ? j.client : j.server);
		EXPECT_TRUE(talk(&other));
	}
	part(&other);
}

TEST_F(forward, server_that_closes_with_something_unread_stops_its_client)
{
	static char buf[65536];
	struct joined j;
	ssize_t n;

	ASSERT_TRUE(join(self, &j));
	ASSERT_TRUE(talk(&j));
	ASSERT_EQ(4, send(j.client, "word", 4, MSG_NOSIGNAL));
	ASSERT_TRUE(wait_until(recv(j.server, buf, 4, MSG_PEEK | MSG_DONTWAIT) == 4));
	close(j.server);

	/* Or it would send for ever. */
	do
		n = send(j.client, buf, sizeof(buf), MSG_NOSIGNAL);
	while (n > 0);
	EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
	close(j.client);
}

TEST_F(forward, target_that_cannot_be_reached_costs_that_connection_only)
{
	struct forwarder *far = self->far.pid ? &self->far : &self->near;
	struct joined other, j;

	ASSERT_TRUE(join(self, &other));
	close(self->listener);

	j.client = connect_to(self->near.address);
	ASSERT_LE(0, j.client);
	EXPECT_EQ(variant->way == WAY_UNIX ? 0 : -ECONNRESET, hear(j.client));
	close(j.client);
	EXPECT_TRUE(forwarder_says(far, "shmux: cannot reach "));
	EXPECT_TRUE(talk(&other));

	self->listener = listen_for(self->target, self->dir, variant->way);
	ASSERT_LE(0, self->listener);
	ASSERT_TRUE(join(self, &j));
	EXPECT_TRUE(talk(&j));
	part(&j);
	part(&other);
}

TEST_F(forward, lost_session_resets_its_connections_and_the_next_one_dials_again)
{
	char middle[128];
	struct joined j;

	if (!self->far.pid)
		SKIP(return, "there is no session that could be made again");
	strcpy(middle, self->far.address);
	ASSERT_TRUE(join(self, &j));
	ASSERT_TRUE(talk(&j));
	forwarder_end(&self->far, SIGKILL);
	EXPECT_EQ(variant->way == WAY_UNIX ? 0 : -ECONNRESET, hear(j.client));
	part(&j);

	/* Nobody is there. */
	j.client = connect_to(self->near.address);
	ASSERT_LE(0, j.client);
	EXPECT_EQ(variant->way == WAY_UNIX ? 0 : -ECONNRESET, hear(j.client));
	close(j.client);

	ASSERT_EQ(0, forwarder_start(&self->far, middle, self->target, NULL, 0));
	ASSERT_TRUE(join(self, &j));
	EXPECT_TRUE(talk(&j));
	part(&j);
}

TEST_F(forward, session_that_is_slow_to_come_holds_up_neither_signals_nor_who_is_there)
{
	struct joined j;
	int late;

	if (!self->far.pid)
		SKIP(return, "no other process is to accept it");
	ASSERT_EQ(0, restart(self, variant->way, NULL, 0));
	ASSERT_EQ(0, kill(self->far.pid, SIGSTOP));
	late = connect_to(self->near.address);
	ASSERT_LE(0, late);
	EXPECT_EQ(1, forwarder_nr_open(&self->near));

	ASSERT_EQ(0, kill(self->far.pid, SIGCONT));
	j.client = late;
	j.server = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_LE(0, j.server);
	set_patience(j.server);
	EXPECT_TRUE(talk(&j));
	part(&j);
}

/* --- who does not read --------------------------------------------------------- */

/* Send until nothing more is taken for a good while. Return: bytes. */
static uint64_t send_until_stuck(int fd, uint64_t most)
{
	static char buf[65536];
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t sent = 0;
	ssize_t n;

	while (sent < most && poll(&p, 1, 300) == 1) {
		pattern_fill(buf, sizeof(buf), sent, 3);
		n = send(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL);
		sent += n > 0 ? (uint64_t)n : 0;
	}
	return sent;
}

TEST_F(forward, reader_that_stops_holds_back_its_writer_and_nobody_else)
{
	const uint64_t most = 256 << 20;
	static char buf[65536];
	struct joined j, other;
	uint64_t sent, got = 0;
	int64_t before = forwarder_rss(&self->near), after;
	ssize_t n;

	ASSERT_TRUE(join(self, &other));
	for (int turn = 0; turn < 2; turn++) {
		int from, to;

		ASSERT_TRUE(join(self, &j));
		from = turn ? j.server : j.client;
		to = turn ? j.client : j.server;
		sent = send_until_stuck(from, most);
		EXPECT_LT(sent, most);
		EXPECT_TRUE(talk(&other));
		after = forwarder_rss(&self->near);
		if (!process_is_sanitized())
			EXPECT_GT(before + (16 << 20), after);

		ASSERT_EQ(0, shutdown(from, SHUT_WR));
		for (got = 0; (n = recv(to, buf, sizeof(buf), 0)) > 0; got += (uint64_t)n)
			ASSERT_EQ(-1, pattern_check(buf, (size_t)n, got, 3));
		EXPECT_EQ(0, n);
		EXPECT_EQ(sent, got);
		part(&j);
	}
	part(&other);
}

TEST_F(forward, many_readers_that_stop_cost_bounded_memory_and_lose_nothing)
{
	enum {
		NR = 400
	};
	static char buf[65536];
	static struct joined j[NR];
	static uint64_t sent[NR];
	struct joined other;
	uint64_t got;
	ssize_t n;

	ASSERT_TRUE(join(self, &other));
	for (int i = 0; i < NR; i++) {
		const int little = 65536;

		ASSERT_TRUE(join(self, &j[i]));
		setsockopt(j[i].client, SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	}
	for (int i = 0; i < NR; i++) {
		pattern_fill(buf, sizeof(buf), 0, 3);
		while (sent[i] < 2 << 20 &&
		       (n = send(j[i].client, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0) {
			sent[i] += (uint64_t)n;
			pattern_fill(buf, sizeof(buf), sent[i], 3);
		}
		EXPECT_TRUE(i % 50 || talk(&other));
	}
	EXPECT_TRUE(talk(&other));
	/* Of held bytes; what a session's budget lets lie there is the far one's. */
	if (!process_is_sanitized())
		EXPECT_GT(64 << 20, forwarder_rss(&self->near));
	fprintf(stderr, "# near: %lld KiB, far: %lld KiB\n",
		(long long)forwarder_rss(&self->near) / 1024,
		self->far.pid ? (long long)forwarder_rss(&self->far) / 1024 : 0);

	for (int i = 0; i < NR; i++) {
		ASSERT_EQ(0, shutdown(j[i].client, SHUT_WR));
		for (got = 0; (n = recv(j[i].server, buf, sizeof(buf), 0)) > 0; got += (uint64_t)n)
			ASSERT_EQ(-1, pattern_check(buf, (size_t)n, got, 3));
		ASSERT_EQ(0, n);
		ASSERT_EQ(sent[i], got);
		part(&j[i]);
	}
	part(&other);
}

/* --- how many ------------------------------------------------------------------ */

TEST_F(forward, thousands_of_connections_at_once_are_served_in_bounded_memory)
{
	enum {
		NR = 2000
	};
	struct rlimit limit = { .rlim_cur = 3 * NR, .rlim_max = 3 * NR };
	static struct joined j[NR];
	uint32_t nr = effort_count(NR);
	int64_t before = forwarder_rss(&self->near), after;

	if (setrlimit(RLIMIT_NOFILE, &limit))
		SKIP(return, "so many descriptors may not be had");
	for (uint32_t i = 0; i < nr; i++)
		ASSERT_TRUE(join(self, &j[i]));
	for (uint32_t i = 0; i < nr; i++)
		ASSERT_TRUE(talk(&j[i]));
	for (uint32_t i = nr; i--;)
		ASSERT_TRUE(talk(&j[i]));
	after = forwarder_rss(&self->near);
	fprintf(stderr, "# %u connections: %lld bytes each\n", nr,
		(long long)(after - before) / nr);
	if (!process_is_sanitized())
		EXPECT_GT(4096, (after - before) / nr);
	for (uint32_t i = 0; i < nr; i++)
		part(&j[i]);
	EXPECT_TRUE(wait_until(forwarder_nr_open(&self->near) == 0));
}

TEST_F(forward, too_few_descriptors_delay_connections_and_lose_none)
{
	enum {
		NR = 60
	};
	struct joined j[NR];
	uint64_t cpu;

	ASSERT_EQ(0, restart(self, variant->way, NULL, 40));
	for (int i = 0; i < NR; i++) {
		j[i].client = connect_to(self->near.address);
		ASSERT_LE(0, j[i].client);
		ASSERT_EQ(4, send(j[i].client, "ping", 4, MSG_NOSIGNAL));
	}
	/* Whoever waits does not spin. */
	cpu = forwarder_cpu(&self->near) + (self->far.pid ? forwarder_cpu(&self->far) : 0);
	usleep(300000);
	cpu = forwarder_cpu(&self->near) + (self->far.pid ? forwarder_cpu(&self->far) : 0) - cpu;
	EXPECT_GT(100 * MSEC, cpu);

	/* They may come in another order than they were sent. */
	for (int i = 0; i < NR; i++) {
		char buf[8] = "";
		int server = accept4(self->listener, NULL, NULL, SOCK_CLOEXEC);

		ASSERT_LE(0, server);
		set_patience(server);
		EXPECT_EQ(4, recv(server, buf, 4, MSG_WAITALL));
		EXPECT_EQ(4, send(server, "pong", 4, MSG_NOSIGNAL));
		close(server);
		/* Its client is the next: who came first is served first. */
		EXPECT_EQ(4, recv(j[i].client, buf, 4, MSG_WAITALL));
		EXPECT_STREQ("pong", buf);
		close(j[i].client);
	}
}

/* --- the end ------------------------------------------------------------------- */

/* Connections that are still taken meanwhile end at once. */
static bool wait_until_deaf(const FIXTURE_DATA(forward) * self)
{
	int fd;

	return wait_until((fd = connect_to(self->near.address)) < 0 || (reset(fd), false));
}

TEST_F(forward, first_signal_lets_open_connections_run_to_their_end)
{
	struct joined j;

	ASSERT_TRUE(join(self, &j));
	ASSERT_TRUE(talk(&j));
	ASSERT_EQ(0, kill(self->near.pid, SIGTERM));
	EXPECT_TRUE(wait_until_deaf(self));
	EXPECT_TRUE(talk(&j));
	ASSERT_EQ(0, shutdown(j.client, SHUT_WR));
	EXPECT_EQ(0, hear(j.server));
	EXPECT_TRUE(pass(j.server, j.client, "goodbye"));
	close(j.server);
	EXPECT_EQ(0, hear(j.client));
	close(j.client);

	EXPECT_EQ(0, forwarder_wait(&self->near));
	if (self->far.pid)
		EXPECT_EQ(0, forwarder_end(&self->far, SIGTERM));
}

TEST_F(forward, second_signal_cuts_them)
{
	struct joined j;

	ASSERT_TRUE(join(self, &j));
	ASSERT_TRUE(talk(&j));
	ASSERT_EQ(0, kill(self->near.pid, SIGTERM));
	EXPECT_TRUE(wait_until_deaf(self));
	ASSERT_EQ(0, kill(self->near.pid, SIGINT));
	EXPECT_TRUE(forwarder_says(&self->near, "(EINTR)"));

	EXPECT_EQ(1, forwarder_wait(&self->near));
	EXPECT_EQ(variant->way == WAY_UNIX ? 0 : -ECONNRESET, hear(j.client));
	EXPECT_EQ(variant->way == WAY_UNIX ? 0 : -ECONNRESET, hear(j.server));
	part(&j);
}

TEST_F(forward, verbose_tells_who_how_much_and_why_it_ended)
{
	struct joined j;

	ASSERT_EQ(0, restart(self, variant->way, "--verbose", 0));
	ASSERT_TRUE(join(self, &j));
	EXPECT_TRUE(forwarder_says(&self->near, variant->way == WAY_UNIX ? "#1 from pid:" :
									   "#1 from 127.0.0.1:"));
	ASSERT_TRUE(pass(j.client, j.server, "seven b"));
	ASSERT_TRUE(pass(j.server, j.client, "three"));
	part(&j);
	EXPECT_TRUE(forwarder_says(&self->near,
				   "7 bytes there, 5 bytes back: both directions have ended"));

	ASSERT_TRUE(join(self, &j));
	ASSERT_TRUE(talk(&j));
	if (variant->way != WAY_UNIX) {
		reset(j.client);
		EXPECT_TRUE(forwarder_says(&self->near, "reset by the near side"));
		close(j.server);
	} else {
		part(&j);
	}
	ASSERT_EQ(0, kill(self->near.pid, SIGTERM));
	EXPECT_TRUE(forwarder_says(&self->near, "0 open"));
	EXPECT_EQ(0, forwarder_wait(&self->near));
}

/* --- garbage ------------------------------------------------------------------- */

TEST_F(forward, garbage_from_either_side_of_yamux_costs_that_session_only)
{
	static const char garbage[] = "GET / HTTP/1.1\r\nHost: somebody who is lost\r\n\r\n";
	const char *path = self->far.address + strlen("yamux+unix:");
	struct joined j, other;
	struct sockaddr_un sun;
	int fd, listener;

	if (variant->way != WAY_YAMUX)
		SKIP(return, "nobody can get between");
	/* Before the listener. */
	ASSERT_TRUE(join(self, &other));
	fd = open_unix(path, &sun);
	ASSERT_EQ(0, connect(fd, (struct sockaddr *)&sun, sizeof(sun)));
	set_patience(fd);
	ASSERT_EQ((ssize_t)sizeof(garbage), send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL));
	while (hear(fd) > 0)
		;
	close(fd);
	EXPECT_TRUE(forwarder_says(&self->far, "it broke the protocol (EPROTO)"));
	EXPECT_TRUE(talk(&other));
	ASSERT_TRUE(join(self, &j));
	EXPECT_TRUE(talk(&j));
	part(&j);
	part(&other);

	/* In place of the listener. */
	ASSERT_EQ(0, forwarder_end(&self->far, SIGTERM));
	listener = open_unix(path, &sun);
	unlink(path);
	ASSERT_EQ(0, bind(listener, (struct sockaddr *)&sun, sizeof(sun)));
	ASSERT_EQ(0, listen(listener, 16));
	j.client = connect_to(self->near.address);
	ASSERT_LE(0, j.client);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ((ssize_t)sizeof(garbage), send(fd, garbage, sizeof(garbage), MSG_NOSIGNAL));
	EXPECT_EQ(-ECONNRESET, hear(j.client));
	EXPECT_TRUE(forwarder_says(&self->near, "it broke the protocol (EPROTO)"));
	close(j.client);
	close(fd);
	close(listener);
	EXPECT_EQ(0, forwarder_end(&self->near, SIGTERM));
}

/* --- a child ------------------------------------------------------------------- */

static pid_t child_of(pid_t pid)
{
	char path[64];
	FILE *file;
	int child = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%d", &child) != 1)
			child = 0;
		fclose(file);
	}
	return child;
}

TEST_F(forward, child_that_dies_resets_its_connections_and_its_status_is_the_forwarders)
{
	struct joined j;
	pid_t child;

	if (variant->way != WAY_EXEC)
		SKIP(return, "there is no child");
	ASSERT_TRUE(join(self, &j));
	ASSERT_TRUE(talk(&j));
	child = child_of(self->near.pid);
	ASSERT_NE(0, child);
	ASSERT_EQ(0, kill(child, SIGUSR2));

	EXPECT_EQ(-ECONNRESET, hear(j.client));
	EXPECT_TRUE(forwarder_says(&self->near, "was killed by signal"));
	EXPECT_EQ(128 + SIGUSR2, forwarder_wait(&self->near));
	part(&j);
}

TEST_F(forward, child_is_gone_when_the_forwarder_is)
{
	struct joined j;
	pid_t child;

	if (variant->way != WAY_EXEC)
		SKIP(return, "there is no child");
	ASSERT_TRUE(join(self, &j));
	child = child_of(self->near.pid);
	ASSERT_NE(0, child);
	part(&j);
	EXPECT_EQ(0, forwarder_end(&self->near, SIGTERM));
	EXPECT_EQ(-1, kill(child, 0));

	ASSERT_EQ(0, start(self, variant->way, NULL, 0));
	child = child_of(self->near.pid);
	ASSERT_NE(0, child);
	forwarder_end(&self->near, SIGKILL);
	/* Nobody may have waited for it yet. */
	EXPECT_TRUE(wait_until(process_state(child, child) == 'Z' || kill(child, 0) < 0));
}

TEST_F(forward, child_that_leaves_by_itself_takes_the_forwarder_along)
{
	struct forwarder f;

	if (variant->way != WAY_EXEC)
		SKIP(return, "there is no child");
	ASSERT_EQ(0, forwarder_start(&f, "tcp:127.0.0.1:0", "exec:sh -c 'exit 7'", NULL, 0));
	EXPECT_TRUE(forwarder_says(&f, "has left with status 7"));
	EXPECT_EQ(7, forwarder_wait(&f));
	ASSERT_EQ(0, forwarder_start(&f, "tcp:127.0.0.1:0", "exec:true", NULL, 0));
	EXPECT_EQ(0, forwarder_wait(&f));
}

TEST_HARNESS_MAIN
