// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_zeromq.c - ZeroMQ's PAIR sockets over ipc, by the library that is there at run time
 *
 * Messages are filled and checked where the library keeps them, which spares it a
 * copy, and one that was received is filled again and sent back. What is under way
 * is limited to what stays in the cache: a thousand messages, as it comes, may be
 * gigabytes.
 */
#define _GNU_SOURCE
#include "peer_absent.h"
#include "peer_rows.h"

#define SYSTEM "zeromq"

#if __has_include(<zmq.h>)

#include <dlfcn.h>
#include <errno.h>
#include <zmq.h>

#include "peer_name.h"

enum { DEPTH_BYTES = 1 << 20, DEPTH_MIN = 2, DEPTH_MAX = 1000 };

static struct {
	__typeof__(zmq_ctx_new) *ctx_new;
	__typeof__(zmq_socket) *socket;
	__typeof__(zmq_setsockopt) *setsockopt;
	__typeof__(zmq_bind) *bind;
	__typeof__(zmq_connect) *connect;
	__typeof__(zmq_msg_init) *msg_init;
	__typeof__(zmq_msg_init_size) *msg_init_size;
	__typeof__(zmq_msg_data) *msg_data;
	__typeof__(zmq_msg_send) *msg_send;
	__typeof__(zmq_msg_recv) *msg_recv;
} zmq;

#define FIND(name) (zmq.name = (__typeof__(zmq.name))dlsym(library, "zmq_" #name))

const char *bench_zeromq_absent(void)
{
	void *library = dlopen("libzmq.so.5", RTLD_NOW);
	bool found;

	found = library && FIND(ctx_new) && FIND(socket) && FIND(setsockopt) && FIND(bind) &&
		FIND(connect) && FIND(msg_init) && FIND(msg_init_size) && FIND(msg_data) &&
		FIND(msg_send) && FIND(msg_recv);
	return found ? NULL : "libzmq.so.5 cannot be loaded; Debian has it in libzmq5";
}

/* A context, with a thread of its own, must not be there before the fork. */
static void *open_socket(struct bench_run *run)
{
	void *context = zmq.ctx_new(), *socket = context ? zmq.socket(context, ZMQ_PAIR) : NULL;
	int depth = DEPTH_BYTES / run->bc->bytes;

	if (!socket)
		bench_fail(run, "zmq_socket", errno);
	if (depth < DEPTH_MIN)
		depth = DEPTH_MIN;
	if (depth > DEPTH_MAX)
		depth = DEPTH_MAX;
	if (zmq.setsockopt(socket, ZMQ_SNDHWM, &depth, sizeof(depth)) ||
	    zmq.setsockopt(socket, ZMQ_RCVHWM, &depth, sizeof(depth)))
		bench_fail(run, "zmq_setsockopt", errno);
	return socket;
}

static void *near_socket(struct bench_run *run)
{
	void *socket = open_socket(run);
	char url[PEER_URL_SIZE];

	peer_name_url(url, "ipc://@");
	if (zmq.bind(socket, url))
		bench_fail(run, "zmq_bind", errno);
	peer_name_tell(run);
	return socket;
}

static void *far_socket(struct bench_run *run)
{
	void *socket = open_socket(run);
	char url[PEER_URL_SIZE];

	peer_name_url(url, "ipc://@");
	peer_name_await(run);
	if (zmq.connect(socket, url))
		bench_fail(run, "zmq_connect", errno);
	return socket;
}

static void make(struct bench_run *run, zmq_msg_t *message)
{
	if (zmq.msg_init_size(message, run->bc->bytes))
		bench_fail(run, "zmq_msg_init_size", errno);
}

/* Leaves @message empty. */
static void put(struct bench_run *run, void *socket, zmq_msg_t *message, uint64_t n)
{
	bench_fill(zmq.msg_data(message), run->bc->bytes, n);
	if (zmq.msg_send(message, socket, 0) < 0)
		bench_fail(run, "zmq_msg_send", errno);
}

/* Frees what @message was. */
static void get(struct bench_run *run, void *socket, zmq_msg_t *message, uint64_t n)
{
	int got = zmq.msg_recv(message, socket, 0);

	if (got < 0 || (size_t)got != run->bc->bytes)
		bench_fail(run, "zmq_msg_recv", errno);
	bench_check(run, zmq.msg_data(message), run->bc->bytes, n);
}

static void ping(struct bench_run *run)
{
	void *socket = near_socket(run);
	zmq_msg_t message;
	uint64_t n = 0;

	make(run, &message);
	put(run, socket, &message, n);
	get(run, socket, &message, ~n++);
	bench_start(run);
	do {
		put(run, socket, &message, n);
		get(run, socket, &message, ~n++);
	} while (bench_lap(run));
}

static void pong(struct bench_run *run)
{
	void *socket = far_socket(run);
	zmq_msg_t message;

	zmq.msg_init(&message);
	for (uint64_t n = 0;; n++) {
		get(run, socket, &message, n);
		put(run, socket, &message, ~n);
	}
}

static void source(struct bench_run *run)
{
	void *socket = far_socket(run);
	zmq_msg_t message;

	for (uint64_t n = 0;; n++) {
		make(run, &message);
		put(run, socket, &message, n);
	}
}

static void sink(struct bench_run *run)
{
	void *socket = near_socket(run);
	zmq_msg_t message;
	uint64_t n = 0;

	zmq.msg_init(&message);
	get(run, socket, &message, n++);
	bench_start(run);
	do
		get(run, socket, &message, n++);
	while (bench_took(run, 1));
}

#define RTT peer_name_setup, ping, pong
#define ONEWAY peer_name_setup, sink, source

#else

const char *bench_zeromq_absent(void)
{
	return "shmux was built without zmq.h, which Debian has in libzmq3-dev";
}

#define RTT NULL, NULL, NULL
#define ONEWAY NULL, NULL, NULL

#endif

const struct bench_case bench_peer_zeromq[] = { PEER_ROWS_TO_16M, { 0 } };
