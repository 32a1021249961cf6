/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * genl.h - the module's generic netlink, bare, for its tests
 *
 * A question is asked on a socket of its own and all its answers kept; what is in
 * an answer is found by its path of attributes: genl_u32(m, NUMBER), or of a nest
 * genl_u64(m, CONNECTOR, KICKS). What is not there fails the test, loudly.
 */
#ifndef TESTS_KMOD_GENL_H
#define TESTS_KMOD_GENL_H

#include <linux/genetlink.h>
#include <linux/netlink.h>

#include "device.h"

#include <linux/shmux_netlink.h>

#define GENL_BUFFER 32768

/* What has come, one message after another. */
struct genl {
	int error; /* of the whole: 0 or -errno */
	unsigned int nr; /* messages of the family */
	size_t len;
	char *buf;
};

static inline void genl_free(struct genl *g)
{
	free(g->buf);
	*g = (struct genl){ 0 };
}

/* What cannot be is no matter of the test's. */
#define genl_must(cond)                                                                         \
	do {                                                                                    \
		if (!(cond)) {                                                                  \
			fprintf(stderr, "# %s:%d: %s: not so (errno %d)\n", __FILE__, __LINE__, \
				#cond, errno);                                                  \
			abort();                                                                \
		}                                                                               \
	} while (0)

/* --- attributes ------------------------------------------------------------- */

static inline const struct nlattr *genl_find_in(const void *from, size_t len, int type)
{
	const char *at = from, *end = at + len;

	while (at + NLA_HDRLEN <= end) {
		const struct nlattr *a = (const void *)at;

		if (a->nla_len < NLA_HDRLEN || at + a->nla_len > end)
			break;
		if ((a->nla_type & NLA_TYPE_MASK) == type)
			return a;
		at += NLA_ALIGN(a->nla_len);
	}
	return NULL;
}

static inline const void *genl_data(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

static inline uint8_t genl_command(const struct nlmsghdr *m)
{
	return ((const struct genlmsghdr *)NLMSG_DATA(m))->cmd;
}

/* By one type, or by that of a nest and one inside; 0: none. */
static inline const struct nlattr *genl_find(const struct nlmsghdr *m, int outer, int inner)
{
	const char *from = (const char *)NLMSG_DATA(m) + GENL_HDRLEN;
	const struct nlattr *a = genl_find_in(from, (const char *)m + m->nlmsg_len - from, outer);

	return a && inner ? genl_find_in(genl_data(a), a->nla_len - NLA_HDRLEN, inner) : a;
}

static inline uint64_t genl_number(const struct nlmsghdr *m, int outer, int inner, uint16_t size)
{
	const struct nlattr *a;
	uint64_t value = 0;

	genl_must(m);
	a = genl_find(m, outer, inner);
	genl_must(a && a->nla_len == NLA_HDRLEN + size);
	memcpy(&value, genl_data(a), size);
	return value;
}

#define GENL_PICK(a, b, c, ...) a, b
#define GENL_U(m, size, ...) GENL_CALL(m, size, GENL_PICK(__VA_ARGS__, 0, 0))
#define GENL_CALL(m, size, ...) genl_number(m, __VA_ARGS__, size)
#define genl_u32(m, ...) ((uint32_t)GENL_U(m, 4, __VA_ARGS__))
#define genl_u64(m, ...) GENL_U(m, 8, __VA_ARGS__)

static inline const char *genl_string(const struct nlmsghdr *m, int type)
{
	const struct nlattr *a = m ? genl_find(m, type, 0) : NULL;

	genl_must(m);
	return a ? genl_data(a) : NULL;
}

/* --- asking ----------------------------------------------------------------- */

struct genl_attr {
	uint16_t type, len;
	uint64_t value; /* its first @len bytes; of a string, where it is */
};

#define GENL_U32(type_, value_)                                        \
	{                                                              \
		.type = (type_), .len = 4, .value = (uint32_t)(value_) \
	}
#define GENL_U64(type_, value_)                              \
	{                                                    \
		.type = (type_), .len = 8, .value = (value_) \
	}

/* A socket in the caller's namespaces. */
static inline int genl_open(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC);

	genl_must(fd >= 0);
	return fd;
}

static inline void genl_send(int fd, uint16_t family, uint8_t command, uint16_t flags,
			     const struct genl_attr *attrs, size_t nr)
{
	union {
		char bytes[512];
		struct nlmsghdr header;
	} m = { .header = { .nlmsg_len = NLMSG_HDRLEN + GENL_HDRLEN,
			    .nlmsg_type = family,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags,
			    .nlmsg_seq = 1 } };
	struct genlmsghdr *g = NLMSG_DATA(&m.header);

	*g = (struct genlmsghdr){ .cmd = command, .version = SHMUX_GENL_VERSION };
	for (size_t i = 0; i < nr; i++) {
		struct nlattr *a = (struct nlattr *)(m.bytes + m.header.nlmsg_len);

		*a = (struct nlattr){ .nla_len = NLA_HDRLEN + attrs[i].len,
				      .nla_type = attrs[i].type };
		memcpy((char *)a + NLA_HDRLEN, &attrs[i].value, attrs[i].len);
		m.header.nlmsg_len += NLA_ALIGN(a->nla_len);
	}
	genl_must(send(fd, &m, m.header.nlmsg_len, 0) == (ssize_t)m.header.nlmsg_len);
}

/* Keep a datagram's messages. Return: whether more is to come. */
static inline bool genl_take(struct genl *g, const struct nlmsghdr *m, size_t len)
{
	for (; NLMSG_OK(m, len); m = NLMSG_NEXT(m, len)) {
		if (m->nlmsg_type == NLMSG_ERROR || m->nlmsg_type == NLMSG_DONE) {
			memcpy(&g->error, NLMSG_DATA(m), sizeof(g->error));
			return false;
		}
		g->buf = realloc(g->buf, g->len + NLMSG_ALIGN(m->nlmsg_len));
		genl_must(g->buf);
		memcpy(g->buf + g->len, m, m->nlmsg_len);
		g->len += NLMSG_ALIGN(m->nlmsg_len);
		g->nr++;
	}
	return true;
}

static inline struct genl genl_ask_as(uint16_t family, uint8_t command, uint16_t flags,
				      const struct genl_attr *attrs, size_t nr)
{
	union {
		char bytes[GENL_BUFFER];
		struct nlmsghdr header;
	} m;
	struct genl g = { 0 };
	int fd = genl_open();
	ssize_t n;

	genl_send(fd, family, command, flags, attrs, nr);
	do {
		n = recv(fd, &m, sizeof(m), 0);
		genl_must(n > 0);
	} while (genl_take(&g, &m.header, n));
	close(fd);
	return g;
}

/* Message number @i, or NULL. */
static inline const struct nlmsghdr *genl_message(const struct genl *g, unsigned int i)
{
	size_t at = 0;

	if (i >= g->nr)
		return NULL;
	while (i--)
		at += NLMSG_ALIGN(((const struct nlmsghdr *)(g->buf + at))->nlmsg_len);
	return (const struct nlmsghdr *)(g->buf + at);
}

/* --- the family ------------------------------------------------------------- */

struct genl_family {
	uint16_t id;
	uint32_t events; /* the group */
};

static inline struct genl_family genl_family(void)
{
	struct {
		struct nlattr a;
		char name[sizeof(SHMUX_GENL_NAME)];
	} name = { .a = { .nla_type = CTRL_ATTR_FAMILY_NAME } };
	struct genl_attr attr = { .type = CTRL_ATTR_FAMILY_NAME, .len = sizeof(name.name) };
	struct genl_family f = { 0 };
	const struct nlattr *groups, *group;
	const struct nlmsghdr *m;
	struct genl g;

	/* The name is shorter than the place of a number. */
	_Static_assert(sizeof(SHMUX_GENL_NAME) <= sizeof(attr.value), "longer");
	memcpy(&attr.value, SHMUX_GENL_NAME, sizeof(SHMUX_GENL_NAME));
	g = genl_ask_as(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 0, &attr, 1);
	genl_must(!g.error && g.nr == 1);
	m = genl_message(&g, 0);
	f.id = genl_number(m, CTRL_ATTR_FAMILY_ID, 0, 2);
	/* It has one group. */
	groups = genl_find(m, CTRL_ATTR_MCAST_GROUPS, 1);
	genl_must(groups);
	group = genl_find_in(genl_data(groups), groups->nla_len - NLA_HDRLEN,
			     CTRL_ATTR_MCAST_GRP_ID);
	genl_must(group);
	memcpy(&f.events, genl_data(group), sizeof(f.events));
	genl_free(&g);
	return f;
}

/* To be freed. */
#define genl_ask(command, flags, ...)                                   \
	({                                                              \
		const struct genl_attr attrs_[] = { __VA_ARGS__ };      \
                                                                        \
		genl_ask_as(genl_family().id, command, flags, attrs_,   \
			    sizeof(attrs_) / sizeof(struct genl_attr)); \
	})

static inline struct genl genl_dump(uint8_t command)
{
	return genl_ask_as(genl_family().id, command, NLM_F_DUMP, NULL, 0);
}

/* --- limits ----------------------------------------------------------------- */

static inline int limit_set(enum shmux_scope scope, enum shmux_resource resource, uint64_t max)
{
	struct genl g = genl_ask(SHMUX_CMD_LIMIT_SET, 0, GENL_U32(SHMUX_A_LIMIT_SCOPE, scope),
				 GENL_U32(SHMUX_A_LIMIT_RESOURCE, resource),
				 GENL_U64(SHMUX_A_LIMIT_MAX_USE, max));
	int error = g.error;

	genl_free(&g);
	return error;
}

/* @what: SHMUX_A_LIMIT_MAX_USE or _USED. */
static inline uint64_t limit_get(enum shmux_scope scope, enum shmux_resource resource, int what)
{
	struct genl g = genl_dump(SHMUX_CMD_LIMIT_GET);
	bool found = false;
	uint64_t value = 0;

	genl_must(!g.error);
	for (unsigned int i = 0; i < g.nr; i++) {
		const struct nlmsghdr *m = genl_message(&g, i);

		if (genl_u32(m, SHMUX_A_LIMIT_SCOPE) != scope ||
		    genl_u32(m, SHMUX_A_LIMIT_RESOURCE) != resource)
			continue;
		value = genl_u64(m, what);
		found = true;
	}
	genl_must(found);
	genl_free(&g);
	return value;
}

static inline uint64_t limit_max(enum shmux_scope scope, enum shmux_resource resource)
{
	return limit_get(scope, resource, SHMUX_A_LIMIT_MAX_USE);
}

static inline uint64_t limit_used(enum shmux_scope scope, enum shmux_resource resource)
{
	return limit_get(scope, resource, SHMUX_A_LIMIT_USED);
}

static inline uint64_t counter_get(enum shmux_a_counter what)
{
	struct genl g = genl_ask(SHMUX_CMD_COUNTER_GET, 0);
	uint64_t value;

	genl_must(!g.error && g.nr == 1);
	value = genl_u64(genl_message(&g, 0), what);
	genl_free(&g);
	return value;
}

/* --- events ----------------------------------------------------------------- */

/* Return: a socket that hears them. */
static inline int events_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	uint32_t group = genl_family().events;
	int fd = genl_open();

	/* Without an address of its own a socket hears nothing. */
	genl_must(!bind(fd, (struct sockaddr *)&address, sizeof(address)));
	genl_must(!setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)));
	return fd;
}

/* Those that have come so far. */
static inline struct genl events_take(int fd)
{
	union {
		char bytes[GENL_BUFFER];
		struct nlmsghdr header;
	} m;
	struct genl g = { 0 };
	ssize_t n;

	while ((n = recv(fd, &m, sizeof(m), MSG_DONTWAIT)) > 0)
		genl_take(&g, &m.header, n);
	if (errno != EAGAIN)
		g.error = -errno;
	return g;
}

/* Wait for one. */
static inline struct genl events_await(int fd)
{
	genl_must(file_await(fd, POLLIN) == POLLIN);
	return events_take(fd);
}

/*
 * Hit a limit that is set to be hit by one session more, until that is told: it
 * is told so often and no more. Return: whether it was.
 */
static inline bool quota_hit_is_told(void)
{
	int fd = events_open();
	bool told = false;

	for (int i = 0; i < 100 && !told; i++) {
		struct genl g;

		genl_must(end_new() == -EDQUOT);
		g = events_take(fd);
		for (unsigned int j = 0; j < g.nr; j++)
			told |= genl_command(genl_message(&g, j)) == SHMUX_CMD_QUOTA_HIT;
		genl_free(&g);
		if (!told)
			usleep(100000);
	}
	close(fd);
	return told;
}

#endif /* TESTS_KMOD_GENL_H */
