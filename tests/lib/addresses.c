// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * addresses.c - sessions over the addresses of yamux that a listener waits at
 *
 * The server is a child, which listens and echoes. What stdio:, fd: and exec: lead
 * to is in wires.c and child.c.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <shmux/shmux.h>

#include "harness.h"
#include "effort.h"
#include "far.h"
#include "pattern.h"
#include "process.h"
#include "stray.h"

#define SOON (50 * MSEC)

enum {
	UNIX,
	TCP4,
	TCP6,
	TCP_ANY,
	TCP_NAME
};

FIXTURE(addresses)
{
	int nr_fds;
	char directory[NAME_SIZE];
	char address[SHMUX_ADDRESS_MAX]; /* as the listener tells it */
	struct far server;
	struct shmux_context *context;
	struct shmux_listener *listener; /* near, if a test has one */
};

FIXTURE_VARIANT(addresses)
{
	int kind;
	const char *address;
};

FIXTURE_VARIANT_ADD(addresses, unix_path){
	.kind = UNIX,
};

FIXTURE_VARIANT_ADD(addresses, tcp_v4){
	.kind = TCP4,
	.address = "yamux+tcp:127.0.0.1:0",
};

FIXTURE_VARIANT_ADD(addresses, tcp_v6){
	.kind = TCP6,
	.address = "yamux+tcp:[::1]:0",
};

FIXTURE_VARIANT_ADD(addresses, tcp_any){
	.kind = TCP_ANY,
	.address = "yamux+tcp::0",
};

FIXTURE_VARIANT_ADD(addresses, tcp_name){
	.kind = TCP_NAME,
	.address = "yamux+tcp:localhost:0",
};

/* Listen; what it is called is told by the listener. */
static int64_t side_listen(struct side *side)
{
	int err = shmux_listener_open(side->in, NULL, &side->listener);

	if (!err)
		snprintf(side->out, side->out_len, "%s", shmux_listener_address(side->listener));
	return err;
}

static int64_t side_unlisten(struct side *side)
{
	shmux_listener_close(side->listener);
	side->listener = NULL;
	return 0;
}

/* Echo so many streams, one after another. */
static int64_t side_serve(struct side *side)
{
	int nr = *(const int *)side->in;

	for (; nr; nr--) {
		if (side->stream)
			shmux_stream_close(side->stream);
		side->stream = NULL;
		SIDE_EQ(0, shmux_listener_accept(side->listener, 0, &side->stream));
		side_echo(side);
	}
	return 0;
}

static void begin_serve(struct far *server, int nr)
{
	far_begin(server, side_serve, &nr, sizeof(nr), 0);
}

static bool has_inet6(void)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool has = fd >= 0 && !bind(fd, (struct sockaddr *)&addr, sizeof(addr));

	if (fd >= 0)
		close(fd);
	return has;
}

FIXTURE_SETUP(addresses)
{
	char address[SHMUX_ADDRESS_MAX];

	if (variant->kind == TCP6 && !has_inet6())
		SKIP_TEST("this machine has no IPv6");
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, directory_make(self->directory));
	snprintf(address, sizeof(address), "yamux+unix:%s/socket", self->directory);
	if (variant->address)
		snprintf(address, sizeof(address), "%s", variant->address);
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, far_call(&self->server, side_listen, address, strlen(address) + 1,
			      self->address, sizeof(self->address)));
	ASSERT_EQ(0, shmux_context_open(NULL, &self->context));
}

FIXTURE_TEARDOWN(addresses)
{
	shmux_context_close(self->context);
	shmux_listener_close(self->listener);
	if (_metadata->aborted)
		far_kill(&self->server);
	else
		EXPECT_EQ(0, far_stop(&self->server));
	directory_remove(self->directory);
	if (!_metadata->aborted) {
		EXPECT_EQ(self->nr_fds, process_nr_fds());
		EXPECT_FALSE(process_leaks());
	}
}

static int dial(FIXTURE_DATA(addresses) * self, struct shmux_dial_options *options,
		struct shmux_stream **st)
{
	struct shmux_dial_options o = { .size = sizeof(o) };

	if (options)
		o = *options;
	o.size = sizeof(o);
	if (!o.deadline)
		o.deadline = shmux_now() + LONG_ENOUGH;
	return shmux_context_dial(self->context, self->address, &o, st);
}

/* Say something and hear it, to the end in both directions. */
static bool echoes(struct shmux_stream *st, size_t len)
{
	char *buf = malloc(len);
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	bool good;

	pattern_fill(buf, len, 0, 5);
	good = shmux_stream_write(st, buf, len) == (ssize_t)len &&
	       !shmux_stream_shutdown(st, SHMUX_WRITE);
	memset(buf, 0, len);
	good = good && shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL) == (ssize_t)len &&
	       pattern_check(buf, len, 0, 5) < 0 && shmux_stream_read(st, buf, 1) == 0;
	free(buf);
	return good;
}

TEST_F(addresses, a_stream_goes_both_ways_and_ends_in_each_by_itself)
{
	struct shmux_stream *st;

	begin_serve(&self->server, 2);
	ASSERT_EQ(0, dial(self, NULL, &st));
	EXPECT_TRUE(echoes(st, 5));
	shmux_stream_close(st);
	ASSERT_EQ(0, dial(self, NULL, &st));
	EXPECT_TRUE(echoes(st, 100000));
	shmux_stream_close(st);
	EXPECT_EQ(0, far_finish(&self->server, NULL));
	EXPECT_EQ(1, shmux_context_nr_sessions(self->context));
}

TEST_F(addresses, the_address_that_is_told_is_the_one_to_dial_and_on_both_sides)
{
	char near[SHMUX_ADDRESS_LONG_MAX];
	struct shmux_stream *st;

	EXPECT_EQ(NULL, strstr(self->address, ":0"));
	begin_serve(&self->server, 1);
	ASSERT_EQ(0, dial(self, NULL, &st));
	EXPECT_EQ(0, shmux_stream_peer_address(st, near, sizeof(near)));
	EXPECT_STREQ(self->address, near);
	EXPECT_TRUE(echoes(st, 1));
	shmux_stream_close(st);
	EXPECT_EQ(0, far_finish(&self->server, NULL));
}

TEST_F(addresses, a_session_of_ones_own_carries_streams_of_either_side)
{
	struct shmux_session *s;
	struct shmux_stream *st[50];

	begin_serve(&self->server, ARRAY_SIZE(st));
	ASSERT_EQ(0, shmux_session_dial(self->address, NULL, shmux_now() + LONG_ENOUGH, &s));
	EXPECT_EQ(SHMUX_ROLE_DIALLER, shmux_session_role(s));
	for (size_t i = 0; i < ARRAY_SIZE(st); i++)
		ASSERT_EQ(0, shmux_session_open(s, 0, &st[i]));
	for (size_t i = 0; i < ARRAY_SIZE(st); i++) {
		EXPECT_TRUE(echoes(st[i], 100));
		shmux_stream_close(st[i]);
	}
	EXPECT_EQ(0, shmux_session_close(s, shmux_now() + LONG_ENOUGH));
	EXPECT_EQ(0, far_finish(&self->server, NULL));
}

TEST_F(addresses, a_listener_that_is_killed_ends_what_waits_for_it)
{
	struct shmux_stream *st;
	char byte;

	begin_serve(&self->server, 1);
	ASSERT_EQ(0, dial(self, NULL, &st));
	ASSERT_EQ(1, shmux_stream_write(st, "x", 1));
	ASSERT_EQ(1, shmux_stream_read(st, &byte, 1));

	far_kill(&self->server);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, &byte, 1));
	shmux_stream_close(st);
	EXPECT_EQ(-ECONNREFUSED, dial(self, NULL, &st));
	EXPECT_EQ(0, shmux_context_nr_sessions(self->context));
}

TEST_F(addresses, a_listener_that_is_closed_is_not_there)
{
	struct shmux_stream *st;
	struct shmux_session *s;

	ASSERT_EQ(0, far_run(&self->server, side_unlisten));
	EXPECT_EQ(variant->kind == UNIX ? -ENOENT : -ECONNREFUSED, dial(self, NULL, &st));
	EXPECT_EQ(variant->kind == UNIX ? -ENOENT : -ECONNREFUSED,
		  shmux_session_dial(self->address, NULL, shmux_now() + LONG_ENOUGH, &s));
}

TEST_F(addresses, a_dial_can_wait_for_the_next_listener)
{
	struct shmux_dial_options wait = { .flags = SHMUX_DIAL_WAIT };
	struct shmux_stream *st;
	char told[SHMUX_ADDRESS_MAX];
	struct far second;

	far_kill(&self->server);
	wait.deadline = shmux_now() + SOON;
	EXPECT_EQ(-ETIMEDOUT, dial(self, &wait, &st));
	ASSERT_EQ(0, far_start(&second, FAR_CHILD));
	ASSERT_EQ(0, far_call(&second, side_listen, self->address, strlen(self->address) + 1, told,
			      sizeof(told)));
	begin_serve(&second, 1);
	wait.deadline = 0;
	ASSERT_EQ(0, dial(self, &wait, &st));
	EXPECT_TRUE(echoes(st, 10));
	shmux_stream_close(st);
	EXPECT_EQ(0, far_finish(&second, NULL));
	EXPECT_EQ(0, far_stop(&second));
}

TEST_F(addresses, two_do_not_listen_to_one)
{
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->address, NULL, &self->listener));
	ASSERT_EQ(0, far_run(&self->server, side_unlisten));
	EXPECT_EQ(0, shmux_listener_open(self->address, NULL, &self->listener));
}

static int note_peer(void *arg, const struct shmux_peer *peer)
{
	*(struct shmux_peer *)arg = *peer;
	return 0;
}

static int refuse(void *arg, const struct shmux_peer *peer)
{
	(void)arg;
	(void)peer;
	return -EPERM;
}

TEST_F(addresses, who_listens_is_known_by_path_and_not_by_port)
{
	struct shmux_peer peer = { .pid = -7 };
	struct shmux_dial_options o = { .check = note_peer, .check_arg = &peer };
	struct shmux_stream *st;

	ASSERT_EQ(0, dial(self, &o, &st));
	shmux_stream_close(st);
	if (variant->kind == UNIX) {
		EXPECT_EQ(self->server.pid, peer.pid);
		EXPECT_EQ(geteuid(), peer.uid);
		EXPECT_EQ(getegid(), peer.gid);
	} else {
		EXPECT_EQ(0, peer.pid);
		EXPECT_EQ((uid_t)-1, peer.uid);
		EXPECT_EQ((gid_t)-1, peer.gid);
	}
	o = (struct shmux_dial_options){ .check = refuse };
	EXPECT_EQ(-EPERM, dial(self, &o, &st));
}

TEST_F(addresses, who_insists_on_a_user_dials_no_port)
{
	struct shmux_dial_options o = { .flags = SHMUX_DIAL_UID, .uid = geteuid() };
	struct shmux_stream *st = NULL;
	int times;

	/* To a new session, and to one that is shared. */
	for (times = 0; times < 2; times++) {
		EXPECT_EQ(variant->kind == UNIX ? 0 : -EACCES, dial(self, &o, &st));
		shmux_stream_close(st);
		st = NULL;
		ASSERT_EQ(0, dial(self, NULL, &st));
		shmux_stream_close(st);
		st = NULL;
	}
	o.uid = geteuid() + 1;
	EXPECT_EQ(-EACCES, dial(self, &o, &st));
}

/* A connection by hand. */
static int connect_raw(const char *address)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *path = strchr(address, '/');
	struct sockaddr *addr = path ? (struct sockaddr *)&un : (struct sockaddr *)&in;
	int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (path)
		snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	if (fd >= 0 && connect(fd, addr, path ? sizeof(un) : sizeof(in))) {
		close(fd);
		fd = -errno;
	}
	return fd;
}

TEST_F(addresses, who_says_nothing_or_nonsense_delays_nobody)
{
	static const char nonsense[5000] = "GET / HTTP/1.1\r\n\r\n";
	struct shmux_stream *st;
	int fds[60];
	ssize_t len;

	if (variant->kind == TCP6)
		return; /* strangers come by IPv4, here */
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = connect_raw(self->address);
		ASSERT_LE(0, fds[i]);
		len = (ssize_t[]){ 0, 5, sizeof(nonsense) }[i % 3];
		ASSERT_EQ(len, write(fds[i], nonsense, (size_t)len));
	}
	begin_serve(&self->server, 1);
	ASSERT_EQ(0, dial(self, NULL, &st));
	EXPECT_TRUE(echoes(st, 3000));
	shmux_stream_close(st);
	EXPECT_EQ(0, far_finish(&self->server, NULL));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

/* Accept sessions until one fails. Return: how it did. */
static int64_t side_accept_few(struct side *side)
{
	struct rlimit limit = { .rlim_cur = (rlim_t)process_nr_fds() + 4, .rlim_max = 1024 };
	struct shmux_session *sessions[16] = { NULL };
	size_t nr = 0, i;
	int err;

	SIDE_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	shmux_listener_set_deadline(side->listener, shmux_now() + LONG_ENOUGH);
	while (nr < 16 && !(err = shmux_listener_accept_session(side->listener, 0, &sessions[nr])))
		nr++;
	for (i = 0; i < nr; i++)
		shmux_session_close(sessions[i], 0);
	SIDE_EQ(-EMFILE, err);
	/* Now there is room for the one that waited. */
	SIDE_EQ(0, shmux_listener_accept_session(side->listener, 0, &side->session));
	return (int64_t)nr;
}

TEST_F(addresses, one_for_whom_there_is_no_descriptor_waits_for_its_turn)
{
	struct shmux_session *s[8];
	int64_t nr;

	far_begin(&self->server, side_accept_few, NULL, 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		ASSERT_EQ(0, shmux_session_dial(self->address, NULL, shmux_now() + LONG_ENOUGH,
						&s[i]));
	nr = far_finish(&self->server, NULL);
	EXPECT_LE(1, nr);
	EXPECT_GT(8, nr);
	for (size_t i = 0; i < ARRAY_SIZE(s); i++)
		shmux_session_close(s[i], 0);
}

/* --- by path alone ------------------------------------------------------------- */

FIXTURE(path)
{
	int nr_fds;
	char directory[NAME_SIZE];
	char address[SHMUX_ADDRESS_MAX], memory[SHMUX_ADDRESS_MAX], file[NAME_SIZE + 8];
	struct shmux_listener *listener;
};

FIXTURE_SETUP(path)
{
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, directory_make(self->directory));
	snprintf(self->file, sizeof(self->file), "%s/socket", self->directory);
	snprintf(self->address, sizeof(self->address), "yamux+unix:%s", self->file);
	snprintf(self->memory, sizeof(self->memory), "memfd:%s", self->file);
}

FIXTURE_TEARDOWN(path)
{
	shmux_listener_close(self->listener);
	directory_remove(self->directory);
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

TEST_F(path, a_socket_of_one_kind_is_not_dialled_as_the_other)
{
	uint64_t until = shmux_now() + LONG_ENOUGH;
	struct shmux_listener *other;
	struct shmux_session *s;

	ASSERT_EQ(0, shmux_listener_open(self->address, NULL, &self->listener));
	EXPECT_EQ(-EPROTOTYPE, shmux_session_dial(self->memory, NULL, until, &s));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->memory, NULL, &other));
	shmux_listener_close(self->listener);
	ASSERT_EQ(0, shmux_listener_open(self->memory, NULL, &self->listener));
	EXPECT_EQ(-EPROTOTYPE, shmux_session_dial(self->address, NULL, until, &s));
	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->address, NULL, &other));
}

TEST_F(path, the_file_gets_its_mode_and_goes_with_the_listener)
{
	struct shmux_listener_options o = { .size = sizeof(o), .mode = 0660 };
	struct stat st;

	ASSERT_EQ(0, shmux_listener_open(self->address, &o, &self->listener));
	ASSERT_EQ(0, lstat(self->file, &st));
	EXPECT_TRUE(S_ISSOCK(st.st_mode));
	EXPECT_EQ(0660, st.st_mode & 07777);
	shmux_listener_close(self->listener);
	self->listener = NULL;
	EXPECT_EQ(-1, lstat(self->file, &st));
}

TEST_F(path, who_is_not_admitted_has_no_session)
{
	struct shmux_listener_options o = { .size = sizeof(o), .admit = refuse };
	struct shmux_stream *st;
	struct shmux_session *s;

	ASSERT_EQ(0, shmux_listener_open(self->address, &o, &self->listener));
	/* Yamux begins without a word: the first call after that tells. */
	ASSERT_EQ(0, shmux_session_dial(self->address, NULL, shmux_now() + LONG_ENOUGH, &s));
	EXPECT_EQ(-EAGAIN, shmux_listener_accept(self->listener, SHMUX_NOWAIT, &st));
	EXPECT_EQ(-ECONNRESET, shmux_session_accept(s, 0, &st));
	shmux_session_close(s, 0);
}

TEST_F(path, a_mode_without_us_keeps_us_out)
{
	struct shmux_listener_options o = { .size = sizeof(o), .mode = 0060 };
	struct shmux_stream *st;
	struct shmux_session *s;
	int err;

	ASSERT_EQ(0, shmux_listener_open(self->address, &o, &self->listener));
	err = shmux_session_dial(self->address, NULL, shmux_now() + LONG_ENOUGH, &s);
	/* The file keeps out whoever is not root; root the listener. */
	EXPECT_EQ(geteuid() ? -EACCES : 0, err);
	EXPECT_EQ(-EAGAIN, shmux_listener_accept(self->listener, SHMUX_NOWAIT, &st));
	if (!err) {
		EXPECT_EQ(-ECONNRESET, shmux_session_accept(s, 0, &st));
		shmux_session_close(s, 0);
	}
}

TEST_F(path, a_dial_waits_for_room_until_its_deadline)
{
	struct shmux_listener_options o = { .size = sizeof(o), .backlog = 1 };
	struct shmux_session *s[8];
	size_t nr = 0;
	int err;

	ASSERT_EQ(0, shmux_listener_open(self->address, &o, &self->listener));
	while (nr < ARRAY_SIZE(s) &&
	       !(err = shmux_session_dial(self->address, NULL, shmux_now() + SOON, &s[nr])))
		nr++;
	EXPECT_EQ(-ETIMEDOUT, err);
	while (nr)
		shmux_session_close(s[--nr], 0);
}

/* One whose last close waits longer than any bound. */
static int lingering_socket(int *listening)
{
	return stray_lingering(30, listening);
}

static const char ping[] = "\0\2\0\1\0\0\0\0\0\0\0\7";

/* Send @nr bytes, and that descriptor with them, which we close. */
static bool send_with(int socket, const char *bytes, size_t nr, int fd, int flags)
{
	int error = stray_send(socket, bytes, nr, fd, flags);

	close(fd);
	return !error;
}

/* Return: bytes that the kernel keeps for @fd, books included, as many as it may. */
static size_t send_room(int fd)
{
	int size = 16 << 20;
	socklen_t len = sizeof(size);

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, &len) ? 0 : (size_t)size;
}

TEST_F(path, descriptors_that_a_client_sends_along_are_closed_without_waiting)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	static const char nonsense[2 << 20] = "nonsense";
	int listening[2], fd;
	char pong[12];
	uint64_t before;
	size_t nr;

	ASSERT_EQ(0, shmux_listener_open(self->address, NULL, &self->listener));
	fd = connect_raw(self->address);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(send_with(fd, ping, 12, lingering_socket(&listening[0]), 0));
	before = shmux_now();
	ASSERT_EQ(0, shmux_listener_accept_session(self->listener, 0, &s));
	EXPECT_EQ(-EAGAIN, shmux_session_accept(s, SHMUX_NOWAIT, &st));
	EXPECT_EQ(12, recv(fd, pong, sizeof(pong), MSG_DONTWAIT));
	EXPECT_GT(effort_bound(SEC), shmux_now() - before);
	shmux_session_close(s, 0);
	close(fd);

	/* And those that are not even read, behind more nonsense than is. */
	fd = connect_raw(self->address);
	nr = send_room(fd) / 4;
	if (nr > sizeof(nonsense))
		nr = sizeof(nonsense);
	ASSERT_EQ((ssize_t)nr, send(fd, nonsense, nr, MSG_DONTWAIT));
	ASSERT_TRUE(send_with(fd, ping, 12, lingering_socket(&listening[1]), 0));
	before = shmux_now();
	ASSERT_EQ(0, shmux_listener_accept_session(self->listener, 0, &s));
	EXPECT_EQ(-EPROTO, shmux_session_accept(s, SHMUX_NOWAIT, &st));
	shmux_session_close(s, 0);
	EXPECT_GT(effort_bound(SEC), shmux_now() - before);
	close(listening[0]);
	close(listening[1]);
	close(fd);
}

TEST_F(path, descriptors_that_come_to_a_call_asleep_are_closed_without_waiting)
{
	static const char opening[] = "\0\1\0\1\0\0\0\1\0\0\0\0";
	const struct shmux_session_options session = { .size = sizeof(session),
						       .spin = SHMUX_SPIN_NONE };
	const struct shmux_listener_options options = { .size = sizeof(options),
							.session = &session };
	struct shmux_session *s;
	struct shmux_stream *st;
	int listening, fd;
	uint64_t before;

	ASSERT_EQ(0, shmux_listener_open(self->address, &options, &self->listener));
	fd = connect_raw(self->address);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(send_with(fd, ping, 12, lingering_socket(&listening), 0));
	ASSERT_EQ(12, write(fd, opening, 12));
	before = shmux_now();
	ASSERT_EQ(0, shmux_listener_accept_session(self->listener, 0, &s));
	ASSERT_EQ(0, shmux_session_accept(s, 0, &st));
	EXPECT_GT(effort_bound(SEC), shmux_now() - before);
	shmux_stream_close(st);
	shmux_session_close(s, 0);
	close(listening);
	close(fd);
}

/* Unix sockets have had them since Linux 5.15. */
static bool kernel_has_urgent_bytes(void)
{
	int fds[2];
	bool has;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return true;
	has = send(fds[0], "", 1, MSG_OOB) == 1 || errno != EOPNOTSUPP;
	close(fds[0]);
	close(fds[1]);
	return has;
}

TEST_F(path, descriptors_that_come_with_an_urgent_byte_are_closed_without_waiting)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	int listening, fd;
	char pong[12];
	uint64_t before;

	if (!kernel_has_urgent_bytes())
		SKIP(return, "this kernel's Unix sockets know no urgent bytes");
	ASSERT_EQ(0, shmux_listener_open(self->address, NULL, &self->listener));
	fd = connect_raw(self->address);
	ASSERT_LE(0, fd);
	ASSERT_EQ(11, write(fd, ping, 11));
	ASSERT_TRUE(send_with(fd, ping + 11, 1, lingering_socket(&listening), MSG_OOB));
	before = shmux_now();
	ASSERT_EQ(0, shmux_listener_accept_session(self->listener, 0, &s));
	/* A read ends before such a byte. */
	EXPECT_EQ(-EAGAIN, shmux_session_accept(s, SHMUX_NOWAIT, &st));
	EXPECT_EQ(-EAGAIN, shmux_session_accept(s, SHMUX_NOWAIT, &st));
	EXPECT_EQ(12, recv(fd, pong, sizeof(pong), MSG_DONTWAIT));
	shmux_session_close(s, 0);
	EXPECT_GT(effort_bound(SEC), shmux_now() - before);
	close(listening);
	close(fd);
}

TEST_F(path, descriptors_with_urgent_bytes_to_who_accepts_nobody_are_closed_without_waiting)
{
	int listening, fd;
	uint64_t before;

	if (!kernel_has_urgent_bytes())
		SKIP(return, "this kernel's Unix sockets know no urgent bytes");
	ASSERT_EQ(0, shmux_listener_open(self->address, NULL, &self->listener));
	fd = connect_raw(self->address);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(send_with(fd, ping, 1, lingering_socket(&listening), MSG_OOB));
	before = shmux_now();
	shmux_listener_close(self->listener);
	self->listener = NULL;
	EXPECT_GT(effort_bound(SEC), shmux_now() - before);
	close(listening);
	close(fd);
}

TEST(descriptors_sent_to_the_socket_that_is_written_to_are_closed_without_waiting)
{
	struct shmux_session *s;
	int listening, in[2], out[2];
	uint64_t before;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out));
	ASSERT_EQ(0, shmux_session_yamux(in[0], out[0], SHMUX_ROLE_ACCEPTOR, NULL, &s));
	ASSERT_TRUE(send_with(out[1], ping, 12, lingering_socket(&listening), 0));
	before = shmux_now();
	shmux_session_close(s, 0);
	EXPECT_GT(effort_bound(SEC), shmux_now() - before);
	close(listening);
	close(in[1]);
	close(out[1]);
}

/* --- by port alone --------------------------------------------------------------- */

/* A socket that does not accept any more, and the address of it. */
static int full_port(char address[SHMUX_ADDRESS_MAX], int fillers[8])
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || bind(fd, (struct sockaddr *)&in, sizeof(in)) || listen(fd, 0) ||
	    getsockname(fd, (struct sockaddr *)&in, &len))
		return -1;
	for (int i = 0; i < 8; i++) {
		fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)!connect(fillers[i], (struct sockaddr *)&in, sizeof(in));
	}
	snprintf(address, SHMUX_ADDRESS_MAX, "yamux+tcp:127.0.0.1:%u", ntohs(in.sin_port));
	return fd;
}

struct blocked_dial {
	struct shmux_context *context;
	const char *address;
};

static int64_t dial_blocked(void *arg)
{
	struct blocked_dial *d = arg;
	struct shmux_dial_options o = { .size = sizeof(o), .deadline = shmux_now() + LONG_ENOUGH };
	struct shmux_stream *st;

	return shmux_context_dial(d->context, d->address, &o, &st);
}

TEST(a_connection_that_nobody_takes_is_given_up_at_the_deadline_or_when_cancelled)
{
	char address[SHMUX_ADDRESS_MAX];
	struct blocked_dial d = { .address = address };
	struct shmux_session *s;
	struct worker w;
	int fillers[8], fd;

	fd = full_port(address, fillers);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-ETIMEDOUT, shmux_session_dial(address, NULL, shmux_now() + SOON, &s));

	ASSERT_EQ(0, shmux_context_open(NULL, &d.context));
	worker_start(&w, dial_blocked, &d);
	EXPECT_TRUE(worker_wait_blocked(&w));
	shmux_context_unblock(d.context);
	EXPECT_EQ(-ECANCELED, worker_join(&w));
	shmux_context_close(d.context);
	for (size_t i = 0; i < ARRAY_SIZE(fillers); i++)
		close(fillers[i]);
	close(fd);
}

TEST(a_host_or_port_that_cannot_be_is_a_clean_error)
{
	struct shmux_session_options o = { .size = sizeof(o) };
	struct shmux_listener *l;
	struct shmux_session *s;
	char address[SHMUX_ADDRESS_MAX];
	char label[65];

	/* No server of names need be asked: a label has at most 63 bytes. */
	memset(label, 'x', 64);
	label[64] = 0;
	snprintf(address, sizeof(address), "yamux+tcp:%s:1", label);
	EXPECT_EQ(-ENOENT, shmux_session_dial(address, &o, shmux_now() + LONG_ENOUGH, &s));
	EXPECT_EQ(-ENOENT, shmux_listener_open(address, NULL, &l));
	/* Of documentation (RFC 5737): not ours. */
	EXPECT_EQ(-EADDRNOTAVAIL, shmux_listener_open("yamux+tcp:192.0.2.1:0", NULL, &l));
	EXPECT_EQ(-EINVAL, shmux_session_dial("yamux+tcp:127.0.0.1:0", &o, SHMUX_NEVER, &s));
	if (geteuid())
		EXPECT_EQ(-EACCES, shmux_listener_open("yamux+tcp:127.0.0.1:1", NULL, &l));
}

/* What our TCP sockets, of both ends, all have for an option; -1 if they differ. */
static int option_of_all(int level, int option, int *nr)
{
	int value, common = -1;

	*nr = 0;
	for (int fd = 3; fd < 64; fd++) {
		struct sockaddr_in in;
		socklen_t in_len = sizeof(in), len = sizeof(value);

		if (getpeername(fd, (struct sockaddr *)&in, &in_len) || in.sin_family != AF_INET)
			continue;
		if (getsockopt(fd, level, option, &value, &len) || ((*nr)++ && value != common))
			return -1;
		common = value;
	}
	return common;
}

#define EXPECT_OPTION(expected, level, option)                     \
	do {                                                       \
		int nr_, is_ = option_of_all(level, option, &nr_); \
                                                                   \
		EXPECT_EQ(2, nr_);                                 \
		EXPECT_EQ(expected, is_);                          \
	} while (0)

/* Two ends of a session over a port, here. Return: 0 or -errno. */
static int meet(struct shmux_session_options *options, struct shmux_session *s[2])
{
	struct shmux_listener_options o = { .size = sizeof(o), .session = options };
	struct shmux_listener *l;
	int err = shmux_listener_open("yamux+tcp:127.0.0.1:0", &o, &l);

	if (err)
		return err;
	err = shmux_session_dial(shmux_listener_address(l), options, SHMUX_NEVER, &s[0]);
	if (!err)
		err = shmux_listener_accept_session(l, 0, &s[1]);
	shmux_listener_close(l);
	return err;
}

TEST(small_frames_go_out_at_once)
{
	struct shmux_session *s[2];

	ASSERT_EQ(0, meet(NULL, s));
	EXPECT_OPTION(1, IPPROTO_TCP, TCP_NODELAY);
	EXPECT_OPTION(0, SOL_SOCKET, SO_KEEPALIVE);
	shmux_session_close(s[0], 0);
	shmux_session_close(s[1], 0);
}

TEST(a_sign_of_life_is_asked_of_the_peers_kernel_as_often_as_is_wished)
{
	struct shmux_session_options o = { .size = sizeof(o), .keepalive = 30 * SEC };
	struct shmux_session *s[2];

	ASSERT_EQ(0, meet(&o, s));
	EXPECT_OPTION(1, SOL_SOCKET, SO_KEEPALIVE);
	EXPECT_OPTION(30, IPPROTO_TCP, TCP_KEEPIDLE);
	EXPECT_OPTION(10, IPPROTO_TCP, TCP_KEEPINTVL);
	EXPECT_OPTION(3, IPPROTO_TCP, TCP_KEEPCNT);
	EXPECT_OPTION(0, IPPROTO_TCP, TCP_USER_TIMEOUT);
	shmux_session_close(s[0], 0);
	shmux_session_close(s[1], 0);

	o.keepalive = SEC - 1;
	EXPECT_EQ(-EINVAL, shmux_session_options_verify(&o, NULL));
	o.keepalive = 32767 * SEC;
	EXPECT_EQ(0, shmux_session_options_verify(&o, NULL));
	o.keepalive++;
	EXPECT_EQ(-EINVAL, shmux_session_options_verify(&o, NULL));
}

TEST(a_peer_that_is_busy_for_several_keepalives_and_reads_nothing_is_not_lost)
{
	struct shmux_session_options o = {
		.size = sizeof(o), .keepalive = SEC, .window = 64 << 20, .budget = 256 << 20
	};
	static char piece[65536];
	struct shmux_session *s[2];
	struct shmux_stream *st[2];
	uint64_t sent = 0, got = 0;
	ssize_t n;

	ASSERT_EQ(0, meet(&o, s));
	ASSERT_EQ(0, shmux_session_open(s[0], 0, &st[0]));
	ASSERT_EQ(1, shmux_stream_write(st[0], "x", 1));
	ASSERT_EQ(0, shmux_session_accept(s[1], 0, &st[1]));
	ASSERT_EQ(1, shmux_stream_read(st[1], piece, 1));
	/* Room for that is granted, and then not made: the sockets are full. */
	while ((n = shmux_stream_try_write(st[0], piece, sizeof(piece))) > 0)
		sent += (uint64_t)n;
	EXPECT_EQ(-EAGAIN, n);
	usleep(3500000);
	EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(s[0]));
	EXPECT_EQ(0, shmux_session_ping(s[0], 0, NULL) == -ECONNRESET);
	while (got < sent) {
		n = shmux_stream_try_read(st[1], piece, sizeof(piece));
		ASSERT_TRUE(n > 0 || n == -EAGAIN);
		got += n > 0 ? (uint64_t)n : 0;
		ASSERT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(s[0]));
	}
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
	shmux_session_close(s[0], 0);
	shmux_session_close(s[1], 0);
}

TEST_HARNESS_MAIN
