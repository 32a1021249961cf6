// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward_place.c - LISTEN and TARGET: what the two addresses of forward mean
 *
 * tcp: and unix: are plain sockets, and here it is known how to listen at one and how
 * to connect to one. Anything else is an address of the library's.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "forward.h"
#include "say.h"

/* Linux 6.16; a few architectures number their socket options otherwise. */
#if !defined(SO_PASSRIGHTS) && !defined(__sparc__) && !defined(__hppa__)
#define SO_PASSRIGHTS 83
#endif

enum { BACKLOG = 4096 };

static bool begins(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

/* "HOST:PORT" or "[HOST]:PORT" into its parts. Return: whether it is that. */
static bool split(const char *text, char *host, size_t size, const char **port)
{
	const char *colon = strrchr(text, ':'), *end = colon;

	if (!colon)
		return false;
	if (*text == '[') {
		text++;
		end--;
		if (end < text || *end != ']')
			return false;
	} else if (memchr(text, ':', colon - text)) {
		return false;
	}
	if (end == text || (size_t)(end - text) >= size)
		return false;
	memcpy(host, text, end - text);
	host[end - text] = '\0';
	*port = colon + 1;
	return true;
}

static bool is_port(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	return *text >= '0' && *text <= '9' && !*end && port <= 65535;
}

static int read_tcp(struct forward_place *place, const char *text)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *at;
	const char *port;
	char host[256];
	int error;

	if (!split(text, host, sizeof(host), &port) || !is_port(port))
		return say_usage("forward", "tcp:HOST:PORT is wanted, with a number for PORT",
				 "take '%s'", place->text);
	error = getaddrinfo(host, port, &hints, &list);
	if (error) {
		return say_cannot(error == EAI_SYSTEM ? errno : ENOENT,
				  error == EAI_SYSTEM ? NULL : gai_strerror(error),
				  "look up '%s'", host);
	}
	for (at = list; at && place->nr < FORWARD_ADDRS; at = at->ai_next) {
		if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
			continue;
		memcpy(&place->addrs[place->nr], at->ai_addr, at->ai_addrlen);
		place->lens[place->nr++] = at->ai_addrlen;
	}
	freeaddrinfo(list);
	return place->nr ? 0 : say_cannot(EAFNOSUPPORT, NULL, "use '%s'", place->text);
}

static int read_unix(struct forward_place *place, const char *path)
{
	struct sockaddr_un *un = &place->addrs[0].un;
	size_t len = strlen(path);

	if ((*path != '/' && *path != '@') || len < 2)
		return say_usage("forward", "unix:/PATH or unix:@NAME is wanted", "take '%s'",
				 place->text);
	if (len >= sizeof(un->sun_path))
		return say_cannot(ENAMETOOLONG, "a path has at most 107 bytes", "use '%s'",
				  place->text);
	un->sun_family = AF_UNIX;
	memcpy(un->sun_path, path, len + 1);
	place->lens[0] = offsetof(struct sockaddr_un, sun_path) + len + 1;
	if (*path == '@') {
		un->sun_path[0] = '\0';
		place->lens[0]--;
	}
	place->nr = 1;
	return 0;
}

int forward_place_read(struct forward_place *place, const char *text)
{
	*place = (struct forward_place){ .text = text };
	if (begins(text, "tcp:")) {
		place->kind = PLACE_TCP;
		return read_tcp(place, text + 4);
	}
	if (begins(text, "unix:")) {
		place->kind = PLACE_UNIX;
		return read_unix(place, text + 5);
	}
	place->kind = PLACE_SESSION;
	place->is_only = begins(text, "exec:") || begins(text, "stdio:") || begins(text, "fd:");
	return 0;
}

static bool has_path(const struct forward_place *place)
{
	return place->kind == PLACE_UNIX && place->addrs[0].un.sun_path[0];
}

static in_port_t *port_of(union forward_sockaddr *addr)
{
	return addr->any.sa_family == AF_INET6 ? &addr->in6.sin6_port : &addr->in.sin_port;
}

/* Is a socket in the file system what a killed process has left? */
static bool is_left_over(const struct forward_place *place)
{
	struct stat st;
	int fd, error;

	if (!has_path(place) || lstat(place->addrs[0].un.sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	error = connect(fd, &place->addrs[0].any, place->lens[0]) ? errno : 0;
	close(fd);
	return error == ECONNREFUSED;
}

static int bind_socket(const struct forward_place *place, int fd, int i, bool any_user)
{
	mode_t before = umask(any_user ? 0111 : 0177);
	int error = bind(fd, &place->addrs[i].any, place->lens[i]) ? errno : 0;

	if (error == EADDRINUSE && is_left_over(place)) {
		unlink(place->addrs[i].un.sun_path);
		error = bind(fd, &place->addrs[i].any, place->lens[i]) ? errno : 0;
	}
	umask(before);
	return -error;
}

/*
 * A descriptor that is sent along and dropped is closed by who drops it, and the last
 * close of a socket that lingers takes long. Where the kernel can, none come, neither to
 * this socket nor to those that are accepted from it.
 */
static void forbid_descriptors(int fd)
{
#ifdef SO_PASSRIGHTS
	const int no = 0;

	setsockopt(fd, SOL_SOCKET, SO_PASSRIGHTS, &no, sizeof(no));
#else
	(void)fd;
#endif
}

static int listen_at(struct forward_place *place, int i, bool any_user)
{
	union forward_sockaddr *addr = &place->addrs[i];
	const int yes = 1;
	socklen_t len = sizeof(*addr);
	int fd, error;

	fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (addr->any.sa_family == AF_UNIX)
		forbid_descriptors(fd);
	else
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (addr->any.sa_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes));
	error = bind_socket(place, fd, i, any_user);
	if (!error && listen(fd, BACKLOG))
		error = -errno;
	if (!error && place->kind == PLACE_TCP && getsockname(fd, &addr->any, &len))
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

int forward_place_listen(struct forward_place *place, bool any_user, int fds[FORWARD_ADDRS])
{
	int i, fd;

	for (i = 0; i < place->nr; i++) {
		/* The same port everywhere. */
		if (i && !*port_of(&place->addrs[i]))
			*port_of(&place->addrs[i]) = *port_of(&place->addrs[0]);
		fd = listen_at(place, i, any_user);
		if (fd < 0) {
			while (i--)
				close(fds[i]);
			return fd;
		}
		fds[i] = fd;
	}
	return place->nr;
}

void forward_place_unlink(const struct forward_place *place)
{
	if (has_path(place))
		unlink(place->addrs[0].un.sun_path);
}

int forward_place_connect(const struct forward_place *place, int i)
{
	const union forward_sockaddr *addr = &place->addrs[i];
	const int yes = 1;
	int fd, error;

	fd = socket(addr->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (place->kind == PLACE_TCP)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	else
		forbid_descriptors(fd);
	if (!connect(fd, &addr->any, place->lens[i]) || errno == EINPROGRESS)
		return fd;
	error = errno;
	close(fd);
	return -error;
}

static void say_unix_peer(int fd, char *buf, size_t size)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len))
		snprintf(buf, size, "unix:");
	else
		snprintf(buf, size, "pid:%ld", (long)cred.pid);
}

void forward_place_say_peer(int fd, char *buf, size_t size)
{
	union forward_sockaddr addr = { 0 };
	socklen_t len = sizeof(addr);
	char host[64], port[16];

	if (getpeername(fd, &addr.any, &len)) {
		snprintf(buf, size, "nobody any more");
	} else if (addr.any.sa_family == AF_UNIX) {
		say_unix_peer(fd, buf, size);
	} else if (getnameinfo(&addr.any, len, host, sizeof(host), port, sizeof(port),
			       NI_NUMERICHOST | NI_NUMERICSERV)) {
		snprintf(buf, size, "somebody");
	} else {
		snprintf(buf, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
	}
}
