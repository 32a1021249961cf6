/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * multipart_naive.h - the upload proxy's parser beside one that has all at hand
 *
 * What the parser says is noted: of each part its head, its data, and that it ended.
 * The naive one looks for delimiters in the whole body and nothing else, so it says
 * what the data of a body is which the parser has found to be right.
 */
#ifndef TESTS_MULTIPART_NAIVE_H
#define TESTS_MULTIPART_NAIVE_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../examples/upload-proxy/multipart.h"

struct notes {
	char *all, *data; /* what was said; the bytes of the parts alone */
	size_t all_len, data_len, size;
	int nr_begun, nr_ended, nr_data;
};

static inline void notes_init(struct notes *n, size_t size)
{
	memset(n, 0, sizeof(*n));
	n->size = 4096 + 16 * size;
	n->all = malloc(n->size);
	n->data = malloc(n->size);
}

static inline void notes_free(struct notes *n)
{
	free(n->all);
	free(n->data);
}

static inline void note(struct notes *n, const void *what, size_t len)
{
	if (len > n->size - n->all_len)
		abort();
	memcpy(n->all + n->all_len, what, len);
	n->all_len += len;
}

static inline int note_begin(void *arg, const struct multipart_part *part)
{
	struct notes *n = arg;

	n->nr_begun++;
	note(n, part->name, strlen(part->name) + 1);
	note(n, part->filename, strlen(part->filename) + 1);
	note(n, part->type, strlen(part->type) + 1);
	note(n, part->is_file ? "file" : "text", 4);
	return 0;
}

static inline int note_data(void *arg, const char *data, size_t len)
{
	struct notes *n = arg;

	if (!len || n->nr_begun != n->nr_ended + 1)
		abort();
	n->nr_data++;
	note(n, data, len);
	memcpy(n->data + n->data_len, data, len);
	n->data_len += len;
	return 0;
}

static inline int note_end(void *arg)
{
	struct notes *n = arg;

	note(n, "end", 3);
	return ++n->nr_ended == n->nr_begun ? 0 : -EINVAL;
}

/*
 * Parse @body, in pieces that end where the numbers of @splits say, in order, SIZE_MAX
 * being the last. Return: as multipart_feed() and multipart_end().
 */
static inline int parse(const char *body, size_t len, const char *boundary, size_t boundary_len,
			const size_t *splits, struct notes *n)
{
	static const struct multipart_calls calls = { note_begin, note_data, note_end };
	struct multipart m;
	size_t at = 0, to;
	int err = 0;

	notes_init(n, len);
	multipart_init(&m, boundary, boundary_len, &calls, n);
	while (!err && at < len) {
		to = *splits < len ? *splits++ : len;
		if (to > at) {
			/* A copy, so that a sanitizer sees who looks beyond it. */
			char *piece = malloc(to - at);

			memcpy(piece, body + at, to - at);
			err = multipart_feed(&m, piece, to - at);
			free(piece);
			at = to;
		}
	}
	return err ? err : multipart_end(&m);
}

/* The data of all parts of a body that is right. Return: its length; -1: it is not. */
static inline long naive(const char *body, size_t len, const char *boundary, size_t boundary_len,
			 char *data)
{
	size_t size = len + 2, delimiter_len = boundary_len + 4, n;
	char *all = malloc(size), *delimiter = malloc(delimiter_len), *at, *end;
	long data_len = -1, sum = 0;

	memcpy(all, "\r\n", 2);
	memcpy(all + 2, body, len);
	memcpy(delimiter, "\r\n--", 4);
	memcpy(delimiter + 4, boundary, boundary_len);
	end = all + size;
	at = memmem(all, size, delimiter, delimiter_len);
	while (at) {
		at += delimiter_len;
		if (end - at >= 2 && !memcmp(at, "--", 2)) {
			data_len = sum;
			break;
		}
		/* Blanks, a line's end, a head, which an empty line ends. */
		at = memmem(at, (size_t)(end - at), "\r\n", 2);
		if (at)
			at = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
		if (!at)
			break;
		at += 2;
		end = all + size;
		{
			char *next = memmem(at, (size_t)(end - at), delimiter, delimiter_len);

			if (!next)
				break;
			if (next > at) {
				n = (size_t)(next - at) - 2;
				memcpy(data + sum, at + 2, n);
				sum += (long)n;
			}
			at = next;
		}
	}
	free(all);
	free(delimiter);
	return data_len;
}

#endif /* TESTS_MULTIPART_NAIVE_H */
