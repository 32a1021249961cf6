// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * zero-copy.c - produce and consume in place
 *
 * The parent computes bytes straight into memory that its child reads; the child
 * sums them up where they lie. Nothing is copied on the way.
 */
#include <errno.h>
#include <error.h>
#include <shmux/shmux.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

enum {
	TOTAL = 10 << 20,	/* bytes */
	PIECE = 64 << 10,	/* bytes a span */
};

static void consume(struct shmux_session *s)
{
	struct shmux_stream *st;
	struct shmux_view view;
	unsigned long long sum = 0;
	unsigned int nr_views = 0;
	ssize_t n;

	n = shmux_session_accept(s, 0, &st);
	if (n < 0)
		error(1, -n, "cannot accept");
	while ((n = shmux_stream_take(st, &view, 0)) > 0) {
		const unsigned char *bytes = view.data;

		for (size_t i = 0; i < view.len; i++)
			sum += bytes[i];
		nr_views++;
		shmux_stream_release(st, &view);
	}
	if (n < 0)
		error(1, -n, "cannot receive");
	printf("the sum is %llu, from %u views\n", sum, nr_views);
	shmux_stream_close(st);
}

static void produce(struct shmux_session *s)
{
	struct shmux_stream *st;
	struct shmux_span span;
	size_t done = 0;
	ssize_t n;

	n = shmux_session_open(s, SHMUX_STREAM_BYTES, &st);
	if (n < 0)
		error(1, -n, "cannot open a stream");
	while (done < TOTAL) {
		unsigned char *bytes;

		n = shmux_stream_reserve(st, PIECE, &span, 0);
		if (n < 0)
			error(1, -n, "cannot get room");
		bytes = span.data;
		for (size_t i = 0; i < PIECE; i++)
			bytes[i] = i % 251;
		done += PIECE;
		n = shmux_stream_submit(st, &span, PIECE, done == TOTAL ? SHMUX_FIN : 0);
		if (n < 0)
			error(1, -n, "cannot send");
	}
	shmux_stream_close(st);
}

int main(void)
{
	struct shmux_session *s;
	int fds[2], status, e;
	pid_t child;

	e = shmux_session_pair(fds);
	if (e < 0)
		error(1, -e, "cannot make a pair");
	child = fork();
	if (child < 0)
		error(1, errno, "cannot fork");
	close(fds[!child]);
	e = shmux_session_attach(fds[!!child], child ? SHMUX_ROLE_DIALLER : SHMUX_ROLE_ACCEPTOR,
				 NULL, shmux_now() + 5 * SECOND, &s);
	if (e < 0)
		error(1, -e, "cannot attach");
	if (child)
		produce(s);
	else
		consume(s);
	shmux_session_close(s, shmux_now() + 5 * SECOND);
	if (!child)
		return 0;
	return waitpid(child, &status, 0) == child && !status ? 0 : 1;
}
