// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * race.c - several threads ask the same file, or the same name, at once
 *
 * First in pairs, where one may win; then everything with everything, at random.
 * What they leave behind the machine looks for when the module is unloaded.
 */
#include <sys/eventfd.h>

#include "device.h"
#include "effort.h"
#include "genl.h"
#include "pattern.h"
#include "process.h"
#include "worker.h"

#define ROUNDS 100

/* --- who is first ------------------------------------------------------------------ */

/* Racers that start together, over and over. */
struct race {
	pthread_barrier_t barrier;
	int (*run[2])(struct race *race);
	int results[2];
	int fd, other;
	char name[SHMUX_NAME_SIZE];
};

struct racer {
	struct worker worker;
	struct race *race;
	int nr;
};

static int64_t racer_job(void *arg)
{
	struct racer *r = arg;

	pthread_barrier_wait(&r->race->barrier);
	r->race->results[r->nr] = r->race->run[r->nr](r->race);
	return 0;
}

static void race_run(struct race *race)
{
	struct racer racers[2];

	pthread_barrier_init(&race->barrier, NULL, 2);
	for (int i = 0; i < 2; i++) {
		racers[i] = (struct racer){ .race = race, .nr = i };
		worker_start(&racers[i].worker, racer_job, &racers[i]);
	}
	for (int i = 0; i < 2; i++)
		worker_join(&racers[i].worker);
	pthread_barrier_destroy(&race->barrier);
}

static int run_create(struct race *race)
{
	return end_create(race->fd);
}

static int run_listen(struct race *race)
{
	return listener_take(race->fd, race->name, 1, EVERYBODY);
}

static int run_listen_other(struct race *race)
{
	return listener_take(race->other, race->name, 1, EVERYBODY);
}

static int run_pair(struct race *race)
{
	int fd = end_pair(race->fd);

	if (fd < 0)
		return fd;
	race->other = fd;
	return 0;
}

static int run_connect(struct race *race)
{
	return end_connect(race->fd, race->name, NO_WAIT);
}

static int run_hang_up(struct race *race)
{
	return file_hang_up(race->fd);
}

static int run_hang_up_other(struct race *race)
{
	return file_hang_up(race->other);
}

static int run_meet(struct race *race)
{
	return end_meet(race->fd, HANGS);
}

static int run_meet_other(struct race *race)
{
	return end_meet(race->other, HANGS);
}

static int run_refuse_other(struct race *race)
{
	return end_refuse(race->other, EACCES);
}

static int run_close_other(struct race *race)
{
	return close(race->other);
}

static int run_wait(struct race *race)
{
	uint32_t seen = 0;

	return end_wait(race->fd, &seen, HANGS);
}

static int run_kick_other(struct race *race)
{
	return end_kick(race->other);
}

TEST(file_becomes_one_thing)
{
	int (*const makers[])(struct race *) = { run_create, run_listen, run_pair };

	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { makers[i % 3], makers[i / 3 % 3] },
				     .fd = device_open(),
				     .other = -1 };
		bool created;
		int won;

		strcpy(race.name, name_new());
		race_run(&race);
		won = (race.results[0] == 0) + (race.results[1] == 0);
		created = race.run[0] == run_create || race.run[1] == run_create;
		/* One end of a pair may well make its region. */
		EXPECT_EQ(won == 2 && race.other >= 0 && created ? 2 : 1, won);
		EXPECT_TRUE(!race.results[0] || race.results[0] == -EBADFD);
		EXPECT_TRUE(!race.results[1] || race.results[1] == -EBADFD);
		if (race.other >= 0)
			close(race.other);
		close(race.fd);
	}
}

TEST(name_is_taken_by_one)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { run_listen, run_listen_other },
				     .fd = device_open(),
				     .other = device_open() };

		strcpy(race.name, name_new());
		race_run(&race);
		EXPECT_EQ(-EADDRINUSE, race.results[0] + race.results[1]);
		close(race.fd);
		close(race.other);
	}
}

TEST(end_connects_once)
{
	const char *name = name_new();
	int listener = listener_new_for(name, 65535, EVERYBODY), fd;

	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { run_connect, run_connect }, .fd = end_new() };

		strcpy(race.name, name);
		race_run(&race);
		EXPECT_EQ(-EBADFD, race.results[0] + race.results[1]);
		fd = listener_accept(listener, NO_WAIT);
		EXPECT_LE(0, fd);
		EXPECT_EQ(-EAGAIN, listener_accept(listener, NO_WAIT));
		close(fd);
		close(race.fd);
	}
	close(listener);
}

TEST(end_that_connects_while_it_hangs_up_is_over)
{
	const char *name = name_new();
	int listener = listener_new(name);

	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { run_connect, run_hang_up }, .fd = end_new() };

		strcpy(race.name, name);
		race_run(&race);
		EXPECT_TRUE(race.results[0] == 0 || race.results[0] == -ECONNRESET);
		EXPECT_EQ(0, race.results[1]);
		EXPECT_EQ(-EAGAIN, listener_accept(listener, NO_WAIT));
		close(race.fd);
	}
	close(listener);
}

TEST(end_meets_who_dies_or_does_not_but_waits_for_no_dead)
{
	int (*const deaths[])(struct race *) = { run_hang_up_other, run_close_other,
						 run_refuse_other };

	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { run_meet, deaths[i % 3] } };
		struct ends ends;
		int expected = i % 3 == 2 ? -ECONNABORTED : -ECONNRESET;

		ASSERT_EQ(0, ends_pair(&ends));
		ASSERT_EQ(0, end_create(ends.near));
		race.fd = ends.near;
		race.other = ends.far;
		race_run(&race);
		EXPECT_EQ(expected, race.results[0]);
		EXPECT_EQ(0, race.results[1]);
		close(ends.near);
		if (i % 3 != 1)
			close(ends.far);
	}
}

TEST(ends_meet_when_both_are_ready_at_once)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { run_meet, run_meet_other } };
		struct ends ends;

		ASSERT_EQ(0, ends_pair(&ends));
		ASSERT_EQ(0, end_create(ends.near));
		ASSERT_EQ(0, end_create(ends.far));
		race.fd = ends.near;
		race.other = ends.far;
		race_run(&race);
		EXPECT_EQ(0, race.results[0]);
		EXPECT_EQ(0, race.results[1]);
		ends_close(&ends);
	}
}

TEST(wait_is_ended_by_whatever_comes_while_it_falls_asleep)
{
	int (*const events[])(struct race *) = { run_kick_other, run_hang_up_other, run_close_other,
						 run_hang_up };
	const int expected[] = { 0, -ECONNRESET, -ECONNRESET, -ECONNRESET };

	for (int i = 0; i < 2 * ROUNDS; i++) {
		struct race race = { .run = { run_wait, events[i % 4] } };
		struct ends ends;

		ASSERT_EQ(0, ends_open(&ends));
		race.fd = ends.near;
		race.other = ends.far;
		race_run(&race);
		EXPECT_EQ(expected[i % 4], race.results[0]);
		EXPECT_EQ(0, race.results[1]);
		close(ends.near);
		if (i % 4 != 2)
			close(ends.far);
	}
}

/* --- room in a queue -------------------------------------------------------------------- */

struct waiting {
	struct worker worker;
	const char *name;
	int fd;
};

static int64_t connect_job(void *arg)
{
	struct waiting *w = arg;

	return end_connect(w->fd, w->name, HANGS);
}

/* Wait for room, in a thread. */
static void waiting_start(struct __test_metadata *_metadata, struct waiting *w, const char *name)
{
	*w = (struct waiting){ .name = name, .fd = end_new() };
	ASSERT_LE(0, w->fd);
	worker_start(&w->worker, connect_job, w);
	ASSERT_TRUE(worker_wait_blocked(&w->worker));
}

static int run_accept_other(struct race *race)
{
	int fd = listener_accept(race->other, NO_WAIT);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

TEST(room_is_not_lost_with_who_was_next_and_hung_up)
{
	for (int i = 0; i < ROUNDS; i++) {
		struct race race = { .run = { run_hang_up, run_accept_other } };
		const char *name = name_new();
		int listener = listener_new_for(name, 1, EVERYBODY), end, err;
		struct waiting first, second;

		end = end_new_queued(name, NO_WAIT);
		ASSERT_LE(0, end);
		waiting_start(_metadata, &first, name);
		waiting_start(_metadata, &second, name);

		race.fd = first.fd;
		race.other = listener;
		race_run(&race);

		EXPECT_EQ(0, race.results[0]);
		EXPECT_EQ(0, race.results[1]);
		err = (int)worker_join(&first.worker);
		EXPECT_TRUE(err == 0 || err == -ECONNRESET);
		ASSERT_EQ(0, worker_join(&second.worker));
		close(first.fd);
		close(second.fd);
		close(end);
		close(listener);
	}
}

TEST(rooms_that_come_at_once_are_all_taken)
{
	for (int i = 0; i < ROUNDS / 4; i++) {
		const char *name = name_new();
		int listener = listener_new_for(name, 3, EVERYBODY), ends[3], fds[3];
		struct waiting waiting[3];

		for (int n = 0; n < 3; n++) {
			ends[n] = end_new_queued(name, NO_WAIT);
			ASSERT_LE(0, ends[n]);
		}
		for (int n = 0; n < 3; n++)
			waiting_start(_metadata, &waiting[n], name);

		for (int n = 0; n < 3; n++)
			fds[n] = listener_accept(listener, NO_WAIT);

		for (int n = 0; n < 3; n++) {
			ASSERT_EQ(0, worker_join(&waiting[n].worker));
			close(waiting[n].fd);
			close(ends[n]);
			close(fds[n]);
		}
		close(listener);
	}
}

/* --- a listener that comes and goes ------------------------------------------------------ */

struct caller {
	struct worker worker;
	const char *name;
	const bool *stop;
	int accepted, refused;
};

/* Connect and meet, whoever is there. */
static int64_t caller_job(void *arg)
{
	struct caller *c = arg;

	while (!__atomic_load_n(c->stop, __ATOMIC_RELAXED)) {
		int fd = end_new(), err;

		if (fd < 0)
			return fd;
		err = end_connect(fd, c->name, HANGS);
		if (!err)
			err = end_meet(fd, HANGS);
		close(fd);
		if (!err)
			c->accepted++;
		else if (err == -ECONNREFUSED || err == -ECONNRESET)
			c->refused++;
		else
			return err;
	}
	return 0;
}

TEST(connectors_are_accepted_or_learn_that_the_listener_has_gone)
{
	const char *name = name_new();
	struct caller callers[3];
	bool stop = false;
	int met = 0;

	for (int i = 0; i < 3; i++) {
		callers[i] = (struct caller){ .name = name, .stop = &stop };
		worker_start(&callers[i].worker, caller_job, &callers[i]);
	}
	for (int i = 0; i < ROUNDS; i++) {
		int listener = listener_new_for(name, 1 + i % 3, EVERYBODY), fd;

		ASSERT_LE(0, listener);
		for (int n = 0; n < i % 4; n++) {
			fd = listener_accept(listener, HANGS);
			ASSERT_LE(0, fd);
			if (!end_create(fd) && !end_meet(fd, HANGS))
				met++;
			close(fd);
		}
		close(listener);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, worker_join(&callers[i].worker));
		met -= callers[i].accepted;
	}
	EXPECT_EQ(0, met);
}

/* --- everything with everything ------------------------------------------------------------ */

#define NR_SLOTS 12
#define NR_MAPS 6
#define NR_THREADS 4
#define NR_NAMES 3
#define STEPS (effort_is_stress() ? 20000 : 2000)
#define REGION (4 * PAGE)

/* What the threads of a process have in common. */
struct fray {
	int fds[NR_SLOTS]; /* or -1; atomic, closed by who takes it out */
	void *maps[NR_MAPS]; /* or NULL; likewise */
	int eventfds[2];
	int sock; /* to another process, which has the same */
	int nr_steps; /* atomic */
	int report_at; /* so many: tell the test */
	struct child *reports;
	char names[NR_NAMES][SHMUX_NAME_SIZE];
};

struct fighter {
	struct worker worker;
	struct fray *fray;
	uint64_t random;
};

static bool is_one_of(int err, const int *list)
{
	for (; *list; list++)
		if (err == -*list)
			return true;
	return false;
}

/* What any request may say to a descriptor that others close and use as well. */
static const int always[] = { EBADF, EBADFD, ENOTTY, EINTR, ENOMEM, EMFILE, ENFILE, EDQUOT, 0 };

static int fray_fd(struct fighter *f)
{
	return __atomic_load_n(&f->fray->fds[random_between(&f->random, 0, NR_SLOTS - 1)],
			       __ATOMIC_RELAXED);
}

/* Put @fd somewhere, and close what was there. */
static void fray_put(struct fighter *f, int fd)
{
	int *slot = &f->fray->fds[random_between(&f->random, 0, NR_SLOTS - 1)];

	fd = __atomic_exchange_n(slot, fd, __ATOMIC_RELAXED);
	if (fd >= 0)
		close(fd);
}

static void fray_put_map(struct fighter *f, void *map)
{
	void **slot = &f->fray->maps[random_between(&f->random, 0, NR_MAPS - 1)];

	map = __atomic_exchange_n(slot, map, __ATOMIC_RELAXED);
	if (map)
		munmap(map, REGION);
}

static int put_new(struct fighter *f, int fd)
{
	if (fd == -1)
		return -errno;
	if (fd < 0)
		return fd;
	fray_put(f, fd);
	return 0;
}

static int fray_map(struct fighter *f, int fd, bool own)
{
	char *map = own ? region_map_own(fd, REGION) : region_map_peer(fd, REGION);
	uint32_t at = random_between(&f->random, 0, 3) * PAGE;

	if (map == MAP_FAILED)
		return -errno;
	if (own)
		map[at] = 1;
	else
		(void)*(volatile char *)(map + at);
	fray_put_map(f, map);
	return 0;
}

/* One thing at random. Return: 0, or -errno if it is none that may be. */
static int fray_step(struct fighter *f)
{
	const char *name = f->fray->names[random_between(&f->random, 0, NR_NAMES - 1)];
	uint64_t timeout = random_between(&f->random, 0, 1) * 200000;
	uint32_t what = random_between(&f->random, 0, 27), seen;
	static const int connect_errs[] = { EAGAIN, ETIMEDOUT, ECONNREFUSED, ECONNRESET, 0 };
	static const int wait_errs[] = { EAGAIN, ETIMEDOUT, ECONNRESET, ENOTCONN, 0 };
	static const int meet_errs[] = { EAGAIN,       ETIMEDOUT,    ECONNRESET,
					 ECONNREFUSED, ECONNABORTED, 0 };
	static const int listen_errs[] = { EADDRINUSE, 0 };
	static const int reset_errs[] = { ECONNRESET, ENOTCONN, 0 };
	static const int eventfd_errs[] = { 0 };
	static const int map_errs[] = { ENOTCONN, ENODEV, EACCES, EINVAL, 0 };
	static const int pass_errs[] = { EAGAIN, ETOOMANYREFS, ENOMSG, ECONNRESET, EPIPE, 0 };
	const int *may = eventfd_errs;
	struct shmux_ioc_peer peer;
	int fd = fray_fd(f), err = 0;

	switch (what) {
	case 0:
	case 1:
	case 2:
		err = put_new(f, device_open());
		break;
	case 3:
	case 4:
	case 5:
		err = end_create_sized(fd, REGION, timeout ? PAGE : 0, ANY_SIZE);
		may = reset_errs;
		break;
	case 6:
		err = listener_take(fd, name, 2, EVERYBODY);
		may = listen_errs;
		break;
	case 7:
	case 8:
	case 9:
		err = end_connect(fd, name, timeout);
		may = connect_errs;
		break;
	case 10:
	case 11:
		err = put_new(f, listener_accept(fd, timeout));
		may = wait_errs;
		break;
	case 12:
		err = put_new(f, end_pair(fd));
		break;
	case 13:
	case 14:
	case 15:
		err = end_meet(fd, timeout);
		may = meet_errs;
		break;
	case 16:
		err = end_refuse(fd, EACCES);
		may = reset_errs;
		break;
	case 17:
		err = end_peer(fd, &peer);
		may = reset_errs;
		break;
	case 18:
		err = timeout ? end_kick(fd) : end_kick_self(fd);
		may = reset_errs;
		break;
	case 19:
	case 20:
		seen = random_between(&f->random, 0, 3);
		err = end_wait_flags(fd, what == 19 ? SHMUX_WAIT_KICK : 0, &seen, timeout);
		may = wait_errs;
		break;
	case 21:
		err = end_eventfd(fd, random_between(&f->random, 0, 2) ?
					      f->fray->eventfds[timeout ? 1 : 0] :
					      -1);
		break;
	case 22:
		err = timeout ? file_adopt(fd) : file_hang_up(fd);
		break;
	case 23:
	case 24:
		err = fray_map(f, fd, what == 23);
		may = map_errs;
		break;
	case 25:
		fray_put_map(f, NULL);
		file_polls(fd, POLLIN | POLLOUT);
		break;
	case 26:
		if (fd >= 0)
			err = fd_send(f->fray->sock, fd);
		may = pass_errs;
		break;
	case 27:
		err = put_new(f,
			      timeout ? fd_receive(f->fray->sock) : fcntl(fd, F_DUPFD_CLOEXEC, 0));
		may = pass_errs;
		break;
	}
	if (err >= 0 || is_one_of(err, always) || is_one_of(err, may))
		return 0;
	fprintf(stderr, "# step %u: %s\n", what, strerror(-err));
	return err;
}

static int64_t fighter_job(void *arg)
{
	struct fighter *f = arg;
	int err = 0;

	for (int i = 0; i < STEPS && !err; i++) {
		err = fray_step(f);
		if (__atomic_add_fetch(&f->fray->nr_steps, 1, __ATOMIC_RELAXED) ==
		    f->fray->report_at)
			child_say(f->fray->reports, 's');
	}
	return err;
}

static void on_signal(int signal)
{
}

/* Fight with so many threads, of which now and then one is interrupted. */
static int fray_run(struct fray *fray, uint64_t random)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct fighter fighters[NR_THREADS];
	int err = 0, nr_done;

	sigaction(SIGUSR1, &action, NULL);
	for (int i = 0; i < NR_THREADS; i++) {
		fighters[i] = (struct fighter){ .fray = fray, .random = random + i };
		worker_start(&fighters[i].worker, fighter_job, &fighters[i]);
	}
	do {
		nr_done = 0;
		usleep(1000);
		for (int i = 0; i < NR_THREADS; i++) {
			if (worker_is_done(&fighters[i].worker))
				nr_done++;
			else
				pthread_kill(fighters[i].worker.thread, SIGUSR1);
		}
	} while (nr_done < NR_THREADS);
	for (int i = 0; i < NR_THREADS; i++)
		err = err ? err : (int)worker_join(&fighters[i].worker);
	return err;
}

static void fray_init(struct fray *fray, int sock)
{
	for (int i = 0; i < NR_SLOTS; i++)
		fray->fds[i] = -1;
	for (int i = 0; i < NR_MAPS; i++)
		fray->maps[i] = NULL;
	for (int i = 0; i < 2; i++)
		fray->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	fray->sock = sock;
}

static void fray_exit(struct fray *fray)
{
	for (int i = 0; i < NR_SLOTS; i++)
		if (fray->fds[i] >= 0)
			close(fray->fds[i]);
	for (int i = 0; i < NR_MAPS; i++)
		if (fray->maps[i])
			munmap(fray->maps[i], REGION);
	for (int i = 0; i < 2; i++)
		close(fray->eventfds[i]);
}

FIXTURE(fray)
{
	struct fray fray;
	struct child child;
	int socks[2];
	uint64_t random;
};

FIXTURE_SETUP(fray)
{
	for (int i = 0; i < NR_NAMES; i++)
		strcpy(self->fray.names[i], name_new());
	ASSERT_EQ(0,
		  socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, self->socks));
	self->random = effort_seed();
	if (child_fork(&self->child)) {
		int err;

		close(self->socks[0]);
		fray_init(&self->fray, self->socks[1]);
		self->fray.report_at = random_between(&self->random, 1, NR_THREADS * STEPS);
		self->fray.reports = &self->child;
		child_say(&self->child, 'g');
		err = fray_run(&self->fray, self->random + 1000);
		child_say(&self->child, 'd');
		child_hear(&self->child);
		_exit(err ? 1 : 0);
	}
	close(self->socks[1]);
	fray_init(&self->fray, self->socks[0]);
	ASSERT_EQ('g', child_hear(&self->child));
}

FIXTURE_TEARDOWN(fray)
{
	fray_exit(&self->fray);
	close(self->socks[0]);

	/* Nobody has anything. */
	for (int r = 0; r < SHMUX_NR_RESOURCES; r++)
		EXPECT_TRUE(wait_until(limit_used(SHMUX_SCOPE_TOTAL, r) == 0));

	/* Whoever is left has no name any more. */
	for (int i = 0; i < NR_NAMES; i++) {
		int fd;

		EXPECT_TRUE(wait_until((fd = listener_new(self->fray.names[i])) >= 0));
		close(fd);
	}
}

TEST_F(fray, of_two_processes_ends_in_errors_that_may_be)
{
	EXPECT_EQ(0, fray_run(&self->fray, self->random));
	EXPECT_EQ('s', child_hear(&self->child));
	EXPECT_EQ('d', child_hear(&self->child));
	child_say(&self->child, 'x');
	EXPECT_EQ(0, child_end(&self->child));
}

/* In the middle, at any step. */
static int64_t kill_job(void *child)
{
	bool steps = child_hear(child) == 's';
	int err = child_kill(child);

	return steps ? err : -ESRCH;
}

TEST_F(fray, in_which_one_is_killed_ends_in_errors_that_may_be)
{
	struct worker killer;

	worker_start(&killer, kill_job, &self->child);
	EXPECT_EQ(0, fray_run(&self->fray, self->random));
	EXPECT_EQ(-SIGKILL, worker_join(&killer));
}

TEST_HARNESS_MAIN
