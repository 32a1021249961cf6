// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * shmux_end.c - sessions, streams and round trips for shmux's cases
 */
#include "shmux_end.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define PATIENCE_NS 2000000000ull

/* The library's defaults, beyond which a case has to say more; and its least grant. */
enum { WINDOW = 1 << 20, BACKLOG = 1024, STREAMS = 131072, FIRST_GRANT_MIN = 64 };

int bench_shmux_setup(struct bench_run *run)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, run->fds) ? -errno : 0;
}

int bench_yamux_setup(struct bench_run *run)
{
	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, run->fds) ? -errno : 0;
}

/* What the case has many of, or large, each end must be ready to take. */
void bench_session_options(const struct bench_run *run, struct shmux_session_options *options)
{
	const struct bench_case *bc = run->bc;

	*options = (struct shmux_session_options){
		.size = sizeof(*options),
		.spin = !strcmp(bc->wait, "spin") ? SHMUX_SPIN_ENDLESS :
			!strcmp(bc->wait, "block") ? SHMUX_SPIN_NONE :
						     SHMUX_SPIN_ADAPTIVE,
	};
	if (bench_is_message(bc) && bc->bytes > WINDOW)
		options->window = options->message_max = bc->bytes;
	if (bc->streams > BACKLOG)
		options->backlog = bc->streams;
	if (bc->streams > STREAMS) {
		options->streams_max = bc->streams;
		options->first_grant = FIRST_GRANT_MIN;
	}
}

static struct shmux_session *attach(struct bench_run *run, int fd, enum shmux_role role)
{
	struct shmux_session_options options;
	struct shmux_session *s;
	int error;

	bench_session_options(run, &options);
	if (!strcmp(run->bc->system, "yamux"))
		error = shmux_session_yamux(fd, fd, role, &options, &s);
	else
		error = shmux_session_attach(fd, role, &options, shmux_now() + PATIENCE_NS, &s);
	if (error)
		bench_fail(run, "a session", error);
	return s;
}

/* Those of this process, whose doorbells are counted. */
static struct shmux_session **sessions;
static unsigned int nr_sessions;

static uint64_t count_kicks(void)
{
	struct shmux_session_counters counters = { .size = sizeof(counters) };
	uint64_t kicks = 0;

	for (unsigned int i = 0; i < nr_sessions; i++)
		if (!shmux_session_counters(sessions[i], &counters))
			kicks += counters.kicks_sent + counters.kicks_received;
	return kicks;
}

void bench_count_kicks(struct bench_run *run, struct shmux_session *s)
{
	sessions = reallocarray(sessions, nr_sessions + 1, sizeof(*sessions));
	if (!sessions)
		bench_fail(run, "sessions to count", ENOMEM);
	sessions[nr_sessions++] = s;
	run->kicks = count_kicks;
}

struct shmux_session *bench_near_session_at(struct bench_run *run, int fd)
{
	struct shmux_session *s = attach(run, fd, SHMUX_ROLE_DIALLER);

	if (strcmp(run->bc->system, "yamux"))
		bench_count_kicks(run, s);
	return s;
}

struct shmux_session *bench_far_session_at(struct bench_run *run, int fd)
{
	return attach(run, fd, SHMUX_ROLE_ACCEPTOR);
}

struct shmux_session *bench_near_session(struct bench_run *run)
{
	return bench_near_session_at(run, run->fds[0]);
}

struct shmux_session *bench_far_session(struct bench_run *run)
{
	return bench_far_session_at(run, run->fds[1]);
}

struct shmux_stream *bench_near_stream(struct bench_run *run, struct shmux_session *s)
{
	unsigned int kind = bench_is_message(run->bc) ? SHMUX_STREAM_MESSAGES : SHMUX_STREAM_BYTES;
	struct shmux_stream *st;
	int error;

	error = shmux_session_open(s, kind, &st);
	if (error)
		bench_fail(run, "shmux_session_open", error);
	return st;
}

struct shmux_stream *bench_far_stream(struct bench_run *run, struct shmux_session *s)
{
	struct shmux_stream *st;
	int error;

	error = shmux_session_accept(s, 0, &st);
	if (error)
		bench_fail(run, "shmux_session_accept", error);
	return st;
}

void bench_put_in_place(struct bench_run *run, struct shmux_stream *st, size_t bytes, uint64_t n)
{
	size_t part = shmux_stream_reserve_max(st);
	struct shmux_span span;
	ssize_t put;

	if (part > bytes)
		part = bytes;
	for (size_t len = 0; len < bytes; len += part) {
		if (part > bytes - len)
			part = bytes - len;
		put = shmux_stream_reserve(st, part, &span, 0);
		if (put < 0)
			bench_fail(run, "shmux_stream_reserve", put);
		bench_fill(span.data, part, n);
		put = shmux_stream_submit(st, &span, part, 0);
		if (put < 0)
			bench_fail(run, "shmux_stream_submit", put);
	}
}

/* Sizes that the compiler should know, since it does in the limits. */
static inline void near_echo(struct bench_run *run, struct shmux_stream *st, size_t bytes)
{
	void *out = bench_buffer(run, bytes), *in = bench_buffer(run, bytes);
	uint64_t n = 0;

	bench_start(run);
	do {
		bench_fill(out, bytes, n);
		bench_put(run, st, out, bytes);
		bench_get(run, st, in, bytes);
		bench_check(run, in, bytes, ~n++);
	} while (bench_lap(run));
}

static inline void far_echo(struct bench_run *run, struct shmux_stream *st, size_t bytes)
{
	void *out = bench_buffer(run, bytes), *in = bench_buffer(run, bytes);

	for (uint64_t n = 0;; n++) {
		bench_get(run, st, in, bytes);
		bench_check(run, in, bytes, n);
		bench_fill(out, bytes, ~n);
		bench_put(run, st, out, bytes);
	}
}

void bench_near_echo(struct bench_run *run, struct shmux_stream *st)
{
	switch (run->bc->bytes) {
	case 48:
		near_echo(run, st, 48);
		break;
	case 64:
		near_echo(run, st, 64);
		break;
	default:
		near_echo(run, st, run->bc->bytes);
		break;
	}
}

void bench_far_echo(struct bench_run *run, struct shmux_stream *st)
{
	switch (run->bc->bytes) {
	case 48:
		far_echo(run, st, 48);
		break;
	case 64:
		far_echo(run, st, 64);
		break;
	default:
		far_echo(run, st, run->bc->bytes);
		break;
	}
	__builtin_unreachable();
}
