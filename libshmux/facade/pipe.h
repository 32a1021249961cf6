/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * pipe.h - one end of a pipe, whichever kind, as pipe.c hands it calls
 *
 * A kind embeds struct shmux_pipe in its end. What comes to the operations has
 * been checked: flags, sizes, and that the end is the right one.
 */
#ifndef SHMUX_FACADE_PIPE_H
#define SHMUX_FACADE_PIPE_H

#include <stdbool.h>
#include <string.h>

#include <shmux/pipe.h>

#define SHMUX_PIPE_BUFFER_MAX (1u << 30)

/* Errors that can be given to the other side are above this. */
#define SHMUX_PIPE_ERROR_MAX 4095

struct shmux__cursor;

struct shmux__pipe_ops {
	ssize_t (*send)(struct shmux_pipe *p, struct shmux__cursor *from,
			unsigned int flags);
	ssize_t (*recv)(struct shmux_pipe *p, struct shmux__cursor *to,
			unsigned int flags);
	int (*shutdown)(struct shmux_pipe *p, int error, unsigned int flags);
	int (*error)(struct shmux_pipe *p, int *error);
	void (*close)(struct shmux_pipe *p);
	int (*set_deadline)(struct shmux_pipe *p, uint64_t deadline);
	void (*unblock)(struct shmux_pipe *p);
	int (*fd)(struct shmux_pipe *p);
};

struct shmux_pipe {
	const struct shmux__pipe_ops *ops;
	bool reader;			/* constant */
};

/* pipe_local.c */
int shmux__pipe_local(uint32_t buffer, struct shmux_pipe **reader,
		      struct shmux_pipe **writer);
/* pipe_stream.c; does not close @st where it fails */
int shmux__pipe_stream(struct shmux_stream *st, bool reader, uint32_t buffer,
		       struct shmux_pipe **pipe);

/* A caller's list of buffers, and how far we are in it. */
struct shmux__cursor {
	const struct iovec *iov;
	size_t pos;			/* in the first of @iov */
	size_t left;			/* in all */
};

/* The next contiguous bytes, at most @most of them. @left is not 0. */
static inline char *shmux__cursor_at(struct shmux__cursor *c, size_t most,
				     size_t *len)
{
	while (c->pos == c->iov->iov_len) {
		c->iov++;
		c->pos = 0;
	}
	*len = c->iov->iov_len - c->pos;
	if (*len > most)
		*len = most;
	return (char *)c->iov->iov_base + c->pos;
}

/* As far as one shmux__cursor_at() reaches. */
static inline void shmux__cursor_skip(struct shmux__cursor *c, size_t n)
{
	c->pos += n;
	c->left -= n;
}

static inline void shmux__cursor_read(struct shmux__cursor *c, void *dst,
				      size_t n)
{
	const char *at;
	size_t len;

	while (n) {
		at = shmux__cursor_at(c, n, &len);
		memcpy(dst, at, len);
		shmux__cursor_skip(c, len);
		dst = (char *)dst + len;
		n -= len;
	}
}

static inline void shmux__cursor_write(struct shmux__cursor *c, const void *src,
				       size_t n)
{
	char *at;
	size_t len;

	while (n) {
		at = shmux__cursor_at(c, n, &len);
		memcpy(at, src, len);
		shmux__cursor_skip(c, len);
		src = (const char *)src + len;
		n -= len;
	}
}

#endif /* SHMUX_FACADE_PIPE_H */
