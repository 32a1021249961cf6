/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_SAMPLE_H
#define SHMUX_TOOLS_SAMPLE_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SAMPLE_SIZE_MIN ((uint64_t)30 * 1000 * 1000)	/* bytes, below it is repeated */
#define SAMPLE_SIZE_MAX ((uint64_t)1 << 30)

/* A real file, @times over. */
struct sample {
	char path[PATH_MAX];
	int fd;				/* -1 until opened */
	uint64_t size;			/* of the file */
	unsigned int times;
	uint64_t len;			/* @size * @times */
};

/* A large file of this machine. Return: 0; -ENOENT. */
int sample_find(struct sample *s);

/* @path, for reading. Return: 0; -EFBIG beyond SAMPLE_SIZE_MAX; or open()'s. */
int sample_open(struct sample *s, const char *path);

/*
 * Straight from the file, up to @len bytes at @offset of the sample; fewer
 * where the file begins anew. Return: bytes, or -errno.
 */
ssize_t sample_read(const struct sample *s, void *buf, size_t len, uint64_t offset);

/* All of it, in fresh memory that stays. Return: 0 or -errno. */
int sample_load(const struct sample *s, void **data);

#endif /* SHMUX_TOOLS_SAMPLE_H */
