/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * forward.h - what the files of `shmux forward` share
 *
 * A connection joins two ends, the near one at LISTEN and the far one at TARGET; an
 * end is a socket or a stream. One thread takes turns: first what is ready is noted,
 * then each connection that may go on does, then goes out what the sessions have got
 * to send. Nothing is freed while ready things are noted.
 */
#ifndef SHMUX_TOOLS_FORWARD_H
#define SHMUX_TOOLS_FORWARD_H

#include <netinet/in.h>
#include <shmux/shmux.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/un.h>

struct forward;
struct forward_conn;

/* --- forward_place.c: LISTEN and TARGET, as given ------------------------ */

enum { FORWARD_ADDRS = 8 };

union forward_sockaddr {
	struct sockaddr any;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
	struct sockaddr_un un;
};

struct forward_place {
	const char *text;
	enum { PLACE_SESSION, PLACE_TCP, PLACE_UNIX } kind;
	bool is_only;		/* a session that cannot be had a second time */
	int nr;			/* of a plain socket's */
	union forward_sockaddr addrs[FORWARD_ADDRS];
	socklen_t lens[FORWARD_ADDRS];
};

/* Return: 0, or an exit code after having said what is wrong. */
int forward_place_read(struct forward_place *place, const char *text);

/*
 * Listen at each address of a plain place. Return: how many sockets are in @fds, or a
 * negative errno. Where the port is 0, @place has the port that it became.
 */
int forward_place_listen(struct forward_place *place, bool any_user, int fds[FORWARD_ADDRS]);
void forward_place_unlink(const struct forward_place *place);

/*
 * Begin to connect to the address number @i. Return: a socket, or a negative errno;
 * -EAGAIN: a Unix socket's queue is full.
 */
int forward_place_connect(const struct forward_place *place, int i);

/* Whoever has connected, as text. */
void forward_place_say_peer(int fd, char *buf, size_t size);

/* --- forward.c: the loop -------------------------------------------------- */

/* What the loop watches: called with what epoll said. At the beginning of something. */
struct forward_watch {
	void (*ready)(struct forward *fw, struct forward_watch *w, uint32_t events);
};

struct forward_options {
	bool help;
	bool quiet;
	bool verbose;
	bool any_user;
	uint64_t drain;		/* ns, or SHMUX_NEVER */
	const char *listen, *target;
};

struct forward_counters {
	uint64_t opened, ended, reset, unreached;
	uint64_t there, back;	/* bytes */
};

/* Bytes read from a socket at once. */
enum { FORWARD_PIECE = 64 << 10 };

TAILQ_HEAD(forward_conns, forward_conn);
LIST_HEAD(forward_sessions, forward_session);

struct forward {
	const struct forward_options *options;
	struct forward_place listen, target;
	int epoll;
	uint64_t turn;		/* counted */

	struct forward_watch signals_watch, plain_watch, listener_watch, dial_watch;
	int signals;
	int nr_signals;
	bool is_draining;
	uint64_t drain_until;	/* ns, or SHMUX_NEVER */
	uint64_t retry_at;	/* ns; 0: nothing waits for descriptors or the like */

	/* LISTEN. */
	int plain[FORWARD_ADDRS];
	int nr_plain;
	bool plain_is_watched;
	struct shmux_listener *listener;
	uint64_t listener_at;	/* ns: when it is watched again; 0: it is */

	/* TARGET, if it is a session. */
	struct forward_session *current;
	struct forward_dial *dial;	/* under way */
	int dial_error;		/* of the last one, for those who wait */
	int dial_fd;		/* eventfd: it is over */

	struct forward_sessions sessions;
	struct forward_sessions corked;
	struct forward_conns conns;	/* all of them */
	struct forward_conns busy;	/* which may have something to do */
	struct forward_conns waiting;	/* for the target; nothing is accepted meanwhile */
	bool look_again;	/* at those */
	bool sweep;		/* there may be sessions with nothing left to do */
	unsigned int nr_conns;

	bool is_over;		/* the only session is */
	int status;		/* to exit with */
	struct forward_counters counters;
	uint64_t held;		/* bytes read and not passed on */
	char scratch[FORWARD_PIECE];
};

/* Return: 0 or a negative errno. */
int forward_watch(struct forward *fw, int fd, uint32_t events, struct forward_watch *w);
void forward_unwatch(struct forward *fw, int fd);

/* May another connection be taken now? */
bool forward_may_accept(const struct forward *fw);

/* Something is not to be had; look again in a while, or when a connection has ended. */
void forward_back_off(struct forward *fw);
bool forward_is_lack(int error);

/* --- forward_session.c: the sessions -------------------------------------- */

struct forward_session {
	struct forward_watch watch;
	struct shmux_session *s;
	bool is_near;
	bool is_dead;
	bool is_lost;		/* it is, and there will be no other */
	bool is_corked;
	bool has_pending;	/* streams to accept */
	bool was_used;		/* a far one has carried a stream */
	unsigned int nr_conns;
	LIST_ENTRY(forward_session) all, corked;
};

extern const struct shmux_session_options forward_session_options;

/* Have it served. Return: NULL after having closed it. */
struct forward_session *forward_session_add(struct forward *fw, struct shmux_session *s,
					    bool is_near, int *error);

/* Hold back what is written to it until the end of the turn. */
void forward_session_cork(struct forward *fw, struct forward_session *session);
void forward_sessions_flush(struct forward *fw);

/* Accept the streams that wait, as far as they may be taken now. */
void forward_sessions_accept(struct forward *fw);

/* The near ones are to open no more streams. */
void forward_sessions_drain(struct forward *fw);

/* Close those that have nothing left to do. */
void forward_sessions_sweep(struct forward *fw);
void forward_sessions_close(struct forward *fw);

/* --- forward_dial.c: a session with TARGET -------------------------------- */

/*
 * A stream to the target. Return: 0; -EAGAIN: not now, the connection is to wait; or a
 * negative errno: it cannot be reached.
 */
int forward_dial_open(struct forward *fw, struct shmux_stream **st,
		      struct forward_session **session);

/* Have the session at once. Return: 0 or a negative errno. */
int forward_dial_now(struct forward *fw);
void forward_dial_ready(struct forward *fw, struct forward_watch *w, uint32_t events);

/* --- forward_conn.c: connections ------------------------------------------ */

struct forward_end {
	struct forward_watch watch;	/* a socket's */
	struct forward_conn *conn;
	int fd;				/* or -1 */
	struct shmux_stream *st;	/* or NULL */
	struct forward_session *session;
	bool readable, writable;	/* for all we know */
	bool is_tcp;
	bool is_connecting;
	bool has_news;		/* of an end or an error: a short read is not all */
	bool is_shaken;		/* there may be an error, or nobody who reads */
};

/* One direction. */
struct forward_flow {
	uint64_t bytes;
	char *held;		/* read and not passed on, or NULL */
	unsigned int held_pos, held_len;
	bool is_bulk;		/* a lot came last time */
	bool ended;		/* there is nothing more to read */
	bool done;		/* and that is passed on; or nobody wants it */
};

struct forward_conn {
	struct forward_end near, far;
	struct forward_flow there, back;
	uint64_t number;
	uint64_t begun;		/* ns */
	int next_addr;		/* of the target's, to be tried next */
	bool is_busy, is_waiting;
	TAILQ_ENTRY(forward_conn) all, busy, waiting;
};

/* Take over a socket or a stream that has come. */
void forward_conn_take_socket(struct forward *fw, int fd);
void forward_conn_take_stream(struct forward *fw, struct shmux_stream *st,
			      struct forward_session *session);

void forward_conn_mark(struct forward *fw, struct forward_conn *conn);

/* Let those that wait for the target try again. */
void forward_conns_retry(struct forward *fw);

/* A turn for each that is busy. */
void forward_conns_run(struct forward *fw);

/* Reset all. Return: how many there were. */
unsigned int forward_conns_cut(struct forward *fw);

/* The session is over: let its connections find out. */
void forward_conns_lost(struct forward *fw, const struct forward_session *session);

#endif /* SHMUX_TOOLS_FORWARD_H */
