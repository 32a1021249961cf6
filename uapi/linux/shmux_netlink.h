/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * shmux_netlink.h - what the module tells by generic netlink
 *
 * The family "shmux" tells of the listeners and sessions of the asker's network
 * namespace, of quotas and what is used of them, and of what happens, as it
 * happens. The same in the form of a netlink specification: shmux.yaml.
 *
 * Pids are in the asker's pid namespace (0: in none that it sees), users and
 * groups in its user namespace (overflowuid: unknown there). In an event, which
 * has no asker, they are in the initial pid namespace, if the network namespace
 * is the initial one, too, and else 0; and in the user namespace that owns the
 * network namespace.
 */
#ifndef _UAPI_LINUX_SHMUX_NETLINK_H
#define _UAPI_LINUX_SHMUX_NETLINK_H

#define SHMUX_GENL_NAME		"shmux"
#define SHMUX_GENL_VERSION	1
#define SHMUX_GENL_EVENTS	"events"	/* multicast group */

/**
 * enum shmux_cmd - commands, and events
 * @SHMUX_CMD_UNSPEC: none
 * @SHMUX_CMD_LISTENER_GET: by SHMUX_A_LISTENER_NUMBER, or a dump of all. ENOENT:
 *	there is none of that number.
 * @SHMUX_CMD_SESSION_GET: by SHMUX_A_SESSION_NUMBER, or a dump of all. ENOENT:
 *	there is none of that number.
 * @SHMUX_CMD_LIMIT_GET: a dump: a message for each scope and resource
 * @SHMUX_CMD_LIMIT_SET: of a scope and resource. Takes CAP_NET_ADMIN in the
 *	initial user namespace. What is used already stays, though it be more.
 * @SHMUX_CMD_COUNTER_GET: of the whole machine, since the module was loaded
 * @SHMUX_CMD_SESSION_UP: event: both ends are ready. As SESSION_GET tells it.
 * @SHMUX_CMD_SESSION_DOWN: event: hung up, closed, or refused. As SESSION_GET
 *	tells it; only of sessions that were joined.
 * @SHMUX_CMD_PEER_DEATH: event: likewise, as the process of an end has exited
 * @SHMUX_CMD_QUOTA_HIT: event: scope, resource, limit and user; not more than ten
 *	in five seconds
 */
enum shmux_cmd {
	SHMUX_CMD_UNSPEC,
	SHMUX_CMD_LISTENER_GET,
	SHMUX_CMD_SESSION_GET,
	SHMUX_CMD_LIMIT_GET,
	SHMUX_CMD_LIMIT_SET,
	SHMUX_CMD_COUNTER_GET,
	SHMUX_CMD_SESSION_UP,
	SHMUX_CMD_SESSION_DOWN,
	SHMUX_CMD_PEER_DEATH,
	SHMUX_CMD_QUOTA_HIT,
};

/**
 * enum shmux_a_listener - attributes of a listener
 * @SHMUX_A_LISTENER_UNSPEC: none
 * @SHMUX_A_LISTENER_PAD: before 64 bits
 * @SHMUX_A_LISTENER_NUMBER: u32
 * @SHMUX_A_LISTENER_NAME: string
 * @SHMUX_A_LISTENER_PID: u32: who listens
 * @SHMUX_A_LISTENER_UID: u32: user of who listens
 * @SHMUX_A_LISTENER_GID: u32: group of who listens
 * @SHMUX_A_LISTENER_OWNER_UID: u32: user whom the mode's 0200 is for
 * @SHMUX_A_LISTENER_OWNER_GID: u32: group that its 0020 is for
 * @SHMUX_A_LISTENER_MODE: u32: who may connect
 * @SHMUX_A_LISTENER_BACKLOG: u32: sessions that may wait
 * @SHMUX_A_LISTENER_QUEUED: u32: that do
 * @SHMUX_A_LISTENER_ACCEPTED: u64: that have been accepted
 * @SHMUX_A_LISTENER_AGE: u64: ns since LISTEN
 * @__SHMUX_A_LISTENER_NR: how many there are, counting from 0
 */
enum shmux_a_listener {
	SHMUX_A_LISTENER_UNSPEC,
	SHMUX_A_LISTENER_PAD,
	SHMUX_A_LISTENER_NUMBER,
	SHMUX_A_LISTENER_NAME,
	SHMUX_A_LISTENER_PID,
	SHMUX_A_LISTENER_UID,
	SHMUX_A_LISTENER_GID,
	SHMUX_A_LISTENER_OWNER_UID,
	SHMUX_A_LISTENER_OWNER_GID,
	SHMUX_A_LISTENER_MODE,
	SHMUX_A_LISTENER_BACKLOG,
	SHMUX_A_LISTENER_QUEUED,
	SHMUX_A_LISTENER_ACCEPTED,
	SHMUX_A_LISTENER_AGE,
	__SHMUX_A_LISTENER_NR,
};

#define SHMUX_A_LISTENER_MAX (__SHMUX_A_LISTENER_NR - 1)

/**
 * enum shmux_session_phase - how far a session is
 * @SHMUX_PHASE_LONE: one end has a region
 * @SHMUX_PHASE_QUEUED: it waits for a listener
 * @SHMUX_PHASE_JOINED: there are two ends
 * @SHMUX_PHASE_OPEN: both are ready
 * @SHMUX_PHASE_OVER: one has died, hung up, or refused; or nobody was there
 */
enum shmux_session_phase {
	SHMUX_PHASE_LONE,
	SHMUX_PHASE_QUEUED,
	SHMUX_PHASE_JOINED,
	SHMUX_PHASE_OPEN,
	SHMUX_PHASE_OVER,
};

/**
 * enum shmux_cause - why a session is over
 * @SHMUX_CAUSE_NONE: it is not
 * @SHMUX_CAUSE_HANG_UP: the last descriptor was closed, or HANG_UP
 * @SHMUX_CAUSE_DEATH: a process has exited
 * @SHMUX_CAUSE_REFUSAL: by MEET
 * @SHMUX_CAUSE_NOBODY: the listener has gone
 */
enum shmux_cause {
	SHMUX_CAUSE_NONE,
	SHMUX_CAUSE_HANG_UP,
	SHMUX_CAUSE_DEATH,
	SHMUX_CAUSE_REFUSAL,
	SHMUX_CAUSE_NOBODY,
};

/**
 * enum shmux_a_session - attributes of a session
 * @SHMUX_A_SESSION_UNSPEC: none
 * @SHMUX_A_SESSION_PAD: before 64 bits
 * @SHMUX_A_SESSION_NUMBER: u32
 * @SHMUX_A_SESSION_NAME: string: that it was connected to; not of a pair
 * @SHMUX_A_SESSION_PHASE: u32, enum shmux_session_phase
 * @SHMUX_A_SESSION_CAUSE: u32, enum shmux_cause
 * @SHMUX_A_SESSION_SIDE: u32: which end was the cause; if it is over
 * @SHMUX_A_SESSION_AGE: u64: ns since CREATE or PAIR
 * @SHMUX_A_SESSION_CONNECTOR: nest of enum shmux_a_end: end 0, or one of a pair
 * @SHMUX_A_SESSION_ACCEPTOR: nest of enum shmux_a_end: end 1; before joined: who listens
 * @__SHMUX_A_SESSION_NR: how many there are, counting from 0
 */
enum shmux_a_session {
	SHMUX_A_SESSION_UNSPEC,
	SHMUX_A_SESSION_PAD,
	SHMUX_A_SESSION_NUMBER,
	SHMUX_A_SESSION_NAME,
	SHMUX_A_SESSION_PHASE,
	SHMUX_A_SESSION_CAUSE,
	SHMUX_A_SESSION_SIDE,
	SHMUX_A_SESSION_AGE,
	SHMUX_A_SESSION_CONNECTOR,
	SHMUX_A_SESSION_ACCEPTOR,
	__SHMUX_A_SESSION_NR,
};

#define SHMUX_A_SESSION_MAX (__SHMUX_A_SESSION_NR - 1)

/**
 * enum shmux_a_end - attributes of one end of a session
 * @SHMUX_A_END_UNSPEC: none
 * @SHMUX_A_END_PAD: before 64 bits
 * @SHMUX_A_END_PID: u32: who connected, accepted, or made the pair
 * @SHMUX_A_END_UID: u32
 * @SHMUX_A_END_GID: u32
 * @SHMUX_A_END_OWNER: u32: pid of the process whose exit is its death
 * @SHMUX_A_END_SIZE: u64: bytes that its region declares; 0: none yet
 * @SHMUX_A_END_RESIDENT: u64: bytes of it that are there
 * @SHMUX_A_END_KICKS: u64: it has been given (mod 2^32)
 * @SHMUX_A_END_WAITS: u64: it has begun
 * @SHMUX_A_END_SLEEPS: u64: of them, those that slept
 * @__SHMUX_A_END_NR: how many there are, counting from 0
 */
enum shmux_a_end {
	SHMUX_A_END_UNSPEC,
	SHMUX_A_END_PAD,
	SHMUX_A_END_PID,
	SHMUX_A_END_UID,
	SHMUX_A_END_GID,
	SHMUX_A_END_OWNER,
	SHMUX_A_END_SIZE,
	SHMUX_A_END_RESIDENT,
	SHMUX_A_END_KICKS,
	SHMUX_A_END_WAITS,
	SHMUX_A_END_SLEEPS,
	__SHMUX_A_END_NR,
};

#define SHMUX_A_END_MAX (__SHMUX_A_END_NR - 1)

/**
 * enum shmux_scope - for whom a limit is
 * @SHMUX_SCOPE_USER: each user
 * @SHMUX_SCOPE_NET: each network namespace
 * @SHMUX_SCOPE_TOTAL: the machine
 * @SHMUX_NR_SCOPES: how many there are
 */
enum shmux_scope {
	SHMUX_SCOPE_USER,
	SHMUX_SCOPE_NET,
	SHMUX_SCOPE_TOTAL,
	SHMUX_NR_SCOPES,
};

/**
 * enum shmux_resource - what is limited
 * @SHMUX_LISTENERS: listeners
 * @SHMUX_SESSIONS: sessions, by who made them: connected, or made the pair
 * @SHMUX_BYTES: that regions declare
 * @SHMUX_NR_RESOURCES: how many there are
 */
enum shmux_resource {
	SHMUX_LISTENERS,
	SHMUX_SESSIONS,
	SHMUX_BYTES,
	SHMUX_NR_RESOURCES,
};

/**
 * enum shmux_a_limit - attributes of a limit
 * @SHMUX_A_LIMIT_UNSPEC: none
 * @SHMUX_A_LIMIT_PAD: before 64 bits
 * @SHMUX_A_LIMIT_SCOPE: u32, enum shmux_scope
 * @SHMUX_A_LIMIT_RESOURCE: u32, enum shmux_resource
 * @SHMUX_A_LIMIT_MAX_USE: u64: the limit
 * @SHMUX_A_LIMIT_USED: u64: by the asker's user, in its namespace, or in all
 * @SHMUX_A_LIMIT_UID: u32: in an event: who wanted more
 * @__SHMUX_A_LIMIT_NR: how many there are, counting from 0
 */
enum shmux_a_limit {
	SHMUX_A_LIMIT_UNSPEC,
	SHMUX_A_LIMIT_PAD,
	SHMUX_A_LIMIT_SCOPE,
	SHMUX_A_LIMIT_RESOURCE,
	SHMUX_A_LIMIT_MAX_USE,
	SHMUX_A_LIMIT_USED,
	SHMUX_A_LIMIT_UID,
	__SHMUX_A_LIMIT_NR,
};

#define SHMUX_A_LIMIT_MAX (__SHMUX_A_LIMIT_NR - 1)

/**
 * enum shmux_a_counter - counters, each u64
 * @SHMUX_A_COUNTER_UNSPEC: none
 * @SHMUX_A_COUNTER_PAD: before 64 bits
 * @SHMUX_A_COUNTER_CONNECTS: that joined a queue
 * @SHMUX_A_COUNTER_ACCEPTS: sessions
 * @SHMUX_A_COUNTER_KICKS: given
 * @SHMUX_A_COUNTER_WAITS: begun
 * @SHMUX_A_COUNTER_SLEEPS: of them, those that slept
 * @SHMUX_A_COUNTER_WAKES: of these, those that a kick or an end ended
 * @SHMUX_A_COUNTER_DEATHS: ends whose process exited
 * @SHMUX_A_COUNTER_QUOTA_HITS: requests that a limit refused
 * @__SHMUX_A_COUNTER_NR: how many there are, counting from 0
 */
enum shmux_a_counter {
	SHMUX_A_COUNTER_UNSPEC,
	SHMUX_A_COUNTER_PAD,
	SHMUX_A_COUNTER_CONNECTS,
	SHMUX_A_COUNTER_ACCEPTS,
	SHMUX_A_COUNTER_KICKS,
	SHMUX_A_COUNTER_WAITS,
	SHMUX_A_COUNTER_SLEEPS,
	SHMUX_A_COUNTER_WAKES,
	SHMUX_A_COUNTER_DEATHS,
	SHMUX_A_COUNTER_QUOTA_HITS,
	__SHMUX_A_COUNTER_NR,
};

#define SHMUX_A_COUNTER_MAX (__SHMUX_A_COUNTER_NR - 1)

#endif /* _UAPI_LINUX_SHMUX_NETLINK_H */
