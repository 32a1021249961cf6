/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * address.h - what an address says, as text and as the kernel wants it
 *
 * The grammar is in shmux/listener.h.
 */
#ifndef SHMUX_CORE_ADDRESS_H
#define SHMUX_CORE_ADDRESS_H

#include <sys/socket.h>
#include <sys/un.h>

#include <linux/shmux.h>
#include <shmux/common.h>

/*
 * @text is as it was given: there is one way to write each. A plain NAME stands
 * for @kmod and @memfd, any other for one of the two, which it is equal to; the
 * other is empty.
 */
struct shmux__address {
	char text[SHMUX_ADDRESS_MAX];

	char kmod[SHMUX_ADDRESS_MAX];	/* "kmod:NAME" */
	char name[SHMUX_NAME_SIZE];

	char memfd[SHMUX_ADDRESS_MAX];	/* "memfd:NAME" or "memfd:/path" */
	struct sockaddr_un sun;
	socklen_t sun_len;
};

/*
 * Return: 0; -EINVAL: not an address; -ENAMETOOLONG: it would be one, were it
 * shorter. @address is then undefined.
 */
int shmux__address_parse(const char *text, struct shmux__address *address);

#endif /* SHMUX_CORE_ADDRESS_H */
