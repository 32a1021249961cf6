// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * raw-device.c - two processes talk through /dev/shmux, without a library
 *
 *   raw-device server NAME
 *   raw-device client NAME
 *
 * Each makes a region, writes in it what it has to say, and reads what the other
 * wrote in its own. To wake the other and to sleep until it answers is one system
 * call. The client says three things and leaves; the server sees that it has gone.
 */
#define _FILE_OFFSET_BITS 64 /* SHMUX_MMAP_PEER, on 32 bits */
#include <errno.h>
#include <error.h>
#include <fcntl.h>
#include <linux/shmux.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

enum { REGION_SIZE = 65536, TURNS = 3 };

/* What is in a region: a line of text, and how many there have been. */
struct board {
	_Atomic uint32_t turn;		/* written after the text, read before it */
	char text[60];
};

struct talk {
	const char *name;
	int fd;
	struct board *ours;
	const struct board *theirs;
	uint32_t kicks;			/* that we have been told of */
};

/* Once more if it is stopped and goes on: what time is left has been written back. */
static void ask(struct talk *t, unsigned long request, void *arg, const char *what)
{
	while (ioctl(t->fd, request, arg))
		if (errno != EINTR)
			error(1, errno, "%s: cannot %s", t->name, what);
}

static void make_region(struct talk *t)
{
	struct shmux_ioc_create create = { .size = sizeof(create), .region_size = REGION_SIZE,
					   .peer_size_max = REGION_SIZE };

	ask(t, SHMUX_IOC_CREATE, &create, "make a region");
	t->ours = mmap(NULL, sizeof(*t->ours), PROT_READ | PROT_WRITE, MAP_SHARED, t->fd,
		       SHMUX_MMAP_OWN);
	if (t->ours == MAP_FAILED)
		error(1, errno, "%s: cannot map our region", t->name);
}

/* What we wrote in our region before this the other will find there. */
static void meet(struct talk *t)
{
	struct shmux_ioc_meet meet = { .size = sizeof(meet), .timeout = SHMUX_FOREVER };
	struct shmux_ioc_peer peer = { .size = sizeof(peer) };

	ask(t, SHMUX_IOC_MEET, &meet, "meet the other end");
	ask(t, SHMUX_IOC_PEER, &peer, "learn who it is");
	t->theirs = mmap(NULL, sizeof(*t->theirs), PROT_READ, MAP_SHARED, t->fd, SHMUX_MMAP_PEER);
	if (t->theirs == MAP_FAILED)
		error(1, errno, "%s: cannot map the other's region", t->name);
	printf("%s: met process %d of user %u\n", t->name, peer.pid, peer.uid);
}

static void say(struct talk *t, const char *word, uint32_t turn)
{
	snprintf(t->ours->text, sizeof(t->ours->text), "%s %u", word, turn);
	atomic_store_explicit(&t->ours->turn, turn, memory_order_release);
}

/* Kick if told to, and sleep until the other's turn has come. Return: 0 or errno. */
static int hear(struct talk *t, uint32_t turn, uint32_t flags)
{
	struct shmux_ioc_wait wait = { .size = sizeof(wait), .flags = flags };
	char text[sizeof(t->theirs->text)];

	while (atomic_load_explicit(&t->theirs->turn, memory_order_acquire) != turn) {
		wait.seen = t->kicks;
		wait.timeout = SHMUX_FOREVER;
		if (ioctl(t->fd, SHMUX_IOC_WAIT, &wait) && errno != EINTR)
			return errno;
		t->kicks = wait.kicks;
		wait.flags = 0;
	}
	/* The other can change it under our eyes: what counts is this copy. */
	memcpy(text, t->theirs->text, sizeof(text));
	printf("%s: heard '%.*s'\n", t->name, (int)sizeof(text), text);
	return 0;
}

static void serve(struct talk *t, const char *name)
{
	struct shmux_ioc_listen listen = { .size = sizeof(listen), .backlog = 1, .mode = 0200 };
	struct shmux_ioc_accept accept = { .size = sizeof(accept), .timeout = SHMUX_FOREVER };
	uint32_t turn = 1;
	int err;

	strncpy((char *)listen.name, name, SHMUX_NAME_SIZE - 1);
	ask(t, SHMUX_IOC_LISTEN, &listen, "listen");
	ask(t, SHMUX_IOC_ACCEPT, &accept, "accept");
	t->fd = accept.fd;
	make_region(t);
	meet(t);
	for (err = hear(t, turn, 0); !err; err = hear(t, turn, SHMUX_WAIT_KICK))
		say(t, "pong", turn++);
	if (err != ECONNRESET)
		error(1, err, "%s: cannot wait", t->name);
	printf("%s: the client has gone\n", t->name);
}

static void call(struct talk *t, const char *name)
{
	struct shmux_ioc_connect connect = { .size = sizeof(connect), .timeout = SHMUX_FOREVER };

	strncpy((char *)connect.name, name, SHMUX_NAME_SIZE - 1);
	make_region(t);
	ask(t, SHMUX_IOC_CONNECT, &connect, "connect");
	meet(t);
	for (uint32_t turn = 1; turn <= TURNS; turn++) {
		say(t, "ping", turn);
		if ((errno = hear(t, turn, SHMUX_WAIT_KICK)))
			error(1, errno, "%s: cannot wait", t->name);
	}
}

int main(int argc, char **argv)
{
	struct talk t = { .name = argc == 3 ? argv[1] : "" };

	if (strcmp(t.name, "server") && strcmp(t.name, "client"))
		error(2, 0, "usage: %s server|client NAME", argv[0]);
	t.fd = open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);
	if (t.fd < 0)
		error(1, errno, "%s", SHMUX_DEVICE);
	if (!strcmp(t.name, "server"))
		serve(&t, argv[2]);
	else
		call(&t, argv[2]);
	return 0;
}
