// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_conn.c - see shmux_conn.h
 */
#include "shmux_conn.h"

#include <errno.h>

void bench_conn_init(struct bench_conn *c, struct bench_run *run, struct shmux_stream *st,
		     void *payload)
{
	*c = (struct bench_conn){
		.run = run,
		.st = st,
		.sent = run->bc->bytes,
		.in = payload,
		.out = (char *)payload + run->bc->bytes,
	};
}

bool bench_conn_push(struct bench_conn *c)
{
	size_t bytes = c->run->bc->bytes;

	while (c->sent < bytes) {
		ssize_t put = shmux_stream_try_write(c->st, c->out + c->sent, bytes - c->sent);

		if (put == -EAGAIN)
			return false;
		if (put < 0)
			bench_fail(c->run, "shmux_stream_try_write", put);
		c->sent += put;
	}
	return true;
}

void bench_conn_say(struct bench_conn *c, uint64_t word)
{
	bench_fill(c->out, c->run->bc->bytes, word);
	c->sent = 0;
	bench_conn_push(c);
}

bool bench_conn_pull(struct bench_conn *c, uint64_t word)
{
	size_t bytes = c->run->bc->bytes;

	while (c->got < bytes) {
		ssize_t got = shmux_stream_try_read(c->st, c->in + c->got, bytes - c->got);

		if (got == -EAGAIN)
			return false;
		if (got <= 0)
			bench_fail(c->run, "shmux_stream_try_read", got);
		c->got += got;
	}
	bench_check(c->run, c->in, bytes, word);
	c->got = 0;
	c->n++;
	return true;
}
