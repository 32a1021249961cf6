// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * executioner.c - see executioner.h
 *
 * Test and executioner share a page; what one wants of the other goes over a
 * socket. A child of a victim outlives it until the executioner lets go of a
 * pipe, which happens at the latest when that ends.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmux/common.h>

#include "executioner.h"
#include "process.h"

#define COPIES_MAX 256

/* Who is always busy is killed so. */
#define SLEEP_PATIENCE (300 * MSEC)

/* A traced victim that does not go on is blocked for good. */
#define TRACE_PATIENCE (200 * MSEC)

struct executioner_page {
	struct doom doom;
	victim_fn fn;
	void *arg;
	pid_t victim, child;
	pid_t survivor, survivor_tid;
	bool child_runs; /* atomic */
	bool called; /* atomic */
};

/* What the executioner has. A victim knows the first three, too. */
static struct executioner_page *page;
static int ready_fds[2];
static int leash_fds[2];
static int copies[COPIES_MAX];
static int nr_copies;

long process_syscall(pid_t pid, pid_t tid)
{
	char path[64], line[64];
	FILE *file;
	long nr = -1;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	if (!fgets(line, sizeof(line), file) || sscanf(line, "%ld", &nr) != 1)
		nr = -1;
	fclose(file);
	return nr;
}

/* --- the victim ---------------------------------------------------------- */

static bool is_traced(const struct doom *doom)
{
	return doom->steps || doom->syscalls;
}

/* It has what its parent had, until the leash is let go. */
static pid_t fork_child(void)
{
	pid_t pid = fork();
	char byte;

	if (pid) {
		while (pid > 0 && !__atomic_load_n(&page->child_runs, __ATOMIC_ACQUIRE))
			sched_yield();
		return pid;
	}
	__atomic_store_n(&page->child_runs, true, __ATOMIC_RELEASE);
	while (read(leash_fds[0], &byte, 1) < 0 && errno == EINTR)
		;
	_exit(0);
}

void victim_ready(void)
{
	/* One that is killed amid fork could not say whom it has forked. */
	if (page->doom.hold == HOLD_CHILD && !page->doom.at_birth)
		page->child = fork_child();
	if (is_traced(&page->doom))
		raise(SIGSTOP);
	else if (write(ready_fds[1], "r", 1) != 1)
		_exit(3);
}

static void __attribute__((noreturn)) victim_main(int control, pid_t executioner)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != executioner)
		_exit(2);
	close(control);
	close(ready_fds[0]);
	close(leash_fds[1]);
	setpgid(0, 0);
	if (is_traced(&page->doom) && ptrace(PTRACE_TRACEME, 0, NULL, NULL))
		_exit(4);
	_exit(page->fn(page->arg));
}

/* --- the executioner ----------------------------------------------------- */

static bool has_ended(int status)
{
	return WIFEXITED(status) || WIFSIGNALED(status);
}

/* Wait until it is ready. Return: whether it is; else it has ended. */
static bool wait_ready(pid_t pid, int *status)
{
	struct pollfd fd = { .fd = ready_fds[0], .events = POLLIN };
	char byte;

	for (;;) {
		if (poll(&fd, 1, 1) > 0)
			return read(ready_fds[0], &byte, 1) == 1;
		if (waitpid(pid, status, WNOHANG) == pid && has_ended(*status))
			return false;
	}
}

static bool victim_sleeps(const struct doom *doom)
{
	(void)doom;
	return process_sleeps(page->victim, page->victim);
}

static bool survivor_sleeps(const struct doom *doom)
{
	pid_t pid = page->survivor, tid = page->survivor_tid;
	long nr;

	if (!process_sleeps(pid, tid))
		return false;
	if (!doom->syscall)
		return true;
	nr = process_syscall(pid, tid);
	return nr == doom->syscall || nr == -1;
}

static bool wait_asleep(bool (*sleeps)(const struct doom *doom), const struct doom *doom)
{
	uint64_t until = shmux_now() + SLEEP_PATIENCE;
	int seen = 0;

	/* Twice in a row: once may have been a lock on its way. */
	while (seen < 2 && shmux_now() < until) {
		seen = sleeps(doom) ? seen + 1 : 0;
		usleep(100);
	}
	return seen >= 2;
}

/* Wait until victim and survivor are where they should be. */
static void wait_both(const struct doom *doom, struct death *death)
{
	if (doom->for_call && !wait_until(__atomic_load_n(&page->called, __ATOMIC_ACQUIRE)))
		fprintf(stderr, "# executioner: the survivor does not call\n");
	if (doom->for_victim)
		wait_asleep(victim_sleeps, doom);
	if (doom->for_sleep)
		death->slept = wait_asleep(survivor_sleeps, doom);
}

/* To be killed at any time is the aim here, hence by the clock. */
static void pass_time(uint64_t ns)
{
	uint64_t until = shmux_now() + ns;
	struct timespec ts = { .tv_nsec = 100000 };

	while (shmux_now() < until)
		if (until - shmux_now() > 300000)
			nanosleep(&ts, NULL);
}

static void interrupt(int signal)
{
	(void)signal;
}

/* Have a wait that lasts come back now and then. */
static void set_alarm(uint64_t ns)
{
	struct timeval tv = { .tv_usec = (suseconds_t)(ns / 1000) };
	struct itimerval every = { .it_interval = tv, .it_value = tv };
	struct sigaction action = { .sa_handler = interrupt };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

/* Let it go on to its next stop. Return: whether it got there. */
static bool trace_on(pid_t pid, int request, int *status)
{
	uint64_t until = shmux_now() + TRACE_PATIENCE;
	int signal = WIFSTOPPED(*status) ? WSTOPSIG(*status) : 0;
	pid_t ret;

	if (signal == SIGTRAP || signal == SIGSTOP)
		signal = 0;
	if (ptrace(request, pid, NULL, (void *)(intptr_t)signal))
		return false;
	do {
		ret = waitpid(pid, status, __WALL);
	} while (ret < 0 && errno == EINTR && shmux_now() < until);
	return ret == pid && !has_ended(*status);
}

/* Return: whether it stopped as often as it should. */
static bool trace(pid_t pid, const struct doom *doom, int *status)
{
	int request = doom->steps ? PTRACE_SINGLESTEP : PTRACE_SYSCALL;
	uint32_t left = doom->steps ? doom->steps : doom->syscalls;

	set_alarm(TRACE_PATIENCE);
	while (left && trace_on(pid, request, status))
		left--;
	set_alarm(0);
	return !left;
}

static void copy_descriptors(pid_t pid)
{
	char path[32];
	struct dirent *entry;
	int pidfd, fd;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	dir = opendir(path);
	if (!dir || pidfd < 0)
		fprintf(stderr, "# executioner: no copies of descriptors: %s\n", strerror(errno));
	while (dir && pidfd >= 0 && (entry = readdir(dir)) && nr_copies < COPIES_MAX) {
		if (entry->d_name[0] == '.')
			continue;
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, atoi(entry->d_name), 0);
		if (fd >= 0)
			copies[nr_copies++] = fd;
	}
	if (dir)
		closedir(dir);
	if (pidfd >= 0)
		close(pidfd);
}

static struct death execute(int control)
{
	const struct doom *doom = &page->doom;
	struct death death = { .status = -1 };
	pid_t pid, self = getpid();
	char byte;

	page->child = 0;
	while (recv(ready_fds[0], &byte, 1, MSG_DONTWAIT) == 1)
		;
	pid = fork();
	if (!pid)
		victim_main(control, self);
	/* By both, for nobody knows who is first. */
	setpgid(pid, pid);
	__atomic_store_n(&page->victim, pid, __ATOMIC_RELEASE);

	if (is_traced(doom)) {
		death.ready = waitpid(pid, &death.status, __WALL) == pid &&
			      !has_ended(death.status);
		if (death.ready)
			wait_both(doom, &death);
		death.traced = death.ready && trace(pid, doom, &death.status);
	} else if (doom->at_birth || (death.ready = wait_ready(pid, &death.status))) {
		wait_both(doom, &death);
		pass_time(doom->delay);
	}
	if (!has_ended(death.status)) {
		if (doom->hold == HOLD_COPIES) {
			if (!is_traced(doom)) {
				kill(pid, SIGSTOP);
				waitpid(pid, &death.status, WUNTRACED);
			}
			copy_descriptors(pid);
		}
		kill(doom->family ? -pid : pid, SIGKILL);
		do {
			waitpid(pid, &death.status, __WALL);
		} while (!has_ended(death.status));
		/* Its children are ours to wait for now. */
		while (doom->family && wait(NULL) > 0)
			;
	}
	death.time = shmux_now();
	return death;
}

static void let_go(void)
{
	while (nr_copies)
		close(copies[--nr_copies]);
	if (page->child > 0) {
		kill(page->child, SIGKILL);
		waitpid(page->child, NULL, 0);
		page->child = 0;
	}
}

/* Return: exit status. */
static int executioner_main(int control)
{
	int nr_fds = process_nr_fds(), bad = 0;
	struct death death;
	char command;

	/* The victims' children become ours. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	while (recv(control, &command, 1, 0) == 1) {
		if (command == 'b') {
			death = execute(control);
			if (send(control, &death, sizeof(death), MSG_NOSIGNAL) < 0)
				break;
		} else {
			let_go();
			send(control, "e", 1, MSG_NOSIGNAL);
		}
	}
	let_go();
	if (process_nr_fds() != nr_fds) {
		fprintf(stderr, "# executioner: %d descriptors at first, %d at last\n", nr_fds,
			process_nr_fds());
		bad = 1;
	}
	if (waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD) {
		fprintf(stderr, "# executioner: a process is left\n");
		bad = 1;
	}
	return bad;
}

/* --- the test ------------------------------------------------------------ */

int executioner_start(struct executioner *e)
{
	pid_t parent = getpid();
	int fds[2];

	e->page = mmap(NULL, sizeof(*e->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (e->page == MAP_FAILED)
		return -errno;
	page = e->page;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds))
		return -errno;
	e->control = fds[0];
	/* It may want to know which system call we are in. */
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
	e->pid = fork();
	if (e->pid < 0)
		return -errno;
	if (!e->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(2);
		close(fds[0]);
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ready_fds) ||
		    pipe2(leash_fds, O_CLOEXEC))
			_exit(2);
		_exit(executioner_main(fds[1]));
	}
	close(fds[1]);
	/* What it has, it has from now on. */
	executioner_end(e);
	return 0;
}

int executioner_stop(struct executioner *e)
{
	int status = -1;

	close(e->control);
	if (waitpid(e->pid, &status, 0) != e->pid)
		status = -1;
	munmap(e->page, sizeof(*e->page));
	e->pid = 0;
	return status ? -1 : 0;
}

void executioner_begin(struct executioner *e, const struct doom *doom, victim_fn fn, void *arg)
{
	*e->page = (struct executioner_page){
		.doom = *doom,
		.fn = fn,
		.arg = arg,
		.survivor = getpid(),
		.survivor_tid = gettid(),
	};
	if (send(e->control, "b", 1, MSG_NOSIGNAL) != 1)
		fprintf(stderr, "# the executioner is not there\n");
}

void executioner_call(struct executioner *e)
{
	__atomic_store_n(&e->page->called, true, __ATOMIC_RELEASE);
}

bool executioner_is_done(struct executioner *e)
{
	struct pollfd fd = { .fd = e->control, .events = POLLIN };

	return poll(&fd, 1, 0) != 0;
}

pid_t executioner_victim(struct executioner *e)
{
	return __atomic_load_n(&e->page->victim, __ATOMIC_ACQUIRE);
}

struct death executioner_wait(struct executioner *e)
{
	struct death death = { .status = -1 };

	if (recv(e->control, &death, sizeof(death), 0) != sizeof(death))
		fprintf(stderr, "# the executioner has gone\n");
	return death;
}

void executioner_end(struct executioner *e)
{
	char byte;

	if (send(e->control, "e", 1, MSG_NOSIGNAL) != 1 || recv(e->control, &byte, 1, 0) != 1)
		fprintf(stderr, "# the executioner is not there\n");
}
