// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * upload-receiver.c - what upload-proxy passes uploads on to
 *
 *   upload-receiver ADDRESS [DIRECTORY]
 *   upload-receiver --file FILE
 *
 * It counts and hashes each file that comes, and writes it into the directory, under
 * its name with what is no letter or digit replaced. A file counts once its upload
 * has come to its proper end, and then has its name; one that has not leaves nothing
 * behind. For each there is a line on standard error:
 *
 *   stored NAME SIZE HASH
 *   lost NAME after SIZE: WHY
 *
 * With --file the size and the hash of a file are printed, to be compared. As
 * `exec:upload-receiver stdio:` it is a child of upload-proxy.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <pthread.h>
#include <shmux/shmux.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PIECE = 128 << 10
};

static const char *directory;

/* Not against an adversary, but quick: a multiplication for eight bytes. */
struct hash {
	uint64_t value, word;
	uint64_t len;
};

static void hash_add(struct hash *h, const void *data, size_t len)
{
	const unsigned char *at = data, *end = at + len;
	uint64_t word;

	while (at < end) {
		if (h->len % 8 == 0 && end - at >= 8) {
			memcpy(&word, at, 8);
			at += 8;
			h->len += 8;
		} else {
			h->word |= (uint64_t)*at++ << h->len++ % 8 * 8;
			if (h->len % 8)
				continue;
			word = h->word;
			h->word = 0;
		}
		h->value = (h->value ^ word) * UINT64_C(0x9e3779b97f4a7c15);
		h->value ^= h->value >> 29;
	}
}

static uint64_t hash_end(const struct hash *h)
{
	return ((h->value ^ h->word) * UINT64_C(0x9e3779b97f4a7c15)) ^ h->len;
}

/* Return: a descriptor of a file that has no name yet, or -errno; -1: none is asked for. */
static int open_file(char *name)
{
	char *c;
	int fd;

	for (c = name; *c; c++)
		if (!isalnum((unsigned char)*c) && (*c != '.' || c == name))
			*c = '_';
	if (!directory)
		return -1;
	fd = open(directory, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
	return fd < 0 ? -errno : fd;
}

static int write_all(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0)
			return -errno;
		data += n;
		len -= n;
	}
	return 0;
}

/* All of it is there: give it its name. */
static int store(int fd, const char *name)
{
	char from[64], to[4096];

	if (fd < 0)
		return 0;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	snprintf(to, sizeof(to), "%s/%s", directory, name);
	unlink(to);
	return linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) ? -errno : 0;
}

static const char *why(int err)
{
	const char *description = strerrordesc_np(-err);

	return description ? description : "an unknown error";
}

static void *receive(void *arg)
{
	char name[256] = "nothing", *buf = malloc(PIECE);
	struct hash hash = { 0 };
	struct shmux_pipe *pipe;
	int err, fd = -1;
	ssize_t n;

	err = shmux_pipe_attach(arg, SHMUX_READ, NULL, &pipe);
	if (err) {
		free(buf);
		return NULL;
	}
	if (!buf) {
		n = -ENOMEM;
		goto out;
	}
	/* A write each: the name, the content, an empty one, and another. */
	n = shmux_pipe_read(pipe, name, sizeof(name) - 1);
	if (n < 0)
		goto out;
	name[n] = '\0';
	fd = open_file(name);
	n = fd < -1 ? fd : 0;
	while (!n && (n = shmux_pipe_read(pipe, buf, PIECE)) > 0) {
		hash_add(&hash, buf, n);
		n = fd < 0 ? 0 : write_all(fd, buf, n);
	}
	if (n == 0)
		n = store(fd, name);
	/* It has been stored: reading the last one says so. */
	if (n == 0)
		n = shmux_pipe_read(pipe, buf, PIECE);
	if (n > 0)
		n = -EPROTO;
out:
	if (n == 0)
		fprintf(stderr, "stored %s %llu %016llx\n", name, (unsigned long long)hash.len,
			(unsigned long long)hash_end(&hash));
	else
		fprintf(stderr, "lost %s after %llu: %s\n", name, (unsigned long long)hash.len,
			why((int)n));
	if (n)
		shmux_pipe_shutdown(pipe, n == -ENODATA ? -EPROTO : (int)n, 0);
	shmux_pipe_close(pipe);
	if (fd >= 0)
		close(fd);
	free(buf);
	return NULL;
}

static int hash_file(const char *name)
{
	static char buf[PIECE];
	struct hash hash = { 0 };
	int fd = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		error(1, errno, "cannot open %s", name);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		hash_add(&hash, buf, n);
	if (n < 0)
		error(1, errno, "cannot read %s", name);
	printf("%llu %016llx\n", (unsigned long long)hash.len, (unsigned long long)hash_end(&hash));
	close(fd);
	return 0;
}

int main(int argc, char **argv)
{
	struct shmux_listener *l;
	struct shmux_stream *st;
	pthread_attr_t attr;
	pthread_t thread;
	int err;

	if (argc == 3 && !strcmp(argv[1], "--file"))
		return hash_file(argv[2]);
	if (argc != 2 && argc != 3)
		error(2, 0, "usage: upload-receiver ADDRESS [DIRECTORY]");
	directory = argv[2];
	err = shmux_listener_open(argv[1], NULL, &l);
	if (err)
		error(1, -err, "cannot listen on %s", argv[1]);
	fprintf(stderr, "receiving on %s\n", argv[1]);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	while (!(err = shmux_listener_accept(l, 0, &st)))
		if (pthread_create(&thread, &attr, receive, st))
			shmux_stream_close(st);
	error(err != -ESHUTDOWN, -err, "no more is accepted");
	return 0;
}
