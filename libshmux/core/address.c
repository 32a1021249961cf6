// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * address.c - from an address as people write it to a socket's
 *
 * Owns the grammar and the names that shmux takes in the kernel: an abstract
 * AF_UNIX name "shmux/NAME", or a path as it is. Looks nothing up.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/address.h"

#define SCHEME "memfd:"
#define ABSTRACT_PREFIX "shmux/"
#define NAME_LEN_MAX 64

_Static_assert(sizeof(SCHEME) + sizeof(((struct sockaddr_un *)0)->sun_path) <=
		       SHMUX_ADDRESS_MAX,
	       "the longest path fits into the text");

/* Whatever the locale. */
static bool is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (c >= '0' && c <= '9') || (c && strchr("._-+@", c));
}

static int parse_name(const char *name, struct shmux__address *address)
{
	struct sockaddr_un *sun = &address->sun;
	size_t len = 0;

	while (is_name_char(name[len]))
		len++;
	if (len == 0 || name[len])
		return -EINVAL;
	if (len > NAME_LEN_MAX)
		return -ENAMETOOLONG;

	/* A leading NUL makes it abstract; its length ends it, not a NUL. */
	sun->sun_path[0] = '\0';
	memcpy(sun->sun_path + 1, ABSTRACT_PREFIX, strlen(ABSTRACT_PREFIX));
	memcpy(sun->sun_path + 1 + strlen(ABSTRACT_PREFIX), name, len);
	address->sun_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				       strlen(ABSTRACT_PREFIX) + len);
	return 0;
}

static int parse_path(const char *path, struct shmux__address *address)
{
	struct sockaddr_un *sun = &address->sun;
	size_t len = strnlen(path, sizeof(sun->sun_path));

	if (len == sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	if (path[len - 1] == '/')
		return -EINVAL;		/* a directory */

	memcpy(sun->sun_path, path, len + 1);
	address->sun_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       len + 1);
	return 0;
}

int shmux__address_parse(const char *text, struct shmux__address *address)
{
	const char *rest = text;
	int err;

	if (!text)
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	address->sun.sun_family = AF_UNIX;

	if (!strncmp(text, SCHEME, strlen(SCHEME)))
		rest = text + strlen(SCHEME);
	if (rest != text && rest[0] == '/')
		err = parse_path(rest, address);
	else
		err = parse_name(rest, address);
	if (err)
		return err;

	snprintf(address->text, sizeof(address->text), "%s%s", SCHEME, rest);
	return 0;
}
