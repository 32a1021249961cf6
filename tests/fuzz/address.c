// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * address.c - fuzzes the grammar of addresses
 * PROVES: an_address_that_is_taken_says_the_same_when_read_again
 *
 * The input is an address's text. One that is taken says the same when it is
 * read again, and names a socket that the kernel would take for the same, a name
 * that the module would take, or both; or a host and a port, or descriptors, that
 * printed are the text; or words, which quoted make the same words.
 */
#include <errno.h>

#include "core/address.h"
#include "core/words.h"

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

static void check_memory(const char *text, const struct shmux__address *a)
{
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

static void check_port(const char *text, const struct shmux__address *a)
{
	bool brackets = strchr(a->host, ':');
	char printed[SHMUX_HOST_MAX + 32];

	HOLD(strnlen(a->host, sizeof(a->host)) <= SHMUX_HOST_MAX);
	snprintf(printed, sizeof(printed), "yamux+tcp:%s%s%s:%u", brackets ? "[" : "", a->host,
		 brackets ? "]" : "", a->port);
	HOLD(!strcmp(printed, text));
}

static void check_descriptors(const char *text, const struct shmux__address *a)
{
	char one[32], two[64];

	HOLD(a->in >= 0 && a->out >= 0);
	snprintf(one, sizeof(one), "fd:%d", a->in);
	snprintf(two, sizeof(two), "fd:%d,%d", a->in, a->out);
	HOLD(!strcmp(text, two) || (a->in == a->out && !strcmp(text, one)));
}

/* Each of its words in single quotes, but for those themselves. */
static void check_command(const struct shmux__address *a)
{
	size_t len = strlen(a->command), i, n = 0;
	char *words = malloc(len + 1), *again = malloc(5 * len + 8), *quoted = malloc(5 * len + 8);
	int nr = shmux__words_cut(a->command, words), w;
	const char *at = words;

	HOLD(nr > 0 && shmux__words_cut(a->command, NULL) == nr);
	for (w = 0; w < nr; w++, at++) {
		quoted[n++] = '\'';
		for (; *at; at++) {
			if (*at == '\'') {
				memcpy(quoted + n, "'\\''", 4);
				n += 4;
			} else {
				quoted[n++] = *at;
			}
		}
		quoted[n++] = '\'';
		quoted[n++] = ' ';
	}
	quoted[n] = 0;
	HOLD((size_t)(at - words) <= len + 1);
	HOLD(shmux__words_cut(quoted, again) == nr);
	for (i = 0; i < (size_t)(at - words); i++)
		HOLD(words[i] == again[i]);
	free(words);
	free(again);
	free(quoted);
}

static void check(const char *text, const struct shmux__address *a)
{
	struct shmux__address again;

	HOLD(a->text == text && strlen(text) < SHMUX_ADDRESS_LONG_MAX);
	HOLD(!shmux__address_parse(text, &again));
	HOLD(!memcmp(a, &again, sizeof(again)));
	switch (a->kind) {
	case SHMUX_ADDRESS_MEMORY:
		check_memory(text, a);
		break;
	case SHMUX_ADDRESS_UNIX:
		HOLD(!strcmp(text + strlen("yamux+unix:"), a->sun.sun_path));
		HOLD(strlen(text) < SHMUX_ADDRESS_MAX);
		check_socket(a);
		break;
	case SHMUX_ADDRESS_TCP:
		check_port(text, a);
		break;
	case SHMUX_ADDRESS_FD:
		check_descriptors(text, a);
		break;
	case SHMUX_ADDRESS_EXEC:
		HOLD(a->command == text + strlen("exec:"));
		check_command(a);
		break;
	default:
		HOLD(a->kind == SHMUX_ADDRESS_STDIO && !strcmp(text, "stdio:"));
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
