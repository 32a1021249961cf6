// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_go.c - Go pairs that speak yamux by hashicorp/yamux, or xtaci/smux: see go/main.go
 *
 * Each end is a process in Go. Ours of the far end becomes it; that of the near end
 * starts it, waits, and takes over what it has measured by its own clock, whose
 * reading costs some 50 ns a sample where ours costs 10.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "peer_absent.h"
#include "peer_rows.h"

/* Of one system: beside the command. */
static const char *path(const char *system)
{
	static char program[PATH_MAX];
	ssize_t len;

	len = readlink("/proc/self/exe", program, sizeof(program) - 32);
	if (len < 0)
		len = 0;
	program[len] = 0;
	dirname(program);
	strcat(program, "/shmux-bench-");
	return strcat(program, system);
}

static const char *absent(const char *system, const char *package, char why[], size_t size)
{
	if (!access(path(system), X_OK))
		return NULL;
	snprintf(why, size, "there is no %s; 'make bench-go' builds it where golang-go and %s are "
		 "installed", path(system), package);
	return why;
}

enum { WHY_SIZE = PATH_MAX + 160 };

const char *bench_go_yamux_absent(void)
{
	static char why[WHY_SIZE];

	return absent("go-yamux", "golang-github-hashicorp-yamux-dev", why, sizeof(why));
}

const char *bench_go_smux_absent(void)
{
	static char why[WHY_SIZE];

	return absent("go-smux", "golang-github-xtaci-smux-dev", why, sizeof(why));
}

static int setup(struct bench_run *run)
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, run->fds) ? -errno : 0;
}

/* Become the program, at the socket @fd. */
static void become(struct bench_run *run, const char *end, int fd, int figures)
{
	char bytes[24], warm[24], slice[24];
	const char *program = path(run->bc->system);
	char *argv[] = { (char *)program, (char *)end, (char *)run->bc->test, bytes, warm,
			 slice, NULL };

	snprintf(bytes, sizeof(bytes), "%zu", run->bc->bytes);
	snprintf(warm, sizeof(warm), "%.0f", run->warm / run->ticks_per_ns);
	snprintf(slice, sizeof(slice), "%.0f", run->slice / run->ticks_per_ns);
	if (dup2(fd, STDIN_FILENO) < 0 || (figures >= 0 && dup2(figures, 3) < 0))
		bench_fail(run, "dup2", errno);
	execv(program, argv);
	bench_fail(run, program, errno);
}

static void far(struct bench_run *run)
{
	become(run, "far", run->fds[1], -1);
}

static void read_all(struct bench_run *run, FILE *in, void *buf, size_t size)
{
	if (fread(buf, size, 1, in) != 1)
		bench_fail(run, "the program in Go has ended without a figure", 0);
}

/* Times are in ns there, in ticks here. */
static void take_over(struct bench_run *run, FILE *in)
{
	uint64_t head[3];
	char begun;

	read_all(run, in, &begun, 1);
	bench_begin(run);
	if (write(fileno(in), &begun, 1) != 1)
		bench_fail(run, "write", errno);
	read_all(run, in, head, sizeof(head));
	bench_end(run);
	if (head[2] > BENCH_MAX_SAMPLES)
		bench_fail(run, "the program in Go counts too many samples", 0);
	if (head[2])
		read_all(run, in, run->samples, head[2] * sizeof(*run->samples));
	for (uint64_t i = 0; i < head[2]; i++)
		run->samples[i] = run->samples[i] * run->ticks_per_ns;
	run->nr_samples = head[2];
	run->nr_messages = head[0];
	run->from = 0;
	run->last = head[1] * run->ticks_per_ns;
}

static void near(struct bench_run *run)
{
	int figures[2];
	pid_t pid;
	FILE *in;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, figures))
		bench_fail(run, "socketpair", errno);
	pid = fork();
	if (pid < 0)
		bench_fail(run, "fork", errno);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(figures[0]);
		become(run, "near", run->fds[0], figures[1]);
	}
	run->pids[BENCH_NEAR] = pid;
	close(figures[1]);
	in = fdopen(figures[0], "r");
	if (!in)
		bench_fail(run, "fdopen", errno);
	take_over(run, in);
	waitpid(pid, NULL, 0);
}

#define RTT setup, near, far
#define ONEWAY setup, near, far
#define CHURN(placement, level)                                                        \
	{ SYSTEM, "churn", 64, "block", "copy", 0, placement, setup, near, far, level }

#define ROWS                                                                           \
	PEER_ROWS_TO_16M, CHURN("split", BENCH_QUICK), CHURN("same", BENCH_USUAL),     \
	CHURN("free", BENCH_FULL)

#define SYSTEM "go-smux"
const struct bench_case bench_peer_go_smux[] = { ROWS, { 0 } };
#undef SYSTEM

#define SYSTEM "go-yamux"
const struct bench_case bench_peer_go_yamux[] = { ROWS, { 0 } };

/* What the suite "yamux" is held to. */
const struct bench_case bench_yamux_go[] = {
	PEER_RTT(64, "same", BENCH_QUICK),
	PEER_RTT(64, "split", BENCH_QUICK),
	CHURN("same", BENCH_QUICK),
	CHURN("split", BENCH_QUICK),
	PEER_ONEWAY(65536, "same", BENCH_QUICK),
	PEER_ONEWAY(65536, "split", BENCH_QUICK),
	{ 0 }
};
