// SPDX-License-Identifier: LGPL-2.1-or-later
/* region.c - tests of bells, of sleep, and of death, between two processes */
#include <pthread.h>

#include "harness.h"

#include "base/barrier.h"
#include "effort.h"
#include "meeting.h"
#include "over.h"

/* Where the words are that ends sleep on; the regions are a page or more. */
#define KICKS 1024

static uint32_t *own_word(struct shmux__region *r)
{
	return (uint32_t *)((char *)r->own + KICKS);
}

static const uint32_t *peer_word(struct shmux__region *r)
{
	return (const uint32_t *)((const char *)r->peer + KICKS);
}

static void kick(struct shmux__region *r, uint32_t bells)
{
	__atomic_fetch_add(own_word(r), 1, __ATOMIC_RELEASE);
	r->ops->ring(r, own_word(r), bells);
}

static bool is_dead(struct shmux__region *r)
{
	return r->ops->check_alive(r) == -ECONNRESET;
}

/* --- both ends in this process ------------------------------------------ */

FIXTURE(region)
{
	int nr_fds;
	struct end dialler, acceptor;
	struct shmux__region *near, *far;
};

FIXTURE_VARIANT(region)
{
	int type;
	enum kernel kernel;
};

FIXTURE_VARIANT_ADD(region, seqpacket)
{
	.type = SOCK_SEQPACKET,
};

FIXTURE_VARIANT_ADD(region, stream)
{
	.type = SOCK_STREAM,
};

FIXTURE_VARIANT_ADD(region, seqpacket_on_linux_6_1)
{
	.type = SOCK_SEQPACKET,
	.kernel = KERNEL_6_1,
};

FIXTURE_VARIANT_ADD(region, stream_on_linux_5_2)
{
	.type = SOCK_STREAM,
	.kernel = KERNEL_5_2,
};

FIXTURE_SETUP(region)
{
	int sockets[2];

	ASSERT_EQ(0, kernel_pretend(variant->kernel));
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, over_pair(variant->type, sockets));
	end_init(&self->dialler, "dialler");
	end_init(&self->acceptor, "acceptor");
	ASSERT_EQ(0, end_open(&self->dialler, sockets[0], SHMUX_ROLE_DIALLER));
	ASSERT_EQ(0, end_open(&self->acceptor, sockets[1], SHMUX_ROLE_ACCEPTOR));
	ends_meet(&self->dialler, &self->acceptor);
	ASSERT_EQ(0, self->dialler.err);
	ASSERT_EQ(0, self->acceptor.err);
	self->near = self->dialler.region;
	self->far = self->acceptor.region;
}

FIXTURE_TEARDOWN(region)
{
	end_close(&self->dialler);
	end_close(&self->acceptor);
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

static void close_near(FIXTURE_DATA(region) *self)
{
	end_close(&self->dialler);
	self->near = NULL;
}

/* Sleeps in a thread of its own; the word and poke as they are now. */
struct sleeper {
	pthread_t thread;
	struct shmux__region *region;
	const uint32_t *poke;
	uint32_t seen;
	pid_t tid;
	int result;
};

static void *sleeper_run(void *arg)
{
	struct sleeper *s = arg;

	__atomic_store_n(&s->tid, gettid(), __ATOMIC_RELEASE);
	s->result = s->region->ops->sleep(s->region, peer_word(s->region), s->seen, s->poke,
					  LONG_ENOUGH);
	return NULL;
}

/* Return: whether it has come to sleep. */
static bool sleeper_start(struct sleeper *s, struct shmux__region *r, const uint32_t *poke)
{
	pid_t tid;

	memset(s, 0, sizeof(*s));
	s->region = r;
	s->poke = poke;
	s->seen = shmux_load_acquire(peer_word(r));
	if (pthread_create(&s->thread, NULL, sleeper_run, s))
		return false;
	return wait_until((tid = __atomic_load_n(&s->tid, __ATOMIC_ACQUIRE)) &&
			  process_sleeps(getpid(), tid));
}

static int sleeper_join(struct sleeper *s)
{
	pthread_join(s->thread, NULL);
	return s->result;
}

TEST_F(region, the_futex_bell_wakes_the_sleeper)
{
	struct sleeper s;

	ASSERT_TRUE(sleeper_start(&s, self->far, NULL));
	kick(self->near, SHMUX_ARMED_FUTEX);
	EXPECT_EQ(0, sleeper_join(&s));
}

TEST_F(region, the_futex_bell_wakes_one_who_can_be_poked_as_well)
{
	uint32_t poke = 0;
	struct sleeper s;

	ASSERT_TRUE(sleeper_start(&s, self->far, &poke));
	kick(self->near, SHMUX_ARMED_FUTEX);
	EXPECT_EQ(0, sleeper_join(&s));
}

/* Of the call that a thread is in; -1: of none, or it cannot be told just now. */
static long call_number(pid_t tid)
{
	char path[64];
	long number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
	file = fopen(path, "re");
	if (file && fscanf(file, "%ld", &number) != 1)
		number = -1;
	if (file)
		fclose(file);
	return number;
}

/* Under valgrind a thread may sleep for its turn, too. */
static bool sleeps_on_futex(pid_t tid)
{
	long number = -1;

	while (number == -1 && process_sleeps(getpid(), tid))
		number = call_number(tid);
	return number == SYS_futex;
}

/* A hostile one may park as many as it likes. */
TEST_F(region, a_ring_wakes_a_few_of_a_peers_threads_and_no_more)
{
	enum { NR = 40, AT_ONCE = 16 };
	struct sleeper sleepers[NR];
	int i, rings, asleep = NR;

	if (over_kmod())
		SKIP(return, "a kick of the module's wakes all who wait");
	for (i = 0; i < NR; i++)
		ASSERT_TRUE(sleeper_start(&sleepers[i], self->far, NULL) &&
			    wait_until(sleeps_on_futex(sleepers[i].tid)));
	for (rings = 0; asleep && rings < NR; rings++) {
		int before = asleep;

		kick(self->near, SHMUX_ARMED_FUTEX);
		/* Those that were woken are gone, or on their way. */
		for (i = asleep = 0; i < NR; i++)
			asleep += sleeps_on_futex(sleepers[i].tid);
		EXPECT_GE(AT_ONCE, before - asleep);
	}
	EXPECT_EQ(0, asleep);
	EXPECT_LE((NR + AT_ONCE - 1) / AT_ONCE, rings);
	for (i = 0; i < NR; i++)
		EXPECT_EQ(0, sleeper_join(&sleepers[i]));
}

TEST_F(region, a_poke_wakes_our_own_sleeper)
{
	uint32_t poke = 0;
	struct sleeper s;

	ASSERT_TRUE(sleeper_start(&s, self->far, &poke));
	shmux_store_release(&poke, 1);
	self->far->ops->poke(self->far, peer_word(self->far), &poke);
	EXPECT_EQ(0, sleeper_join(&s));
}

TEST_F(region, several_sleepers_wake_at_one_kick)
{
	struct sleeper s[3];
	int i;

	for (i = 0; i < 3; i++)
		ASSERT_TRUE(sleeper_start(&s[i], self->far, NULL));
	kick(self->near, SHMUX_ARMED_FUTEX);
	for (i = 0; i < 3; i++)
		EXPECT_EQ(0, sleeper_join(&s[i]));
}

TEST_F(region, nobody_sleeps_after_a_kick_that_came_before)
{
	uint32_t seen = shmux_load_acquire(peer_word(self->far)), poke = 0;

	kick(self->near, SHMUX_ARMED_FUTEX);
	EXPECT_EQ(0, self->far->ops->sleep(self->far, peer_word(self->far), seen, NULL,
					   UINT64_MAX));
	EXPECT_EQ(0, self->far->ops->sleep(self->far, peer_word(self->far), seen, &poke,
					   UINT64_MAX));
}

TEST_F(region, nobody_sleeps_after_a_poke_that_came_before)
{
	const uint32_t poke = 1;

	EXPECT_EQ(0, self->far->ops->sleep(self->far, peer_word(self->far), 0, &poke,
					   UINT64_MAX));
}

TEST_F(region, a_sleep_ends_when_its_time_has_passed)
{
	uint32_t poke = 0;
	uint64_t start = shmux_now();

	EXPECT_EQ(-ETIMEDOUT, self->far->ops->sleep(self->far, peer_word(self->far), 0, NULL,
						    20 * MSEC));
	EXPECT_LE(20 * MSEC, shmux_now() - start);
	start = shmux_now();
	EXPECT_EQ(-ETIMEDOUT, self->far->ops->sleep(self->far, peer_word(self->far), 0, &poke,
						    20 * MSEC));
	EXPECT_LE(20 * MSEC, shmux_now() - start);
	EXPECT_EQ(-ETIMEDOUT, self->far->ops->sleep(self->far, peer_word(self->far), 0, NULL, 0));
	EXPECT_EQ(-ETIMEDOUT, self->far->ops->sleep(self->far, peer_word(self->far), 0, &poke, 0));
}

/* Rung for, but not by a word that has changed: it was meant for another. */
TEST_F(region, a_ring_without_a_kick_ends_no_sleep_that_is_begun_after_it)
{
	uint32_t poke = 0;
	int i;

	for (i = 0; i < 3; i++)
		self->near->ops->ring(self->near, own_word(self->near), SHMUX_ARMED_FUTEX);
	EXPECT_EQ(-ETIMEDOUT, self->far->ops->sleep(self->far, peer_word(self->far), 0, NULL,
						    20 * MSEC));
	self->near->ops->ring(self->near, own_word(self->near), SHMUX_ARMED_FUTEX);
	EXPECT_EQ(-ETIMEDOUT, self->far->ops->sleep(self->far, peer_word(self->far), 0, &poke,
						    20 * MSEC));
}

TEST_F(region, a_sleeper_is_told_of_a_death_where_the_region_says_so)
{
	uint32_t poke = 0;
	struct sleeper s[2];

	if (!self->far->tells_death)
		SKIP(return, "a futex tells no death");
	ASSERT_TRUE(sleeper_start(&s[0], self->far, NULL));
	ASSERT_TRUE(sleeper_start(&s[1], self->far, &poke));
	close_near(self);
	EXPECT_EQ(-ECONNRESET, sleeper_join(&s[0]));
	EXPECT_EQ(-ECONNRESET, sleeper_join(&s[1]));
	/* And who comes late. */
	EXPECT_EQ(-ECONNRESET, self->far->ops->sleep(self->far, peer_word(self->far), 0, NULL,
						     LONG_ENOUGH));
}

/* As kick() and then a sleep of @timeout. */
static int kick_and_sleep(struct shmux__region *r, uint32_t seen, const uint32_t *poke,
			  uint64_t timeout)
{
	__atomic_fetch_add(own_word(r), 1, __ATOMIC_RELEASE);
	return r->ops->ring_and_sleep(r, own_word(r), SHMUX_ARMED_FUTEX, peer_word(r), seen, poke,
				      timeout);
}

TEST_F(region, a_ring_with_a_sleep_wakes_the_peer_and_sleeps)
{
	uint32_t poke = 0;
	struct sleeper s;

	if (!self->far->ops->ring_and_sleep)
		SKIP(return, "it takes two system calls");
	ASSERT_TRUE(sleeper_start(&s, self->near, NULL));
	EXPECT_EQ(-ETIMEDOUT, kick_and_sleep(self->far, 0, NULL, 20 * MSEC));
	EXPECT_EQ(0, sleeper_join(&s));
	ASSERT_TRUE(sleeper_start(&s, self->near, NULL));
	EXPECT_EQ(-ETIMEDOUT, kick_and_sleep(self->far, 0, &poke, 20 * MSEC));
	EXPECT_EQ(0, sleeper_join(&s));
}

TEST_F(region, a_ring_with_a_sleep_wakes_the_peer_though_there_is_no_need_to_sleep)
{
	const uint32_t poke = 1;
	struct sleeper s;

	if (!self->far->ops->ring_and_sleep)
		SKIP(return, "it takes two system calls");
	ASSERT_TRUE(sleeper_start(&s, self->near, NULL));
	EXPECT_EQ(0, kick_and_sleep(self->far, 0, &poke, UINT64_MAX));
	EXPECT_EQ(0, sleeper_join(&s));
	/* The word has changed already. */
	ASSERT_TRUE(sleeper_start(&s, self->near, NULL));
	EXPECT_EQ(0, kick_and_sleep(self->far, UINT32_MAX, NULL, UINT64_MAX));
	EXPECT_EQ(0, sleeper_join(&s));
	/* There is no time. */
	ASSERT_TRUE(sleeper_start(&s, self->near, NULL));
	EXPECT_EQ(-ETIMEDOUT, kick_and_sleep(self->far, 0, NULL, 0));
	EXPECT_EQ(0, sleeper_join(&s));
}

TEST_F(region, the_operations_leave_errno_alone)
{
	int fds[2];

	errno = 12345;
	self->far->ops->sleep(self->far, peer_word(self->far), 0, NULL, 0);
	self->far->ops->sleep(self->far, peer_word(self->far), 1, NULL, 0);
	self->far->ops->clear(self->far);
	self->far->ops->check_alive(self->far);
	self->far->ops->descriptors(self->far, fds);
	self->near->ops->hang_up(self->near);
	self->far->ops->ring(self->far, own_word(self->far), SHMUX_ARMED_SOCKET);
	EXPECT_EQ(12345, errno);
}

TEST_F(region, the_socket_bell_makes_a_descriptor_readable_until_it_is_cleared)
{
	int fds[2] = { -1, -1 };
	int i;

	ASSERT_LE(1, self->far->ops->descriptors(self->far, fds));
	EXPECT_FALSE(is_readable(fds[0]));
	for (i = 0; i < 3; i++)
		kick(self->near, SHMUX_ARMED_SOCKET);
	EXPECT_TRUE(is_readable(fds[0]));
	EXPECT_EQ(0, self->far->ops->clear(self->far));
	EXPECT_FALSE(is_readable(fds[0]));
	EXPECT_EQ(0, self->far->ops->clear(self->far));
}

TEST_F(region, kicks_to_a_peer_that_never_reads_never_block)
{
	int fds[2];

	for (uint32_t i = effort_count(100000); i--;)
		kick(self->near, SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
	ASSERT_LE(1, self->far->ops->descriptors(self->far, fds));
	EXPECT_TRUE(is_readable(fds[0]));
	EXPECT_EQ(0, self->far->ops->clear(self->far));
	EXPECT_FALSE(is_readable(fds[0]));
}

TEST_F(region, a_peer_that_floods_the_socket_is_cleared_in_bounded_steps)
{
	int fds[2], far_fds[2], size = 1 << 20, steps;
	char junk[1000] = { 0 };

	if (over_kmod())
		SKIP(return, OVER_SOCKETS);
	/* What a hostile peer could do with its end of the socket. */
	ASSERT_LE(1, self->near->ops->descriptors(self->near, fds));
	ASSERT_LE(1, self->far->ops->descriptors(self->far, far_fds));
	setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/* The second time descriptors are no longer looked for, on a new kernel. */
	for (int round = 0; round < 2; round++) {
		while (send(fds[0], junk, sizeof(junk), MSG_DONTWAIT) > 0)
			;
		for (steps = 0; is_readable(far_fds[0]) && steps < 1000; steps++)
			ASSERT_EQ(0, self->far->ops->clear(self->far));
		EXPECT_LT(1, steps);
		EXPECT_LT(steps, 1000);
	}
}

TEST_F(region, descriptors_that_a_peer_sends_with_a_kick_do_not_stay)
{
	int before = process_nr_fds(), fds[2], i, ret;

	if (over_kmod())
		SKIP(return, OVER_SOCKETS);
	ASSERT_LE(1, self->near->ops->descriptors(self->near, fds));
	for (i = 0; i < 3; i++) {
		ret = hand_send(fds[0], "", 1, (int[]){ 0, 1, 2 }, 3, true);
		/* Linux 6.16 can be told to let none through. */
		ASSERT_TRUE(ret == 0 || (ret == -EPERM && variant->kernel == KERNEL_THIS));
	}
	EXPECT_EQ(0, self->far->ops->clear(self->far));
	EXPECT_EQ(before, process_nr_fds());
}

TEST_F(region, a_close_is_seen_as_death)
{
	int fds[2];

	EXPECT_FALSE(is_dead(self->far));
	ASSERT_LE(1, self->far->ops->descriptors(self->far, fds));
	close_near(self);
	EXPECT_TRUE(is_dead(self->far));
	EXPECT_TRUE(is_readable(fds[0]));
	EXPECT_EQ(-ECONNRESET, self->far->ops->clear(self->far));
}

TEST_F(region, kicks_after_death_do_no_harm)
{
	close_near(self);
	kick(self->far, SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
	EXPECT_TRUE(is_dead(self->far));
}

TEST_F(region, what_the_peer_wrote_outlives_it)
{
	close_near(self);
	EXPECT_STREQ("dialler", (const char *)self->far->peer);
}

TEST_F(region, a_hang_up_is_seen_as_death_and_keeps_the_memory)
{
	self->near->ops->hang_up(self->near);
	EXPECT_TRUE(is_dead(self->far));
	EXPECT_TRUE(is_dead(self->near));
	EXPECT_EQ(-ECONNRESET, self->near->ops->clear(self->near));
	EXPECT_STREQ("acceptor", (const char *)self->near->peer);
	EXPECT_STREQ("dialler", (const char *)self->near->own);
}

TEST_F(region, half_a_hang_up_is_death)
{
	int fds[2];

	if (over_kmod())
		SKIP(return, OVER_SOCKETS);
	ASSERT_LE(1, self->near->ops->descriptors(self->near, fds));
	ASSERT_EQ(0, shutdown(fds[0], SHUT_WR));
	EXPECT_TRUE(is_dead(self->far));
}

TEST_F(region, a_forked_child_has_neither_mapping)
{
	int status;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		unsigned char pages[OWN_SIZE / 4096];

		_exit(!mincore(self->near->own, OWN_SIZE, pages) ||
		      !mincore((void *)(uintptr_t)self->near->peer, OWN_SIZE, pages));
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
}

TEST_F(region, a_forked_child_that_closes_its_copy_ends_nothing_and_unmaps_nothing)
{
	int status;
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		char *p = mmap(self->near->own, OWN_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

		*p = 7;
		end_close(&self->dialler);
		_exit(*p != 7);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
	EXPECT_FALSE(is_dead(self->far));
	EXPECT_FALSE(is_dead(self->near));
}

TEST_F(region, a_close_is_seen_while_a_forked_child_holds_the_descriptors)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		pause();
		_exit(0);
	}
	close_near(self);
	EXPECT_TRUE(is_dead(self->far));
	kill_and_reap(child);
}

TEST_F(region, an_untouched_region_costs_one_page)
{
	unsigned char pages[OWN_SIZE / 4096];
	int resident = 0;
	size_t i;

	ASSERT_EQ(0, mincore(self->near->own, OWN_SIZE, pages));
	for (i = 0; i < sizeof(pages); i++)
		resident += pages[i] & 1;
	EXPECT_EQ(1, resident);
}

/* --- the far end in a process of its own -------------------------------- */

FIXTURE(process)
{
	int nr_fds;
	int say[2];		/* the child tells us something */
	pid_t child;		/* the acceptor */
	struct end dialler;
	struct shmux__region *near;
};

FIXTURE_VARIANT(process)
{
	enum kernel kernel;
};

FIXTURE_VARIANT_ADD(process, this_kernel)
{
	.kernel = KERNEL_THIS,
};

FIXTURE_VARIANT_ADD(process, linux_6_1)
{
	.kernel = KERNEL_6_1,
};

FIXTURE_VARIANT_ADD(process, linux_5_2)
{
	.kernel = KERNEL_5_2,
};

FIXTURE_SETUP(process)
{
	ASSERT_EQ(0, kernel_pretend(variant->kernel));
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, pipe2(self->say, O_CLOEXEC));
}

FIXTURE_TEARDOWN(process)
{
	end_close(&self->dialler);
	if (self->child > 0)
		kill_and_reap(self->child);
	close(self->say[0]);
	close(self->say[1]);
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

/* A child accepts and goes on in @then; we have dialled. */
static void meet_child(struct __test_metadata *_metadata, FIXTURE_DATA(process) *self,
		       void (*then)(FIXTURE_DATA(process) *self, struct shmux__region *r))
{
	int sockets[2];

	ASSERT_EQ(0, over_pair(SOCK_SEQPACKET, sockets));
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		struct end acceptor;

		close(sockets[0]);
		end_init(&acceptor, "acceptor");
		if (end_open(&acceptor, sockets[1], SHMUX_ROLE_ACCEPTOR) ||
		    end_finish(&acceptor))
			_exit(1);
		then(self, acceptor.region);
		_exit(0);
	}
	close(sockets[1]);
	end_init(&self->dialler, "dialler");
	ASSERT_EQ(0, end_open(&self->dialler, sockets[0], SHMUX_ROLE_DIALLER));
	ASSERT_EQ(0, end_finish(&self->dialler));
	self->near = self->dialler.region;
}

static void answer_kicks(FIXTURE_DATA(process) *self, struct shmux__region *r)
{
	uint32_t seen = 0;

	(void)self;
	while (!is_dead(r)) {
		if (r->ops->sleep(r, peer_word(r), seen, NULL, 50 * MSEC) ||
		    shmux_load_acquire(peer_word(r)) == seen)
			continue;
		seen++;
		kick(r, SHMUX_ARMED_FUTEX);
	}
}

static void wait_to_be_killed(FIXTURE_DATA(process) *self, struct shmux__region *r)
{
	(void)r;
	if (write(self->say[1], "", 1) == 1)
		pause();
}

/* Leave a child behind that has every descriptor, then wait. */
static void fork_and_wait(FIXTURE_DATA(process) *self, struct shmux__region *r)
{
	pid_t grandchild = fork();

	(void)r;
	if (!grandchild) {
		pause();
		_exit(0);
	}
	if (write(self->say[1], &grandchild, sizeof(grandchild)) == sizeof(grandchild))
		pause();
}

static void write_and_leave(FIXTURE_DATA(process) *self, struct shmux__region *r)
{
	(void)self;
	strcpy(r->own, "last words");
}

TEST_F(process, two_processes_wake_each_other_by_futex)
{
	uint32_t i;

	meet_child(_metadata, self, answer_kicks);
	for (i = 0; i < 200; i++) {
		kick(self->near, SHMUX_ARMED_FUTEX);
		while (shmux_load_acquire(peer_word(self->near)) == i)
			ASSERT_EQ(0, self->near->ops->sleep(self->near, peer_word(self->near), i,
							    NULL, LONG_ENOUGH));
	}
}

TEST_F(process, a_killed_peer_is_dead_at_once)
{
	char byte;
	int fds[2];

	meet_child(_metadata, self, wait_to_be_killed);
	ASSERT_EQ(1, read(self->say[0], &byte, 1));
	EXPECT_FALSE(is_dead(self->near));
	kill_and_reap(self->child);
	self->child = 0;

	EXPECT_TRUE(is_dead(self->near));
	ASSERT_LE(1, self->near->ops->descriptors(self->near, fds));
	EXPECT_TRUE(is_readable(fds[0]));
	EXPECT_EQ(-ECONNRESET, self->near->ops->clear(self->near));
	EXPECT_STREQ("acceptor", (const char *)self->near->peer);
}

TEST_F(process, a_killed_peer_is_dead_while_its_child_holds_the_descriptors)
{
	struct pollfd polls[2] = { { .events = POLLIN }, { .events = POLLIN } };
	pid_t grandchild;
	int fds[2], nr;

	meet_child(_metadata, self, fork_and_wait);
	ASSERT_EQ(sizeof(grandchild), read(self->say[0], &grandchild, sizeof(grandchild)));
	EXPECT_FALSE(is_dead(self->near));
	kill(self->child, SIGKILL);

	/* Without pidfds the hang-up is all there is, but for the module. */
	if (!over_kmod() && !kernel_has_pidfds()) {
		ASSERT_EQ(1, self->near->ops->descriptors(self->near, fds));
		usleep(10000);
		EXPECT_FALSE(is_dead(self->near));
		kill(grandchild, SIGKILL);
		EXPECT_TRUE(wait_until(is_dead(self->near)));
		return;
	}
	/* It need not be reaped, and the descriptors tell it to a poll. */
	nr = self->near->ops->descriptors(self->near, fds);
	ASSERT_EQ(over_kmod() ? 1 : 2, nr);
	polls[0].fd = fds[0];
	polls[1].fd = fds[1];
	EXPECT_EQ(1, poll(polls, (nfds_t)nr, 10000));
	EXPECT_TRUE(is_dead(self->near));
	EXPECT_EQ(-ECONNRESET, self->near->ops->clear(self->near));
	kill(grandchild, SIGKILL);
}

TEST_F(process, what_a_peer_said_before_it_exits_can_be_read_by_who_comes_late)
{
	int sockets[2], status;

	ASSERT_EQ(0, over_pair(SOCK_SEQPACKET, sockets));
	end_init(&self->dialler, "dialler");
	ASSERT_EQ(0, end_open(&self->dialler, sockets[0], SHMUX_ROLE_DIALLER));
	ASSERT_EQ(-EAGAIN, end_step(&self->dialler));
	self->child = fork();
	ASSERT_LE(0, self->child);
	if (!self->child) {
		struct end acceptor;

		end_init(&acceptor, "acceptor");
		if (end_open(&acceptor, sockets[1], SHMUX_ROLE_ACCEPTOR) ||
		    end_finish(&acceptor))
			_exit(1);
		write_and_leave(self, acceptor.region);
		_exit(0);
	}
	/* It is reaped; that we hold its end of the socket hides the hang-up. */
	waitpid(self->child, &status, 0);
	EXPECT_EQ(0, status);
	self->child = 0;

	ASSERT_EQ(0, end_step(&self->dialler));
	EXPECT_STREQ("last words", (const char *)self->dialler.region->peer);
	if (!over_kmod() && !kernel_has_pidfds()) { /* wait for the hang-up */
		close(sockets[1]);
		sockets[1] = -1;
	}
	EXPECT_TRUE(is_dead(self->dialler.region));
	EXPECT_EQ(-ECONNRESET, self->dialler.region->ops->clear(self->dialler.region));
	if (sockets[1] >= 0)
		close(sockets[1]);
}

TEST_F(process, a_peer_that_exits_is_dead)
{
	meet_child(_metadata, self, write_and_leave);
	EXPECT_TRUE(wait_until(is_dead(self->near)));
}

TEST_HARNESS_MAIN
