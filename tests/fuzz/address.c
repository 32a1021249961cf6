// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * address.c - fuzzes the grammar of addresses
 * PROVES: an_address_that_is_taken_says_the_same_when_read_again
 *
 * The input is an address's text. One that is taken says the same when it is
 * read again, and names a socket that the kernel would take for the same.
 */
#include <errno.h>

#include "core/address.h"

#include "fuzz.h"

static void check(const char *text, const struct shmux__address *a)
{
	struct shmux__address again;
	size_t len = strnlen(a->text, sizeof(a->text)), path_len;

	HOLD(len < sizeof(a->text) && len >= strlen(text));
	HOLD(!strcmp(a->text + len - strlen(text), text));
	HOLD(!shmux__address_parse(a->text, &again));
	HOLD(!memcmp(a, &again, sizeof(again)));

	HOLD(a->sun.sun_family == AF_UNIX && a->sun_len <= sizeof(a->sun));
	HOLD(a->sun_len > offsetof(struct sockaddr_un, sun_path) + 1);
	path_len = a->sun_len - offsetof(struct sockaddr_un, sun_path);
	if (a->sun.sun_path[0]) {
		/* A path: absolute, and with its end. */
		HOLD(a->sun.sun_path[0] == '/' && a->sun.sun_path[path_len - 2] != '/');
		HOLD(strnlen(a->sun.sun_path, path_len) == path_len - 1);
	} else {
		HOLD(!memchr(a->sun.sun_path + 1, '\0', path_len - 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct shmux__address address;
	char *text = malloc(size + 1);
	int err;

	HOLD(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	err = shmux__address_parse(text, &address);
	HOLD(!err || err == -EINVAL || err == -ENAMETOOLONG);
	if (!err)
		check(text, &address);
	free(text);
	return 0;
}
