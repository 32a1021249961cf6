/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pipe_turns.h - whose turn it is to use a pipe's stream, and what ends a wait
 *
 * One call at a time has the turn; the others wait for theirs, in order. @lock
 * guards who has it, and what ends a wait: it is not held while anybody waits or
 * uses the stream. A wait in the stream is ended, whatever for, by moving the
 * stream's deadline into the past under @lock; who has the turn moves it back under
 * @lock, after it has looked whether it is meant.
 */
#ifndef SHMUX_FACADE_PIPE_TURNS_H
#define SHMUX_FACADE_PIPE_TURNS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/lock.h"

struct shmux_stream;

struct shmux__turns {
	struct shmux_stream *st;	/* constant */
	struct shmux_lock lock;
	struct shmux_list waiting;	/* calls that wait for theirs */
	bool busy;			/* somebody has it */
	uint32_t users;
	uint64_t deadline, armed;	/* as set; as the stream has it */
	uint32_t cancels;
	bool closing;
	bool shut;			/* by us, with @shut_error */
	int shut_error;			/* constant from then on */
	bool has_ended;			/* first with @first_error */
	int first_error;
};

/* A call that is under way. */
struct shmux__call {
	struct shmux_list node;
	uint32_t poke;
	uint32_t cancels;
	bool has_turn;
	bool ends;		/* a shutdown */
	unsigned int flags;
};

void shmux__turns_init(struct shmux__turns *t, struct shmux_stream *st);

/* Wait for the turn, or not (SHMUX_NOWAIT). Return: 0 with it, or why not. */
int shmux__turns_take(struct shmux__turns *t, struct shmux__call *c,
		      unsigned int flags, bool ends);
void shmux__turns_give(struct shmux__turns *t);

/*
 * Before the stream is waited on: is the call to go on? Not beyond @until, if that
 * is sooner than its deadline.
 */
int shmux__turns_arm(struct shmux__turns *t, const struct shmux__call *c,
		     uint64_t until);

/* A wait has been ended. Return: 0 to go on, or why the call is over. */
int shmux__turns_waited(struct shmux__turns *t, const struct shmux__call *c);

/* These end waits. @told: what became of the pipe, if nothing has before. */
void shmux__turns_shut(struct shmux__turns *t, int error, int told);
void shmux__turns_set_deadline(struct shmux__turns *t, uint64_t deadline);
void shmux__turns_unblock(struct shmux__turns *t);

/* The same for good; returns when no call is under way any more. */
void shmux__turns_close(struct shmux__turns *t);

/* Have we ended it? */
bool shmux__turns_are_shut(struct shmux__turns *t);

/* What became of the pipe: the first that is said counts. */
void shmux__turns_note_end(struct shmux__turns *t, int error);

/* Return: 0 with that, or -ENODATA: it has not ended. */
int shmux__turns_error(struct shmux__turns *t, int *error);

#endif /* SHMUX_FACADE_PIPE_TURNS_H */
