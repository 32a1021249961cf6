/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shmux_conn.h - a stream of an event loop: a message comes in, one goes out
 *
 * Nothing blocks: an end that waited for credit on one stream would not serve the
 * others.
 */
#ifndef SHMUX_BENCH_SHMUX_CONN_H
#define SHMUX_BENCH_SHMUX_CONN_H

#include "shmux_end.h"

struct bench_conn {
	struct bench_run *run;
	struct shmux_stream *st;
	uint64_t n;		/* messages that have come */
	size_t got, sent;	/* bytes of what is in @in and @out, whose sizes are a message's */
	char *in, *out;
};

/* @payload is room for two messages. Nothing is to be sent yet. */
void bench_conn_init(struct bench_conn *c, struct bench_run *run, struct shmux_stream *st,
		     void *payload);

/* Begins to send message @word; once the one before has been sent. */
void bench_conn_say(struct bench_conn *c, uint64_t word);

/* Sends what there is room for. Return: whether all has been sent. */
bool bench_conn_push(struct bench_conn *c);

/*
 * Reads what has come. Return: whether that is the rest of a message, whose bytes are
 * then checked to be @word's; look again until it is not. All fail the run.
 */
bool bench_conn_pull(struct bench_conn *c, uint64_t word);

#endif
