/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * shmux_end.h - what the ends of shmux's cases do alike
 */
#ifndef SHMUX_BENCH_SHMUX_END_H
#define SHMUX_BENCH_SHMUX_END_H

#include <shmux/shmux.h>

#include "case.h"

/* Setup: a pair of sockets, for bench_session() to attach to. */
int bench_shmux_setup(struct bench_run *run);

/* Setup: a pair of stream sockets, for the sessions of the system "yamux". */
int bench_yamux_setup(struct bench_run *run);

/* What is sent whole is received whole. */
static inline bool bench_is_message(const struct bench_case *bc)
{
	return !strcmp(bc->path, "message");
}

/* The defaults, but for what the case asks for. */
void bench_session_options(const struct bench_run *run, struct shmux_session_options *options);

/* A session between the ends that waits as the case says; fails the run. */
struct shmux_session *bench_near_session(struct bench_run *run);
struct shmux_session *bench_far_session(struct bench_run *run);

/* The same over another pair, an end of which is @fd: the session's from now on. */
struct shmux_session *bench_near_session_at(struct bench_run *run, int fd);
struct shmux_session *bench_far_session_at(struct bench_run *run, int fd);

/* In @near: the doorbells of @s count too. It must last until the end. */
void bench_count_kicks(struct bench_run *run, struct shmux_session *s);

/*
 * @near opens streams, of bytes unless the path is "message"; @far accepts them in
 * the same order. Both fail the run.
 */
struct shmux_stream *bench_near_stream(struct bench_run *run, struct shmux_session *s);
struct shmux_stream *bench_far_stream(struct bench_run *run, struct shmux_session *s);

/* Writes all of @buf. */
static inline void bench_put(struct bench_run *run, struct shmux_stream *st, const void *buf,
			     size_t len)
{
	ssize_t put = shmux_stream_write(st, buf, len);

	if (__builtin_expect(put != (ssize_t)len, 0))
		bench_fail(run, "shmux_stream_write", put);
}

/* Reads all of @buf. */
static inline void bench_get(struct bench_run *run, struct shmux_stream *st, void *buf, size_t size)
{
	for (size_t len = 0; len < size;) {
		ssize_t got = shmux_stream_read(st, (char *)buf + len, size - len);

		if (__builtin_expect(got <= 0, 0))
			bench_fail(run, "shmux_stream_read", got);
		len += got;
	}
}

/* Writes message @n where the peer will read it, in as many spans as it takes. */
void bench_put_in_place(struct bench_run *run, struct shmux_stream *st, size_t bytes, uint64_t n);

/* Round trips on @st, until the time is up; and for ever. */
void bench_near_echo(struct bench_run *run, struct shmux_stream *st);
void bench_far_echo(struct bench_run *run, struct shmux_stream *st) __attribute__((noreturn));

#endif /* SHMUX_BENCH_SHMUX_END_H */
