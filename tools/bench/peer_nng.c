// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * peer_nng.c - nng's pair0 sockets over abstract AF_UNIX, by the library that is there at run time
 *
 * Its ipc transport, by a name that leaves no file. Messages are filled and checked
 * where the library keeps them, and one that was received is filled again and sent
 * back, as in its own perf program. One way there are buffers at both ends, of as many
 * messages as stay in the cache: as it comes there are none.
 */
#define _GNU_SOURCE
#include "peer_absent.h"
#include "peer_rows.h"

#define SYSTEM "nng"

#if __has_include(<nng/nng.h>)

#include <dlfcn.h>
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include "peer_name.h"

enum { DEPTH_BYTES = 256 << 10, DEPTH_MIN = 2, DEPTH_MAX = 1000 };

static struct {
	__typeof__(nng_pair0_open) *pair0_open;
	__typeof__(nng_socket_set_int) *socket_set_int;
	__typeof__(nng_socket_set_size) *socket_set_size;
	__typeof__(nng_listen) *listen;
	__typeof__(nng_dial) *dial;
	__typeof__(nng_msg_alloc) *msg_alloc;
	__typeof__(nng_msg_body) *msg_body;
	__typeof__(nng_msg_len) *msg_len;
	__typeof__(nng_msg_free) *msg_free;
	__typeof__(nng_sendmsg) *sendmsg;
	__typeof__(nng_recvmsg) *recvmsg;
	__typeof__(nng_strerror) *strerror;
} nng;

#define FIND(name) (nng.name = (__typeof__(nng.name))dlsym(library, "nng_" #name))

const char *bench_nng_absent(void)
{
	void *library = dlopen("libnng.so.1", RTLD_NOW);
	bool found;

	found = library && FIND(pair0_open) && FIND(socket_set_int) && FIND(socket_set_size) &&
		FIND(listen) && FIND(dial) && FIND(msg_alloc) && FIND(msg_body) && FIND(msg_len) &&
		FIND(msg_free) && FIND(sendmsg) && FIND(recvmsg) && FIND(strerror);
	return found ? NULL : "libnng.so.1 cannot be loaded; Debian has it in libnng1";
}

/* It has errors of its own, and words for them. */
static void must(struct bench_run *run, int error)
{
	if (error)
		bench_fail(run, nng.strerror(error), 0);
}

/* The library starts its threads here, so not before the fork. */
static nng_socket open_socket(struct bench_run *run, char url[PEER_URL_SIZE])
{
	int depth = DEPTH_BYTES / run->bc->bytes;
	nng_socket socket;

	if (depth < DEPTH_MIN)
		depth = DEPTH_MIN;
	if (depth > DEPTH_MAX)
		depth = DEPTH_MAX;
	must(run, nng.pair0_open(&socket));
	must(run, nng.socket_set_size(socket, NNG_OPT_RECVMAXSZ, 0));
	if (run->bc->batch) {
		must(run, nng.socket_set_int(socket, NNG_OPT_SENDBUF, depth));
		must(run, nng.socket_set_int(socket, NNG_OPT_RECVBUF, depth));
	}
	peer_name_url(url, "abstract://");
	return socket;
}

static nng_socket near_socket(struct bench_run *run)
{
	char url[PEER_URL_SIZE];
	nng_socket socket = open_socket(run, url);

	must(run, nng.listen(socket, url, NULL, 0));
	peer_name_tell(run);
	return socket;
}

static nng_socket far_socket(struct bench_run *run)
{
	char url[PEER_URL_SIZE];
	nng_socket socket = open_socket(run, url);

	peer_name_await(run);
	must(run, nng.dial(socket, url, NULL, 0));
	return socket;
}

static nng_msg *make(struct bench_run *run)
{
	nng_msg *message;

	must(run, nng.msg_alloc(&message, run->bc->bytes));
	return message;
}

/* Takes @message. */
static void put(struct bench_run *run, nng_socket socket, nng_msg *message, uint64_t n)
{
	bench_fill(nng.msg_body(message), run->bc->bytes, n);
	must(run, nng.sendmsg(socket, message, 0));
}

static nng_msg *get(struct bench_run *run, nng_socket socket, uint64_t n)
{
	nng_msg *message;

	must(run, nng.recvmsg(socket, &message, 0));
	if (nng.msg_len(message) != run->bc->bytes)
		bench_fail(run, "a message of another size", 0);
	bench_check(run, nng.msg_body(message), run->bc->bytes, n);
	return message;
}

static void ping(struct bench_run *run)
{
	nng_socket socket = near_socket(run);
	nng_msg *message;
	uint64_t n = 0;

	put(run, socket, make(run), n);
	message = get(run, socket, ~n++);
	bench_start(run);
	do {
		put(run, socket, message, n);
		message = get(run, socket, ~n++);
	} while (bench_lap(run));
}

static void pong(struct bench_run *run)
{
	nng_socket socket = far_socket(run);

	for (uint64_t n = 0;; n++)
		put(run, socket, get(run, socket, n), ~n);
}

static void source(struct bench_run *run)
{
	nng_socket socket = far_socket(run);

	for (uint64_t n = 0;; n++)
		put(run, socket, make(run), n);
}

static void sink(struct bench_run *run)
{
	nng_socket socket = near_socket(run);
	uint64_t n = 0;

	nng.msg_free(get(run, socket, n++));
	bench_start(run);
	do
		nng.msg_free(get(run, socket, n++));
	while (bench_took(run, 1));
}

#define RTT peer_name_setup, ping, pong
#define ONEWAY peer_name_setup, sink, source

#else

const char *bench_nng_absent(void)
{
	return "shmux was built without nng/nng.h, which Debian has in libnng-dev";
}

#define RTT NULL, NULL, NULL
#define ONEWAY NULL, NULL, NULL

#endif

const struct bench_case bench_peer_nng[] = { PEER_ROWS_TO_16M, { 0 } };
