// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * regions.c - sessions' shared memory, seen from outside
 *
 * A session's region is a memfd, or of the kernel module's making; its owner maps
 * it read-write and the peer read-only, and /proc/PID/maps shows both. Who may
 * trace a process may read its memory, and so learn how full the ring is. What is
 * read is believed as little as any peer's: it is only shown.
 */
#include "regions.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/shmux_ring.h>

#include "procs.h"

#define SLOTS_AT_ONCE 64

/* As maps has them. Both kinds are of one file system: no two have an inode in common. */
static const char *const names[] = {
	[REGION_OF_MEMFD] = "/memfd:shmux",
	[REGION_OF_MODULE] = "/shmux (deleted)",
};

struct mapping {
	enum region_maker maker;
	pid_t pid;
	uint64_t inode;			/* which region it is */
	uint64_t start;
	bool is_owner;
};

struct scan {
	struct mapping *all;
	size_t nr;
	int error;
};

static int find_maker(const char *name, enum region_maker *maker)
{
	for (*maker = REGION_OF_MEMFD; *maker <= REGION_OF_MODULE; ++*maker)
		if (!strncmp(name, names[*maker], strlen(names[*maker])))
			return 0;
	return -ENOENT;
}

static void look_at_maps(void *arg, pid_t pid)
{
	struct scan *scan = arg;
	char path[64], line[512];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return;
	while (!scan->error && fgets(line, sizeof(line), file)) {
		unsigned long long start, offset, inode;
		enum region_maker maker;
		struct mapping *all;
		char mode[5];
		int at = 0;

		if (sscanf(line, "%llx-%*x %4s %llx %*s %llu %n", &start, mode, &offset, &inode,
			   &at) != 4 ||
		    !at)
			continue;
		if (offset || find_maker(line + at, &maker))
			continue;
		all = realloc(scan->all, (scan->nr + 1) * sizeof(*all));
		if (!all) {
			scan->error = -ENOMEM;
			continue;
		}
		scan->all = all;
		all[scan->nr++] = (struct mapping){ maker, pid, inode, start, mode[1] == 'w' };
	}
	fclose(file);
}

static int compare(const void *a, const void *b)
{
	const struct mapping *x = a, *y = b;
	int d = (x->inode > y->inode) - (x->inode < y->inode);

	return d ? d : y->is_owner - x->is_owner;
}

/* @all is sorted: each region's owner comes before its reader. */
static int pair_up(struct regions *r, const struct mapping *all, size_t nr)
{
	const struct mapping *owner = NULL;

	r->all = calloc(nr + 1, sizeof(*r->all));
	if (!r->all)
		return -ENOMEM;
	for (size_t i = 0; i < nr; i++) {
		const struct mapping *m = &all[i];

		if (m->is_owner)
			owner = m;
		else if (owner && owner->inode == m->inode)
			r->all[r->nr++] =
				(struct region){ m->maker, owner->pid, m->pid, owner->start };
	}
	return 0;
}

int regions_open(struct regions *r)
{
	struct scan scan = { 0 };

	*r = (struct regions){ 0 };
	procs_for_each(look_at_maps, &scan);
	if (scan.nr)
		qsort(scan.all, scan.nr, sizeof(*scan.all), compare);
	if (!scan.error)
		scan.error = pair_up(r, scan.all, scan.nr);
	free(scan.all);
	return scan.error;
}

void regions_close(struct regions *r)
{
	free(r->all);
	*r = (struct regions){ 0 };
}

/* Return: how many; @found: the last of them. */
static unsigned int find(const struct regions *r, enum region_maker maker, pid_t owner,
			 pid_t reader, const struct region **found)
{
	unsigned int nr = 0;

	for (size_t i = 0; i < r->nr; i++) {
		if (r->all[i].maker != maker || r->all[i].owner != owner ||
		    r->all[i].reader != reader)
			continue;
		*found = &r->all[i];
		nr++;
	}
	return nr;
}

unsigned int regions_count(const struct regions *r, enum region_maker maker, pid_t a, pid_t b)
{
	const struct region *found = NULL;
	unsigned int nr = find(r, maker, a, b, &found);

	/* A process that talks to itself owns both ends. */
	return a == b ? nr / 2 : nr;
}

static bool read_memory(const struct region *r, uint64_t offset, void *buf, size_t len)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", (int)r->owner);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = pread(fd, buf, len, r->start + offset);
	close(fd);
	return n == (ssize_t)len;
}

static bool makes_sense(const struct shmux_region_header *h)
{
	return h->magic == SHMUX_MAGIC && h->version == SHMUX_VERSION &&
	       h->ring_slots >= SHMUX_RING_SLOTS_MIN && h->ring_slots <= SHMUX_RING_SLOTS_MAX &&
	       !(h->ring_slots & (h->ring_slots - 1));
}

/*
 * How many slots from @consumer on are of the lap that the consumer would find
 * there, that is, filled.
 */
static bool count_slots(const struct region *r, const struct shmux_region_header *h,
			uint32_t consumer, uint32_t *depth)
{
	unsigned int order = __builtin_ctz(h->ring_slots);
	uint32_t slots[SLOTS_AT_ONCE][SHMUX_SLOT_SIZE / sizeof(uint32_t)];

	for (*depth = 0; *depth < h->ring_slots;) {
		uint32_t index = consumer + *depth, slot = index & (h->ring_slots - 1);
		uint32_t nr = h->ring_slots - slot;

		if (nr > SLOTS_AT_ONCE)
			nr = SLOTS_AT_ONCE;
		if (!read_memory(r, h->ring_offset + (uint64_t)slot * SHMUX_SLOT_SIZE, slots,
				 (size_t)nr * SHMUX_SLOT_SIZE))
			return false;
		for (uint32_t i = 0; i < nr; i++) {
			if ((slots[i][0] & SHMUX_WORD_TAG) != SHMUX_TAG(index + i, order))
				return true;
			++*depth;
		}
	}
	*depth = h->ring_slots;
	return true;
}

static void take_facts(struct region_facts *facts, const struct region *r,
		       const struct shmux_region_header *own, uint32_t consumer)
{
	facts->slots = own->ring_slots;
	facts->streams = own->open_streams;
	facts->consumed = consumer;
	facts->known = count_slots(r, own, consumer, &facts->depth);
}

void regions_look(const struct regions *r, enum region_maker maker, pid_t a, pid_t b,
		  struct region_facts *of_a, struct region_facts *of_b)
{
	const struct region *ra = NULL, *rb = NULL;
	struct shmux_region_header ha, hb;

	*of_a = *of_b = (struct region_facts){ 0 };
	if (a == b || find(r, maker, a, b, &ra) != 1 || find(r, maker, b, a, &rb) != 1)
		return;
	if (!read_memory(ra, 0, &ha, sizeof(ha)) || !read_memory(rb, 0, &hb, sizeof(hb)))
		return;
	if (!makes_sense(&ha) || !makes_sense(&hb))
		return;
	take_facts(of_a, ra, &ha, hb.consumer);
	take_facts(of_b, rb, &hb, ha.consumer);
}
