// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * forward.c - `shmux forward`: whoever connects here is joined to somebody there
 *
 * The command line, the listening, the loop and its end. What is joined, and how, is
 * told in forward.h.
 */
#include "forward.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "args.h"
#include "commands.h"
#include "loop.h"
#include "say.h"
#include "server.h"

enum {
	EVENTS = 256,
	ACCEPTS_PER_TURN = 64,
	RETRY_MS = 100,		/* while something is not to be had */
};

/* So long may what an only session has left still go out, ns. */
#define LEFT_OVER UINT64_C(2000000000)

static const char usage[] =
	"Usage: shmux forward [OPTION]... LISTEN TARGET\n"
	"\n"
	"Whoever connects at LISTEN is joined to TARGET, until both directions have ended.\n"
	"Here tcp:HOST:PORT, unix:/PATH and unix:@NAME are plain sockets; any other ADDRESS is\n"
	"that of a session, on which each connection is a stream.\n"
	"\n"
	"  --verbose        tell of each connection: who, when, bytes each way, why it ended\n"
	"  --quiet          say nothing of what is no failure\n"
	"  --any-user       serve any user where LISTEN is a NAME, a path or unix:\n"
	"  --drain SECONDS  how long open connections may take after SIGTERM; for ever unless\n"
	"                   given\n"
	"  --help           show this text\n"
	"\n"
	"On SIGTERM or SIGINT takes no more connections, lets those that are open run to their\n"
	"end, and leaves; a second signal cuts them. On SIGUSR1 it tells what it has counted.\n"
	"Prints `listening on LISTEN' on standard error when it is ready.\n";

/* --- what is watched ------------------------------------------------------ */

int forward_watch(struct forward *fw, int fd, uint32_t events, struct forward_watch *w)
{
	struct epoll_event event = { .events = events, .data.ptr = w };

	return epoll_ctl(fw->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

void forward_unwatch(struct forward *fw, int fd)
{
	epoll_ctl(fw->epoll, EPOLL_CTL_DEL, fd, NULL);
}

bool forward_is_lack(int error)
{
	return error == -EMFILE || error == -ENFILE || error == -ENOBUFS || error == -ENOMEM;
}

void forward_back_off(struct forward *fw)
{
	fw->retry_at = shmux_now() + RETRY_MS * UINT64_C(1000000);
}

bool forward_may_accept(const struct forward *fw)
{
	return !fw->retry_at && !fw->is_over && TAILQ_EMPTY(&fw->waiting);
}

/* --- listening ------------------------------------------------------------ */

/* An abstract address has no mode. */
static bool is_admitted(const struct forward *fw, int fd)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (fw->listen.kind != PLACE_UNIX || fw->options->any_user)
		return true;
	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) && cred.uid == geteuid();
}

/* Return: whether there may be more. */
static bool accept_socket(struct forward *fw, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0 && !is_admitted(fw, fd))
		close(fd);
	else if (fd >= 0)
		forward_conn_take_socket(fw, fd);
	else if (forward_is_lack(-errno))
		forward_back_off(fw);
	return fd >= 0 || errno == ECONNABORTED || errno == EINTR;
}

static void plain_ready(struct forward *fw, struct forward_watch *w, uint32_t events)
{
	(void)w;
	(void)events;
	for (int i = 0; i < fw->nr_plain; i++)
		for (int n = 0; n < ACCEPTS_PER_TURN && forward_may_accept(fw); n++)
			if (!accept_socket(fw, fw->plain[i]))
				break;
}

/* Polling what may not be accepted from would be a busy loop. */
static void watch_plain(struct forward *fw, bool on)
{
	if (fw->plain_is_watched == on)
		return;
	fw->plain_is_watched = on;
	for (int i = 0; i < fw->nr_plain; i++)
		if (on)
			forward_watch(fw, fw->plain[i], EPOLLIN, &fw->plain_watch);
		else
			forward_unwatch(fw, fw->plain[i]);
}

static void pause_listener(struct forward *fw, int error)
{
	if (forward_is_lack(error))
		fw->listener_at = shmux_now() + RETRY_MS * UINT64_C(1000000);
	else
		fw->listener_at = SHMUX_NEVER;
	forward_unwatch(fw, shmux_listener_fd(fw->listener));
}

static void listener_ready(struct forward *fw, struct forward_watch *w, uint32_t events)
{
	struct shmux_session *s;
	int error;

	(void)w;
	(void)events;
	do {
		error = shmux_listener_accept_session(fw->listener, SHMUX_NOWAIT, &s);
		if (!error)
			forward_session_add(fw, s, true, &error);
	} while (!error);
	if (error != -EAGAIN)
		pause_listener(fw, error);
}

static void close_listeners(struct forward *fw)
{
	watch_plain(fw, false);
	if (fw->nr_plain)
		forward_place_unlink(&fw->listen);
	while (fw->nr_plain)
		close(fw->plain[--fw->nr_plain]);
	shmux_listener_close(fw->listener);
	fw->listener = NULL;
	fw->listener_at = 0;
}

static int open_plain(struct forward *fw)
{
	int nr = forward_place_listen(&fw->listen, fw->options->any_user, fw->plain);

	if (nr < 0)
		return say_cannot(nr, nr == -EADDRINUSE ? say_address_reason(nr) : NULL,
				  "listen on %s", fw->listen.text);
	fw->nr_plain = nr;
	watch_plain(fw, true);
	return 0;
}

static int open_listener(struct forward *fw)
{
	struct shmux_listener_options lo = {
		.size = sizeof(lo),
		.backlog = 1024,
		.mode = fw->options->any_user ? 0666 : 0,
		.session = &forward_session_options,
	};
	int error;

	error = shmux_listener_open(fw->listen.text, &lo, &fw->listener);
	if (error)
		return say_cannot(error, say_address_reason(error), "listen on %s",
				  fw->listen.text);
	error = forward_watch(fw, shmux_listener_fd(fw->listener), EPOLLIN, &fw->listener_watch);
	if (error)
		return say_cannot(error, NULL, "wait for sessions on %s", fw->listen.text);
	return 0;
}

static void say_listening(const struct forward *fw)
{
	const union forward_sockaddr *addr = &fw->listen.addrs[0];
	const char *colon = strrchr(fw->listen.text, ':');

	if (fw->options->quiet)
		return;
	if (fw->listen.kind == PLACE_TCP)
		fprintf(stderr, "listening on %.*s:%u\n", (int)(colon - fw->listen.text),
			fw->listen.text,
			ntohs(addr->any.sa_family == AF_INET6 ? addr->in6.sin6_port :
								addr->in.sin_port));
	else
		fprintf(stderr, "listening on %s\n", fw->listen.text);
}

/* --- signals -------------------------------------------------------------- */

static void say_counters(const struct forward *fw)
{
	const struct forward_counters *c = &fw->counters;
	struct forward_conn *conn;
	uint64_t there = c->there, back = c->back;

	TAILQ_FOREACH(conn, &fw->conns, all) {
		there += conn->there.bytes;
		back += conn->back.bytes;
	}
	fprintf(stderr,
		"shmux: %u open, %llu ended, %llu reset, %llu not reached; "
		"%llu bytes there, %llu bytes back; %llu bytes held\n",
		fw->nr_conns, (unsigned long long)c->ended, (unsigned long long)c->reset,
		(unsigned long long)c->unreached, (unsigned long long)there,
		(unsigned long long)back, (unsigned long long)fw->held);
}

/* Those that have come before the signal are served. */
static void begin_drain(struct forward *fw)
{
	if (fw->is_draining)
		return;
	fw->is_draining = true;
	if (fw->options->drain != SHMUX_NEVER)
		fw->drain_until = shmux_now() + fw->options->drain;
	if (fw->nr_plain)
		plain_ready(fw, NULL, 0);
	close_listeners(fw);
	forward_sessions_accept(fw);
	forward_sessions_drain(fw);
}

static void signals_ready(struct forward *fw, struct forward_watch *w, uint32_t events)
{
	struct signalfd_siginfo info;

	(void)w;
	(void)events;
	while (read(fw->signals, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			say_counters(fw);
		else
			fw->nr_signals++;
	}
}

/* --- the loop ------------------------------------------------------------- */

static int timeout_ms(const struct forward *fw)
{
	uint64_t until = fw->drain_until, now;

	if (!TAILQ_EMPTY(&fw->busy) || fw->look_again)
		return 0;
	if (fw->retry_at && fw->retry_at < until)
		until = fw->retry_at;
	if (fw->listener_at && fw->listener_at < until)
		until = fw->listener_at;
	if (until == SHMUX_NEVER)
		return -1;
	now = shmux_now();
	if (until <= now)
		return 0;
	until = (until - now) / 1000000 + 1;
	return until < 60000 ? until : 60000;
}

static void look_at_clock(struct forward *fw)
{
	uint64_t now;

	if (!fw->retry_at && !fw->listener_at)
		return;
	now = shmux_now();
	if (fw->retry_at && now >= fw->retry_at) {
		fw->retry_at = 0;
		fw->look_again = true;
	}
	if (fw->listener_at && now >= fw->listener_at) {
		fw->listener_at = 0;
		forward_watch(fw, shmux_listener_fd(fw->listener), EPOLLIN, &fw->listener_watch);
	}
}

static bool goes_on(const struct forward *fw)
{
	if (fw->nr_signals > 1 || shmux_now() >= fw->drain_until)
		return false;
	return !fw->is_draining || fw->nr_conns;
}

static void serve(struct forward *fw)
{
	struct epoll_event events[EVENTS];
	struct loop_spin spin = { 0 };
	struct forward_watch *w;
	int n;

	while (goes_on(fw)) {
		n = loop_wait(&spin, fw->epoll, events, EVENTS, timeout_ms(fw));
		for (int i = 0; i < n; i++) {
			w = events[i].data.ptr;
			w->ready(fw, w, events[i].events);
		}
		look_at_clock(fw);
		forward_conns_retry(fw);
		forward_sessions_accept(fw);
		forward_conns_run(fw);
		forward_sessions_flush(fw);
		watch_plain(fw, forward_may_accept(fw));
		if (fw->nr_signals)
			begin_drain(fw);
		if (fw->is_over && !fw->is_draining) {
			begin_drain(fw);
			fw->drain_until = shmux_now() + LEFT_OVER;
		}
		forward_sessions_sweep(fw);
	}
}

static int open_loop(struct forward *fw)
{
	int error;

	fw->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (fw->epoll < 0)
		return say_cannot(errno, NULL, "make an epoll descriptor");
	fw->signals = server_open_signals(SIGUSR1);
	if (fw->signals < 0)
		return say_cannot(errno, NULL, "make a signal descriptor");
	fw->dial_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fw->dial_fd < 0)
		return say_cannot(errno, NULL, "make an event descriptor");
	error = forward_watch(fw, fw->signals, EPOLLIN, &fw->signals_watch);
	if (!error)
		error = forward_watch(fw, fw->dial_fd, EPOLLIN, &fw->dial_watch);
	return error ? say_cannot(error, NULL, "wait for signals") : 0;
}

static int open_forward(struct forward *fw, const struct forward_options *o)
{
	int status, error;

	*fw = (struct forward){
		.options = o,
		.drain_until = SHMUX_NEVER,
		.signals_watch.ready = signals_ready,
		.plain_watch.ready = plain_ready,
		.listener_watch.ready = listener_ready,
		.dial_watch.ready = forward_dial_ready,
	};
	LIST_INIT(&fw->sessions);
	LIST_INIT(&fw->corked);
	TAILQ_INIT(&fw->conns);
	TAILQ_INIT(&fw->busy);
	TAILQ_INIT(&fw->waiting);
	status = forward_place_read(&fw->listen, o->listen);
	if (!status)
		status = forward_place_read(&fw->target, o->target);
	if (!status)
		status = open_loop(fw);
	if (!status)
		status = fw->listen.kind == PLACE_SESSION ? open_listener(fw) : open_plain(fw);
	if (!status && fw->target.is_only) {
		error = forward_dial_now(fw);
		if (error)
			status = say_cannot(error, say_address_reason(error), "reach %s",
					    fw->target.text);
	}
	return status;
}

static int parse(int argc, char **argv, struct forward_options *o)
{
	enum { VERBOSE = ARGS_LONG, QUIET, ANY_USER, DRAIN, HELP };
	static const struct option table[] = {
		{ "verbose", no_argument, NULL, VERBOSE },
		{ "quiet", no_argument, NULL, QUIET },
		{ "any-user", no_argument, NULL, ANY_USER },
		{ "drain", required_argument, NULL, DRAIN },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct forward_options){ .drain = SHMUX_NEVER };
	while ((c = getopt_long(argc, argv, ":", table, NULL)) != -1) {
		switch (c) {
		case VERBOSE:
			o->verbose = true;
			break;
		case QUIET:
			o->quiet = true;
			break;
		case ANY_USER:
			o->any_user = true;
			break;
		case DRAIN:
			if (args_seconds("forward", "--drain", optarg, &o->drain))
				return SAY_USAGE;
			break;
		case HELP:
			o->help = true;
			return 0;
		default:
			return args_refuse("forward", c, argv);
		}
	}
	return args_operands("forward", "address for LISTEN", "address for TARGET", argc, argv,
			     &o->listen, &o->target);
}

int forward_main(int argc, char **argv)
{
	static struct forward fw;	/* too large for the stack */
	struct forward_options o;
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
	status = open_forward(&fw, &o);
	if (status)
		return status;
	say_listening(&fw);
	serve(&fw);
	nr_cut = forward_conns_cut(&fw);
	forward_sessions_flush(&fw);
	close_listeners(&fw);
	forward_sessions_close(&fw);
	if (o.verbose)
		say_counters(&fw);
	if (nr_cut && !fw.is_over)
		status = say_cannot(fw.nr_signals > 1 ? EINTR : ETIMEDOUT,
				    fw.nr_signals > 1 ? "a second signal came" :
							"they took too long",
				    "let %u open connection%s run to the end", nr_cut,
				    nr_cut > 1 ? "s" : "");
	return status ? status : fw.status;
}
