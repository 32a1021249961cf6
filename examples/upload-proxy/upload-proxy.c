// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * upload-proxy.c - takes uploads over HTTP and passes the files on as they come
 *
 *   upload-proxy PORT UPSTREAM
 *
 * It listens on a port of 127.0.0.1 and takes what `curl -F file=@FILE` sends. Each
 * file goes through a rendezvous pipe to the upstream, an address of shmux's
 * (NAME, yamux+tcp:HOST:PORT, exec:COMMAND). Nothing is stored here: a piece that
 * comes in goes out before the next one is asked for, so that a file of any size
 * takes the same little memory, and an upstream that is slow slows the client down.
 *
 * What the two say to each other over the pipe, a write each: the file's name; its
 * content; an empty write, which says that this is all; and another, which the
 * upstream reads once it has stored the file. Anything else is no upload: where the
 * client goes away or what it sends is wrong the pipe is ended with an error, and
 * where this process dies the upstream reads no clean end either. Try it with
 *
 *   upload-receiver inbox & upload-proxy 8080 inbox &
 *   curl -F file=@/etc/services http://127.0.0.1:8080/
 *
 * One thread for each connection. HTTP's syntax is libhttp-parser's.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <error.h>
#include <http_parser.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <shmux/shmux.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "multipart.h"

enum {
	PIECE = 128 << 10, /* bytes taken in at once */
	FILES_MAX = 8, /* of one upload */
	PATIENCE = 60, /* seconds that either side may be silent */
	LINGER_MAX = 1 << 30, /* bytes of a refused upload that are read and dropped */
};

#define NSEC 1000000000u

static struct shmux_context *context;
static const char *upstream;

struct file {
	struct shmux_pipe *pipe;
	char name[256];
	unsigned long long size;
};

struct connection {
	int fd;
	http_parser http;
	struct multipart multipart;
	char field[32], value[256]; /* of the header that is just coming */
	size_t field_len, value_len;
	char content_type[256];
	int expects, in_value, is_form, is_over;
	int status; /* to answer with; 0: none so far */
	const char *why;
	struct file files[FILES_MAX];
	int nr_files;
	char in[PIECE];
};

static void refuse(struct connection *c, int status, const char *why)
{
	if (c->status)
		return;
	c->status = status;
	c->why = why;
}

static void say(struct connection *c, const char *what, size_t len)
{
	while (len) {
		ssize_t n = send(c->fd, what, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		what += n;
		len -= n;
	}
}

/* --- the upstream --- */

static void be_patient(struct file *f)
{
	shmux_pipe_set_deadline(f->pipe, shmux_now() + (uint64_t)PATIENCE * NSEC);
}

/* Return: 0, or why not all has been read. */
static int pass_on(struct file *f, const char *data, size_t len)
{
	ssize_t n;
	int error;

	be_patient(f);
	n = shmux_pipe_write(f->pipe, data, len);
	if (n == (ssize_t)len)
		return 0;
	if (n >= 0)
		n = shmux_pipe_error(f->pipe, &error) || !error ? -EIO : error;
	return n;
}

static int upstream_failed(struct connection *c, int err)
{
	const char *why = strerrordesc_np(-err);

	refuse(c, 502, why ? why : "an unknown error");
	return err;
}

static int on_part(void *arg, const struct multipart_part *part)
{
	struct shmux_dial_options dial = { .size = sizeof(dial) };
	struct connection *c = arg;
	struct shmux_stream *st;
	struct file *f;
	int err;

	if (!part->is_file)
		return 0;
	if (c->nr_files == FILES_MAX) {
		refuse(c, 413, "too many files");
		return -E2BIG;
	}
	f = &c->files[c->nr_files];
	dial.deadline = shmux_now() + (uint64_t)PATIENCE * NSEC;
	err = shmux_context_dial(context, upstream, &dial, &st);
	if (!err)
		err = shmux_pipe_attach(st, SHMUX_WRITE, NULL, &f->pipe);
	if (err)
		return upstream_failed(c, err);
	f->size = 0;
	snprintf(f->name, sizeof(f->name), "%s", part->filename);
	c->nr_files++;
	err = pass_on(f, part->filename, strlen(part->filename));
	return err ? upstream_failed(c, err) : 0;
}

static int on_data(void *arg, const char *data, size_t len)
{
	struct connection *c = arg;
	struct file *f = &c->files[c->nr_files - 1];
	int err;

	if (!c->multipart.part.is_file)
		return 0;
	err = pass_on(f, data, len);
	if (err)
		return upstream_failed(c, err);
	f->size += len;
	return 0;
}

static int on_part_end(void *arg)
{
	(void)arg;
	return 0;
}

static const struct multipart_calls multipart_calls = { on_part, on_data, on_part_end };

/* All has come, and is as it should be. */
static void commit(struct connection *c)
{
	int i, err;

	for (i = 0; i < c->nr_files && !c->status; i++) {
		err = pass_on(&c->files[i], "", 0);
		if (!err)
			err = pass_on(&c->files[i], "", 0);
		if (!err)
			err = shmux_pipe_shutdown(c->files[i].pipe, 0, 0);
		if (err)
			upstream_failed(c, err);
	}
}

/* --- HTTP --- */

static void header_done(struct connection *c)
{
	c->field[c->field_len] = c->value[c->value_len] = '\0';
	if (!strcasecmp(c->field, "Content-Type"))
		memcpy(c->content_type, c->value, c->value_len + 1);
	else if (!strcasecmp(c->field, "Expect") && !strcasecmp(c->value, "100-continue"))
		c->expects = 1;
	c->field_len = c->value_len = 0;
	c->in_value = 0;
}

/* What does not fit is none of those that matter, or a boundary that is too long. */
static void append(char *to, size_t size, size_t *len, const char *at, size_t n)
{
	if (n > size - 1 - *len)
		n = size - 1 - *len;
	memcpy(to + *len, at, n);
	*len += n;
}

static int on_header_field(http_parser *p, const char *at, size_t n)
{
	struct connection *c = p->data;

	if (c->in_value)
		header_done(c);
	append(c->field, sizeof(c->field), &c->field_len, at, n);
	return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t n)
{
	struct connection *c = p->data;

	c->in_value = 1;
	append(c->value, sizeof(c->value), &c->value_len, at, n);
	return 0;
}

static int on_headers_complete(http_parser *p)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct connection *c = p->data;
	char boundary[MULTIPART_BOUNDARY_MAX];
	int len;

	header_done(c);
	len = multipart_boundary(c->content_type, boundary);
	if (p->method != HTTP_POST && p->method != HTTP_PUT) {
		refuse(c, 405, "POST a form with a file");
	} else if (len < 0) {
		refuse(c, 415, "not multipart/form-data");
	} else {
		multipart_init(&c->multipart, boundary, len, &multipart_calls, c);
		c->is_form = 1;
		if (c->expects)
			say(c, go_on, sizeof(go_on) - 1);
	}
	return 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct connection *c = p->data;

	if (c->status)
		return 0;
	if (multipart_feed(&c->multipart, at, n))
		refuse(c, 400, "that is no multipart/form-data");
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct connection *c = p->data;

	c->is_over = 1;
	if (c->status)
		return 0;
	if (!c->is_form || multipart_end(&c->multipart))
		refuse(c, 400, "the last boundary is missing");
	else if (!c->nr_files)
		refuse(c, 400, "there is no file in it");
	else
		commit(c);
	return 0;
}

static const http_parser_settings settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* Files whose upload has not come to its end end with an error there. */
static void let_go(struct connection *c, int error)
{
	while (c->nr_files) {
		struct file *f = &c->files[--c->nr_files];

		/* Where it has ended well this changes nothing. */
		shmux_pipe_set_deadline(f->pipe, shmux_now() + NSEC);
		shmux_pipe_shutdown(f->pipe, error, 0);
		shmux_pipe_close(f->pipe);
	}
}

static void answer(struct connection *c)
{
	char text[FILES_MAX * 320], head[256];
	size_t len = 0, left = LINGER_MAX;
	ssize_t n;
	int i;

	for (i = 0; i < c->nr_files && !c->status; i++)
		len += snprintf(text + len, sizeof(text) - len, "%s: %llu bytes\n",
				c->files[i].name, c->files[i].size);
	if (c->status)
		len = snprintf(text, sizeof(text), "%s\n", c->why);
	i = snprintf(head, sizeof(head),
		     "HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\n"
		     "Content-Length: %zu\r\nConnection: close\r\n\r\n",
		     c->status ? c->status : 200, http_status_str(c->status ? c->status : 200),
		     len);
	let_go(c, c->status == 400 ? -EBADMSG : -ECANCELED);
	say(c, head, i);
	say(c, text, len);
	/* A socket that is closed while more comes would take the answer back. */
	shutdown(c->fd, SHUT_WR);
	while (!c->is_over && left && (n = recv(c->fd, c->in, PIECE, 0)) > 0)
		left -= left < (size_t)n ? left : (size_t)n;
}

static void *serve(void *arg)
{
	struct connection *c = arg;
	ssize_t n = 1;

	http_parser_init(&c->http, HTTP_REQUEST);
	c->http.data = c;
	while (!c->is_over && !c->status && (n = recv(c->fd, c->in, PIECE, 0)) > 0) {
		http_parser_execute(&c->http, &settings, c->in, n);
		if (HTTP_PARSER_ERRNO(&c->http) != HPE_OK)
			refuse(c, 400, "that is no HTTP");
	}
	if (c->is_over || c->status)
		answer(c);
	/* A client that has gone away gets no answer, and its files do not count. */
	let_go(c, -ECANCELED);
	close(c->fd);
	free(c);
	return NULL;
}

static int listen_on(const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	char *end;
	unsigned long number = strtoul(port, &end, 10);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (*end || !*port || number > 65535)
		error(2, 0, "%s is no port", port);
	sin.sin_port = htons(number);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) || listen(fd, 64) ||
	    getsockname(fd, (struct sockaddr *)&sin, &len))
		error(1, errno, "cannot listen on port %s", port);
	printf("listening on port %d\n", ntohs(sin.sin_port));
	fflush(stdout);
	return fd;
}

int main(int argc, char **argv)
{
	struct timeval patience = { .tv_sec = PATIENCE };
	struct connection *c;
	pthread_attr_t attr;
	pthread_t thread;
	int err, fd;

	if (argc != 3)
		error(2, 0, "usage: upload-proxy PORT UPSTREAM");
	upstream = argv[2];
	signal(SIGPIPE, SIG_IGN);
	err = shmux_context_open(NULL, &context);
	if (err)
		error(1, -err, "cannot begin");
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, 256 << 10);
	fd = listen_on(argv[1]);
	for (;;) {
		int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

		if (client < 0) {
			/* Of descriptors or memory there are more by and by. */
			poll(NULL, 0, 10);
			continue;
		}
		setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
		setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
		c = calloc(1, sizeof(*c));
		if (c)
			c->fd = client;
		if (!c || pthread_create(&thread, &attr, serve, c)) {
			close(client);
			free(c);
		}
	}
}
