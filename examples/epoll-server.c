// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * epoll-server.c - an echo server in an epoll loop, for several users
 *
 *   epoll-server [ADDRESS [UID]...]
 *
 * One thread. A session is one descriptor in the loop, however many streams it
 * has; the pump tells which of them are ready. It serves its own user and those
 * on the command line; who is turned away is told so, and so are we. Try it with
 *
 *   shmux cat epoll-server
 *
 * and as another user, who has to say that ours will do, with
 *
 *   shmux cat --any-user epoll-server
 */
#include <errno.h>
#include <error.h>
#include <shmux/shmux.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <unistd.h>

enum { EVENTS = 32 };

struct connection {
	struct shmux_session *s;
	LIST_HEAD(, echo) echoes;
	int is_dead;
};

struct echo {
	LIST_ENTRY(echo) node;
	struct shmux_stream *st;
	size_t len, sent;		/* of what is in @buf */
	char buf[16384];
};

/* Return: -EAGAIN: wait for the next event; anything else: the stream is over. */
static ssize_t echo(struct echo *e)
{
	ssize_t n;

	for (;;) {
		if (e->sent == e->len) {
			n = shmux_stream_try_read(e->st, e->buf, sizeof(e->buf));
			if (n <= 0)
				return n;
			e->len = n;
			e->sent = 0;
		}
		n = shmux_stream_try_write(e->st, e->buf + e->sent, e->len - e->sent);
		if (n < 0)
			return n;
		e->sent += n;
	}
}

static void close_stream(struct echo *e)
{
	shmux_stream_close(e->st);
	LIST_REMOVE(e, node);
	free(e);
}

static void serve_stream(struct echo *e)
{
	if (echo(e) != -EAGAIN)
		close_stream(e);
}

static void accept_streams(struct connection *c)
{
	struct shmux_stream *st;

	while (!shmux_session_accept(c->s, SHMUX_NOWAIT, &st)) {
		struct echo *e = calloc(1, sizeof(*e));

		if (!e) {
			shmux_stream_close(st);
			continue;
		}
		e->st = st;
		shmux_stream_set_user(st, e);
		LIST_INSERT_HEAD(&c->echoes, e, node);
		serve_stream(e);	/* it may have brought something along */
	}
}

static void serve_connection(struct connection *c)
{
	struct shmux_event events[EVENTS];
	int n;

	do {
		n = shmux_session_pump(c->s, events, EVENTS);
		for (int i = 0; i < n; i++) {
			if (events[i].events & SHMUX_EVENT_ACCEPT)
				accept_streams(c);
			if (events[i].events & SHMUX_EVENT_DEAD)
				c->is_dead = 1;
			if (events[i].user)
				serve_stream(events[i].user);
		}
	} while (n == EVENTS);
	if (n >= 0 && !c->is_dead)
		return;
	while (!LIST_EMPTY(&c->echoes))
		close_stream(LIST_FIRST(&c->echoes));
	shmux_session_close(c->s, 0);
	free(c);
}

static void accept_connections(struct shmux_listener *l, int epoll)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct shmux_session *s;

	while (!shmux_listener_accept_session(l, SHMUX_NOWAIT, &s)) {
		struct connection *c = calloc(1, sizeof(*c));

		event.data.ptr = c;
		if (!c || epoll_ctl(epoll, EPOLL_CTL_ADD, shmux_session_fd(s), &event)) {
			shmux_session_close(s, 0);
			free(c);
			continue;
		}
		c->s = s;
		serve_connection(c);
	}
}

/* Those on the command line; the last one is followed by NULL. */
static int admit(void *arg, const struct shmux_peer *peer)
{
	char **uid = arg;

	if (peer->uid == geteuid())
		return 0;
	for (; *uid; uid++)
		if (strtoul(*uid, NULL, 10) == peer->uid)
			return 0;
	return -EACCES;
}

static void complain(void *arg, enum shmux_log_level level, const char *sentence)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%s\n", sentence);
}

int main(int argc, char **argv)
{
	const char *address = argc > 1 ? argv[1] : "epoll-server";
	struct shmux_session_options session = { .size = sizeof(session), .log = complain };
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.mode = argc > 2 ? 0602 : 0600,	/* everybody may ask admit() */
		.admit = admit,
		.admit_arg = argv + (argc > 2 ? 2 : argc),
		.session = &session,
	};
	struct epoll_event events[EVENTS] = { { .events = EPOLLIN } };
	struct shmux_listener *l;
	int epoll = epoll_create1(EPOLL_CLOEXEC), n;

	n = shmux_listener_open(address, &options, &l);
	if (n < 0)
		error(1, -n, "cannot listen on %s", address);
	/* The listener is the one whose pointer is NULL. */
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, shmux_listener_fd(l), &events[0]))
		error(1, errno, "cannot wait for sessions");
	printf("listening on %s\n", address);
	fflush(stdout);
	for (;;) {
		n = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve_connection(events[i].data.ptr);
			else
				accept_connections(l, epoll);
		}
	}
}
