// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * cat.c - `shmux cat`: standard input and output, joined to one stream
 *
 * The two directions are two threads, so that a full pipe on one side never
 * holds up the other: this process's first thread receives, a second one sends.
 * Neither copies: input is read into shared memory, output written from it.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <shmux/shmux.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/shmux_ring.h>

#include "args.h"
#include "commands.h"
#include "progress.h"
#include "say.h"

/* One read(2): large enough to be cheap, small enough to stay in the cache. */
#define CHUNK_SIZE ((size_t)128 << 10)
#define SMALL_SIZE 256		/* no use in less */

static const char usage[] =
	"Usage: shmux cat [OPTION]... ADDRESS\n"
	"       shmux cat -l [OPTION]... ADDRESS\n"
	"\n"
	"Sends standard input over a stream, and writes what comes back to standard output,\n"
	"both at once. At the end of input the peer is told so (half-close); what it still\n"
	"sends is written until it ends, too.\n"
	"\n"
	"  -l, --listen       listen, and take the first stream that comes\n"
	"  --wait             without -l: wait for somebody to listen\n"
	"  --timeout SECONDS  give up if nobody is there by then; a stream that is open may\n"
	"                     take as long as it likes\n"
	"  --any-user         admit any user, or accept any user's listener; otherwise only\n"
	"                     one's own, and root's listener\n"
	"  --progress         show bytes and rate on standard error\n"
	"  --help             show this text\n"
	"\n"
	"Ends when both directions have ended, or when the peer has closed its end while there\n"
	"was no input for it.\n";

struct options {
	bool help;
	const char *address;
	bool listen;
	bool wait;
	bool any_user;
	bool progress;
	uint64_t deadline;
};

struct cat {
	const char *address;
	struct shmux_context *context;		/* NULL when listening */
	struct shmux_stream *st;
	struct progress progress;

	int sender_done;			/* eventfd, told by the sender */
	int sender_status;			/* valid then */
	_Atomic bool sender_is_busy;		/* with input that it has not sent yet */
	_Atomic bool has_failed;		/* and said why: one sentence is enough */
};

/* --- finding the peer --------------------------------------------------- */

static int take_stream(struct cat *cat, const struct options *o)
{
	struct shmux_listener_options lo = { .size = sizeof(lo), .mode = o->any_user ? 0666 : 0 };
	struct shmux_listener *l;
	int error;

	error = shmux_listener_open(o->address, &lo, &l);
	if (error)
		return say_cannot(error, say_address_reason(error), "listen on %s", o->address);
	error = shmux_listener_set_deadline(l, o->deadline);
	if (!error)
		error = shmux_listener_accept(l, 0, &cat->st);
	/* The name is free for the next one. The stream lives on. */
	shmux_listener_close(l);
	if (error)
		return say_cannot(error, error == -ETIMEDOUT ? "nobody came in time" : NULL,
				  "take a stream on %s", o->address);
	return 0;
}

static int dial_stream(struct cat *cat, const struct options *o)
{
	struct shmux_dial_options d = {
		.size = sizeof(d),
		.flags = (o->wait ? SHMUX_DIAL_WAIT : 0) | (o->any_user ? SHMUX_DIAL_ANY_UID : 0),
		.deadline = o->deadline,
	};
	int error;

	error = shmux_context_open(NULL, &cat->context);
	if (!error)
		error = shmux_context_dial(cat->context, o->address, &d, &cat->st);
	if (error)
		return say_cannot(error, say_address_reason(error), "dial %s", o->address);
	return 0;
}

/* --- standard input and output ------------------------------------------ */

/* Somebody else may have made the descriptor non-blocking: it is shared. */
static bool may_try_again(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	if (errno == EINTR)
		return true;
	return errno == EAGAIN && poll(&p, 1, -1) >= 0;
}

/* Return: whether there is input, its end, or an error, by @timeout ms. */
static bool wait_for_input(int timeout)
{
	struct pollfd p = { .fd = STDIN_FILENO, .events = POLLIN };

	while (poll(&p, 1, timeout) < 0)
		if (errno != EINTR)
			return true;
	return p.revents;
}

/*
 * How much to make room for: what there is, where that can be told, so that a
 * line costs the credit of a line. None there is the end, or a file that does
 * not know its size.
 */
static size_t input_size(size_t max)
{
	int len;

	if (ioctl(STDIN_FILENO, FIONREAD, &len) || len < 0)
		return max;
	if (len < SMALL_SIZE)
		len = SMALL_SIZE;
	return (size_t)len < max ? (size_t)len : max;
}

static ssize_t read_input(void *buf, size_t size)
{
	ssize_t n;

	do
		n = read(STDIN_FILENO, buf, size);
	while (n < 0 && may_try_again(STDIN_FILENO, POLLIN));
	return n < 0 ? -errno : n;
}

static int write_output(const char *buf, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, buf, len);

		if (n >= 0) {
			buf += n;
			len -= n;
		} else if (!may_try_again(STDOUT_FILENO, POLLOUT)) {
			return -errno;
		}
	}
	return 0;
}

/* The peer shall not take what it has got for all. */
static void abandon(struct cat *cat)
{
	shmux_stream_reset(cat->st, SHMUX_CODE_USER);
}

/*
 * Of what goes wrong in the two directions one is the cause, the other follows.
 * The first is told. Return: SAY_FAILED.
 */
static int fail(struct cat *cat, int error, const char *reason, const char *what)
{
	if (!atomic_exchange(&cat->has_failed, true))
		say_cannot(error, reason, "%s", what);
	return SAY_FAILED;
}

static int fail_on_stream(struct cat *cat, int error, const char *direction)
{
	char what[SHMUX_ADDRESS_MAX + 32];

	snprintf(what, sizeof(what), "%s %s", direction, cat->address);
	return fail(cat, error, say_stream_reason(cat->st, error), what);
}

/* --- sending ------------------------------------------------------------ */

/*
 * The stream takes no more. That is no failure if there is no more: a peer may
 * leave once it has got what it wanted.
 */
static int check_input_ended(struct cat *cat, int error)
{
	ssize_t n;
	char byte;

	n = read_input(&byte, 1);
	return n ? fail_on_stream(cat, error, "send to") : SAY_DONE;
}

/* Return: bytes, 0 at the end of input; or -1: over, with @status. */
static ssize_t send_some(struct cat *cat, size_t max, int *status)
{
	size_t size = input_size(max);
	struct shmux_span span;
	ssize_t n;

	n = shmux_stream_reserve(cat->st, size, &span, 0);
	if (n < 0) {
		*status = check_input_ended(cat, n);
		return -1;
	}
	n = read_input(span.data, size);
	if (n > 0) {
		n = shmux_stream_submit(cat->st, &span, n, 0);
		if (n < 0)
			*status = fail_on_stream(cat, n, "send to");
	} else {
		shmux_stream_cancel(cat->st, &span);
		if (n < 0) {
			*status = fail(cat, n, NULL, "read standard input");
			abandon(cat);
		}
	}
	return n < 0 ? -1 : n;
}

static int send_all(struct cat *cat)
{
	size_t max = shmux_stream_reserve_max(cat->st);
	int status = SAY_DONE;
	ssize_t n;

	if (max > CHUNK_SIZE)
		max = CHUNK_SIZE;
	do {
		wait_for_input(-1);
		cat->sender_is_busy = true;
		n = send_some(cat, max, &status);
		cat->sender_is_busy = false;
		if (n > 0)
			progress_add(&cat->progress, n, 0);
	} while (n > 0);
	if (!n)
		shmux_stream_shutdown(cat->st, SHMUX_WRITE);
	return status;
}

static void *sender(void *arg)
{
	struct cat *cat = arg;

	cat->sender_status = send_all(cat);
	eventfd_write(cat->sender_done, 1);
	return NULL;
}

/* --- receiving ---------------------------------------------------------- */

static int receive_all(struct cat *cat)
{
	struct shmux_view view;
	ssize_t n;
	int error;

	while ((n = shmux_stream_take(cat->st, &view, 0)) > 0) {
		error = write_output(view.data, n);
		shmux_stream_release(cat->st, &view);
		if (error) {
			fail(cat, error, NULL, "write to standard output");
			abandon(cat);
			return SAY_FAILED;
		}
		progress_add(&cat->progress, 0, n);
	}
	return n < 0 ? fail_on_stream(cat, n, "receive from") : SAY_DONE;
}

/*
 * A write of nothing sends nothing, but takes note of what the peer has said;
 * it fails if no other could succeed.
 */
static bool peer_has_closed(struct cat *cat)
{
	struct shmux_event events[4];
	int n;

	do
		n = shmux_session_pump(shmux_stream_session(cat->st), events, 4);
	while (n == 4);
	return n < 0 || shmux_stream_try_write(cat->st, "", 0) < 0;
}

/*
 * The peer has ended its direction; ours runs on, until the input ends or the
 * peer reads no more. If the sender is waiting for input by then, it is left to
 * the end of the process; if there is some, it finds out, and tells.
 */
static int wait_for_sender(struct cat *cat, pthread_t thread)
{
	struct pollfd p[] = {
		{ .fd = cat->sender_done, .events = POLLIN },
		{ .fd = shmux_session_fd(shmux_stream_session(cat->st)), .events = POLLIN },
	};

	for (;;) {
		bool closed = peer_has_closed(cat);

		if (closed && !cat->sender_is_busy && !wait_for_input(0))
			return cat->has_failed ? SAY_FAILED : SAY_DONE;
		if (poll(p, closed ? 1 : 2, closed ? 10 : -1) > 0 && p[0].revents) {
			pthread_join(thread, NULL);
			shmux_stream_close(cat->st);
			shmux_context_close(cat->context);
			return cat->sender_status;
		}
	}
}

/* --- the command -------------------------------------------------------- */

static int transfer(struct cat *cat)
{
	pthread_t thread = 0;
	int status, error;

	cat->sender_done = eventfd(0, EFD_CLOEXEC);
	error = cat->sender_done < 0 ? errno : pthread_create(&thread, NULL, sender, cat);
	if (error) {
		abandon(cat);
		return say_cannot(error, NULL, "send and receive at once");
	}
	status = receive_all(cat);
	if (status == SAY_DONE)
		status = wait_for_sender(cat, thread);
	return status;
}

static int parse(int argc, char **argv, struct options *o)
{
	enum { WAIT = ARGS_LONG, TIMEOUT, ANY_USER, PROGRESS, HELP };
	static const struct option table[] = {
		{ "listen", no_argument, NULL, 'l' },
		{ "wait", no_argument, NULL, WAIT },
		{ "timeout", required_argument, NULL, TIMEOUT },
		{ "any-user", no_argument, NULL, ANY_USER },
		{ "progress", no_argument, NULL, PROGRESS },
		{ "help", no_argument, NULL, HELP },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t timeout;
	int c;

	*o = (struct options){ .deadline = SHMUX_NEVER };
	while ((c = getopt_long(argc, argv, ":l", table, NULL)) != -1) {
		switch (c) {
		case 'l':
			o->listen = true;
			break;
		case WAIT:
			o->wait = true;
			break;
		case TIMEOUT:
			if (args_seconds("cat", "--timeout", optarg, &timeout))
				return SAY_USAGE;
			o->deadline = shmux_now() + timeout;
			break;
		case ANY_USER:
			o->any_user = true;
			break;
		case PROGRESS:
			o->progress = true;
			break;
		case HELP:
			o->help = true;
			return 0;
		default:
			return args_refuse("cat", c, argv);
		}
	}
	if (o->listen && o->wait)
		return say_usage("cat", "a listener has nobody to wait for but its first stream",
				 "take '--wait' with '-l'");
	return args_operand("cat", "ADDRESS", argc, argv, &o->address);
}

int cat_main(int argc, char **argv)
{
	static struct cat cat;		/* the sender may outlive this call */
	struct options o;
	int status;

	status = parse(argc, argv, &o);
	if (status)
		return status;
	if (o.help) {
		fputs(usage, stdout);
		return SAY_DONE;
	}
	signal(SIGPIPE, SIG_IGN);
	cat.address = o.address;
	status = o.listen ? take_stream(&cat, &o) : dial_stream(&cat, &o);
	if (status)
		return status;
	progress_start(&cat.progress, o.progress);
	status = transfer(&cat);
	progress_finish(&cat.progress);
	return status;
}
