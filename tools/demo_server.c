// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * demo_server.c - the process of the demo that receives
 */
#include <errno.h>
#include <shmux/shmux.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>

#include "demo.h"
#include "say.h"

struct server {
	struct shmux_listener *listener;
	char *data;			/* the whole sample */
	struct {
		struct demo_slice slice;
		struct shmux_stream *st;
		uint64_t received;
		bool ended;
	} in[DEMO_STREAMS];
};

static int cannot_receive(struct shmux_stream *st, int error)
{
	return say_cannot(error, say_stream_reason(st, error), "receive a slice");
}

/* The client is not to be believed more than any peer. */
static bool makes_sense(const struct server *s, const struct demo_slice *slice)
{
	return slice->index < DEMO_STREAMS && !s->in[slice->index].st &&
	       slice->total <= SAMPLE_SIZE_MAX && slice->len <= slice->total &&
	       slice->offset <= slice->total - slice->len;
}

static int accept_slice(struct server *s)
{
	struct demo_slice slice;
	struct iovec iov = { .iov_base = &slice, .iov_len = sizeof(slice) };
	struct shmux_stream *st;
	ssize_t n;

	n = shmux_listener_accept(s->listener, 0, &st);
	if (n < 0)
		return say_cannot(n, NULL, "accept a stream");
	shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, shmux_now() + 3 * DEMO_PATIENCE);
	n = shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL);
	if (n < 0)
		return cannot_receive(st, n);
	if (n != sizeof(slice) || !makes_sense(s, &slice))
		return say_cannot(EPROTO, "its header makes no sense", "receive a slice");
	s->in[slice.index].slice = slice;
	s->in[slice.index].st = st;
	return 0;
}

static int open_slices(struct server *s, const char *address)
{
	uint64_t total;
	int error;

	error = shmux_listener_open(address, NULL, &s->listener);
	if (error)
		return say_cannot(error, say_address_reason(error), "listen on %s", address);
	shmux_listener_set_deadline(s->listener, shmux_now() + DEMO_PATIENCE);
	for (int i = 0; i < DEMO_STREAMS; i++)
		if (accept_slice(s))
			return SAY_FAILED;
	total = s->in[0].slice.total;
	for (int i = 1; i < DEMO_STREAMS; i++)
		if (s->in[i].slice.total != total)
			return say_cannot(EPROTO, "they are of different files",
					  "receive the slices");
	s->data = mmap(NULL, total, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (s->data == MAP_FAILED)
		return say_cannot(errno, NULL, "get memory for %llu bytes",
				  (unsigned long long)total);
	return 0;
}

/* What lies in the client's memory goes straight to where it belongs. */
static ssize_t receive_in_place(struct shmux_stream *st, char *to, size_t room)
{
	struct shmux_view view;
	ssize_t n;

	n = shmux_stream_take(st, &view, SHMUX_NOWAIT);
	if (n <= 0)
		return n;
	if ((size_t)n <= room)
		memcpy(to, view.data, n);
	shmux_stream_release(st, &view);
	return n;
}

/* Return: bytes; 0: the slice is complete; -EAGAIN; or another -errno. */
static ssize_t receive_some(struct server *s, int i)
{
	struct demo_slice *slice = &s->in[i].slice;
	uint64_t left = slice->len - s->in[i].received;
	char *to = s->data + slice->offset + s->in[i].received, beyond;
	ssize_t n;

	if (slice->zero_copy)
		n = receive_in_place(s->in[i].st, to, left);
	else
		n = shmux_stream_try_read(s->in[i].st, left ? to : &beyond, left ? left : 1);
	if (n < 0)
		return n;
	if (n ? (uint64_t)n > left : left > 0)
		return -EPROTO;		/* too much, or too little */
	s->in[i].received += n;
	s->in[i].ended = !n;
	return n;
}

/* One pass over all. Return: how many have moved or ended, or -errno, said. */
static int receive_round(struct server *s, int *open)
{
	int moved = 0;

	*open = -1;
	for (int i = 0; i < DEMO_STREAMS; i++) {
		ssize_t n;

		if (s->in[i].ended)
			continue;
		n = receive_some(s, i);
		if (n < 0 && n != -EAGAIN) {
			cannot_receive(s->in[i].st, n);
			return n;
		}
		if (!s->in[i].ended)
			*open = i;
		moved += n >= 0;
	}
	return moved;
}

/* Takes what there is, wherever it is; else waits where something must come. */
static int receive_slices(struct server *s)
{
	const void *data;
	int moved, open;
	ssize_t n;

	for (;;) {
		moved = receive_round(s, &open);
		if (moved < 0)
			return SAY_FAILED;
		if (open < 0)
			return 0;
		if (moved)
			continue;
		n = shmux_stream_peek(s->in[open].st, 1, &data);
		if (n < 0)
			return cannot_receive(s->in[open].st, n);
	}
}

static int answer(struct server *s, const void *buf, size_t len)
{
	struct shmux_stream *st = s->in[0].st;
	ssize_t n = shmux_stream_write(st, buf, len);

	return n < 0 ? say_cannot(n, say_stream_reason(st, n), "answer the client") : 0;
}

static int receive_all(struct server *s)
{
	uint8_t digest[SHA256_SIZE];

	if (answer(s, (char[]){ DEMO_READY }, 1) || receive_slices(s) ||
	    answer(s, (char[]){ DEMO_ARRIVED }, 1))
		return SAY_FAILED;
	sha256(s->data, s->in[0].slice.total, digest);
	if (answer(s, digest, sizeof(digest)))
		return SAY_FAILED;
	if (memcmp(digest, s->in[0].slice.digest, sizeof(digest)))
		return say_cannot(EBADMSG, "its sha256 is not the sender's",
				  "rely on what arrived");
	return SAY_DONE;
}

int demo_serve(const char *address)
{
	struct server s = { 0 };
	int status;

	status = open_slices(&s, address);
	if (status)
		return status;
	status = receive_all(&s);
	for (int i = 0; i < DEMO_STREAMS; i++)
		shmux_stream_close(s.in[i].st);
	shmux_listener_close(s.listener);
	return status;
}
