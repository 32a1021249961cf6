/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* worker.h - a thread that calls one function, so that the call may block */
#ifndef TESTS_WORKER_H
#define TESTS_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef int64_t (*worker_fn)(void *arg);

struct worker {
	pthread_t thread;
	worker_fn fn;
	void *arg;
	int64_t result;
	pid_t tid;
	bool done;	/* atomic */
};

/* Begin. Returns when the thread is about to call @fn. */
void worker_start(struct worker *w, worker_fn fn, void *arg);

/* Wait until the thread sleeps in the kernel. Return: whether it came to. */
bool worker_wait_blocked(struct worker *w);

/* Send a signal to the thread, which is handled; @flags: SA_RESTART or 0. */
void worker_interrupt(struct worker *w, int flags);

/* Whether @fn has returned. */
bool worker_is_done(struct worker *w);

/* Return: what @fn returned. */
int64_t worker_join(struct worker *w);

#endif /* TESTS_WORKER_H */
