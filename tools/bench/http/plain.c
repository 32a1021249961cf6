// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * plain.c - the least that a TCP forwarder can do: read here, write there
 *
 *   plain PORT TARGET-PORT
 *
 * The floor that `bench` measures forwarders against. It carries a half-close, holds
 * back who is not read, and closes both sides when either fails; no more.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	EVENTS = 256,
	PIECE = 64 << 10
};

struct side {
	struct side *other;
	int fd;
	bool ended; /* and the other side was told */
	size_t pos, len; /* of what the other side has not taken yet */
	char *held;
	struct side *next_gone;
};

static int epoll;
static struct side *gone; /* freed when no event can name them */
static char piece[PIECE];

static struct sockaddr_in loopback(const char *port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(atoi(port)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void end(struct side *s)
{
	for (int i = 0; i < 2; i++, s = s->other) {
		if (s->fd < 0)
			continue;
		close(s->fd);
		s->fd = -1;
		s->next_gone = gone;
		gone = s;
	}
}

static void keep(struct side *s, const char *data, size_t len)
{
	s->held = malloc(len);
	if (!s->held)
		error(1, ENOMEM, "cannot go on");
	memcpy(s->held, data, len);
	s->pos = 0;
	s->len = len;
}

/* Return: whether all that was held is written. */
static bool write_held(struct side *s)
{
	ssize_t n;

	if (!s->held)
		return true;
	n = send(s->other->fd, s->held + s->pos, s->len - s->pos, MSG_NOSIGNAL);
	if (n > 0)
		s->pos += n;
	if (n < 0 && errno != EAGAIN)
		end(s);
	if (s->pos < s->len || s->fd < 0)
		return false;
	free(s->held);
	s->held = NULL;
	return true;
}

/* From @s to the other side, as far as it goes. */
static void pass(struct side *s)
{
	ssize_t n, sent;

	while (s->fd >= 0 && !s->ended && write_held(s)) {
		n = recv(s->fd, piece, PIECE, 0);
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			end(s);
		} else if (!n) {
			shutdown(s->other->fd, SHUT_WR);
			s->ended = true;
			if (s->other->ended)
				end(s);
		} else {
			sent = send(s->other->fd, piece, n, MSG_NOSIGNAL);
			if (sent < 0 && errno != EAGAIN)
				end(s);
			else if (sent < n)
				keep(s, piece + (sent > 0 ? sent : 0), n - (sent > 0 ? sent : 0));
			else if (n < PIECE)
				return; /* an end is told by an event of its own */
		}
	}
}

static struct side *watch(int fd)
{
	struct side *s = calloc(1, sizeof(*s));
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = s };
	const int yes = 1;

	if (!s || fd < 0)
		error(1, errno, "cannot take another connection");
	s->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		error(1, errno, "cannot watch another connection");
	return s;
}

static void take(int listener, const struct sockaddr_in *target)
{
	int fd, to;
	struct side *s;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
		to = socket(AF_INET, SOCK_STREAM, 0);
		if (to < 0 || connect(to, (const struct sockaddr *)target, sizeof(*target)))
			error(1, errno, "cannot reach the target");
		/* Only now: a connect on loopback does not wait. */
		fcntl(to, F_SETFL, O_NONBLOCK);
		s = watch(fd);
		s->other = watch(to);
		s->other->other = s;
	}
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS] = { { .events = EPOLLIN } };
	struct sockaddr_in at, target;
	const int yes = 1;
	struct side *s;
	int listener, n;

	if (argc != 3)
		error(2, 0, "usage: plain PORT TARGET-PORT");
	at = loopback(argv[1]);
	target = loopback(argv[2]);
	epoll = epoll_create1(0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1024) ||
	    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, events))
		error(1, errno, "cannot listen on port %s", argv[1]);
	for (;;) {
		n = epoll_wait(epoll, events, EVENTS, -1);
		for (int i = 0; i < n; i++) {
			s = events[i].data.ptr;
			if (!s) {
				take(listener, &target);
				continue;
			}
			if (s->fd >= 0 && (events[i].events & ~EPOLLOUT))
				pass(s);
			if (s->fd >= 0 && (events[i].events & EPOLLOUT) && s->other->held)
				pass(s->other);
		}
		while ((s = gone)) {
			gone = s->next_gone;
			free(s->held);
			free(s);
		}
	}
}
