// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sample.c - a large file of this machine, for the demo to send
 */
#include "sample.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where large files are to be expected, most likely first. */
static const char *const likely[] = {
	"/usr/lib/gcc/*/*/cc1",
	"/usr/libexec/gcc/*/*/cc1",
	"/usr/lib/gcc/*/*/cc1plus",
	"/usr/lib/*/libLLVM*.so*",
	"/usr/lib/locale/locale-archive",
	"/usr/bin/python3*",
	"/boot/vmlinuz*",
	"/boot/initrd*",
};

static bool is_large(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, R_OK) &&
	       (uint64_t)st.st_size >= SAMPLE_SIZE_MIN && (uint64_t)st.st_size <= SAMPLE_SIZE_MAX;
}

static bool find_likely(struct sample *s)
{
	bool found = false;

	for (size_t i = 0; i < sizeof(likely) / sizeof(*likely) && !found; i++) {
		glob_t matches;

		if (glob(likely[i], 0, NULL, &matches))
			continue;
		for (size_t k = 0; k < matches.gl_pathc && !found; k++) {
			found = is_large(matches.gl_pathv[k]) &&
				strlen(matches.gl_pathv[k]) < sizeof(s->path);
			if (found)
				strcpy(s->path, matches.gl_pathv[k]);
		}
		globfree(&matches);
	}
	return found;
}

/* nftw() hands nothing through to its callback. */
static struct sample *biggest;

static int compare(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)ftw;
	if (type == FTW_F && S_ISREG(st->st_mode) && (uint64_t)st->st_size > biggest->size &&
	    (uint64_t)st->st_size <= SAMPLE_SIZE_MAX && strlen(path) < sizeof(biggest->path) &&
	    !access(path, R_OK)) {
		strcpy(biggest->path, path);
		biggest->size = st->st_size;
	}
	return 0;
}

int sample_find(struct sample *s)
{
	*s = (struct sample){ .fd = -1 };
	if (find_likely(s))
		return sample_open(s, s->path);
	biggest = s;
	nftw("/usr", compare, 32, FTW_PHYS | FTW_MOUNT);
	return s->size ? sample_open(s, s->path) : -ENOENT;
}

int sample_open(struct sample *s, const char *path)
{
	struct stat st;
	int error;

	if (strlen(path) >= sizeof(s->path))
		return -ENAMETOOLONG;
	if (path != s->path)
		strcpy(s->path, path);
	/* A FIFO shall be refused, not waited for. */
	s->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (s->fd < 0)
		return -errno;
	if (fstat(s->fd, &st))
		error = -errno;
	else if (S_ISDIR(st.st_mode))
		error = -EISDIR;
	else if (!S_ISREG(st.st_mode) || !st.st_size)
		error = -ENODATA;
	else if ((uint64_t)st.st_size > SAMPLE_SIZE_MAX)
		error = -EFBIG;
	else
		error = 0;
	if (error) {
		close(s->fd);
		s->fd = -1;
		return error;
	}
	s->size = st.st_size;
	s->times = (SAMPLE_SIZE_MIN + s->size - 1) / s->size;
	s->len = s->size * s->times;
	return 0;
}

ssize_t sample_read(const struct sample *s, void *buf, size_t len, uint64_t offset)
{
	uint64_t at = offset % s->size;
	ssize_t n;

	if (len > s->size - at)
		len = s->size - at;
	do
		n = pread(s->fd, buf, len, at);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return n ? n : -ENODATA;	/* it has shrunk meanwhile */
}

int sample_load(const struct sample *s, void **data)
{
	char *p = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t done = 0;

	if (p == MAP_FAILED)
		return -errno;
	while (done < s->len) {
		ssize_t n = sample_read(s, p + done, s->len - done, done);

		if (n < 0) {
			munmap(p, s->len);
			return n;
		}
		done += n;
	}
	*data = p;
	return 0;
}
