// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * plain.c - the floor: a forwarder of plain sockets, as short as it can be
 *
 * Usage: plain LISTEN_PORT TARGET_PORT. One thread, one epoll, a buffer that is
 * written as soon as it has been read; no counters, no log, no limits. It waits in
 * write() where a socket is full, which who benchmarks it does not let happen.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static int peer_of[65536];
static char buf[65536];

static struct sockaddr_in port(const char *number)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(number)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static void watch(int epoll, int fd)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void take(int epoll, int listener, const struct sockaddr_in *target)
{
	int near = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	int far = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (near < 0 || far < 0 ||
	    connect(far, (const struct sockaddr *)target, sizeof(*target))) {
		perror("plain");
		exit(1);
	}
	peer_of[near] = far;
	peer_of[far] = near;
	watch(epoll, near);
	watch(epoll, far);
}

static void pass(int fd)
{
	ssize_t n, done = 0, put;

	if (!peer_of[fd])
		return;		/* closed, in this round */
	n = read(fd, buf, sizeof(buf));
	for (; n > 0 && done < n; done += put) {
		put = write(peer_of[fd], buf + done, (size_t)(n - done));
		if (put < 0)
			n = -1;
	}
	if (n > 0)
		return;
	close(peer_of[fd]);
	close(fd);
	peer_of[peer_of[fd]] = 0;
	peer_of[fd] = 0;
}

int main(int argc, char **argv)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), one = 1, nr;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct epoll_event events[64];
	struct sockaddr_in at, target;

	if (argc != 3) {
		fprintf(stderr, "usage: plain LISTEN_PORT TARGET_PORT\n");
		return 2;
	}
	at = port(argv[1]);
	target = port(argv[2]);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 128)) {
		perror("plain");
		return 1;
	}
	watch(epoll, listener);
	for (;;) {
		nr = epoll_wait(epoll, events, 64, -1);
		for (int i = 0; i < nr; i++) {
			if (events[i].data.fd == listener)
				take(epoll, listener, &target);
			else
				pass(events[i].data.fd);
		}
	}
}
