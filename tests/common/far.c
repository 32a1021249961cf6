// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * far.c - runs functions on the far side: here, in a thread, or in a child
 *
 * A child is told over a socket pair: a command with its input; it answers with
 * a byte when it is about to run it, then with the result and the output. It is
 * a fork of the test, so a function's address means the same over there. What
 * the library did (far_read() and so on) is in farstream.c.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "far.h"
#include "process.h"

struct command {
	side_fn fn;	/* NULL: stop */
	size_t in_len;
	size_t out_len;
};

/* Move all of @buf. Return: whether it could be done. */
static bool put(int fd, const void *buf, size_t len)
{
	while (len) {
		ssize_t n = send(fd, buf, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf = (const char *)buf + n;
		len -= (size_t)n;
	}
	return true;
}

static bool get(int fd, void *buf, size_t len)
{
	while (len) {
		ssize_t n = recv(fd, buf, len, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		buf = (char *)buf + n;
		len -= (size_t)n;
	}
	return true;
}

/* Close everything on @side that a test may have left open. */
static void side_close(struct side *side)
{
	for (size_t i = 0; i < side->nr_streams; i++)
		shmux_stream_close(side->streams[i]);
	free(side->streams);
	shmux_stream_close(side->stream);
	shmux_context_close(side->context);
	shmux_listener_close(side->listener);
	shmux_session_close(side->session, 0);
	if (side->fd >= 0)
		close(side->fd);
	if (side->out_fd >= 0)
		close(side->out_fd);
	memset(side, 0, sizeof(*side));
	side->fd = side->out_fd = -1;
}

void side_add(struct side *side, struct shmux_stream *stream)
{
	size_t n = side->nr_streams;

	/* Grow at each power of two. */
	if (!(n & (n - 1))) {
		size_t room = n ? 2 * n : 1;

		side->streams = reallocarray(side->streams, room, sizeof(*side->streams));
		if (!side->streams)
			abort();
	}
	side->streams[side->nr_streams++] = stream;
}

/* The child's life. Return: its exit status. */
static int child_main(int control, const int given[2])
{
	struct side side = { .fd = given[0], .out_fd = given[1] };
	struct command command;
	int nr_fds = process_nr_fds() - (given[0] >= 0) - (given[1] >= 0);
	int64_t result;
	void *in, *out;

	while (get(control, &command, sizeof(command)) && command.fn) {
		in = malloc(command.in_len + 1);
		out = calloc(1, command.out_len + 1);
		if (!in || !out || !get(control, in, command.in_len) || !put(control, "r", 1))
			return 2;
		side.in = in;
		side.in_len = command.in_len;
		side.out = out;
		side.out_len = command.out_len;
		result = command.fn(&side);
		if (!put(control, &result, sizeof(result)) || !put(control, out, command.out_len))
			return 2;
		free(in);
		free(out);
	}
	side_close(&side);
	if (process_nr_fds() != nr_fds) {
		fprintf(stderr, "# far: %d descriptors at first, %d at last\n", nr_fds,
			process_nr_fds());
		return 1;
	}
	if (process_leaks()) {
		fprintf(stderr, "# far: memory was lost\n");
		return 1;
	}
	return 0;
}

int far_start(struct far *far, enum far_place place)
{
	return far_start_with(far, place, -1, -1);
}

int far_start_with(struct far *far, enum far_place place, int fd, int near_fd)
{
	return far_start_giving(far, place, (int[2]){ fd, -1 }, (int[2]){ near_fd, -1 });
}

static void close_both(const int fds[2])
{
	for (int i = 0; i < 2; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

int far_start_giving(struct far *far, enum far_place place, const int given[2],
		     const int kept[2])
{
	pid_t parent = getpid();
	int fds[2];

	memset(far, 0, sizeof(*far));
	far->place = place;
	far->control = -1;
	far->side.fd = given[0];
	far->side.out_fd = given[1];
	if (place == FAR_SAME_PROCESS)
		return 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	far->pid = fork();
	if (far->pid < 0) {
		close(fds[0]);
		close(fds[1]);
		return -errno;
	}
	if (!far->pid) {
		close(fds[0]);
		close_both(kept);
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(2);
		_exit(child_main(fds[1], given));
	}
	close(fds[1]);
	close_both(given);
	far->side.fd = far->side.out_fd = -1;
	far->control = fds[0];
	return 0;
}

static int64_t run_here(void *arg)
{
	struct far *far = arg;

	return far->fn(&far->side);
}

void far_begin(struct far *far, side_fn fn, const void *in, size_t in_len, size_t out_len)
{
	struct command command = { .fn = fn, .in_len = in_len, .out_len = out_len };
	char ack;

	far->fn = fn;
	far->out_len = out_len;
	if (far->place == FAR_CHILD) {
		if (!put(far->control, &command, sizeof(command)) ||
		    !put(far->control, in, in_len) || !get(far->control, &ack, 1))
			fprintf(stderr, "# the far side is not there\n");
		return;
	}
	far->in = malloc(in_len + 1);
	far->out = calloc(1, out_len + 1);
	if (!far->in || !far->out)
		abort();
	if (in_len)
		memcpy(far->in, in, in_len);
	far->side.in = far->in;
	far->side.in_len = in_len;
	far->side.out = far->out;
	far->side.out_len = out_len;
	worker_start(&far->worker, run_here, far);
}

int64_t far_finish(struct far *far, void *out)
{
	int64_t result;

	if (far->place == FAR_CHILD) {
		if (!get(far->control, &result, sizeof(result)) ||
		    !get(far->control, out, far->out_len))
			return SIDE_DEAD;
		return result;
	}
	result = worker_join(&far->worker);
	if (far->out_len)
		memcpy(out, far->out, far->out_len);
	free(far->in);
	free(far->out);
	return result;
}

int64_t far_call(struct far *far, side_fn fn, const void *in, size_t in_len, void *out,
		 size_t out_len)
{
	if (far->place == FAR_CHILD) {
		far_begin(far, fn, in, in_len, out_len);
		return far_finish(far, out);
	}
	far->side.in = in;
	far->side.in_len = in_len;
	far->side.out = out;
	far->side.out_len = out_len;
	return fn(&far->side);
}

bool far_is_done(struct far *far)
{
	struct pollfd control = { .fd = far->control, .events = POLLIN };

	if (far->place == FAR_CHILD)
		return poll(&control, 1, 0) != 0;
	return worker_is_done(&far->worker);
}

bool far_wait_blocked(struct far *far)
{
	int seen = 0;

	if (far->place == FAR_SAME_PROCESS)
		return worker_wait_blocked(&far->worker);
	return wait_until((seen = process_sleeps(far->pid, far->pid) ? seen + 1 : 0) >= 2);
}

void far_kill(struct far *far)
{
	if (!far->pid)
		return;
	kill(far->pid, SIGKILL);
	waitpid(far->pid, NULL, 0);
	close(far->control);
	far->pid = 0;
	far->control = -1;
}

int far_stop(struct far *far)
{
	struct command command = { .fn = NULL };
	int status;

	if (far->place == FAR_SAME_PROCESS) {
		side_close(&far->side);
		return 0;
	}
	if (!far->pid)
		return 0;
	put(far->control, &command, sizeof(command));
	if (waitpid(far->pid, &status, 0) != far->pid)
		status = -1;
	close(far->control);
	far->pid = 0;
	far->control = -1;
	if (status)
		fprintf(stderr, "# far: its process ended with status 0x%x\n",
			(unsigned int)status);
	return status ? -1 : 0;
}
