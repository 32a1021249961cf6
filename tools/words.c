// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * words.c - the words for what the kernel module limits
 */
#include "words.h"

#include <inttypes.h>

const char *const words_scopes[SHMUX_NR_SCOPES] = { "user", "net", "total" };
const char *const words_resources[SHMUX_NR_RESOURCES] = { "listeners", "sessions", "bytes" };

void words_write_max(FILE *out, uint64_t max)
{
	if (max == UINT64_MAX)
		fprintf(out, ", \"max\": null");
	else
		fprintf(out, ", \"max\": %" PRIu64, max);
}

const char *words_lack(int error, const char *more)
{
	static char text[200];
	const char *why = module_reason(error);

	if (!why)
		return NULL;
	snprintf(text, sizeof(text), "%s, and over memfd there are none%s", why, more);
	return text;
}
