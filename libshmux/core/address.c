// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * address.c - from an address as people write it to the kernel's
 *
 * Owns the grammar and the names that shmux takes in the kernel: the module's
 * "NAME", an abstract AF_UNIX name "shmux/NAME", or a path as it is. Looks
 * nothing up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/address.h"
#include "core/words.h"

#define KMOD "kmod:"
#define MEMFD "memfd:"
#define YAMUX_UNIX "yamux+unix:"
#define YAMUX_TCP "yamux+tcp:"
#define STDIO "stdio:"
#define FD "fd:"
#define EXEC "exec:"
#define ABSTRACT_PREFIX "shmux/"

_Static_assert(SHMUX_NAME_MAX < SHMUX_NAME_SIZE, "a name ends with a NUL");
_Static_assert(sizeof(YAMUX_UNIX) + sizeof(((struct sockaddr_un *)0)->sun_path) <=
		       SHMUX_ADDRESS_MAX,
	       "the longest path fits into the text");

/* Whatever the locale. */
static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("._-+@", c));
}

/* Return: 0 if @text is a name, whole. */
static int check_name(const char *text)
{
	size_t len = 0;

	while (is_name_char(text[len]))
		len++;
	if (len == 0 || text[len])
		return -EINVAL;
	return len > SHMUX_NAME_MAX ? -ENAMETOOLONG : 0;
}

static void stand_for_kmod(struct shmux__address *address, const char *name)
{
	snprintf(address->kmod, sizeof(address->kmod), KMOD "%s", name);
	snprintf(address->name, sizeof(address->name), "%s", name);
}

static void stand_for_memfd(struct shmux__address *address, const char *name)
{
	struct sockaddr_un *sun = &address->sun;
	size_t len = strlen(name);

	snprintf(address->memfd, sizeof(address->memfd), MEMFD "%s", name);
	/* A leading NUL makes it abstract; its length ends it, not a NUL. */
	memcpy(sun->sun_path + 1, ABSTRACT_PREFIX, strlen(ABSTRACT_PREFIX));
	memcpy(sun->sun_path + 1 + strlen(ABSTRACT_PREFIX), name, len);
	address->sun_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				       strlen(ABSTRACT_PREFIX) + len);
}

static int parse_path(const char *path, struct shmux__address *address)
{
	struct sockaddr_un *sun = &address->sun;
	size_t len = strnlen(path, sizeof(sun->sun_path));

	if (path[0] != '/')
		return -EINVAL;
	if (len == sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	if (path[len - 1] == '/')
		return -EINVAL;		/* a directory */

	memcpy(sun->sun_path, path, len + 1);
	address->sun_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       len + 1);
	return 0;
}

/*
 * A number as people write it, and as printf would: no sign, no zero before it.
 * Return: what follows it in @text, or NULL if there is none up to @max.
 */
static const char *parse_number(const char *text, int max, int *number)
{
	const char *at = text;
	int64_t n = 0;

	while (*at >= '0' && *at <= '9' && n <= max)
		n = n * 10 + (*at++ - '0');
	if (at == text || n > max || (text[0] == '0' && at - text > 1))
		return NULL;
	*number = (int)n;
	return at;
}

static bool is_host_char(char c)
{
	return is_name_char(c) && c != '+' && c != '@';
}

/* An address of IPv6's, perhaps with a zone behind it. */
static bool is_inet6(const char *host)
{
	const char *zone = strchr(host, '%');
	size_t len = zone ? (size_t)(zone - host) : strlen(host);
	char text[INET6_ADDRSTRLEN];
	struct in6_addr addr;

	if (len >= sizeof(text))
		return false;
	memcpy(text, host, len);
	text[len] = 0;
	if (inet_pton(AF_INET6, text, &addr) != 1)
		return false;
	while (zone && is_host_char(zone[1]))
		zone++;
	return !zone || (zone[0] != '%' && !zone[1]);
}

static int parse_tcp(const char *text, struct shmux__address *address)
{
	bool brackets = text[0] == '[';
	const char *host = text + brackets, *at = host;
	int port;
	size_t len;

	if (brackets)
		at += strcspn(at, "]");
	else
		while (is_host_char(*at))
			at++;
	len = (size_t)(at - host);
	if (len > SHMUX_HOST_MAX)
		return -ENAMETOOLONG;
	memcpy(address->host, host, len);
	if (brackets && (*at++ != ']' || !is_inet6(address->host)))
		return -EINVAL;
	if (*at != ':')
		return -EINVAL;
	at = parse_number(at + 1, UINT16_MAX, &port);
	if (!at || *at)
		return -EINVAL;
	address->port = (uint16_t)port;
	return 0;
}

static int parse_fd(const char *text, struct shmux__address *address)
{
	const char *at = parse_number(text, INT_MAX, &address->in);

	address->out = address->in;
	if (at && *at == ',')
		at = parse_number(at + 1, INT_MAX, &address->out);
	return at && !*at ? 0 : -EINVAL;
}

static int parse_exec(const char *text, struct shmux__address *address)
{
	if (strlen(EXEC) + strlen(text) >= SHMUX_ADDRESS_LONG_MAX)
		return -ENAMETOOLONG;
	address->command = text;
	return shmux__words_cut(text, NULL) > 0 ? 0 : -EINVAL;
}

static int parse_stdio(const char *text, struct shmux__address *address)
{
	(void)address;
	return *text ? -EINVAL : 0;
}

/* What follows @scheme in @text, or NULL. */
static const char *after(const char *text, const char *scheme)
{
	size_t len = strlen(scheme);

	return strncmp(text, scheme, len) ? NULL : text + len;
}

static int parse_memory(const char *text, struct shmux__address *address)
{
	const char *kmod = after(text, KMOD), *memfd = after(text, MEMFD);
	const char *name = kmod ? kmod : memfd ? memfd : text;
	int err;

	if (memfd && memfd[0] == '/') {
		err = parse_path(memfd, address);
		if (!err)
			snprintf(address->memfd, sizeof(address->memfd),
				 MEMFD "%s", memfd);
		return err;
	}
	err = check_name(name);
	if (err)
		return err;
	if (!memfd)
		stand_for_kmod(address, name);
	if (!kmod)
		stand_for_memfd(address, name);
	return 0;
}

static const struct scheme {
	const char *name;
	enum shmux__address_kind kind;
	int (*parse)(const char *rest, struct shmux__address *address);
} schemes[] = {
	{ YAMUX_UNIX, SHMUX_ADDRESS_UNIX, parse_path },
	{ YAMUX_TCP, SHMUX_ADDRESS_TCP, parse_tcp },
	{ STDIO, SHMUX_ADDRESS_STDIO, parse_stdio },
	{ FD, SHMUX_ADDRESS_FD, parse_fd },
	{ EXEC, SHMUX_ADDRESS_EXEC, parse_exec },
	/* By itself, or one of two that it looks for. */
	{ "", SHMUX_ADDRESS_MEMORY, parse_memory },
};

int shmux__address_parse(const char *text, struct shmux__address *address)
{
	const struct scheme *s = schemes;
	const char *rest;

	if (!text)
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	address->text = text;
	address->sun.sun_family = AF_UNIX;
	while (!(rest = after(text, s->name)))
		s++;
	address->kind = s->kind;
	return s->parse(rest, address);
}
