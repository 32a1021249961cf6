// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * measure.c - runs cases
 *
 * Owns the processes and the clock; knows nothing of what is measured. The cases
 * run one after the other, a slice each, round after round, so that whatever the
 * machine does meanwhile happens to all of them; those that will be compared run
 * next to each other. A figure is the median over the rounds of that round's.
 */
#define _GNU_SOURCE
#include "measure.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MAX 0.2		/* seconds; longer tells nothing new */
#define SLICE_MIN 0.01
#define SLICE_COST 0.005	/* of the processes' coming and going, at first */
#define ENOUGH_ROUNDS 3		/* for a median, where time has run out */
#define WARM 0.2		/* share of a slice */
#define PATIENCE 10.0		/* seconds after which a silent case is given up */
#define SETTLE 0.2		/* seconds before idleness is watched */
#define TRACE 0.1		/* seconds in which system calls are counted */

enum { NEAR, FAR, NR_ENDS };

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void nap(double seconds)
{
	struct timespec ts = { seconds, (seconds - (long)seconds) * 1e9 };

	nanosleep(&ts, NULL);
}

/* --- figures -------------------------------------------------------------- */

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of the @nr figures in order, the one at @share of the way from first to last. */
static double quantile(const double *figures, unsigned int nr, double share)
{
	double sorted[BENCH_MAX_ROUNDS];

	if (!nr)
		return 0;
	memcpy(sorted, figures, nr * sizeof(*sorted));
	qsort(sorted, nr, sizeof(*sorted), compare_doubles);
	return sorted[(unsigned int)((nr - 1) * share)];
}

double bench_p50(const struct bench_result *r)
{
	return r ? quantile(r->p50, r->nr_rounds, 0.5) : 0;
}

double bench_p99(const struct bench_result *r)
{
	return r ? quantile(r->p99, r->nr_rounds, 0.5) : 0;
}

double bench_rate(const struct bench_result *r)
{
	return r ? quantile(r->rate, r->nr_rounds, 0.5) : 0;
}

double bench_p50_min(const struct bench_result *r)
{
	return r ? quantile(r->p50, r->nr_rounds, 0) : 0;
}

double bench_p50_max(const struct bench_result *r)
{
	return r ? quantile(r->p50, r->nr_rounds, 1) : 0;
}

static int compare_ticks(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Takes the slice's figures from its run. */
static void keep(struct bench *b, struct bench_result *r)
{
	struct bench_run *run = b->run;
	uint32_t nr = run->nr_samples;
	unsigned int round = r->nr_rounds;
	double sum = 0;

	if (nr) {
		for (uint32_t i = 0; i < nr; i++)
			sum += run->samples[i];
		qsort(run->samples, nr, sizeof(*run->samples), compare_ticks);
		r->p50[round] = run->samples[nr / 2] / b->ticks_per_ns;
		r->p99[round] = run->samples[(uint64_t)nr * 99 / 100] / b->ticks_per_ns;
		r->rate[round] = nr * b->ticks_per_ns * 1e9 / sum;
	} else if (run->nr_messages) {
		r->rate[round] = run->nr_messages * b->ticks_per_ns * 1e9 / (run->last - run->from);
	} else {
		strcpy(run->failure, "nothing arrived");
		return;
	}
	r->stalled_bytes = run->stalled_bytes;
	r->nr_rounds++;
}

/* --- the two ends --------------------------------------------------------- */

void bench_fail(struct bench_run *run, const char *what, int error)
{
	const char *name = error ? strerrorname_np(abs(error)) : NULL;

	if (!run->done)
		snprintf(run->failure, sizeof(run->failure), "%s%s%s", what, name ? ": " : "",
			 name ? name : "");
	_exit(1);
}

void *bench_buffer(struct bench_run *run, size_t bytes)
{
	void *buf = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (buf == MAP_FAILED)
		bench_fail(run, "a buffer", errno);
	return buf;
}

static void pin(struct bench *b, int end)
{
	const char *placement = b->run->bc->placement;
	cpu_set_t set;

	if (!strcmp(placement, "free"))
		return;
	CPU_ZERO(&set);
	CPU_SET(b->cpus[!strcmp(placement, "split") ? end : 0], &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		bench_fail(b->run, "sched_setaffinity", errno);
}

static pid_t spawn(struct bench *b, int end)
{
	const struct bench_case *bc = b->run->bc;
	pid_t driver = getpid(), pid;

	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != driver)
		_exit(1);
	signal(SIGPIPE, SIG_IGN);
	pin(b, end);
	(end == FAR ? bc->far : bc->near)(b->run);
	b->run->done = 1;
	_exit(0);
}

/* Tells the user that the run has failed, if it has. Return: whether. */
static bool complain(struct bench *b)
{
	const struct bench_run *run = b->run;
	const struct bench_case *bc = run->bc;

	if (!run->failure[0])
		return false;
	fprintf(stderr, "shmux: cannot measure %s %s (%zu bytes, %s, %s): %s\n", bc->system,
		bc->test, bc->bytes, bc->wait, bc->placement, run->failure);
	b->failed = true;
	return true;
}

/* Begins a run of @bc. Return: whether @pids are running. */
static bool start(struct bench *b, const struct bench_case *bc, double seconds, pid_t pids[NR_ENDS])
{
	struct bench_run *run = b->run;
	double ticks = seconds * 1e9 * b->ticks_per_ns;
	int error = 0;

	*run = (struct bench_run){
		.bc = bc,
		.shared = run->shared,
		.samples = run->samples,
		.fds = { -1, -1, -1, -1 },
		.ticks_per_ns = b->ticks_per_ns,
		.warm = ticks * WARM,
		.slice = ticks * (1 - WARM),
	};
	pids[NEAR] = pids[FAR] = -1;
	/* Zeroes, on other pages than last time: some lie better than others. */
	if (madvise(run->shared, BENCH_SHARED, MADV_REMOVE))
		error = -errno;
	else if (bc->setup)
		error = bc->setup(run);
	if (!error) {
		fflush(NULL);
		pids[FAR] = spawn(b, FAR);
		pids[NEAR] = spawn(b, NEAR);
		if (pids[FAR] < 0 || pids[NEAR] < 0)
			error = -errno;
	}
	if (error)
		snprintf(run->failure, sizeof(run->failure), "%s", strerrorname_np(-error));
	return !error;
}

/* Ends the run. Return: whether nothing went wrong with it. */
static bool stop(struct bench *b, pid_t pids[NR_ENDS])
{
	for (int end = 0; end < NR_ENDS; end++) {
		if (pids[end] > 0) {
			kill(pids[end], SIGKILL);
			waitpid(pids[end], NULL, 0);
		}
	}
	for (int i = 0; i < BENCH_NR_FDS; i++)
		if (b->run->fds[i] >= 0)
			close(b->run->fds[i]);
	return !complain(b);
}

/* Notices if an end is gone. Return: whether it is; its pid is then -1. */
static bool gone(struct bench *b, pid_t pids[NR_ENDS], int end)
{
	int status;

	if (waitpid(pids[end], &status, WNOHANG) != pids[end])
		return false;
	pids[end] = -1;
	if (WIFSIGNALED(status) && !b->run->failure[0])
		snprintf(b->run->failure, sizeof(b->run->failure), "one end was killed by SIG%s",
			 sigabbrev_np(WTERMSIG(status)));
	return true;
}

static bool measure(struct bench *b, struct bench_result *r, double seconds)
{
	double give_up = now() + seconds + PATIENCE;
	struct bench_run *run = b->run;
	pid_t pids[NR_ENDS];

	if (start(b, r->bc, seconds, pids)) {
		while (!gone(b, pids, NEAR) && !run->failure[0]) {
			if (pids[FAR] > 0)
				gone(b, pids, FAR);
			if (now() > give_up)
				strcpy(run->failure, "no answer for 10 s");
			nap(0.001);
		}
		if (!run->failure[0])
			keep(b, r);
	}
	return stop(b, pids);
}

/* --- rounds --------------------------------------------------------------- */

int bench_add(struct bench *b, const struct bench_case *bc, const char *absent)
{
	struct bench_result *results;

	results = reallocarray(b->results, b->nr_results + 1, sizeof(*results));
	if (!results)
		return -ENOMEM;
	b->results = results;
	if (!absent && !strcmp(bc->placement, "split") && b->cpus[1] < 0)
		absent = "two CPUs are wanted, and we may use only one";
	results[b->nr_results++] = (struct bench_result){ .bc = bc, .absent = absent };
	return 0;
}

static bool is_oneway(const struct bench_case *bc)
{
	return strstr(bc->test, "oneway") || strstr(bc->test, "stream");
}

/* What will be compared comes together: same kind, same CPUs, about as long. */
static int compare_kinds(const void *a, const void *b)
{
	const struct bench_case *x = ((const struct bench_result *)a)->bc;
	const struct bench_case *y = ((const struct bench_result *)b)->bc;
	int by;

	by = is_oneway(x) - is_oneway(y);
	if (!by)
		by = strcmp(y->placement, x->placement);
	if (!by)
		by = (int)(x->bytes > 64 ? x->bytes : 0) - (int)(y->bytes > 64 ? y->bytes : 0);
	if (!by)
		by = strcmp(y->wait, x->wait);
	if (!by)
		by = strcmp(x->system, y->system);
	return by ? by : (x > y) - (x < y);
}

static bool is_measured(const struct bench_result *r)
{
	return !r->absent && !r->failed;
}

static double longer(double x, double y)
{
	return x > y ? x : y;
}

/* How long each slice of a round may be: what those leave that need longer. */
static double share_out(const struct bench *b, double seconds, double cost)
{
	double slice = SLICE_MAX, before, left;
	unsigned int nr;

	do {
		before = slice;
		left = seconds;
		nr = 0;
		for (unsigned int i = 0; i < b->nr_results; i++) {
			const struct bench_result *r = &b->results[i];

			if (!is_measured(r))
				continue;
			left -= cost;
			if (r->bc->slice > slice)
				left -= r->bc->slice;
			else
				nr++;
		}
		if (nr && left / nr < slice)
			slice = longer(left / nr, SLICE_MIN);
	} while (slice < before);
	return slice;
}

/* Return: what a slice has cost beside its own time. */
static double run_round(struct bench *b, double slice)
{
	double began = now(), seconds = 0;
	unsigned int nr = 0;

	for (unsigned int i = 0; i < b->nr_results; i++) {
		struct bench_result *r = &b->results[i];

		if (!is_measured(r))
			continue;
		r->failed = !measure(b, r, longer(slice, r->bc->slice));
		seconds += longer(slice, r->bc->slice);
		nr++;
	}
	return nr ? longer((now() - began - seconds) / nr, 0) : 0;
}

void bench_run_rounds(struct bench *b)
{
	double began = now(), slice = SLICE_MAX, cost = SLICE_COST, left;
	bool tell = isatty(STDERR_FILENO);

	qsort(b->results, b->nr_results, sizeof(*b->results), compare_kinds);
	for (unsigned int round = 0; round < b->nr_rounds; round++) {
		left = began + b->seconds - now();
		if (b->seconds && left <= 0 && round >= ENOUGH_ROUNDS)
			break;
		if (b->seconds)
			slice = share_out(b, left / (b->nr_rounds - round), cost);
		if (tell)
			fprintf(stderr, "\rround %u of %u ", round + 1, b->nr_rounds);
		cost = run_round(b, slice);
	}
	if (tell)
		fputs("\r                    \r", stderr);
}

/* --- beside the rows ------------------------------------------------------ */

static uint64_t nr_received(const struct bench_run *run)
{
	return __atomic_load_n(&run->nr_messages, __ATOMIC_RELAXED) +
	       __atomic_load_n(&run->nr_samples, __ATOMIC_RELAXED);
}

/*
 * Lets @pid run on until its next system call. A stop is one at entry or one at
 * exit; both are counted, and halved at the end.
 */
static void trace_stop(pid_t pid, int status, uint64_t *nr_stops)
{
	int signal = WSTOPSIG(status);

	if (signal == (SIGTRAP | 0x80))
		++*nr_stops;
	if (signal == (SIGTRAP | 0x80) || status >> 16)
		signal = 0;
	ptrace(PTRACE_SYSCALL, pid, NULL, signal);
}

void bench_count_calls(struct bench *b, const struct bench_case *bc, struct bench_calls *calls)
{
	double until = now() + PATIENCE;
	struct bench_run *run = b->run;
	uint64_t nr_stops = 0, nr_before = 0;
	pid_t pids[NR_ENDS], pid;
	int status;

	if (b->cpus[1] < 0)
		return;
	if (!start(b, bc, 5 * TRACE, pids)) {
		stop(b, pids);
		return;
	}
	while (!nr_received(run) && now() < until && !run->failure[0])
		nap(0.001);
	for (int end = 0; end < NR_ENDS; end++) {
		if (ptrace(PTRACE_SEIZE, pids[end], NULL, PTRACE_O_TRACESYSGOOD) ||
		    ptrace(PTRACE_INTERRUPT, pids[end], NULL, NULL)) {
			stop(b, pids);
			return;
		}
		waitpid(pids[end], &status, __WALL);
	}
	nr_before = nr_received(run);
	for (int end = 0; end < NR_ENDS; end++)
		ptrace(PTRACE_SYSCALL, pids[end], NULL, NULL);

	until = now() + TRACE;
	while (now() < until) {
		pid = waitpid(-1, &status, __WALL | WNOHANG);
		if (pid > 0 && WIFSTOPPED(status))
			trace_stop(pid, status, &nr_stops);
		else if (pid > 0)
			pids[pid == pids[FAR] ? FAR : NEAR] = -1;
		else
			nap(0.0001);
	}
	calls->nr_calls = (nr_stops + 1) / 2;
	calls->nr_messages = nr_received(run) - nr_before;
	if (!strcmp(bc->test, "rtt"))
		calls->nr_messages *= 2;
	calls->known = stop(b, pids) && calls->nr_messages;
}

struct usage {
	double cpu;		/* seconds */
	uint64_t switches;
};

static bool usage_of(pid_t pid, struct usage *usage)
{
	char path[64], line[256];
	unsigned long long nr;
	struct timespec ts;
	clockid_t clock;
	FILE *status;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	status = fopen(path, "re");
	if (!status)
		return false;
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "voluntary_ctxt_switches: %llu", &nr) == 1 ||
		    sscanf(line, "nonvoluntary_ctxt_switches: %llu", &nr) == 1)
			usage->switches += nr;
	fclose(status);
	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts))
		return false;
	usage->cpu += ts.tv_sec + ts.tv_nsec * 1e-9;
	return true;
}

void bench_watch_idle(struct bench *b, const struct bench_case *bc, double seconds)
{
	struct usage before = { 0 }, after = { 0 };
	double until = now() + PATIENCE, began, took;
	struct bench_run *run = b->run;
	bool known = false;
	pid_t pids[NR_ENDS];

	if (start(b, bc, 1, pids)) {
		while (!run->settled && now() < until && !run->failure[0])
			nap(0.001);
		if (!run->settled && !run->failure[0])
			strcpy(run->failure, "no answer for 10 s");
		nap(SETTLE);
		began = now();
		known = run->settled && usage_of(pids[NEAR], &before) &&
			usage_of(pids[FAR], &before);
		if (known)
			nap(seconds);
		took = now() - began;
		known = known && usage_of(pids[NEAR], &after) && usage_of(pids[FAR], &after);
		b->idle.wakeups = (after.switches - before.switches) / took;
		b->idle.cpu = (after.cpu - before.cpu) / took;
	}
	b->idle.known = stop(b, pids) && known;
}

/* --- setting up ----------------------------------------------------------- */

static void find_cpus(struct bench *b)
{
	cpu_set_t set;
	int nr = 0;

	b->cpus[0] = b->cpus[1] = -1;
	if (sched_getaffinity(0, sizeof(set), &set))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE && nr < 2; cpu++)
		if (CPU_ISSET(cpu, &set))
			b->cpus[nr++] = cpu;
}

/* The median of a few tries: one that is preempted half way tells nothing. */
static void calibrate(struct bench *b)
{
	double tries[5];

	for (int i = 0; i < 5; i++) {
		uint64_t ticks = bench_ticks();
		double from = now(), to;

		do
			to = now();
		while (to - from < 0.005);
		tries[i] = (bench_ticks() - ticks) / ((to - from) * 1e9);
	}
	b->ticks_per_ns = quantile(tries, 5, 0.5);
}

static void *map_shared(size_t size, int flags)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | flags, -1, 0);
}

int bench_open(struct bench *b)
{
	void *run, *shared, *samples;

	run = map_shared(sizeof(*b->run), 0);
	shared = map_shared(BENCH_SHARED, 0);
	samples = map_shared(BENCH_MAX_SAMPLES * sizeof(*b->run->samples), MAP_POPULATE);
	if (run == MAP_FAILED || shared == MAP_FAILED || samples == MAP_FAILED)
		return -errno;
	b->run = run;
	b->run->shared = shared;
	b->run->samples = samples;
	find_cpus(b);
	calibrate(b);
	return 0;
}

void bench_close(struct bench *b)
{
	munmap(b->run->samples, BENCH_MAX_SAMPLES * sizeof(*b->run->samples));
	munmap(b->run->shared, BENCH_SHARED);
	munmap(b->run, sizeof(*b->run));
	free(b->results);
}
