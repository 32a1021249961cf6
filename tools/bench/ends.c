// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * ends.c - the processes that do what is measured: begins them, pins them, ends them
 *
 * For the driver alone, but for bench_fail() and bench_buffer(). What they do is the
 * case's.
 */
#define _GNU_SOURCE
#include "ends.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

static void pin(struct bench *b, enum bench_end end)
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

static pid_t spawn(struct bench *b, enum bench_end end)
{
	const struct bench_case *bc = b->run->bc;
	pid_t driver = getpid(), pid;

	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != driver)
		_exit(1);
	b->run->pids[end] = getpid();
	/* No page of them is to be fetched amid what is measured. */
	if (end == BENCH_NEAR)
		memset(b->run->samples, 0, BENCH_MAX_SAMPLES * sizeof(*b->run->samples));
	/* The driver goes on with us, if it may trace us at all. */
	if (b->run->traced && (ptrace(PTRACE_TRACEME, 0, NULL, NULL) || raise(SIGSTOP)))
		_exit(1);
	signal(SIGPIPE, SIG_IGN);
	pin(b, end);
	(end == BENCH_FAR ? bc->far : bc->near)(b->run);
	b->run->done = 1;
	_exit(0);
}

/*
 * Tells the user that the run has failed, if it has. One that is traced may, being slow,
 * where it otherwise does not; that is for its caller to know. Return: whether.
 */
static bool complain(struct bench *b)
{
	const struct bench_run *run = b->run;
	const struct bench_case *bc = run->bc;

	if (!run->failure[0])
		return false;
	if (run->traced)
		return true;
	fprintf(stderr, "shmux: cannot measure %s %s (%zu bytes, %s, %s): %s\n", bc->system,
		bc->test, bc->bytes, bc->wait, bc->placement, run->failure);
	b->failed = true;
	return true;
}

bool bench_ends_start(struct bench *b, const struct bench_case *bc, double seconds, bool traced,
		      pid_t pids[BENCH_NR_ENDS])
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
		.per_sample = 1,
		.warm = ticks * BENCH_WARM,
		.slice = ticks * (1 - BENCH_WARM),
		.traced = traced,
	};
	pids[BENCH_NEAR] = pids[BENCH_FAR] = -1;
	/* Zeroes, on other pages than last time: some lie better than others. */
	if (madvise(run->shared, BENCH_SHARED, MADV_REMOVE))
		error = -errno;
	else if (bc->setup)
		error = bc->setup(run);
	if (!error) {
		fflush(NULL);
		/* @near looks at @far's usage, so its pid is there first. */
		run->pids[BENCH_FAR] = pids[BENCH_FAR] = spawn(b, BENCH_FAR);
		pids[BENCH_NEAR] = spawn(b, BENCH_NEAR);
		if (pids[BENCH_FAR] < 0 || pids[BENCH_NEAR] < 0)
			error = -errno;
	}
	if (error)
		snprintf(run->failure, sizeof(run->failure), "%s", strerrorname_np(-error));
	return !error;
}

bool bench_ends_stop(struct bench *b, pid_t pids[BENCH_NR_ENDS])
{
	b->run->done = 1;
	for (int end = 0; end < BENCH_NR_ENDS; end++) {
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

bool bench_ends_exited(struct bench *b, pid_t pids[BENCH_NR_ENDS], pid_t pid, int status)
{
	struct bench_run *run = b->run;

	if (pid != pids[BENCH_NEAR] && pid != pids[BENCH_FAR])
		return false;
	pids[pid == pids[BENCH_FAR] ? BENCH_FAR : BENCH_NEAR] = -1;
	if (WIFSIGNALED(status) && !run->failure[0])
		snprintf(run->failure, sizeof(run->failure), "one end was killed by SIG%s",
			 sigabbrev_np(WTERMSIG(status)));
	return true;
}

bool bench_ends_gone(struct bench *b, pid_t pids[BENCH_NR_ENDS], enum bench_end end)
{
	pid_t pid = pids[end];
	int status;

	return waitpid(pid, &status, WNOHANG) == pid && bench_ends_exited(b, pids, pid, status);
}

void bench_ends_give_up(struct bench *b)
{
	snprintf(b->run->failure, sizeof(b->run->failure), "no answer for %.0f s", BENCH_PATIENCE);
}

double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

void bench_nap(double seconds)
{
	struct timespec ts = { seconds, (seconds - (long)seconds) * 1e9 };

	nanosleep(&ts, NULL);
}
