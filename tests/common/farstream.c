// SPDX-License-Identifier: LGPL-2.1-or-later
/* farstream.c - the library's calls, made on the far side's stream and session */
#include <errno.h>
#include <stdlib.h>

#include "far.h"
#include "pattern.h"

/* Input of the calls below. */
struct args {
	size_t size;
	unsigned int flags;
};

static int64_t side_write(struct side *side)
{
	return shmux_stream_write(side->stream, side->in, side->in_len);
}

ssize_t far_write(struct far *far, const void *buf, size_t len)
{
	return far_call(far, side_write, buf, len, NULL, 0);
}

static int64_t side_try_write(struct side *side)
{
	return shmux_stream_try_write(side->stream, side->in, side->in_len);
}

ssize_t far_try_write(struct far *far, const void *buf, size_t len)
{
	return far_call(far, side_try_write, buf, len, NULL, 0);
}

/* The flags come first in the input. */
static int64_t side_send(struct side *side)
{
	const unsigned int *flags = side->in;
	struct iovec iov = {
		.iov_base = (void *)(flags + 1),
		.iov_len = side->in_len - sizeof(*flags),
	};

	return shmux_stream_send(side->stream, &iov, 1, *flags);
}

ssize_t far_send(struct far *far, const void *buf, size_t len, unsigned int flags)
{
	unsigned int *in = malloc(sizeof(flags) + len);
	ssize_t ret;

	if (!in)
		abort();
	*in = flags;
	for (size_t i = 0; i < len; i++)
		((char *)(in + 1))[i] = ((const char *)buf)[i];
	ret = far_call(far, side_send, in, sizeof(flags) + len, NULL, 0);
	free(in);
	return ret;
}

static int64_t side_read(struct side *side)
{
	return shmux_stream_read(side->stream, side->out, side->out_len);
}

ssize_t far_read(struct far *far, void *buf, size_t size)
{
	return far_call(far, side_read, NULL, 0, buf, size);
}

static int64_t side_try_read(struct side *side)
{
	return shmux_stream_try_read(side->stream, side->out, side->out_len);
}

ssize_t far_try_read(struct far *far, void *buf, size_t size)
{
	return far_call(far, side_try_read, NULL, 0, buf, size);
}

static int64_t side_recv(struct side *side)
{
	const struct args *args = side->in;
	struct iovec iov = { .iov_base = side->out, .iov_len = side->out_len };

	return shmux_stream_recv(side->stream, &iov, 1, args->flags);
}

ssize_t far_recv(struct far *far, void *buf, size_t size, unsigned int flags)
{
	struct args args = { .flags = flags };

	return far_call(far, side_recv, &args, sizeof(args), buf, size);
}

static int64_t side_next_len(struct side *side)
{
	return shmux_stream_next_len(side->stream);
}

ssize_t far_next_len(struct far *far)
{
	return far_run(far, side_next_len);
}

static int64_t side_shutdown(struct side *side)
{
	const struct args *args = side->in;

	return shmux_stream_shutdown(side->stream, args->flags);
}

int far_shutdown(struct far *far, unsigned int how)
{
	struct args args = { .flags = how };

	return (int)far_call(far, side_shutdown, &args, sizeof(args), NULL, 0);
}

static int64_t side_reset(struct side *side)
{
	const struct args *args = side->in;

	return shmux_stream_reset(side->stream, args->flags);
}

int far_reset(struct far *far, uint32_t code)
{
	struct args args = { .flags = code };

	return (int)far_call(far, side_reset, &args, sizeof(args), NULL, 0);
}

static int64_t side_reset_code(struct side *side)
{
	return shmux_stream_reset_code(side->stream, side->out);
}

int far_reset_code(struct far *far, uint32_t *code)
{
	return (int)far_call(far, side_reset_code, NULL, 0, code, sizeof(*code));
}

static int64_t side_close_stream(struct side *side)
{
	shmux_stream_close(side->stream);
	side->stream = NULL;
	return 0;
}

void far_close(struct far *far)
{
	far_run(far, side_close_stream);
}

static void keep_stream(struct side *side)
{
	if (side->stream)
		side_add(side, side->stream);
	side->stream = NULL;
}

static int64_t side_open(struct side *side)
{
	const struct args *args = side->in;

	keep_stream(side);
	return shmux_session_open(side->session, args->flags, &side->stream);
}

int far_open(struct far *far, unsigned int flags)
{
	struct args args = { .flags = flags };

	return (int)far_call(far, side_open, &args, sizeof(args), NULL, 0);
}

static int64_t side_accept(struct side *side)
{
	const struct args *args = side->in;

	keep_stream(side);
	return shmux_session_accept(side->session, args->flags, &side->stream);
}

int far_accept(struct far *far, unsigned int flags)
{
	struct args args = { .flags = flags };

	return (int)far_call(far, side_accept, &args, sizeof(args), NULL, 0);
}

static int64_t side_close_session(struct side *side)
{
	int ret = shmux_session_close(side->session, 0);

	side->session = NULL;
	return ret;
}

int far_close_session(struct far *far)
{
	return (int)far_run(far, side_close_session);
}

static int64_t side_counters(struct side *side)
{
	struct shmux_session_counters *counters = side->out;

	counters->size = sizeof(*counters);
	return shmux_session_counters(side->session, counters);
}

int far_counters(struct far *far, struct shmux_session_counters *counters)
{
	return (int)far_call(far, side_counters, NULL, 0, counters, sizeof(*counters));
}

static int64_t side_state(struct side *side)
{
	return (int)shmux_session_state(side->session);
}

int far_state(struct far *far)
{
	return (int)far_run(far, side_state);
}

static int64_t side_pump(struct side *side)
{
	struct shmux_event events[16];
	int n, nr = 0;

	do {
		n = shmux_session_pump(side->session, events, 16);
		if (n < 0)
			return n;
		nr += n;
	} while (n == 16);
	return nr;
}

int far_pump(struct far *far)
{
	return (int)far_run(far, side_pump);
}

int64_t bulk_write(struct shmux_stream *st, const struct bulk *bulk)
{
	char *buf = malloc(bulk->piece);
	uint64_t done = 0;
	struct iovec iov = { .iov_base = buf };
	ssize_t n = 0;

	if (!buf)
		abort();
	while (done < bulk->len) {
		iov.iov_len = bulk->len - done < bulk->piece ? bulk->len - done : bulk->piece;
		pattern_fill(buf, iov.iov_len, done, bulk->seed);
		n = shmux_stream_send(st, &iov, 1,
				      done + iov.iov_len == bulk->len ? bulk->flags : 0);
		if (n != (ssize_t)iov.iov_len)
			break;
		done += (uint64_t)n;
	}
	free(buf);
	SIDE_EQ(bulk->len, done < bulk->len && n < 0 ? n : (ssize_t)done);
	return (int64_t)done;
}

int64_t bulk_read(struct shmux_stream *st, const struct bulk *bulk)
{
	char *buf = malloc(bulk->piece);
	uint64_t done = 0;
	int64_t wrong = -1;
	ssize_t n = 0;

	if (!buf)
		abort();
	while (done < bulk->len && wrong < 0) {
		n = shmux_stream_read(st, buf,
				      bulk->len - done < bulk->piece ? bulk->len - done
								     : bulk->piece);
		if (n <= 0)
			break;
		wrong = pattern_check(buf, (size_t)n, done, bulk->seed);
		if (wrong >= 0)
			wrong += (int64_t)done;
		done += (uint64_t)n;
	}
	free(buf);
	SIDE_EQ(-1, wrong);
	SIDE_EQ(bulk->len, done < bulk->len && n < 0 ? n : (ssize_t)done);
	return (int64_t)done;
}

int64_t side_bulk_write(struct side *side)
{
	return bulk_write(side->stream, side->in);
}

int64_t side_bulk_read(struct side *side)
{
	return bulk_read(side->stream, side->in);
}

int64_t bulk_write_job(void *arg)
{
	struct bulk_job *job = arg;

	return bulk_write(job->st, &job->bulk);
}

int64_t bulk_read_job(void *arg)
{
	struct bulk_job *job = arg;

	return bulk_read(job->st, &job->bulk);
}

int64_t side_bulk_exchange(struct side *side)
{
	struct bulk_job job = { side->stream, *(const struct bulk *)side->in };
	struct worker writer;
	int64_t got;

	worker_start(&writer, bulk_write_job, &job);
	got = bulk_read(side->stream, &job.bulk);
	SIDE_EQ(job.bulk.len, worker_join(&writer));
	return got;
}

int64_t side_echo(struct side *side)
{
	static const size_t size = 65536;
	char *buf = malloc(size);
	int64_t echoed = 0;
	ssize_t n;

	if (!buf)
		abort();
	while ((n = shmux_stream_read(side->stream, buf, size)) > 0) {
		if (shmux_stream_write(side->stream, buf, (size_t)n) != n)
			break;
		echoed += n;
	}
	free(buf);
	SIDE_EQ(0, n);
	SIDE_EQ(0, shmux_stream_shutdown(side->stream, SHMUX_WRITE));
	return echoed;
}
