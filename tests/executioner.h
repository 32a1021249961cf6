/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * executioner.h - kills a process at a chosen moment, and says when it died
 *
 * A process beside the test forks the victims and kills them, so that the test,
 * which is the survivor, may block in whatever call it likes, with one thread if
 * it likes. The victim calls victim_ready() where its end may begin; before that
 * it may have been told to fork a child, and the executioner may have taken
 * copies of its descriptors: then its sockets outlive it.
 */
#ifndef TESTS_EXECUTIONER_H
#define TESTS_EXECUTIONER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Who holds the victim's descriptors after its death. */
enum doom_hold {
	HOLD_NOTHING, /* nobody */
	HOLD_CHILD, /* a child which it forks in victim_ready() */
	HOLD_COPIES, /* the executioner, which has made copies of all */
};

/* When the victim is killed; without any of it, once it is ready. */
struct doom {
	bool at_birth; /* do not wait for it to be ready */
	bool for_victim; /* wait until the victim sleeps, if it does soon */
	bool for_call; /* wait for executioner_call() */
	bool for_sleep; /* then until that thread sleeps */
	long syscall; /* likewise, in this system call; 0: any */
	uint64_t delay; /* then so many ns */
	uint32_t steps; /* then, by ptrace, so many instructions */
	uint32_t syscalls; /* or ends of system calls, the beginnings counted too */
	bool family;		/* its children are killed with it, at once */
	enum doom_hold hold;
};

struct death {
	uint64_t time; /* not earlier than it was dead, by shmux_now() */
	int status; /* as of waitpid() */
	bool ready; /* it had got so far */
	bool slept; /* the survivor did, as wanted */
	bool traced; /* it came as far as steps or syscalls say */
};

typedef int (*victim_fn)(void *arg);

struct executioner {
	pid_t pid;
	int control;
	struct executioner_page *page;
};

/* Return: 0 or -errno. To be called before there are threads. */
int executioner_start(struct executioner *e);

/* Return: 0, or -1 if processes or descriptors were left over there. */
int executioner_stop(struct executioner *e);

/* Fork a victim that runs @fn; kill it as @doom says. Does not wait. */
void executioner_begin(struct executioner *e, const struct doom *doom, victim_fn fn, void *arg);

/* The survivor, this thread, is about to make the call it shall be in. */
void executioner_call(struct executioner *e);

/* Whether the victim is dead; its pid; wait until it is dead. */
bool executioner_is_done(struct executioner *e);
pid_t executioner_victim(struct executioner *e);
struct death executioner_wait(struct executioner *e);

/* Let go of what had been the victim's. To be called after executioner_wait(). */
void executioner_end(struct executioner *e);

/* In the victim. */
void victim_ready(void);

/* The system call that a thread is blocked in; -1: none, or not to be seen. */
long process_syscall(pid_t pid, pid_t tid);

#endif /* TESTS_EXECUTIONER_H */
