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

#include <shmux/common.h>

/*
 * @text is the same for all ways to write one address: "memfd:NAME" also where
 * NAME was given. Two addresses are equal if their texts are.
 */
struct shmux__address {
	char text[SHMUX_ADDRESS_MAX];
	struct sockaddr_un sun;
	socklen_t sun_len;
};

/*
 * Return: 0; -EINVAL: not an address; -ENAMETOOLONG: it would be one, were it
 * shorter. @address is then undefined.
 */
int shmux__address_parse(const char *text, struct shmux__address *address);

#endif /* SHMUX_CORE_ADDRESS_H */
