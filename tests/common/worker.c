// SPDX-License-Identifier: LGPL-2.1-or-later
/* worker.c - threads that the tests wait for, never sleep for */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "process.h"
#include "worker.h"

static void *worker_main(void *arg)
{
	struct worker *w = arg;

	__atomic_store_n(&w->tid, gettid(), __ATOMIC_RELEASE);
	w->result = w->fn(w->arg);
	__atomic_store_n(&w->done, true, __ATOMIC_RELEASE);
	return NULL;
}

void worker_start(struct worker *w, worker_fn fn, void *arg)
{
	w->fn = fn;
	w->arg = arg;
	w->result = 0;
	w->tid = 0;
	w->done = false;
	if (pthread_create(&w->thread, NULL, worker_main, w)) {
		perror("# pthread_create");
		abort();
	}
	while (!__atomic_load_n(&w->tid, __ATOMIC_ACQUIRE))
		sched_yield();
}

bool worker_wait_blocked(struct worker *w)
{
	int seen = 0;

	/* Twice in a row: once may have been a lock on its way. */
	return wait_until(worker_is_done(w) ||
			  (seen = process_sleeps(getpid(), w->tid) ? seen + 1 : 0) >= 2) &&
	       !worker_is_done(w);
}

static void on_signal(int signal)
{
	(void)signal;
}

void worker_interrupt(struct worker *w, int flags)
{
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = flags };

	if (sigaction(SIGUSR1, &action, NULL) || pthread_kill(w->thread, SIGUSR1)) {
		perror("# worker_interrupt");
		abort();
	}
}

bool worker_is_done(struct worker *w)
{
	return __atomic_load_n(&w->done, __ATOMIC_ACQUIRE);
}

int64_t worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	return w->result;
}
