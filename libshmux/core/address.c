// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * address.c - from an address as people write it to the kernel's
 *
 * Owns the grammar and the names that shmux takes in the kernel: the module's
 * "NAME", an abstract AF_UNIX name "shmux/NAME", or a path as it is. Looks
 * nothing up.
 */
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/address.h"

#define KMOD "kmod:"
#define MEMFD "memfd:"
#define ABSTRACT_PREFIX "shmux/"

_Static_assert(SHMUX_NAME_MAX < SHMUX_NAME_SIZE, "a name ends with a NUL");
_Static_assert(sizeof(MEMFD) + sizeof(((struct sockaddr_un *)0)->sun_path) <=
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

	if (len == sizeof(sun->sun_path))
		return -ENAMETOOLONG;
	if (path[len - 1] == '/')
		return -EINVAL;		/* a directory */

	snprintf(address->memfd, sizeof(address->memfd), MEMFD "%s", path);
	memcpy(sun->sun_path, path, len + 1);
	address->sun_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       len + 1);
	return 0;
}

/* What follows @scheme in @text, or NULL. */
static const char *after(const char *text, const char *scheme)
{
	size_t len = strlen(scheme);

	return strncmp(text, scheme, len) ? NULL : text + len;
}

int shmux__address_parse(const char *text, struct shmux__address *address)
{
	const char *kmod, *memfd, *name;
	int err;

	if (!text)
		return -EINVAL;
	memset(address, 0, sizeof(*address));
	address->sun.sun_family = AF_UNIX;

	kmod = after(text, KMOD);
	memfd = after(text, MEMFD);
	name = kmod ? kmod : memfd ? memfd : text;
	err = memfd && memfd[0] == '/' ? parse_path(memfd, address) :
					 check_name(name);
	if (err)
		return err;
	if (!memfd)
		stand_for_kmod(address, name);
	if (!kmod && !address->memfd[0])
		stand_for_memfd(address, name);
	snprintf(address->text, sizeof(address->text), "%s", text);
	return 0;
}
