// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pipe_stream.c - a pipe over a stream: one end here, the other in the peer
 *
 * A read that finds nothing asks for bytes, and the writer's end sends no more than
 * was asked for: so they go from the writer's memory into the stream and from there
 * into the reader's. When they have been read the writer's end is told.
 * Whose turn it is to use the stream is pipe_turns.c's to know.
 */
#include <errno.h>
#include <stdlib.h>

#include <linux/shmux_ring.h>

#include "base/clock.h"
#include "base/errno.h"
#include "core/core.h"
#include "facade/pipe.h"
#include "facade/pipe_turns.h"
#include "facade/pipe_wire.h"

/* What a read lets itself be held up by a full ring, to tell that it has read, ns. */
#define TELL_PATIENCE UINT64_C(10000000)

/* Credit that the other end gets at once, for what it says unasked, in bytes. */
#define HEADS_AHEAD 4096u

/* Buffers that go out or come in at once. */
#define IOV_MAX_ 8

/* What may wait to go out: the rest of a frame, and then its end and a last word. */
#define OUT_SIZE (PIPE_HEAD + PIPE_DATA_MAX + 4 * PIPE_HEAD)

struct wire_pipe {
	struct shmux_pipe pipe;
	struct shmux_stream *st;
	uint32_t buffer;		/* constant */
	struct shmux__turns turns;

	/* Of who has the turn. */
	int over;			/* the peer's end, or what became of it */
	bool over_said;			/* the peer has said so itself */
	bool greeted;
	uint8_t head[PIPE_HEAD];	/* coming in */
	uint32_t head_len;
	uint8_t *out;			/* to go out, before anything else */
	size_t out_begin, out_end;
	bool close_said;		/* is in @out, or gone */

	/* The writer's. */
	uint64_t sent, taken;		/* bytes */
	uint64_t sent_frames, taken_frames;
	bool asked;
	uint32_t demand;
	bool promised;			/* the last frame said PIPE_MORE */

	/* The reader's. */
	bool in_frame, more, going_on;	/* @going_on: of the write before */
	uint32_t left;			/* of the frame */
	bool asks;			/* our demand stands */
	bool say_demand;
	uint32_t demanded;
	uint64_t owed;			/* bytes consumed, not told */
	uint32_t owed_frames;
};

static struct wire_pipe *wire_of(struct shmux_pipe *p)
{
	return shmux_container_of(p, struct wire_pipe, pipe);
}

/* Before the stream is waited on, if it is, but not beyond @until. */
static int may_wait(struct wire_pipe *p, const struct shmux__call *c,
		    unsigned int flags, uint64_t until)
{
	return flags & SHMUX_NOWAIT ? 0 : shmux__turns_arm(&p->turns, c, until);
}

static bool gave_up(int err)
{
	return err == -ETIMEDOUT || err == -ECANCELED;
}

/* --- the end --- */

/* The peer has said its last word: @error of calls from now on. */
static int end_said(struct wire_pipe *p, int error)
{
	p->over = error;
	p->over_said = true;
	shmux__turns_note_end(&p->turns, error == -ENODATA ? 0 : error);
	return error;
}

/* Nothing more will come, without that. Return: what to tell the caller. */
static int end_with(struct wire_pipe *p, int err)
{
	if (p->over)
		return p->over;
	/* In a forked child it is not the pipe's fault. */
	if (err == -ECHILD)
		return err;
	p->over = err;
	shmux__turns_note_end(&p->turns, err);
	if (err == -EPROTO || err == -EPROTONOSUPPORT)
		shmux_stream_reset(p->st, SHMUX_CODE_NONE);
	return err;
}

/* --- frames in --- */

/* Return: 1 with a frame; 0: there is none (SHMUX_NOWAIT); or why not. */
static int get_frame(struct wire_pipe *p, const struct shmux__call *c,
		     unsigned int flags, struct pipe_frame *f)
{
	struct iovec iov;
	ssize_t n;
	int err;

	if (p->over)
		return p->over;
	while (p->head_len < PIPE_HEAD) {
		err = may_wait(p, c, flags, SHMUX_NEVER);
		if (err)
			return err;
		iov.iov_base = p->head + p->head_len;
		iov.iov_len = PIPE_HEAD - p->head_len;
		n = shmux_stream_recv(p->st, &iov, 1, flags);
		if (n == -EAGAIN)
			return 0;
		if (n > 0) {
			p->head_len += (uint32_t)n;
		} else if (gave_up((int)n)) {
			err = shmux__turns_waited(&p->turns, c);
			if (err)
				return err;
		} else {
			/* A stream's end without a last word is none of ours. */
			return end_with(p, n ? (int)n : -ECONNRESET);
		}
	}
	p->head_len = 0;
	pipe_decode(p->head, f);
	if (!p->greeted) {
		if (f->type != PIPE_HELLO || f->arg != PIPE_MAGIC ||
		    f->flags != (p->pipe.reader ? PIPE_WRITER : 0))
			return end_with(p, -EPROTO);
		if (f->count != PIPE_VERSION)
			return end_with(p, -EPROTONOSUPPORT);
		p->greeted = true;
		return get_frame(p, c, flags, f);
	}
	if (!pipe_makes_sense(f, p->pipe.reader))
		return end_with(p, -EPROTO);
	return 1;
}

/* --- what goes out first --- */

static bool has_out(const struct wire_pipe *p)
{
	return p->out_begin < p->out_end;
}

static void out_add(struct wire_pipe *p, uint8_t type, uint8_t flags,
		    uint16_t count, uint32_t arg)
{
	struct pipe_frame f = {
		.type = type, .flags = flags, .count = count, .arg = arg
	};

	pipe_encode(&f, p->out + p->out_end);
	p->out_end += PIPE_HEAD;
}

/* The next of what is to be said, once all before has been. */
static void out_next(struct wire_pipe *p)
{
	uint32_t frames, bytes;

	p->out_begin = p->out_end = 0;
	if (p->owed || p->owed_frames) {
		frames = p->owed_frames < UINT16_MAX ? p->owed_frames :
						       UINT16_MAX;
		bytes = p->owed < UINT32_MAX ? (uint32_t)p->owed : UINT32_MAX;
		p->owed_frames -= frames;
		p->owed -= bytes;
		out_add(p, PIPE_TAKEN, 0, (uint16_t)frames, bytes);
	}
	if (p->say_demand && !p->close_said)
		out_add(p, PIPE_DEMAND, p->asks ? PIPE_ASK : 0, 0,
			p->asks ? p->demanded : 0);
	p->say_demand = false;
	if (!p->close_said && shmux__turns_are_shut(&p->turns)) {
		out_add(p, PIPE_CLOSE, 0, 0, (uint32_t)-p->turns.shut_error);
		p->close_said = true;
	}
}

/*
 * Say what is to be said. @or_read: but do not wait while something can be read.
 * Return: 0; -EAGAIN: not all has been said; or why not.
 */
static int flush(struct wire_pipe *p, const struct shmux__call *c,
		 unsigned int flags, uint64_t until, bool or_read)
{
	struct iovec iov;
	ssize_t n;
	int err;

	for (;;) {
		if (!has_out(p))
			out_next(p);
		if (!has_out(p))
			return 0;
		err = may_wait(p, c, flags, until);
		if (err)
			return err;
		iov.iov_base = p->out + p->out_begin;
		iov.iov_len = p->out_end - p->out_begin;
		n = or_read && !(flags & SHMUX_NOWAIT) ?
			    shmux__stream_send_or_read(p->st, &iov, 1) :
			    shmux_stream_send(p->st, &iov, 1, flags);
		if (n > 0) {
			p->out_begin += (size_t)n;
		} else if (gave_up((int)n)) {
			err = shmux__turns_waited(&p->turns, c);
			if (!err && until != SHMUX_NEVER)
				err = -ETIMEDOUT;
			if (err)
				return err;
		} else {
			return (int)n;
		}
	}
}

/* --- writing --- */

/* Take note of what the reader's end has said. Return: 0, or what is over. */
static int hear(struct wire_pipe *p, const struct pipe_frame *f)
{
	switch (f->type) {
	case PIPE_DEMAND:
		p->asked = f->flags & PIPE_ASK;
		p->demand = f->arg ? f->arg : 1;
		break;
	case PIPE_TAKEN:
		if (f->arg > p->sent - p->taken ||
		    f->count > p->sent_frames - p->taken_frames)
			return end_with(p, -EPROTO);
		p->taken += f->arg;
		p->taken_frames += f->count;
		break;
	case PIPE_CLOSE:
		return end_said(p, f->arg ? -(int)f->arg : -EPIPE);
	}
	return 0;
}

/* All that has come; or, with @wait, at least one frame. */
static int listen_to_reader(struct wire_pipe *p, const struct shmux__call *c,
			    bool wait)
{
	struct pipe_frame f = { 0 };
	int n;

	for (;;) {
		n = get_frame(p, c, wait ? 0 : SHMUX_NOWAIT, &f);
		if (n > 0)
			n = hear(p, &f);
		else if (n == 0)
			return 0;
		if (n)
			return n;
		wait = false;
	}
}

/* The stream takes no more: the reader's end has a reason, which is on its way. */
static int last_words(struct wire_pipe *p, const struct shmux__call *c)
{
	int err = 0;

	while (!err)
		err = listen_to_reader(p, c, true);
	return err;
}

/* A send has met @n: what to do? Return: 0 to go on, or why the call is over. */
static int send_met(struct wire_pipe *p, const struct shmux__call *c,
		    ssize_t n)
{
	int err;

	if (n == -EAGAIN)
		return c->flags & SHMUX_NOWAIT ?
			       -EAGAIN :
			       listen_to_reader(p, c, false);
	if (gave_up((int)n))
		return shmux__turns_waited(&p->turns, c);
	if (n == -EPIPE && !p->close_said)
		return last_words(p, c);
	/* What it has said before it died comes first. */
	err = listen_to_reader(p, c, false);
	return err ? err : end_with(p, (int)n);
}

/* The rest of a frame goes to @out: what was begun is ended by a later call. */
static void put_aside(struct wire_pipe *p, const uint8_t *head, size_t gone,
		      struct shmux__cursor *from, size_t left)
{
	p->out_begin = p->out_end = 0;
	if (gone < PIPE_HEAD) {
		memcpy(p->out, head + gone, PIPE_HEAD - gone);
		p->out_end = PIPE_HEAD - gone;
	}
	shmux__cursor_read(from, p->out + p->out_end, left);
	p->out_end += left;
}

/* Send @len bytes as a frame. Return: 0, or what ended the call. */
static int send_frame(struct wire_pipe *p, struct shmux__call *c,
		      struct shmux__cursor *from, size_t len, bool more)
{
	struct pipe_frame f = { .type = PIPE_DATA,
				.flags = more ? PIPE_MORE : 0,
				.arg = (uint32_t)len };
	size_t gone = 0, left = len, want, part;
	struct iovec iov[1 + IOV_MAX_];
	struct shmux__cursor at;
	uint8_t head[PIPE_HEAD];
	ssize_t n;
	int nr, err = 0;

	pipe_encode(&f, head);
	while (gone < PIPE_HEAD || left) {
		nr = 0;
		if (gone < PIPE_HEAD) {
			iov[nr].iov_base = head + gone;
			iov[nr++].iov_len = PIPE_HEAD - gone;
		}
		at = *from;
		for (want = left; want && nr < IOV_MAX_ + 1; want -= part) {
			iov[nr].iov_base = shmux__cursor_at(&at, want, &part);
			iov[nr++].iov_len = part;
			shmux__cursor_skip(&at, part);
		}
		err = may_wait(p, c, c->flags, SHMUX_NEVER);
		if (err)
			break;
		n = c->flags & SHMUX_NOWAIT ?
			    shmux_stream_send(p->st, iov, nr, SHMUX_NOWAIT) :
			    shmux__stream_send_or_read(p->st, iov, nr);
		if (n <= 0) {
			err = send_met(p, c, n);
			if (err)
				break;
			continue;
		}
		if (!gone) {
			p->sent += len;
			p->sent_frames++;
			p->promised = more;
		}
		part = PIPE_HEAD - gone < (size_t)n ? PIPE_HEAD - gone :
						      (size_t)n;
		gone += part;
		n -= (ssize_t)part;
		left -= (size_t)n;
		while (n) {
			shmux__cursor_at(from, (size_t)n, &part);
			shmux__cursor_skip(from, part);
			n -= (ssize_t)part;
		}
	}
	if (err && gone && !p->over)
		put_aside(p, head, gone, from, left);
	return err;
}

/*
 * How many of @len bytes may be sent now; -1: not even none. Who can wait does not
 * fill up a buffer drop by drop: each would be a frame, and then a read.
 */
static int64_t may_send(const struct wire_pipe *p, size_t len, bool waits)
{
	uint64_t between = p->sent - p->taken, most;
	uint64_t frames = p->sent_frames - p->taken_frames;

	if (!len)
		return p->asked || between + frames < p->buffer ? 0 : -1;
	most = p->buffer > between ? p->buffer - between : 0;
	if (waits && most < len && most < p->buffer / 2)
		most = 0;
	if (p->asked && p->demand > most)
		most = p->demand;
	if (!most)
		return -1;
	return (int64_t)(len < most ? len : most);
}

static ssize_t send_in_turn(struct wire_pipe *p, struct shmux__call *c,
			    struct shmux__cursor *from)
{
	size_t size = from->left, part;
	uint64_t begun = 0, n;
	bool all_sent = false, has_begun = false;
	int64_t burst;
	int err;

	for (;;) {
		err = listen_to_reader(p, c, false);
		if (all_sent && (p->buffer || (c->flags & SHMUX_NOWAIT) ||
				 p->taken_frames == p->sent_frames))
			return (ssize_t)size;
		if (!err && shmux__turns_are_shut(&p->turns))
			err = -EPIPE;
		if (err)
			break;
		if (has_out(p)) {
			/* What a call before ours left. */
			err = flush(p, c, c->flags, SHMUX_NEVER, true);
			if (err && !gave_up(err))
				err = send_met(p, c, err);
			if (err)
				break;
			continue;
		}
		if (!has_begun) {
			begun = p->sent;
			has_begun = true;
		}
		burst = all_sent ? -1 : may_send(p, from->left,
						       !(c->flags &
							 SHMUX_NOWAIT));
		if (burst < 0) {
			err = c->flags & SHMUX_NOWAIT ?
				      -EAGAIN :
				      listen_to_reader(p, c, true);
			if (err && p->taken_frames == p->sent_frames &&
			    all_sent)
				return (ssize_t)size;
			if (err)
				break;
			continue;
		}
		do {
			part = burst < PIPE_DATA_MAX ? (size_t)burst :
						       PIPE_DATA_MAX;
			burst -= (int64_t)part;
			err = send_frame(p, c, from, part, burst > 0);
		} while (!err && burst > 0);
		p->asked = false;
		if (err)
			break;
		all_sent = !from->left;
	}
	if (!has_begun)
		return err;
	if (all_sent && !p->over)
		return (ssize_t)size;
	if (p->promised && !p->over) {
		/* A reader waits for what does not come now. */
		if (!has_out(p))
			p->out_begin = p->out_end = 0;
		out_add(p, PIPE_DATA, 0, 0, 0);
		p->sent_frames++;
		p->promised = false;
		flush(p, c, SHMUX_NOWAIT, 0, false);
	}
	/* What has been consumed is known where the end is; else it will be. */
	n = !p->over ? p->sent - begun : p->taken > begun ? p->taken - begun : 0;
	return n ? (ssize_t)(n < size ? n : size) : err;
}

static ssize_t wire_send(struct shmux_pipe *pipe, struct shmux__cursor *from,
			 unsigned int flags)
{
	struct wire_pipe *p = wire_of(pipe);
	struct shmux__call c;
	ssize_t n = shmux__turns_take(&p->turns, &c, flags, false);

	if (n)
		return n;
	n = send_in_turn(p, &c, from);
	shmux__turns_give(&p->turns);
	return n;
}

/* --- reading --- */

/* Take note of what the writer's end has said. Return: 0, or what is over. */
static int hear_writer(struct wire_pipe *p, const struct pipe_frame *f)
{
	if (f->type == PIPE_CLOSE)
		return end_said(p, f->arg ? -(int)f->arg : -ENODATA);
	p->in_frame = true;
	p->left = f->arg;
	p->more = f->flags & PIPE_MORE;
	if (!p->going_on)
		p->asks = false;
	return 0;
}

static void frame_done(struct wire_pipe *p)
{
	p->in_frame = false;
	p->going_on = p->more;
	p->owed_frames++;
}

/* Nothing is there. Ask for it and wait. Return: 1 with a frame, or why not. */
static int await_frame(struct wire_pipe *p, const struct shmux__call *c,
		       size_t size, struct pipe_frame *f)
{
	int err;

	if (!p->going_on && !p->asks) {
		p->asks = p->say_demand = true;
		p->demanded = size < INT32_MAX ? (uint32_t)size : INT32_MAX;
		/* It waits for a write, and the next read will take of it. */
		if (!size)
			p->demanded = PIPE_DATA_MAX;
	}
	for (;;) {
		err = flush(p, c, c->flags, SHMUX_NEVER, true);
		if (gave_up(err))
			return err;
		if (err && err != -EAGAIN)
			/* The writer's last words can be read. */
			return get_frame(p, c, 0, f);
		if (c->flags & SHMUX_NOWAIT)
			return -EAGAIN;
		err = get_frame(p, c, err ? SHMUX_NOWAIT : 0, f);
		if (err)
			return err;
	}
}

/* Copy what is left of the frame. Return: how much, or why not. */
static ssize_t recv_part(struct wire_pipe *p, const struct shmux__call *c,
			 struct shmux__cursor *to)
{
	size_t most = p->left < to->left ? p->left : to->left, want, part;
	struct shmux__cursor at = *to;
	struct iovec iov[IOV_MAX_];
	ssize_t n, rest;
	int nr = 0, err;

	for (want = most; want && nr < IOV_MAX_; want -= part) {
		iov[nr].iov_base = shmux__cursor_at(&at, want, &part);
		iov[nr++].iov_len = part;
		shmux__cursor_skip(&at, part);
	}
	for (;;) {
		err = may_wait(p, c, c->flags, SHMUX_NEVER);
		if (err)
			return err;
		n = shmux_stream_recv(p->st, iov, nr, c->flags);
		if (n > 0 || n == -EAGAIN)
			break;
		if (!gave_up((int)n))
			return end_with(p, n ? (int)n : -ECONNRESET);
		err = shmux__turns_waited(&p->turns, c);
		if (err)
			return err;
	}
	for (rest = n; rest > 0; rest -= (ssize_t)part) {
		shmux__cursor_at(to, (size_t)rest, &part);
		shmux__cursor_skip(to, part);
	}
	return n;
}

static ssize_t recv_in_turn(struct wire_pipe *p, const struct shmux__call *c,
			    struct shmux__cursor *to)
{
	size_t size = to->left, done = 0;
	struct pipe_frame f;
	ssize_t n;
	int err;

	for (;;) {
		if (!p->in_frame) {
			err = get_frame(p, c, SHMUX_NOWAIT, &f);
			if (!err)
				err = await_frame(p, c, size, &f);
			if (err > 0)
				err = hear_writer(p, &f);
			if (err)
				return done ? (ssize_t)done : err;
			if (!p->left) {
				bool is_write = !p->going_on;

				frame_done(p);
				if (is_write || done)
					return (ssize_t)done;
				continue;
			}
		}
		if (!to->left)
			return (ssize_t)done;
		n = recv_part(p, c, to);
		if (n < 0)
			return done ? (ssize_t)done : n;
		done += (size_t)n;
		p->left -= (uint32_t)n;
		p->owed += (uint64_t)n;
		if (p->left)
			continue;
		frame_done(p);
		if (!p->going_on || !to->left)
			return (ssize_t)done;
	}
}

static ssize_t wire_recv(struct shmux_pipe *pipe, struct shmux__cursor *to,
			 unsigned int flags)
{
	struct wire_pipe *p = wire_of(pipe);
	struct shmux__call c;
	ssize_t n = shmux__turns_take(&p->turns, &c, flags, false);

	if (n)
		return n;
	n = shmux__turns_are_shut(&p->turns) ? -EPIPE : recv_in_turn(p, &c, to);
	/* Who gives up asks no more; who comes back later does. */
	if (n < 0 && n != -EAGAIN && p->asks && !p->over) {
		p->asks = false;
		p->say_demand = true;
	}
	if (flush(p, &c, SHMUX_NOWAIT, 0, false) == -EAGAIN &&
	    (n >= 0 || p->over) && !(flags & SHMUX_NOWAIT))
		flush(p, &c, 0, shmux_clock_now() + TELL_PATIENCE, false);
	shmux__turns_give(&p->turns);
	return n;
}

/* --- ending --- */

/* Under the turn, or when nobody else is there: no more will be said. */
static void hang_up(struct wire_pipe *p)
{
	if (p->close_said && !has_out(p))
		shmux_stream_shutdown(p->st, p->pipe.reader ?
				      SHMUX_READ | SHMUX_WRITE : SHMUX_WRITE);
}

static int shut_reader(struct wire_pipe *p, const struct shmux__call *c)
{
	int err = flush(p, c, c->flags, SHMUX_NEVER, false);

	hang_up(p);
	/* There is nobody to tell. */
	if (err == -EPIPE || (err && p->over_said))
		err = 0;
	return err;
}

static int shut_writer(struct wire_pipe *p, const struct shmux__call *c)
{
	int err;

	for (;;) {
		err = listen_to_reader(p, c, false);
		/* Where the reader's end is over nobody needs ours any more. */
		if ((err || (p->close_said && !has_out(p))) &&
		    p->sent_frames == p->taken_frames)
			return 0;
		if (err)
			return err;
		if (has_out(p) || !p->close_said) {
			err = flush(p, c, c->flags, SHMUX_NEVER, true);
			hang_up(p);
			if (err && !gave_up(err))
				err = send_met(p, c, err);
		} else if (c->flags & SHMUX_NOWAIT) {
			err = -EAGAIN;
		} else {
			err = listen_to_reader(p, c, true);
			if (p->sent_frames == p->taken_frames)
				err = 0;
		}
		if (err)
			return err;
	}
}

static void set_shut(struct wire_pipe *p, int error)
{
	int told = !error && p->pipe.reader ? -EPIPE : error;

	shmux__turns_shut(&p->turns, error, told);
}

static int wire_shutdown(struct shmux_pipe *pipe, int error, unsigned int flags)
{
	struct wire_pipe *p = wire_of(pipe);
	struct shmux__call c;
	int err;

	set_shut(p, error);
	err = shmux__turns_take(&p->turns, &c, flags, true);
	if (err)
		return err;
	err = pipe->reader ? shut_reader(p, &c) : shut_writer(p, &c);
	shmux__turns_give(&p->turns);
	return err;
}

static int wire_error(struct shmux_pipe *pipe, int *error)
{
	return shmux__turns_error(&wire_of(pipe)->turns, error);
}

static void wire_close(struct shmux_pipe *pipe)
{
	struct wire_pipe *p = wire_of(pipe);
	struct shmux__call c = { .flags = SHMUX_NOWAIT, .ends = true };

	shmux__turns_close(&p->turns);
	set_shut(p, 0);
	flush(p, &c, SHMUX_NOWAIT, 0, false);
	hang_up(p);
	shmux_stream_close(p->st);
	free(p->out);
	free(p);
}

static int wire_set_deadline(struct shmux_pipe *pipe, uint64_t deadline)
{
	shmux__turns_set_deadline(&wire_of(pipe)->turns, deadline);
	return 0;
}

static void wire_unblock(struct shmux_pipe *pipe)
{
	shmux__turns_unblock(&wire_of(pipe)->turns);
}

static int wire_fd(struct shmux_pipe *pipe)
{
	return shmux_session_fd(shmux_stream_session(wire_of(pipe)->st));
}

static const struct shmux__pipe_ops wire_ops = {
	.send = wire_send,
	.recv = wire_recv,
	.shutdown = wire_shutdown,
	.error = wire_error,
	.close = wire_close,
	.set_deadline = wire_set_deadline,
	.unblock = wire_unblock,
	.fd = wire_fd,
};

int shmux__pipe_stream(struct shmux_stream *st, bool reader, uint32_t buffer,
		       struct shmux_pipe **pipe)
{
	struct wire_pipe *p = SHMUX_KEEP_ERRNO(calloc(1, sizeof(*p)));
	struct shmux__call c = { .flags = SHMUX_NOWAIT };
	int err;

	if (!p)
		return -ENOMEM;
	p->out = SHMUX_KEEP_ERRNO(malloc(reader ? 4 * PIPE_HEAD : OUT_SIZE));
	if (!p->out) {
		free(p);
		return -ENOMEM;
	}
	p->pipe.ops = &wire_ops;
	p->pipe.reader = reader;
	p->st = st;
	p->buffer = buffer;
	shmux__turns_init(&p->turns, st);
	/* Of any value, so that moving it later needs no memory. */
	err = shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, 0);
	if (err) {
		free(p->out);
		free(p);
		return err;
	}
	/* What costs credit is the data, and each head that goes with it. */
	shmux__stream_expect(st, (reader ? buffer + buffer / 8 : 0) +
				 HEADS_AHEAD);
	out_add(p, PIPE_HELLO, reader ? 0 : PIPE_WRITER, PIPE_VERSION,
		PIPE_MAGIC);
	/* What is wrong with the stream the calls will tell. */
	flush(p, &c, SHMUX_NOWAIT, 0, false);
	*pipe = &p->pipe;
	return 0;
}
