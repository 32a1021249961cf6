// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * http-stdio.c - an HTTP/1.1 server over any address, at first its standard input and output
 *
 *   http-stdio [ADDRESS]
 *
 * ADDRESS is one of the library's, on which each stream is a connection, or
 * tcp:HOST:PORT, a plain socket. A browser gets at it through a forwarder that
 * starts it and talks to it over its standard input and output:
 *
 *   shmux forward tcp:127.0.0.1:6060 exec:./http-stdio
 *
 * One thread serves thousands of connections: it reads what there is, parses it
 * (http_parser does), writes what can be written, and goes on to the next. Who does
 * not read its answer is not read from either, so a connection never takes more
 * memory than what one read has brought about.
 *
 *   /         a page
 *   /echo     POST: the body comes back, as it arrives
 *   /reverse  POST: the body comes back backwards; 64 KiB at most
 *   /bytes/N  N bytes
 *
 * On SIGTERM it answers the requests that it has, and leaves.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <error.h>
#include <http_parser.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <shmux/shmux.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	EVENTS = 128,
	PIECE = 16 << 10,		/* one read, and what is parsed at once */
	HEAD_MAX = 16 << 10,		/* a request without its body */
	REVERSE_MAX = 64 << 10,
	LINGER_MAX = 16 << 20,		/* bytes of a client that does not stop */
	TURN_PIECES = 16,		/* then the others have their turn */
};

static const char page[] =
	"<!DOCTYPE html>\n"
	"<title>shmux</title>\n"
	"<h1>It works</h1>\n"
	"<p>This page has come over a stream of shmux.\n"
	"<p><a href=\"/bytes/1000000\">A million bytes</a>\n"
	"<form method=\"post\" action=\"/echo\"><input name=\"word\" value=\"hello\">\n"
	"<button>Echo</button></form>\n"
	"<p id=\"script\">\n"
	"<script>fetch('/reverse', { method: 'POST', body: 'pot eht morF' })\n"
	".then(r => r.text()).then(t => document.getElementById('script').textContent = t)\n"
	"</script>\n";

/* What a request is about. */
enum action { PAGE, ECHO, REVERSE, BYTES, REFUSE };

struct server;

struct conn {
	struct server *server;
	struct session *session;	/* of @st */
	struct shmux_stream *st;	/* or NULL */
	int fd;				/* or -1 */
	http_parser parser;

	/* The request that is being read. */
	char url[128], field[16], value[16];
	unsigned int url_len, field_len, value_len;
	bool in_value, has_host, expects, is_refused;
	enum action action;
	int status;			/* for REFUSE */
	char *body;			/* for REVERSE */
	size_t body_len;

	char *in;			/* read and not parsed, or NULL */
	size_t in_pos, in_len;
	char *out;			/* to be written, or NULL */
	size_t out_pos, out_len, out_size;
	uint64_t bytes_left;		/* of BYTES, after that */
	size_t lingered;
	bool in_request;		/* part of one has come */
	bool in_answer;			/* ECHO: the head is written */
	bool closes;			/* when all is written */
	bool lingers;			/* it is, and the client is to notice */
	bool is_busy;
	LIST_ENTRY(conn) all;
	TAILQ_ENTRY(conn) busy;
};

struct session {
	struct shmux_session *s;
	unsigned int nr_conns;
	bool is_dead, is_corked;
	LIST_ENTRY(session) all;
};

struct server {
	int epoll, signals, socket;
	int nr_signals;
	struct shmux_listener *listener;
	bool is_over;			/* nobody can connect any more */
	time_t second;
	char date[40];
	LIST_HEAD(, conn) conns;
	LIST_HEAD(, session) sessions;
	TAILQ_HEAD(busy, conn) busy;
	char piece[PIECE];
};

/* What /bytes/N is made of. */
static char pattern[64 << 10];

/* --- bytes in and out --------------------------------------------------------- */

static ssize_t conn_read(struct conn *c, void *buf, size_t size)
{
	ssize_t n;

	if (c->st)
		return shmux_stream_try_read(c->st, buf, size);
	n = recv(c->fd, buf, size, MSG_DONTWAIT);
	return n < 0 ? -errno : n;
}

static ssize_t conn_write(struct conn *c, const void *buf, size_t len)
{
	ssize_t n;

	if (c->st)
		return shmux_stream_try_write(c->st, buf, len);
	n = send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static void conn_end_output(struct conn *c)
{
	if (c->st)
		shmux_stream_shutdown(c->st, SHMUX_WRITE);
	else
		shutdown(c->fd, SHUT_WR);
}

static void mark_busy(struct conn *c)
{
	if (c->is_busy)
		return;
	c->is_busy = true;
	TAILQ_INSERT_TAIL(&c->server->busy, c, busy);
}

/* @cut: what has been written is not all. */
static void conn_close(struct conn *c, bool cut)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (c->is_busy)
		TAILQ_REMOVE(&c->server->busy, c, busy);
	if (c->st) {
		if (cut)
			shmux_stream_reset(c->st, 256);
		shmux_stream_close(c->st);
		c->session->nr_conns--;
	} else {
		if (cut)
			setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(c->fd);
	}
	LIST_REMOVE(c, all);
	free(c->body);
	free(c->in);
	free(c->out);
	free(c);
}

/* Room for @len more bytes of output. NULL without memory: the connection is cut. */
static char *make_room(struct conn *c, size_t len)
{
	size_t size = c->out_size ? c->out_size : 1024;
	char *out;

	while (size < c->out_len + len)
		size *= 2;
	if (size == c->out_size)
		return c->out + c->out_len;
	out = realloc(c->out, size);
	if (!out)
		return NULL;
	c->out = out;
	c->out_size = size;
	return out + c->out_len;
}

static int put(struct conn *c, const void *data, size_t len)
{
	char *at = make_room(c, len);

	if (!at)
		return -1;
	memcpy(at, data, len);
	c->out_len += len;
	return 0;
}

/* --- answers ------------------------------------------------------------------ */

static const char *date(struct server *server)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != server->second) {
		server->second = now;
		gmtime_r(&now, &tm);
		strftime(server->date, sizeof(server->date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
	}
	return server->date;
}

static const char *reason(int status)
{
	switch (status) {
#define XX(number, name, text) \
	case number:           \
		return #text;
		HTTP_STATUS_MAP(XX)
#undef XX
	}
	return "Unknown";
}

/* @len: of the body, or UINT64_MAX: it comes in chunks. */
static int put_head(struct conn *c, int status, const char *type, uint64_t len)
{
	bool keeps = !c->closes && http_should_keep_alive(&c->parser);
	char head[512];
	int n;

	n = snprintf(head, sizeof(head), "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Type: %s\r\n",
		     status, reason(status), date(c->server), type);
	if (len == UINT64_MAX)
		n += snprintf(head + n, sizeof(head) - n, "Transfer-Encoding: chunked\r\n");
	else
		n += snprintf(head + n, sizeof(head) - n, "Content-Length: %llu\r\n",
			      (unsigned long long)len);
	if (status == 405)
		n += snprintf(head + n, sizeof(head) - n, "Allow: %s\r\n",
			      !strcmp(c->url, "/") || !strncmp(c->url, "/bytes/", 7) ? "GET, HEAD" :
										      "POST");
	if (!keeps || c->server->nr_signals) {
		c->closes = true;
		n += snprintf(head + n, sizeof(head) - n, "Connection: close\r\n");
	} else if (c->parser.http_minor == 0) {
		n += snprintf(head + n, sizeof(head) - n, "Connection: keep-alive\r\n");
	}
	n += snprintf(head + n, sizeof(head) - n, "\r\n");
	return put(c, head, n);
}

static bool is_head(const struct conn *c)
{
	return c->parser.method == HTTP_HEAD;
}

static int put_answer(struct conn *c, int status, const char *type, const void *body, size_t len)
{
	if (put_head(c, status, type, len))
		return -1;
	return is_head(c) ? 0 : put(c, body, len);
}

/* The connection ends with it: whoever sends a body need not go on. */
static int refuse(struct conn *c, int status)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%d %s\n", status, reason(status));

	c->is_refused = true;
	return put_answer(c, status, "text/plain", text, len);
}

/* --- requests ----------------------------------------------------------------- */

static struct conn *conn_of(http_parser *parser)
{
	return parser->data;
}

static int on_message_begin(http_parser *parser)
{
	struct conn *c = conn_of(parser);

	c->url_len = c->field_len = c->value_len = 0;
	c->in_value = c->has_host = c->expects = c->is_refused = c->in_answer = false;
	c->in_request = true;
	return 0;
}

/* Add to a word; what does not fit is told by its length. */
static void add(char *word, unsigned int *len, size_t size, const char *at, size_t n)
{
	if (*len < size)
		memcpy(word + *len, at, *len + n < size ? n : size - *len);
	*len += n;
}

static int on_url(http_parser *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);

	add(c->url, &c->url_len, sizeof(c->url), at, len);
	return 0;
}

static bool word_is(const char *word, unsigned int len, const char *wanted)
{
	return len == strlen(wanted) && !strncasecmp(word, wanted, len);
}

static void end_field(struct conn *c)
{
	if (word_is(c->field, c->field_len, "host"))
		c->has_host = true;
	if (word_is(c->field, c->field_len, "expect") &&
	    word_is(c->value, c->value_len, "100-continue"))
		c->expects = true;
	c->in_value = false;
	c->field_len = c->value_len = 0;
}

static int on_header_field(http_parser *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);

	if (c->in_value)
		end_field(c);
	add(c->field, &c->field_len, sizeof(c->field), at, len);
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);

	c->in_value = true;
	add(c->value, &c->value_len, sizeof(c->value), at, len);
	return 0;
}

static bool has_body(const http_parser *parser)
{
	return (parser->flags & F_CHUNKED) ||
	       (parser->content_length && parser->content_length != ULLONG_MAX);
}

/* "/bytes/N" Return: whether it is. */
static bool read_bytes_url(struct conn *c, uint64_t *bytes)
{
	char *end;

	if (strncmp(c->url, "/bytes/", 7) || c->url[7] < '0' || c->url[7] > '9')
		return false;
	errno = 0;
	*bytes = strtoull(c->url + 7, &end, 10);
	return !errno && !*end;
}

/* Return: a status, 0 if there is nothing against it. */
static int choose(struct conn *c)
{
	const http_parser *parser = &c->parser;
	bool gets = parser->method == HTTP_GET || parser->method == HTTP_HEAD;
	uint64_t bytes;
	char *query;

	if (parser->http_major != 1)
		return 505;
	if (parser->http_minor && !c->has_host)
		return 400;
	if (c->url_len >= sizeof(c->url))
		return 414;
	c->url[c->url_len] = '\0';
	query = strchr(c->url, '?');
	if (query)
		*query = '\0';
	if (!strcmp(c->url, "/"))
		c->action = PAGE;
	else if (!strcmp(c->url, "/echo"))
		c->action = ECHO;
	else if (!strcmp(c->url, "/reverse"))
		c->action = REVERSE;
	else if (read_bytes_url(c, &bytes))
		c->action = BYTES;
	else
		return 404;
	if (c->action == PAGE || c->action == BYTES)
		return gets ? 0 : 405;
	if (parser->method != HTTP_POST)
		return 405;
	if (c->action == REVERSE && has_body(parser) && !(parser->flags & F_CHUNKED) &&
	    parser->content_length > REVERSE_MAX)
		return 413;
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
	struct conn *c = conn_of(parser);
	bool chunked = parser->flags & F_CHUNKED;

	if (c->in_value)
		end_field(c);
	c->status = choose(c);
	if (c->status) {
		c->action = REFUSE;
		/* What it would send is not wanted. */
		if (has_body(parser)) {
			c->closes = true;
			return refuse(c, c->status);
		}
		return 0;
	}
	if (c->expects && has_body(parser) && put(c, go_on, sizeof(go_on) - 1))
		return -1;
	if (c->action != ECHO)
		return 0;
	c->in_answer = true;
	return put_head(c, 200, "application/octet-stream",
			chunked ? UINT64_MAX : has_body(parser) ? parser->content_length : 0);
}

static int keep_body(struct conn *c, const char *at, size_t len)
{
	char *body;

	if (c->body_len + len > REVERSE_MAX) {
		c->closes = true;
		return refuse(c, 413);
	}
	body = realloc(c->body, c->body_len + len);
	if (!body)
		return -1;
	memcpy(body + c->body_len, at, len);
	c->body = body;
	c->body_len += len;
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t len)
{
	struct conn *c = conn_of(parser);
	char size[20];

	if (c->is_refused)
		return 0;
	if (c->action == REVERSE)
		return keep_body(c, at, len);
	if (c->action != ECHO)
		return 0;
	if (!(parser->flags & F_CHUNKED))
		return put(c, at, len);
	if (put(c, size, snprintf(size, sizeof(size), "%zx\r\n", len)) || put(c, at, len))
		return -1;
	return put(c, "\r\n", 2);
}

static int answer_reverse(struct conn *c)
{
	char swap;
	int err;

	for (size_t i = 0; i < c->body_len / 2; i++) {
		swap = c->body[i];
		c->body[i] = c->body[c->body_len - 1 - i];
		c->body[c->body_len - 1 - i] = swap;
	}
	err = put_answer(c, 200, "application/octet-stream", c->body ? c->body : "", c->body_len);
	free(c->body);
	c->body = NULL;
	c->body_len = 0;
	return err;
}

static int answer_bytes(struct conn *c)
{
	uint64_t bytes = 0;

	read_bytes_url(c, &bytes);
	if (!is_head(c))
		c->bytes_left = bytes;
	return put_head(c, 200, "application/octet-stream", bytes);
}

static int answer(struct conn *c)
{
	switch (c->action) {
	case PAGE:
		return put_answer(c, 200, "text/html", page, sizeof(page) - 1);
	case ECHO:
		return (c->parser.flags & F_CHUNKED) ? put(c, "0\r\n\r\n", 5) : 0;
	case REVERSE:
		return answer_reverse(c);
	case BYTES:
		return answer_bytes(c);
	default:
		return refuse(c, c->status);
	}
}

static int on_message_complete(http_parser *parser)
{
	struct conn *c = conn_of(parser);
	int err = c->is_refused ? 0 : answer(c);

	c->in_request = false;
	/* The next one after that; or none. */
	if (c->bytes_left || c->closes || parser->upgrade)
		http_parser_pause(parser, 1);
	return err;
}

static const http_parser_settings callbacks = {
	.on_message_begin = on_message_begin,
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* --- connections --------------------------------------------------------------- */

static int status_of(enum http_errno error)
{
	switch (error) {
	case HPE_HEADER_OVERFLOW:
		return 431;
	case HPE_INVALID_METHOD:
		return 501;
	case HPE_INVALID_VERSION:
		return 505;
	default:
		return 400;
	}
}

/* Return: 0, or -1: the connection is to be cut. */
static int parse(struct conn *c, const char *data, size_t len)
{
	size_t n = http_parser_execute(&c->parser, &callbacks, data, len);
	enum http_errno error = HTTP_PARSER_ERRNO(&c->parser);

	if (error == HPE_PAUSED) {
		http_parser_pause(&c->parser, 0);
	} else if (error != HPE_OK) {
		/* Ours: no memory. Or amid an answer: it is no use to begin another. */
		if (error >= HPE_CB_message_begin && error <= HPE_CB_chunk_complete)
			return -1;
		if (c->in_answer)
			return -1;
		c->closes = true;
		if (!c->is_refused && refuse(c, status_of(error)))
			return -1;
		return 0;
	}
	if (c->closes || n == len)
		return 0;
	c->in = malloc(len - n);
	if (!c->in)
		return -1;
	memcpy(c->in, data + n, len - n);
	c->in_pos = 0;
	c->in_len = len - n;
	return 0;
}

/* Return: 0, or a negative errno. */
static int write_out(struct conn *c)
{
	ssize_t n;

	while (c->out) {
		n = conn_write(c, c->out + c->out_pos, c->out_len - c->out_pos);
		if (n < 0)
			return n;
		c->out_pos += n;
		if (c->out_pos < c->out_len)
			continue;
		free(c->out);
		c->out = NULL;
		c->out_pos = c->out_len = c->out_size = 0;
	}
	return 0;
}

static int write_bytes(struct conn *c)
{
	size_t len = c->bytes_left < sizeof(pattern) ? c->bytes_left : sizeof(pattern);
	ssize_t n = conn_write(c, pattern, len);

	if (n < 0)
		return n;
	c->bytes_left -= n;
	return 0;
}

/*
 * The answer is out, and what the client still sends nobody wants. To close at once
 * could take the answer away from it, unread.
 */
static int linger(struct conn *c)
{
	ssize_t n = conn_read(c, c->server->piece, PIECE);

	if (n <= 0)
		return n ? n : -ENODATA;
	c->lingered += n;
	return c->lingered > LINGER_MAX ? -ECANCELED : 0;
}

static int parse_kept(struct conn *c)
{
	char *in = c->in;
	int err;

	c->in = NULL;
	err = parse(c, in + c->in_pos, c->in_len - c->in_pos);
	free(in);
	return err ? -ENOMEM : 0;
}

static int read_in(struct conn *c)
{
	ssize_t n = conn_read(c, c->server->piece, PIECE);

	if (n < 0)
		return n;
	if (!n) {
		/* Between requests that is an end like any other. */
		if (c->in_request)
			return -ECONNRESET;
		c->closes = c->lingers = true;
		return -ENODATA;
	}
	return parse(c, c->server->piece, n) ? -ENOMEM : 0;
}

/* Return: 0: it may go on at once; -EAGAIN: later; -ENODATA: it has ended; or an error. */
static int step(struct conn *c)
{
	int err = write_out(c);

	if (err)
		return err;
	if (c->bytes_left)
		return write_bytes(c);
	if (c->lingers)
		return linger(c);
	if (c->closes) {
		conn_end_output(c);
		c->lingers = true;
		return 0;
	}
	if (c->in)
		return parse_kept(c);
	/* Nobody asks any more; an idle connection need not stay. */
	if (c->server->nr_signals && !c->in_request)
		c->closes = true;
	return c->closes ? 0 : read_in(c);
}

static void serve_conn(struct conn *c)
{
	int err = 0;

	if (c->session && !c->session->is_corked && !c->session->is_dead) {
		c->session->is_corked = true;
		shmux_session_cork(c->session->s);
	}
	for (int i = 0; i < TURN_PIECES && !err; i++)
		err = step(c);
	if (!err)
		mark_busy(c);
	else if (err != -EAGAIN)
		conn_close(c, err != -ENODATA);
}

static void serve_busy(struct server *server)
{
	struct conn *c, *last = TAILQ_LAST(&server->busy, busy);
	struct session *session;
	bool is_last = !last;

	while (!is_last) {
		c = TAILQ_FIRST(&server->busy);
		is_last = c == last;
		TAILQ_REMOVE(&server->busy, c, busy);
		c->is_busy = false;
		serve_conn(c);
	}
	/* All that was written goes out at once. */
	LIST_FOREACH(session, &server->sessions, all) {
		if (session->is_corked)
			shmux_session_uncork(session->s);
		session->is_corked = false;
	}
}

static struct conn *new_conn(struct server *server)
{
	struct conn *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->server = server;
	c->fd = -1;
	http_parser_init(&c->parser, HTTP_REQUEST);
	c->parser.data = c;
	LIST_INSERT_HEAD(&server->conns, c, all);
	mark_busy(c);
	return c;
}

/* --- sessions, and a plain socket ---------------------------------------------- */

static void accept_streams(struct server *server, struct session *session)
{
	struct shmux_stream *st;
	struct conn *c;

	while (!shmux_session_accept(session->s, SHMUX_NOWAIT, &st)) {
		c = shmux_stream_is_message(st) ? NULL : new_conn(server);
		if (!c) {
			shmux_stream_reset(st, 256);
			shmux_stream_close(st);
			continue;
		}
		c->st = st;
		c->session = session;
		session->nr_conns++;
		shmux_stream_set_user(st, c);
	}
}

static void serve_session(struct server *server, struct session *session)
{
	struct shmux_event events[EVENTS];
	struct conn *c;
	int n;

	do {
		n = shmux_session_pump(session->s, events, EVENTS);
		for (int i = 0; i < n; i++) {
			if (events[i].events & SHMUX_EVENT_ACCEPT)
				accept_streams(server, session);
			if (events[i].events & SHMUX_EVENT_DEAD)
				session->is_dead = true;
			if (events[i].user)
				mark_busy(events[i].user);
		}
	} while (n == EVENTS);
	if (n >= 0 && !session->is_dead)
		return;
	session->is_dead = true;
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, shmux_session_fd(session->s), NULL);
	LIST_FOREACH(c, &server->conns, all)
		if (c->session == session)
			mark_busy(c);
}

static void sweep_sessions(struct server *server)
{
	struct session *session, *next;

	for (session = LIST_FIRST(&server->sessions); session; session = next) {
		next = LIST_NEXT(session, all);
		if (session->nr_conns || !(session->is_dead || server->nr_signals))
			continue;
		LIST_REMOVE(session, all);
		shmux_session_close(session->s, shmux_now() + 1000000000);
		free(session);
	}
}

static int watch(struct server *server, int fd, uint32_t events, void *what)
{
	struct epoll_event event = { .events = events, .data.ptr = what };

	return epoll_ctl(server->epoll, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

/* What epoll hands back: a pointer to one of these, or with its lowest bit set a conn. */
static void accept_sessions(struct server *server)
{
	struct shmux_session *s;
	struct session *session;
	int err;

	while (!(err = shmux_listener_accept_session(server->listener, SHMUX_NOWAIT, &s))) {
		session = calloc(1, sizeof(*session));
		if (!session || watch(server, shmux_session_fd(s), EPOLLIN, session)) {
			shmux_session_close(s, 0);
			free(session);
			continue;
		}
		session->s = s;
		LIST_INSERT_HEAD(&server->sessions, session, all);
		serve_session(server, session);
	}
	if (err == -EAGAIN || err == -EMFILE || err == -ENFILE || err == -ENOMEM)
		return;
	/* There was one to be had, and that was it. */
	epoll_ctl(server->epoll, EPOLL_CTL_DEL, shmux_listener_fd(server->listener), NULL);
	server->is_over = true;
}

static void *tagged(struct conn *c)
{
	return (char *)c + 1;
}

static void accept_sockets(struct server *server)
{
	const int yes = 1;
	struct conn *c;
	int fd;

	while ((fd = accept4(server->socket, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		c = new_conn(server);
		if (!c) {
			close(fd);
			continue;
		}
		c->fd = fd;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
		if (watch(server, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, tagged(c)))
			conn_close(c, true);
	}
}

/* "tcp:HOST:PORT" */
static int open_socket(const char *address)
{
	struct sockaddr_in addr = { 0 };
	socklen_t len = sizeof(addr);
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *list;
	const char *colon = strrchr(address + 4, ':');
	const int yes = 1;
	char host[256];
	int fd, err;

	if (!colon)
		error(2, EINVAL, "%s is not tcp:HOST:PORT", address);
	snprintf(host, sizeof(host), "%.*s", (int)(colon - address - 4), address + 4);
	err = getaddrinfo(*host ? host : NULL, colon + 1, &hints, &list);
	if (err)
		error(1, 0, "cannot look up %s: %s", address, gai_strerror(err));
	fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) || listen(fd, 4096))
		error(1, errno, "cannot listen on %s", address);
	freeaddrinfo(list);
	/* Of port 0 something becomes. */
	getsockname(fd, (struct sockaddr *)&addr, &len);
	fprintf(stderr, "listening on %.*s:%u\n", (int)(colon - address), address,
		ntohs(addr.sin_port));
	return fd;
}

static void complain(void *arg, enum shmux_log_level level, const char *sentence)
{
	(void)arg;
	if (level == SHMUX_LOG_ERROR)
		fprintf(stderr, "%s\n", sentence);
}

static void open_listener(struct server *server, const char *address)
{
	/* Most requests fit into a first grant. */
	struct shmux_session_options session = {
		.size = sizeof(session),
		.budget = 256 << 20,
		.first_grant = 4096,
		.streams_max = 32768,
		.backlog = 4096,
		.log = complain,
	};
	struct shmux_listener_options options = { .size = sizeof(options), .session = &session };
	int err = shmux_listener_open(address, &options, &server->listener);

	if (err)
		error(1, -err, "cannot listen on %s", address);
	err = watch(server, shmux_listener_fd(server->listener), EPOLLIN, &server->listener);
	if (err)
		error(1, -err, "cannot wait for sessions");
	if (strcmp(address, "stdio:"))
		fprintf(stderr, "listening on %s\n", address);
}

/* --- the loop ------------------------------------------------------------------ */

static void begin_drain(struct server *server)
{
	struct session *session;
	struct conn *c;

	if (server->socket >= 0)
		close(server->socket);
	server->socket = -1;
	shmux_listener_close(server->listener);
	server->listener = NULL;
	LIST_FOREACH(session, &server->sessions, all)
		shmux_session_go_away(session->s, 0);
	LIST_FOREACH(c, &server->conns, all)
		mark_busy(c);
}

static void take_signals(struct server *server)
{
	struct signalfd_siginfo info;

	while (read(server->signals, &info, sizeof(info)) == sizeof(info))
		if (!server->nr_signals++)
			begin_drain(server);
}

static bool goes_on(const struct server *server)
{
	if (server->nr_signals > 1)
		return false;
	if (server->nr_signals || server->is_over)
		return !LIST_EMPTY(&server->conns) || !LIST_EMPTY(&server->sessions);
	return true;
}

static void serve(struct server *server)
{
	struct epoll_event events[EVENTS];
	bool has_signals;
	int n;

	while (goes_on(server)) {
		has_signals = false;
		n = epoll_wait(server->epoll, events, EVENTS, TAILQ_EMPTY(&server->busy) ? -1 : 0);
		for (int i = 0; i < n; i++) {
			void *what = events[i].data.ptr;

			if (what == &server->listener)
				accept_sessions(server);
			else if (what == &server->socket)
				accept_sockets(server);
			else if ((uintptr_t)what & 1)
				mark_busy((struct conn *)((char *)what - 1));
			else if (what == &server->signals)
				has_signals = true;
			else
				serve_session(server, what);
		}
		if (has_signals)
			take_signals(server);
		serve_busy(server);
		sweep_sessions(server);
	}
}

int main(int argc, char **argv)
{
	static struct server server;
	const char *address = argc > 1 ? argv[1] : "stdio:";
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	http_parser_set_max_header_size(HEAD_MAX);
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = i % 64 == 63 ? '\n' : 'a' + i % 26;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	LIST_INIT(&server.conns);
	LIST_INIT(&server.sessions);
	TAILQ_INIT(&server.busy);
	server.socket = -1;
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	server.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (server.epoll < 0 || server.signals < 0 ||
	    watch(&server, server.signals, EPOLLIN, &server.signals))
		error(1, errno, "cannot wait for signals");
	if (!strncmp(address, "tcp:", 4)) {
		server.socket = open_socket(address);
		if (watch(&server, server.socket, EPOLLIN, &server.socket))
			error(1, errno, "cannot wait for connections");
	} else {
		open_listener(&server, address);
	}
	serve(&server);
	return 0;
}
