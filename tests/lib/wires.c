// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * wires.c - sessions over descriptors that are there already: fd: and stdio:
 *
 * The far side has what the fixture has given it: one socket, two pipes, or a
 * terminal twice, as standard input and output. exec: is in child.c. And sessions
 * over sockets that no address makes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include <shmux/shmux.h>

#include "harness.h"
#include "far.h"
#include "process.h"
#include "terminals.h"

enum wires {
	SOCKET,
	PIPES,
	TERMINAL,
};

FIXTURE(wires)
{
	int nr_fds;
	int near[2], far_fds[2]; /* in and out; the same of a socket */
	struct far far;
	struct shmux_session *s;
	pid_t between;		/* the terminals; or 0 */
};

FIXTURE_VARIANT(wires)
{
	enum wires wires;
};

FIXTURE_VARIANT_ADD(wires, socket){
	.wires = SOCKET,
};

FIXTURE_VARIANT_ADD(wires, pipes){
	.wires = PIPES,
};

FIXTURE_VARIANT_ADD(wires, terminal){
	.wires = TERMINAL,
};

FIXTURE_SETUP(wires)
{
	int there[2], back[2];

	self->nr_fds = process_nr_fds();
	switch (variant->wires) {
	case SOCKET:
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, there));
		self->near[0] = self->near[1] = there[0];
		self->far_fds[0] = self->far_fds[1] = there[1];
		break;
	case PIPES:
		ASSERT_EQ(0, pipe2(there, O_CLOEXEC));
		ASSERT_EQ(0, pipe2(back, O_CLOEXEC));
		self->near[0] = back[0];
		self->near[1] = there[1];
		self->far_fds[0] = there[0];
		self->far_fds[1] = back[1];
		break;
	case TERMINAL:
		self->between = terminals_open(there);
		ASSERT_LT(0, self->between);
		self->near[0] = self->near[1] = there[0];
		self->far_fds[0] = there[1];
		self->far_fds[1] = fcntl(there[1], F_DUPFD_CLOEXEC, 0);
		break;
	}
}

FIXTURE_TEARDOWN(wires)
{
	shmux_session_close(self->s, 0);
	if (_metadata->aborted)
		far_kill(&self->far);
	else if (self->far.control)
		EXPECT_EQ(0, far_stop(&self->far));
	if (self->between) {
		if (_metadata->aborted)
			kill(self->between, SIGKILL);
		EXPECT_EQ(self->between, waitpid(self->between, NULL, 0));
	}
	if (!_metadata->aborted)
		EXPECT_EQ(self->nr_fds, process_nr_fds());
}

/* Have the far side in a child, with its descriptors. */
static int start_far(FIXTURE_DATA(wires) * self)
{
	bool near_is_one = self->near[0] == self->near[1];
	bool far_is_one = self->far_fds[0] == self->far_fds[1];
	int far[2] = { self->far_fds[0], far_is_one ? -1 : self->far_fds[1] };
	int near[2] = { self->near[0], near_is_one ? -1 : self->near[1] };

	return far_start_giving(&self->far, FAR_CHILD, far, near);
}

/* Kill the far side, and wait until it is seen here that its end has been closed. */
static void kill_far(FIXTURE_DATA(wires) * self)
{
	far_kill(&self->far);
	memset(&self->far, 0, sizeof(self->far));
	if (self->between)
		waitpid(self->between, NULL, 0);
	self->between = 0;
}

static void name_fds(char address[64], int in, int out)
{
	if (in == out || out < 0)
		snprintf(address, 64, "fd:%d", in);
	else
		snprintf(address, 64, "fd:%d,%d", in, out);
}

/* Let the side's descriptors be its standard ones. */
static int64_t side_become_stdio(struct side *side)
{
	int in = side->fd, out = side->out_fd < 0 ? in : side->out_fd;

	SIDE_EQ(0, dup2(in, 0));
	SIDE_EQ(1, dup2(out, 1));
	close(in);
	if (out != in)
		close(out);
	side->fd = side->out_fd = -1;
	return 0;
}

/* Listen to what @side->in says, or to the descriptors that are given. */
static int64_t side_listen(struct side *side)
{
	char address[64];

	name_fds(address, side->fd, side->out_fd);
	if (side->in_len)
		snprintf(address, sizeof(address), "%s", (const char *)side->in);
	else
		side->fd = side->out_fd = -1;
	return shmux_listener_open(address, NULL, &side->listener);
}

static int64_t side_accept(struct side *side)
{
	if (side->stream)
		side_add(side, side->stream);
	side->stream = NULL;
	shmux_listener_set_deadline(side->listener, shmux_now() + LONG_ENOUGH);
	return shmux_listener_accept(side->listener, 0, &side->stream);
}

static int64_t side_accept_session(struct side *side)
{
	struct shmux_session *s;

	shmux_listener_set_deadline(side->listener, shmux_now() + LONG_ENOUGH);
	return shmux_listener_accept_session(side->listener, 0,
					     side->session ? &s : &side->session);
}

static int64_t side_accept_echo(struct side *side)
{
	int64_t err = side_accept(side);

	return err ? err : side_echo(side);
}

static bool echoes(struct shmux_stream *st)
{
	char buf[8];

	return shmux_stream_write(st, "hello", 5) == 5 && !shmux_stream_shutdown(st, SHMUX_WRITE) &&
	       shmux_stream_read(st, buf, sizeof(buf)) == 5 && !memcmp(buf, "hello", 5) &&
	       shmux_stream_read(st, buf, sizeof(buf)) == 0;
}

/* --- fd: ------------------------------------------------------------------------ */

TEST_F(wires, two_who_have_been_given_descriptors_dial_and_listen)
{
	struct shmux_stream *st;
	char address[64];

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	far_begin(&self->far, side_accept_echo, NULL, 0, 0);
	name_fds(address, self->near[0], self->near[1]);
	ASSERT_EQ(0, shmux_session_dial(address, NULL, shmux_now() + LONG_ENOUGH, &self->s));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	EXPECT_TRUE(echoes(st));
	shmux_stream_close(st);
	EXPECT_EQ(5, far_finish(&self->far, NULL));
}

TEST_F(wires, large_writes_both_ways_at_once_do_not_wait_for_each_other)
{
	struct bulk_job job = { .bulk = { .len = 4 << 20, .piece = 1 << 20, .seed = 3 } };
	struct worker writer;

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
					 &self->s));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &job.st));
	ASSERT_EQ(0, far_run(&self->far, side_accept));
	worker_start(&writer, bulk_write_job, &job);
	far_begin(&self->far, side_bulk_exchange, &job.bulk, sizeof(job.bulk), 0);
	EXPECT_EQ((int64_t)job.bulk.len, bulk_read(job.st, &job.bulk));
	EXPECT_EQ((int64_t)job.bulk.len, worker_join(&writer));
	EXPECT_EQ((int64_t)job.bulk.len, far_finish(&self->far, NULL));
	shmux_stream_close(job.st);
}

/* As if it had nobody else: neither side's waits become ours, nor ours theirs. */
TEST_F(wires, descriptions_that_others_share_keep_their_flags)
{
	int shared[2], before[2];
	struct shmux_stream *st;

	for (int i = 0; i < 2; i++) {
		shared[i] = fcntl(self->near[i], F_DUPFD_CLOEXEC, 0);
		before[i] = fcntl(shared[i], F_GETFL);
		ASSERT_EQ(0, before[i] & O_NONBLOCK);
	}
	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	far_begin(&self->far, side_accept_echo, NULL, 0, 0);
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
					 &self->s));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	EXPECT_TRUE(echoes(st));
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(before[i], fcntl(shared[i], F_GETFL));
	shmux_stream_close(st);
	EXPECT_EQ(5, far_finish(&self->far, NULL));
	EXPECT_EQ(0, shmux_session_close(self->s, shmux_now() + LONG_ENOUGH));
	self->s = NULL;
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(before[i], fcntl(shared[i], F_GETFL));
		close(shared[i]);
	}
}

TEST_F(wires, when_the_one_session_is_over_nothing_is_accepted_ever_again)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
					 &self->s));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	ASSERT_EQ(1, shmux_stream_write(st, "x", 1));
	EXPECT_EQ(0, far_run(&self->far, side_accept));
	far_begin(&self->far, side_accept, NULL, 0, 0);
	EXPECT_TRUE(far_wait_blocked(&self->far));
	shmux_stream_close(st);
	EXPECT_EQ(0, shmux_session_close(self->s, shmux_now() + LONG_ENOUGH));
	self->s = NULL;
	EXPECT_EQ(-ESHUTDOWN, far_finish(&self->far, NULL));
	EXPECT_EQ(-ESHUTDOWN, far_run(&self->far, side_accept));
}

TEST_F(wires, the_one_session_is_accepted_once)
{
	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
					 &self->s));
	EXPECT_EQ(0, far_run(&self->far, side_accept_session));
	EXPECT_EQ(-ESHUTDOWN, far_run(&self->far, side_accept_session));
}

/* By the listener's descriptor, as an event loop does. Return: 0 or -errno. */
static int64_t side_poll_accept(struct side *side)
{
	struct pollfd pfd = { .events = POLLIN };
	uint64_t until = shmux_now() + LONG_ENOUGH;
	int err;

	pfd.fd = shmux_listener_fd(side->listener);
	if (side->stream)
		side_add(side, side->stream);
	side->stream = NULL;
	while ((err = shmux_listener_accept(side->listener, SHMUX_NOWAIT, &side->stream)) ==
		       -EAGAIN &&
	       shmux_now() < until)
		SIDE_EQ(1, poll(&pfd, 1, 10000));
	return err;
}

TEST_F(wires, the_listeners_descriptor_tells_of_its_stream_and_of_the_end)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
					 &self->s));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	ASSERT_EQ(1, shmux_stream_write(st, "x", 1));
	EXPECT_EQ(0, far_run(&self->far, side_poll_accept));
	far_begin(&self->far, side_poll_accept, NULL, 0, 0);
	shmux_stream_close(st);
	shmux_session_close(self->s, 0);
	self->s = NULL;
	EXPECT_EQ(-ESHUTDOWN, far_finish(&self->far, NULL));
}

TEST_F(wires, a_context_has_one_session_over_them_and_no_other)
{
	struct shmux_dial_options o = { .size = sizeof(o),
					.deadline = shmux_now() + LONG_ENOUGH,
					.flags = SHMUX_DIAL_WAIT };
	struct shmux_stream *st[2];
	struct shmux_context *c;
	char address[64];

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_listen));
	ASSERT_EQ(0, shmux_context_open(NULL, &c));
	name_fds(address, self->near[0], self->near[1]);
	ASSERT_EQ(0, shmux_context_dial(c, address, &o, &st[0]));
	ASSERT_EQ(0, shmux_context_dial(c, address, &o, &st[1]));
	EXPECT_EQ(1, shmux_context_nr_sessions(c));
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
	kill_far(self);
	/* Whatever has these numbers by now is not ours. */
	EXPECT_EQ(-ESHUTDOWN, shmux_context_dial(c, address, &o, &st[0]));
	shmux_context_close(c);
}

TEST(what_is_no_wire_is_a_clean_error)
{
	uint64_t until = shmux_now() + LONG_ENOUGH;
	struct shmux_listener *l;
	struct shmux_session *s;
	char address[64];
	int nr_fds = process_nr_fds(), fd, master;

	EXPECT_EQ(-EBADF, shmux_session_dial("fd:4000", NULL, until, &s));
	EXPECT_EQ(-EBADF, shmux_listener_open("fd:4000,4001", NULL, &l));
	fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
	name_fds(address, fd, fd);
	EXPECT_EQ(-EINVAL, shmux_session_dial(address, NULL, until, &s));
	/* Opened anew it would be of another terminal. */
	fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	name_fds(address, fd, fd);
	EXPECT_EQ(-EINVAL, shmux_session_dial(address, NULL, until, &s));
	ASSERT_EQ(0, openpty(&master, &fd, NULL, NULL, NULL));
	close(master);
	name_fds(address, fd, fd);
	EXPECT_EQ(-ECONNRESET, shmux_session_dial(address, NULL, until, &s));
	EXPECT_EQ(nr_fds, process_nr_fds());
}

static int refuse(void *arg, const struct shmux_peer *peer)
{
	(void)arg;
	(void)peer;
	return -EPERM;
}

TEST_F(wires, who_is_not_admitted_is_hung_up_on_at_once)
{
	struct shmux_listener_options o = { .size = sizeof(o), .admit = refuse };
	struct shmux_listener *l;
	struct shmux_stream *st;
	char address[64];
	int err;

	name_fds(address, self->far_fds[0], self->far_fds[1]);
	EXPECT_EQ(-EPERM, shmux_listener_open(address, &o, &l));
	/* It may be seen at once of a terminal, and is of no other. */
	err = shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
				  &self->s);
	if (variant->wires != TERMINAL)
		EXPECT_EQ(0, err);
	if (!err)
		err = shmux_session_accept(self->s, 0, &st);
	EXPECT_EQ(-ECONNRESET, err);
}

/* --- over what else there is of sockets ------------------------------------------ */

/* Two ends of a connection of this machine's to itself. Return: 0 or -errno. */
static int vsock_pair(int fds[2])
{
	struct sockaddr_vm local = { .svm_family = AF_VSOCK,
				     .svm_cid = VMADDR_CID_LOCAL,
				     .svm_port = VMADDR_PORT_ANY };
	struct sockaddr *address = (struct sockaddr *)&local;
	socklen_t len = sizeof(local);
	int err = 0, listener = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fds[0] = fds[1] = -1;
	if (listener < 0 || bind(listener, address, len) || listen(listener, 1) ||
	    getsockname(listener, address, &len) ||
	    (fds[0] = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0 ||
	    connect(fds[0], address, len) ||
	    (fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) < 0)
		err = -errno;
	close(listener);
	if (err)
		close(fds[0]);
	return err;
}

/* The virtual machines of tests/vm/ say that they have it: SHMUX_TEST_VSOCK. */
TEST(vsock_carries_a_session_as_any_stream_socket_does)
{
	struct bulk_job job = { .bulk = { .len = 4 << 20, .piece = 1 << 20, .seed = 5 } };
	int fds[2], err = vsock_pair(fds), nr_fds = process_nr_fds() - 2;
	struct shmux_session *s;
	struct shmux_stream *st;
	struct worker writer;
	struct far far;
	char byte;

	if ((err == -EAFNOSUPPORT || err == -EADDRNOTAVAIL) && !getenv("SHMUX_TEST_VSOCK"))
		SKIP(return, "the kernel has no vsock_loopback");
	ASSERT_EQ(0, err);
	ASSERT_EQ(0, far_start_with(&far, FAR_CHILD, fds[1], fds[0]));
	ASSERT_EQ(0, far_run(&far, side_listen));
	ASSERT_EQ(0, shmux_session_yamux(fds[0], fds[0], SHMUX_ROLE_DIALLER, NULL, &s));
	far_begin(&far, side_accept_echo, NULL, 0, 0);
	ASSERT_EQ(0, shmux_session_open(s, 0, &st));
	EXPECT_TRUE(echoes(st));
	EXPECT_EQ(5, far_finish(&far, NULL));
	ASSERT_EQ(0, shmux_session_open(s, 0, &job.st));
	ASSERT_EQ(0, far_run(&far, side_accept));
	worker_start(&writer, bulk_write_job, &job);
	far_begin(&far, side_bulk_exchange, &job.bulk, sizeof(job.bulk), 0);
	EXPECT_EQ((int64_t)job.bulk.len, bulk_read(job.st, &job.bulk));
	EXPECT_EQ((int64_t)job.bulk.len, worker_join(&writer));
	EXPECT_EQ((int64_t)job.bulk.len, far_finish(&far, NULL));
	far_kill(&far);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(job.st, &byte, 1));
	shmux_stream_close(st);
	shmux_stream_close(job.st);
	shmux_session_close(s, 0);
	EXPECT_EQ(nr_fds, process_nr_fds());
}

/* --- stdio: ---------------------------------------------------------------------- */

/* Whatever reads and prints without knowing that the wire was there. */
static int64_t side_babble(struct side *side)
{
	char byte;

	(void)side;
	SIDE_EQ(0, printf("# a library says this and that\n") < 0);
	SIDE_EQ(0, fflush(stdout));
	SIDE_EQ(2, write(1, "#\n", 2));
	SIDE_EQ(0, read(0, &byte, 1));
	return 0;
}

TEST_F(wires, what_is_printed_while_stdio_is_the_wire_does_not_get_there)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_become_stdio));
	ASSERT_EQ(0, far_call(&self->far, side_listen, "stdio:", 7, NULL, 0));
	ASSERT_EQ(0, far_run(&self->far, side_babble));
	far_begin(&self->far, side_accept_echo, NULL, 0, 0);
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_DIALLER, NULL,
					 &self->s));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	EXPECT_TRUE(echoes(st));
	shmux_stream_close(st);
	EXPECT_EQ(5, far_finish(&self->far, NULL));
	EXPECT_EQ(0, far_run(&self->far, side_babble));
	EXPECT_EQ(SHMUX_SESSION_OPEN, shmux_session_state(self->s));
}

/* How many descriptors beside the standard ones an exec would keep. */
static int64_t side_nr_kept(struct side *side)
{
	int64_t nr = 0;

	(void)side;
	for (int fd = 0; fd < 100; fd++)
		nr += fd > 2 ? fcntl(fd, F_GETFD) == 0 : fcntl(fd, F_GETFD) != 0;
	return nr;
}

static int64_t side_dial_stdio(struct side *side)
{
	return shmux_session_dial("stdio:", NULL, shmux_now() + LONG_ENOUGH, &side->session);
}

TEST_F(wires, stdio_is_dialled_too_and_taken_once)
{
	struct shmux_stream *st;
	int64_t kept;

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_become_stdio));
	kept = far_run(&self->far, side_nr_kept);
	ASSERT_EQ(0, far_run(&self->far, side_dial_stdio));
	EXPECT_EQ(kept, far_run(&self->far, side_nr_kept));
	EXPECT_EQ(-EBUSY, far_run(&self->far, side_dial_stdio));
	EXPECT_EQ(-EBUSY, far_call(&self->far, side_listen, "stdio:", 7, NULL, 0));
	ASSERT_EQ(0, shmux_session_yamux(self->near[0], self->near[1], SHMUX_ROLE_ACCEPTOR, NULL,
					 &self->s));
	ASSERT_EQ(0, far_open(&self->far, 0));
	ASSERT_EQ(1, far_write(&self->far, "x", 1));
	ASSERT_EQ(0, shmux_session_accept(self->s, 0, &st));
	shmux_stream_close(st);
}

static int64_t side_nr_fds(struct side *side)
{
	(void)side;
	return process_nr_fds();
}

static int64_t side_close_standard(struct side *side)
{
	(void)side;
	close(0);
	close(1);
	return 0;
}

static int64_t side_file_stdio(struct side *side)
{
	int fd;

	(void)side;
	close(0);
	fd = open("/etc/passwd", O_RDONLY);
	SIDE_EQ(0, fd);
	SIDE_EQ(1, dup2(fd, 1));
	return 0;
}

TEST_F(wires, stdio_that_is_no_wire_stays_as_it_is)
{
	int64_t nr_fds;

	ASSERT_EQ(0, start_far(self));
	ASSERT_EQ(0, far_run(&self->far, side_file_stdio));
	nr_fds = far_run(&self->far, side_nr_fds);
	EXPECT_EQ(-EINVAL, far_run(&self->far, side_dial_stdio));
	EXPECT_EQ(nr_fds, far_run(&self->far, side_nr_fds));
	ASSERT_EQ(0, far_run(&self->far, side_close_standard));
	EXPECT_EQ(-EBADF, far_run(&self->far, side_dial_stdio));
	/* It must not end with more than it had, and has ended with less. */
	kill_far(self);
	close(self->near[0]);
	if (self->near[1] != self->near[0])
		close(self->near[1]);
}

TEST_HARNESS_MAIN
