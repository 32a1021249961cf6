// SPDX-License-Identifier: LGPL-2.1-or-later
/* pair.c - makes sessions between a test and its far side */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "over.h"
#include "pair.h"
#include "process.h"

/* What the far side needs to know to make its end. */
struct recipe {
	bool has_options;
	struct shmux_session_options options;
	char name[64];
};

static const struct shmux_session_options *recipe_options(const struct recipe *recipe)
{
	return recipe->has_options ? &recipe->options : NULL;
}

static int64_t side_attach(struct side *side)
{
	const struct recipe *recipe = side->in;
	int fd = side->fd;

	side->fd = -1;
	return shmux_session_attach(fd, SHMUX_ROLE_ACCEPTOR, recipe_options(recipe),
				    shmux_now() + LONG_ENOUGH, &side->session);
}

static int64_t side_yamux(struct side *side)
{
	const struct recipe *recipe = side->in;
	int in = side->fd, out = side->out_fd;

	side->fd = side->out_fd = -1;
	return shmux_session_yamux(in, out < 0 ? in : out, SHMUX_ROLE_ACCEPTOR,
				   recipe_options(recipe), &side->session);
}

static int64_t side_listen(struct side *side)
{
	const struct recipe *recipe = side->in;
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.session = recipe_options(recipe),
	};

	return shmux_listener_open(recipe->name, &options, &side->listener);
}

static int64_t side_accept_session(struct side *side)
{
	int ret;

	shmux_listener_set_deadline(side->listener, shmux_now() + LONG_ENOUGH);
	ret = shmux_listener_accept_session(side->listener, 0, &side->session);
	shmux_listener_close(side->listener);
	side->listener = NULL;
	return ret;
}

/* Over a pair, which is there before the child is. */
static int pair_attach(struct pair *pair, enum pair_kind kind, struct recipe *recipe,
		       const struct shmux_session_options *near)
{
	int fds[2], ret, far_ret;

	ret = over_pair(SOCK_SEQPACKET, fds);
	if (ret)
		return ret;
	ret = far_start_with(&pair->far,
			     kind == PAIR_SAME_PROCESS ? FAR_SAME_PROCESS : FAR_CHILD, fds[1],
			     fds[0]);
	if (ret) {
		close(fds[0]);
		close(fds[1]);
		return ret;
	}
	far_begin(&pair->far, side_attach, recipe, sizeof(*recipe), 0);
	ret = shmux_session_attach(fds[0], SHMUX_ROLE_DIALLER, near, shmux_now() + LONG_ENOUGH,
				   &pair->session);
	far_ret = (int)far_finish(&pair->far, NULL);
	return ret ? ret : far_ret;
}

/* What the near end reads from and writes to, and the far; one for both, and -1. */
static int open_wires(enum pair_kind kind, int near[2], int far[2])
{
	int there[2], back[2];

	near[1] = far[1] = -1;
	if (kind == PAIR_YAMUX_SOCKET) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, there))
			return -errno;
		near[0] = there[0];
		far[0] = there[1];
		return 0;
	}
	if (pipe2(there, O_CLOEXEC) || pipe2(back, O_CLOEXEC))
		return -errno;
	near[0] = back[0];
	near[1] = there[1];
	far[0] = there[0];
	far[1] = back[1];
	return 0;
}

static int pair_yamux(struct pair *pair, enum pair_kind kind, struct recipe *recipe,
		      const struct shmux_session_options *options)
{
	int near[2], far[2], ret, far_ret;

	ret = open_wires(kind, near, far);
	if (!ret)
		ret = far_start_giving(&pair->far, FAR_CHILD, far, near);
	if (ret)
		return ret;
	far_begin(&pair->far, side_yamux, recipe, sizeof(*recipe), 0);
	ret = shmux_session_yamux(near[0], near[1] < 0 ? near[0] : near[1],
				  SHMUX_ROLE_DIALLER, options, &pair->session);
	far_ret = (int)far_finish(&pair->far, NULL);
	return ret ? ret : far_ret;
}

static int pair_dial(struct pair *pair, struct recipe *recipe,
		     const struct shmux_session_options *near)
{
	int ret, far_ret;

	over_name(pair->name);
	memcpy(recipe->name, pair->name, sizeof(recipe->name));
	ret = far_start(&pair->far, FAR_CHILD);
	if (!ret)
		ret = (int)far_call(&pair->far, side_listen, recipe, sizeof(*recipe), NULL, 0);
	if (ret)
		return ret;
	far_begin(&pair->far, side_accept_session, NULL, 0, 0);
	ret = shmux_session_dial(pair->name, near, shmux_now() + LONG_ENOUGH, &pair->session);
	far_ret = (int)far_finish(&pair->far, NULL);
	return ret ? ret : far_ret;
}

int pair_open(struct pair *pair, enum pair_kind kind, const struct shmux_session_options *near,
	      const struct shmux_session_options *far)
{
	struct recipe recipe = { .has_options = false };

	memset(pair, 0, sizeof(*pair));
	pair->nr_fds = process_nr_fds();
	if (far) {
		recipe.has_options = true;
		recipe.options = *far;
	}
	if (kind == PAIR_LISTENER)
		return pair_dial(pair, &recipe, near);
	if (kind == PAIR_YAMUX_SOCKET || kind == PAIR_YAMUX_PIPES)
		return pair_yamux(pair, kind, &recipe, near);
	return pair_attach(pair, kind, &recipe, near);
}

int pair_open_stream(struct pair *pair, unsigned int flags, struct shmux_stream **near)
{
	int ret;

	/* A wire may have room for it only once what is on it has been taken off. */
	while ((ret = shmux_session_open(pair->session, flags | SHMUX_STREAM_NOWAIT, near)) ==
	       -EAGAIN)
		far_pump(&pair->far);
	return ret ? ret : far_accept(&pair->far, 0);
}

int64_t pair_call(struct pair *pair, side_fn fn, const void *in, size_t in_len, void *out,
		  size_t out_len)
{
	struct pollfd polled = { .fd = shmux_session_fd(pair->session), .events = POLLIN };

	far_begin(&pair->far, fn, in, in_len, out_len);
	while (!far_is_done(&pair->far)) {
		poll(&polled, 1, 1);
		if (session_pump(pair->session) < 0)
			break;
	}
	return far_finish(&pair->far, out);
}

int pair_close(struct pair *pair)
{
	int ret;

	shmux_session_close(pair->session, 0);
	pair->session = NULL;
	ret = far_stop(&pair->far);
	if (process_nr_fds() != pair->nr_fds) {
		fprintf(stderr, "# near: %d descriptors at first, %d at last\n", pair->nr_fds,
			process_nr_fds());
		ret = -1;
	}
	if (process_leaks()) {
		fprintf(stderr, "# near: memory was lost\n");
		ret = -1;
	}
	return ret;
}

void pair_abandon(struct pair *pair)
{
	far_kill(&pair->far);
}

int session_pump(struct shmux_session *session)
{
	struct shmux_event events[16];
	int n, nr = 0;

	do {
		n = shmux_session_pump(session, events, 16);
		if (n < 0)
			return n;
		nr += n;
	} while (n == 16);
	return nr;
}

struct shmux_session_counters session_counters(struct shmux_session *session)
{
	struct shmux_session_counters counters = { .size = sizeof(counters) };

	shmux_session_counters(session, &counters);
	return counters;
}
