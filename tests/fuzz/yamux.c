// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * yamux.c - fuzzes the byte link
 * PROVES: whatever_comes_over_the_wire_costs_at_most_its_session_and_no_more_than_the_budget
 *
 * The input is a play of two: frames that the other end sends, right, nearly right
 * or wrong, whole or in pieces, and what the victim does with its streams between
 * them. Nothing waits.
 */
#include <endian.h>
#include <errno.h>
#include <sys/socket.h>

#include <shmux/shmux.h>

#include "fuzz.h"

#define STREAMS_MAX 8
#define BUDGET (300u << 10) /* a window, and some of another */

enum { DATA, WINDOW_UPDATE, PING, GO_AWAY };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };

struct game {
	struct input in;
	struct shmux_session *s;
	int fd; /* the other end, or -1 */
	struct shmux_stream *streams[STREAMS_MAX];
	int nr;
};

static char zeros[1 << 16];

/* So much of it as the socket takes. */
static void say(const struct game *g, const void *data, size_t len)
{
	if (g->fd >= 0 && send(g->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

/* What the victim has written is not what this is about. */
static void listen_to(const struct game *g)
{
	while (g->fd >= 0 && recv(g->fd, zeros, sizeof(zeros), MSG_DONTWAIT) > 0)
		;
	memset(zeros, 0, sizeof(zeros));
}

static void say_frame(struct game *g, uint8_t type, uint16_t flags, uint32_t id, uint32_t len)
{
	struct {
		uint8_t version, type;
		uint16_t flags;
		uint32_t id, len;
	} f = { 0, type, htobe16(flags), htobe32(id), htobe32(len) };
	uint8_t cut = input_u8(&g->in);

	/* In two pieces, now and then, with a look between. */
	if (cut < 12) {
		struct shmux_event events[4];

		say(g, &f, cut);
		shmux_session_pump(g->s, events, 4);
		say(g, (char *)&f + cut, sizeof(f) - cut);
	} else {
		say(g, &f, sizeof(f));
	}
}

/* A frame, of a stream that may be. */
static void frame(struct game *g)
{
	uint8_t kind = input_u8(&g->in);
	uint32_t id = input_u8(&g->in) % 24, len = input_number(&g->in), sent;

	say_frame(g, kind & 3, kind >> 2 & 15, id, len);
	if ((kind & 3) != DATA || kind >> 6 == 3)
		return;
	/* Its payload; less of it if it is to be late. */
	for (sent = kind >> 6 == 2 ? len / 2 : 0; sent < len && sent < BUDGET; sent += sizeof(zeros))
		say(g, zeros, len - sent < sizeof(zeros) ? len - sent : sizeof(zeros));
}

static void raw(struct game *g)
{
	uint8_t len = input_u8(&g->in) % 32;

	while (len--)
		say(g, &(uint8_t){ input_u8(&g->in) }, 1);
}

static struct shmux_stream **any(struct game *g)
{
	return g->nr ? &g->streams[input_u8(&g->in) % g->nr] : NULL;
}

static void get_stream(struct game *g, bool accept, bool more)
{
	struct shmux_stream **st = &g->streams[g->nr];

	if (g->nr < STREAMS_MAX &&
	    !(accept ? shmux_session_accept(g->s, SHMUX_NOWAIT | (more ? SHMUX_MORE : 0), st) :
		       shmux_session_open(g->s, SHMUX_STREAM_NOWAIT |
						(more ? SHMUX_STREAM_MORE : 0), st)))
		g->nr++;
}

static void use_stream(struct game *g, uint8_t how)
{
	static char buf[1 << 16];
	struct shmux_stream **st = any(g);
	struct shmux_view view;
	uint32_t len;

	if (!st)
		return;
	switch (how % 8) {
	case 0:
		len = input_number(&g->in) % sizeof(buf);
		HOLD(shmux_stream_try_read(*st, buf, len) <= (ssize_t)len);
		break;
	case 1:
		len = input_number(&g->in) % sizeof(buf);
		HOLD(shmux_stream_try_write(*st, buf, len) <= (ssize_t)len);
		break;
	case 2:
		shmux_stream_shutdown(*st, SHMUX_WRITE);
		break;
	case 3:
		shmux_stream_shutdown(*st, SHMUX_READ);
		break;
	case 4:
		shmux_stream_reset(*st, input_u8(&g->in));
		break;
	case 5:
		if (shmux_stream_take(*st, &view, SHMUX_NOWAIT) > 0)
			shmux_stream_release(*st, &view);
		break;
	default:
		shmux_stream_close(*st);
		*st = g->streams[--g->nr];
	}
}

static void play(struct game *g)
{
	struct shmux_event events[4];
	uint8_t move = input_u8(&g->in);

	switch (move % 16) {
	case 0:
		raw(g);
		break;
	case 1:
		get_stream(g, false, move / 16 & 1);
		break;
	case 2:
	case 3:
		get_stream(g, true, move / 16 & 1);
		break;
	case 4:
	case 5:
		use_stream(g, move / 16);
		break;
	case 6:
		listen_to(g);
		break;
	case 7:
		shmux_session_pump(g->s, events, 4);
		break;
	case 8:
		if (move / 16 == 0)
			shmux_session_go_away(g->s, 0);
		if (move / 16 == 1 && g->fd >= 0) {
			close(g->fd);
			g->fd = -1;
		}
		break;
	default:
		frame(g);
	}
}

static void check(struct game *g)
{
	struct shmux_session_counters c = { .size = sizeof(c) };

	HOLD(!shmux_session_counters(g->s, &c));
	HOLD(c.rx_queued <= BUDGET);
	HOLD(c.streams_open <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct shmux_session_options options = {
		.size = sizeof(options),
		.budget = BUDGET,
		.first_grant = 64,
		.streams_max = 64,
		.backlog = 4,
		.spin = SHMUX_SPIN_NONE,
	};
	struct game g = { .in = { data, data + size } };
	int fds[2];

	HOLD(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	g.fd = fds[1];
	HOLD(!shmux_session_yamux(fds[0], fds[0],
				  input_u8(&g.in) & 1 ? SHMUX_ROLE_DIALLER : SHMUX_ROLE_ACCEPTOR,
				  &options, &g.s));
	while (!input_is_empty(&g.in)) {
		play(&g);
		check(&g);
	}
	while (g.nr)
		shmux_stream_close(g.streams[--g.nr]);
	shmux_session_close(g.s, 0);
	if (g.fd >= 0)
		close(g.fd);
	/* Both are gone, and the numbers are used again. */
	HOLD(dup(0) == (fds[0] < fds[1] ? fds[0] : fds[1]));
	close(fds[0] < fds[1] ? fds[0] : fds[1]);
	return 0;
}
