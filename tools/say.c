// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * say.c - the one sentence that every failure gets
 *
 * Every subcommand reports through here, so that a person gets one line and a
 * script can look for the errno's name at its end.
 */
#include "say.h"

#include <errno.h>
#include <linux/shmux_ring.h>
#include <shmux/stream.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

static void say(int error, const char *reason, const char *hint, const char *what, va_list args)
{
	const char *name;
	char text[400];
	int len;

	error = abs(error);
	name = strerrorname_np(error);
	len = vsnprintf(text, sizeof(text), what, args);
	if (len >= (int)sizeof(text))
		strcpy(text + sizeof(text) - 4, "...");
	text_make_printable(text);
	fflush(stdout);
	fprintf(stderr, "shmux: cannot %s: %s%s%s (%s)\n", text, reason ? reason : strerror(error),
		hint ? "; see shmux" : "", hint ? hint : "", name ? name : "an unknown errno");
}

int say_cannot(int error, const char *reason, const char *what, ...)
{
	va_list args;

	va_start(args, what);
	say(error, reason, NULL, what, args);
	va_end(args);
	return SAY_FAILED;
}

int say_usage(const char *command, const char *reason, const char *what, ...)
{
	char hint[64];
	va_list args;

	snprintf(hint, sizeof(hint), "%s%s --help", command ? " " : "", command ? command : "");
	va_start(args, what);
	say(EINVAL, reason, hint, what, args);
	va_end(args);
	return SAY_USAGE;
}

static const char *reset_reason(uint32_t code)
{
	switch (code) {
	case SHMUX_CODE_REFUSED:
		return "the peer accepts no streams";
	case SHMUX_CODE_BACKLOG:
		return "too many streams wait to be accepted there";
	case SHMUX_CODE_LIMIT:
		return "the peer has too many streams open";
	case SHMUX_CODE_GOING_AWAY:
		return "the peer is going away";
	case SHMUX_CODE_ABANDONED:
		return "the peer has died or closed the session";
	default:
		return "the peer has given the stream up";
	}
}

const char *say_stream_reason(struct shmux_stream *st, int error)
{
	uint32_t code;

	switch (abs(error)) {
	case EPIPE:
		return "the peer reads no more";
	case EPROTO:
		return "the peer broke the protocol";
	case ECONNRESET:
		if (!shmux_stream_reset_code(st, &code))
			return reset_reason(code);
		return "the peer has died or closed the session";
	default:
		return NULL;
	}
}

const char *say_address_reason(int error)
{
	switch (abs(error)) {
	case ECONNREFUSED:
	case ENOENT:
		return "nobody listens there";
	case EADDRINUSE:
		return "somebody listens there already";
	case EACCES:
		return "one side does not admit the other's user";
	case EINVAL:
		return "this is neither a NAME of letters, digits and ._-+@, nor kmod:NAME, nor "
		       "memfd:NAME, nor memfd:/PATH";
	case ENODEV:
		return "the kernel module is not loaded";
	case EDQUOT:
		return "a quota of the kernel module is spent, here or there";
	case ENAMETOOLONG:
		return "a NAME has at most 64 bytes, a path 107";
	case EMFILE:
		return "too many files are open, here or there";
	case ETIMEDOUT:
		return "nobody was there in time";
	case ECONNRESET:
		return "the peer died or hung up meanwhile";
	default:
		return NULL;
	}
}
