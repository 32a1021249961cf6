// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * address.c - fuzzes the grammar of addresses
 * PROVES: an_address_that_is_taken_says_the_same_when_read_again
 *
 * The input is an address's text. One that is taken says the same when it is
 * read again, and names a socket that the kernel would take for the same, a name
 * that the module would take, or both.
 */
#include <errno.h>

#include "core/address.h"

#include "fuzz.h"

/* What is after the scheme, if there is one. */
static const char *name_in(const char *text)
{
	const char *colon = strchr(text, ':');

	return colon ? colon + 1 : text;
}

static void check_socket(const struct shmux__address *a)
{
	size_t path_len;

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

static void check(const char *text, const struct shmux__address *a)
{
	struct shmux__address again;

	HOLD(!strcmp(a->text, text));
	HOLD(!shmux__address_parse(a->text, &again));
	HOLD(!memcmp(a, &again, sizeof(again)));

	HOLD(a->kmod[0] || a->memfd[0]);
	if (a->kmod[0]) {
		HOLD(!strncmp(a->kmod, "kmod:", 5) && !strcmp(a->kmod + 5, a->name));
		HOLD(!strcmp(name_in(text), a->name));
		HOLD(a->name[0] && strlen(a->name) <= SHMUX_NAME_MAX);
	}
	if (a->memfd[0]) {
		HOLD(!strncmp(a->memfd, "memfd:", 6) && !strcmp(a->memfd + 6, name_in(text)));
		check_socket(a);
	}
	/* A scheme insists. */
	HOLD(strncmp(text, "kmod:", 5) || !a->memfd[0]);
	HOLD(strncmp(text, "memfd:", 6) || !a->kmod[0]);
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
