// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * death.c - what is left when a process is killed
 *
 * The test is the survivor; victims are forked and killed by an executioner
 * (executioner.h), in every state of the protocol and at every moment, also while
 * somebody holds all their descriptors. A victim notes in shared memory what it
 * has written, so that the survivor knows what it must be able to read.
 */
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "harness.h"
#include "effort.h"
#include "executioner.h"
#include "over.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

/* From the peer's death until whoever waits has been told. */
#define PROMISED (100 * MSEC)

#define NR_STREAMS 4 /* from the victim, every other one of messages */
#define REVERSE NR_STREAMS /* and one to it */
#define NR_ACCEPTED 256
#define RECORD_MAX 40000
#define LONG_MESSAGE 300000 /* longer than a small arena */

/* --- malloc, counted ------------------------------------------------------ */

/* Blocks that are in use. Where the sanitizer has its own malloc it tells leaks. */
static size_t nr_blocks;

#if !defined(__SANITIZE_ADDRESS__)
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t nr, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *block);

static void *counted(void *block)
{
	if (block)
		__atomic_fetch_add(&nr_blocks, 1, __ATOMIC_RELAXED);
	return block;
}

void *malloc(size_t size)
{
	return counted(__libc_malloc(size));
}

void *calloc(size_t nr, size_t size)
{
	return counted(__libc_calloc(nr, size));
}

void *realloc(void *block, size_t size)
{
	void *other = __libc_realloc(block, size);

	if (block && !size)
		__atomic_fetch_sub(&nr_blocks, 1, __ATOMIC_RELAXED);
	return block ? other : counted(other);
}

void *memalign(size_t align, size_t size)
{
	return counted(__libc_memalign(align, size));
}

void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

int posix_memalign(void **block, size_t align, size_t size)
{
	*block = memalign(align, size);
	return *block ? 0 : ENOMEM;
}

void free(void *block)
{
	if (block)
		__atomic_fetch_sub(&nr_blocks, 1, __ATOMIC_RELAXED);
	__libc_free(block);
}
#endif

/* --- what both sides know ------------------------------------------------ */

enum meeting {
	MEET_LISTENER,
	MEET_DIALLER,
	MEET_ACCEPTOR_OF_PAIR,
	MEET_DIALLER_OF_PAIR
};

static const char *const meetings[] = { "listens", "dials", "attaches as acceptor",
					"attaches as dialler" };

/* Shared. What the victim is told, and what it says of itself. */
struct scene {
	enum meeting meeting; /* how the victim comes by its session */
	char name[SHMUX_ADDRESS_MAX]; /* of whoever listens */
	const struct act *act;
	uint64_t seed;
	struct shmux_session_options options;
	bool blocks; /* it may make calls that block */
	bool long_message; /* the first one of stream 1 is */
	bool listening; /* atomic */
	bool joined; /* atomic: the survivor has accepted the first streams */
	uint32_t opened; /* streams */
	struct {
		uint64_t begun, done; /* bytes or messages written */
		bool ending, ended; /* half-closed */
		bool reset;
	} streams[NR_STREAMS];
};

struct victim {
	struct scene *scene;
	struct shmux_listener *listener;
	struct shmux_session *session;
	struct shmux_stream *streams[NR_STREAMS + 1];
	uint64_t random;
	uint64_t held_back[NR_STREAMS]; /* written, perhaps not published */
};

struct act {
	const char *name;
	void (*play)(struct victim *v);
	bool sleeps; /* ends in a call that sleeps in the kernel */
	struct shmux_session_options options;
};

static bool is_messages(int stream)
{
	return stream & 1;
}

static uint32_t stream_seed(const struct scene *scene, int stream)
{
	return (uint32_t)scene->seed + (uint32_t)stream;
}

static size_t piece_len(uint64_t *random)
{
	switch (random_between(random, 0, 7)) {
	case 0:
		return random_between(random, 1, RECORD_MAX);
	case 1:
	case 2:
		return random_between(random, 1, 4000);
	default:
		return random_between(random, 1, 64);
	}
}

/* Where in the pattern the message of this number begins, and how long it is. */
static uint64_t message_place(uint64_t nr)
{
	return nr * 104729;
}

static size_t message_len(const struct scene *scene, int stream, uint64_t nr)
{
	uint64_t state = stream_seed(scene, stream) + nr * UINT64_C(0x9e3779b97f4a7c15);

	if (scene->long_message && stream == 1 && nr == 0)
		return LONG_MESSAGE;
	random_next(&state);
	return piece_len(&state);
}
static void plain_address(const char *name, struct sockaddr_un *addr, socklen_t *len)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1, "%s",
					    name));
}

/* --- the victim ---------------------------------------------------------- */

static void __attribute__((noreturn)) rest(void)
{
	for (;;)
		pause();
}

/* In a victim nothing may fail before it, or its peer, is killed. */
static void must(const char *what, int64_t ret)
{
	if (ret >= 0)
		return;
	if (ret == -ECONNRESET)
		rest();
	fprintf(stderr, "# victim: %s: %s\n", what, strerror((int)-ret));
	_exit(1);
}

#define MUST(call) must(#call, call)

static void victim_meet(struct victim *v)
{
	struct scene *scene = v->scene;
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.session = &scene->options,
	};
	struct sockaddr_un addr;
	socklen_t len;
	int fd;

	switch (scene->meeting) {
	case MEET_LISTENER:
		MUST(shmux_listener_open(scene->name, &options, &v->listener));
		__atomic_store_n(&scene->listening, true, __ATOMIC_RELEASE);
		MUST(shmux_listener_accept_session(v->listener, 0, &v->session));
		break;
	case MEET_DIALLER:
		MUST(shmux_session_dial(scene->name, &scene->options, SHMUX_NEVER, &v->session));
		break;
	default:
		plain_address(scene->name, &addr, &len);
		fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
		if (connect(fd, (struct sockaddr *)&addr, len))
			must("connect", -errno);
		MUST(shmux_session_attach(fd,
					  scene->meeting == MEET_DIALLER_OF_PAIR ?
						  SHMUX_ROLE_DIALLER :
						  SHMUX_ROLE_ACCEPTOR,
					  &scene->options, SHMUX_NEVER, &v->session));
	}
}

static int victim_main(void *arg)
{
	struct victim victim = { .scene = arg }, *v = &victim;

	v->random = v->scene->seed;
	victim_meet(v);
	for (int i = 0; i <= REVERSE; i++) {
		MUST(shmux_session_open(v->session, i < REVERSE && is_messages(i), &v->streams[i]));
		v->scene->opened++;
	}
	v->scene->act->play(v);
	rest();
}

/* What was held back has been published. */
static void note_published(struct victim *v)
{
	for (int i = 0; i < NR_STREAMS; i++) {
		v->scene->streams[i].done += v->held_back[i];
		v->held_back[i] = 0;
	}
}

/* Write the next bytes, or the next message. Return: what send() did. */
static ssize_t put(struct victim *v, int i, size_t len, unsigned int flags, bool corked)
{
	static char buf[LONG_MESSAGE];
	struct scene *scene = v->scene;
	uint64_t at = scene->streams[i].begun;
	struct iovec iov = { .iov_base = buf };
	ssize_t n;

	if (is_messages(i)) {
		len = message_len(scene, i, at);
		pattern_fill(buf, len, message_place(at), stream_seed(scene, i));
	} else {
		pattern_fill(buf, len, at, stream_seed(scene, i));
	}
	iov.iov_len = len;
	n = shmux_stream_send(v->streams[i], &iov, 1, flags);
	if (n < 0)
		return n;
	scene->streams[i].begun += is_messages(i) ? 1 : (uint64_t)n;
	v->held_back[i] += is_messages(i) ? 1 : (uint64_t)n;
	if (!corked && !(flags & SHMUX_MORE))
		note_published(v);
	return n;
}

static void end_stream(struct victim *v, int i)
{
	v->scene->streams[i].ending = true;
	MUST(shmux_stream_shutdown(v->streams[i], SHMUX_WRITE));
	note_published(v);
	v->scene->streams[i].ended = true;
}

static bool has_joined(const struct scene *scene)
{
	return __atomic_load_n(&scene->joined, __ATOMIC_ACQUIRE);
}

static bool may_write(const struct victim *v, int i)
{
	return !v->scene->streams[i].ending && !v->scene->streams[i].reset;
}

/* Anything that a program may do, in any order. */
static void do_something(struct victim *v)
{
	static char waste[RECORD_MAX];
	int i = (int)random_between(&v->random, 0, NR_STREAMS - 1);
	unsigned int wait = v->scene->blocks ? 0 : SHMUX_NOWAIT;
	struct shmux_stream *more;
	struct shmux_span span;
	struct shmux_view view;
	const void *data;

	switch (random_between(&v->random, 0, 99)) {
	case 0:
		if (may_write(v, i) && !random_between(&v->random, 0, 3))
			end_stream(v, i);
		break;
	case 1:
		/* One that is reset before it is accepted is not handed out. */
		if (has_joined(v->scene) && !random_between(&v->random, 0, 3)) {
			v->scene->streams[i].reset = true;
			shmux_stream_reset(v->streams[i], 4711);
		}
		break;
	case 2:
		if (v->scene->opened < NR_ACCEPTED / 2 && !shmux_session_open(v->session, 0, &more))
			v->scene->opened++;
		break;
	case 3:
		if (v->scene->blocks)
			shmux_session_ping(v->session, shmux_now() + MSEC, NULL);
		break;
	case 4:
	case 5:
		shmux_session_cork(v->session);
		for (int n = 0; n < 4; n++)
			if (may_write(v, i))
				put(v, i, piece_len(&v->random), SHMUX_NOWAIT, true);
		shmux_session_uncork(v->session);
		note_published(v);
		break;
	case 6:
	case 7:
	case 8:
		/* Bytes written in place. */
		if (is_messages(i) || !may_write(v, i) ||
		    shmux_stream_reserve(v->streams[i], 5000, &span, SHMUX_NOWAIT))
			break;
		pattern_fill(span.data, 5000, v->scene->streams[i].begun, stream_seed(v->scene, i));
		if (random_between(&v->random, 0, 3)) {
			v->scene->streams[i].begun += 5000;
			if (shmux_stream_submit(v->streams[i], &span, 5000, 0) != 5000)
				_exit(1);
			v->held_back[i] += 5000;
			note_published(v);
		} else {
			shmux_stream_cancel(v->streams[i], &span);
		}
		break;
	case 9:
		shmux_stream_try_read(v->streams[REVERSE], waste, sizeof(waste));
		break;
	case 10:
		if (shmux_stream_take(v->streams[REVERSE], &view, SHMUX_NOWAIT) > 0)
			shmux_stream_release(v->streams[REVERSE], &view);
		break;
	case 11:
		if (v->scene->blocks && shmux_stream_next_len(v->streams[REVERSE]) > 0)
			shmux_stream_peek(v->streams[REVERSE], 1, &data);
		break;
	case 12:
	case 13:
	case 14:
	case 15:
		if (may_write(v, i))
			put(v, i, piece_len(&v->random), SHMUX_NOWAIT | SHMUX_MORE, false);
		break;
	case 16:
		if (may_write(v, i))
			put(v, i, piece_len(&v->random), wait, false);
		break;
	default:
		if (may_write(v, i) &&
		    put(v, i, piece_len(&v->random), SHMUX_NOWAIT, false) == -EAGAIN)
			sched_yield();
	}
}

static void play_random(struct victim *v)
{
	uint32_t before = random_between(&v->random, 0, 300);
	bool on = random_between(&v->random, 0, 1), blocks = v->scene->blocks;

	/* A survivor that is elsewhere would keep it from being ready. */
	v->scene->blocks = false;
	while (before--)
		do_something(v);
	v->scene->blocks = blocks;
	victim_ready();
	before = random_between(&v->random, 0, 300);
	while (on || before--)
		do_something(v);
}

/* --- the victim's states, one at a time ---------------------------------- */

static void play_silent(struct victim *v)
{
	(void)v;
	victim_ready();
}

static void play_small(struct victim *v)
{
	for (int i = 0; i < 40; i++)
		put(v, i % NR_STREAMS, 40, SHMUX_NOWAIT, false);
	victim_ready();
}

static void play_large(struct victim *v)
{
	for (int i = 0; i < 4; i++)
		put(v, 0, RECORD_MAX, SHMUX_NOWAIT, false);
	victim_ready();
}

static void play_half_closed(struct victim *v)
{
	put(v, 0, 3000, 0, false);
	for (int i = 0; i < NR_STREAMS; i++)
		end_stream(v, i);
	victim_ready();
}

static void play_stopped_reading(struct victim *v)
{
	put(v, 0, 3000, 0, false);
	MUST(shmux_stream_shutdown(v->streams[REVERSE], SHMUX_READ));
	victim_ready();
}

static void play_reset(struct victim *v)
{
	put(v, 0, 3000, 0, false);
	while (!has_joined(v->scene))
		usleep(100);
	v->scene->streams[1].reset = true;
	MUST(shmux_stream_reset(v->streams[1], 4711));
	victim_ready();
}

static void play_closed(struct victim *v)
{
	for (int i = 0; i < NR_STREAMS; i++) {
		put(v, i, 300, SHMUX_NOWAIT, false);
		v->scene->streams[i].ending = true;
		shmux_stream_close(v->streams[i]);
		v->scene->streams[i].ended = true;
	}
	victim_ready();
}

static void play_more(struct victim *v)
{
	put(v, 0, 300, 0, false);
	for (int i = 0; i < 3; i++)
		put(v, 0, 30, SHMUX_MORE, false);
	put(v, 1, 0, SHMUX_NOWAIT | SHMUX_MORE, false);
	victim_ready();
}

static void play_corked(struct victim *v)
{
	put(v, 0, 300, 0, false);
	shmux_session_cork(v->session);
	for (int i = 0; i < 8; i++)
		put(v, i % NR_STREAMS, 30, SHMUX_NOWAIT, true);
	put(v, 2, 12000, 0, true);
	victim_ready();
}

/* Its arena holds a quarter of the message, and the survivor gives nothing back. */
static void play_half_message(struct victim *v)
{
	v->scene->long_message = true;
	victim_ready();
	put(v, 1, 0, 0, false);
}

static void play_reserved(struct victim *v)
{
	struct shmux_span span;

	put(v, 0, 300, 0, false);
	MUST(shmux_stream_reserve(v->streams[0], 16000, &span, 0));
	memset(span.data, 'x', 16000);
	victim_ready();
}

static void play_holding(struct victim *v)
{
	struct shmux_view view;
	const void *data;

	MUST(shmux_stream_take(v->streams[REVERSE], &view, 0));
	shmux_stream_peek(v->streams[REVERSE], 1, &data);
	put(v, 0, 300, 0, false);
	victim_ready();
}

static void play_reader(struct victim *v)
{
	char buf[256];

	put(v, 0, 300, 0, false);
	victim_ready();
	while (shmux_stream_read(v->streams[REVERSE], buf, sizeof(buf)) > 0)
		;
}

static void play_writer(struct victim *v)
{
	put(v, 0, 300, 0, false);
	victim_ready();
	while (put(v, 2, 20000, 0, false) > 0)
		;
}

static void play_event_loop(struct victim *v)
{
	struct pollfd fd = { .fd = shmux_session_fd(v->session), .events = POLLIN };
	struct shmux_event events[8];

	put(v, 0, 300, 0, false);
	while (shmux_session_pump(v->session, events, 8) == 8)
		;
	victim_ready();
	while (poll(&fd, 1, -1) > 0)
		shmux_session_pump(v->session, events, 8);
}

static void play_go_away(struct victim *v)
{
	put(v, 0, 300, 0, false);
	MUST(shmux_session_go_away(v->session, 3));
	victim_ready();
}

static void play_lingering(struct victim *v)
{
	put(v, 0, 300, 0, false);
	victim_ready();
	shmux_session_close(v->session, SHMUX_NEVER);
}

static void play_ping(struct victim *v)
{
	put(v, 0, 300, 0, false);
	victim_ready();
	shmux_session_ping(v->session, SHMUX_NEVER, NULL);
}

static void play_accept(struct victim *v)
{
	struct shmux_stream *st;

	put(v, 0, 300, 0, false);
	victim_ready();
	while (!shmux_session_accept(v->session, 0, &st))
		shmux_stream_close(st);
}

static void play_backlog(struct victim *v)
{
	struct shmux_stream *st;

	put(v, 0, 300, 0, false);
	for (int i = 0; i < 50; i++) {
		MUST(shmux_session_open(v->session, i & 1, &st));
		v->scene->opened++;
	}
	victim_ready();
}

/* The ring has no room left for all the ends that are to be said. */
static void play_full_ring(struct victim *v)
{
	while (put(v, 0, 60, SHMUX_NOWAIT, false) > 0)
		;
	for (int i = 0; i <= REVERSE; i++)
		MUST(shmux_stream_shutdown(v->streams[i], SHMUX_READ));
	for (int i = 0; i < NR_STREAMS; i++) {
		v->scene->streams[i].ending = true;
		shmux_stream_close(v->streams[i]);
		v->scene->streams[i].ended = true;
	}
	victim_ready();
}

static const struct act act_silent = { .name = "has said nothing", .play = play_silent };
static const struct act act_random = { .name = "does this and that", .play = play_random };

static const struct act acts[] = {
	{ .name = "has said nothing", .play = play_silent },
	{ .name = "has written a little", .play = play_small },
	{ .name = "has written much", .play = play_large },
	{ .name = "has half-closed", .play = play_half_closed },
	{ .name = "has stopped reading", .play = play_stopped_reading },
	{ .name = "has reset a stream", .play = play_reset },
	{ .name = "has closed its streams", .play = play_closed },
	{ .name = "has more to say", .play = play_more },
	{ .name = "is corked", .play = play_corked },
	{ .name = "is amid a message",
	  .play = play_half_message,
	  .sleeps = true,
	  .options = { .arena_size = 65536 } },
	{ .name = "has reserved", .play = play_reserved },
	{ .name = "looks at what it received", .play = play_holding },
	{ .name = "reads", .play = play_reader, .sleeps = true },
	{ .name = "reads, spinning",
	  .play = play_reader,
	  .options = { .spin = SHMUX_SPIN_ENDLESS } },
	{ .name = "writes", .play = play_writer, .sleeps = true },
	{ .name = "is in an event loop", .play = play_event_loop, .sleeps = true },
	{ .name = "has gone away", .play = play_go_away },
	{ .name = "closes, and lingers", .play = play_lingering, .sleeps = true },
	{ .name = "pings", .play = play_ping },
	{ .name = "accepts", .play = play_accept, .sleeps = true },
	{ .name = "has opened many streams", .play = play_backlog },
	{ .name = "has closed with a full ring",
	  .play = play_full_ring,
	  .options = { .ring_slots = 64 } },
};

/* --- the survivor -------------------------------------------------------- */

struct survivor {
	struct scene *scene;
	struct executioner *executioner;
	struct shmux_session *session;
	struct shmux_stream *streams[NR_ACCEPTED];
	int nr_streams;
	uint64_t got[NR_STREAMS]; /* bytes or messages */
	bool over[NR_STREAMS]; /* nothing more will come, as @final says */
	int64_t final[NR_STREAMS];
	uint64_t random;
	uint64_t returned; /* when its call did */
	uint64_t kept_waiting; /* for a CPU, since it was made */
	bool bad;
};

#define COMPLAIN(sv, ...)                                         \
	do {                                                      \
		fprintf(stderr, "# %s:%d: ", __FILE__, __LINE__); \
		fprintf(stderr, __VA_ARGS__);                     \
		fprintf(stderr, "\n");                            \
		(sv)->bad = true;                                 \
	} while (0)

#define CHECK(sv, cond)                                    \
	do {                                               \
		if (!(cond))                               \
			COMPLAIN(sv, "not so: %s", #cond); \
	} while (0)

/* Bytes of stream @i, of which @more are to come of the same message. */
static void check_bytes(struct survivor *sv, int i, const void *data, size_t len)
{
	int64_t wrong = pattern_check(data, len, sv->got[i], stream_seed(sv->scene, i));

	if (wrong >= 0)
		COMPLAIN(sv, "stream %d: byte %llu is wrong", i,
			 (unsigned long long)sv->got[i] + (unsigned long long)wrong);
	sv->got[i] += len;
}

static void check_message(struct survivor *sv, int i, const void *data, size_t len)
{
	uint64_t nr = sv->got[i]++;

	if (len != message_len(sv->scene, i, nr) ||
	    pattern_check(data, len, message_place(nr), stream_seed(sv->scene, i)) >= 0)
		COMPLAIN(sv, "stream %d: message %llu of %zu bytes is wrong", i,
			 (unsigned long long)nr, len);
}

static ssize_t read_views(struct survivor *sv, int i, unsigned int flags)
{
	static char whole[LONG_MESSAGE];
	struct shmux_view view;
	size_t len = 0;
	ssize_t n;
	int more;

	do {
		n = shmux_stream_take(sv->streams[i], &view, flags);
		if (n < 0 || (!n && !is_messages(i))) {
			if (len)
				COMPLAIN(sv, "stream %d: a message breaks off", i);
			return n;
		}
		if (is_messages(i) && len + view.len <= sizeof(whole))
			memcpy(whole + len, view.data, view.len);
		else
			check_bytes(sv, i, view.data, view.len);
		len += view.len;
		more = is_messages(i) && view.more;
		shmux_stream_release(sv->streams[i], &view);
	} while (more);
	if (is_messages(i))
		check_message(sv, i, whole, len);
	return (ssize_t)len;
}

/* Read something of stream @i, somehow. */
static void read_stream(struct survivor *sv, int i, unsigned int flags)
{
	static char buf[LONG_MESSAGE];
	struct shmux_stream *st = sv->streams[i];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	uint32_t how = random_between(&sv->random, 0, 5);
	const void *data;
	ssize_t n;

	if (how == 0) {
		n = read_views(sv, i, flags);
	} else if (how == 1 && !flags) {
		n = shmux_stream_peek(st, random_between(&sv->random, 1, 2000), &data);
		if (n > 0 && is_messages(i))
			check_message(sv, i, data, (size_t)n);
		else if (n > 0)
			check_bytes(sv, i, data, (size_t)n);
		if (n > 0 && shmux_stream_discard(st, (size_t)n) != n &&
		    !sv->scene->streams[i].reset)
			COMPLAIN(sv, "stream %d: %zd bytes are gone", i, n);
		/* What is there can still be read. */
		if (n < 0 && !is_messages(i))
			n = read_views(sv, i, flags);
	} else {
		if (!is_messages(i) && how < 4)
			iov.iov_len = random_between(&sv->random, 1, how == 3 ? 100 : 5000);
		if (how == 2)
			flags |= SHMUX_WAITALL;
		n = shmux_stream_recv(st, &iov, 1, flags);
		if (n > 0 && is_messages(i))
			check_message(sv, i, buf, (size_t)n);
		else if (n > 0)
			check_bytes(sv, i, buf, (size_t)n);
	}
	if (n <= 0 && n != -EAGAIN) {
		sv->over[i] = true;
		sv->final[i] = n;
	}
}

static int accept_one(struct survivor *sv, unsigned int flags)
{
	struct shmux_stream *st;
	int ret = shmux_session_accept(sv->session, flags, &st);

	if (ret)
		return ret;
	if (sv->nr_streams == NR_ACCEPTED) {
		COMPLAIN(sv, "more streams than were opened");
		shmux_stream_close(st);
		return -ENOSPC;
	}
	sv->streams[sv->nr_streams++] = st;
	return 0;
}

/* Block on one stream after the other, and at last on the session. */
static int wait_read(struct survivor *sv)
{
	int first = (int)random_between(&sv->random, 0, NR_STREAMS - 1), ret;

	for (int k = 0; k < NR_STREAMS; k++) {
		int i = (first + k) % NR_STREAMS;

		while (!sv->over[i])
			read_stream(sv, i, 0);
		if (sv->final[i] == -ECONNRESET && !sv->scene->streams[i].reset)
			return -ECONNRESET;
	}
	while (!(ret = accept_one(sv, 0)))
		;
	/* It said that it would go. */
	while (ret == -ESHUTDOWN && shmux_session_state(sv->session) != SHMUX_SESSION_DEAD)
		usleep(100);
	return ret == -ESHUTDOWN ? -ECONNRESET : ret;
}

/* Whatever can be read without waiting. */
static void try_all(struct survivor *sv)
{
	for (int i = 0; i < NR_STREAMS; i++) {
		uint64_t before;

		do {
			before = sv->got[i];
			if (!sv->over[i])
				read_stream(sv, i, SHMUX_NOWAIT);
		} while (!sv->over[i] && sv->got[i] != before);
	}
}

static int wait_epoll(struct survivor *sv)
{
	struct pollfd fd = { .fd = shmux_session_fd(sv->session), .events = POLLIN };
	struct shmux_event events[4];
	int n;

	for (;;) {
		n = shmux_session_pump(sv->session, events, 4);
		for (int k = 0; k < n; k++)
			if (events[k].events & SHMUX_EVENT_DEAD)
				return -ECONNRESET;
		if (n < 0)
			return n;
		if (random_between(&sv->random, 0, 1))
			try_all(sv);
		if (n < 4 && poll(&fd, 1, 10000) != 1)
			return -ETIMEDOUT;
	}
}

static int wait_write(struct survivor *sv)
{
	static char buf[200000];
	ssize_t n;

	do {
		n = shmux_stream_write(sv->streams[REVERSE], buf,
				       random_between(&sv->random, 1, sizeof(buf)));
	} while (n > 0);
	/* It has stopped reading, or closed: not a death yet. */
	return n == -EPIPE ? wait_read(sv) : (int)n;
}

static int wait_small_write(struct survivor *sv)
{
	ssize_t n;

	do {
		n = shmux_stream_write(sv->streams[REVERSE], "little", 6);
	} while (n > 0);
	return n == -EPIPE ? wait_read(sv) : (int)n;
}

static int wait_reserve(struct survivor *sv)
{
	struct shmux_span span;
	int ret;

	do {
		ret = shmux_stream_reserve(sv->streams[REVERSE], 9000, &span, 0);
		if (!ret)
			ret = (int)shmux_stream_submit(sv->streams[REVERSE], &span, 9000, 0);
	} while (ret >= 0);
	return ret == -EPIPE ? wait_read(sv) : ret;
}

static int wait_accept(struct survivor *sv)
{
	int ret;

	while (!(ret = accept_one(sv, 0)))
		;
	return ret == -ESHUTDOWN ? wait_read(sv) : ret;
}

static int wait_ping(struct survivor *sv)
{
	int ret;

	while (!(ret = shmux_session_ping(sv->session, SHMUX_NEVER, NULL)))
		;
	return ret;
}

static int wait_drain(struct survivor *sv)
{
	return shmux_session_drain(sv->session, SHMUX_NEVER);
}

/* Until the ring is full, where nobody takes what is in it. */
static int wait_open(struct survivor *sv)
{
	struct shmux_stream *st;
	int ret;

	while (!(ret = shmux_session_open(sv->session, 0, &st)))
		shmux_stream_close(st);
	return ret == -ESHUTDOWN ? wait_read(sv) : ret;
}

/* In no call at all. */
static int wait_outside(struct survivor *sv)
{
	struct pollfd fd = { .fd = sv->executioner->control, .events = POLLIN };

	return poll(&fd, 1, -1) == 1 ? -ECONNRESET : -EIO;
}

/* Busy, but never in a call that waits. */
static int wait_trying(struct survivor *sv)
{
	char byte;
	ssize_t n;

	do {
		try_all(sv);
		n = shmux_stream_try_read(sv->streams[REVERSE], &byte, 1);
	} while (n == -EAGAIN);
	return (int)n;
}

static int wait_trying_to_write(struct survivor *sv)
{
	static char buf[1000];
	ssize_t n;

	do {
		n = shmux_stream_try_write(sv->streams[REVERSE], buf, sizeof(buf));
	} while (n > 0 || n == -EAGAIN);
	return n == -EPIPE ? wait_read(sv) : (int)n;
}

static int wait_trying_to_accept(struct survivor *sv)
{
	int ret;

	do {
		ret = accept_one(sv, SHMUX_NOWAIT);
	} while (!ret || ret == -EAGAIN);
	return ret == -ESHUTDOWN ? wait_read(sv) : ret;
}

static int wait_state(struct survivor *sv)
{
	while (shmux_session_state(sv->session) != SHMUX_SESSION_DEAD)
		;
	return -ECONNRESET;
}

static int wait_next_len(struct survivor *sv)
{
	ssize_t n;

	do {
		n = shmux_stream_next_len(sv->streams[REVERSE]);
	} while (!n);
	return (int)n;
}

static const struct way {
	const char *name;
	int (*wait)(struct survivor *sv);
	uint64_t spin;
	bool sleeps;
	uint32_t arena_size, ring_slots;
} ways[] = {
	{ "reads, spinning", wait_read, .spin = SHMUX_SPIN_ENDLESS },
	{ "reads, adaptive", wait_read, .sleeps = true },
	{ "reads, asleep", wait_read, .spin = SHMUX_SPIN_NONE, .sleeps = true },
	{ "is in an event loop", wait_epoll, .sleeps = true },
	{ "writes", wait_write, .sleeps = true },
	{ "writes, spinning", wait_write, .spin = SHMUX_SPIN_ENDLESS },
	{ "writes a little, with a short ring", wait_small_write, .sleeps = true,
	  .ring_slots = 64 },
	{ "reserves, with a small arena", wait_reserve, .sleeps = true, .arena_size = 65536 },
	{ "accepts", wait_accept, .sleeps = true },
	{ "pings", wait_ping, .sleeps = true },
	{ "drains", wait_drain, .sleeps = true },
	{ "opens", wait_open, .sleeps = true, .ring_slots = 64 },
	{ "is elsewhere", wait_outside, .sleeps = true },
	{ .name = "reads without waiting", .wait = wait_trying },
	{ .name = "writes without waiting", .wait = wait_trying_to_write },
	{ .name = "accepts without waiting", .wait = wait_trying_to_accept },
	{ .name = "asks", .wait = wait_state },
	{ .name = "asks what there is to read", .wait = wait_next_len },
};

/* --- a round: from birth to death ---------------------------------------- */

FIXTURE(death)
{
	struct executioner executioner;
	struct scene *scene;
	struct shmux_listener *listener; /* for a victim that dials */
	int plain; /* for those that attach */
	char plain_name[NAME_SIZE];
	uint64_t random;
	int nr_kills;
	struct death death; /* of the last one */
};

FIXTURE_SETUP(death)
{
	struct sockaddr_un addr;
	socklen_t len;

	self->random = effort_seed();
	self->scene = mmap(NULL, sizeof(*self->scene), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->scene);
	ASSERT_EQ(0, executioner_start(&self->executioner));
	name_make(self->plain_name);
	plain_address(self->plain_name, &addr, &len);
	self->plain = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	ASSERT_EQ(0, bind(self->plain, (struct sockaddr *)&addr, len));
	ASSERT_EQ(0, listen(self->plain, 8));
}

FIXTURE_TEARDOWN(death)
{
	close(self->plain);
	EXPECT_EQ(0, executioner_stop(&self->executioner));
	munmap(self->scene, sizeof(*self->scene));
}

/* Over connected sockets there are memfds alone. */
static uint32_t last_meeting(void)
{
	return over_kmod() ? MEET_DIALLER : MEET_DIALLER_OF_PAIR;
}

/* How long this thread was ready to run, and did not; ns. */
static uint64_t run_delay(void)
{
	unsigned long long delay = 0;
	FILE *file = fopen("/proc/thread-self/schedstat", "re");

	if (file && fscanf(file, "%*u %llu", &delay) != 1)
		delay = 0;
	if (file)
		fclose(file);
	return delay;
}

/* Did a call that returned at @returned, having been kept from the CPU, take long? */
static bool is_late(uint64_t returned, uint64_t died, uint64_t kept_waiting)
{
	return returned > died + effort_bound(PROMISED) + kept_waiting;
}

/* The other half of victim_meet(). Return: -errno if the victim died first. */
static int survivor_meet(FIXTURE_DATA(death) * self, struct survivor *sv,
			 const struct shmux_session_options *options)
{
	struct scene *scene = self->scene;
	struct executioner *e = &self->executioner;
	struct pollfd fd = { .fd = self->plain, .events = POLLIN };
	int ret;

	switch (scene->meeting) {
	case MEET_LISTENER:
		while (!__atomic_load_n(&scene->listening, __ATOMIC_ACQUIRE))
			if (executioner_is_done(e))
				return -ESRCH;
		return shmux_session_dial(scene->name, options, shmux_now() + LONG_ENOUGH,
					  &sv->session);
	case MEET_DIALLER:
		do {
			bool last = executioner_is_done(e);

			shmux_listener_set_deadline(self->listener, shmux_now() + 5 * MSEC);
			ret = shmux_listener_accept_session(self->listener, 0, &sv->session);
			if (last)
				return ret;
		} while (ret == -ETIMEDOUT);
		return ret;
	default:
		while ((ret = accept4(self->plain, NULL, NULL, SOCK_CLOEXEC)) < 0) {
			if (executioner_is_done(e))
				return -ESRCH;
			poll(&fd, 1, 5);
		}
		return shmux_session_attach(ret,
					    scene->meeting == MEET_DIALLER_OF_PAIR ?
						    SHMUX_ROLE_ACCEPTOR :
						    SHMUX_ROLE_DIALLER,
					    options, shmux_now() + LONG_ENOUGH, &sv->session);
	}
}

/* After the death: read what there is, and compare with what was written. */
static void check_inheritance(struct survivor *sv)
{
	struct scene *scene = sv->scene;

	while (!accept_one(sv, 0))
		;
	if (sv->nr_streams < (int)scene->opened)
		COMPLAIN(sv, "%u streams were opened, %d accepted", scene->opened, sv->nr_streams);
	for (int i = 0; i < NR_STREAMS && i < sv->nr_streams; i++) {
		bool end;

		while (!sv->over[i])
			read_stream(sv, i, 0);
		end = sv->final[i] == (is_messages(i) ? -ENODATA : 0);
		if (!end && sv->final[i] != -ECONNRESET)
			COMPLAIN(sv, "stream %d ends with %lld", i, (long long)sv->final[i]);
		if (scene->streams[i].reset)
			continue;
		if (sv->got[i] < scene->streams[i].done)
			COMPLAIN(sv, "stream %d: %llu were written, %llu read", i,
				 (unsigned long long)scene->streams[i].done,
				 (unsigned long long)sv->got[i]);
		if (scene->streams[i].ended && !end)
			COMPLAIN(sv, "stream %d was half-closed", i);
		if (!scene->streams[i].ending && end)
			COMPLAIN(sv, "stream %d was not half-closed", i);
	}
}

/* Nothing that is done with a dead session blocks, or succeeds. */
static void check_dead(struct survivor *sv)
{
	uint64_t begun = shmux_now();
	struct shmux_stream *st;
	struct shmux_span span;
	char byte = 0;

	CHECK(sv, shmux_session_state(sv->session) == SHMUX_SESSION_DEAD);
	CHECK(sv, shmux_session_open(sv->session, 0, &st) == -ECONNRESET);
	CHECK(sv, shmux_session_accept(sv->session, 0, &st) == -ECONNRESET);
	CHECK(sv, shmux_session_ping(sv->session, SHMUX_NEVER, NULL) == -ECONNRESET);
	CHECK(sv, shmux_session_go_away(sv->session, 0) == -ECONNRESET);
	for (int i = 0; i < sv->nr_streams; i++) {
		ssize_t n = shmux_stream_write(sv->streams[i], &byte, 1);

		CHECK(sv, n == -ECONNRESET || n == -EPIPE);
		n = shmux_stream_reserve(sv->streams[i], 100, &span, 0);
		CHECK(sv, n == -ECONNRESET || n == -EPIPE);
		n = shmux_stream_try_read(sv->streams[i], &byte, 1);
		CHECK(sv, n == -ECONNRESET || n == 0 || n == -ENODATA);
	}
	CHECK(sv, shmux_now() - begun < effort_bound(PROMISED));
}

/* A victim is born, and has joined us unless it died before. Return: 0 or -errno. */
static int round_begin(FIXTURE_DATA(death) * self, struct survivor *sv, const struct act *act,
		       const struct way *way, const struct doom *doom)
{
	static char greeting[20000];
	struct scene *scene = self->scene;
	struct shmux_session_options options = {
		.size = sizeof(options),
		.spin = way->spin,
		.arena_size = way->arena_size,
		.ring_slots = way->ring_slots,
		.first_grant = 65536,
		.streams_max = 300,
	};
	struct shmux_listener_options listener_options = {
		.size = sizeof(listener_options),
		.session = &options,
	};
	int ret;

	*sv = (struct survivor){
		.scene = scene,
		.executioner = &self->executioner,
		.random = scene->seed,
	};
	scene->options = act->options;
	scene->options.size = sizeof(scene->options);
	scene->options.first_grant = 65536;
	scene->options.streams_max = 300;
	over_name(scene->name);
	if (scene->meeting >= MEET_ACCEPTOR_OF_PAIR)
		memcpy(scene->name, self->plain_name, NAME_SIZE);
	if (scene->meeting == MEET_DIALLER)
		CHECK(sv, !shmux_listener_open(scene->name, &listener_options, &self->listener));
	scene->act = act;
	executioner_begin(&self->executioner, doom, victim_main, scene);
	self->nr_kills++;

	ret = survivor_meet(self, sv, &options);
	while (!ret && sv->nr_streams <= REVERSE)
		ret = accept_one(sv, 0);
	if (ret)
		return ret;
	__atomic_store_n(&scene->joined, true, __ATOMIC_RELEASE);
	shmux_stream_try_write(sv->streams[REVERSE], greeting, sizeof(greeting));
	return 0;
}

/* It is dead: look at what it has left. Return: whether all was well. */
static bool round_end(FIXTURE_DATA(death) * self, struct survivor *sv, const struct way *way,
		      const struct doom *doom)
{
	struct scene *scene = self->scene;
	struct shmux_listener *next;
	int ret;

	/* Not in the kernel's eyes while another process has the socket. */
	if (scene->meeting == MEET_LISTENER && doom->hold != HOLD_COPIES) {
		ret = shmux_listener_open(scene->name, NULL, &next);
		if (ret)
			COMPLAIN(sv, "the name is not free: %s", strerror(-ret));
		else
			shmux_listener_close(next);
	}
	if (!WIFSIGNALED(self->death.status) || WTERMSIG(self->death.status) != SIGKILL)
		COMPLAIN(sv, "the victim ended with status 0x%x", (unsigned int)self->death.status);
	if (sv->session) {
		check_inheritance(sv);
		check_dead(sv);
		while (sv->nr_streams)
			shmux_stream_close(sv->streams[--sv->nr_streams]);
		shmux_session_close(sv->session, shmux_now() + LONG_ENOUGH);
	} else if (self->death.ready) {
		COMPLAIN(sv, "there was no session");
	}
	shmux_listener_close(self->listener);
	self->listener = NULL;
	executioner_end(&self->executioner);
	if (sv->bad)
		fprintf(stderr,
			"# kill %d: who %s %s, while the survivor %s; seed %llu, hold %d, delay %llu, steps %u\n",
			self->nr_kills, meetings[scene->meeting], scene->act->name, way->name,
			(unsigned long long)scene->seed, doom->hold,
			(unsigned long long)doom->delay, doom->steps);
	return !sv->bad;
}

/* One life, with one call of the survivor's. Return: whether all was well. */
static bool round_run(FIXTURE_DATA(death) * self, const struct act *act, const struct way *way,
		      const struct doom *doom)
{
	struct survivor survivor, *sv = &survivor;
	bool joined;
	int ret;

	ret = round_begin(self, sv, act, way, doom);
	joined = !ret;
	if (joined) {
		sv->kept_waiting = run_delay();
		executioner_call(&self->executioner);
		ret = way->wait(sv);
		sv->returned = shmux_now();
		sv->kept_waiting = run_delay() - sv->kept_waiting;
	}
	self->death = executioner_wait(&self->executioner);
	if (joined && ret != -ECONNRESET)
		COMPLAIN(sv, "the call returned %d", ret);
	if (is_late(sv->returned, self->death.time, sv->kept_waiting))
		COMPLAIN(sv, "the call returned %llu us after the death",
			 (unsigned long long)(sv->returned - self->death.time) / 1000);
	return round_end(self, sv, way, doom);
}

static void scene_reset(FIXTURE_DATA(death) * self, enum meeting meeting, bool blocks)
{
	*self->scene = (struct scene){
		.meeting = meeting,
		.seed = random_next(&self->random),
		.blocks = blocks,
	};
}

/* --- what a survivor holds ----------------------------------------------- */

struct holdings {
	int nr_fds;
	size_t mapped; /* bytes, without the heap */
	size_t nr_blocks; /* of malloc */
};

static struct holdings holdings_count(void)
{
	struct holdings h = { .nr_fds = process_nr_fds() };
	FILE *maps = fopen("/proc/self/maps", "re");
	size_t from, to;
	char line[512];

	while (maps && fgets(line, sizeof(line), maps))
		if (!strstr(line, "[heap]") && sscanf(line, "%zx-%zx", &from, &to) == 2)
			h.mapped += to - from;
	if (maps)
		fclose(maps);
	h.nr_blocks = __atomic_load_n(&nr_blocks, __ATOMIC_RELAXED);
	return h;
}

/* Nothing is left of all that has been since. */
static void check_holdings(struct __test_metadata *_metadata, const struct holdings *before)
{
	struct holdings after = holdings_count();

	EXPECT_EQ(before->nr_fds, after.nr_fds);
	EXPECT_EQ(before->nr_blocks, after.nr_blocks);
	EXPECT_FALSE(process_leaks());
	if (!process_is_sanitized())
		EXPECT_EQ(before->mapped, after.mapped);
}

/* --- tests --------------------------------------------------------------- */

#define NR_WARM_UP 20
#define NR_RANDOM ((int)(NR_WARM_UP + effort_count(220)))

TEST_F_TIMEOUT(death, at_any_moment_is_told_in_time_and_leaves_nothing_but_what_had_arrived,
	       EFFORT_TIMEOUT)
{
	struct holdings before;

	for (int i = 0; i < NR_RANDOM; i++) {
		struct doom doom = { .for_call = true };
		const struct way *way;

		if (i == NR_WARM_UP)
			before = holdings_count();
		scene_reset(self,
			    random_between(&self->random, MEET_LISTENER, last_meeting()),
			    random_between(&self->random, 0, 1));
		way = &ways[random_between(&self->random, 0, ARRAY_SIZE(ways) - 1)];
		doom.hold = random_between(&self->random, 0, 2);
		switch (random_between(&self->random, 0, 7)) {
		case 0:
			doom.delay = random_between(&self->random, 0, 120000000);
			break;
		case 1:
			doom.delay = random_between(&self->random, 0, 10000000);
			break;
		case 2:
			doom = (struct doom){ .at_birth = true };
			doom.delay = random_between(&self->random, 0, 5000000);
			break;
		default:
			doom.delay = random_between(&self->random, 0, 1000000);
		}
		ASSERT_TRUE(round_run(self, &act_random, way, &doom));
	}
	check_holdings(_metadata, &before);
}

TEST_F_TIMEOUT(death, in_every_state_is_told_in_time_whoever_holds_its_descriptors, EFFORT_TIMEOUT)
{
	struct holdings before;

	for (size_t i = 0; i < 3 * ARRAY_SIZE(acts) * 2; i++) {
		const struct act *act = &acts[i / 3 % ARRAY_SIZE(acts)];
		const struct way *way =
			&ways[random_between(&self->random, 0, ARRAY_SIZE(ways) - 1)];
		struct doom doom = {
			.for_call = true,
			.for_sleep = way->sleeps,
			.for_victim = act->sleeps,
			.delay = random_between(&self->random, 0, 100000),
			.hold = i % 3,
		};

		if (i == NR_WARM_UP)
			before = holdings_count();
		scene_reset(self,
			    random_between(&self->random, MEET_LISTENER, last_meeting()),
			    true);
		ASSERT_TRUE(round_run(self, act, way, &doom));
	}
	check_holdings(_metadata, &before);
}

#define NR_STEPPED ((int)(NR_WARM_UP + effort_count(60)))
#define STEPS_MOST effort_count(3000)

/* Between any two instructions of a call, with what it had said before. */
TEST_F_TIMEOUT(death, amid_any_instruction_leaves_what_had_arrived_whole, EFFORT_TIMEOUT)
{
	struct holdings before;
	int nr_traced = 0;

	for (int i = 0; i < NR_STEPPED; i++) {
		const struct way *way =
			&ways[random_between(&self->random, 0, ARRAY_SIZE(ways) - 1)];
		struct doom doom = {
			.for_call = true,
			.steps = random_between(&self->random, 1, STEPS_MOST),
			.hold = random_between(&self->random, 0, 2),
		};

		if (i == NR_WARM_UP)
			before = holdings_count();
		scene_reset(self,
			    random_between(&self->random, MEET_LISTENER, last_meeting()),
			    false);
		ASSERT_TRUE(round_run(self, &act_random, way, &doom));
		nr_traced += self->death.traced;
	}
	check_holdings(_metadata, &before);
	EXPECT_LT(NR_STEPPED / 2, nr_traced);
}

/* --- in whatever it sleeps ------------------------------------------------ */

static const struct {
	const char *name;
	struct way way;
	long syscall;
} sleeps[] = {
	{ "a futex", { .name = "reads", .wait = wait_read, .spin = SHMUX_SPIN_NONE }, SYS_futex },
	{ "descriptors", { .name = "reads", .wait = wait_read }, SYS_ppoll },
	{ "descriptors", { .name = "writes", .wait = wait_write }, SYS_ppoll },
	{ "descriptors", { .name = "accepts", .wait = wait_accept }, SYS_ppoll },
	{ "epoll", { .name = "is in an event loop", .wait = wait_epoll }, SYS_poll },
};

TEST_F_TIMEOUT(death, wakes_who_sleeps_on_whatever, EFFORT_TIMEOUT)
{
	bool in_module = over_kmod();

	for (size_t i = 0; i < 3 * ARRAY_SIZE(sleeps); i++) {
		const struct way *way = &sleeps[i / 3].way;
		struct doom doom = {
			.for_call = true,
			.for_sleep = true,
			.syscall = in_module && sleeps[i / 3].syscall != SYS_poll ?
					   SYS_ioctl :
					   sleeps[i / 3].syscall,
			.hold = i % 3,
		};

		scene_reset(self,
			    random_between(&self->random, MEET_LISTENER, last_meeting()),
			    false);
		ASSERT_TRUE(round_run(self, &act_silent, way, &doom));
		EXPECT_TRUE(self->death.slept)
		{
			TH_LOG("who %s did not sleep on %s", way->name, sleeps[i / 3].name);
		}
	}
}

/* --- many threads --------------------------------------------------------- */

struct thread {
	struct worker worker;
	struct survivor *sv;
	int (*wait)(struct thread *t);
	int stream;
	uint64_t returned, kept_waiting;
};

static int thread_read(struct thread *t)
{
	while (!t->sv->over[t->stream])
		read_stream(t->sv, t->stream, 0);
	return (int)t->sv->final[t->stream];
}

static int thread_write(struct thread *t)
{
	return wait_write(t->sv);
}

static int thread_ping(struct thread *t)
{
	return wait_ping(t->sv);
}

static int thread_accept(struct thread *t)
{
	return wait_accept(t->sv);
}

static int thread_drain(struct thread *t)
{
	return wait_drain(t->sv);
}

static int64_t thread_main(void *arg)
{
	struct thread *t = arg;
	uint64_t kept_waiting = run_delay();
	int ret = t->wait(t);

	t->returned = shmux_now();
	t->kept_waiting = run_delay() - kept_waiting;
	return ret;
}

/* The first to wait leads, the others follow. */
static int (*const thread_waits[])(struct thread *t) = {
	thread_read, thread_read, thread_write, thread_ping, thread_accept, thread_drain,
};

#define NR_THREADS ARRAY_SIZE(thread_waits)
#define NR_THREAD_ROUNDS 24

TEST_F_TIMEOUT(death, wakes_every_thread_whoever_leads, EFFORT_TIMEOUT)
{
	static const struct way led[] = {
		{ .name = "is many threads" },
		{ .name = "is many threads, asleep", .spin = SHMUX_SPIN_NONE },
		{ .name = "is many threads, spinning", .spin = SHMUX_SPIN_ENDLESS },
	};
	struct thread threads[NR_THREADS];
	struct survivor survivor, *sv = &survivor;
	struct holdings before;

	for (size_t i = 0; i < NR_THREAD_ROUNDS; i++) {
		const struct way *way = &led[i % ARRAY_SIZE(led)];
		size_t first = i / ARRAY_SIZE(led), nr_asleep;
		uint64_t kept_waiting;
		struct doom doom = {
			.for_call = true,
			.delay = random_between(&self->random, 0, 100000000),
			.hold = random_between(&self->random, 0, 2),
		};

		/* The threads' stacks stay, and are counted once. */
		if (i == NR_THREAD_ROUNDS / 2)
			before = holdings_count();
		scene_reset(self,
			    random_between(&self->random, MEET_LISTENER, last_meeting()),
			    false);
		ASSERT_EQ(0, round_begin(self, sv, &act_silent, way, &doom));
		for (size_t k = 0; k < NR_THREADS; k++) {
			struct thread *t = &threads[k];

			t->sv = sv;
			t->stream = (int)((first + k) % NR_THREADS);
			t->wait = thread_waits[t->stream];
			worker_start(&t->worker, thread_main, t);
		}
		/* All but the leader, who may spin. */
		do {
			nr_asleep = 0;
			for (size_t k = 0; k < NR_THREADS; k++)
				nr_asleep += process_sleeps(getpid(), threads[k].worker.tid);
		} while (nr_asleep < NR_THREADS - 1);
		executioner_call(&self->executioner);
		for (size_t k = 0; k < NR_THREADS; k++)
			CHECK(sv, worker_join(&threads[k].worker) == -ECONNRESET);
		self->death = executioner_wait(&self->executioner);
		/* One tells the other, so that what one waits they all do. */
		kept_waiting = 0;
		for (size_t k = 0; k < NR_THREADS; k++)
			kept_waiting += threads[k].kept_waiting;
		for (size_t k = 0; k < NR_THREADS; k++)
			CHECK(sv, !is_late(threads[k].returned, self->death.time, kept_waiting));
		ASSERT_TRUE(round_end(self, sv, way, &doom));
	}
	check_holdings(_metadata, &before);
}

/* --- during the handshake ------------------------------------------------ */

static void say_hello(struct victim *v)
{
	MUST(shmux_session_open(v->session, 0, &v->streams[0]));
	MUST(shmux_stream_write(v->streams[0], "hello", 5));
	v->scene->opened = 1;
	rest();
}

static int victim_dials(void *arg)
{
	struct victim victim = { .scene = arg }, *v = &victim;

	victim_ready();
	MUST(shmux_session_dial(v->scene->name, NULL, SHMUX_NEVER, &v->session));
	say_hello(v);
	return 0;
}

static int victim_listens(void *arg)
{
	struct victim victim = { .scene = arg }, *v = &victim;

	MUST(shmux_listener_open(v->scene->name, NULL, &v->listener));
	__atomic_store_n(&v->scene->listening, true, __ATOMIC_RELEASE);
	victim_ready();
	MUST(shmux_listener_accept_session(v->listener, 0, &v->session));
	say_hello(v);
	return 0;
}

/* Whatever it said is there, then the end: it has died. */
static void check_greeting(struct survivor *sv)
{
	struct shmux_stream *st;
	char buf[8] = "";
	uint64_t begun = shmux_now(), kept_waiting = run_delay();
	int ret;

	ret = shmux_session_accept(sv->session, 0, &st);
	if (!ret) {
		ret = (int)shmux_stream_read(st, buf, sizeof(buf));
		if (ret == 5)
			ret = (int)shmux_stream_read(st, buf, sizeof(buf));
		else
			CHECK(sv, !sv->scene->opened);
		shmux_stream_close(st);
	} else {
		CHECK(sv, !sv->scene->opened);
	}
	CHECK(sv, ret == -ECONNRESET);
	CHECK(sv, !is_late(shmux_now(), begun, run_delay() - kept_waiting));
	CHECK(sv, shmux_session_close(sv->session, 0) == 0);
}

static enum doom_hold holds[] = { HOLD_NOTHING, HOLD_COPIES };

/* Whoever it was that dialled: the listener keeps nothing of it, and serves on. */
TEST_F_TIMEOUT(death, of_who_dials_at_any_system_call_costs_the_listener_nothing, EFFORT_TIMEOUT)
{
	struct scene *scene = self->scene;
	struct executioner *e = &self->executioner;
	struct survivor survivor = { .scene = scene }, *sv = &survivor;

	for (uint32_t i = 0; i < 1000; i++) {
		struct doom doom = { .syscalls = 1 + i / 2, .hold = holds[i % 2] };
		uint64_t begun, kept_waiting;
		struct death death;
		int nr_fds, ret;

		scene_reset(self, MEET_DIALLER, false);
		over_name(scene->name);
		ASSERT_EQ(0, shmux_listener_open(scene->name, NULL, &self->listener));
		nr_fds = process_nr_fds();
		executioner_begin(e, &doom, victim_dials, scene);
		ret = survivor_meet(self, sv, NULL);
		death = executioner_wait(e);
		begun = shmux_now();
		kept_waiting = run_delay();
		if (!ret) {
			check_greeting(sv);
		} else {
			ASSERT_EQ(-ETIMEDOUT, ret);
		}
		/* It looks for dead clients that somebody hides ten times a second. */
		while (process_nr_fds() != nr_fds &&
		       !is_late(shmux_now(), begun + PROMISED, run_delay() - kept_waiting)) {
			shmux_listener_set_deadline(self->listener, shmux_now() + MSEC);
			shmux_listener_accept_session(self->listener, 0, &sv->session);
		}
		EXPECT_EQ(nr_fds, process_nr_fds())
		{
			TH_LOG("%u ends of system calls, hold %d", doom.syscalls, doom.hold);
		}
		ASSERT_FALSE(sv->bad);
		shmux_listener_close(self->listener);
		self->listener = NULL;
		executioner_end(e);
		if (!death.traced && i % 2)
			return;
	}
	ASSERT_TRUE(false);
}

/* And whoever dials is told, in whatever way it goes. */
TEST_F_TIMEOUT(death, of_who_listens_at_any_system_call_is_told_to_who_dials, EFFORT_TIMEOUT)
{
	struct scene *scene = self->scene;
	struct executioner *e = &self->executioner;
	struct survivor survivor = { .scene = scene }, *sv = &survivor;

	for (uint32_t i = 0; i < 1000; i++) {
		struct doom doom = { .for_call = true,
				     .syscalls = 1 + i / 2,
				     .hold = holds[i % 2] };
		uint64_t kept_waiting, returned;
		int nr_fds = process_nr_fds(), ret;
		struct death death;

		scene_reset(self, MEET_LISTENER, false);
		over_name(scene->name);
		executioner_begin(e, &doom, victim_listens, scene);
		ASSERT_TRUE(wait_until(__atomic_load_n(&scene->listening, __ATOMIC_ACQUIRE)));
		kept_waiting = run_delay();
		executioner_call(e);
		ret = shmux_session_dial(scene->name, NULL, shmux_now() + LONG_ENOUGH,
					 &sv->session);
		returned = shmux_now();
		kept_waiting = run_delay() - kept_waiting;
		if (!ret) {
			/* Nor does a session that has begun go on. */
			death = executioner_wait(e);
			check_greeting(sv);
		} else {
			EXPECT_TRUE(ret == -ECONNREFUSED || ret == -ECONNRESET)
			{
				TH_LOG("%d after %u ends of system calls, hold %d", ret,
				       doom.syscalls, doom.hold);
			}
			death = executioner_wait(e);
			EXPECT_FALSE(is_late(returned, death.time, kept_waiting));
		}
		ASSERT_FALSE(sv->bad);
		EXPECT_EQ(nr_fds, process_nr_fds());
		executioner_end(e);
		if (!death.traced && i % 2)
			return;
	}
	ASSERT_TRUE(false);
}

/* --- the name ------------------------------------------------------------- */

/* Return: what it is to take the name of a listener that was just killed. */
static int take_over(FIXTURE_DATA(death) * self, const char *name, enum doom_hold hold)
{
	struct doom doom = { .hold = hold };
	struct shmux_listener *next = NULL;
	struct death death;
	int ret;

	scene_reset(self, MEET_LISTENER, false);
	snprintf(self->scene->name, sizeof(self->scene->name), "%s", name);
	executioner_begin(&self->executioner, &doom, victim_listens, self->scene);
	death = executioner_wait(&self->executioner);
	ret = death.ready ? shmux_listener_open(name, NULL, &next) : -EIO;
	shmux_listener_close(next);
	executioner_end(&self->executioner);
	return ret;
}

#define NR_TAKE_OVERS 10

TEST_F(death, of_a_listener_frees_its_name_at_once_whatever_its_child_holds)
{
	char name[NAME_SIZE];

	name_make(name);
	for (int i = 0; i < NR_TAKE_OVERS; i++) {
		ASSERT_EQ(0, take_over(self, name, HOLD_NOTHING));
		ASSERT_EQ(0, take_over(self, name, HOLD_CHILD));
	}
}

TEST_F(death, of_a_listener_frees_its_path_at_once_whoever_has_its_socket)
{
	char directory[NAME_SIZE], name[2 * NAME_SIZE];

	ASSERT_EQ(0, directory_make(directory));
	snprintf(name, sizeof(name), "memfd:%s/socket", directory);
	for (int i = 0; i < NR_TAKE_OVERS; i++) {
		EXPECT_EQ(0, take_over(self, name, HOLD_NOTHING));
		EXPECT_EQ(0, take_over(self, name, HOLD_CHILD));
		EXPECT_EQ(0, take_over(self, name, HOLD_COPIES));
	}
	directory_remove(directory);
}

/* That an abstract name is not free then is the kernel's doing; see docs/design.md. */
TEST_F(death, of_a_listener_is_told_to_who_dials_whoever_has_its_socket)
{
	struct doom doom = { .hold = HOLD_COPIES };
	struct shmux_session *session;
	uint64_t begun, kept_waiting;

	scene_reset(self, MEET_LISTENER, false);
	over_name(self->scene->name);
	executioner_begin(&self->executioner, &doom, victim_listens, self->scene);
	ASSERT_TRUE(executioner_wait(&self->executioner).ready);
	begun = shmux_now();
	kept_waiting = run_delay();
	EXPECT_EQ(-ECONNREFUSED,
		  shmux_session_dial(self->scene->name, NULL, begun + LONG_ENOUGH, &session));
	EXPECT_FALSE(is_late(shmux_now(), begun, run_delay() - kept_waiting));
	executioner_end(&self->executioner);
}

/* --- a listener's clients, a context's listeners ---------------------------- */

struct reading {
	struct worker worker;
	struct shmux_stream *st;
	uint64_t returned, kept_waiting;
};

static int64_t read_to_the_end(void *arg)
{
	struct reading *r = arg;
	uint64_t kept_waiting = run_delay();
	ssize_t n;
	char buf[64];

	do {
		n = shmux_stream_read(r->st, buf, sizeof(buf));
	} while (n > 0);
	r->returned = shmux_now();
	r->kept_waiting = run_delay() - kept_waiting;
	return n;
}

static int64_t accept_next(void *arg)
{
	struct shmux_stream *st = NULL;

	return shmux_listener_accept(arg, 0, &st) ? 0 : (int64_t)(intptr_t)st;
}

/* The same, as an event loop. */
static int64_t poll_next(void *arg)
{
	struct pollfd fd = { .fd = shmux_listener_fd(arg), .events = POLLIN };
	struct shmux_stream *st = NULL;
	int ret;

	while ((ret = shmux_listener_accept(arg, SHMUX_NOWAIT, &st)) == -EAGAIN)
		poll(&fd, 1, -1);
	return ret ? 0 : (int64_t)(intptr_t)st;
}

#define NR_CLIENTS 24

/* It sleeps on in accept, having let go of who died, and has the next. */
TEST_F_TIMEOUT(death, of_a_client_is_told_to_its_reader_and_leaves_the_listener_serving,
	       EFFORT_TIMEOUT)
{
	struct executioner *e = &self->executioner;
	struct shmux_session *client;
	struct worker acceptor;
	struct shmux_stream *st;
	struct reading reading;
	struct death death;
	char name[NAME_SIZE];
	int nr_fds;

	name_make(name);
	ASSERT_EQ(0, shmux_listener_open(name, NULL, &self->listener));
	nr_fds = process_nr_fds();
	for (int i = 0; i < NR_CLIENTS; i++) {
		struct doom doom = {
			.for_call = true,
			.delay = random_between(&self->random, 0, 80000000),
			.hold = i % 3,
		};
		worker_fn accept = i / 3 % 2 ? poll_next : accept_next;

		scene_reset(self, MEET_DIALLER, false);
		snprintf(self->scene->name, sizeof(self->scene->name), "%s", name);
		executioner_begin(e, &doom, victim_dials, self->scene);
		ASSERT_EQ(0, shmux_listener_accept(self->listener, 0, &reading.st));
		worker_start(&reading.worker, read_to_the_end, &reading);
		worker_start(&acceptor, accept, self->listener);
		ASSERT_TRUE(worker_wait_blocked(&reading.worker));
		ASSERT_TRUE(worker_wait_blocked(&acceptor));
		executioner_call(e);
		EXPECT_EQ(-ECONNRESET, worker_join(&reading.worker));
		death = executioner_wait(e);
		EXPECT_FALSE(is_late(reading.returned, death.time, reading.kept_waiting));
		shmux_stream_close(reading.st);
		ASSERT_TRUE(wait_until(process_nr_fds() == nr_fds));
		EXPECT_FALSE(is_late(shmux_now(), death.time, 0));

		ASSERT_EQ(0, shmux_session_dial(name, NULL, shmux_now() + LONG_ENOUGH, &client));
		ASSERT_EQ(0, shmux_session_open(client, 0, &st));
		ASSERT_EQ(1, shmux_stream_write(st, "x", 1));
		reading.st = (struct shmux_stream *)(intptr_t)worker_join(&acceptor);
		ASSERT_NE(NULL, reading.st);
		shmux_stream_close(st);
		shmux_session_close(client, 0);
		shmux_stream_close(reading.st);
		while (process_nr_fds() != nr_fds)
			shmux_listener_accept(self->listener, SHMUX_NOWAIT, &st);
		executioner_end(e);
	}
	shmux_listener_close(self->listener);
	self->listener = NULL;
}

TEST_F_TIMEOUT(death, of_a_listener_lets_a_context_dial_the_next_one, EFFORT_TIMEOUT)
{
	struct shmux_dial_options options = { .size = sizeof(options), .flags = SHMUX_DIAL_WAIT };
	struct executioner *e = &self->executioner;
	struct shmux_context *context;
	struct reading reading;
	struct death death;
	char name[NAME_SIZE];

	name_make(name);
	ASSERT_EQ(0, shmux_context_open(NULL, &context));
	for (int i = 0; i < NR_CLIENTS / 2; i++) {
		struct doom doom = {
			.for_call = true,
			.delay = random_between(&self->random, 0, 1000000),
			.hold = i % 2 ? HOLD_CHILD : HOLD_NOTHING,
		};

		scene_reset(self, MEET_LISTENER, false);
		snprintf(self->scene->name, sizeof(self->scene->name), "%s", name);
		executioner_begin(e, &doom, victim_listens, self->scene);
		options.deadline = shmux_now() + LONG_ENOUGH;
		ASSERT_EQ(0, shmux_context_dial(context, name, &options, &reading.st));
		executioner_call(e);
		EXPECT_EQ(-ECONNRESET, read_to_the_end(&reading));
		death = executioner_wait(e);
		EXPECT_FALSE(is_late(reading.returned, death.time, reading.kept_waiting));
		EXPECT_EQ(0, shmux_context_nr_sessions(context));
		shmux_stream_close(reading.st);
		executioner_end(e);
	}
	shmux_context_close(context);
}

/* --- both at once ---------------------------------------------------------- */

FIXTURE(world)
{
	struct executioner executioner;
	struct scene *scenes; /* of who listens, of who dials */
	uint64_t random;
	bool own; /* nobody else is in our namespaces */
};

static bool write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");
	bool done = file && fputs(text, file) >= 0;

	if (file && fclose(file))
		done = false;
	return done;
}

/* A network, and directories for files, of our own. */
static bool enter_world(void)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();

	if (unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS))
			return false;
		snprintf(map, sizeof(map), "%u %u 1", uid, uid);
		write_file("/proc/self/setgroups", "deny");
		if (!write_file("/proc/self/uid_map", map))
			return false;
		snprintf(map, sizeof(map), "%u %u 1", gid, gid);
		if (!write_file("/proc/self/gid_map", map))
			return false;
	}
	return !mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) &&
	       !mount("tmpfs", "/tmp", "tmpfs", 0, NULL) &&
	       !mount("tmpfs", "/dev/shm", "tmpfs", 0, NULL);
}

FIXTURE_SETUP(world)
{
	self->random = effort_seed();
	self->own = enter_world();
	self->scenes = mmap(NULL, 2 * sizeof(*self->scenes), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->scenes);
	ASSERT_EQ(0, executioner_start(&self->executioner));
}

FIXTURE_TEARDOWN(world)
{
	EXPECT_EQ(0, executioner_stop(&self->executioner));
	munmap(self->scenes, 2 * sizeof(*self->scenes));
}

static int nr_sockets(void)
{
	FILE *file = fopen("/proc/self/net/unix", "re");
	int c, nr = 0;

	while (file && (c = fgetc(file)) != EOF)
		nr += c == '\n';
	if (file)
		fclose(file);
	return nr;
}

static int nr_files(const char *path)
{
	DIR *dir = opendir(path);
	int nr = 0;

	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

/* Memory in memfds and tmpfs, of everybody; bytes. */
static int64_t shared_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	long long kib = -1;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "Shmem: %lld kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * 1024;
}

/* Talk on a session without end, having filled the arena once. */
static void __attribute__((noreturn)) talk(struct victim *v)
{
	struct shmux_stream *in[NR_STREAMS + 1];
	struct shmux_span spans[64];
	char buf[4096];
	int nr = 0;

	for (int i = 0; i <= REVERSE; i++)
		MUST(shmux_session_open(v->session, i < REVERSE && is_messages(i), &v->streams[i]));
	for (int i = 0; i <= REVERSE; i++)
		MUST(shmux_session_accept(v->session, 0, &in[i]));
	while (nr < 64 && !shmux_stream_reserve(v->streams[0], 262144, &spans[nr], SHMUX_NOWAIT))
		memset(spans[nr++].data, 1, 262144);
	while (nr)
		shmux_stream_cancel(v->streams[0], &spans[--nr]);
	for (;;) {
		do_something(v);
		for (int i = 0; i < REVERSE; i++)
			shmux_stream_try_read(in[i], buf, sizeof(buf));
	}
}

/* One process listens, its child dials. */
static int victims_both(void *arg)
{
	struct scene *scenes = arg;
	struct victim victim = { .scene = &scenes[0] }, *v = &victim;
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.session = &scenes[0].options,
	};

	v->random = v->scene->seed;
	MUST(shmux_listener_open(scenes[0].name, &options, &v->listener));
	if (!fork()) {
		v->scene = &scenes[1];
		v->random = v->scene->seed;
		MUST(shmux_session_dial(scenes[0].name, &scenes[0].options, SHMUX_NEVER,
					&v->session));
		talk(v);
	}
	MUST(shmux_listener_accept_session(v->listener, 0, &v->session));
	victim_ready();
	talk(v);
}

#define NR_BOTH 30
#define BOTH_ARENA (16 << 20)

TEST_F_TIMEOUT(world, is_as_before_when_both_sides_are_killed_at_once, EFFORT_TIMEOUT)
{
	struct executioner *e = &self->executioner;
	int sockets = nr_sockets(), tmp = nr_files("/tmp"), shm = nr_files("/dev/shm");
	int64_t memory = shared_memory();
	struct shmux_listener *next;
	char name[NAME_SIZE];

	name_make(name);
	for (int i = 0; i < NR_BOTH; i++) {
		struct doom doom = { .family = true };

		doom.at_birth = !random_between(&self->random, 0, 3);
		doom.delay = random_between(&self->random, 0, doom.at_birth ? 5000000 : 20000000);
		for (int k = 0; k < 2; k++)
			self->scenes[k] = (struct scene){
				.seed = random_next(&self->random),
				.options = { .size = sizeof(struct shmux_session_options),
					     .window = 32 << 20,
					     .first_grant = 8 << 20,
					     .streams_max = 16,
					     .budget = 256 << 20,
					     .arena_size = BOTH_ARENA },
			};
		snprintf(self->scenes[0].name, sizeof(self->scenes[0].name), "%s", name);
		executioner_begin(e, &doom, victims_both, self->scenes);
		EXPECT_TRUE(WIFSIGNALED(executioner_wait(e).status));
		ASSERT_EQ(0, shmux_listener_open(name, NULL, &next));
		shmux_listener_close(next);
		executioner_end(e);
		if (!self->own)
			continue;
		ASSERT_EQ(sockets, nr_sockets());
		EXPECT_EQ(tmp, nr_files("/tmp"));
		EXPECT_EQ(shm, nr_files("/dev/shm"));
	}
	/* Others use some, too; but not what all of ours together had. */
	EXPECT_GT(memory + NR_BOTH / 4 * (int64_t)BOTH_ARENA, shared_memory());
	if (!self->own)
		TH_LOG("no namespaces of our own: sockets and files were not counted");
}

TEST_HARNESS_MAIN
