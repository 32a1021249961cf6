// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * parent-child.c - a session between a parent and its child
 *
 * No address is needed: a pair made before the fork is where the two meet. The
 * child turns what it is asked into capitals.
 */
#include <ctype.h>
#include <errno.h>
#include <error.h>
#include <shmux/shmux.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static int serve(int fd)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	char buf[256];
	ssize_t n;

	n = shmux_session_attach(fd, SHMUX_ROLE_ACCEPTOR, NULL, shmux_now() + 5 * SECOND, &s);
	if (n < 0)
		error(1, -n, "the child cannot attach");
	n = shmux_session_accept(s, 0, &st);
	if (n < 0)
		error(1, -n, "the child cannot accept");
	while ((n = shmux_stream_read(st, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n; i++)
			buf[i] = toupper((unsigned char)buf[i]);
		n = shmux_stream_write(st, buf, n);
		if (n < 0)
			break;
	}
	if (n < 0)
		error(1, -n, "the child cannot go on");
	shmux_stream_close(st);
	shmux_session_close(s, shmux_now() + SECOND);
	return 0;
}

static void ask(int fd, const char *question)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	struct iovec iov;
	char buf[256];
	ssize_t n;

	n = shmux_session_attach(fd, SHMUX_ROLE_DIALLER, NULL, shmux_now() + 5 * SECOND, &s);
	if (n < 0)
		error(1, -n, "the parent cannot attach");
	n = shmux_session_open(s, SHMUX_STREAM_BYTES, &st);
	if (n < 0)
		error(1, -n, "the parent cannot open a stream");

	iov = (struct iovec){ (char *)question, strlen(question) };
	n = shmux_stream_send(st, &iov, 1, SHMUX_FIN);
	if (n < 0)
		error(1, -n, "the parent cannot ask");
	iov = (struct iovec){ buf, sizeof(buf) };
	n = shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL);
	if (n < 0)
		error(1, -n, "the parent gets no answer");
	printf("%.*s\n", (int)n, buf);
	shmux_stream_close(st);
	shmux_session_close(s, shmux_now() + SECOND);
}

int main(void)
{
	int fds[2], status;
	pid_t child;
	int e;

	e = shmux_session_pair(fds);
	if (e)
		error(1, -e, "cannot make a pair");
	child = fork();
	if (child < 0)
		error(1, errno, "cannot fork");
	if (!child) {
		close(fds[0]);
		return serve(fds[1]);
	}
	close(fds[1]);
	ask(fds[0], "what lies in memory need not be sent");
	return waitpid(child, &status, 0) == child && !status ? 0 : 1;
}
