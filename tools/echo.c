// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * echo.c - `shmux echo`: a server that sends back whatever comes
 *
 * One thread, an epoll loop over the listener, the sessions and the signals. A
 * stream that cannot send keeps hold of what it has received, which is what
 * holds back its own sender and nobody else.
 */
#include <errno.h>
#include <shmux/shmux.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <linux/shmux_ring.h>

#include "args.h"
#include "commands.h"
#include "say.h"
#include "server.h"

enum {
	TURN_PIECES = 16,		/* a busy stream lets the others go after these */
	EVENTS = 64,
	RETRY_MS = 100,			/* while there are no descriptors to be had */
};

static const char usage[] =
	"Usage: shmux echo [OPTION]... ADDRESS\n"
	"\n"
	"Listens, and sends back what comes on any number of streams; messages stay messages.\n"
	"On SIGTERM or SIGINT takes no more streams, lets those that are open run to their\n"
	"end, and leaves; a second signal cuts them.\n"
	"\n"
	"  --drain SECONDS  how long they may take (5)\n"
	"  --any-user       serve any user; otherwise only one's own\n"
	"  --quiet          say nothing of what is no failure\n"
	"  --help           show this text\n"
	"\n"
	"Prints `listening on ADDRESS' on standard error when it is ready.\n";

struct options {
	bool help;
	bool quiet;
	bool any_user;
	uint64_t drain;
	const char *address;
};

struct session;

struct stream {
	struct shmux_stream *st;
	struct session *session;
	struct shmux_view view;		/* a byte stream's piece in hand */
	char *message;			/* a message stream's; NULL: none yet */
	size_t len;			/* of the piece in hand */
	size_t sent;			/* of the piece in hand */
	bool holds;			/* there is a piece in hand */
	bool is_busy;			/* on server.busy */
	TAILQ_ENTRY(stream) busy;
	LIST_ENTRY(stream) all;
};

struct session {
	struct shmux_session *s;
	LIST_HEAD(, stream) streams;
	bool is_dead;
	LIST_ENTRY(session) all;
};

struct server {
	const struct options *options;
	struct shmux_listener *listener;	/* NULL: draining */
	int epoll;
	int signals;
	int nr_signals;
	uint64_t drain_until;		/* ns, SHMUX_NEVER until asked to */
	uint64_t retry_at;		/* ns, 0: the listener is polled */
	LIST_HEAD(, session) sessions;
	TAILQ_HEAD(, stream) busy;	/* may have something to do right now */
};

/* --- streams ------------------------------------------------------------ */

static void mark_busy(struct server *server, struct stream *stream)
{
	if (stream->is_busy)
		return;
	stream->is_busy = true;
	TAILQ_INSERT_TAIL(&server->busy, stream, busy);
}

static void mark_idle(struct server *server, struct stream *stream)
{
	if (!stream->is_busy)
		return;
	stream->is_busy = false;
	TAILQ_REMOVE(&server->busy, stream, busy);
}

static void drop_piece(struct stream *stream)
{
	if (stream->holds && !stream->message)
		shmux_stream_release(stream->st, &stream->view);
	free(stream->message);
	stream->message = NULL;
	stream->holds = false;
}

/* What was cut short shall not look complete. */
static void close_stream(struct server *server, struct stream *stream, int error)
{
	mark_idle(server, stream);
	drop_piece(stream);
	if (error != -ENODATA)
		shmux_stream_reset(stream->st, SHMUX_CODE_USER);
	shmux_stream_close(stream->st);
	LIST_REMOVE(stream, all);
	free(stream);
}

static ssize_t take_message(struct stream *stream)
{
	ssize_t len = shmux_stream_next_len(stream->st);

	if (len < 0)
		return len;
	stream->message = malloc(len ? len : 1);
	if (!stream->message)
		return -ENOMEM;
	stream->len = len;
	return shmux_stream_try_read(stream->st, stream->message, len);
}

/* Return: 0: the next piece is in hand; -ENODATA: there will be none. */
static int take_piece(struct stream *stream)
{
	ssize_t n;

	if (shmux_stream_is_message(stream->st)) {
		n = take_message(stream);
		if (n < 0) {
			drop_piece(stream);
			return n;
		}
	} else {
		n = shmux_stream_take(stream->st, &stream->view, SHMUX_NOWAIT);
		if (n <= 0)
			return n ? n : -ENODATA;
		stream->len = n;
	}
	stream->sent = 0;
	stream->holds = true;
	return 0;
}

/* Return: 0: it is sent; -EAGAIN: not all of it. */
static int send_piece(struct stream *stream)
{
	const char *data = stream->message ? stream->message : stream->view.data;
	ssize_t n;

	do {
		n = shmux_stream_try_write(stream->st, data + stream->sent,
					   stream->len - stream->sent);
		if (n < 0)
			return n;
		stream->sent += n;
	} while (stream->sent < stream->len);
	drop_piece(stream);
	return 0;
}

/* Return: 0: there may be more; -EAGAIN: not now; else the stream is over. */
static int echo_some(struct stream *stream)
{
	int error;

	for (int i = 0; i < TURN_PIECES; i++) {
		error = stream->holds ? 0 : take_piece(stream);
		if (!error)
			error = send_piece(stream);
		if (error)
			return error;
	}
	return 0;
}

/* --- sessions ----------------------------------------------------------- */

static void add_stream(struct server *server, struct session *session, struct shmux_stream *st)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		shmux_stream_reset(st, SHMUX_CODE_USER);
		shmux_stream_close(st);
		return;
	}
	stream->st = st;
	stream->session = session;
	shmux_stream_set_user(st, stream);
	LIST_INSERT_HEAD(&session->streams, stream, all);
	mark_busy(server, stream);
}

static void accept_streams(struct server *server, struct session *session)
{
	struct shmux_stream *st;

	while (!shmux_session_accept(session->s, SHMUX_NOWAIT, &st))
		add_stream(server, session, st);
}

static void close_session(struct session *session)
{
	shmux_session_close(session->s, 0);
	LIST_REMOVE(session, all);
	free(session);
}

/* The client keeps its session for the next stream, unless one of us leaves. */
static void close_session_if_done(struct server *server, struct session *session)
{
	if (LIST_EMPTY(&session->streams) && (session->is_dead || !server->listener))
		close_session(session);
}

/* What had arrived before the death is still read; then the streams fail. */
static void mark_dead(struct server *server, struct session *session)
{
	struct stream *stream;

	session->is_dead = true;
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, shmux_session_fd(session->s), NULL);
	LIST_FOREACH(stream, &session->streams, all)
		mark_busy(server, stream);
}

static void serve_session(struct server *server, struct session *session)
{
	struct shmux_event events[EVENTS];
	bool is_dead = false;
	int n;

	do {
		n = shmux_session_pump(session->s, events, EVENTS);
		for (int i = 0; i < n; i++) {
			if (events[i].events & SHMUX_EVENT_ACCEPT)
				accept_streams(server, session);
			if (events[i].events & SHMUX_EVENT_DEAD)
				is_dead = true;
			if (events[i].user)
				mark_busy(server, events[i].user);
		}
	} while (n == EVENTS);
	if (n < 0 || is_dead)
		mark_dead(server, session);
	close_session_if_done(server, session);
}

/* One turn for each stream that is busy now. */
static void serve_busy_streams(struct server *server)
{
	TAILQ_HEAD(, stream) turn = TAILQ_HEAD_INITIALIZER(turn);
	struct session *session;
	struct stream *stream;
	int error;

	TAILQ_CONCAT(&turn, &server->busy, busy);
	while ((stream = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, stream, busy);
		stream->is_busy = false;
		error = echo_some(stream);
		if (!error)
			mark_busy(server, stream);
		if (!error || error == -EAGAIN)
			continue;
		session = stream->session;
		close_stream(server, stream, error);
		close_session_if_done(server, session);
	}
}

/* --- the listener ------------------------------------------------------- */

static int watch(struct server *server, int fd, void *what)
{
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

	if (fd < 0)
		return fd;
	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int add_session(struct server *server, struct shmux_session *s)
{
	struct session *session = calloc(1, sizeof(*session));
	int error;

	if (!session) {
		shmux_session_close(s, 0);
		return -ENOMEM;
	}
	session->s = s;
	LIST_INIT(&session->streams);
	LIST_INSERT_HEAD(&server->sessions, session, all);
	error = watch(server, shmux_session_fd(s), session);
	if (error) {
		close_session(session);
		return error;
	}
	serve_session(server, session);
	return 0;
}

/* Polling a listener that cannot accept would be a busy loop. */
static void pause_listener(struct server *server, int error)
{
	say_cannot(error, NULL, "take a session on %s", server->options->address);
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, shmux_listener_fd(server->listener), NULL);
	server->retry_at = shmux_now() + RETRY_MS * UINT64_C(1000000);
}

static void accept_sessions(struct server *server)
{
	struct shmux_session *s;
	int error;

	do {
		error = shmux_listener_accept_session(server->listener, SHMUX_NOWAIT, &s);
		if (!error)
			error = add_session(server, s);
	} while (!error);
	if (error != -EAGAIN)
		pause_listener(server, error);
}

static void resume_listener(struct server *server)
{
	if (!server->retry_at || shmux_now() < server->retry_at)
		return;
	server->retry_at = 0;
	if (server->listener)
		watch(server, shmux_listener_fd(server->listener), &server->listener);
}

/* --- draining ----------------------------------------------------------- */

static void begin_drain(struct server *server)
{
	struct session *session, *next;

	server->drain_until = shmux_now() + server->options->drain;
	shmux_listener_close(server->listener);
	server->listener = NULL;
	for (session = LIST_FIRST(&server->sessions); session; session = next) {
		next = LIST_NEXT(session, all);
		accept_streams(server, session);
		shmux_session_go_away(session->s, 0);
		close_session_if_done(server, session);
	}
}

static void take_signal(struct server *server)
{
	struct signalfd_siginfo info;

	if (read(server->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (server->nr_signals++ == 0)
		begin_drain(server);
}

/* Return: how many streams had to be cut. */
static unsigned int cut(struct server *server)
{
	struct session *session;
	struct stream *stream, *next;
	unsigned int nr = 0;

	while ((session = LIST_FIRST(&server->sessions))) {
		for (stream = LIST_FIRST(&session->streams); stream; stream = next) {
			next = LIST_NEXT(stream, all);
			close_stream(server, stream, -ECANCELED);
			nr++;
		}
		close_session(session);
	}
	return nr;
}

/* --- the loop ----------------------------------------------------------- */

static int timeout_ms(const struct server *server)
{
	uint64_t until = server->drain_until, now;

	if (!TAILQ_EMPTY(&server->busy))
		return 0;
	if (server->retry_at && server->retry_at < until)
		until = server->retry_at;
	if (until == SHMUX_NEVER)
		return -1;
	now = shmux_now();
	if (until <= now)
		return 0;
	until = (until - now) / 1000000 + 1;
	return until < 60000 ? until : 60000;
}

static bool goes_on(const struct server *server)
{
	if (server->listener)
		return true;
	return server->nr_signals < 2 && !LIST_EMPTY(&server->sessions) &&
	       shmux_now() < server->drain_until;
}

static void serve(struct server *server)
{
	struct epoll_event events[EVENTS];
	int n;

	while (goes_on(server)) {
		n = epoll_wait(server->epoll, events, EVENTS, timeout_ms(server));
		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;

			/* Signals last: to drain closes sessions named here. */
			if (what == &server->listener)
				accept_sessions(server);
			else if (what != &server->signals)
				serve_session(server, what);
		}
		serve_busy_streams(server);
		resume_listener(server);
		for (int i = 0; i < n; i++)
			if (events[i].data.ptr == &server->signals)
				take_signal(server);
	}
}

/* A session that was lost is worth a sentence, one that ended is not. */
static void log_sentence(void *arg, enum shmux_log_level level, const char *sentence)
{
	(void)arg;
	if (level == SHMUX_LOG_ERROR)
		fprintf(stderr, "shmux: %s\n", sentence);
}

static int open_server(struct server *server, const struct options *o)
{
	struct shmux_session_options so = { .size = sizeof(so), .log = log_sentence };
	struct shmux_listener_options lo = {
		.size = sizeof(lo),
		.mode = o->any_user ? 0666 : 0,
		.session = &so,
	};
	int error;

	*server = (struct server){ .options = o, .drain_until = SHMUX_NEVER };
	LIST_INIT(&server->sessions);
	TAILQ_INIT(&server->busy);
	server->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server->epoll < 0)
		return say_cannot(errno, NULL, "make an epoll descriptor");
	server->signals = server_open_signals(0);
	if (server->signals < 0)
		return say_cannot(errno, NULL, "make a signal descriptor");
	error = shmux_listener_open(o->address, &lo, &server->listener);
	if (error)
		return say_cannot(error, say_address_reason(error), "listen on %s", o->address);
	error = watch(server, server->signals, &server->signals);
	if (!error)
		error = watch(server, shmux_listener_fd(server->listener), &server->listener);
	if (error)
		return say_cannot(error, NULL, "wait for sessions on %s", o->address);
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	enum { DRAIN = ARGS_LONG, ANY_USER, QUIET, HELP };
	static const struct option table[] = {
		{ "drain", required_argument, NULL, DRAIN },
		{ "any-user", no_argument, NULL, ANY_USER },
		{ "quiet", no_argument, NULL, QUIET },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .drain = UINT64_C(5000000000) };
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		switch (c) {
		case DRAIN:
			if (args_seconds("echo", "--drain", optarg, &o->drain))
				return SAY_USAGE;
			break;
		case ANY_USER:
			o->any_user = true;
			break;
		case QUIET:
			o->quiet = true;
			break;
		case HELP:
			o->help = true;
			return 0;
		default:
			return args_refuse("echo", c, argv);
		}
	}
	return args_operand("echo", "ADDRESS", argc, argv, &o->address);
}

int echo_main(int argc, char **argv)
{
	struct server server;
	struct options o;
	unsigned int nr_cut;
	int status;

	status = parse(argc, argv, &o);
	if (status)
		return status;
	if (o.help) {
		fputs(usage, stdout);
		return SAY_DONE;
	}
	signal(SIGPIPE, SIG_IGN);
	server_allow_many_descriptors();
	status = open_server(&server, &o);
	if (status)
		return status;
	if (!o.quiet)
		fprintf(stderr, "listening on %s\n", o.address);
	serve(&server);
	nr_cut = cut(&server);
	if (nr_cut)
		status = say_cannot(server.nr_signals > 1 ? EINTR : ETIMEDOUT,
				    server.nr_signals > 1 ? "a second signal came" :
							    "they took too long",
				    "let %u open stream%s run to the end", nr_cut,
				    nr_cut > 1 ? "s" : "");
	return status;
}
