// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * faults.c - every call into libc that can fail does so, one after another
 *
 * The program starts itself again with tests/preload/fail.so loaded. A walk runs
 * a scene (dial, listen, accept...) with its first call failing, then with its
 * second, and so on until it comes through unharmed; each call in every way that
 * it can fail, and once more with all the calls after it failing alike. After
 * each step: the scene has ended in a sensible errno, or well in spite; nothing
 * is left of it; what was there before still works; and so does the same scene
 * without a fault.
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "effort.h"
#include "harness.h"
#include "over.h"
#include "pair.h"
#include "pattern.h"
#include "preload/fail.h"
#include "process.h"
#include "stray.h"
#include "worker.h"

#include "core/core.h"
#include "core/direct.h"

static const struct fail_control *fail;

/* @sibling of the directory that this program is in. */
static void path_beside(char *path, size_t size, const char *sibling)
{
	ssize_t n = readlink("/proc/self/exe", path, size - 1);
	char *slash;

	path[n < 0 ? 0 : n] = 0;
	slash = strrchr(path, '/');
	if (slash)
		snprintf(slash, size - (size_t)(slash - path), "/%s", sibling);
}

/* Begin again with the injector, which stays in our forked children as well. */
static void __attribute__((constructor)) load_injector(int argc, char **argv)
{
	const struct fail_control *(*control)(void);
	const char *asan = getenv("ASAN_OPTIONS");
	char path[4096], options[512];

	(void)argc;
	control = (const struct fail_control *(*)(void))dlsym(RTLD_DEFAULT, "fail_control");
	if (control) {
		fail = control();
		unsetenv("LD_PRELOAD");
		return;
	}
	path_beside(path, sizeof(path), "../preload/fail.so");
	if (getenv("LD_PRELOAD") || access(path, R_OK))
		return;
	setenv("LD_PRELOAD", path, 1);
	/* The sanitizer wants to come first; here it comes second. */
	snprintf(options, sizeof(options), "%s%sverify_asan_link_order=0", asan ? asan : "",
		 asan ? ":" : "");
	setenv("ASAN_OPTIONS", options, 1);
	execve("/proc/self/exe", argv, environ);
}

/* --- what a scene may do --------------------------------------------------- */

#define UNTOUCHED 4242

/* The first call of the library that changed errno. */
static const char *touched;

static void begin_call(void)
{
	errno = UNTOUCHED;
	fail->on();
}

static void end_call(const char *call)
{
	fail->off();
	if (errno != UNTOUCHED && !touched)
		touched = call;
}

/* A call of the library, which the plan applies to. */
#define LIB(call)                               \
	({                                      \
		begin_call();                   \
		__typeof__(call) ret_ = (call); \
		end_call(#call);                \
		ret_;                           \
	})
#define LIB_VOID(call)           \
	({                       \
		begin_call();    \
		(call);          \
		end_call(#call); \
	})

/* A scene has found something that must not be, whatever fails. */
#define WRONG(what)                                                         \
	({                                                                  \
		fprintf(stderr, "# %s:%d: %s\n", __FILE__, __LINE__, what); \
		-4000;                                                      \
	})

/* What came of the last plan. */
static struct fail_report last;
static bool planned;

/* No more faults in this scene. */
static void end_plan(void)
{
	if (!planned)
		return;
	planned = false;
	last = fail->report();
	fail->plan(&(struct fail_plan){ .mode = FAIL_NEVER });
}

#define SMALL 64u
#define LARGE 100000u
#define OPTIONS SESSION_OPTIONS(.arena_size = 512 * 1024, .ring_slots = 256)

/* Say @len bytes to an echo and hear them again. Return: 0 or what stopped it. */
static int talk(struct shmux_stream *st, size_t len)
{
	static char buf[LARGE];
	struct iovec iov = { .iov_base = buf, .iov_len = len };
	ssize_t n;

	pattern_fill(buf, len, 0, 7);
	n = LIB(shmux_stream_write(st, buf, len));
	if (n < 0)
		return (int)n;
	memset(buf, 0, len);
	if (n == (ssize_t)len)
		n = LIB(shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
	if (n < 0)
		return (int)n;
	/* Stopped half-way: the next call tells why. */
	if (n < (ssize_t)len)
		n = LIB(shmux_stream_write(st, "", 1));
	if (n < 0)
		return (int)n;
	if (n != (ssize_t)len)
		return WRONG("cut short without a reason");
	return pattern_check(buf, len, 0, 7) < 0 ? 0 : WRONG("other bytes came back");
}

/* --- the fixture ------------------------------------------------------------ */

struct counts {
	int fds;
	long heap, mapped;
};

FIXTURE(faults)
{
	struct far server; /* echoes, one stream after another */
	char name[NAME_SIZE]; /* where */
	struct pair old; /* a session that nothing is to disturb */
	struct shmux_stream *old_stream;

	/* Of the scenes that need them. */
	struct shmux_listener *listener;
	struct far guest, client;
	struct shmux_session *guest_session;
	struct shmux_stream *guest_stream;
	char near_name[NAME_SIZE];
	char directory[NAME_SIZE];
	bool by_session, blocking;
	bool slow; /* the scene takes long: not once more without a fault */
	enum shmux_role role;
	int wire; /* by which the client gets descriptors */
};

typedef int (*scene_fn)(FIXTURE_DATA(faults) *self);

static int64_t side_listen(struct side *side)
{
	return shmux_listener_open(side->in, NULL, &side->listener);
}

/* Until somebody says quit. Return: how many streams did not end cleanly. */
static int64_t side_serve(struct side *side)
{
	static char buf[LARGE];
	int64_t unclean = 0;
	bool quit = false;

	while (!quit) {
		struct shmux_stream *st;
		ssize_t n;

		SIDE_EQ(0, shmux_listener_accept(side->listener, 0, &st));
		while ((n = shmux_stream_read(st, buf, sizeof(buf))) > 0) {
			quit = n == 4 && !memcmp(buf, "quit", 4);
			/* Long enough for who waits to fall fast asleep. */
			if (n == 4 && !memcmp(buf, "late", 4))
				usleep(100000);
			n = shmux_stream_write(st, buf, (size_t)n);
			if (n < 0)
				break;
		}
		unclean += n && n != -ECONNRESET && n != -EPIPE && n != -ENODATA;
		shmux_stream_close(st);
	}
	return unclean;
}

FIXTURE_SETUP(faults)
{
	/* The Makefile builds it beside this program. */
	ASSERT_NE(NULL, fail);
	name_make(self->name);
	ASSERT_EQ(0, far_start(&self->server, FAR_CHILD));
	ASSERT_EQ(0, far_call(&self->server, side_listen, self->name, sizeof(self->name), NULL, 0));
	far_begin(&self->server, side_serve, NULL, 0, 0);
	ASSERT_EQ(0, pair_open(&self->old, PAIR_TWO_PROCESSES, NULL, NULL));
	ASSERT_EQ(0, pair_open_stream(&self->old, 0, &self->old_stream));
	far_begin(&self->old.far, side_echo, NULL, 0, 0);
}

static int quit(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	char buf[4];
	int ret = shmux_session_dial(self->name, NULL, shmux_now() + LONG_ENOUGH, &s);

	if (ret)
		return ret;
	ret = shmux_session_open(s, 0, &st);
	if (!ret) {
		if (shmux_stream_write(st, "quit", 4) != 4 || shmux_stream_read(st, buf, 4) != 4)
			ret = -1;
		shmux_stream_close(st);
	}
	shmux_session_close(s, 0);
	return ret;
}

FIXTURE_TEARDOWN(faults)
{
	shmux_stream_close(self->old_stream);
	if (!_metadata->aborted)
		far_finish(&self->old.far, NULL);
	PAIR_TEARDOWN(&self->old);
	if (_metadata->aborted) {
		far_kill(&self->server);
		far_kill(&self->client);
		far_kill(&self->guest);
	} else {
		EXPECT_EQ(0, quit(self));
		EXPECT_EQ(0, far_finish(&self->server, NULL));
		EXPECT_EQ(0, far_stop(&self->server));
	}
}

static struct counts count(void)
{
	struct fail_holdings held = fail->holdings();

	return (struct counts){ process_nr_fds(), held.heap, held.mapped };
}

static bool same(const struct counts *a, const struct counts *b)
{
	return a->fds == b->fds && a->heap == b->heap && a->mapped == b->mapped;
}

/* --- the walk ---------------------------------------------------------------- */

/* Never what a caller is told, whatever libc has said. */
static bool is_sensible(int ret, int error)
{
	switch (-ret) {
	case EINTR:
	case EAGAIN:
	case EPROTO:
	case EBADF:
	case EFAULT:
	case EINVAL:
	case ENOSYS:
	case ETIMEDOUT: /* nobody waited that long */
		return false;
	case 0:
	case ECONNRESET: /* what there was is lost */
	case ENOMEM: /* for EAGAIN of mmap, and the like */
	case EMFILE: /* for ETOOMANYREFS */
	case EADDRINUSE: /* could not find out */
		return true;
	default:
		return -ret == error;
	}
}

static const char *plan_text(const struct fail_plan *p)
{
	static char text[64];

	if (p->function)
		snprintf(text, sizeof(text), "its first call, way %u", p->which);
	else if (p->mode == FAIL_ONCE)
		snprintf(text, sizeof(text), "call %ld, way %u", p->n, p->which);
	else
		snprintf(text, sizeof(text), "from call %ld on", p->n);
	return text;
}

/* One step. Return: false if that is enough for the log. */
static bool step(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self, scene_fn scene,
		 const struct fail_plan *plan, struct fail_report *report)
{
	struct counts before = count(), after;
	uint64_t begun = shmux_now();
	int ret, again;
	bool good;

	touched = NULL;
	fail->plan(plan);
	planned = true;
	ret = scene(self);
	end_plan();
	*report = last;
	if (!report->failed)
		return true;

	after = count();
	good = same(&before, &after) && is_sensible(ret, report->error) && !touched;
	/* A kernel that has never heard of it is good enough. */
	if (plan->mode == FAIL_FROM && plan->error == ENOSYS)
		good = good && !ret;
	again = talk(self->old_stream, SMALL);
	last = (struct fail_report){ .calls = 0 };
	if (!again && !self->slow)
		again = scene(self);
	/* What is over is told, not found out. */
	good = good && !again && shmux_now() - begun < LONG_ENOUGH * 3 / 4;
	EXPECT_TRUE(good) {
		TH_LOG("%s fails with %s (%s): returned %d, then %d; %s%s", report->function,
		       strerrorname_np(report->error), plan_text(plan), ret, again,
		       touched ? "errno was changed by " : "", touched ? touched : "");
		TH_LOG("took %lld ms", (long long)((shmux_now() - begun) / MSEC));
		TH_LOG("descriptors %d, then %d; heap %ld, %ld; mapped %ld, %ld", before.fds,
		       after.fds, before.heap, after.heap, before.mapped, after.mapped);
	}
	return good;
}

#define CALLS_MAX 1000 /* none of the scenes makes nearly as many */
#define BAD_MAX 5

struct walk {
	struct __test_metadata *_metadata;
	FIXTURE_DATA(faults) *self;
	scene_fn scene;
	int nr_bad;
};

/* Each call, in each way that it can fail. Return: how many there are. */
static long walk_once(struct walk *w)
{
	struct fail_plan plan = { .mode = FAIL_ONCE };
	struct fail_report report;

	do {
		plan.n++;
		plan.which = 0;
		do {
			w->nr_bad += !step(w->_metadata, w->self, w->scene, &plan, &report);
			plan.which++;
		} while (report.failed && w->nr_bad < BAD_MAX);
	} while (report.calls >= plan.n && plan.n < CALLS_MAX && w->nr_bad < BAD_MAX);
	return plan.n - 1;
}

/* The first call of @function, in each way that it can fail. */
static void walk_first(struct walk *w, const char *function)
{
	struct fail_plan plan = { .mode = FAIL_ONCE, .n = 1, .function = function };
	struct fail_report report;

	do {
		w->nr_bad += !step(w->_metadata, w->self, w->scene, &plan, &report);
		plan.which++;
	} while (report.failed && w->nr_bad < BAD_MAX);
}

/* From each call on, all that can fail with @error do. */
static void walk_from(struct walk *w, int error)
{
	struct fail_plan plan = { .mode = FAIL_FROM, .error = error };
	struct fail_report report;

	do {
		plan.n++;
		w->nr_bad += !step(w->_metadata, w->self, w->scene, &plan, &report);
	} while (report.failed && plan.n < CALLS_MAX && w->nr_bad < BAD_MAX);
}

/* What sockets, memfds, pidfds and futexes take; the module's regions need not. */
static bool is_spared_by_the_module(const char *name)
{
	static const char *const names[] = {
		"accept4",   "connect", "eventfd", "fcntl",   "fstat",	  "fstatfs",
		"ftruncate", "getsockopt", "memfd_create", "nanosleep", "poll", "ppoll",
		"recv",	     "recvmsg",	"send",	   "sendmsg", "setsockopt", "socket", "syscall",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i], name))
			return over_kmod();
	return false;
}

static const char *not_met(const char *const *meets)
{
	for (; *meets; meets++)
		if (!fail->nr_failed(*meets) && !is_spared_by_the_module(*meets))
			return *meets;
	return NULL;
}

/* Walk a @scene to its end; each of @meets must have failed on the way. */
static void walk(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self, scene_fn scene,
		 const char *const *meets)
{
	struct walk w = { ._metadata = _metadata, .self = self, .scene = scene };
	int passes = effort_is_stress() ? 5 : 1;
	long nr = 0;

	/* What is made once and kept is made now. */
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, scene(self));
		ASSERT_EQ(0, talk(self->old_stream, SMALL));
	}

	for (int i = 0; i < passes; i++)
		nr = walk_once(&w);
	/* How often a scene sleeps differs, so that a walk may step over a call. */
	for (const char *const *name = meets; *name; name++)
		if (!fail->nr_failed(*name))
			walk_first(&w, *name);
	walk_from(&w, EMFILE);
	walk_from(&w, ENOMEM);
	walk_from(&w, ENOSYS);
	EXPECT_EQ(0, scene(self));

	TH_LOG("%ld calls", nr);
	EXPECT_LT(0, nr);
	EXPECT_LT(nr, CALLS_MAX - 1);
	if (not_met(meets))
		TH_LOG("%s has not failed once", not_met(meets));
	EXPECT_EQ(NULL, not_met(meets));
}

/* --- dialling ---------------------------------------------------------------- */

static const char *const dial_meets[] = {
	"aligned_alloc", "calloc",	 "close",	 "connect", "fcntl",   "fstat",	  "fstatfs",
	"ftruncate",	 "getsockopt",	 "memfd_create", "mmap",    "madvise", "realloc", "recvmsg",
	"sendmsg",	 "sched_getcpu", "setsockopt",	 "socket",  NULL,
};

static int scene_dial(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	int ret = LIB(shmux_session_dial(self->name, OPTIONS, shmux_now() + LONG_ENOUGH, &s));

	if (ret)
		return ret;
	ret = LIB(shmux_session_open(s, 0, &st));
	if (!ret) {
		ret = talk(st, SMALL);
		if (!ret)
			ret = talk(st, LARGE);
		LIB_VOID(shmux_stream_close(st));
	}
	LIB(shmux_session_close(s, 0));
	return ret;
}

TEST_F_TIMEOUT(faults, dial_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_dial, dial_meets);
}

/* And "syscall", if an answer is long in coming: whoever sleeps for certain meets it. */
static const char *const context_meets[] = { "calloc", "nanosleep", "poll", NULL };

/* Two dials that share a session, one of messages. */
static int scene_context(FIXTURE_DATA(faults) *self)
{
	struct shmux_context_options options = { .size = sizeof(options), .session = OPTIONS };
	struct shmux_dial_options dial = {
		.size = sizeof(dial),
		.flags = SHMUX_DIAL_MESSAGES,
		.deadline = shmux_now() + LONG_ENOUGH,
	};
	struct shmux_context *c;
	struct shmux_stream *st;
	int ret = LIB(shmux_context_open(&options, &c));

	if (ret)
		return ret;
	for (int i = 0; i < 2 && !ret; i++) {
		ret = LIB(shmux_context_dial(c, self->name, &dial, &st));
		if (ret)
			break;
		ret = LIB(shmux_stream_set_deadline(st, SHMUX_READ, dial.deadline));
		if (!ret)
			ret = talk(st, i ? LARGE : SMALL);
		LIB_VOID(shmux_stream_close(st));
	}
	if (!ret) {
		/* Nobody ever listens there. */
		dial.flags = SHMUX_DIAL_WAIT;
		dial.deadline = shmux_now() + MSEC;
		ret = LIB(shmux_context_dial(c, "shmux-test-nobody", &dial, &st));
		if (ret == -ETIMEDOUT)
			ret = 0;
	}
	LIB_VOID(shmux_context_close(c));
	return ret;
}

TEST_F_TIMEOUT(faults, context_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_context, context_meets);
}

static const char *const backlog_meets[] = { "connect", "setsockopt", NULL };

/* A dial that waits for its turn in vain. */
static int scene_backlog(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	int ret = LIB(shmux_session_dial(self->near_name, OPTIONS, shmux_now() + 2 * MSEC, &s));

	if (ret)
		return ret == -ETIMEDOUT ? 0 : ret;
	LIB(shmux_session_close(s, 0));
	return WRONG("there was no room for it");
}

TEST_F_TIMEOUT(faults, dial_that_waits_for_a_backlog_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	struct shmux_listener_options options = { .size = sizeof(options), .backlog = 1 };
	struct shmux_listener *l;
	struct shmux_session *s;

	name_make(self->near_name);
	ASSERT_EQ(0, shmux_listener_open(self->near_name, &options, &l));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(-ETIMEDOUT, shmux_session_dial(self->near_name, NULL, shmux_now(), &s));
	}
	walk(_metadata, self, scene_backlog, backlog_meets);
	shmux_listener_close(l);
}

/* --- what a session goes through -------------------------------------------- */

/* A session without a fault, that the scene is about. */
static int begin_session(FIXTURE_DATA(faults) *self, struct shmux_session **s)
{
	return shmux_session_dial(self->name, OPTIONS, shmux_now() + LONG_ENOUGH, s);
}

static const char *const open_meets[] = { "aligned_alloc", "calloc", "realloc", NULL };

/* So many that everything that is kept of them must grow. */
static int scene_open(FIXTURE_DATA(faults) *self)
{
	struct shmux_stream *st[1000];
	struct shmux_session *s;
	int nr = 0, ret = 0, again;

	if (begin_session(self, &s))
		return WRONG("no session");
	while (nr < (int)ARRAY_SIZE(st)) {
		ret = LIB(shmux_session_open(s, 0, &st[nr]));
		if (ret)
			break;
		nr++;
	}
	end_plan();
	while (nr)
		shmux_stream_close(st[--nr]);
	/* One stream was not to be had; the session has not suffered. */
	if (ret && ret != -ENOMEM)
		return ret;
	again = shmux_session_open(s, 0, &st[0]);
	if (!again) {
		again = talk(st[0], SMALL);
		shmux_stream_close(st[0]);
	}
	shmux_session_close(s, 0);
	/* But if there was no memory for a bell, again and again, it is over. */
	if (again == -ECONNRESET && last.failed > 1)
		return again;
	if (again)
		return WRONG("the session is of no use any more");
	return ret;
}

TEST_F_TIMEOUT(faults, open_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_open, open_meets);
}

static const char *const receive_meets[] = { "malloc", NULL };

/* Wait until @len bytes are queued here, or no more will come. */
static void pile_up(struct shmux_stream *st, ssize_t len)
{
	struct shmux_session *s = shmux_stream_session(st);

	while (LIB(shmux_stream_next_len(st)) < len)
		if (LIB(shmux_session_state(s)) == SHMUX_SESSION_DEAD)
			break;
}

static int receive(struct shmux_stream *st)
{
	static char buf[LARGE];
	struct iovec iov = { .iov_base = buf, .iov_len = LARGE };
	const void *data;
	ssize_t n;
	int ret = LIB(shmux_stream_set_deadline(st, SHMUX_READ, shmux_now() + LONG_ENOUGH));

	pattern_fill(buf, LARGE, 0, 3);
	/* Little by little, and much at once. */
	for (size_t at = 0; at < 10000; at += 1000)
		if (shmux_stream_write(st, buf + at, 1000) != 1000)
			return WRONG("no write");
	if (shmux_stream_write(st, buf + 10000, LARGE - 10000) != LARGE - 10000)
		return WRONG("no large write");
	if (!ret) {
		pile_up(st, LARGE);
		n = LIB(shmux_stream_peek(st, 50000, &data));
		ret = n < 0 ? (int)n : 0;
		if (!ret && pattern_check(data, 50000, 0, 3) >= 0)
			return WRONG("peek showed other bytes");
	}
	end_plan();
	/* If the session has not died of it, nothing is lost; else what is here is right. */
	memset(buf, 0, LARGE);
	if (shmux_session_state(shmux_stream_session(st)) == SHMUX_SESSION_DEAD) {
		n = shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL);
		if (n > 0 && pattern_check(buf, (size_t)n, 0, 3) >= 0)
			return WRONG("other bytes came before the end");
		n = n < 0 ? n : shmux_stream_read(st, buf, LARGE);
		return n < 0 ? (int)n : WRONG("it died without a word");
	}
	if (shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL) != LARGE)
		return WRONG("not all can be read");
	return pattern_check(buf, LARGE, 0, 3) < 0 ? ret : WRONG("other bytes came");
}

static int scene_receive(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	int ret;

	if (begin_session(self, &s) || shmux_session_open(s, 0, &st))
		return WRONG("no session");
	ret = receive(st);
	shmux_stream_close(st);
	shmux_session_close(s, 0);
	return ret;
}

TEST_F_TIMEOUT(faults, bytes_that_cannot_be_kept_end_their_session_alone, EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_receive, receive_meets);
}

enum { PART = 1000, WHOLE = 3 * PART };

/* A message in parts, and a thread that sends them while the test waits for them. */
struct message {
	struct shmux_stream *near, *far;
	struct worker sender;
	bool has_returned; /* atomic: the call of the test */
};

static int send_part(struct message *m, int i, uint32_t flags)
{
	struct shmux_session *s = m->near->s;
	char buf[PART];
	int err = shmux__enter(s);

	if (err)
		return err;
	pattern_fill(buf, PART, (size_t)i * PART, 5);
	err = shmux__link_send(s->link, SHMUX_FRAME_DATA, flags, m->near->id, buf, PART);
	m->near->tx_credit -= PART;
	shmux__leave(s);
	return err;
}

/* Does the test wait, with parts or without; or need nobody wait for that any more? */
static bool waits(struct message *m, bool with_parts)
{
	struct shmux_session *s = m->far->s;
	bool does;

	shmux_lock(&s->lock);
	does = s->error || (with_parts ? shmux__part_holder(m->far) : m->far->waiters);
	shmux_unlock(&s->lock);
	return does || __atomic_load_n(&m->has_returned, __ATOMIC_ACQUIRE);
}

/* One part; then whoever waits is to wait no more. */
static int64_t send_first(void *arg)
{
	struct message *m = arg;

	if (!wait_until(waits(m, false)) || send_part(m, 0, SHMUX_FLAG_MORE) ||
	    !wait_until(waits(m, true)))
		return -1;
	shmux_stream_unblock(m->far, SHMUX_READ);
	return 0;
}

static int64_t send_rest(void *arg)
{
	struct message *m = arg;

	if (!wait_until(waits(m, false)) || send_part(m, 1, SHMUX_FLAG_MORE))
		return -1;
	return send_part(m, 2, 0);
}

/* Read into @size bytes while @send sends. Return: as the read, or that it is wrong. */
static int read_while(struct message *m, worker_fn send, size_t size)
{
	static char buf[WHOLE];
	ssize_t n;

	m->has_returned = false;
	worker_start(&m->sender, send, m);
	n = LIB(shmux_stream_read(m->far, buf, size));
	__atomic_store_n(&m->has_returned, true, __ATOMIC_RELEASE);
	if (worker_join(&m->sender))
		return WRONG("no part was sent");
	return n < 0 ? (int)n : WRONG("half a message was read");
}

/* A reader has the first part and gives up; the next has two, and no room for more. */
static int receive_parts(struct message *m)
{
	static char buf[WHOLE];
	int ret = read_while(m, send_first, WHOLE);
	ssize_t n;

	if (ret == -ECANCELED)
		ret = read_while(m, send_rest, 2 * PART);
	end_plan();
	/* If the session has not died of it, nothing is lost. */
	n = shmux_stream_try_read(m->far, buf, WHOLE);
	if (n < 0)
		return (int)n;
	if (n != WHOLE || pattern_check(buf, WHOLE, 0, 5) >= 0)
		return WRONG("it is not the message that was sent");
	return ret == -EMSGSIZE ? 0 : ret;
}

static int scene_parts(FIXTURE_DATA(faults) *self)
{
	const struct shmux_session_options *options = SESSION_OPTIONS(.first_grant = 2 * WHOLE);
	struct message m;
	struct pair pair;
	int ret;

	(void)self;
	if (pair_open(&pair, PAIR_SAME_PROCESS, options, options) ||
	    pair_open_stream(&pair, SHMUX_STREAM_MESSAGES, &m.near))
		return WRONG("no session");
	m.far = pair.far.side.stream;
	ret = receive_parts(&m);
	shmux_stream_close(m.near);
	return pair_close(&pair) ? WRONG("something was lost") : ret;
}

TEST_F_TIMEOUT(faults, parts_that_cannot_be_left_to_the_next_end_their_session_alone,
	       EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_parts, receive_meets);
}

static const char *const events_meets[] = { "epoll_create1", "epoll_ctl", "eventfd",
					    "send",	     "recv",	  NULL };
/* Where descriptors may come with each bell. */
static const char *const old_events_meets[] = { "epoll_create1", "epoll_ctl", "eventfd",
						"send",		 "recvmsg",   NULL };

/* Read @len bytes as an event loop does. */
static int read_by_events(struct shmux_session *s, struct shmux_stream *st, int fd, size_t len)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	struct shmux_event events[4];
	char buf[SMALL];
	ssize_t n;

	while (len) {
		if (poll(&pfd, 1, 5000) != 1)
			return WRONG("the descriptor is silent");
		n = LIB(shmux_session_pump(s, events, 4));
		if (n < 0)
			return (int)n;
		for (; n; n--) {
			if (events[n - 1].events & SHMUX_EVENT_DEAD)
				return -ECONNRESET;
		}
		while (len && (n = LIB(shmux_stream_try_read(st, buf, sizeof(buf)))) > 0)
			len -= (size_t)n;
		if (len && n != -EAGAIN)
			return n ? (int)n : -ECONNRESET;
	}
	return 0;
}

static int scene_events(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	char buf[SMALL] = "event";
	int fd, ret = 0;

	if (begin_session(self, &s) || shmux_session_open(s, 0, &st))
		return WRONG("no session");
	fd = LIB(shmux_session_fd(s));
	if (fd < 0) {
		ret = fd;
		end_plan();
		fd = shmux_session_fd(s);
		if (fd < 0)
			return WRONG("no descriptor the second time");
	}
	for (int i = 0; i < 3; i++) {
		ssize_t n = LIB(shmux_stream_try_write(st, buf, SMALL));
		int err = n == SMALL ? read_by_events(s, st, fd, SMALL) : (int)n;

		if (err) {
			ret = err;
			break;
		}
	}
	LIB_VOID(shmux_stream_close(st));
	LIB(shmux_session_close(s, 0));
	return ret;
}

TEST_F_TIMEOUT(faults, event_loop_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_events,
	     stray_can_be_forbidden() ? events_meets : old_events_meets);
}

static const char *const sleep_meets[] = { "eventfd", "poll", "ppoll", "syscall", NULL };

static int scene_sleep(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	struct shmux_stream *st;
	char buf[4];
	ssize_t n;

	if (begin_session(self, &s) || shmux_session_open(s, 0, &st))
		return WRONG("no session");
	if (shmux_stream_write(st, "late", 4) != 4)
		return WRONG("no write");
	n = LIB(shmux_stream_read(st, buf, 4));
	shmux_stream_close(st);
	shmux_session_close(s, 0);
	return n == 4 ? 0 : n ? (int)n : WRONG("it ended");
}

static int64_t wait_for_stop(void *stop)
{
	while (!__atomic_load_n((bool *)stop, __ATOMIC_ACQUIRE))
		usleep(10000);
	return 0;
}

TEST_F_TIMEOUT(faults, sleep_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	bool stop = false;
	struct worker other;

	/* With a thread that could wake us, there is more to prepare. */
	worker_start(&other, wait_for_stop, &stop);
	self->slow = true;
	walk(_metadata, self, scene_sleep, sleep_meets);
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	worker_join(&other);
}

/* --- attaching ------------------------------------------------------------- */

static const char *const attach_meets[] = {
	"calloc",  "fcntl",   "getsockopt", "memfd_create", "mmap",
	"recvmsg", "sendmsg", "setsockopt", NULL,
};

union one_fd {
	char bytes[CMSG_SPACE(sizeof(int))];
	struct cmsghdr align;
};

static int send_fd(int socket, int fd)
{
	union one_fd control = { .bytes = "" };
	struct iovec iov = { .iov_base = "f", .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};

	CMSG_FIRSTHDR(&msg)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&msg)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&msg)->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), &fd, sizeof(fd));
	return sendmsg(socket, &msg, 0) == 1 ? 0 : -1;
}

static int receive_fd(int socket)
{
	union one_fd control = { .bytes = "" };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	int fd;

	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		return -1;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* What the other side may come to see. Return: 0 or something else. */
static int other_ret(int ret)
{
	return ret == -ECONNRESET || ret == -EPIPE || ret == -ESHUTDOWN ? 0 : ret;
}

/* Attach the descriptor that comes over side->fd, and echo. */
static int64_t side_attach_and_echo(struct side *side)
{
	const enum shmux_role *role = side->in;
	static char buf[LARGE];
	struct shmux_session *s;
	struct shmux_stream *st;
	ssize_t n;
	int ret = shmux_session_attach(receive_fd(side->fd), *role, OPTIONS,
				       shmux_now() + LONG_ENOUGH, &s);

	/* A refusal tells why. */
	if (ret)
		return is_sensible(ret, -ret) ? 0 : ret;
	ret = shmux_session_accept(s, 0, &st);
	if (!ret) {
		while ((n = shmux_stream_read(st, buf, sizeof(buf))) > 0) {
			n = shmux_stream_write(st, buf, (size_t)n);
			if (n < 0)
				break;
		}
		ret = (int)n;
		shmux_stream_close(st);
	}
	shmux_session_close(s, 0);
	return other_ret(ret);
}

static int scene_attach(FIXTURE_DATA(faults) *self)
{
	enum shmux_role other = self->role == SHMUX_ROLE_DIALLER ? SHMUX_ROLE_ACCEPTOR :
								   SHMUX_ROLE_DIALLER;
	struct shmux_session *s;
	struct shmux_stream *st;
	int64_t seen;
	int fds[2], ret;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) || send_fd(self->wire, fds[1]))
		return WRONG("no socket pair");
	close(fds[1]);
	far_begin(&self->client, side_attach_and_echo, &other, sizeof(other), 0);
	ret = LIB(shmux_session_attach(fds[0], self->role, OPTIONS, shmux_now() + LONG_ENOUGH, &s));
	if (!ret) {
		ret = LIB(shmux_session_open(s, 0, &st));
		if (!ret) {
			ret = talk(st, SMALL);
			if (!ret)
				ret = talk(st, LARGE);
			LIB_VOID(shmux_stream_close(st));
		}
		LIB(shmux_session_close(s, 0));
	}
	seen = far_finish(&self->client, NULL);
	if (seen) {
		fprintf(stderr, "# the other side saw %lld\n", (long long)seen);
		return WRONG("the other side saw no clean end");
	}
	return ret;
}

static void walk_attach(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self,
			enum shmux_role role)
{
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
	ASSERT_EQ(0, far_start_with(&self->client, FAR_CHILD, fds[1], fds[0]));
	self->wire = fds[0];
	self->role = role;
	walk(_metadata, self, scene_attach, attach_meets);
	EXPECT_EQ(0, far_stop(&self->client));
	close(self->wire);
}

TEST_F_TIMEOUT(faults, attach_as_dialler_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk_attach(_metadata, self, SHMUX_ROLE_DIALLER);
}

TEST_F_TIMEOUT(faults, attach_as_acceptor_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk_attach(_metadata, self, SHMUX_ROLE_ACCEPTOR);
}

/* --- listening ---------------------------------------------------------------- */

static const char *const listen_meets[] = {
	"bind",	  "calloc",	"close",  "epoll_create1",  "epoll_ctl", "eventfd",
	"listen", "setsockopt", "socket", "timerfd_create", NULL,
};

static int scene_listen(FIXTURE_DATA(faults) *self)
{
	struct shmux_listener *l;
	char name[NAME_SIZE + 8];
	int ret;

	snprintf(name, sizeof(name), "%s-more", self->name);
	ret = LIB(shmux_listener_open(name, NULL, &l));
	if (!ret)
		LIB_VOID(shmux_listener_close(l));
	return ret;
}

TEST_F_TIMEOUT(faults, listen_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk(_metadata, self, scene_listen, listen_meets);
}

static const char *const path_meets[] = {
	"bind",	 "chmod",  "connect", "epoll_create1", "fchmod", "fchownat", "flock",
	"fstat", "listen", "lstat",   "open",	       "socket", "unlink",   NULL,
};

/* Names in the directory beside the lock. */
static int nr_left(const char *directory)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;
	int nr = 0;

	while (dir && (entry = readdir(dir)))
		nr += entry->d_name[0] != '.' && strcmp(entry->d_name, "s.lock");
	if (dir)
		closedir(dir);
	return nr;
}

/* A path at which a listener has died before. */
static int scene_path(FIXTURE_DATA(faults) *self)
{
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.flags = SHMUX_LISTENER_UID | SHMUX_LISTENER_GID,
		.mode = 0660,
		.uid = geteuid(),
		.gid = getegid(),
	};
	struct sockaddr_un old = { .sun_family = AF_UNIX };
	const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct shmux_listener *l;
	struct stat st;
	char address[NAME_SIZE + 16];
	int fd, ret;

	snprintf(old.sun_path, sizeof(old.sun_path), "%s/s", self->directory);
	unlink(old.sun_path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&old, sizeof(old)) ||
	    utimensat(AT_FDCWD, old.sun_path, long_ago, 0))
		return WRONG("no socket to find");
	close(fd);
	snprintf(address, sizeof(address), "memfd:%s/s", self->directory);

	ret = LIB(shmux_listener_open(address, &options, &l));
	if (!ret && (lstat(old.sun_path, &st) || (st.st_mode & 0777) != 0660))
		return WRONG("whoever may connect is not who was to");
	if (!ret)
		LIB_VOID(shmux_listener_close(l));
	end_plan();
	/* When all else fails as well, it may be impossible to clear up. */
	if (ret && last.failed == 1 && !lstat(old.sun_path, &st) && st.st_mtime != 1)
		return WRONG("half a listener is left");
	if (!last.failed && nr_left(self->directory))
		return WRONG("the path is left");
	return ret;
}

TEST_F_TIMEOUT(faults, listen_at_a_path_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	ASSERT_EQ(0, directory_make(self->directory));
	umask(077);
	walk(_metadata, self, scene_path, path_meets);
	EXPECT_EQ(0, nr_left(self->directory));
	directory_remove(self->directory);
}

/* --- accepting ------------------------------------------------------------------ */

static const char *const accept_meets[] = {
	"accept4",	"aligned_alloc", "calloc",  "epoll_ctl", "epoll_wait", "getsockopt",
	"memfd_create", "mmap",		 "recvmsg", "sendmsg",	 NULL,
};

/* Dial until it works; there is always somebody who listens. */
static int64_t side_knock(struct side *side)
{
	char buf[SMALL] = "knock";
	int ret = 0, tries;

	for (tries = 0; tries < 100; tries++) {
		struct shmux_session *s;
		struct shmux_stream *st;

		ret = shmux_session_dial(side->in, OPTIONS, shmux_now() + 5 * SEC, &s);
		if (ret && !is_sensible(ret, -ret))
			return ret;
		if (ret == -ETIMEDOUT)
			return ret;
		if (ret)
			continue;
		ret = shmux_session_open(s, 0, &st);
		if (!ret) {
			ret = (int)shmux_stream_write(st, buf, SMALL);
			if (ret == SMALL)
				ret = (int)shmux_stream_read(st, buf, SMALL);
			if (ret == SMALL)
				ret = 0;
			else if (ret >= 0) /* its end, for it could not be served */
				ret = -ECONNRESET;
			shmux_stream_close(st);
		}
		shmux_session_close(s, 0);
		if (!ret)
			return 0;
		if (other_ret(ret))
			return ret;
	}
	return ret;
}

/* The near end of a knock. */
static int answer(struct shmux_stream *st)
{
	char buf[SMALL];
	ssize_t n = LIB(shmux_stream_read(st, buf, sizeof(buf)));

	if (n == SMALL)
		n = LIB(shmux_stream_write(st, buf, SMALL));
	if (n == SMALL)
		n = LIB(shmux_stream_read(st, buf, sizeof(buf)));
	LIB_VOID(shmux_stream_close(st));
	return n < 0 ? (int)n : 0;
}

/* Accept and answer once, in whichever way. Return: 0, -EAGAIN, or an error. */
static int accept_one(FIXTURE_DATA(faults) *self)
{
	unsigned int flags = self->blocking ? 0 : SHMUX_NOWAIT;
	struct shmux_session *s;
	struct shmux_stream *st;
	int ret;

	if (!self->by_session) {
		ret = LIB(shmux_listener_accept(self->listener, flags, &st));
		return ret ? ret : answer(st);
	}
	ret = LIB(shmux_listener_accept_session(self->listener, flags, &s));
	if (ret)
		return ret;
	ret = LIB(shmux_session_accept(s, 0, &st));
	if (!ret)
		ret = answer(st);
	LIB(shmux_session_close(s, 0));
	return ret == -ESHUTDOWN ? -ECONNRESET : ret;
}

/* Serve until whoever knocks has been answered. Return: the first error. */
static int serve(FIXTURE_DATA(faults) *self)
{
	struct pollfd pfd = { .fd = shmux_listener_fd(self->listener), .events = POLLIN };
	int ret = 0;

	while (!far_is_done(&self->client)) {
		ret = accept_one(self);
		if (ret != -EAGAIN)
			break;
		poll(&pfd, 1, 5);
	}
	return ret;
}

/* Who connects and says nothing. Return: the socket, or -1. */
static int connect_silently(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	int len = snprintf(addr.sun_path + 1, sizeof(addr.sun_path) - 1, "shmux/%s", name);

	if (connect(fd, (struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) + (socklen_t)len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int scene_accept(FIXTURE_DATA(faults) *self)
{
	int silent = connect_silently(self->near_name);
	char buf[SMALL] = "guest";
	bool blocking = self->blocking;
	int64_t seen;
	int ret;

	if (silent < 0)
		return WRONG("nobody listens at the name");
	/* Who has said hello before it is looked at is not watched: another is. */
	far_begin(&self->client, side_knock, self->near_name, sizeof(self->near_name), 0);
	ret = serve(self);

	/* Without faults, whoever is there still is served. */
	end_plan();
	self->blocking = false;
	while (!far_is_done(&self->client))
		serve(self);
	close(silent);
	/* It takes note of who has gone. */
	for (int i = 0; i < 3; i++)
		if (accept_one(self) != -EAGAIN)
			return WRONG("somebody else is there");
	self->blocking = blocking;
	seen = far_finish(&self->client, NULL);
	if (seen) {
		fprintf(stderr, "# who knocked saw %lld\n", (long long)seen);
		return WRONG("it saw no clean end");
	}
	if (self->guest_stream && (shmux_stream_write(self->guest_stream, buf, SMALL) != SMALL ||
				   shmux_stream_read(self->guest_stream, buf, SMALL) != SMALL))
		return WRONG("a guest of before is no longer served");
	return ret == -EAGAIN ? 0 : ret;
}

/* A stream that stays, and echoes. */
static int64_t side_visit(struct side *side)
{
	SIDE_EQ(0,
		shmux_session_dial(side->in, OPTIONS, shmux_now() + LONG_ENOUGH, &side->session));
	SIDE_EQ(0, shmux_session_open(side->session, 0, &side->stream));
	return side_echo(side);
}

/* Walk through an accept, with a guest of that listener's looking on. */
static void walk_accept(struct __test_metadata *_metadata, FIXTURE_DATA(faults) *self,
			bool by_session, bool blocking)
{
	name_make(self->near_name);
	ASSERT_EQ(0, far_start(&self->client, FAR_CHILD));
	ASSERT_EQ(0, far_start(&self->guest, FAR_CHILD));
	ASSERT_EQ(0, shmux_listener_open(self->near_name, NULL, &self->listener));
	shmux_listener_set_deadline(self->listener, shmux_now() + EFFORT_TIMEOUT * SEC);
	far_begin(&self->guest, side_visit, self->near_name, sizeof(self->near_name), 0);
	if (by_session) {
		ASSERT_EQ(0,
			  shmux_listener_accept_session(self->listener, 0, &self->guest_session));
		ASSERT_EQ(0, shmux_session_accept(self->guest_session, 0, &self->guest_stream));
	} else {
		ASSERT_EQ(0, shmux_listener_accept(self->listener, 0, &self->guest_stream));
	}
	self->by_session = by_session;
	self->blocking = blocking;

	walk(_metadata, self, scene_accept, accept_meets);

	shmux_stream_close(self->guest_stream);
	shmux_session_close(self->guest_session, 0);
	shmux_listener_close(self->listener);
	far_finish(&self->guest, NULL);
	EXPECT_EQ(0, far_stop(&self->guest));
	EXPECT_EQ(0, far_stop(&self->client));
}

TEST_F_TIMEOUT(faults, accept_of_a_stream_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk_accept(_metadata, self, false, true);
}

TEST_F_TIMEOUT(faults, accept_of_a_session_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk_accept(_metadata, self, true, true);
}

TEST_F_TIMEOUT(faults, accept_in_an_event_loop_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	walk_accept(_metadata, self, false, false);
}

TEST_F_TIMEOUT(faults, accept_of_a_session_in_an_event_loop_fails_cleanly_at_each_call,
	       EFFORT_TIMEOUT)
{
	walk_accept(_metadata, self, true, false);
}

/* --- signals ------------------------------------------------------------------ */

#define WINDOW 65536

FIXTURE(storm)
{
	struct pair pair;
	struct far *far;
	struct shmux_stream *st;
	char name[NAME_SIZE];
	struct far third; /* listens or dials, where that is needed */
	struct shmux_listener *listener;
	struct shmux_context *context;
	struct shmux_span span;
};

FIXTURE_SETUP(storm)
{
	name_make(self->name);
	ASSERT_EQ(0, far_start(&self->third, FAR_CHILD));
	ASSERT_EQ(0, pair_open(&self->pair, PAIR_TWO_PROCESSES, NULL,
			       SESSION_OPTIONS(.window = WINDOW)));
	ASSERT_EQ(0, pair_open_stream(&self->pair, 0, &self->st));
	self->far = &self->pair.far;
}

FIXTURE_TEARDOWN(storm)
{
	shmux_stream_close(self->st);
	shmux_context_close(self->context);
	shmux_listener_close(self->listener);
	PAIR_TEARDOWN(&self->pair);
	if (_metadata->aborted)
		far_kill(&self->third);
	else
		EXPECT_EQ(0, far_stop(&self->third));
}

static long nr_signals;

static void on_signal(int signal)
{
	(void)signal;
	__atomic_add_fetch(&nr_signals, 1, __ATOMIC_RELAXED);
}

/* Call @fn, with signals coming in until it is let go. Return: what it returned. */
static int64_t weather(struct __test_metadata *_metadata, FIXTURE_DATA(storm) *self, worker_fn fn,
		       void (*let_go)(FIXTURE_DATA(storm) *self))
{
	struct sigaction action = { .sa_handler = on_signal };
	struct worker worker;
	int64_t ret;

	sigaction(SIGUSR1, &action, NULL);
	nr_signals = 0;
	worker_start(&worker, fn, self);
	EXPECT_TRUE(worker_wait_blocked(&worker));
	for (int i = 1; i <= 300; i++) {
		pthread_kill(worker.thread, SIGUSR1);
		if (i % 30 == 0)
			EXPECT_TRUE(worker_wait_blocked(&worker));
	}
	EXPECT_LT(5, nr_signals);
	let_go(self);
	ret = worker_join(&worker);
	signal(SIGUSR1, SIG_DFL);
	return ret;
}

static void far_says_more(FIXTURE_DATA(storm) *self)
{
	static const char buf[100] = "";

	far_write(self->far, buf, sizeof(buf));
}

static int64_t wait_read(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	char buf[200];

	return shmux_stream_read(self->st, buf, sizeof(buf));
}

static int64_t wait_read_all(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	char buf[100];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };

	return shmux_stream_recv(self->st, &iov, 1, SHMUX_WAITALL);
}

static int64_t wait_peek(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	const void *data;
	int64_t n = shmux_stream_peek(self->st, 100, &data);

	return n == 100 ? shmux_stream_discard(self->st, 100) : n;
}

static int64_t wait_take(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	struct shmux_view view;
	int64_t n = shmux_stream_take(self->st, &view, 0);

	shmux_stream_release(self->st, &view);
	return n;
}

static int64_t wait_discard(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;

	return shmux_stream_discard(self->st, 100);
}

TEST_F(storm, does_not_end_a_call_that_waits_to_read)
{
	EXPECT_EQ(100, weather(_metadata, self, wait_read, far_says_more));
	EXPECT_EQ(100, weather(_metadata, self, wait_read_all, far_says_more));
	EXPECT_EQ(100, weather(_metadata, self, wait_peek, far_says_more));
	EXPECT_EQ(100, weather(_metadata, self, wait_take, far_says_more));
	EXPECT_EQ(100, weather(_metadata, self, wait_discard, far_says_more));
}

static int64_t wait_write(void *arg)
{
	static char buf[10 * WINDOW];
	FIXTURE_DATA(storm) *self = arg;

	pattern_fill(buf, sizeof(buf), 0, 1);
	return shmux_stream_write(self->st, buf, sizeof(buf));
}

static void far_reads_all(FIXTURE_DATA(storm) *self)
{
	struct bulk bulk = { .len = 10 * WINDOW, .piece = 1000, .seed = 1 };

	if (far_call(self->far, side_bulk_read, &bulk, sizeof(bulk), NULL, 0) != 10 * WINDOW)
		fprintf(stderr, "# other bytes came\n");
}

static int64_t wait_reserve(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;

	return shmux_stream_reserve(self->st, 30000, &self->span, 0);
}

static int64_t side_read_much(struct side *side)
{
	char buf[WINDOW];

	while (shmux_stream_try_read(side->stream, buf, sizeof(buf)) > 0)
		;
	return 0;
}

static void far_reads_much(FIXTURE_DATA(storm) *self)
{
	far_run(self->far, side_read_much);
}

TEST_F(storm, does_not_end_a_call_that_waits_to_write)
{
	static char buf[4096];

	EXPECT_EQ(10 * WINDOW, weather(_metadata, self, wait_write, far_reads_all));
	for (int i = 0; i < 100; i++)
		if (shmux_stream_try_write(self->st, buf, sizeof(buf)) <= 0)
			far_pump(self->far);
	EXPECT_EQ(0, weather(_metadata, self, wait_reserve, far_reads_much));
	shmux_stream_cancel(self->st, &self->span);
}

static int64_t wait_accept(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	struct shmux_stream *st;
	int64_t ret = shmux_session_accept(self->pair.session, 0, &st);

	if (!ret)
		shmux_stream_close(st);
	return ret;
}

static void far_opens(FIXTURE_DATA(storm) *self)
{
	far_open(self->far, 0);
}

static int64_t wait_ping(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;

	return shmux_session_ping(self->pair.session, SHMUX_NEVER, NULL);
}

static void far_pumps(FIXTURE_DATA(storm) *self)
{
	far_pump(self->far);
}

static int64_t wait_drain(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;

	return shmux_session_drain(self->pair.session, SHMUX_NEVER);
}

static int64_t side_close_all(struct side *side)
{
	while (side->nr_streams)
		shmux_stream_close(side->streams[--side->nr_streams]);
	shmux_stream_close(side->stream);
	side->stream = NULL;
	return 0;
}

static void far_closes(FIXTURE_DATA(storm) *self)
{
	far_run(self->far, side_close_all);
}

TEST_F(storm, does_not_end_a_call_that_waits_for_the_session)
{
	EXPECT_EQ(0, weather(_metadata, self, wait_accept, far_opens));
	EXPECT_EQ(0, weather(_metadata, self, wait_ping, far_pumps));
	EXPECT_EQ(0, weather(_metadata, self, wait_drain, far_closes));
}

static int64_t wait_listener(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	struct shmux_stream *st;
	int64_t ret = shmux_listener_accept(self->listener, 0, &st);

	if (!ret)
		shmux_stream_close(st);
	return ret;
}

static int64_t side_dial(struct side *side)
{
	SIDE_EQ(0, shmux_session_dial(side->in, NULL, shmux_now() + LONG_ENOUGH, &side->session));
	return shmux_session_open(side->session, 0, &side->stream);
}

static void third_dials(FIXTURE_DATA(storm) *self)
{
	if (far_call(&self->third, side_dial, self->name, sizeof(self->name), NULL, 0))
		fprintf(stderr, "# the third could not dial\n");
}

static int64_t wait_for_listener(void *arg)
{
	FIXTURE_DATA(storm) *self = arg;
	struct shmux_dial_options options = { .size = sizeof(options), .flags = SHMUX_DIAL_WAIT };
	struct shmux_stream *st;
	int64_t ret = shmux_context_dial(self->context, self->name, &options, &st);

	if (!ret)
		shmux_stream_close(st);
	return ret;
}

static int64_t side_accept_any(struct side *side)
{
	return shmux_listener_accept(side->listener, 0, &side->stream);
}

/* It listens, first of all. */
static void third_accepts(FIXTURE_DATA(storm) *self)
{
	far_call(&self->third, side_listen, self->name, sizeof(self->name), NULL, 0);
	if (far_run(&self->third, side_accept_any))
		fprintf(stderr, "# nobody dialled\n");
}

TEST_F(storm, does_not_end_an_accept)
{
	ASSERT_EQ(0, shmux_listener_open(self->name, NULL, &self->listener));
	EXPECT_EQ(0, weather(_metadata, self, wait_listener, third_dials));
}

TEST_F(storm, does_not_end_a_dial_that_waits_for_a_listener)
{
	ASSERT_EQ(0, shmux_context_open(NULL, &self->context));
	EXPECT_EQ(0, weather(_metadata, self, wait_for_listener, third_accepts));
}

static void third_accepts_now(FIXTURE_DATA(storm) *self)
{
	if (far_run(&self->third, side_accept_any))
		fprintf(stderr, "# nobody dialled\n");
}

TEST_F(storm, does_not_end_a_dial_that_waits_to_be_accepted)
{
	ASSERT_EQ(0, far_call(&self->third, side_listen, self->name, sizeof(self->name), NULL, 0));
	ASSERT_EQ(0, shmux_context_open(NULL, &self->context));
	EXPECT_EQ(0, weather(_metadata, self, wait_for_listener, third_accepts_now));
}

static int64_t side_listen_shortly(struct side *side)
{
	struct shmux_listener_options options = { .size = sizeof(options), .backlog = 1 };

	return shmux_listener_open(side->in, &options, &side->listener);
}

TEST_F(storm, does_not_end_a_dial_that_waits_for_a_backlog)
{
	struct shmux_session *s;

	ASSERT_EQ(0, far_call(&self->third, side_listen_shortly, self->name, sizeof(self->name),
			      NULL, 0));
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(-ETIMEDOUT, shmux_session_dial(self->name, NULL, shmux_now(), &s));
	}
	ASSERT_EQ(0, shmux_context_open(NULL, &self->context));
	EXPECT_EQ(0, weather(_metadata, self, wait_for_listener, third_accepts_now));
}

/* --- over a wire ------------------------------------------------------------- */

static const char *const yamux_meets[] = { "calloc", "epoll_create1", "epoll_ctl", "eventfd",
					   "fstat",  "getsockopt",    "malloc",	   "open",
					   "realloc", "recvmsg",    "send",	   "writev",
					   NULL };

/* The other end, by hand: takes a stream with four bytes, and says four. */
static bool answer_by_hand(int in, int out)
{
	static const unsigned char pong[] = "\0\0\0\2\0\0\0\1\0\0\0\4pong";
	unsigned char ping[28];
	size_t len = 0;
	ssize_t n;

	while (len < sizeof(ping) && (n = read(in, ping + len, sizeof(ping) - len)) > 0)
		len += (size_t)n;
	return len == sizeof(ping) && !memcmp(ping + 24, "ping", 4) &&
	       write(out, pong, sizeof(pong) - 1) == sizeof(pong) - 1;
}

static int talk_yamux(struct shmux_session *s, int in, int out)
{
	struct shmux_stream *st;
	struct shmux_event events[4];
	char buf[4];
	ssize_t n;
	int ret = LIB(shmux_session_open(s, 0, &st));

	if (ret)
		return ret;
	n = LIB(shmux_stream_write(st, "ping", 4));
	if (n == 4)
		n = LIB(shmux_session_fd(s));
	if (n >= 0)
		n = LIB(shmux_session_pump(s, events, 4));
	if (n >= 0 && LIB(shmux_session_state(s)) == SHMUX_SESSION_DEAD)
		n = -ECONNRESET;
	if (n >= 0 && !answer_by_hand(in, out))
		n = WRONG("no ping came");
	if (n >= 0)
		n = LIB(shmux_stream_read(st, buf, sizeof(buf)));
	ret = n == 4 ? 0 : n < 0 ? (int)n : WRONG("no pong came");
	LIB_VOID(shmux_stream_close(st));
	return ret;
}

static int scene_yamux(FIXTURE_DATA(faults) *self)
{
	int in[2], out[2], ret;
	struct shmux_session *s;

	if (self->role == SHMUX_ROLE_DIALLER) {
		if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC))
			return WRONG("no pipes");
		ret = LIB(shmux_session_yamux(in[0], out[1], SHMUX_ROLE_DIALLER, OPTIONS, &s));
	} else {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, in))
			return WRONG("no sockets");
		out[0] = dup(in[1]);
		ret = LIB(shmux_session_yamux(in[0], in[0], SHMUX_ROLE_DIALLER, OPTIONS, &s));
	}
	if (!ret) {
		ret = talk_yamux(s, out[0], in[1]);
		LIB(shmux_session_close(s, 0));
	}
	close(in[1]);
	close(out[0]);
	return ret;
}

static const char *const no_meets[] = { NULL };

TEST_F_TIMEOUT(faults, yamux_fails_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	self->role = SHMUX_ROLE_DIALLER;
	walk(_metadata, self, scene_yamux, no_meets);
	self->role = SHMUX_ROLE_ACCEPTOR;
	walk(_metadata, self, scene_yamux, yamux_meets);
}

/* --- nothing is left out ---------------------------------------------------- */

/* --- by address, over a wire ------------------------------------------------- */

static const char *const port_meets[] = {
	"accept4", "bind",   "calloc",	"connect", "getaddrinfo", "getsockname", "getsockopt",
	"listen",  "malloc", "setsockopt", "socket",  NULL,
};

/* A listener, who dials it, and both ends of their session. */
static int scene_port(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *near = NULL, *far = NULL;
	struct shmux_session_options options = *OPTIONS;
	struct shmux_listener_options o = { .size = sizeof(o), .session = &options };
	struct shmux_listener *l;
	char address[NAME_SIZE + 16] = "yamux+tcp:127.0.0.1:0";
	int ret;

	options.keepalive = SEC;
	if (self->directory[0])
		snprintf(address, sizeof(address), "yamux+unix:%s/w", self->directory);
	ret = LIB(shmux_listener_open(address, &o, &l));
	if (ret)
		return ret;
	shmux_listener_set_deadline(l, shmux_now() + SEC);
	ret = LIB(shmux_session_dial(shmux_listener_address(l), &options, shmux_now() + SEC,
				     &near));
	if (!ret)
		ret = LIB(shmux_listener_accept_session(l, 0, &far));
	/* The connection is there still, or is lost with what was to be had for it. */
	if (ret == -ETIMEDOUT && planned && fail->report().failed)
		ret = -ECONNRESET;
	/* Who is not known is not accepted. */
	if (ret == -EACCES && self->directory[0])
		ret = -ECONNRESET;
	LIB(shmux_session_close(near, 0));
	LIB(shmux_session_close(far, 0));
	LIB_VOID(shmux_listener_close(l));
	return ret;
}

TEST_F_TIMEOUT(faults, ports_and_paths_of_yamux_fail_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	self->slow = true;
	walk(_metadata, self, scene_port, port_meets);
	ASSERT_EQ(0, directory_make(self->directory));
	walk(_metadata, self, scene_port, (const char *const[]){ "connect", "accept4", NULL });
	directory_remove(self->directory);
}

static const char *const child_meets[] = { "calloc", "malloc", "socketpair", "syscall", NULL };

/* One who answers what we say with the same: with nonsense. */
static int scene_child(FIXTURE_DATA(faults) *self)
{
	struct shmux_stream *st, *none;
	struct shmux_session *s;
	int ret = LIB(shmux_session_dial("exec:cat", OPTIONS, shmux_now() + SEC, &s));

	(void)self;
	if (ret)
		return ret;
	shmux_session_set_deadline(s, shmux_now() + 50 * MSEC);
	ret = LIB(shmux_session_open(s, 0, &st));
	if (!ret) {
		/* What it never gets it does not answer. */
		ret = LIB(shmux_session_accept(s, 0, &none)) == -EPROTO ? 0 : -ECONNRESET;
		LIB_VOID(shmux_stream_close(st));
		LIB_VOID(shmux_session_child_status(s, shmux_now() + 20 * MSEC, NULL, NULL));
	}
	LIB(shmux_session_close(s, shmux_now() + 50 * MSEC));
	return ret;
}

static const char *const stdio_meets[] = { "calloc", "fcntl", "open", NULL };

/* Our own standard input and output, for a moment. */
static int scene_stdio(FIXTURE_DATA(faults) *self)
{
	struct shmux_session *s;
	int saved[2], fds[2], ret;

	(void)self;
	fflush(stdout);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return WRONG("no sockets");
	for (int fd = 0; fd < 2; fd++) {
		saved[fd] = dup(fd);
		dup2(fds[0], fd);
	}
	close(fds[0]);
	ret = LIB(shmux_session_dial("stdio:", OPTIONS, shmux_now() + SEC, &s));
	if (!ret)
		LIB(shmux_session_close(s, 0));
	for (int fd = 0; fd < 2; fd++) {
		dup2(saved[fd], fd);
		close(saved[fd]);
	}
	close(fds[1]);
	return ret;
}

TEST_F_TIMEOUT(faults, children_and_stdio_fail_cleanly_at_each_call, EFFORT_TIMEOUT)
{
	self->slow = true;
	walk(_metadata, self, scene_child, child_meets);
	walk(_metadata, self, scene_stdio, stdio_meets);
}

static const char *const *const all_meets[] = {
	dial_meets,   context_meets, backlog_meets, open_meets,	 receive_meets,
	events_meets, sleep_meets,   attach_meets,  listen_meets, path_meets,
	accept_meets, yamux_meets,   port_meets,    child_meets,  stdio_meets,
};

/* What the library imports and no walk goes through, and why not. */
static const struct {
	const char *name;
	const char *reason;
} spared[] = {
	{ "clock_gettime", "CLOCK_MONOTONIC is always there" },
	{ "dup2", "onto a descriptor that is open" },
	{ "dup3", "onto a descriptor of our own; who waits for the end has it at close" },
	{ "environ", "is no function" },
	{ "free", "returns nothing" },
	{ "freeaddrinfo", "returns nothing" },
	{ "getegid", "cannot fail" },
	{ "geteuid", "cannot fail" },
	{ "getpid", "cannot fail" },
	{ "getppid", "cannot fail" },
	{ "getrandom", "anything will do" },
	{ "getrlimit", "the limit exists, and is our own" },
	{ "inet_pton", "an answer is all that matters" },
	{ "ioctl", "what the module answers is kmod/failnth's matter; others know none" },
	{ "isatty", "an answer is all that matters, and none is a no" },
	{ "kill", "one of our own, which has not been waited for" },
	{ "memcpy", "cannot fail" },
	{ "memmove", "cannot fail" },
	{ "memset", "cannot fail" },
	{ "munmap", "whole mappings; if one stays nobody can do anything about it" },
	{ "prctl", "of what every kernel has" },
	{ "pthread_atfork", "is linked in, not imported; listen hands its error on" },
	{ "pthread_mutex_lock", "a plain mutex, used as it should be" },
	{ "pthread_mutex_unlock", "likewise" },
	{ "pthread_once", "cannot fail" },
	{ "pthread_sigmask", "cannot fail as it is used" },
	{ "readlink", "an answer is all that matters, and none is a no" },
	{ "read", "our own eventfds, which do not block, and say no more than that" },
	{ "readv", "pipes and terminals, as recvmsg" },
	{ "sched_yield", "cannot fail" },
	{ "shutdown", "fails when nobody is there to be told" },
	{ "sigaction", "what it says of signals that are not there is no matter" },
	{ "sigaddset", "cannot fail" },
	{ "sigemptyset", "cannot fail" },
	{ "sigfillset", "cannot fail" },
	{ "sigismember", "cannot fail" },
	{ "sigpending", "cannot fail" },
	{ "sigtimedwait", "finds no signal, at worst" },
	{ "snprintf", "plain conversions" },
	{ "sprintf", "plain conversions" },
	{ "strchr", "cannot fail" },
	{ "strchrnul", "cannot fail" },
	{ "strcmp", "cannot fail" },
	{ "strcpy", "cannot fail" },
	{ "strcspn", "cannot fail" },
	{ "strlen", "cannot fail" },
	{ "strncmp", "cannot fail" },
	{ "strnlen", "cannot fail" },
	{ "strrchr", "cannot fail" },
	{ "strtoul", "of the kernel's numbers; what is none is looked at" },
	{ "timerfd_settime", "our own, with a time that is right" },
	{ "vfork", "returns twice, so nobody can stand before it; its error is handed on" },
	{ "vsnprintf", "plain conversions" },
	{ "waitid", "one of our own; that another has waited for it is lib/child's" },
	{ "waitpid", "one of our own, which is about to end" },
	{ "write", "our own eventfds, which are never full" },
};

static bool is_walked(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(all_meets); i++)
		for (const char *const *meets = all_meets[i]; *meets; meets++)
			if (!strcmp(*meets, name))
				return true;
	return false;
}

static bool is_spared(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(spared); i++)
		if (!strcmp(spared[i].name, name))
			return true;
	return name[0] == '_'; /* the compiler's, the linker's, errno */
}

FIXTURE(imports)
{
	FILE *nm;
};

FIXTURE_SETUP(imports)
{
	char archive[4096], command[4200];

	self->nm = NULL;
	path_beside(archive, sizeof(archive), "../../libshmux.a");
	if (access(archive, R_OK))
		SKIP_TEST("the library is not at hand, only what is linked with it");
	snprintf(command, sizeof(command), "nm -u '%s' | sed -n 's/^ *U //p' | sort -u", archive);
	self->nm = popen(command, "re");
	ASSERT_NE(NULL, self->nm);
}

FIXTURE_TEARDOWN(imports)
{
	if (self->nm)
		EXPECT_EQ(0, pclose(self->nm));
}

TEST_F(imports, are_each_walked_through_or_cannot_fail)
{
	char name[256];
	int nr = 0;

	while (fgets(name, sizeof(name), self->nm)) {
		name[strcspn(name, "\n")] = 0;
		if (!strncmp(name, "shmux_", 6))
			continue;
		nr++;
		EXPECT_NE(is_walked(name), is_spared(name)) {
			TH_LOG("%s", name);
		}
		EXPECT_EQ(is_walked(name), fail->knows(name)) {
			TH_LOG("%s", name);
		}
	}
	EXPECT_LT(40, nr);
}

TEST_HARNESS_MAIN
