// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * counts.c - what a round trip costs, counted
 *
 * Where time cannot be measured, in an emulated machine, what is done can be
 * counted: the system calls that each side makes, how often it gives its CPU
 * away, and how often it wakes another. Both sides are on one CPU, or have one
 * each.
 */
#include <linux/perf_event.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/utsname.h>

#include <shmux/session.h>
#include <shmux/stream.h>

#include "device.h"
#include "process.h"

#define WARM_UP 20
#define ROUNDS 200
#define LEN 64

/* Credit is granted now and then, which takes a call of its own. */
#define GRANTS (ROUNDS / 25)
/* So often a CPU is yielded that both sides are on, and they sleep all the same. */
#define YIELDS (ROUNDS / 20)
/* Who spins looks so often, ns, whether the other side lives: a call. */
#define LOOK 60000000

/* --- counters --------------------------------------------------------------- */

enum {
	CALLS,
	SWITCHES,
	WAKE_UPS,
	NR_COUNTERS
};

static const char *const events[NR_COUNTERS] = {
	[CALLS] = "raw_syscalls/sys_enter",
	[SWITCHES] = "sched/sched_switch",
	[WAKE_UPS] = "sched/sched_waking",
};

static long event_id(const char *event)
{
	char path[128], text[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", event);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (n <= 0)
		return -1;
	text[n] = 0;
	return strtol(text, NULL, 10);
}

/* Count what a process does, from now on. Return: a descriptor or -errno. */
static int counter_open(int which, pid_t pid)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_TRACEPOINT,
		.size = sizeof(attr),
	};
	long id = event_id(events[which]);
	int fd;

	if (id < 0)
		return -ENOENT;
	attr.config = (uint64_t)id;
	fd = (int)syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static uint64_t counter_read(struct __test_metadata *_metadata, int fd)
{
	uint64_t count = 0;

	ASSERT_EQ((ssize_t)sizeof(count), read(fd, &count, sizeof(count)));
	return count;
}

static void pin(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* --- ways to make a round trip ----------------------------------------------- */

struct way {
	int near, far; /* descriptors */
	int near_back, far_back; /* of eventfds, the other way */
	uint32_t seen;
	char *own;
	struct shmux_session *session;
	struct shmux_stream *stream;
	char payload[LEN];
};

struct way_ops {
	int (*open)(struct way *w); /* before the fork */
	int (*begin)(struct way *w, bool far); /* after it, on either side */
	int (*send)(struct way *w, bool far);
	int (*receive)(struct way *w, bool far); /* until there is an answer */
	bool spins;
};

static int raw_open(struct way *w)
{
	w->near = device_open();
	if (w->near < 0)
		return w->near;
	w->far = end_pair(w->near);
	return w->far < 0 ? w->far : 0;
}

static int raw_begin(struct way *w, bool far)
{
	int fd = far ? w->far : w->near;
	int err = end_create(fd);

	if (err)
		return err;
	w->own = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, SHMUX_MMAP_OWN);
	return w->own == MAP_FAILED ? -errno : end_meet(fd, SHMUX_FOREVER);
}

/* What is said is waited for in the same call. */
static int raw_send(struct way *w, bool far)
{
	(void)far;
	memcpy(w->own, w->payload, LEN);
	return 0;
}

static int raw_wait(struct way *w, bool far, uint32_t flags)
{
	struct shmux_ioc_wait arg =
		ARG(wait, .flags = flags, .seen = w->seen, .timeout = SHMUX_FOREVER);
	int err = request(far ? w->far : w->near, SHMUX_IOC_WAIT, &arg);

	w->seen = arg.kicks;
	return err;
}

static int raw_receive(struct way *w, bool far)
{
	return raw_wait(w, far, far && !w->seen ? 0 : SHMUX_WAIT_KICK);
}

static const struct way_ops raw = { raw_open, raw_begin, raw_send, raw_receive, false };

static int nothing(struct way *w, bool far)
{
	(void)w;
	(void)far;
	return 0;
}

static int eventfd_open(struct way *w)
{
	w->near = w->far = eventfd(0, EFD_CLOEXEC);
	w->near_back = w->far_back = eventfd(0, EFD_CLOEXEC);
	return w->near < 0 || w->near_back < 0 ? -errno : 0;
}

static int eventfd_send(struct way *w, bool far)
{
	return eventfd_write(far ? w->far_back : w->near, 1);
}

static int eventfd_receive(struct way *w, bool far)
{
	eventfd_t count;

	return eventfd_read(far ? w->far : w->near_back, &count);
}

static const struct way_ops eventfds = { eventfd_open, nothing, eventfd_send, eventfd_receive,
					 false };

static int unix_open(struct way *w)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	w->near = fds[0];
	w->far = fds[1];
	return 0;
}

static int unix_send(struct way *w, bool far)
{
	return write(far ? w->far : w->near, w->payload, LEN) == LEN ? 0 : -EIO;
}

static int unix_receive(struct way *w, bool far)
{
	return read(far ? w->far : w->near, w->payload, LEN) == LEN ? 0 : -EIO;
}

static const struct way_ops af_unix = { unix_open, nothing, unix_send, unix_receive, false };

static int session_begin(struct way *w, bool far, uint64_t spin)
{
	struct shmux_session_options options = { .size = sizeof(options), .spin = spin };
	int err;

	close(far ? w->near : w->far);
	err = shmux_session_attach(far ? w->far : w->near,
				   far ? SHMUX_ROLE_ACCEPTOR : SHMUX_ROLE_DIALLER, &options,
				   SHMUX_NEVER, &w->session);
	if (err)
		return err;
	return far ? shmux_session_accept(w->session, 0, &w->stream) :
		     shmux_session_open(w->session, SHMUX_STREAM_BYTES, &w->stream);
}

static int blocking_begin(struct way *w, bool far)
{
	return session_begin(w, far, SHMUX_SPIN_NONE);
}

static int spinning_begin(struct way *w, bool far)
{
	return session_begin(w, far, SHMUX_SPIN_ENDLESS);
}

static int stream_send(struct way *w, bool far)
{
	(void)far;
	return shmux_stream_write(w->stream, w->payload, LEN) == LEN ? 0 : -EIO;
}

/* A request that is waited for: published, and the peer rung, by the wait. */
static int stream_ask(struct way *w, bool far)
{
	struct iovec iov = { .iov_base = w->payload, .iov_len = LEN };

	(void)far;
	return shmux_stream_send(w->stream, &iov, 1, SHMUX_MORE) == LEN ? 0 : -EIO;
}

static int stream_receive(struct way *w, bool far)
{
	(void)far;
	return shmux_stream_read(w->stream, w->payload, LEN) == LEN ? 0 : -EIO;
}

static const struct way_ops kmod = { raw_open, blocking_begin, stream_send, stream_receive, false };
static const struct way_ops kmod_ask = { raw_open, blocking_begin, stream_ask, stream_receive,
					 false };
static const struct way_ops memfd_ask = { unix_open, blocking_begin, stream_ask, stream_receive,
					  false };
static const struct way_ops memfd = { unix_open, blocking_begin, stream_send, stream_receive,
				      false };
static const struct way_ops spinning = { raw_open, spinning_begin, stream_send, stream_receive,
					 true };

/* --- the tests ---------------------------------------------------------------- */

FIXTURE(counts)
{
	struct way way;
	pid_t far;
};

FIXTURE_VARIANT(counts)
{
	const char *name;
	const struct way_ops *ops;
	int calls; /* that a side may make in a round */
	bool ours; /* and is held to it */
	bool split; /* a CPU each */
	bool yields; /* the CPU before a sleep */
};

FIXTURE_VARIANT_ADD(counts, device){
	.name = "/dev/shmux, WAIT with a kick",
	.ops = &raw,
	.calls = 1,
	.ours = true,
};

FIXTURE_VARIANT_ADD(counts, eventfd){
	.name = "eventfd",
	.ops = &eventfds,
};

FIXTURE_VARIANT_ADD(counts, af_unix){
	.name = "AF_UNIX stream",
	.ops = &af_unix,
};

FIXTURE_VARIANT_ADD(counts, stream_over_kmod){
	.name = "libshmux over kmod, blocking",
	.ops = &kmod,
	.calls = 2,
	.ours = true,
};

FIXTURE_VARIANT_ADD(counts, stream_over_memfd){
	.name = "libshmux over memfd, blocking",
	.ops = &memfd,
	.calls = 2,
	.ours = true,
	.yields = true,
};

FIXTURE_VARIANT_ADD(counts, stream_over_kmod_split){
	.name = "libshmux over kmod, blocking, a CPU each",
	.ops = &kmod,
	.calls = 2,
	.ours = true,
	.split = true,
};

/* What is sent with SHMUX_MORE is published by the read that waits for the answer. */
FIXTURE_VARIANT_ADD(counts, request_over_kmod){
	.name = "libshmux over kmod, SHMUX_MORE, blocking",
	.ops = &kmod_ask,
	.calls = 1,
	.ours = true,
};

FIXTURE_VARIANT_ADD(counts, request_over_kmod_split){
	.name = "libshmux over kmod, SHMUX_MORE, blocking, a CPU each",
	.ops = &kmod_ask,
	.calls = 1,
	.ours = true,
	.split = true,
};

FIXTURE_VARIANT_ADD(counts, request_over_memfd){
	.name = "libshmux over memfd, SHMUX_MORE, blocking",
	.ops = &memfd_ask,
	.calls = 2,
	.ours = true,
	.yields = true,
};

FIXTURE_VARIANT_ADD(counts, stream_over_kmod_spinning){
	.name = "libshmux over kmod, spinning",
	.ops = &spinning,
	.calls = 0,
	.ours = true,
	.split = true,
};

static void far_side(struct way *w, const struct way_ops *ops, int cpu)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(cpu);
	if (ops->begin(w, true))
		_exit(1);
	while (!ops->receive(w, true) && !ops->send(w, true))
		;
	_exit(0);
}

static void close_both(const struct way *w)
{
	close(w->near);
	if (w->far != w->near)
		close(w->far);
	if (w->near_back)
		close(w->near_back);
	if (w->own)
		munmap(w->own, SMALL);
}

FIXTURE_SETUP(counts)
{
	if (event_id(events[CALLS]) < 0)
		SKIP_TEST("the kernel's tracepoints are not there to be counted");
	if (variant->split && process_nr_cpus() < 2)
		SKIP_TEST("there is no CPU for each side");
	ASSERT_EQ(0, variant->ops->open(&self->way));
	self->far = fork();
	ASSERT_LE(0, self->far);
	if (!self->far)
		far_side(&self->way, variant->ops, variant->split);
	pin(0);
	ASSERT_EQ(0, variant->ops->begin(&self->way, false));
}

FIXTURE_TEARDOWN(counts)
{
	kill(self->far, SIGKILL);
	waitpid(self->far, NULL, 0);
	if (self->way.stream)
		shmux_stream_close(self->way.stream);
	if (self->way.session)
		shmux_session_close(self->way.session, 0);
	else
		close_both(&self->way);
}

/* Return: how many rounds succeeded. */
static int go_round(struct way *w, const struct way_ops *ops, int rounds)
{
	int n = 0;

	while (n < rounds && !ops->send(w, false) && !ops->receive(w, false))
		n++;
	return n;
}

/* With PREEMPT_RT: then it wakes, and gives the CPU away, for its own sake too. */
static bool kernel_sleeps_on_locks(void)
{
	struct utsname name;

	return !uname(&name) && strstr(name.version, "PREEMPT_RT");
}

TEST_F(counts, a_round_trip_takes_no_more_than_is_said)
{
	uint64_t before[2][NR_COUNTERS], nr[2][NR_COUNTERS];
	int fds[2][NR_COUNTERS], side, i, allowed;
	struct timespec begun, ended;

	ASSERT_EQ(WARM_UP, go_round(&self->way, variant->ops, WARM_UP));
	for (side = 0; side < 2; side++)
		for (i = 0; i < NR_COUNTERS; i++) {
			fds[side][i] = counter_open(i, side ? self->far : 0);
			ASSERT_LE(0, fds[side][i]);
		}
	/* Our own system calls last, and after the rounds first: reading is one. */
	for (side = 1; side >= 0; side--)
		for (i = NR_COUNTERS - 1; i >= 0; i--)
			before[side][i] = counter_read(_metadata, fds[side][i]);

	clock_gettime(CLOCK_MONOTONIC, &begun);
	ASSERT_EQ(ROUNDS, go_round(&self->way, variant->ops, ROUNDS));
	clock_gettime(CLOCK_MONOTONIC, &ended);

	for (side = 0; side < 2; side++)
		for (i = 0; i < NR_COUNTERS; i++)
			nr[side][i] = counter_read(_metadata, fds[side][i]) - before[side][i];
	nr[0][CALLS]--;
	for (side = 0; side < 2; side++) {
		TH_LOG("%s, %s: %d round trips, %d system calls, %d times off the CPU, %d wake-ups",
		       variant->name, side ? "far" : "near", ROUNDS, (int)nr[side][CALLS],
		       (int)nr[side][SWITCHES], (int)nr[side][WAKE_UPS]);
	}

	allowed = ROUNDS * variant->calls + (self->way.session ? GRANTS : 0) +
		  (variant->yields ? YIELDS : 0);
	if (variant->ops->spins)
		allowed = (int)(((ended.tv_sec - begun.tv_sec) * 1000000000 + ended.tv_nsec -
				 begun.tv_nsec) / LOOK);
	for (side = 0; variant->ours && side < 2; side++) {
		/* Where the far side is in its round when we begin and end is not said. */
		EXPECT_LE(nr[side][CALLS], (uint64_t)allowed + side);
		if (variant->ops->spins)
			continue;
		/* One each, and no more; but for what the machine does meanwhile. */
		EXPECT_GE(nr[side][CALLS], ROUNDS * 3 / 4);
		if (!kernel_sleeps_on_locks()) {
			EXPECT_LE(nr[side][WAKE_UPS], ROUNDS * 5 / 4);
			/* Who has yielded too early sleeps as well. */
			EXPECT_LE(nr[side][SWITCHES],
				  ROUNDS * 5 / 4 + (variant->yields ? ROUNDS / 4 : 0));
		}
		if (variant->split)
			continue;
		/* Of two that share a CPU each must leave it for the other to answer. */
		EXPECT_GE(nr[side][SWITCHES], ROUNDS);
		/* In each round one at least has fallen asleep. */
		EXPECT_GE(nr[0][WAKE_UPS] + nr[1][WAKE_UPS], ROUNDS * 3 / 4);
	}
	for (side = 0; side < 2; side++)
		for (i = 0; i < NR_COUNTERS; i++)
			close(fds[side][i]);
}

TEST_HARNESS_MAIN
