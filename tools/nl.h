/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nl.h - what the kernel module tells
 *
 * As structures of plain numbers: who includes this knows nothing of netlink.
 * nl.c asks by libnl; nl_none.c stands in for it where a build has no libnl, and
 * knows of no module.
 *
 * Everything returns 0 or -errno; module_reason() knows the sentence. Pids that
 * we do not see are 0.
 */
#ifndef SHMUX_TOOLS_NL_H
#define SHMUX_TOOLS_NL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/shmux.h>
#include <linux/shmux_netlink.h>

struct module_listener {
	uint32_t number;
	char name[SHMUX_NAME_SIZE];
	pid_t pid;
	uint32_t uid, gid;
	uint32_t owner_uid, owner_gid;	/* whom @mode is about */
	uint32_t mode;
	uint32_t backlog, queued;
	uint64_t accepted;
	uint64_t age;			/* ns */
};

struct module_end {
	bool is_there;
	pid_t pid;			/* connected, accepted or made the pair */
	uint32_t uid, gid;
	pid_t owner;			/* whose exit is its death */
	uint64_t size, resident;	/* bytes of its region */
	uint64_t kicks, waits, sleeps;
};

struct module_session {
	uint32_t number;
	char name[SHMUX_NAME_SIZE];	/* empty: a pair */
	uint32_t phase;			/* enum shmux_session_phase */
	uint32_t cause;			/* enum shmux_cause */
	uint32_t side;			/* which end was the cause */
	uint64_t age;			/* ns */
	struct module_end ends[2];	/* connector, acceptor */
};

struct module_limit {
	uint64_t max, used;
};

struct module_limits {
	struct module_limit of[SHMUX_NR_SCOPES][SHMUX_NR_RESOURCES];
};

struct module_counters {
	uint64_t of[SHMUX_A_COUNTER_MAX + 1]; /* by enum shmux_a_counter */
};

struct module_event {
	uint8_t what;			/* enum shmux_cmd: an event */
	struct module_session session;	/* but of SHMUX_CMD_QUOTA_HIT */
	uint32_t scope, resource, uid;	/* of that */
	uint64_t max;
};

struct module;

/* -ENOENT: it is not loaded. -ENOSYS: this build cannot ask. */
int module_open(struct module **m);
void module_close(struct module *m);

/* Why it is, or NULL where the system's own words will do. */
const char *module_reason(int error);

/* All of this network namespace, by number; the caller's to free(). */
int module_listeners(struct module *m, struct module_listener **all, size_t *nr);
int module_sessions(struct module *m, struct module_session **all, size_t *nr);

int module_limits(struct module *m, struct module_limits *limits);

/* -EPERM: that takes CAP_NET_ADMIN. */
int module_limit_set(struct module *m, enum shmux_scope scope, enum shmux_resource resource,
		     uint64_t max);

int module_counters(struct module *m, struct module_counters *counters);

/*
 * From now on this one hears events, and asks nothing more. module_fd() is
 * readable when there are some.
 */
int module_watch(struct module *m);
int module_fd(struct module *m);

/*
 * Call @each for those that have come. Return: 0; -ENOBUFS: some were lost, as
 * they came faster than we took them; -ENODEV: the module has been unloaded.
 */
int module_take_events(struct module *m, void (*each)(void *arg, const struct module_event *event),
		       void *arg);

#endif /* SHMUX_TOOLS_NL_H */
