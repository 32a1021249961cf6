// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * death.c - what is the end of a session, and what is not
 */
#include <sched.h>
#include <sys/eventfd.h>

#include "device.h"
#include "effort.h"
#include "pattern.h"
#include "process.h"
#include "usage.h"
#include "worker.h"

/* Another process at the other end of a session that is open. */
struct far {
	struct child child;
	int near;
};

/* It runs @work with its end, which it owns, and exits. */
static void far_start(struct __test_metadata *_metadata, struct far *f,
		      void (*work)(struct child *c, int fd))
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	if (child_fork(&f->child)) {
		close(ends.near);
		must(!end_create(ends.far));
		must(!end_meet(ends.far, HANGS));
		child_say(&f->child, 'm');
		work(&f->child, ends.far);
		_exit(0);
	}
	close(ends.far);
	f->near = ends.near;
	ASSERT_EQ(0, end_create(f->near));
	ASSERT_EQ(0, end_meet(f->near, HANGS));
	ASSERT_EQ('m', child_hear(&f->child));
}

#define HUP (POLLHUP | POLLRDHUP)

/* What a survivor is told from now on, however it asks. */
#define EXPECT_OVER(fd)                                                      \
	do {                                                                 \
		uint32_t seen_ = 0;                                          \
                                                                             \
		EXPECT_EQ(POLLIN | HUP, file_await(fd, POLLIN | POLLRDHUP)); \
		EXPECT_EQ(-ECONNRESET, end_wait(fd, &seen_, HANGS));         \
		EXPECT_EQ(-ECONNRESET, end_kick(fd));                        \
	} while (0)

#define EXPECT_ALIVE(fd)                                           \
	do {                                                       \
		uint32_t seen_ = 0;                                \
                                                                   \
		EXPECT_EQ(0, file_polls(fd, HUP));                 \
		EXPECT_EQ(-EAGAIN, end_wait(fd, &seen_, NO_WAIT)); \
		EXPECT_EQ(0, end_kick(fd));                        \
	} while (0)

static void work_listen(struct child *c, int fd)
{
	child_hear(c);
}

static void work_close(struct child *c, int fd)
{
	child_hear(c);
	close(fd);
	child_say(c, 'c');
	child_hear(c);
}

static void work_wait(struct child *c, int fd)
{
	uint32_t seen = 0;

	end_wait(fd, &seen, SHMUX_FOREVER);
	child_hear(c);
}

static void work_poll(struct child *c, int fd)
{
	file_await(fd, POLLIN);
	child_hear(c);
}

/* Other threads wait and poll while the first one kicks. */
static void work_threads(struct child *c, int fd)
{
	struct worker workers[3];

	for (int i = 0; i < 3; i++)
		worker_start(&workers[i], end_wait_job, &fd);
	child_say(c, 't');
	for (;;)
		must(!end_kick(fd));
}

static void lives_until_it_exits(struct __test_metadata *_metadata, struct far *f)
{
	EXPECT_ALIVE(f->near);
	child_say(&f->child, 'x');
	EXPECT_EQ(0, child_end(&f->child));
	EXPECT_OVER(f->near);
	close(f->near);
}

/* --- the ways to die -------------------------------------------------------------- */

TEST(close_of_the_last_descriptor_is_the_end)
{
	struct far f;

	far_start(_metadata, &f, work_close);
	EXPECT_ALIVE(f.near);
	child_say(&f.child, 'c');
	ASSERT_EQ('c', child_hear(&f.child));
	EXPECT_OVER(f.near);
	child_kill(&f.child);
	close(f.near);
}

TEST(close_of_a_copy_is_not_the_end)
{
	struct ends ends;
	int copy;

	ASSERT_EQ(0, ends_open(&ends));
	copy = dup(ends.far);
	close(ends.far);
	EXPECT_ALIVE(ends.near);
	close(copy);
	EXPECT_OVER(ends.near);
	close(ends.near);
}

TEST(exit_is_the_end)
{
	struct far f;

	far_start(_metadata, &f, work_listen);
	lives_until_it_exits(_metadata, &f);
}

FIXTURE(kill)
{
	struct usage before;
	struct far far;
};

FIXTURE_VARIANT(kill)
{
	void (*work)(struct child * c, int fd);
	bool in_kernel;
	bool said;
};

FIXTURE_VARIANT_ADD(kill, who_does_nothing){ .work = work_listen, .in_kernel = true };
FIXTURE_VARIANT_ADD(kill, who_waits){ .work = work_wait, .in_kernel = true };
FIXTURE_VARIANT_ADD(kill, who_polls){ .work = work_poll, .in_kernel = true };
FIXTURE_VARIANT_ADD(kill, of_several_threads){ .work = work_threads, .said = true };

FIXTURE_SETUP(kill)
{
	ASSERT_TRUE(usage_becomes_none(&self->before));
	far_start(_metadata, &self->far, variant->work);
	if (variant->said)
		ASSERT_EQ('t', child_hear(&self->far.child));
	if (variant->in_kernel)
		ASSERT_TRUE(wait_until(process_sleeps(self->far.child.pid, self->far.child.pid)));
}

FIXTURE_TEARDOWN(kill)
{
	struct usage is;

	close(self->far.near);
	EXPECT_TRUE(usage_becomes(&self->before, &is));
}

static int64_t wait_to_the_end_job(void *arg)
{
	uint32_t seen = 0;
	int err;

	do
		err = end_wait(*(int *)arg, &seen, HANGS);
	while (!err);
	return err;
}

TEST_F(kill, is_seen_by_who_waits_before_the_dead_is_reaped)
{
	struct worker waiter;

	worker_start(&waiter, wait_to_the_end_job, &self->far.near);
	if (variant->in_kernel)
		ASSERT_TRUE(worker_wait_blocked(&waiter));

	kill(self->far.child.pid, SIGKILL);

	EXPECT_EQ(-ECONNRESET, worker_join(&waiter));
	EXPECT_EQ(POLLIN | HUP, file_await(self->far.near, POLLIN | POLLRDHUP));
	EXPECT_EQ(-SIGKILL, child_end(&self->far.child));
}

TEST_F(kill, is_seen_by_who_polls)
{
	kill(self->far.child.pid, SIGKILL);

	EXPECT_EQ(POLLHUP, file_await(self->far.near, 0));
	EXPECT_EQ(-SIGKILL, child_end(&self->far.child));
}

/* --- in each state -------------------------------------------------------------------- */

/* A child to be killed, which connects to us, or listens to ends of ours. */
FIXTURE(state)
{
	struct usage before;
	char ours[SHMUX_NAME_SIZE], its[SHMUX_NAME_SIZE]; /* names */
	int listener, first; /* ours, and who fills its queue */
	int ends[2]; /* that have connected to the child */
	struct child child;
};

FIXTURE_VARIANT(state)
{
	/* Return: a file in the state. @listener is the child's, if it has one. */
	int (*reach)(const char *ours, int listener);
	/* Then it sleeps: in this, or until it hears from us. */
	int (*sleep)(const char *ours, int fd);
	bool listens;
	int nr_ends;
	int told; /* what MEET says to those afterwards */
};

static int reach_nothing(const char *ours, int listener)
{
	return device_open();
}

static int reach_listener(const char *ours, int listener)
{
	return listener;
}

static int reach_region(const char *ours, int listener)
{
	int fd = end_new();
	char *own = region_map_own(fd, SMALL);

	must(own != MAP_FAILED);
	*own = 1;
	return fd;
}

static int reach_pair(const char *ours, int listener)
{
	struct ends ends;

	must(!ends_pair(&ends));
	return ends.near;
}

static int reach_queue(const char *ours, int listener)
{
	return end_new_queued(ours, NO_WAIT);
}

static int reach_accepted(const char *ours, int listener)
{
	return listener_accept(listener, NO_WAIT);
}

static int reach_accepted_with_region(const char *ours, int listener)
{
	int fd = reach_accepted(ours, listener);

	must(!end_create(fd));
	return fd;
}

static int reach_met(const char *ours, int listener)
{
	int fd = reach_accepted_with_region(ours, listener);

	must(!end_meet(fd, NO_WAIT));
	return fd;
}

static int reach_mapped(const char *ours, int listener)
{
	int fd = reach_met(ours, listener);
	char *own = region_map_own(fd, SMALL), *theirs = region_map_peer(fd, SMALL);

	must(own != MAP_FAILED && theirs != MAP_FAILED);
	*own = *(volatile char *)theirs;
	return fd;
}

static int reach_hung_up(const char *ours, int listener)
{
	int fd = reach_met(ours, listener);

	must(!file_hang_up(fd));
	return fd;
}

static int sleep_in_connect(const char *ours, int fd)
{
	return end_connect(fd, ours, HANGS);
}

static int sleep_in_accept(const char *ours, int fd)
{
	return listener_accept(fd, HANGS);
}

static int sleep_in_meet(const char *ours, int fd)
{
	return end_meet(fd, HANGS);
}

static int sleep_in_wait(const char *ours, int fd)
{
	uint32_t seen = 0;

	return end_wait(fd, &seen, HANGS);
}

static int sleep_in_poll(const char *ours, int fd)
{
	return file_await(fd, POLLIN);
}

#define LISTENS(nr, then) .listens = true, .nr_ends = (nr), .told = (then)

FIXTURE_VARIANT_ADD(state, nothing_yet){ .reach = reach_nothing };
FIXTURE_VARIANT_ADD(state, listener){ .reach = reach_listener, LISTENS(0, 0) };
FIXTURE_VARIANT_ADD(state, listener_with_a_queue){
	.reach = reach_listener,
	LISTENS(2, -ECONNREFUSED),
};
FIXTURE_VARIANT_ADD(state, in_accept){
	.reach = reach_listener,
	.sleep = sleep_in_accept,
	LISTENS(0, 0),
};
FIXTURE_VARIANT_ADD(state, lone_with_region){ .reach = reach_region };
FIXTURE_VARIANT_ADD(state, pair_without_regions){ .reach = reach_pair };
FIXTURE_VARIANT_ADD(state, in_connect_for_room){
	.reach = reach_region,
	.sleep = sleep_in_connect,
};
FIXTURE_VARIANT_ADD(state, queued){ .reach = reach_queue };
FIXTURE_VARIANT_ADD(state, in_meet){ .reach = reach_queue, .sleep = sleep_in_meet };
FIXTURE_VARIANT_ADD(state, accepted_without_region){
	.reach = reach_accepted,
	LISTENS(1, -ECONNRESET),
};
FIXTURE_VARIANT_ADD(state, accepted_with_region){
	.reach = reach_accepted_with_region,
	LISTENS(1, -ECONNRESET),
};
FIXTURE_VARIANT_ADD(state, met){ .reach = reach_met, LISTENS(1, 0) };
FIXTURE_VARIANT_ADD(state, mapped){ .reach = reach_mapped, LISTENS(1, 0) };
FIXTURE_VARIANT_ADD(state, in_wait){
	.reach = reach_met,
	.sleep = sleep_in_wait,
	LISTENS(1, 0),
};
FIXTURE_VARIANT_ADD(state, in_poll){
	.reach = reach_met,
	.sleep = sleep_in_poll,
	LISTENS(1, 0),
};
FIXTURE_VARIANT_ADD(state, hung_up){ .reach = reach_hung_up, LISTENS(1, 0) };

FIXTURE_SETUP(state)
{
	strcpy(self->ours, name_new());
	strcpy(self->its, name_new());
	ASSERT_TRUE(usage_becomes_none(&self->before));
	self->listener = listener_new_for(self->ours, 1, EVERYBODY);
	ASSERT_LE(0, self->listener);
	self->first = -1;
	if (variant->sleep == sleep_in_connect) {
		self->first = end_new_queued(self->ours, NO_WAIT);
		ASSERT_LE(0, self->first);
	}
	ASSERT_EQ(0, usage_get(&self->before));
	if (child_fork(&self->child)) {
		int fd = variant->listens ? listener_new(self->its) : -1;

		child_say(&self->child, 'l');
		child_hear(&self->child);
		fd = variant->reach(self->ours, fd);
		must(fd >= 0);
		child_say(&self->child, 's');
		if (variant->sleep)
			variant->sleep(self->ours, fd);
		child_hear(&self->child);
		_exit(1);
	}
	ASSERT_EQ('l', child_hear(&self->child));
	for (int i = 0; i < variant->nr_ends; i++) {
		self->ends[i] = end_new_queued(self->its, NO_WAIT);
		ASSERT_LE(0, self->ends[i]);
	}
	child_say(&self->child, 'c');
	ASSERT_EQ('s', child_hear(&self->child));
	ASSERT_TRUE(wait_until(process_sleeps(self->child.pid, self->child.pid)));
}

FIXTURE_TEARDOWN(state)
{
	if (self->first >= 0)
		close(self->first);
	close(self->listener);
}

TEST_F(state, in_which_one_is_killed_leaves_nothing)
{
	struct usage is;

	ASSERT_EQ(0, usage_get(&is));
	EXPECT_EQ(variant->reach != reach_nothing, !!memcmp(&self->before, &is, sizeof(is)));

	EXPECT_EQ(-SIGKILL, child_kill(&self->child));

	for (int i = 0; i < variant->nr_ends; i++) {
		EXPECT_EQ(variant->told, end_meet(self->ends[i], HANGS));
		EXPECT_EQ(POLLHUP, file_await(self->ends[i], 0));
		close(self->ends[i]);
	}
	EXPECT_TRUE(usage_becomes(&self->before, &is));
}

/* --- on the way to a session ---------------------------------------------------------- */

/* A listener here; the child connects and meets, or says how far it has come. */
struct dial {
	int listener;
	char name[SHMUX_NAME_SIZE];
	struct child child;
};

static void dial_start(struct __test_metadata *_metadata, struct dial *d, uint32_t backlog)
{
	strcpy(d->name, name_new());
	d->listener = listener_new_for(d->name, backlog, EVERYBODY);
	ASSERT_LE(0, d->listener);
	if (child_fork(&d->child)) {
		int fd = end_new();

		child_say(&d->child, 'r');
		child_hear(&d->child);
		must(!end_connect(fd, d->name, HANGS));
		child_say(&d->child, 'q');
		end_meet(fd, HANGS);
		child_hear(&d->child);
		_exit(0);
	}
	ASSERT_EQ('r', child_hear(&d->child));
}

static void dial_queue(struct __test_metadata *_metadata, struct dial *d)
{
	child_say(&d->child, 'g');
	ASSERT_EQ('q', child_hear(&d->child));
	ASSERT_TRUE(wait_until(process_sleeps(d->child.pid, d->child.pid)));
}

TEST(connector_that_is_killed_in_the_queue_is_not_accepted)
{
	struct dial d;

	dial_start(_metadata, &d, 1);
	dial_queue(_metadata, &d);
	EXPECT_EQ(POLLIN, file_polls(d.listener, POLLIN));
	EXPECT_EQ(-SIGKILL, child_kill(&d.child));
	EXPECT_EQ(0, file_polls(d.listener, POLLIN));
	EXPECT_EQ(-EAGAIN, listener_accept(d.listener, NO_WAIT));
	close(d.listener);
}

TEST(connector_that_is_killed_while_it_waits_for_room_is_not_queued)
{
	struct dial d;
	int end, far;

	dial_start(_metadata, &d, 1);
	end = end_new_queued(d.name, NO_WAIT);
	child_say(&d.child, 'g');
	ASSERT_TRUE(wait_until(process_sleeps(d.child.pid, d.child.pid)));
	EXPECT_EQ(-SIGKILL, child_kill(&d.child));

	far = listener_accept(d.listener, NO_WAIT);
	EXPECT_LE(0, far);
	EXPECT_EQ(-EAGAIN, listener_accept(d.listener, NO_WAIT));
	close(far);
	close(end);
	close(d.listener);
}

TEST(connector_that_is_killed_when_accepted_is_dead_to_the_acceptor)
{
	struct shmux_ioc_peer peer;
	struct dial d;
	int far;

	dial_start(_metadata, &d, 1);
	dial_queue(_metadata, &d);
	far = listener_accept(d.listener, NO_WAIT);
	ASSERT_LE(0, far);
	EXPECT_EQ(-SIGKILL, child_kill(&d.child));
	EXPECT_OVER(far);
	EXPECT_EQ(-ECONNRESET, end_create(far));
	EXPECT_EQ(0, end_peer(far, &peer));
	EXPECT_EQ(SMALL, peer.region_size);
	close(far);
	close(d.listener);
}

TEST(connector_that_is_killed_when_the_acceptor_has_a_region_is_not_met)
{
	struct dial d;
	int far;

	dial_start(_metadata, &d, 1);
	dial_queue(_metadata, &d);
	far = listener_accept(d.listener, NO_WAIT);
	ASSERT_EQ(0, end_create(far));
	EXPECT_EQ(-SIGKILL, child_kill(&d.child));
	EXPECT_EQ(-ECONNRESET, end_meet(far, HANGS));
	EXPECT_OVER(far);
	close(far);
	close(d.listener);
}

/* The child listens, and accepts if it is told to. */
static void listener_start(struct __test_metadata *_metadata, struct child *c, const char *name,
			   bool accepts)
{
	if (child_fork(c)) {
		int fd = listener_new(name), end;

		must(fd >= 0);
		child_say(c, 'l');
		if (accepts) {
			end = listener_accept(fd, HANGS);
			must(end >= 0);
			child_say(c, 'a');
		}
		child_hear(c);
		_exit(0);
	}
	ASSERT_EQ('l', child_hear(c));
}

static int64_t meet_job(void *arg)
{
	return end_meet(*(int *)arg, HANGS);
}

TEST(listener_that_is_killed_leaves_the_queue_refused)
{
	const char *name = name_new();
	struct worker worker;
	struct child c;
	int ends[2];

	listener_start(_metadata, &c, name, false);
	for (int i = 0; i < 2; i++) {
		ends[i] = end_new_queued(name, NO_WAIT);
		ASSERT_LE(0, ends[i]);
	}
	worker_start(&worker, meet_job, &ends[0]);
	ASSERT_TRUE(worker_wait_blocked(&worker));

	EXPECT_EQ(-SIGKILL, child_kill(&c));

	EXPECT_EQ(-ECONNREFUSED, worker_join(&worker));
	EXPECT_EQ(-ECONNREFUSED, end_meet(ends[1], NO_WAIT));
	EXPECT_EQ(POLLIN | HUP, file_polls(ends[1], POLLIN | POLLRDHUP));
	EXPECT_EQ(-ECONNREFUSED, end_new_queued(name, NO_WAIT));
	close(ends[0]);
	close(ends[1]);
}

TEST(listener_that_is_killed_while_it_accepts_frees_the_name)
{
	const char *name = name_new();
	struct child c;
	int fd;

	listener_start(_metadata, &c, name, true);
	ASSERT_TRUE(wait_until(process_sleeps(c.pid, c.pid)));
	EXPECT_EQ(-SIGKILL, child_kill(&c));
	fd = listener_new(name);
	EXPECT_LE(0, fd);
	close(fd);
}

TEST(acceptor_that_is_killed_before_it_is_ready_is_not_met)
{
	const char *name = name_new();
	struct worker worker;
	struct child c;
	int end;

	listener_start(_metadata, &c, name, true);
	end = end_new_queued(name, HANGS);
	ASSERT_LE(0, end);
	ASSERT_EQ('a', child_hear(&c));
	worker_start(&worker, meet_job, &end);
	ASSERT_TRUE(worker_wait_blocked(&worker));

	EXPECT_EQ(-SIGKILL, child_kill(&c));

	EXPECT_EQ(-ECONNRESET, worker_join(&worker));
	EXPECT_OVER(end);
	close(end);
}

/* --- copies --------------------------------------------------------------------------------- */

/*
 * A process that holds a copy of what its parent has, while the test has hold of
 * the leash.
 */
static void hold_copies(int leash[2])
{
	char byte;
	pid_t pid = fork();

	must(pid >= 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, 0);
		close(leash[1]);
		must(!read(leash[0], &byte, 1));
		_exit(0);
	}
}

FIXTURE(copy)
{
	struct far far;
	int leash[2];
};

static int leash_of_holder[2];

static void work_with_holder(struct child *c, int fd)
{
	hold_copies(leash_of_holder);
	close(leash_of_holder[1]);
	child_say(c, 'h');
	switch (child_hear(c)) {
	case 'x':
		_exit(0);
	case 'k':
		raise(SIGKILL);
		break;
	case 'c':
		close(fd);
		child_say(c, 'c');
		child_hear(c);
	}
	_exit(0);
}

FIXTURE_SETUP(copy)
{
	ASSERT_EQ(0, pipe2(leash_of_holder, O_CLOEXEC));
	memcpy(self->leash, leash_of_holder, sizeof(self->leash));
	far_start(_metadata, &self->far, work_with_holder);
	ASSERT_EQ('h', child_hear(&self->far.child));
	close(self->leash[0]);
}

FIXTURE_TEARDOWN(copy)
{
	if (self->leash[1] >= 0)
		close(self->leash[1]);
	close(self->far.near);
}

TEST_F(copy, of_a_child_does_not_hide_that_its_owner_has_exited)
{
	child_say(&self->far.child, 'x');
	EXPECT_EQ(0, child_end(&self->far.child));
	EXPECT_OVER(self->far.near);
}

TEST_F(copy, of_a_child_does_not_hide_that_its_owner_was_killed)
{
	child_say(&self->far.child, 'k');
	EXPECT_EQ(-SIGKILL, child_end(&self->far.child));
	EXPECT_OVER(self->far.near);
}

TEST_F(copy, of_a_child_keeps_what_its_owner_has_closed)
{
	child_say(&self->far.child, 'c');
	ASSERT_EQ('c', child_hear(&self->far.child));
	EXPECT_ALIVE(self->far.near);
	EXPECT_EQ(-SIGKILL, child_kill(&self->far.child));
	EXPECT_ALIVE(self->far.near);

	close(self->leash[1]);
	self->leash[1] = -1;
	EXPECT_OVER(self->far.near);
}

TEST(copy_that_a_child_closes_or_takes_along_is_not_missed)
{
	struct ends ends;
	struct child c;

	ASSERT_EQ(0, ends_open(&ends));
	if (child_fork(&c)) {
		close(ends.near);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_ALIVE(ends.near);
	EXPECT_EQ(0, file_polls(ends.far, HUP));
	ends_close(&ends);
}

/* --- owners ----------------------------------------------------------------------------------- */

TEST(owner_is_who_has_adopted)
{
	struct ends ends;
	struct child c;

	ASSERT_EQ(0, ends_open(&ends));
	if (child_fork(&c)) {
		must(!file_adopt(ends.far));
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_OVER(ends.near);
	ends_close(&ends);
}

TEST(owner_is_who_has_made_the_region)
{
	struct ends ends;
	struct child c;

	ASSERT_EQ(0, ends_pair(&ends));
	if (child_fork(&c)) {
		must(!end_create(ends.far));
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_OVER(ends.near);
	ends_close(&ends);
}

TEST(owner_is_who_has_connected)
{
	const char *name = name_new();
	int listener = listener_new(name), end = end_new(), far;
	struct child c;

	if (child_fork(&c)) {
		must(!end_connect(end, name, NO_WAIT));
		child_say(&c, 'q');
		child_hear(&c);
		_exit(0);
	}
	ASSERT_EQ('q', child_hear(&c));
	far = listener_accept(listener, NO_WAIT);
	ASSERT_LE(0, far);
	child_say(&c, 'x');
	EXPECT_EQ(0, child_end(&c));
	EXPECT_OVER(far);
	close(far);
	close(end);
	close(listener);
}

TEST(owner_is_who_has_accepted)
{
	const char *name = name_new();
	int listener = listener_new(name), end = end_new_queued(name, NO_WAIT);
	struct child c;

	if (child_fork(&c)) {
		int far = listener_accept(listener, NO_WAIT);

		must(far >= 0);
		must(!fd_send(c.fd, far));
		child_hear(&c);
		_exit(0);
	} else {
		int far = fd_receive(c.fd);

		ASSERT_LE(0, far);
		EXPECT_ALIVE(end);
		child_say(&c, 'x');
		EXPECT_EQ(0, child_end(&c));
		EXPECT_OVER(end);
		close(far);
	}
	close(end);
	close(listener);
}

TEST(owner_is_nobody_who_only_had_it_before)
{
	struct ends ends = { -1, -1 };
	struct child parent, one, other;
	int leash[2];

	/* The parent makes the pair and is gone, while its children go on. */
	ASSERT_EQ(0, pipe2(leash, O_CLOEXEC));
	if (child_fork(&parent)) {
		close(leash[1]);
		must(!ends_pair(&ends));
		if (child_fork(&one)) {
			prctl(PR_SET_PDEATHSIG, 0);
			must(!end_create(ends.near));
			child_say(&one, 'c');
			must(!read(leash[0], &(char){ 0 }, 1));
			_exit(0);
		}
		if (child_fork(&other)) {
			prctl(PR_SET_PDEATHSIG, 0);
			must(!file_adopt(ends.far));
			child_say(&other, 'a');
			must(!read(leash[0], &(char){ 0 }, 1));
			_exit(0);
		}
		must(child_hear(&one) == 'c' && child_hear(&other) == 'a');
		must(!fd_send(parent.fd, ends.near));
		_exit(0);
	}
	close(leash[0]);
	ends.near = fd_receive(parent.fd);
	ASSERT_LE(0, ends.near);
	EXPECT_EQ(0, child_end(&parent));

	EXPECT_ALIVE(ends.near);
	close(leash[1]);
	EXPECT_OVER(ends.near);
	close(ends.near);
}

/* --- descriptors that are passed ------------------------------------------------------------ */

static void work_pass_and_close(struct child *c, int fd)
{
	must(!fd_send(c->fd, fd));
	close(fd);
	child_hear(c);
}

static void work_pass(struct child *c, int fd)
{
	must(!fd_send(c->fd, fd));
	child_hear(c);
}

/* Return: the far end, which is passed to us. */
static int far_pass(struct __test_metadata *_metadata, struct far *f,
		    void (*work)(struct child *c, int fd))
{
	int far;

	far_start(_metadata, f, work);
	far = fd_receive(f->child.fd);
	ASSERT_LE(0, far);
	return far;
}

/* Who passed it exits; it is over when we close it. */
static void passed_lives_on(struct __test_metadata *_metadata, struct far *f, int far)
{
	child_say(&f->child, 'x');
	EXPECT_EQ(0, child_end(&f->child));
	EXPECT_ALIVE(f->near);
	close(far);
	EXPECT_OVER(f->near);
	close(f->near);
}

TEST(passed_end_lives_on_when_its_owner_has_closed_it)
{
	struct far f;
	int far = far_pass(_metadata, &f, work_pass_and_close);

	passed_lives_on(_metadata, &f, far);
}

TEST(passed_end_dies_with_its_owner_unless_it_is_adopted)
{
	struct far f;
	int far = far_pass(_metadata, &f, work_pass);

	EXPECT_ALIVE(f.near);
	child_say(&f.child, 'x');
	EXPECT_EQ(0, child_end(&f.child));
	EXPECT_OVER(f.near);
	close(far);
	close(f.near);
}

TEST(passed_end_that_is_adopted_does_not_die_with_who_passed_it)
{
	struct far f;
	int far = far_pass(_metadata, &f, work_pass);

	ASSERT_EQ(0, file_adopt(far));
	passed_lives_on(_metadata, &f, far);
}

TEST(passed_end_lives_while_it_is_under_way)
{
	struct ends ends;
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	ASSERT_EQ(0, ends_open(&ends));
	ASSERT_EQ(0, fd_send(socks[0], ends.far));
	close(ends.far);
	EXPECT_ALIVE(ends.near);

	close(socks[0]);
	close(socks[1]);
	EXPECT_OVER(ends.near);
	close(ends.near);
}

/* --- exec and threads --------------------------------------------------------------------------- */

/* Become a program that waits until we hang up, and keeps what is not closed. */
static void exec_cat(struct child *c)
{
	must(dup2(c->fd, 0) == 0);
	must(dup2(2, 1) == 1);
	execlp("cat", "cat", NULL);
	must(!"exec");
}

static void work_exec_keeping(struct child *c, int fd)
{
	must(!fcntl(fd, F_SETFD, 0));
	exec_cat(c);
}

static void work_exec_closing(struct child *c, int fd)
{
	exec_cat(c);
}

static int64_t exec_job(void *arg)
{
	exec_cat(arg);
	return 0;
}

static void work_exec_in_a_thread(struct child *c, int fd)
{
	struct worker worker;

	must(!fcntl(fd, F_SETFD, 0));
	worker_start(&worker, exec_job, c);
	for (;;)
		pause();
}

static void exec_and_kill(struct __test_metadata *_metadata, void (*work)(struct child *c, int fd))
{
	struct far f;

	far_start(_metadata, &f, work);
	ASSERT_TRUE(wait_until(process_is_called(f.child.pid, "cat")));
	EXPECT_ALIVE(f.near);
	EXPECT_EQ(-SIGKILL, child_kill(&f.child));
	EXPECT_OVER(f.near);
	close(f.near);
}

TEST(exec_keeps_an_end_and_its_owner)
{
	exec_and_kill(_metadata, work_exec_keeping);
}

TEST(exec_in_a_thread_keeps_an_end_and_its_owner)
{
	exec_and_kill(_metadata, work_exec_in_a_thread);
}

TEST(exec_closes_an_end_that_is_close_on_exec)
{
	struct far f;

	far_start(_metadata, &f, work_exec_closing);
	EXPECT_OVER(f.near);
	EXPECT_TRUE(wait_until(process_is_called(f.child.pid, "cat")));
	child_kill(&f.child);
	close(f.near);
}

static int64_t hear_job(void *arg)
{
	child_hear(arg);
	_exit(0);
}

static void work_leave_to_a_thread(struct child *c, int fd)
{
	struct worker worker;

	worker_start(&worker, hear_job, c);
	syscall(SYS_exit, 0);
}

TEST(first_thread_may_end_before_the_others)
{
	struct far f;

	far_start(_metadata, &f, work_leave_to_a_thread);
	ASSERT_TRUE(wait_until(process_state(f.child.pid, f.child.pid) == 'Z'));
	lives_until_it_exits(_metadata, &f);
}

static int64_t unshare_job(void *arg)
{
	return unshare(CLONE_FILES) ? -errno : 0;
}

static void work_thread_of_its_own(struct child *c, int fd)
{
	struct worker worker;

	worker_start(&worker, unshare_job, NULL);
	must(!worker_join(&worker));
	child_say(c, 'j');
	child_hear(c);
}

TEST(thread_with_descriptors_of_its_own_may_end)
{
	struct far f;

	far_start(_metadata, &f, work_thread_of_its_own);
	ASSERT_EQ('j', child_hear(&f.child));
	lives_until_it_exits(_metadata, &f);
}

/* The thread has a copy of its own, and so has a child of it; the process has none. */
static int64_t copy_job(void *arg)
{
	if (unshare(CLONE_FILES))
		return -errno;
	hold_copies(leash_of_holder);
	close(leash_of_holder[1]);
	child_say(arg, 'h');
	for (;;)
		pause();
}

static void work_with_a_copy_in_a_thread(struct child *c, int fd)
{
	struct worker worker;

	worker_start(&worker, copy_job, c);
	child_hear(c);
	close(fd);
	close(leash_of_holder[1]);
	child_say(c, 'c');
	for (;;)
		pause();
}

TEST(thread_with_descriptors_of_its_own_is_killed_with_its_process)
{
	struct far f;

	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, pipe2(leash_of_holder, O_CLOEXEC));
		far_start(_metadata, &f, work_with_a_copy_in_a_thread);
		ASSERT_EQ('h', child_hear(&f.child));
		child_say(&f.child, 'g');
		ASSERT_EQ('c', child_hear(&f.child));
		close(leash_of_holder[0]);
		EXPECT_ALIVE(f.near);

		EXPECT_EQ(-SIGKILL, child_kill(&f.child));

		EXPECT_OVER(f.near);
		close(leash_of_holder[1]);
		close(f.near);
	}
}

/* A process that shares our table of descriptors, and waits for a word. */
static int share_table(void *arg)
{
	char byte;

	return read(*(int *)arg, &byte, 1) != 1;
}

static void work_share(struct child *c, int fd)
{
	static char stack[65536] __attribute__((aligned(16)));
	static int sock;

	sock = c->fd;
	must(clone(share_table, stack + sizeof(stack), CLONE_FILES | CLONE_VM | SIGCHLD, &sock) >
	     0);
	child_say(c, 's');
	syscall(SYS_exit_group, 0);
}

TEST(process_that_shares_its_descriptors_is_not_seen_to_exit)
{
	struct far f;

	far_start(_metadata, &f, work_share);
	ASSERT_EQ('s', child_hear(&f.child));
	ASSERT_EQ(f.child.pid, waitpid(f.child.pid, NULL, 0));
	EXPECT_ALIVE(f.near);
	child_say(&f.child, 'x');
	EXPECT_OVER(f.near);
	close(f.child.fd);
	close(f.near);
}

/* --- hanging up ------------------------------------------------------------------------------------ */

TEST(hang_up_is_the_end_and_does_no_harm_twice)
{
	struct ends ends;

	ASSERT_EQ(0, ends_open(&ends));
	EXPECT_EQ(0, file_hang_up(ends.far));
	EXPECT_OVER(ends.near);
	EXPECT_EQ(0, file_hang_up(ends.far));
	EXPECT_EQ(0, file_hang_up(ends.near));
	EXPECT_OVER(ends.near);
	EXPECT_OVER(ends.far);
	ends_close(&ends);
}

TEST(hang_up_wakes_a_thread_of_ours)
{
	struct worker worker;
	struct ends ends;

	ASSERT_EQ(0, ends_open(&ends));
	worker_start(&worker, end_wait_job, &ends.near);
	ASSERT_TRUE(worker_wait_blocked(&worker));
	ASSERT_EQ(0, file_hang_up(ends.near));
	EXPECT_EQ(-ECONNRESET, worker_join(&worker));
	ends_close(&ends);
}

TEST(hang_up_is_the_end_whoever_has_copies)
{
	struct ends ends;
	struct child c;
	int copy;

	ASSERT_EQ(0, ends_open(&ends));
	copy = dup(ends.far);
	if (child_fork(&c)) {
		child_hear(&c);
		_exit(0);
	}
	ASSERT_EQ(0, file_hang_up(ends.far));
	EXPECT_OVER(ends.near);
	child_kill(&c);
	close(copy);
	ends_close(&ends);
}

TEST(hang_up_leaves_the_queue)
{
	const char *name = name_new();
	int listener = listener_new(name), end = end_new_queued(name, NO_WAIT);

	ASSERT_LE(0, end);
	EXPECT_EQ(0, file_hang_up(end));
	EXPECT_EQ(-EAGAIN, listener_accept(listener, NO_WAIT));
	EXPECT_EQ(-ECONNRESET, end_meet(end, NO_WAIT));
	close(end);
	close(listener);
}

/* --- at any moment ------------------------------------------------------------------------------------ */

#define LIVES 40

/* Connect, be accepted, talk, over and over, until killed. */
static void live(struct child *c, const char *name)
{
	child_say(c, 'l');
	for (;;) {
		uint32_t seen = 0;
		int fd = end_new();
		char *own = region_map_own(fd, SMALL);

		must(own != MAP_FAILED);
		own[0] = 1;
		if (!end_connect(fd, name, SHMUX_FOREVER) && !end_meet(fd, SHMUX_FOREVER))
			for (int i = 0; i < 10; i++)
				if (end_wait_flags(fd, SHMUX_WAIT_KICK, &seen, SHMUX_FOREVER))
					break;
		munmap(own, SMALL);
		close(fd);
	}
}

/* Accept and talk until the other end is dead, for as long as there is one. */
static int64_t serve_job(void *arg)
{
	int listener = *(int *)arg, fd, err = 0, served = 0;

	while ((fd = listener_accept(listener, SHMUX_FOREVER)) >= 0) {
		uint32_t seen = 0;

		err = end_create(fd);
		if (!err)
			err = end_meet(fd, HANGS);
		while (!err) {
			err = end_wait(fd, &seen, HANGS);
			if (!err)
				err = end_kick(fd);
		}
		close(fd);
		if (err != -ECONNRESET)
			return err;
		served++;
	}
	return fd == -ECONNRESET ? served : fd;
}

TEST(kill_at_any_moment_is_seen_by_who_is_at_the_other_end)
{
	const char *name = name_new();
	uint64_t random = effort_seed();
	struct usage before, is;
	struct worker server;
	struct child c;
	int listener;

	ASSERT_TRUE(usage_becomes_none(&before));
	listener = listener_new_for(name, 1, EVERYBODY);
	ASSERT_LE(0, listener);
	ASSERT_EQ(0, usage_get(&before));
	worker_start(&server, serve_job, &listener);
	for (int i = 0; i < LIVES; i++) {
		uint32_t spins = random_between(&random, 0, 200000);

		if (child_fork(&c))
			live(&c, name);
		ASSERT_EQ('l', child_hear(&c));
		while (spins--)
			__asm__ volatile("" ::: "memory");
		EXPECT_EQ(-SIGKILL, child_kill(&c));
	}

	/* Nobody is left: then it waits for the next one. */
	EXPECT_TRUE(worker_wait_blocked(&server));
	EXPECT_EQ(0, file_polls(listener, POLLIN));
	EXPECT_TRUE(usage_becomes(&before, &is));
	ASSERT_EQ(0, file_hang_up(listener));
	EXPECT_LE(0, worker_join(&server));
	close(listener);
}

/* --- what is left ------------------------------------------------------------------------- */

/*
 * Ways to die in: each comes to where it is to be killed, and says so, or sleeps
 * in the kernel then.
 */
static void as_a_file(struct child *c)
{
	(void)c;
	must(device_open() >= 0);
}

static void as_a_listener(struct child *c)
{
	(void)c;
	must(listener_new(name_new()) >= 0);
}

static void as_a_listener_that_accepts(struct child *c)
{
	int listener = listener_new(name_new());

	child_say(c, 's');
	listener_accept(listener, HANGS);
}

static void with_a_queue(struct child *c)
{
	const char *name = name_new();

	(void)c;
	must(listener_new(name) >= 0);
	for (int i = 0; i < 3; i++)
		must(end_new_queued(name, NO_WAIT) >= 0);
}

static void in_the_queue_meeting(struct child *c)
{
	const char *name = name_new();
	int end;

	must(listener_new(name) >= 0);
	end = end_new_queued(name, NO_WAIT);
	must(end >= 0);
	child_say(c, 's');
	end_meet(end, HANGS);
}

static void before_the_queue(struct child *c)
{
	const char *name = name_new();

	must(listener_new_for(name, 1, EVERYBODY) >= 0);
	must(end_new_queued(name, NO_WAIT) >= 0);
	child_say(c, 's');
	end_new_queued(name, HANGS);
}

static void accepted(struct child *c)
{
	const char *name = name_new();
	int listener = listener_new(name);

	(void)c;
	must(end_new_queued(name, NO_WAIT) >= 0);
	must(listener_accept(listener, NO_WAIT) >= 0);
}

static void with_a_region_alone(struct child *c)
{
	char *own;
	int end = end_new();

	(void)c;
	own = region_map_own(end, SMALL);
	must(own != MAP_FAILED);
	memset(own, 1, SMALL);
}

static void with_a_pair_that_has_not_met(struct child *c)
{
	struct ends ends;

	(void)c;
	must(!ends_pair(&ends));
	must(!end_create(ends.near));
}

static void open_ends(struct ends *ends)
{
	char *own;

	must(!ends_open(ends));
	own = region_map_own(ends->near, SMALL);
	must(own != MAP_FAILED && region_map_peer(ends->far, SMALL) != MAP_FAILED);
	memset(own, 1, SMALL);
}

static void with_regions_mapped(struct child *c)
{
	struct ends ends;

	(void)c;
	open_ends(&ends);
}

static void with_regions_mapped_and_nothing_open(struct child *c)
{
	struct ends ends;

	(void)c;
	open_ends(&ends);
	ends_close(&ends);
}

static void in_wait(struct child *c)
{
	uint32_t seen = 0;
	struct ends ends;

	open_ends(&ends);
	child_say(c, 's');
	end_wait_flags(ends.near, SHMUX_WAIT_KICK, &seen, HANGS);
}

static void in_poll(struct child *c)
{
	struct ends ends;

	open_ends(&ends);
	child_say(c, 's');
	file_await(ends.near, POLLIN);
}

static void with_an_eventfd(struct child *c)
{
	struct ends ends;

	(void)c;
	open_ends(&ends);
	must(!end_eventfd(ends.near, eventfd(0, EFD_CLOEXEC)));
	must(!end_kick(ends.far));
}

static void after_a_hang_up(struct child *c)
{
	struct ends ends;

	(void)c;
	open_ends(&ends);
	must(!file_hang_up(ends.near));
}

static void with_an_end_under_way(struct child *c)
{
	struct ends ends;
	int socks[2];

	(void)c;
	open_ends(&ends);
	must(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks));
	must(!fd_send(socks[0], ends.far));
	close(ends.far);
}

static void with_all_threads_busy(struct child *c)
{
	struct ends *ends = malloc(sizeof(*ends));
	struct worker *workers = calloc(4, sizeof(*workers));

	(void)c;
	open_ends(ends);
	for (int i = 0; i < 4; i++)
		worker_start(&workers[i], wait_to_the_end_job, i % 2 ? &ends->near : &ends->far);
	for (int i = 0; i < 4; i++)
		must(worker_wait_blocked(&workers[i]));
}

FIXTURE(left)
{};

FIXTURE_SETUP(left)
{
}

FIXTURE_TEARDOWN(left)
{
}

FIXTURE_VARIANT(left)
{
	void (*come)(struct child * c);
	bool sleeps; /* in the kernel, having said so */
};

#define WAY(way, sleeps_)                      \
	FIXTURE_VARIANT_ADD(left, way)         \
	{                                      \
		.come = way, .sleeps = sleeps_ \
	}

WAY(as_a_file, false);
WAY(as_a_listener, false);
WAY(as_a_listener_that_accepts, true);
WAY(with_a_queue, false);
WAY(in_the_queue_meeting, true);
WAY(before_the_queue, true);
WAY(accepted, false);
WAY(with_a_region_alone, false);
WAY(with_a_pair_that_has_not_met, false);
WAY(with_regions_mapped, false);
WAY(with_regions_mapped_and_nothing_open, false);
WAY(in_wait, true);
WAY(in_poll, true);
WAY(with_an_eventfd, false);
WAY(after_a_hang_up, false);
WAY(with_an_end_under_way, false);
WAY(with_all_threads_busy, false);

TEST_F(left, is_nothing_of_who_is_killed)
{
	struct usage nothing, is;
	struct child c;

	ASSERT_TRUE(usage_becomes_none(&nothing));
	if (child_fork(&c)) {
		variant->come(&c);
		must(!variant->sleeps);
		child_say(&c, 's');
		pause();
	}
	ASSERT_EQ('s', child_hear(&c));
	if (variant->sleeps)
		ASSERT_TRUE(wait_until(process_sleeps(c.pid, c.pid)));
	/* An opened file is nothing that is counted, nor are ends that are one's own. */
	ASSERT_EQ(0, usage_get(&is));
	if (variant->come != as_a_file)
		EXPECT_NE(0, memcmp(&nothing, &is, sizeof(is)));

	EXPECT_EQ(-SIGKILL, child_kill(&c));
	EXPECT_TRUE(usage_becomes(&nothing, &is))
	{
		for (int i = 0; i < SHMUX_NR_RESOURCES; i++)
			TH_LOG("resource %d: %llu at first, %llu now", i,
			       (unsigned long long)nothing.used[i], (unsigned long long)is.used[i]);
	}
}

TEST_HARNESS_MAIN
