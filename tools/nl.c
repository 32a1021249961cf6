// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nl.c - asks the kernel module by generic netlink; see nl.h
 *
 * The only file that speaks libnl. Its names begin with nl_ and genl_, ours with
 * module_.
 */
#include "nl.h"

#include <errno.h>
#include <netlink/attr.h>
#include <netlink/errno.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <netlink/msg.h>
#include <netlink/socket.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <linux/genetlink.h>

/* Many events come at once when a process with many sessions dies. */
#define EVENTS_SIZE (1 << 20)

struct module {
	struct nl_sock *sk;
	int family;
	int error;			/* the kernel's, of what was asked */
	bool is_done;
	bool is_gone;			/* heard so */
	void (*each)(void *arg, const struct module_event *event);
	void *arg;
};

const char *module_reason(int error)
{
	switch (error) {
	case -ENOENT:
		return "the kernel module is not loaded";
	case -ENODEV:
		return "the kernel module has been unloaded";
	default:
		return NULL;
	}
}

/* libnl has numbers of its own; the kernel's are told to take_error(). */
static int to_errno(int nle)
{
	switch (abs(nle)) {
	case NLE_SUCCESS:
		return 0;
	case NLE_INTR:
		return -EINTR;
	case NLE_AGAIN:
		return -EAGAIN;
	case NLE_NOMEM:
		return -ENOMEM;
	case NLE_PERM:
	case NLE_NOACCESS:
		return -EPERM;
	case NLE_OBJ_NOTFOUND:
	case NLE_NODEV:
		return -ENOENT;
	case NLE_AF_NOSUPPORT:
	case NLE_PROTO_MISMATCH:
	case NLE_OPNOTSUPP:
		return -EOPNOTSUPP;
	default:
		return -EIO;
	}
}

/* --- attributes --------------------------------------------------------- */

static uint32_t get_u32(struct nlattr *attribute)
{
	return attribute ? nla_get_u32(attribute) : 0;
}

static uint64_t get_u64(struct nlattr *attribute)
{
	return attribute ? nla_get_u64(attribute) : 0;
}

static void get_name(char name[SHMUX_NAME_SIZE], struct nlattr *attribute)
{
	name[0] = '\0';
	if (attribute)
		nla_strlcpy(name, attribute, SHMUX_NAME_SIZE);
}

#define U32                     \
	{                       \
		.type = NLA_U32 \
	}
#define U64                     \
	{                       \
		.type = NLA_U64 \
	}

static bool take_listener(struct nlmsghdr *header, struct module_listener *l)
{
	static struct nla_policy policy[SHMUX_A_LISTENER_MAX + 1] = {
		[SHMUX_A_LISTENER_NUMBER] = U32,
		[SHMUX_A_LISTENER_NAME] = { .type = NLA_STRING },
		[SHMUX_A_LISTENER_PID] = U32,
		[SHMUX_A_LISTENER_UID] = U32,
		[SHMUX_A_LISTENER_GID] = U32,
		[SHMUX_A_LISTENER_OWNER_UID] = U32,
		[SHMUX_A_LISTENER_OWNER_GID] = U32,
		[SHMUX_A_LISTENER_MODE] = U32,
		[SHMUX_A_LISTENER_BACKLOG] = U32,
		[SHMUX_A_LISTENER_QUEUED] = U32,
		[SHMUX_A_LISTENER_ACCEPTED] = U64,
		[SHMUX_A_LISTENER_AGE] = U64,
	};
	struct nlattr *tb[SHMUX_A_LISTENER_MAX + 1];

	if (genlmsg_parse(header, 0, tb, SHMUX_A_LISTENER_MAX, policy))
		return false;
	*l = (struct module_listener){
		.number = get_u32(tb[SHMUX_A_LISTENER_NUMBER]),
		.pid = get_u32(tb[SHMUX_A_LISTENER_PID]),
		.uid = get_u32(tb[SHMUX_A_LISTENER_UID]),
		.gid = get_u32(tb[SHMUX_A_LISTENER_GID]),
		.owner_uid = get_u32(tb[SHMUX_A_LISTENER_OWNER_UID]),
		.owner_gid = get_u32(tb[SHMUX_A_LISTENER_OWNER_GID]),
		.mode = get_u32(tb[SHMUX_A_LISTENER_MODE]),
		.backlog = get_u32(tb[SHMUX_A_LISTENER_BACKLOG]),
		.queued = get_u32(tb[SHMUX_A_LISTENER_QUEUED]),
		.accepted = get_u64(tb[SHMUX_A_LISTENER_ACCEPTED]),
		.age = get_u64(tb[SHMUX_A_LISTENER_AGE]),
	};
	get_name(l->name, tb[SHMUX_A_LISTENER_NAME]);
	return true;
}

static bool take_end(struct nlattr *nest, struct module_end *e)
{
	static struct nla_policy policy[SHMUX_A_END_MAX + 1] = {
		[SHMUX_A_END_PID] = U32,   [SHMUX_A_END_UID] = U32,   [SHMUX_A_END_GID] = U32,
		[SHMUX_A_END_OWNER] = U32, [SHMUX_A_END_SIZE] = U64,  [SHMUX_A_END_RESIDENT] = U64,
		[SHMUX_A_END_KICKS] = U64, [SHMUX_A_END_WAITS] = U64, [SHMUX_A_END_SLEEPS] = U64,
	};
	struct nlattr *tb[SHMUX_A_END_MAX + 1];

	*e = (struct module_end){ 0 };
	if (!nest)
		return true;
	if (nla_parse_nested(tb, SHMUX_A_END_MAX, nest, policy))
		return false;
	*e = (struct module_end){
		.is_there = true,
		.pid = get_u32(tb[SHMUX_A_END_PID]),
		.uid = get_u32(tb[SHMUX_A_END_UID]),
		.gid = get_u32(tb[SHMUX_A_END_GID]),
		.owner = get_u32(tb[SHMUX_A_END_OWNER]),
		.size = get_u64(tb[SHMUX_A_END_SIZE]),
		.resident = get_u64(tb[SHMUX_A_END_RESIDENT]),
		.kicks = get_u64(tb[SHMUX_A_END_KICKS]),
		.waits = get_u64(tb[SHMUX_A_END_WAITS]),
		.sleeps = get_u64(tb[SHMUX_A_END_SLEEPS]),
	};
	return true;
}

static bool take_session(struct nlmsghdr *header, struct module_session *s)
{
	static struct nla_policy policy[SHMUX_A_SESSION_MAX + 1] = {
		[SHMUX_A_SESSION_NUMBER] = U32,
		[SHMUX_A_SESSION_NAME] = { .type = NLA_STRING },
		[SHMUX_A_SESSION_PHASE] = U32,
		[SHMUX_A_SESSION_CAUSE] = U32,
		[SHMUX_A_SESSION_SIDE] = U32,
		[SHMUX_A_SESSION_AGE] = U64,
		[SHMUX_A_SESSION_CONNECTOR] = { .type = NLA_NESTED },
		[SHMUX_A_SESSION_ACCEPTOR] = { .type = NLA_NESTED },
	};
	struct nlattr *tb[SHMUX_A_SESSION_MAX + 1];

	if (genlmsg_parse(header, 0, tb, SHMUX_A_SESSION_MAX, policy))
		return false;
	*s = (struct module_session){
		.number = get_u32(tb[SHMUX_A_SESSION_NUMBER]),
		.phase = get_u32(tb[SHMUX_A_SESSION_PHASE]),
		.cause = get_u32(tb[SHMUX_A_SESSION_CAUSE]),
		.side = get_u32(tb[SHMUX_A_SESSION_SIDE]),
		.age = get_u64(tb[SHMUX_A_SESSION_AGE]),
	};
	get_name(s->name, tb[SHMUX_A_SESSION_NAME]);
	return take_end(tb[SHMUX_A_SESSION_CONNECTOR], &s->ends[0]) &&
	       take_end(tb[SHMUX_A_SESSION_ACCEPTOR], &s->ends[1]);
}

static bool parse_limit(struct nlmsghdr *header, struct nlattr *tb[SHMUX_A_LIMIT_MAX + 1])
{
	static struct nla_policy policy[SHMUX_A_LIMIT_MAX + 1] = {
		[SHMUX_A_LIMIT_SCOPE] = U32,   [SHMUX_A_LIMIT_RESOURCE] = U32,
		[SHMUX_A_LIMIT_MAX_USE] = U64, [SHMUX_A_LIMIT_USED] = U64,
		[SHMUX_A_LIMIT_UID] = U32,
	};

	return !genlmsg_parse(header, 0, tb, SHMUX_A_LIMIT_MAX, policy) &&
	       get_u32(tb[SHMUX_A_LIMIT_SCOPE]) < SHMUX_NR_SCOPES &&
	       get_u32(tb[SHMUX_A_LIMIT_RESOURCE]) < SHMUX_NR_RESOURCES;
}

/* --- asking ------------------------------------------------------------- */

static int take_error(struct sockaddr_nl *from, struct nlmsgerr *error, void *arg)
{
	struct module *m = arg;

	(void)from;
	m->error = error->error;
	m->is_done = true;
	return NL_STOP;
}

static int take_end_of_dump(struct nl_msg *msg, void *arg)
{
	struct module *m = arg;
	int *error = nlmsg_data(nlmsg_hdr(msg));

	if (nlmsg_datalen(nlmsg_hdr(msg)) >= (int)sizeof(*error))
		m->error = *error;
	m->is_done = true;
	return NL_STOP;
}

static int take_ack(struct nl_msg *msg, void *arg)
{
	struct module *m = arg;

	(void)msg;
	m->is_done = true;
	return NL_STOP;
}

/*
 * Send @msg, which is freed, and give each answer to @take until all have come.
 * What was asked as a dump ends with a message of its own, all else with the
 * acknowledgement.
 */
static int ask(struct module *m, struct nl_msg *msg, nl_recvmsg_msg_cb_t take, void *arg)
{
	struct nl_cb *cb = nl_cb_alloc(NL_CB_DEFAULT);
	int error;

	if (!cb) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	if (take)
		nl_cb_set(cb, NL_CB_VALID, NL_CB_CUSTOM, take, arg);
	nl_cb_set(cb, NL_CB_FINISH, NL_CB_CUSTOM, take_end_of_dump, m);
	nl_cb_set(cb, NL_CB_ACK, NL_CB_CUSTOM, take_ack, m);
	nl_cb_err(cb, NL_CB_CUSTOM, take_error, m);
	m->error = 0;
	m->is_done = false;
	error = nl_send_auto(m->sk, msg);
	nlmsg_free(msg);
	while (error >= 0 && !m->is_done)
		error = nl_recvmsgs(m->sk, cb);
	nl_cb_put(cb);
	/* A family that has gone meanwhile. */
	if (m->error == -EOPNOTSUPP)
		return -ENOENT;
	return m->error ? m->error : error < 0 ? to_errno(error) : 0;
}

static struct nl_msg *question(struct module *m, uint8_t command, int flags)
{
	struct nl_msg *msg = nlmsg_alloc();

	if (msg && !genlmsg_put(msg, NL_AUTO_PORT, NL_AUTO_SEQ, m->family, 0, flags, command,
				SHMUX_GENL_VERSION)) {
		nlmsg_free(msg);
		msg = NULL;
	}
	return msg;
}

/* What is common to questions without arguments. */
static int ask_for(struct module *m, uint8_t command, int flags, nl_recvmsg_msg_cb_t take,
		   void *arg)
{
	struct nl_msg *msg = question(m, command, flags);

	return msg ? ask(m, msg, take, arg) : -ENOMEM;
}

int module_open(struct module **result)
{
	struct module *m = calloc(1, sizeof(*m));
	int error;

	*result = NULL;
	if (!m)
		return -ENOMEM;
	m->sk = nl_socket_alloc();
	error = m->sk ? to_errno(genl_connect(m->sk)) : -ENOMEM;
	if (!error) {
		m->family = genl_ctrl_resolve(m->sk, SHMUX_GENL_NAME);
		if (m->family < 0)
			error = to_errno(m->family);
	}
	if (error) {
		module_close(m);
		return error;
	}
	*result = m;
	return 0;
}

void module_close(struct module *m)
{
	if (!m)
		return;
	nl_socket_free(m->sk);
	free(m);
}

/* --- lists -------------------------------------------------------------- */

struct list {
	void *all;
	size_t nr, room, size;		/* @size: of each */
	int error;
};

/* Return: where the next one goes, or NULL. */
static void *list_next(struct list *list)
{
	if (list->nr == list->room) {
		size_t room = list->room ? 2 * list->room : 64;
		void *all = realloc(list->all, room * list->size);

		if (!all) {
			list->error = -ENOMEM;
			return NULL;
		}
		list->all = all;
		list->room = room;
	}
	return (char *)list->all + list->nr * list->size;
}

static int add_listener(struct nl_msg *msg, void *arg)
{
	struct list *list = arg;
	struct module_listener *l = list_next(list);

	if (l)
		list->nr += take_listener(nlmsg_hdr(msg), l);
	return NL_OK;
}

static int add_session(struct nl_msg *msg, void *arg)
{
	struct list *list = arg;
	struct module_session *s = list_next(list);

	if (s)
		list->nr += take_session(nlmsg_hdr(msg), s);
	return NL_OK;
}

/* Return: an array of @nr that the caller frees, or NULL with @error. */
static void *dump(struct module *m, uint8_t command, size_t size, nl_recvmsg_msg_cb_t add,
		  size_t *nr, int *error)
{
	struct list list = { .size = size };

	*error = ask_for(m, command, NLM_F_DUMP, add, &list);
	if (!*error)
		*error = list.error;
	if (*error) {
		free(list.all);
		list = (struct list){ 0 };
	}
	*nr = list.nr;
	return list.all;
}

int module_listeners(struct module *m, struct module_listener **all, size_t *nr)
{
	int error;

	*all = dump(m, SHMUX_CMD_LISTENER_GET, sizeof(**all), add_listener, nr, &error);
	return error;
}

int module_sessions(struct module *m, struct module_session **all, size_t *nr)
{
	int error;

	*all = dump(m, SHMUX_CMD_SESSION_GET, sizeof(**all), add_session, nr, &error);
	return error;
}

/* --- limits and counters ------------------------------------------------ */

static int add_limit(struct nl_msg *msg, void *arg)
{
	struct module_limits *limits = arg;
	struct nlattr *tb[SHMUX_A_LIMIT_MAX + 1];

	if (parse_limit(nlmsg_hdr(msg), tb))
		limits->of[get_u32(tb[SHMUX_A_LIMIT_SCOPE])][get_u32(tb[SHMUX_A_LIMIT_RESOURCE])] =
			(struct module_limit){
				.max = get_u64(tb[SHMUX_A_LIMIT_MAX_USE]),
				.used = get_u64(tb[SHMUX_A_LIMIT_USED]),
			};
	return NL_OK;
}

int module_limits(struct module *m, struct module_limits *limits)
{
	*limits = (struct module_limits){ 0 };
	return ask_for(m, SHMUX_CMD_LIMIT_GET, NLM_F_DUMP, add_limit, limits);
}

int module_limit_set(struct module *m, enum shmux_scope scope, enum shmux_resource resource,
		     uint64_t max)
{
	struct nl_msg *msg = question(m, SHMUX_CMD_LIMIT_SET, 0);

	if (!msg)
		return -ENOMEM;
	if (nla_put_u32(msg, SHMUX_A_LIMIT_SCOPE, scope) ||
	    nla_put_u32(msg, SHMUX_A_LIMIT_RESOURCE, resource) ||
	    nla_put_u64(msg, SHMUX_A_LIMIT_MAX_USE, max)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return ask(m, msg, NULL, NULL);
}

static int add_counters(struct nl_msg *msg, void *arg)
{
	struct module_counters *counters = arg;
	struct nlattr *tb[SHMUX_A_COUNTER_MAX + 1];
	struct nla_policy policy[SHMUX_A_COUNTER_MAX + 1] = { 0 };

	for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
		policy[i].type = NLA_U64;
	if (!genlmsg_parse(nlmsg_hdr(msg), 0, tb, SHMUX_A_COUNTER_MAX, policy))
		for (int i = SHMUX_A_COUNTER_CONNECTS; i <= SHMUX_A_COUNTER_MAX; i++)
			counters->of[i] = get_u64(tb[i]);
	return NL_OK;
}

int module_counters(struct module *m, struct module_counters *counters)
{
	*counters = (struct module_counters){ 0 };
	return ask_for(m, SHMUX_CMD_COUNTER_GET, 0, add_counters, counters);
}

/* --- events ------------------------------------------------------------- */

static void take_quota(struct nlmsghdr *header, struct module_event *e)
{
	struct nlattr *tb[SHMUX_A_LIMIT_MAX + 1];

	if (!parse_limit(header, tb)) {
		e->what = SHMUX_CMD_UNSPEC;
		return;
	}
	e->scope = get_u32(tb[SHMUX_A_LIMIT_SCOPE]);
	e->resource = get_u32(tb[SHMUX_A_LIMIT_RESOURCE]);
	e->max = get_u64(tb[SHMUX_A_LIMIT_MAX_USE]);
	e->uid = get_u32(tb[SHMUX_A_LIMIT_UID]);
}

/* What the controller tells of families: whether ours has gone. */
static void take_notice(struct module *m, struct nlmsghdr *header)
{
	struct nlattr *tb[CTRL_ATTR_MAX + 1];

	if (genlmsg_hdr(header)->cmd == CTRL_CMD_DELFAMILY &&
	    !genlmsg_parse(header, 0, tb, CTRL_ATTR_MAX, NULL) && tb[CTRL_ATTR_FAMILY_NAME] &&
	    !nla_strcmp(tb[CTRL_ATTR_FAMILY_NAME], SHMUX_GENL_NAME))
		m->is_gone = true;
}

static int take_event(struct nl_msg *msg, void *arg)
{
	struct module *m = arg;
	struct nlmsghdr *header = nlmsg_hdr(msg);
	struct module_event event = { 0 };

	if (!genlmsg_valid_hdr(header, 0))
		return NL_OK;
	if (header->nlmsg_type == GENL_ID_CTRL) {
		take_notice(m, header);
		return NL_OK;
	}
	event.what = genlmsg_hdr(header)->cmd;
	switch (event.what) {
	case SHMUX_CMD_SESSION_UP:
	case SHMUX_CMD_SESSION_DOWN:
	case SHMUX_CMD_PEER_DEATH:
		if (!take_session(header, &event.session))
			return NL_OK;
		break;
	case SHMUX_CMD_QUOTA_HIT:
		take_quota(header, &event);
		break;
	default:
		return NL_OK;
	}
	if (event.what != SHMUX_CMD_UNSPEC)
		m->each(m->arg, &event);
	return NL_OK;
}

static int join(struct module *m, const char *family, const char *group)
{
	int id = genl_ctrl_resolve_grp(m->sk, family, group);

	return to_errno(id < 0 ? id : nl_socket_add_membership(m->sk, id));
}

int module_watch(struct module *m)
{
	int error;

	nl_socket_set_buffer_size(m->sk, EVENTS_SIZE, 0);
	/* First this: what has gone by then is missed by the other. */
	error = join(m, "nlctrl", "notify");
	if (!error)
		error = join(m, SHMUX_GENL_NAME, SHMUX_GENL_EVENTS);
	if (error)
		return error;
	nl_socket_disable_seq_check(m->sk);
	nl_socket_modify_cb(m->sk, NL_CB_VALID, NL_CB_CUSTOM, take_event, m);
	return to_errno(nl_socket_set_nonblocking(m->sk));
}

int module_fd(struct module *m)
{
	return nl_socket_get_fd(m->sk);
}

int module_take_events(struct module *m, void (*each)(void *arg, const struct module_event *event),
		       void *arg)
{
	int error;

	m->each = each;
	m->arg = arg;
	do
		error = nl_recvmsgs_default(m->sk);
	while (error >= 0);
	if (m->is_gone)
		return -ENODEV;
	/* Of the socket this can only mean ENOBUFS. */
	if (error == -NLE_NOMEM)
		return -ENOBUFS;
	return error == -NLE_AGAIN || error == -NLE_INTR ? 0 : to_errno(error);
}
