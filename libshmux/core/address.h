/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * address.h - what an address says, as text and as the kernel wants it
 *
 * The grammar is in shmux/listener.h.
 */
#ifndef SHMUX_CORE_ADDRESS_H
#define SHMUX_CORE_ADDRESS_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <linux/shmux.h>
#include <shmux/common.h>

enum shmux__address_kind {
	SHMUX_ADDRESS_MEMORY,	/* a name, or memfd's path */
	SHMUX_ADDRESS_UNIX,
	SHMUX_ADDRESS_TCP,
	SHMUX_ADDRESS_STDIO,
	SHMUX_ADDRESS_FD,
	SHMUX_ADDRESS_EXEC,
};

#define SHMUX_HOST_MAX 253

/*
 * @text is as it was given, and the giver's: there is one way to write each. A
 * plain NAME stands for @kmod and @memfd, any other of shared memory for one of
 * the two, which it is equal to; the other is empty.
 */
struct shmux__address {
	const char *text;
	enum shmux__address_kind kind;

	/* MEMORY. */
	char kmod[SHMUX_ADDRESS_MAX];	/* "kmod:NAME" */
	char name[SHMUX_NAME_SIZE];
	char memfd[SHMUX_ADDRESS_MAX];	/* "memfd:NAME" or "memfd:/path" */

	/* Of @memfd; UNIX. */
	struct sockaddr_un sun;
	socklen_t sun_len;

	/* TCP. */
	char host[SHMUX_HOST_MAX + 1];	/* without brackets; may be empty */
	uint16_t port;

	/* FD; may be the same. */
	int in, out;

	/* EXEC: what words.h cuts, in @text. */
	const char *command;
};

/*
 * Return: 0; -EINVAL: not an address; -ENAMETOOLONG: it would be one, were it
 * shorter. @address is then undefined.
 */
int shmux__address_parse(const char *text, struct shmux__address *address);

/* Does the kernel tell which user is there? */
static inline bool shmux__address_knows_user(const struct shmux__address *a)
{
	return a->kind == SHMUX_ADDRESS_MEMORY || a->kind == SHMUX_ADDRESS_UNIX;
}

/* Does it lead to one session, and then never again? */
static inline bool shmux__address_is_spent(const struct shmux__address *a)
{
	return a->kind == SHMUX_ADDRESS_STDIO || a->kind == SHMUX_ADDRESS_FD;
}

#endif /* SHMUX_CORE_ADDRESS_H */
