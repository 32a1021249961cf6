// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * sockets.c - the AF_UNIX sockets by which shmux's processes find each other
 *
 * /proc/net/unix names them: a listener's socket and, on its side, each of its
 * sessions', which carries the listener's name. Who is at the other end only
 * the kernel's socket diagnosis knows, if the kernel has it.
 */
#include "sockets.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NAME_PREFIX "@shmux/"		/* as /proc shows abstract names */
#define PATH_PREFIX "memfd:"
#define STATE_LISTENS 0x10000		/* the kernel's SO_ACCEPTCON */

/* --- /proc/net/unix ----------------------------------------------------- */

/* A listener on a path leaves PATH.lock beside it. */
static bool is_our_path(const char *path)
{
	char lock[SHMUX_ADDRESS_MAX + 8];

	if (path[0] != '/' || strlen(path) >= SHMUX_ADDRESS_MAX - strlen(PATH_PREFIX))
		return false;
	snprintf(lock, sizeof(lock), "%s.lock", path);
	return !access(lock, F_OK);
}

/* Return: whether it is one of shmux's. */
static bool parse_line(char *line, struct socket *socket)
{
	unsigned int flags, type, inode;
	int at = 0;

	line[strcspn(line, "\n")] = '\0';
	if (sscanf(line, "%*s %*x %*x %x %x %*x %u %n", &flags, &type, &inode, &at) != 3 || !at)
		return false;
	if (type != SOCK_SEQPACKET)
		return false;
	*socket = (struct socket){ .inode = inode, .listens = flags & STATE_LISTENS };
	if (!strncmp(line + at, NAME_PREFIX, strlen(NAME_PREFIX)))
		snprintf(socket->address, sizeof(socket->address), "%s",
			 line + at + strlen(NAME_PREFIX));
	else if (is_our_path(line + at))
		snprintf(socket->address, sizeof(socket->address), PATH_PREFIX "%s", line + at);
	return socket->address[0];
}

static int add(struct sockets *s, const struct socket *socket)
{
	struct socket *all = realloc(s->all, (s->nr + 1) * sizeof(*all));

	if (!all)
		return -ENOMEM;
	s->all = all;
	s->all[s->nr++] = *socket;
	return 0;
}

static int compare(const void *a, const void *b)
{
	unsigned int x = ((const struct socket *)a)->inode, y = ((const struct socket *)b)->inode;

	return (x > y) - (x < y);
}

static int read_names(struct sockets *s)
{
	FILE *file = fopen("/proc/net/unix", "re");
	struct socket socket;
	char line[512];
	int error = 0;

	if (!file)
		return -errno;
	while (!error && fgets(line, sizeof(line), file))
		if (parse_line(line, &socket))
			error = add(s, &socket);
	fclose(file);
	if (s->nr)
		qsort(s->all, s->nr, sizeof(*s->all), compare);
	return error;
}

/* --- socket diagnosis --------------------------------------------------- */

static int ask(int fd)
{
	struct {
		struct nlmsghdr header;
		struct unix_diag_req body;
	} request = {
		.header = {
			.nlmsg_len = sizeof(request),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
		},
		.body = {
			.sdiag_family = AF_UNIX,
			.udiag_states = -1,
			.udiag_show = UDIAG_SHOW_PEER | UDIAG_SHOW_UID,
		},
	};

	return send(fd, &request, sizeof(request), 0) < 0 ? -errno : 0;
}

static void take_attributes(struct socket *socket, struct rtattr *attribute, int len)
{
	for (; RTA_OK(attribute, len); attribute = RTA_NEXT(attribute, len)) {
		uint32_t value;

		if (RTA_PAYLOAD(attribute) < sizeof(value))
			continue;
		memcpy(&value, RTA_DATA(attribute), sizeof(value));
		if (attribute->rta_type == UNIX_DIAG_PEER) {
			socket->peer = value;
		} else if (attribute->rta_type == UNIX_DIAG_UID) {
			socket->uid = value;
			socket->has_uid = true;
		}
	}
}

/* Return: whether more is to come. */
static bool take_answers(struct sockets *s, struct nlmsghdr *header, unsigned int len)
{
	for (; NLMSG_OK(header, len); header = NLMSG_NEXT(header, len)) {
		struct unix_diag_msg *message = NLMSG_DATA(header);
		struct socket key, *socket;

		if (header->nlmsg_type == NLMSG_DONE || header->nlmsg_type == NLMSG_ERROR)
			return false;
		if (header->nlmsg_len < NLMSG_LENGTH(sizeof(*message)))
			continue;
		key.inode = message->udiag_ino;
		socket = bsearch(&key, s->all, s->nr, sizeof(*s->all), compare);
		if (socket)
			take_attributes(socket, (struct rtattr *)(message + 1),
					header->nlmsg_len - NLMSG_LENGTH(sizeof(*message)));
	}
	return true;
}

/* Nothing is learnt where the kernel does not answer. */
static void read_peers(struct sockets *s)
{
	union {
		struct nlmsghdr header;
		char bytes[32768];
	} answer;
	ssize_t n;
	int fd;

	fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (fd < 0)
		return;
	if (!ask(fd)) {
		do
			n = recv(fd, &answer, sizeof(answer), 0);
		while (n > 0 && take_answers(s, &answer.header, n));
	}
	close(fd);
}

int sockets_open(struct sockets *s)
{
	int error;

	*s = (struct sockets){ 0 };
	error = read_names(s);
	if (error) {
		sockets_close(s);
		return error;
	}
	if (s->nr)
		read_peers(s);
	return 0;
}

void sockets_close(struct sockets *s)
{
	free(s->all);
	*s = (struct sockets){ 0 };
}
