// SPDX-License-Identifier: LGPL-2.1-or-later
/* hello.c - tests of the rendezvous: who gets a region, and who gets none */
#include <sched.h>
#include <sys/resource.h>

#include "harness.h"

#include "meeting.h"

FIXTURE(hello)
{
	int nr_fds;
	int sockets[2];		/* the acceptor's is 1; -1 once given away */
	struct end dialler, acceptor;
};

FIXTURE_VARIANT(hello)
{
	int type;
	enum kernel kernel;
};

FIXTURE_VARIANT_ADD(hello, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(hello, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(hello, seqpacket_on_linux_6_1)
{
	.type = SOCK_SEQPACKET,
	.kernel = KERNEL_6_1,
};

FIXTURE_VARIANT_ADD(hello, stream_on_linux_5_2)
{
	.type = SOCK_STREAM,
	.kernel = KERNEL_5_2,
};

FIXTURE_SETUP(hello)
{
	ASSERT_EQ(0, kernel_pretend(variant->kernel));
	self->nr_fds = process_nr_fds();
	/* Blocking ones: the library must not rely on O_NONBLOCK. */
	ASSERT_EQ(0, socketpair(AF_UNIX, variant->type | SOCK_CLOEXEC, 0, self->sockets));
	end_init(&self->dialler, "dialler");
	end_init(&self->acceptor, "acceptor");
}

FIXTURE_TEARDOWN(hello)
{
	int i;

	end_close(&self->dialler);
	end_close(&self->acceptor);
	for (i = 0; i < 2; i++)
		if (self->sockets[i] >= 0)
			close(self->sockets[i]);
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

static void open_dialler(struct __test_metadata *_metadata, FIXTURE_DATA(hello) *self)
{
	ASSERT_EQ(0, end_open(&self->dialler, self->sockets[0], SHMUX_ROLE_DIALLER));
	self->sockets[0] = -1;
}

static void open_acceptor(struct __test_metadata *_metadata, FIXTURE_DATA(hello) *self)
{
	ASSERT_EQ(0, end_open(&self->acceptor, self->sockets[1], SHMUX_ROLE_ACCEPTOR));
	self->sockets[1] = -1;
}

static void meet(struct __test_metadata *_metadata, FIXTURE_DATA(hello) *self)
{
	open_dialler(_metadata, self);
	open_acceptor(_metadata, self);
	ends_meet(&self->dialler, &self->acceptor);
}

/* The acceptor ended with @err, told the dialler's socket so, and made nothing. */
static void check_refused(struct __test_metadata *_metadata,
			  FIXTURE_DATA(hello) *self, int err)
{
	struct message m;
	int memfd;

	EXPECT_EQ(err, self->acceptor.err);
	EXPECT_EQ(NULL, self->acceptor.region);
	EXPECT_EQ(0, self->acceptor.nr_formats);
	ASSERT_EQ(sizeof(m), hand_receive(self->sockets[0], &m, &memfd));
	EXPECT_EQ(REFUSAL, m.kind);
	EXPECT_EQ(err, m.status);
	EXPECT_EQ(-1, memfd);
}

/* A hand-made dialler sends @m with @memfd; what does the acceptor make of it? */
static int say_hello(struct __test_metadata *_metadata, FIXTURE_DATA(hello) *self,
		     struct message m, int memfd)
{
	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], &m, sizeof(m), &memfd, memfd >= 0, true));
	if (memfd >= 0)
		close(memfd);
	return end_step(&self->acceptor);
}

static int good_memfd(void)
{
	return memfd_with(OWN_SIZE, GOOD_SEALS, 0);
}

TEST_F(hello, both_ends_get_a_region_and_read_what_the_other_wrote)
{
	meet(_metadata, self);

	ASSERT_EQ(0, self->dialler.err);
	ASSERT_EQ(0, self->acceptor.err);
	EXPECT_STREQ("acceptor", (const char *)self->dialler.region->peer);
	EXPECT_STREQ("dialler", (const char *)self->acceptor.region->peer);
	EXPECT_EQ(OWN_SIZE, self->dialler.region->peer_size);
	EXPECT_EQ(OWN_SIZE, self->dialler.region->own_size);
	EXPECT_EQ(SHMUX_ROLE_DIALLER, self->dialler.region->role);
	EXPECT_EQ(SHMUX_ROLE_ACCEPTOR, self->acceptor.region->role);
	EXPECT_EQ(1, self->dialler.nr_admits);
	EXPECT_EQ(1, self->acceptor.nr_admits);
}

/* Another thread may fork and exec at any time. */
TEST_F(hello, every_descriptor_is_close_on_exec_amid_a_hello_too)
{
	int nr = nr_inheritable();

	meet(_metadata, self);
	EXPECT_EQ(1, self->dialler.nr_admits);
	EXPECT_EQ(nr, self->dialler.nr_inheritable);
	EXPECT_EQ(1, self->acceptor.nr_admits);
	EXPECT_EQ(nr, self->acceptor.nr_inheritable);
}

TEST_F(hello, a_session_costs_each_end_a_socket_and_a_pidfd)
{
	meet(_metadata, self);
	shmux__hello_close(self->dialler.hello);
	shmux__hello_close(self->acceptor.hello);
	self->dialler.hello = self->acceptor.hello = NULL;

	EXPECT_EQ(self->nr_fds + (kernel_has_pidfds() ? 4 : 2), process_nr_fds());
}

TEST_F(hello, the_peer_of_a_pair_made_before_fork_is_the_child)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		end_open(&self->acceptor, self->sockets[1], SHMUX_ROLE_ACCEPTOR);
		_exit(end_finish(&self->acceptor) ||
		      self->acceptor.admitted.pid != getppid() || pause());
	}
	close(self->sockets[1]);
	self->sockets[1] = -1;
	open_dialler(_metadata, self);
	EXPECT_EQ(0, end_finish(&self->dialler));

	EXPECT_EQ(child, self->dialler.admitted.pid);
	EXPECT_EQ(geteuid(), self->dialler.admitted.uid);
	EXPECT_EQ(getegid(), self->dialler.admitted.gid);
	EXPECT_EQ(child, self->dialler.region->identity.pid);
	EXPECT_EQ(child, shmux__hello_peer(self->dialler.hello)->pid);
	kill_and_reap(child);
}

TEST_F(hello, a_peer_in_another_pid_namespace_has_pid_0_and_is_served)
{
	int status;
	pid_t child;

	if (unshare(CLONE_NEWPID))
		SKIP(return, "a pid namespace cannot be had: %s", strerror(errno));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		close(self->sockets[0]);
		end_open(&self->acceptor, self->sockets[1], SHMUX_ROLE_ACCEPTOR);
		if (end_finish(&self->acceptor) || self->acceptor.admitted.pid)
			_exit(1);
		_exit(!wait_until(self->acceptor.region->ops->check_alive(
			self->acceptor.region)));
	}
	close(self->sockets[1]);
	self->sockets[1] = -1;
	open_dialler(_metadata, self);

	EXPECT_EQ(0, end_finish(&self->dialler));
	EXPECT_EQ(child, self->dialler.admitted.pid);
	end_close(&self->dialler);
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(hello, a_dialler_that_is_refused_is_told_why)
{
	self->acceptor.admit_status = -EACCES;
	meet(_metadata, self);

	EXPECT_EQ(-EACCES, self->acceptor.err);
	EXPECT_EQ(-EACCES, self->dialler.err);
	EXPECT_EQ(0, self->acceptor.nr_formats);
	EXPECT_EQ(NULL, self->dialler.region);
}

TEST_F(hello, a_refusal_is_heard_after_the_acceptor_has_gone_with_bytes_unread)
{
	self->acceptor.admit_status = -EACCES;
	open_dialler(_metadata, self);
	EXPECT_EQ(-EAGAIN, end_step(&self->dialler));
	/* One more packet, that nobody will read. */
	EXPECT_EQ(1, send(shmux__hello_fd(self->dialler.hello), "", 1, 0));
	open_acceptor(_metadata, self);
	EXPECT_EQ(-EACCES, end_step(&self->acceptor));
	end_close(&self->acceptor);

	EXPECT_EQ(-EACCES, end_step(&self->dialler));
}

TEST_F(hello, a_dialler_may_refuse_the_acceptor)
{
	self->dialler.admit_status = -EACCES;
	meet(_metadata, self);

	EXPECT_EQ(-EACCES, self->dialler.err);
	EXPECT_EQ(NULL, self->dialler.region);
	end_close(&self->dialler);
	ASSERT_EQ(0, self->acceptor.err);
	EXPECT_EQ(-ECONNRESET,
		  self->acceptor.region->ops->check_alive(self->acceptor.region));
}

TEST_F(hello, an_admit_that_says_eagain_refuses)
{
	self->acceptor.admit_status = -EAGAIN;
	meet(_metadata, self);

	EXPECT_EQ(-EACCES, self->acceptor.err);
	EXPECT_EQ(-EACCES, self->dialler.err);
}

TEST_F(hello, a_region_larger_than_the_other_takes_is_e2big_at_both_ends)
{
	self->acceptor.params.peer_size_max = OWN_SIZE - 1;
	meet(_metadata, self);

	EXPECT_EQ(-E2BIG, self->acceptor.err);
	EXPECT_EQ(-E2BIG, self->dialler.err);
	EXPECT_EQ(0, self->acceptor.nr_admits);
}

TEST_F(hello, a_region_larger_than_the_dialler_takes_is_e2big_at_both_ends)
{
	self->dialler.params.peer_size_max = OWN_SIZE - 1;
	meet(_metadata, self);

	EXPECT_EQ(-E2BIG, self->acceptor.err);
	EXPECT_EQ(-E2BIG, self->dialler.err);
	EXPECT_EQ(0, self->acceptor.nr_formats);
}

TEST_F(hello, two_diallers_do_not_get_along)
{
	open_dialler(_metadata, self);
	ASSERT_EQ(0, end_open(&self->acceptor, self->sockets[1], SHMUX_ROLE_DIALLER));
	self->sockets[1] = -1;
	ends_meet(&self->dialler, &self->acceptor);

	EXPECT_EQ(-EPROTO, self->dialler.err);
	EXPECT_TRUE(self->acceptor.err == -EPROTO || self->acceptor.err == -ECONNRESET);
}

TEST_F(hello, a_hand_made_hello_is_good_while_nothing_is_wrong_with_it)
{
	EXPECT_EQ(0, say_hello(_metadata, self, message_valid(HELLO), good_memfd()));
}

TEST_F(hello, another_version_is_refused_as_such)
{
	struct message m = message_valid(HELLO);

	m.version = SHMUX_VERSION + 1;
	say_hello(_metadata, self, m, good_memfd());
	check_refused(_metadata, self, -EPROTONOSUPPORT);
}

TEST_F(hello, an_answer_of_another_version_is_not_taken)
{
	struct message m = message_valid(ANSWER);
	int memfd = good_memfd();

	open_dialler(_metadata, self);
	end_step(&self->dialler);
	m.version = SHMUX_VERSION + 1;
	EXPECT_EQ(0, hand_send(self->sockets[1], &m, sizeof(m), &memfd, 1, true));
	close(memfd);
	EXPECT_EQ(-EPROTONOSUPPORT, end_step(&self->dialler));
}

TEST_F(hello, garbage_is_refused_as_such)
{
	struct message m;

	memset(&m, 0xa5, sizeof(m));
	say_hello(_metadata, self, m, -1);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, another_magic_is_refused)
{
	struct message m = message_valid(HELLO);

	m.magic ^= 1;
	say_hello(_metadata, self, m, good_memfd());
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, another_kind_is_refused)
{
	struct message m = message_valid(ANSWER);

	say_hello(_metadata, self, m, good_memfd());
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_status_in_a_hello_is_refused)
{
	struct message m = message_valid(HELLO);

	m.status = -EACCES;
	say_hello(_metadata, self, m, good_memfd());
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_reserved_word_that_is_not_zero_is_refused)
{
	struct message m = message_valid(HELLO);

	m.reserved[9] = 1;
	say_hello(_metadata, self, m, good_memfd());
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_refusal_without_a_sensible_reason_is_a_broken_one)
{
	static const int32_t statuses[] = { 0, 1, -4096, INT32_MIN, -EAGAIN };
	struct message m = message_valid(REFUSAL);
	size_t i;

	close(self->sockets[0]);
	close(self->sockets[1]);
	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, variant->type, 0, self->sockets));
		open_dialler(_metadata, self);
		EXPECT_EQ(-EAGAIN, end_step(&self->dialler));
		m.status = statuses[i];
		EXPECT_EQ(0, hand_send(self->sockets[1], &m, sizeof(m), NULL, 0, false));
		EXPECT_EQ(-EPROTO, end_step(&self->dialler));
		end_close(&self->dialler);
		close(self->sockets[1]);
		self->sockets[1] = -1;
	}
}

TEST_F(hello, a_hang_up_before_the_hello_is_econnreset)
{
	open_acceptor(_metadata, self);
	EXPECT_EQ(-EAGAIN, end_step(&self->acceptor));
	close(self->sockets[0]);
	self->sockets[0] = -1;
	EXPECT_EQ(-ECONNRESET, end_step(&self->acceptor));
}

TEST_F(hello, a_hang_up_before_the_answer_is_econnreset)
{
	open_dialler(_metadata, self);
	EXPECT_EQ(-EAGAIN, end_step(&self->dialler));
	close(self->sockets[1]);
	self->sockets[1] = -1;
	EXPECT_EQ(-ECONNRESET, end_step(&self->dialler));
	EXPECT_EQ(-ECONNRESET, end_step(&self->dialler));
}

TEST_F(hello, a_dialler_whose_listener_is_gone_sees_econnreset)
{
	open_dialler(_metadata, self);
	close(self->sockets[1]);
	self->sockets[1] = -1;
	EXPECT_EQ(-ECONNRESET, end_step(&self->dialler));
}

TEST_F(hello, silence_keeps_the_acceptor_waiting_to_read)
{
	open_acceptor(_metadata, self);
	EXPECT_EQ(-EAGAIN, end_step(&self->acceptor));
	EXPECT_EQ(POLLIN, shmux__hello_events(self->acceptor.hello));
	EXPECT_EQ(0, self->acceptor.nr_formats);
}

TEST_F(hello, half_a_hello_is_waited_for_over_a_stream_and_refused_in_a_packet)
{
	struct message m = message_valid(HELLO);
	const char *bytes = (const char *)&m;
	int memfd = good_memfd();
	size_t i;

	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], bytes, 20, &memfd, 1, true));
	close(memfd);
	if (variant->type == SOCK_SEQPACKET) {
		end_step(&self->acceptor);
		check_refused(_metadata, self, -EPROTO);
		return;
	}
	for (i = 0; i < 100; i++)
		EXPECT_EQ(-EAGAIN, end_step(&self->acceptor));
	for (i = 20; i < sizeof(m); i++) {
		ASSERT_EQ(-EAGAIN, end_step(&self->acceptor));
		ASSERT_EQ(1, send(self->sockets[0], bytes + i, 1, 0));
	}
	EXPECT_EQ(0, end_step(&self->acceptor));
}

TEST_F(hello, a_hang_up_after_half_a_hello_ends_it)
{
	struct message m = message_valid(HELLO);
	int memfd = good_memfd();

	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], &m, 20, &memfd, 1, true));
	close(memfd);
	close(self->sockets[0]);
	self->sockets[0] = -1;
	EXPECT_EQ(variant->type == SOCK_STREAM ? -ECONNRESET : -EPROTO,
		  end_step(&self->acceptor));
}

TEST_F(hello, bytes_beyond_a_hello_are_left_for_the_bell_over_a_stream_and_refused_in_a_packet)
{
	char bytes[sizeof(struct message) + 3] = { 0 };
	struct message m = message_valid(HELLO);
	int memfd = good_memfd(), fds[2];

	memcpy(bytes, &m, sizeof(m));
	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], bytes, sizeof(bytes), &memfd, 1, true));
	close(memfd);
	end_step(&self->acceptor);
	if (variant->type == SOCK_SEQPACKET) {
		check_refused(_metadata, self, -EPROTO);
		return;
	}
	ASSERT_EQ(0, self->acceptor.err);
	ASSERT_LE(1, self->acceptor.region->ops->descriptors(self->acceptor.region, fds));
	EXPECT_TRUE(is_readable(fds[0]));
	EXPECT_EQ(0, self->acceptor.region->ops->clear(self->acceptor.region));
	EXPECT_FALSE(is_readable(fds[0]));
}

TEST_F(hello, a_hello_without_a_memfd_is_refused)
{
	say_hello(_metadata, self, message_valid(HELLO), -1);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_hello_with_several_descriptors_is_refused_and_none_stays)
{
	struct message m = message_valid(HELLO);
	int fds[20], nr, i;

	close(self->sockets[0]);
	close(self->sockets[1]);
	for (nr = 2; nr <= 20; nr += 3) {
		ASSERT_EQ(0, socketpair(AF_UNIX, variant->type, 0, self->sockets));
		open_acceptor(_metadata, self);
		for (i = 0; i < nr; i++)
			fds[i] = good_memfd();
		EXPECT_EQ(0, hand_send(self->sockets[0], &m, sizeof(m), fds, nr, true));
		for (i = 0; i < nr; i++)
			close(fds[i]);
		end_step(&self->acceptor);
		check_refused(_metadata, self, -EPROTO);
		end_close(&self->acceptor);
		close(self->sockets[0]);
		self->sockets[0] = -1;
		EXPECT_EQ(self->nr_fds, process_nr_fds());
	}
}

TEST_F(hello, a_second_descriptor_that_comes_late_is_refused_and_does_not_stay)
{
	struct message m = message_valid(HELLO);
	const char *bytes = (const char *)&m;
	int memfd = good_memfd();

	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], bytes, 20, &memfd, 1, true));
	/* A packet is whole, or it is none. */
	if (variant->type == SOCK_STREAM)
		ASSERT_EQ(-EAGAIN, end_step(&self->acceptor));
	EXPECT_EQ(0, hand_send(self->sockets[0], bytes + 20, sizeof(m) - 20, &memfd, 1, true));
	close(memfd);
	end_step(&self->acceptor);
	check_refused(_metadata, self, -EPROTO);
	end_close(&self->acceptor);
	close(self->sockets[0]);
	self->sockets[0] = -1;
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

TEST_F(hello, a_memfd_that_comes_late_is_refused)
{
	struct message m = message_valid(HELLO);
	int memfd = good_memfd();

	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], &m, 8, NULL, 0, true));
	if (end_step(&self->acceptor) == -EAGAIN) {	/* over a stream */
		EXPECT_EQ(0, hand_send(self->sockets[0], (char *)&m + 8, sizeof(m) - 8,
				       &memfd, 1, true));
		end_step(&self->acceptor);
	}
	close(memfd);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_hello_sent_without_credentials_before_they_were_asked_for_is_refused)
{
	struct message m = message_valid(HELLO);
	int memfd = good_memfd();

	EXPECT_EQ(0, hand_send(self->sockets[0], &m, sizeof(m), &memfd, 1, false));
	close(memfd);
	open_acceptor(_metadata, self);
	end_step(&self->acceptor);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, credentials_sent_before_they_were_asked_for_are_taken)
{
	struct message m = message_valid(HELLO);
	int memfd = good_memfd();

	EXPECT_EQ(0, hand_send(self->sockets[0], &m, sizeof(m), &memfd, 1, true));
	close(memfd);
	open_acceptor(_metadata, self);
	EXPECT_EQ(0, end_step(&self->acceptor));
	EXPECT_EQ(getpid(), self->acceptor.admitted.pid);
}

TEST_F(hello, an_acceptor_out_of_descriptors_says_emfile_and_not_eproto)
{
	struct message m = message_valid(HELLO);
	int memfd = good_memfd(), spare[64], nr = 0;
	struct rlimit limit, old;

	open_acceptor(_metadata, self);
	EXPECT_EQ(0, hand_send(self->sockets[0], &m, sizeof(m), &memfd, 1, true));
	close(memfd);
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = 32;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	while (nr < 64 && (spare[nr] = dup(0)) >= 0)
		nr++;
	end_step(&self->acceptor);
	while (nr)
		close(spare[--nr]);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &old));
	EXPECT_EQ(-EMFILE, self->acceptor.err);
}

TEST_F(hello, a_socket_of_another_kind_is_einval_and_closed)
{
	struct end *end = &self->dialler;
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, fds));
	EXPECT_EQ(-EINVAL, end_open(end, fds[0], SHMUX_ROLE_DIALLER));
	close(fds[1]);
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-EINVAL, end_open(end, fds[0], SHMUX_ROLE_ACCEPTOR));
	close(fds[1]);
	EXPECT_EQ(-EINVAL, end_open(end, socket(AF_INET, SOCK_STREAM, 0), SHMUX_ROLE_DIALLER));
	EXPECT_EQ(-EBADF, end_open(end, -1, SHMUX_ROLE_DIALLER));
}

TEST_F(hello, a_size_of_ours_that_makes_no_sense_is_einval)
{
	static const uint32_t sizes[] = { 0, 1, 4095, 4097, 0x7ffff001, 0x80000000, UINT32_MAX };
	size_t i;

	close(self->sockets[0]);
	close(self->sockets[1]);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, variant->type, 0, self->sockets));
		self->dialler.params.size = sizes[i];
		EXPECT_EQ(-EINVAL, end_open(&self->dialler, self->sockets[0],
					    SHMUX_ROLE_DIALLER));
		close(self->sockets[1]);
		self->sockets[0] = self->sockets[1] = -1;
	}
}

TEST_F(hello, a_file_size_limit_is_efbig_and_no_signal)
{
	struct rlimit limit = { OWN_SIZE - 1, OWN_SIZE - 1 };

	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(-EFBIG, end_open(&self->dialler, self->sockets[0], SHMUX_ROLE_DIALLER));
	self->sockets[0] = -1;
}

/* --- the memfd of a peer ------------------------------------------------- */

TEST_F(hello, a_memfd_that_lacks_any_of_the_seals_is_refused)
{
	static const int seals[] = { F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE,
				     F_SEAL_SEAL, GOOD_SEALS };
	size_t i;

	close(self->sockets[0]);
	close(self->sockets[1]);
	for (i = 0; i < sizeof(seals) / sizeof(seals[0]); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, variant->type, 0, self->sockets));
		say_hello(_metadata, self, message_valid(HELLO),
			  memfd_with(OWN_SIZE, GOOD_SEALS & ~seals[i], 0));
		check_refused(_metadata, self, -EPROTO);
		end_close(&self->acceptor);
		close(self->sockets[0]);
		self->sockets[0] = -1;
	}
}

TEST_F(hello, a_memfd_with_more_seals_than_needed_is_taken)
{
	EXPECT_EQ(0, say_hello(_metadata, self, message_valid(HELLO),
			       memfd_with(OWN_SIZE, GOOD_SEALS | F_SEAL_WRITE, 0)));
}

TEST_F(hello, a_plain_file_is_refused)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		SKIP(return, "there is no O_TMPFILE in /tmp: %s", strerror(errno));
	EXPECT_EQ(0, ftruncate(fd, OWN_SIZE));
	say_hello(_metadata, self, message_valid(HELLO), fd);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_file_of_a_tmpfs_is_refused)
{
	int fd = open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0)
		SKIP(return, "there is no /dev/shm: %s", strerror(errno));
	EXPECT_EQ(0, ftruncate(fd, OWN_SIZE));
	say_hello(_metadata, self, message_valid(HELLO), fd);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, what_is_no_file_is_refused)
{
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	close(fds[1]);
	say_hello(_metadata, self, message_valid(HELLO), fds[0]);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_memfd_handed_over_as_a_mere_path_is_refused)
{
	int memfd = good_memfd();
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	fd = open(path, O_PATH | O_CLOEXEC);
	close(memfd);
	ASSERT_LE(0, fd);
	say_hello(_metadata, self, message_valid(HELLO), fd);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_hugetlb_memfd_is_refused)
{
	struct message m = message_valid(HELLO);
	int fd = memfd_with(2 << 20, GOOD_SEALS, MFD_HUGETLB);

	if (fd < 0)
		SKIP(return, "a hugetlb memfd cannot be had: %s", strerror(errno));
	self->acceptor.params.peer_size_max = 2 << 20;
	m.size = 2 << 20;
	say_hello(_metadata, self, m, fd);
	check_refused(_metadata, self, -EPROTO);
}

TEST_F(hello, a_memfd_of_another_size_than_announced_is_refused)
{
	static const size_t sizes[] = { 0, 4096, OWN_SIZE - 1, OWN_SIZE + 1, OWN_SIZE * 2 };
	size_t i;

	close(self->sockets[0]);
	close(self->sockets[1]);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, variant->type, 0, self->sockets));
		say_hello(_metadata, self, message_valid(HELLO),
			  memfd_with(sizes[i], GOOD_SEALS, 0));
		check_refused(_metadata, self, -EPROTO);
		end_close(&self->acceptor);
		close(self->sockets[0]);
		self->sockets[0] = -1;
	}
}

TEST_F(hello, a_size_that_no_region_can_have_is_refused)
{
	static const uint32_t sizes[] = { 0, 64, 4095, 4097, 0x7ffff001, UINT32_MAX };
	struct message m = message_valid(HELLO);
	size_t i;

	close(self->sockets[0]);
	close(self->sockets[1]);
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ASSERT_EQ(0, socketpair(AF_UNIX, variant->type, 0, self->sockets));
		self->acceptor.params.peer_size_max = UINT64_MAX;
		m.size = sizes[i];
		say_hello(_metadata, self, m, memfd_with(m.size, GOOD_SEALS, 0));
		check_refused(_metadata, self, -EPROTO);
		end_close(&self->acceptor);
		close(self->sockets[0]);
		self->sockets[0] = -1;
	}
}

TEST_F(hello, a_memfd_above_our_limit_is_e2big_and_not_even_looked_at)
{
	struct message m = message_valid(HELLO);

	m.size = PEER_SIZE_MAX + 4096;
	say_hello(_metadata, self, m, memfd_with(4096, 0, 0));
	check_refused(_metadata, self, -E2BIG);
}

TEST_F(hello, the_wrong_memfd_of_an_acceptor_is_not_taken_either)
{
	struct message m = message_valid(ANSWER);
	int memfd = memfd_with(OWN_SIZE, GOOD_SEALS & ~F_SEAL_SHRINK, 0);

	open_dialler(_metadata, self);
	EXPECT_EQ(-EAGAIN, end_step(&self->dialler));
	EXPECT_EQ(0, hand_send(self->sockets[1], &m, sizeof(m), &memfd, 1, true));
	close(memfd);
	EXPECT_EQ(-EPROTO, end_step(&self->dialler));
	EXPECT_EQ(NULL, self->dialler.region);
	EXPECT_EQ(0, self->dialler.nr_admits);
}

TEST_F(hello, the_peer_cannot_change_what_we_hand_it)
{
	char byte = 1, path[64];
	struct message m;
	int fd, memfd;
	void *p;

	open_dialler(_metadata, self);
	EXPECT_EQ(-EAGAIN, end_step(&self->dialler));
	ASSERT_EQ(sizeof(m), hand_receive(self->sockets[1], &m, &memfd));
	ASSERT_LE(0, memfd);

	EXPECT_EQ(MAP_FAILED, mmap(NULL, OWN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0));
	p = mmap(NULL, OWN_SIZE, PROT_READ, MAP_SHARED, memfd, 0);
	ASSERT_NE(MAP_FAILED, p);
	EXPECT_STREQ("dialler", p);
	EXPECT_EQ(-1, mprotect(p, OWN_SIZE, PROT_READ | PROT_WRITE));
	EXPECT_EQ(-1, madvise(p, OWN_SIZE, MADV_REMOVE));
	EXPECT_EQ(-1, pwrite(memfd, &byte, 1, 0));
	EXPECT_EQ(-1, ftruncate(memfd, 0));
	EXPECT_EQ(-1, ftruncate(memfd, OWN_SIZE * 2));
	EXPECT_EQ(-1, fallocate(memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096));
	EXPECT_EQ(-1, fcntl(memfd, F_ADD_SEALS, F_SEAL_WRITE));

	snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		EXPECT_EQ(MAP_FAILED, mmap(NULL, OWN_SIZE, PROT_WRITE, MAP_SHARED, fd, 0));
		EXPECT_EQ(-1, pwrite(fd, &byte, 1, 0));
		close(fd);
	}
	munmap(p, OWN_SIZE);
	close(memfd);
}

TEST_HARNESS_MAIN
