// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward_conn.c - a connection: two ends, and what passes between them
 *
 * Owns the bytes that are on their way. What the one side cannot take is left with
 * the other: a stream is looked into and only what went out is taken from it; of a
 * socket as much as was read at once may be held, until all held bytes together come
 * to a bound, from where on sockets are looked into as well.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <linux/shmux_ring.h>

#include "forward.h"
#include "say.h"

enum {
	TURN_PIECES = 8,		/* a busy connection lets the others go after these */
	SMALL = 16 << 10,		/* from a stream; what is more is not copied */
	BULK = 256 << 10,		/* of that, at once */
	HELD_MAX = 16 << 20,		/* all connections together */
};

/* --- what is told --------------------------------------------------------- */

static void say(const struct forward *fw, const struct forward_conn *conn, const char *what)
{
	struct timespec now;
	char at[32];
	struct tm tm;

	if (!fw->options->verbose)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	localtime_r(&now.tv_sec, &tm);
	strftime(at, sizeof(at), "%F %T", &tm);
	fprintf(stderr, "%s.%03ld #%llu %s\n", at, now.tv_nsec / 1000000,
		(unsigned long long)conn->number, what);
}

static void say_begun(const struct forward *fw, const struct forward_conn *conn)
{
	char who[SHMUX_ADDRESS_MAX] = "", what[SHMUX_ADDRESS_MAX + 16];

	if (!fw->options->verbose)
		return;
	if (conn->near.st)
		shmux_stream_peer_address(conn->near.st, who, sizeof(who));
	else
		forward_place_say_peer(conn->near.fd, who, sizeof(who));
	snprintf(what, sizeof(what), "from %s", who);
	say(fw, conn, what);
}

static void say_ended(const struct forward *fw, const struct forward_conn *conn, const char *why)
{
	char what[256];

	snprintf(what, sizeof(what), "ended after %.3f s, %llu bytes there, %llu bytes back: %s",
		 (shmux_now() - conn->begun) / 1e9, (unsigned long long)conn->there.bytes,
		 (unsigned long long)conn->back.bytes, why);
	say(fw, conn, what);
}

/* --- ends ----------------------------------------------------------------- */

static void end_ready(struct forward *fw, struct forward_watch *w, uint32_t events)
{
	struct forward_end *end = (struct forward_end *)w;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		end->writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		end->has_news = true;
	if (events & (EPOLLHUP | EPOLLERR))
		end->is_shaken = true;
	forward_conn_mark(fw, end->conn);
}

static void end_init(struct forward_end *end, struct forward_conn *conn)
{
	*end = (struct forward_end){ .watch.ready = end_ready, .conn = conn, .fd = -1 };
}

static int end_set_socket(struct forward *fw, struct forward_end *end, int fd, bool is_tcp)
{
	end->fd = fd;
	end->is_tcp = is_tcp;
	end->readable = end->writable = true;
	return forward_watch(fw, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &end->watch);
}

static void end_set_stream(struct forward_end *end, struct shmux_stream *st,
			   struct forward_session *session)
{
	end->st = st;
	end->session = session;
	end->readable = end->writable = true;
	session->nr_conns++;
	shmux_stream_set_user(st, end);
}

static void end_drop(struct forward *fw, struct forward_end *end)
{
	if (end->fd >= 0)
		close(end->fd);
	if (end->st) {
		shmux_stream_close(end->st);
		end->session->nr_conns--;
		fw->sweep |= !end->session->nr_conns;
	}
	end->fd = -1;
	end->st = NULL;
}

/* What came of it is not to be taken for all there was. */
static void end_abort(struct forward *fw, struct forward_end *end, uint32_t code)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (end->fd >= 0)
		setsockopt(end->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	if (end->st)
		shmux_stream_reset(end->st, code);
	end_drop(fw, end);
}

/* Return: bytes taken, which may be fewer than @len; or a negative errno. */
static ssize_t end_write(struct forward *fw, struct forward_end *end, const void *data, size_t len)
{
	ssize_t n;

	if (end->st) {
		forward_session_cork(fw, end->session);
		n = shmux_stream_try_write(end->st, data, len);
	} else {
		n = send(end->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		n = n < 0 ? -errno : n;
	}
	if (n < 0 ? n == -EAGAIN : (size_t)n < len)
		end->writable = false;
	return n;
}

/* Nothing more will be written to it. */
static int end_finish(struct forward *fw, struct forward_end *end)
{
	if (end->st) {
		forward_session_cork(fw, end->session);
		return shmux_stream_shutdown(end->st, SHMUX_WRITE);
	}
	return shutdown(end->fd, SHUT_WR) ? -errno : 0;
}

/* Nobody wants what it sends. A socket cannot be told; it is not read any more. */
static void end_refuse(struct forward *fw, struct forward_end *end)
{
	if (!end->st)
		return;
	forward_session_cork(fw, end->session);
	shmux_stream_shutdown(end->st, SHMUX_READ);
}

/* --- one direction -------------------------------------------------------- */

/* Bytes that have been read and not passed on. Return: 0, or -ENOMEM: they are lost. */
static int hold(struct forward *fw, struct forward_flow *flow, const char *data, size_t len)
{
	flow->held = malloc(len);
	if (!flow->held)
		return -ENOMEM;
	memcpy(flow->held, data, len);
	flow->held_pos = 0;
	flow->held_len = len;
	fw->held += len;
	return 0;
}

static void drop_held(struct forward *fw, struct forward_flow *flow)
{
	if (flow->held)
		fw->held -= flow->held_len;
	free(flow->held);
	flow->held = NULL;
}

/*
 * Each of these passes a piece on. Return: 1: there may be more; 0: not now; or what
 * @from failed with, or, with *@culprit set to that end, @to.
 */
typedef int pass_fn(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		    struct forward_end *to, struct forward_end **culprit);

static int pass_held(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		     struct forward_end *to, struct forward_end **culprit)
{
	ssize_t n;

	(void)from;
	*culprit = to;
	n = end_write(fw, to, flow->held + flow->held_pos, flow->held_len - flow->held_pos);
	if (n < 0)
		return n == -EAGAIN ? 0 : n;
	flow->bytes += n;
	flow->held_pos += n;
	if (flow->held_pos == flow->held_len)
		drop_held(fw, flow);
	return 1;
}

/* What was read is to go to @to; the rest is held. */
static int pass_read(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		     struct forward_end *to, size_t len, struct forward_end **culprit)
{
	ssize_t taken;

	*culprit = to;
	taken = end_write(fw, to, fw->scratch, len);
	if (taken < 0 && taken != -EAGAIN)
		return taken;
	if (taken < 0)
		taken = 0;
	flow->bytes += taken;
	*culprit = from;
	return (size_t)taken < len ? hold(fw, flow, fw->scratch + taken, len - taken) : 1;
}

/* Nothing but what went out is taken from the socket. */
static int pass_seen(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		     struct forward_end *to, size_t len, struct forward_end **culprit)
{
	ssize_t taken;

	*culprit = to;
	taken = end_write(fw, to, fw->scratch, len);
	if (taken <= 0)
		return taken == -EAGAIN ? 1 : taken;
	flow->bytes += taken;
	*culprit = from;
	return recv(from->fd, fw->scratch, taken, MSG_DONTWAIT) < 0 ? -errno : 1;
}

static int pass_socket(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		       struct forward_end *to, struct forward_end **culprit)
{
	bool is_tight = fw->held + FORWARD_PIECE > HELD_MAX;
	ssize_t n;

	n = recv(from->fd, fw->scratch, FORWARD_PIECE, MSG_DONTWAIT | (is_tight ? MSG_PEEK : 0));
	if (n < 0 && errno == EINTR)
		return 1;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (n <= 0) {
		from->readable = false;
		flow->ended = !n;
		return !n;
	}
	if (is_tight)
		return pass_seen(fw, flow, from, to, n, culprit);
	if (n < FORWARD_PIECE && !from->has_news)
		from->readable = false;
	return pass_read(fw, flow, from, to, n, culprit);
}

/* Many bytes lie there: pass on as many as go, from where they lie. */
static int pass_bulk(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		     struct forward_end *to, size_t len, struct forward_end **culprit)
{
	size_t most = shmux_stream_peek_max(from->st);
	const void *data;
	ssize_t n, taken;

	if (most > BULK)
		most = BULK;
	n = shmux_stream_peek(from->st, len < most ? len : most, &data);
	if (n < 0)
		return n;
	*culprit = to;
	taken = end_write(fw, to, data, n);
	if (taken < 0 && taken != -EAGAIN)
		return taken;
	if (taken < 0)
		taken = 0;
	flow->bytes += taken;
	*culprit = from;
	/* None, too: that we look is to end. */
	n = shmux_stream_discard(from->st, taken);
	return n < 0 ? n : 1;
}

static int pass_stream(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		       struct forward_end *to, struct forward_end **culprit)
{
	ssize_t n = 0;

	forward_session_cork(fw, from->session);
	if (flow->is_bulk || fw->held + SMALL > HELD_MAX) {
		n = shmux_stream_next_len(from->st);
		if (n > 0)
			return pass_bulk(fw, flow, from, to, n, culprit);
	}
	if (!n)
		n = shmux_stream_try_read(from->st, fw->scratch, SMALL);
	flow->is_bulk = n == SMALL;
	if (n == -EAGAIN || !n) {
		from->readable = false;
		flow->ended = !n;
		return !n;
	}
	return n < 0 ? n : pass_read(fw, flow, from, to, n, culprit);
}

/* Of the two ends one reads no more; the other direction goes on. */
static void give_up_flow(struct forward *fw, struct forward_flow *flow, struct forward_end *from)
{
	drop_held(fw, flow);
	flow->done = true;
	end_refuse(fw, from);
}

/* Return: 1: there may be more to do; 0: not now; or an error of *@culprit. */
static int run_flow(struct forward *fw, struct forward_flow *flow, struct forward_end *from,
		    struct forward_end *to, struct forward_end **culprit)
{
	int result = 1;

	for (int i = 0; i < TURN_PIECES && result > 0 && !flow->done; i++) {
		if (!to->writable || !(flow->held || flow->ended || from->readable))
			return 0;
		*culprit = from;
		if (flow->held) {
			result = pass_held(fw, flow, from, to, culprit);
		} else if (flow->ended) {
			*culprit = to;
			result = end_finish(fw, to);
			flow->done = true;
		} else {
			result = (from->st ? pass_stream : pass_socket)(fw, flow, from, to, culprit);
		}
		/* From TCP that is what is left of a reset. */
		if (result == -EPIPE && *culprit == to && !to->is_tcp) {
			give_up_flow(fw, flow, from);
			result = 0;
		}
	}
	return flow->done && result > 0 ? 0 : result;
}

/* --- a connection's life -------------------------------------------------- */

void forward_conn_mark(struct forward *fw, struct forward_conn *conn)
{
	if (conn->is_busy || conn->is_waiting)
		return;
	conn->is_busy = true;
	TAILQ_INSERT_TAIL(&fw->busy, conn, busy);
}

static void mark_waiting(struct forward *fw, struct forward_conn *conn)
{
	if (conn->is_waiting)
		return;
	conn->is_waiting = true;
	TAILQ_INSERT_TAIL(&fw->waiting, conn, waiting);
}

static void mark_found(struct forward *fw, struct forward_conn *conn)
{
	if (!conn->is_waiting)
		return;
	conn->is_waiting = false;
	TAILQ_REMOVE(&fw->waiting, conn, waiting);
}

static void free_conn(struct forward *fw, struct forward_conn *conn)
{
	if (conn->is_busy)
		TAILQ_REMOVE(&fw->busy, conn, busy);
	mark_found(fw, conn);
	drop_held(fw, &conn->there);
	drop_held(fw, &conn->back);
	fw->counters.there += conn->there.bytes;
	fw->counters.back += conn->back.bytes;
	TAILQ_REMOVE(&fw->conns, conn, all);
	fw->nr_conns--;
	free(conn);
	/* There is a descriptor to be had. */
	if (fw->retry_at)
		fw->retry_at = 1;
}

static void end_conn(struct forward *fw, struct forward_conn *conn)
{
	say_ended(fw, conn, "both directions have ended");
	fw->counters.ended++;
	end_drop(fw, &conn->near);
	end_drop(fw, &conn->far);
	free_conn(fw, conn);
}

/* The code that came is passed on, if it is an application's. */
static uint32_t code_of(const struct forward_end *culprit)
{
	uint32_t code;

	if (culprit && culprit->st && !shmux_stream_reset_code(culprit->st, &code) &&
	    code >= SHMUX_CODE_USER)
		return code;
	return SHMUX_CODE_USER;
}

static void reset_conn(struct forward *fw, struct forward_conn *conn, const char *why,
		       uint32_t code)
{
	say_ended(fw, conn, why);
	end_abort(fw, &conn->near, code);
	end_abort(fw, &conn->far, code);
	free_conn(fw, conn);
}

static void fail_conn(struct forward *fw, struct forward_conn *conn,
		      const struct forward_end *culprit, int error)
{
	const char *side = culprit == &conn->near ? "near" : "far";
	const char *name = strerrorname_np(-error);
	char why[128];

	if (error == -ECONNRESET)
		snprintf(why, sizeof(why), "reset by the %s side", side);
	else
		snprintf(why, sizeof(why), "the %s side failed (%s)", side, name ? name : "?");
	fw->counters.reset++;
	reset_conn(fw, conn, why, code_of(culprit));
}

/* The target cannot be reached: that costs this connection. */
static void miss_conn(struct forward *fw, struct forward_conn *conn, int error)
{
	bool knows = fw->target.kind == PLACE_SESSION || error == -ECONNREFUSED || error == -ENOENT;
	const char *reason = knows ? say_address_reason(error) : NULL;

	say_cannot(error, reason, "reach %s", fw->target.text);
	fw->counters.unreached++;
	reset_conn(fw, conn, "the target cannot be reached", SHMUX_CODE_USER);
}

/* --- to the target -------------------------------------------------------- */

static int reach_socket(struct forward *fw, struct forward_conn *conn)
{
	bool is_tcp = fw->target.kind == PLACE_TCP;
	int fd, error = -ECONNREFUSED;

	while (conn->next_addr < fw->target.nr) {
		fd = forward_place_connect(&fw->target, conn->next_addr);
		if (fd == -EAGAIN || forward_is_lack(fd)) {
			forward_back_off(fw);
			return -EAGAIN;
		}
		conn->next_addr++;
		error = fd < 0 ? fd : end_set_socket(fw, &conn->far, fd, is_tcp);
		conn->far.is_connecting = !error;
		conn->far.writable = false;
		if (!error)
			return 0;
		end_drop(fw, &conn->far);
	}
	return error;
}

static int reach_stream(struct forward *fw, struct forward_conn *conn)
{
	struct forward_session *session;
	struct shmux_stream *st;
	int error;

	error = forward_dial_open(fw, &st, &session);
	if (!error)
		end_set_stream(&conn->far, st, session);
	return error;
}

static void reach(struct forward *fw, struct forward_conn *conn)
{
	int error;

	if (fw->target.kind == PLACE_SESSION)
		error = reach_stream(fw, conn);
	else
		error = reach_socket(fw, conn);
	if (error == -EAGAIN) {
		mark_waiting(fw, conn);
		return;
	}
	mark_found(fw, conn);
	if (error)
		miss_conn(fw, conn, error);
	else
		forward_conn_mark(fw, conn);
}

void forward_conns_retry(struct forward *fw)
{
	struct forward_conn *conn, *next;

	if (!fw->look_again)
		return;
	fw->look_again = false;
	for (conn = TAILQ_FIRST(&fw->waiting); conn; conn = next) {
		next = TAILQ_NEXT(conn, waiting);
		reach(fw, conn);
	}
}

static struct forward_conn *new_conn(struct forward *fw)
{
	struct forward_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	end_init(&conn->near, conn);
	end_init(&conn->far, conn);
	conn->number = ++fw->counters.opened;
	conn->begun = shmux_now();
	TAILQ_INSERT_TAIL(&fw->conns, conn, all);
	fw->nr_conns++;
	return conn;
}

void forward_conn_take_socket(struct forward *fw, int fd)
{
	struct forward_conn *conn = new_conn(fw);
	bool is_tcp = fw->listen.kind == PLACE_TCP;
	const int yes = 1;
	int error;

	if (!conn) {
		close(fd);
		return;
	}
	if (is_tcp)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	error = end_set_socket(fw, &conn->near, fd, is_tcp);
	say_begun(fw, conn);
	if (error)
		fail_conn(fw, conn, &conn->near, error);
	else
		reach(fw, conn);
}

void forward_conn_take_stream(struct forward *fw, struct shmux_stream *st,
			      struct forward_session *session)
{
	struct forward_conn *conn = new_conn(fw);

	if (!conn) {
		shmux_stream_reset(st, SHMUX_CODE_USER);
		shmux_stream_close(st);
		return;
	}
	end_set_stream(&conn->near, st, session);
	/* What its peer has said before is no event. */
	conn->near.is_shaken = true;
	say_begun(fw, conn);
	if (shmux_stream_is_message(st))
		fail_conn(fw, conn, &conn->near, -EOPNOTSUPP);
	else
		reach(fw, conn);
}

/* --- turns ---------------------------------------------------------------- */

/* Return: 0: it is connected; -EAGAIN: not yet, or to another address. */
static int finish_connect(struct forward *fw, struct forward_conn *conn)
{
	struct forward_end *far = &conn->far;
	socklen_t len = sizeof(int);
	int error;

	if (!far->writable)
		return -EAGAIN;
	if (getsockopt(far->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error) {
		far->is_connecting = false;
		return 0;
	}
	end_drop(fw, far);
	end_init(far, conn);
	if (conn->next_addr < fw->target.nr)
		reach(fw, conn);
	else
		miss_conn(fw, conn, -error);
	return -EAGAIN;
}

/*
 * A socket has told of an error, or that both its directions are shut. Such a Unix
 * socket takes no more, and there is nobody who could have meant to half-close; what
 * a TCP socket shall not take it answers with a reset.
 */
static int check_socket(struct forward *fw, struct forward_end *end, const struct forward_flow *in,
			struct forward_flow *out, struct forward_end *other)
{
	socklen_t len = sizeof(int);
	int error;

	if (getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (error)
		return -error;
	if (!end->is_tcp && !out->done && in->ended)
		give_up_flow(fw, out, other);
	/* Else once it is read to its end. */
	end->is_shaken = !end->is_tcp && !out->done;
	return 0;
}

/* Who has nothing to write finds out, too, that the peer reads no more. */
static void check_stream(struct forward *fw, struct forward_end *end, struct forward_flow *out,
			 struct forward_end *other)
{
	end->is_shaken = false;
	if (!out->done && shmux_stream_try_write(end->st, "", 0) == -EPIPE)
		give_up_flow(fw, out, other);
}

static int check_end(struct forward *fw, struct forward_end *end, const struct forward_flow *in,
		     struct forward_flow *out, struct forward_end *other)
{
	if (!end->is_shaken || end->is_connecting)
		return 0;
	if (!end->st)
		return check_socket(fw, end, in, out, other);
	check_stream(fw, end, out, other);
	return 0;
}

static void run_conn(struct forward *fw, struct forward_conn *conn)
{
	struct forward_end *near = &conn->near, *far = &conn->far, *culprit = near;
	int there, back = 0;

	there = check_end(fw, near, &conn->there, &conn->back, far);
	if (!there && far->is_connecting && finish_connect(fw, conn))
		return;
	if (!there) {
		culprit = far;
		there = check_end(fw, far, &conn->back, &conn->there, near);
	}
	if (there >= 0)
		there = run_flow(fw, &conn->there, near, far, &culprit);
	if (there >= 0)
		back = run_flow(fw, &conn->back, far, near, &culprit);
	if (there < 0 || back < 0)
		fail_conn(fw, conn, culprit, there < 0 ? there : back);
	else if (conn->there.done && conn->back.done)
		end_conn(fw, conn);
	else if (there || back || (near->is_shaken && conn->there.ended) ||
		 (far->is_shaken && conn->back.ended))
		forward_conn_mark(fw, conn);
}

void forward_conns_run(struct forward *fw)
{
	struct forward_conn *conn, *last = TAILQ_LAST(&fw->busy, forward_conns);
	bool is_last = !last;

	while (!is_last) {
		conn = TAILQ_FIRST(&fw->busy);
		is_last = conn == last;
		TAILQ_REMOVE(&fw->busy, conn, busy);
		conn->is_busy = false;
		run_conn(fw, conn);
	}
}

unsigned int forward_conns_cut(struct forward *fw)
{
	struct forward_conn *conn, *next;
	unsigned int nr = 0;

	for (conn = TAILQ_FIRST(&fw->conns); conn; conn = next) {
		next = TAILQ_NEXT(conn, all);
		fw->counters.reset++;
		reset_conn(fw, conn, "cut", SHMUX_CODE_USER);
		nr++;
	}
	return nr;
}

void forward_conns_lost(struct forward *fw, const struct forward_session *session)
{
	struct forward_conn *conn;

	TAILQ_FOREACH(conn, &fw->conns, all) {
		if (conn->near.session != session && conn->far.session != session)
			continue;
		conn->near.readable = conn->near.writable = true;
		conn->far.readable = conn->far.writable = true;
		forward_conn_mark(fw, conn);
	}
}
