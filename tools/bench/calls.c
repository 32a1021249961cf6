// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * calls.c - counts the system calls of both ends, from outside
 *
 * By ptrace, in a slice of its own: whoever is traced is slow, and may sleep where
 * it otherwise would not. Threads and children of the ends are traced with them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "ends.h"

#define SLICE 0.05		/* seconds; of what takes longer, one is enough */
#define OPTIONS (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | \
		 PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL)

static void on_alarm(int signal)
{
	(void)signal;
}

/* Every now and then, waitpid() returns with nothing. */
static void set_alarm(bool on)
{
	struct sigaction action = { .sa_handler = on ? on_alarm : SIG_DFL };
	struct itimerval timer = { { 0, on ? 100000 : 0 }, { 0, on ? 100000 : 0 } };

	if (on)
		sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	if (!on)
		sigaction(SIGALRM, &action, NULL);
}

/* Return: whether both ends have stopped before their first step, and go on. */
static bool follow(pid_t pids[BENCH_NR_ENDS])
{
	int status;

	for (int end = 0; end < BENCH_NR_ENDS; end++) {
		while (waitpid(pids[end], &status, 0) < 0)
			if (errno != EINTR)
				return false;
		if (!WIFSTOPPED(status)) {
			pids[end] = -1;
			return false;
		}
		if (ptrace(PTRACE_SETOPTIONS, pids[end], NULL, OPTIONS))
			return false;
	}
	for (int end = 0; end < BENCH_NR_ENDS; end++)
		ptrace(PTRACE_SYSCALL, pids[end], NULL, NULL);
	return true;
}

/*
 * Lets @pid run on until its next system call begins or ends. Of its signals, SIGSTOP
 * is how a new thread or child begins.
 */
static void go_on(pid_t pid, int status)
{
	int signal = WSTOPSIG(status);

	if (signal == (SIGTRAP | 0x80) || signal == SIGSTOP || status >> 16)
		signal = 0;
	ptrace(PTRACE_SYSCALL, pid, NULL, signal);
}

/* Return: how often a call began or ended while the ends were measured. */
static uint64_t count_stops(struct bench *b, pid_t pids[BENCH_NR_ENDS])
{
	double until = bench_now() + BENCH_PATIENCE;
	struct bench_run *run = b->run;
	uint64_t nr_stops = 0;
	int status;
	pid_t pid;

	while (pids[BENCH_NEAR] > 0 && !run->failure[0]) {
		pid = waitpid(-1, &status, __WALL);
		if (pid > 0 && WIFSTOPPED(status)) {
			if (WSTOPSIG(status) == (SIGTRAP | 0x80) && run->begun && !run->ended)
				nr_stops++;
			go_on(pid, status);
		} else if (pid > 0) {
			bench_ends_exited(b, pids, pid, status);
		}
		if (bench_now() > until)
			bench_ends_give_up(b);
	}
	return nr_stops;
}

/* What the ends have left behind is killed with them, and was ours to wait for. */
static void bury(void)
{
	double until = bench_now() + BENCH_PATIENCE;
	int status;
	pid_t pid;

	while (bench_now() < until) {
		pid = waitpid(-1, &status, __WALL);
		if (pid > 0 && WIFSTOPPED(status))
			ptrace(PTRACE_CONT, pid, NULL, NULL);
		else if (pid < 0 && errno == ECHILD)
			return;
	}
}

void bench_count_calls(struct bench *b, struct bench_result *r)
{
	struct bench_run *run = b->run;
	pid_t pids[BENCH_NR_ENDS];
	uint64_t nr_stops = 0;
	bool known = false;

	set_alarm(true);
	if (bench_ends_start(b, r->bc, SLICE, true, pids) && follow(pids)) {
		nr_stops = count_stops(b, pids);
		known = run->ended && bench_nr_messages(run);
	}
	if (bench_ends_stop(b, pids) && known) {
		r->calls.known = true;
		r->calls.nr_calls = (nr_stops + 1) / 2;
		r->calls.nr_messages = bench_nr_messages(run);
	}
	bury();
	set_alarm(false);
}
