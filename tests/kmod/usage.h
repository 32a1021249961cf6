/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * usage.h - what the module says is there, by its netlink
 *
 * For tests that want to know whether anything is left of what they made.
 * Whoever runs them is alone with the module.
 */
#ifndef TESTS_KMOD_USAGE_H
#define TESTS_KMOD_USAGE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <linux/shmux_netlink.h>

struct usage {
	uint64_t used[SHMUX_NR_RESOURCES];
};

/* A request without attributes or with one, and room for the answer. */
struct usage_message {
	union {
		struct nlmsghdr hdr;
		char bytes[16384];
	};
	int len; /* of what was received */
};

/* Return: a socket, on which nothing is waited for long, or -errno. */
static inline int usage_socket(void)
{
	const struct timeval long_enough = { .tv_sec = 10 };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &long_enough, sizeof(long_enough));
	return fd < 0 ? -errno : fd;
}

/* Send a request. Return: 0 or -errno. */
static inline int usage_ask(int fd, uint16_t family, uint16_t flags, uint8_t cmd, uint16_t attr,
			    const void *value, uint16_t len)
{
	struct {
		struct nlmsghdr hdr;
		struct genlmsghdr genl;
		struct nlattr attr;
		char value[32];
	} msg = {
		.hdr = { .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST | flags },
		.genl = { .cmd = cmd, .version = 1 },
		.attr = { .nla_type = attr, .nla_len = (uint16_t)(NLA_HDRLEN + len) },
	};

	msg.hdr.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN);
	if (value) {
		memcpy(msg.value, value, len);
		msg.hdr.nlmsg_len += NLMSG_ALIGN(NLA_HDRLEN + len);
	}
	return send(fd, &msg, msg.hdr.nlmsg_len, 0) < 0 ? -errno : 0;
}

/* Take one datagram. Return: 0 or -errno, that of an error in it included. */
static inline int usage_hear(int fd, struct usage_message *m)
{
	const struct nlmsgerr *error;

	m->len = (int)recv(fd, m->bytes, sizeof(m->bytes), 0);
	if (m->len < 0)
		return -errno;
	if (m->len < (int)sizeof(m->hdr))
		return -EBADMSG;
	if (m->hdr.nlmsg_type != NLMSG_ERROR)
		return 0;
	error = NLMSG_DATA(&m->hdr);
	return error->error;
}

/* The value of an attribute of a message, or NULL. */
static inline const void *usage_attr(const struct nlmsghdr *hdr, uint16_t type)
{
	const char *p = (const char *)NLMSG_DATA(hdr) + GENL_HDRLEN;
	const char *end = (const char *)hdr + hdr->nlmsg_len;

	while (p + NLA_HDRLEN <= end) {
		const struct nlattr *a = (const struct nlattr *)p;

		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return p + NLA_HDRLEN;
		if (a->nla_len < NLA_HDRLEN)
			break;
		p += NLA_ALIGN(a->nla_len);
	}
	return NULL;
}

/* Return: the number of the family, or -errno. */
static inline int usage_family(int fd)
{
	static struct usage_message m;
	const uint16_t *id;
	int err;

	err = usage_ask(fd, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME,
			SHMUX_GENL_NAME, sizeof(SHMUX_GENL_NAME));
	if (!err)
		err = usage_hear(fd, &m);
	if (err)
		return err;
	id = usage_attr(&m.hdr, CTRL_ATTR_FAMILY_ID);
	return id ? *id : -ENOENT;
}

/* Dump by @cmd; what comes is given to @take. Return: 0 or -errno. */
static inline int usage_dump(int fd, int family, uint8_t cmd,
			     void (*take)(const struct nlmsghdr *hdr, void *arg), void *arg)
{
	static struct usage_message m;
	int err = usage_ask(fd, (uint16_t)family, NLM_F_DUMP, cmd, 0, NULL, 0);

	while (!err) {
		const struct nlmsghdr *hdr = &m.hdr;

		err = usage_hear(fd, &m);
		for (int left = m.len; !err && NLMSG_OK(hdr, (unsigned int)left);
		     hdr = NLMSG_NEXT(hdr, left)) {
			if (hdr->nlmsg_type == NLMSG_DONE)
				return *(const int *)NLMSG_DATA(hdr);
			if (take)
				take(hdr, arg);
		}
	}
	return err;
}

static inline void usage_take(const struct nlmsghdr *hdr, void *arg)
{
	const uint32_t *scope = usage_attr(hdr, SHMUX_A_LIMIT_SCOPE);
	const uint32_t *resource = usage_attr(hdr, SHMUX_A_LIMIT_RESOURCE);
	const void *used = usage_attr(hdr, SHMUX_A_LIMIT_USED);
	struct usage *u = arg;

	if (scope && resource && used && *scope == SHMUX_SCOPE_TOTAL &&
	    *resource < SHMUX_NR_RESOURCES)
		memcpy(&u->used[*resource], used, sizeof(u->used[0]));
}

/* What there is in all. Return: 0 or -errno. */
static inline int usage_get(struct usage *u)
{
	static int family;
	int fd = usage_socket(), err;

	if (fd < 0)
		return fd;
	*u = (struct usage){ 0 };
	if (family <= 0)
		family = usage_family(fd);
	err = family < 0 ? family : usage_dump(fd, family, SHMUX_CMD_LIMIT_GET, usage_take, u);
	close(fd);
	return err;
}

/*
 * Wait until what there is has become what is wanted: regions that have been
 * mapped linger a little. Return: whether it has.
 */
static inline bool usage_becomes(const struct usage *wanted, struct usage *is)
{
	for (int i = 0; i < 300; i++) {
		if (usage_get(is))
			return false;
		if (!memcmp(is, wanted, sizeof(*is)))
			return true;
		nanosleep(&(struct timespec){ .tv_nsec = i < 10 ? 1000000 : 50000000 }, NULL);
	}
	return false;
}

/* Wait until nothing is left of what was before. Return: whether that is so. */
static inline bool usage_becomes_none(struct usage *is)
{
	static const struct usage none;

	return usage_becomes(&none, is);
}

#endif /* TESTS_KMOD_USAGE_H */
