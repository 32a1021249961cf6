/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * multipart.h - takes multipart/form-data (RFC 7578) apart as it comes
 *
 * Bytes are pushed in, in pieces of any size, and come out by callbacks without
 * having been kept: a file of any length costs the parser nothing. What it keeps is
 * the boundary and the head of one part.
 */
#ifndef MULTIPART_H
#define MULTIPART_H

#include <stddef.h>

#define MULTIPART_BOUNDARY_MAX 70 /* RFC 2046 */
#define MULTIPART_HEAD_MAX 4096

/* What a part's head says; empty what it does not. */
struct multipart_part {
	char name[256];
	char filename[256];
	char type[128];
	int is_file; /* it has a filename, if an empty one */
};

/* Return 0 to go on; anything else ends multipart_feed(), which returns it. */
struct multipart_calls {
	int (*begin)(void *arg, const struct multipart_part *part);
	int (*data)(void *arg, const char *data, size_t len);
	int (*end)(void *arg);
};

enum multipart_state {
	MULTIPART_PREAMBLE,
	MULTIPART_BOUNDARY, /* behind one: what comes now? */
	MULTIPART_DASH, /* behind one dash of the two that say that it is the last */
	MULTIPART_PADDING,
	MULTIPART_LF, /* of the boundary's line */
	MULTIPART_HEAD,
	MULTIPART_DATA,
	MULTIPART_EPILOGUE,
	MULTIPART_WRONG,
};

struct multipart {
	const struct multipart_calls *calls;
	void *arg;
	enum multipart_state state;
	char delimiter[4 + MULTIPART_BOUNDARY_MAX]; /* CR LF -- boundary */
	size_t delimiter_len;
	size_t matched; /* of the delimiter, by what has come last */
	size_t unreal; /* of that, what is not the part's: it stood before it */
	char head[MULTIPART_HEAD_MAX];
	size_t head_len;
	struct multipart_part part;
};

/*
 * Find the boundary in the value of a Content-Type. Return: its length, copied to
 * @boundary, which has MULTIPART_BOUNDARY_MAX bytes; or -1: it is not
 * multipart/form-data, or has none that can be.
 */
int multipart_boundary(const char *content_type, char *boundary);

void multipart_init(struct multipart *m, const char *boundary, size_t len,
		    const struct multipart_calls *calls, void *arg);

/* Return: 0; -EBADMSG: that is no multipart/form-data; or what a callback returned. */
int multipart_feed(struct multipart *m, const char *data, size_t len);

/* No more comes. Return: 0, or -EBADMSG: the last boundary has not been there. */
int multipart_end(const struct multipart *m);

#endif /* MULTIPART_H */
