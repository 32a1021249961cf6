// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * pipe.c - fuzzes an end of a pipe over a stream
 * PROVES: whatever_the_other_end_of_a_pipe_says_costs_that_pipe_alone
 *
 * The input says which end is the victim, and then what the other one, a bare
 * stream, says: frames, right, nearly right or wrong, and raw bytes; and what the
 * victim does between them. Nothing waits.
 */
#include <errno.h>
#include <sys/socket.h>

#include <shmux/shmux.h>

#include "facade/pipe_wire.h"
#include "fuzz.h"

struct game {
	struct input in;
	struct shmux_session *ours, *theirs;
	struct shmux_stream *st; /* the other end's, or NULL */
	struct shmux_pipe *p;
	bool reader;
	uint64_t said; /* bytes that may be payload */
	uint64_t read;
	int end; /* what the victim has been told, once it is over */
};

static char buf[1 << 16];

static void say(struct game *g, const void *data, size_t len)
{
	if (g->st && shmux_stream_try_write(g->st, data, len) > 0)
		g->said += len;
}

static void hello(struct game *g)
{
	const struct pipe_frame f = { PIPE_HELLO, g->reader ? PIPE_WRITER : 0, PIPE_VERSION,
				      PIPE_MAGIC };
	uint8_t head[PIPE_HEAD];

	pipe_encode(&f, head);
	say(g, head, sizeof(head));
}

static void frame(struct game *g)
{
	uint8_t kind = input_u8(&g->in), head[PIPE_HEAD], cut;
	struct pipe_frame f = { .type = kind % 8,
				.flags = kind >> 3 & 3,
				.count = kind >> 5 & 1 ? input_u8(&g->in) : 0,
				.arg = input_number(&g->in) };

	pipe_encode(&f, head);
	cut = kind >> 6 == 3 ? input_u8(&g->in) % sizeof(head) : sizeof(head);
	say(g, head, cut);
	if (f.type == PIPE_DATA && kind >> 6 != 2)
		say(g, buf, f.arg < sizeof(buf) ? f.arg : sizeof(buf));
}

static void ended(struct game *g, ssize_t n)
{
	int error = 1;

	if (n >= 0 || n == -EAGAIN)
		return;
	HOLD(!shmux_pipe_error(g->p, &error));
	HOLD(error <= 0 && error >= -4095);
	/* What it was told first it is told again. */
	HOLD(!g->end || g->end == n);
	g->end = (int)n;
}

static void use(struct game *g, uint8_t how)
{
	uint32_t len = input_number(&g->in) % sizeof(buf);
	int error = -(int)input_u8(&g->in);
	ssize_t n;

	switch (how % 4) {
	case 3:
		n = shmux_pipe_shutdown(g->p, error, SHMUX_NOWAIT);
		HOLD(n <= 0);
		/* What a call fails with now is another matter. */
		g->end = -EPIPE;
		break;
	default:
		n = g->reader ? shmux_pipe_try_read(g->p, buf, len) :
				shmux_pipe_try_write(g->p, buf, len);
		HOLD(n <= (ssize_t)len);
		if (g->reader && n > 0)
			HOLD((g->read += (uint64_t)n) <= g->said);
		ended(g, n);
	}
}

static void play(struct game *g)
{
	uint8_t move = input_u8(&g->in);
	struct shmux_event events[4];

	switch (move % 8) {
	case 0:
		say(g, &(uint8_t){ input_u8(&g->in) }, 1);
		break;
	case 1:
	case 2:
	case 3:
		frame(g);
		break;
	case 4:
	case 5:
		use(g, move / 8);
		break;
	case 6:
		/* What the victim has said is not what this is about. */
		if (g->st)
			shmux_stream_try_read(g->st, buf, sizeof(buf));
		shmux_session_pump(g->ours, events, 4);
		break;
	default:
		if (move == 7) {
			shmux_stream_close(g->st);
			g->st = NULL;
		} else if (move == 15 && g->st) {
			shmux_stream_reset(g->st, 300);
		} else {
			frame(g);
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct shmux_session_options options = {
		.size = sizeof(options),
		.spin = SHMUX_SPIN_NONE,
	};
	struct game g = { .in = { data, data + size } };
	struct shmux_pipe_options pipe = { .size = sizeof(pipe) };
	struct shmux_stream *st;
	uint8_t first = input_u8(&g.in);
	int fds[2];

	g.reader = first & 1;
	pipe.buffer = first & 2 ? 1000 : 0;
	HOLD(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	HOLD(!shmux_session_yamux(fds[0], fds[0], SHMUX_ROLE_DIALLER, &options, &g.ours));
	HOLD(!shmux_session_yamux(fds[1], fds[1], SHMUX_ROLE_ACCEPTOR, &options, &g.theirs));
	HOLD(!shmux_session_open(g.ours, SHMUX_STREAM_NOWAIT, &st));
	HOLD(!shmux_pipe_attach(st, g.reader ? SHMUX_READ : SHMUX_WRITE, &pipe, &g.p));
	HOLD(!shmux_session_accept(g.theirs, SHMUX_NOWAIT, &g.st));
	if (!(first & 4))
		hello(&g);
	while (!input_is_empty(&g.in))
		play(&g);
	HOLD(shmux_session_state(g.ours) == SHMUX_SESSION_OPEN);
	shmux_pipe_close(g.p);
	shmux_stream_close(g.st);
	shmux_session_close(g.ours, 0);
	shmux_session_close(g.theirs, 0);
	return 0;
}
