// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * demo_client.c - the process of the demo that sends
 */
#include <errno.h>
#include <shmux/shmux.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "demo.h"
#include "say.h"
#include "units.h"

struct client {
	struct sample sample;
	const char *data;		/* the sample in private memory */
	uint8_t digest[SHA256_SIZE];
	struct shmux_context *context;
	struct {
		struct demo_slice slice;
		struct shmux_stream *st;
		uint64_t sent;
	} out[DEMO_STREAMS];
};

static int cannot_send(struct client *c, int i, int error)
{
	return say_cannot(error, say_stream_reason(c->out[i].st, error), "send slice %d", i);
}

static int prepare(struct client *c, const char *path)
{
	void *data;
	int error;

	error = sample_open(&c->sample, path);
	if (!error)
		error = sample_load(&c->sample, &data);
	if (error)
		return say_cannot(error, NULL, "read %s", path);
	c->data = data;
	printf("  client   process %d sends %s (%s", (int)getpid(), path,
	       units_bytes(c->sample.size).text);
	if (c->sample.times > 1)
		printf(", %u times, to make it 30 MB", c->sample.times);
	printf(")\n  streams  %d at once, half of them by zero copy\n", DEMO_STREAMS);
	fflush(stdout);
	sha256(c->data, c->sample.len, c->digest);
	return 0;
}

/* All dials to one address share one session. */
static int open_streams(struct client *c, const char *address)
{
	struct shmux_dial_options o = {
		.size = sizeof(o),
		.flags = SHMUX_DIAL_WAIT,
		.deadline = shmux_now() + DEMO_PATIENCE,
	};
	uint64_t share = c->sample.len / DEMO_STREAMS;
	int error;

	error = shmux_context_open(NULL, &c->context);
	for (int i = 0; i < DEMO_STREAMS && !error; i++) {
		struct demo_slice *slice = &c->out[i].slice;

		slice->index = i;
		slice->zero_copy = i % 2;
		slice->offset = i * share;
		slice->len = i < DEMO_STREAMS - 1 ? share : c->sample.len - slice->offset;
		slice->total = c->sample.len;
		memcpy(slice->digest, c->digest, sizeof(slice->digest));
		error = shmux_context_dial(c->context, address, &o, &c->out[i].st);
	}
	if (error)
		return say_cannot(error, say_address_reason(error), "dial %s", address);
	return 0;
}

static int introduce(struct client *c)
{
	for (int i = 0; i < DEMO_STREAMS; i++) {
		struct shmux_stream *st = c->out[i].st;
		ssize_t n;

		shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE,
					  shmux_now() + 3 * DEMO_PATIENCE);
		n = shmux_stream_write(st, &c->out[i].slice, sizeof(c->out[i].slice));
		if (n < 0)
			return cannot_send(c, i, n);
	}
	return 0;
}

/* The bytes go from the file into memory that the server reads. */
static ssize_t send_in_place(struct client *c, int i, size_t len, uint64_t offset)
{
	struct shmux_span span;
	ssize_t n;

	n = shmux_stream_reserve(c->out[i].st, len, &span, 0);
	if (n < 0)
		return n;
	n = sample_read(&c->sample, span.data, len, offset);
	if (n < 0) {
		shmux_stream_cancel(c->out[i].st, &span);
		return n;
	}
	return shmux_stream_submit(c->out[i].st, &span, n, 0);
}

/* Return: bytes, 0 when the slice is through, or -errno. */
static ssize_t send_some(struct client *c, int i)
{
	struct demo_slice *slice = &c->out[i].slice;
	uint64_t left = slice->len - c->out[i].sent, offset = slice->offset + c->out[i].sent;
	size_t len = left < DEMO_CHUNK ? left : DEMO_CHUNK;
	ssize_t n;

	if (!left)
		return 0;
	if (slice->zero_copy)
		n = send_in_place(c, i, len, offset);
	else
		n = shmux_stream_write(c->out[i].st, c->data + offset, len);
	if (n < 0)
		return n;
	c->out[i].sent += n;
	if ((size_t)n == left)
		shmux_stream_shutdown(c->out[i].st, SHMUX_WRITE);
	return n;
}

/* A chunk of each slice in turn. */
static int send_slices(struct client *c)
{
	bool more = true;

	while (more) {
		more = false;
		for (int i = 0; i < DEMO_STREAMS; i++) {
			ssize_t n = send_some(c, i);

			if (n < 0)
				return cannot_send(c, i, n);
			more |= n > 0;
		}
	}
	return 0;
}

static int expect(struct client *c, char wanted)
{
	struct shmux_stream *st = c->out[0].st;
	char got = 0;
	ssize_t n;

	n = shmux_stream_read(st, &got, 1);
	if (n == 1 && got == wanted)
		return 0;
	if (n >= 0)
		n = -EPROTO;
	return say_cannot(n, say_stream_reason(st, n), "learn that the server has got it");
}

static int compare_digests(struct client *c)
{
	struct iovec iov = { .iov_base = (uint8_t[SHA256_SIZE]){ 0 }, .iov_len = SHA256_SIZE };
	struct shmux_stream *st = c->out[0].st;
	char text[SHA256_TEXT_SIZE];
	ssize_t n;

	n = shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL);
	if (n < 0)
		return say_cannot(n, say_stream_reason(st, n), "get the server's sha256");
	if (n != SHA256_SIZE || memcmp(iov.iov_base, c->digest, SHA256_SIZE))
		return say_cannot(EBADMSG, "its sha256 is another at the far end",
				  "rely on what arrived");
	sha256_text(c->digest, text);
	printf("  sha256   %s, the same at both ends\n", text);
	return 0;
}

static void report(struct client *c, uint64_t took)
{
	struct shmux_session_counters n = { .size = sizeof(n) };

	printf("  moved    %s in %s: %s\n", units_bytes(c->sample.len).text, units_time(took).text,
	       units_rate(c->sample.len, took).text);
	if (shmux_session_counters(shmux_stream_session(c->out[0].st), &n))
		return;
	printf("  kernel   asked %llu times for %llu records, to wake the server or to sleep\n",
	       (unsigned long long)(n.kicks_sent + n.sleeps), (unsigned long long)n.frames_sent);
}

int demo_send(const char *address, const char *path)
{
	struct client c = { 0 };
	uint64_t start, took;

	if (prepare(&c, path) || open_streams(&c, address) || introduce(&c) ||
	    expect(&c, DEMO_READY))
		return SAY_FAILED;
	start = shmux_now();
	if (send_slices(&c) || expect(&c, DEMO_ARRIVED))
		return SAY_FAILED;
	took = shmux_now() - start;
	report(&c, took);
	if (compare_digests(&c))
		return SAY_FAILED;
	for (int i = 0; i < DEMO_STREAMS; i++)
		shmux_stream_close(c.out[i].st);
	shmux_context_close(c.context);
	return SAY_DONE;
}
