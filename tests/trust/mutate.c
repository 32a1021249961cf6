// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * mutate.c - a hostile peer that scribbles at random while it is read
 *
 * A scribbler (scribbler.h) in a child is the peer; the victim does here what
 * applications do, and has a friend beside. In lockstep they take turns, so that
 * a seed does just the same again; at once the scribbler does not wait. Whatever
 * happens, a call returns what it may return, in bounded time; the session ends
 * with -EPROTO at worst; what the friend echoes is right, and none of it is in
 * the region that the scribbler can read.
 */
#include <linux/futex.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "foe.h"
#include "scribbler.h"

/* A million in all, by both ways of joining; ten under stress. */
#define EFFORT (effort_is_stress() ? 10u : 1u)
#define LOCKSTEP_STEPS effort_count(400 * 1000 * EFFORT)
#define STEPS_AT_ONCE effort_count(100 * 1000 * EFFORT)
#define SESSION_STEPS 1000 /* then another one */
#define ROUND_MAX 12 /* steps between two turns of the victim */

#define SECRET "this is between the victim and its friend"

/* What victim and scribbler share, beside the session. */
struct desk {
	uint64_t seed, step;
	uint32_t turn; /* futex: 0 the victim's, 1 the scribbler's */
	uint32_t nr; /* steps in this turn */
	uint32_t calls; /* that the victim has made */
	bool part;
	/* The scribbler's answers. */
	bool appalled, saw_secret;
	uint64_t made[SCRIBBLER_NR_KINDS];
};

static struct desk *desk;

/* --- turns ---------------------------------------------------------------- */

static void turn_pass(uint32_t to)
{
	shmux_store_release(&desk->turn, to);
	syscall(SYS_futex, &desk->turn, FUTEX_WAKE, 1, NULL, NULL, 0);
}

/* Return: whether it came. */
static bool turn_wait(uint32_t mine)
{
	struct timespec slice = { .tv_sec = 20 };
	int i;

	for (i = 0; i < 20; i++) {
		if (shmux_load_acquire(&desk->turn) == mine)
			return true;
		sched_yield();
	}
	for (i = 0; i < 3 && shmux_load_acquire(&desk->turn) != mine; i++)
		syscall(SYS_futex, &desk->turn, FUTEX_WAIT, !mine, &slice, NULL, 0);
	return shmux_load_acquire(&desk->turn) == mine;
}

/* --- the scribbler's process ---------------------------------------------- */

static void look_for_secret(struct shmux_session *s)
{
	const struct shmux__region *r = attacker_shm(s)->region;

	desk->saw_secret |= memmem(r->peer, r->peer_size, SECRET, strlen(SECRET)) != NULL;
}

static int64_t side_scribble_in_turn(struct side *side)
{
	struct scribbler sc;

	scribbler_begin(&sc, side->session, desk->seed ^ desk->step);
	while (turn_wait(1) && !desk->part) {
		/* Not always, so that rings fill up, too. */
		if (desk->nr & 1)
			scribbler_hear(&sc);
		for (uint32_t i = 0; i < desk->nr; i++)
			desk->made[scribbler_step(&sc, desk->seed, desk->step++)]++;
		attacker_publish(side->session);
		turn_pass(0);
	}
	look_for_secret(side->session);
	desk->appalled |= sc.appalled;
	turn_pass(0);
	return 0;
}

/*
 * Until the victim has made another call. Else one that is kept from its CPU would
 * find all that a session is worth there at once, and a breach among it.
 */
static void let_it_call(void)
{
	uint32_t calls = shmux_load_relaxed(&desk->calls);
	uint64_t until = shmux_now() + 20 * MSEC;

	while (shmux_load_relaxed(&desk->calls) == calls && shmux_now() < until)
		sched_yield();
}

/* Without end, as far as the victim can tell. */
static int64_t side_scribble_at_once(struct side *side)
{
	struct shmux_session *s = side->session;
	struct scribbler sc;
	uint32_t i;

	scribbler_begin(&sc, s, desk->seed ^ desk->step);
	for (i = 0; i < SESSION_STEPS; i++) {
		if (i % 16 == 0) {
			attacker_publish(s);
			if (s->link->ops->check_alive(s->link))
				break;
			sched_yield();
		}
		if (i % 64 == 63)
			let_it_call();
		desk->made[scribbler_step(&sc, desk->seed, desk->step++)]++;
		if (i % 8 == 0)
			scribbler_hear(&sc);
	}
	attacker_publish(s);
	look_for_secret(s);
	desk->appalled |= sc.appalled;
	return i;
}

/* --- the victim's process ------------------------------------------------- */

#define NR_STREAMS 24
#define NR_VIEWS 6
#define NR_SPANS 3

struct victim {
	struct shmux_session *s;
	uint64_t random;
	uint64_t patience; /* ns that a blocked call waits */
	struct shmux_stream *streams[NR_STREAMS];
	uint32_t nr_streams;
	struct shmux_stream *others;	/* another thread's */
	struct {
		struct shmux_stream *st;
		struct shmux_view view;
	} views[NR_VIEWS];
	struct {
		struct shmux_stream *st;
		struct shmux_span span;
	} spans[NR_SPANS];
	const char *call; /* the last one */
	ssize_t wrong; /* what it returned, if it may not */
	uint64_t nr_calls, longest, most_frames, sum;
};

static char buffer[70000];

static uint32_t pick(struct victim *v, uint32_t n)
{
	return random_between(&v->random, 0, n - 1);
}

static size_t pick_size(struct victim *v)
{
	static const size_t sizes[] = { 1, 5, 64, 65, 300, 1024, 4096, 9000, 16384, 70000 };

	return sizes[pick(v, ARRAY_SIZE(sizes))];
}

static struct shmux_stream *pick_stream(struct victim *v)
{
	return v->nr_streams ? v->streams[pick(v, v->nr_streams)] : NULL;
}

static void keep(struct victim *v, struct shmux_stream *st)
{
	if (v->nr_streams == NR_STREAMS) {
		shmux_stream_close(st);
		return;
	}
	shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, PAST);
	v->streams[v->nr_streams++] = st;
}

static void let_go_of(struct victim *v, struct shmux_stream *st)
{
	uint32_t i;

	for (i = 0; i < NR_VIEWS; i++)
		if (v->views[i].st == st || !st) {
			if (v->views[i].st)
				shmux_stream_release(v->views[i].st, &v->views[i].view);
			v->views[i].st = NULL;
		}
	for (i = 0; i < NR_SPANS; i++)
		if (v->spans[i].st == st || !st) {
			if (v->spans[i].st)
				shmux_stream_cancel(v->spans[i].st, &v->spans[i].span);
			v->spans[i].st = NULL;
		}
}

static void close_one(struct victim *v, uint32_t i)
{
	let_go_of(v, v->streams[i]);
	shmux_stream_close(v->streams[i]);
	v->streams[i] = v->streams[--v->nr_streams];
}

/* A result that is no count is one of the documented errors. */
static ssize_t returned(struct victim *v, const char *call, ssize_t ret, size_t most)
{
	v->call = call;
	if (!may_be(ret) || (ret > 0 && (size_t)ret > most))
		v->wrong = ret;
	return ret;
}

#define CALL(v, most, call) returned(v, #call, call, most)

static void pump(struct victim *v)
{
	struct shmux_event events[6];
	int n = 1 + (int)pick(v, 6), i;
	uint32_t k;

	n = (int)CALL(v, (size_t)n, shmux_session_pump(v->s, events, n));
	for (i = 0; i < n; i++) {
		if (!events[i].stream || events[i].stream == v->others)
			continue;
		/* Only handles that are open. */
		for (k = 0; k < v->nr_streams && v->streams[k] != events[i].stream; k++)
			;
		if (k == v->nr_streams) {
			v->call = "pump, which names a stream that is closed";
			v->wrong = i + 1;
		} else if (events[i].events & SHMUX_EVENT_READ) {
			CALL(v, 5000, shmux_stream_try_read(events[i].stream, buffer, 5000));
		}
	}
}

/* Read @n bytes where they lie: in private memory, or in the arena and no further. */
static void look_at(struct victim *v, const void *data, ssize_t n)
{
	const struct shmux__shm *shm = shmux__shm(v->s->link);
	const uint8_t *byte = data;
	size_t at = (size_t)((const char *)data - shm->peer_data);

	if (n > 0 && at < shm->region->peer_size &&
	    (at < shm->peer_arena_offset ||
	     at + (size_t)n > shm->peer_arena_offset + shm->peer_arena_size)) {
		v->call = "peek or take, which show what is not in the arena";
		v->wrong = n;
		return;
	}
	for (ssize_t i = 0; i < n; i++)
		v->sum += byte[i];
}

/* Receiving on a stream. */
static void receive(struct victim *v, struct shmux_stream *st)
{
	struct iovec iov[2] = {
		{ .iov_base = buffer, .iov_len = pick_size(v) % 30000 },
		{ .iov_base = buffer + 30000, .iov_len = pick_size(v) % 30000 },
	};
	size_t both = iov[0].iov_len + iov[1].iov_len, size = pick_size(v);
	const void *data = NULL;
	uint32_t i = pick(v, NR_VIEWS);
	ssize_t n;

	switch (pick(v, 9)) {
	case 0:
		CALL(v, size, shmux_stream_read(st, buffer, size));
		break;
	case 1:
		CALL(v, size, shmux_stream_try_read(st, buffer, size));
		break;
	case 2:
		CALL(v, both, shmux_stream_recv(st, iov, 2, SHMUX_WAITALL));
		break;
	case 3:
		CALL(v, both, shmux_stream_recv(st, iov, 2, SHMUX_NOWAIT));
		break;
	case 4:
		if (size > shmux_stream_peek_max(st))
			size = shmux_stream_peek_max(st);
		n = CALL(v, SIZE_MAX, shmux_stream_peek(st, size, &data));
		look_at(v, data, n);
		break;
	case 5:
		CALL(v, SIZE_MAX, shmux_stream_discard(st, size));
		break;
	case 6:
		if (v->views[i].st) {
			shmux_stream_release(v->views[i].st, &v->views[i].view);
			v->views[i].st = NULL;
		} else if (CALL(v, SIZE_MAX, shmux_stream_take(st, &v->views[i].view, 0)) >= 0) {
			v->views[i].st = st;
			look_at(v, v->views[i].view.data, (ssize_t)v->views[i].view.len);
		}
		break;
	case 7:
		CALL(v, SIZE_MAX, shmux_stream_next_len(st));
		break;
	case 8:
		CALL(v, 64, shmux_stream_read(st, buffer, 1 + pick(v, 64)));
		break;
	}
}

static void transmit(struct victim *v, struct shmux_stream *st)
{
	struct iovec iov = { .iov_base = buffer, .iov_len = pick_size(v) };
	uint32_t i = pick(v, NR_SPANS);
	size_t size = iov.iov_len;

	switch (pick(v, 7)) {
	case 0:
		CALL(v, size, shmux_stream_write(st, buffer, size));
		break;
	case 1:
		CALL(v, size, shmux_stream_try_write(st, buffer, size));
		break;
	case 2:
		CALL(v, size, shmux_stream_send(st, &iov, 1, SHMUX_MORE | SHMUX_NOWAIT));
		break;
	case 3:
		CALL(v, 64, shmux_stream_write(st, buffer, 1 + pick(v, 64)));
		break;
	case 4:
		if (!pick(v, 8))
			CALL(v, size, shmux_stream_send(st, &iov, 1, SHMUX_FIN));
		break;
	default:
		if (!v->spans[i].st) {
			if (size > shmux_stream_reserve_max(st))
				size = 1;
			if (!CALL(v, 0,
				  shmux_stream_reserve(st, size, &v->spans[i].span,
						       pick(v, 2) ? SHMUX_NOWAIT : 0)))
				v->spans[i].st = st;
		} else if (pick(v, 2)) {
			size = v->spans[i].span.size;
			CALL(v, size,
			     shmux_stream_submit(v->spans[i].st, &v->spans[i].span,
						 pick(v, (uint32_t)size), 0));
			v->spans[i].st = NULL;
		} else {
			shmux_stream_cancel(v->spans[i].st, &v->spans[i].span);
			v->spans[i].st = NULL;
		}
		break;
	}
}

/* Whatever an application may do. */
static void act(struct victim *v)
{
	struct shmux_session_counters counters = { .size = sizeof(counters) };
	struct shmux_stream *st = pick_stream(v), *new;
	uint64_t deadline = v->patience ? shmux_now() + v->patience : PAST;
	uint32_t code, what = pick(v, 40);

	if (st && what < 26) {
		if (v->patience)
			shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, deadline);
		if (what < 16)
			receive(v, st);
		else
			transmit(v, st);
		return;
	}
	switch (what) {
	default:
		pump(v);
		break;
	case 26:
	case 27:
	case 28:
		if (!CALL(v, 0, shmux_session_accept(v->s, SHMUX_NOWAIT, &new)))
			keep(v, new);
		break;
	case 29:
		shmux_session_set_deadline(v->s, deadline);
		if (!CALL(v, 0, shmux_session_accept(v->s, 0, &new)))
			keep(v, new);
		break;
	case 30:
		/* As shmux_session_open(), but for the deadline. */
		if (!CALL(v, 0,
			  shmux__session_open(v->s, pick(v, 2) ? SHMUX_STREAM_MESSAGES : 0,
					      deadline, NULL, &new)))
			keep(v, new);
		break;
	case 31:
		if (st)
			CALL(v, 0, shmux_stream_shutdown(st, 1 + pick(v, 3)));
		break;
	case 32:
		if (st && !pick(v, 4))
			CALL(v, 0, shmux_stream_reset(st, 777));
		break;
	case 33:
		if (st)
			close_one(v, pick(v, v->nr_streams));
		break;
	case 34:
		CALL(v, 0, shmux_session_ping(v->s, deadline, NULL));
		break;
	case 35:
		shmux_session_counters(v->s, &counters);
		if (counters.granted > v->s->options.budget ||
		    counters.rx_queued > v->s->options.budget) {
			v->call = "counters, over the budget";
			v->wrong = (ssize_t)counters.granted;
		}
		break;
	case 36:
		if (st)
			CALL(v, 0, shmux_stream_reset_code(st, &code));
		break;
	case 37:
		shmux_session_cork(v->s);
		if (st)
			transmit(v, st);
		shmux_session_uncork(v->s);
		break;
	case 38:
		CALL(v, 0, shmux_session_drain(v->s, deadline));
		break;
	case 39:
		if (!pick(v, 200))
			CALL(v, 0, shmux_session_go_away(v->s, 5));
		break;
	}
}

/* One call, and what it cost. */
static void act_and_measure(struct victim *v)
{
	uint64_t begun = cpu_time(), frames = v->s->counters.frames_received;

	act(v);
	v->nr_calls++;
	shmux_store_relaxed(&desk->calls, desk->calls + 1);
	begun = cpu_time() - begun;
	frames = v->s->counters.frames_received - frames;
	if (begun > v->longest)
		v->longest = begun;
	if (frames > v->most_frames)
		v->most_frames = frames;
}

/* --- another thread of the victim's ---------------------------------------- */

struct companion {
	struct shmux_stream *st;
	uint32_t stop;
	ssize_t wrong;
};

/* Reads and writes in turn, each for a millisecond at most, until told to stop. */
static int64_t accompany(void *arg)
{
	struct companion *c = arg;
	char some[200] = "";
	ssize_t n;

	while (!shmux_load_acquire(&c->stop) && !c->wrong) {
		shmux_stream_set_deadline(c->st, SHMUX_READ | SHMUX_WRITE, shmux_now() + MSEC);
		n = shmux_stream_read(c->st, some, sizeof(some));
		if (!may_be(n) || n > (ssize_t)sizeof(some))
			c->wrong = n;
		n = shmux_stream_write(c->st, some, sizeof(some));
		if (!may_be(n) || n > (ssize_t)sizeof(some))
			c->wrong = n;
		if (n < 0 && n != -ETIMEDOUT && n != -EPIPE)
			break;
	}
	return 0;
}

/* --- saying where it broke ------------------------------------------------ */

static void say_where(int signal)
{
	static const char *const format = "# signal %d at seed %llu, step %llu\n";

	dprintf(STDERR_FILENO, format, signal, (unsigned long long)desk->seed,
		(unsigned long long)desk->step);
	raise(signal);
}

static void watch_signals(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM };
	struct sigaction action = { .sa_handler = say_where,
				    .sa_flags = SA_RESETHAND | SA_NODEFER };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
		/* The sanitizer says more of these; then it aborts. */
		if (process_is_sanitized() && i < 4)
			continue;
		sigaction(signals[i], &action, NULL);
	}
}

/* --- sessions -------------------------------------------------------------- */

/* Sizes of either side, at random, and small: everything runs out. */
static struct shmux_session_options random_options(uint64_t *random)
{
	static const uint32_t rings[] = { 64, 64, 128, 1024 };
	static const uint32_t windows[] = { 4096, 16384, 65536, 1u << 20 };
	static const uint32_t grants[] = { 64, 256, 256, 4096 };
	struct shmux_session_options options = {
		.size = sizeof(options),
		.ring_slots = rings[random_between(random, 0, 3)],
		.arena_size = random_between(random, 0, 2) ? 65536 : 262144,
		.window = windows[random_between(random, 0, 3)],
		.first_grant = grants[random_between(random, 0, 3)],
		.streams_max = random_between(random, 0, 3) ? 64 : 16,
		.backlog = random_between(random, 4, 20),
		.budget = 1u << 20,
		.peer_size_max = 1u << 20,
		.spin = random_between(random, 0, 1) ? SHMUX_SPIN_NONE : SHMUX_SPIN_ADAPTIVE,
	};

	return options;
}

/* Memory that the victim may have in use: three budgets, and small things. */
#define ALLOWED (3u * (1u << 20) + (256u << 10))

struct tally {
	uint64_t sessions, ended, steps, in_vain, frames, calls, longest, most_frames, most;
};

static void victim_begin(struct victim *v, struct shmux_session *s, uint64_t random,
			 uint64_t patience)
{
	memset(v, 0, sizeof(*v));
	v->s = s;
	v->random = random;
	v->patience = patience;
	if (pick(v, 2))
		shmux_session_fd(s);
}

static void victim_end(struct __test_metadata *_metadata, struct victim *v, struct tally *t)
{
	EXPECT_TRUE(!v->s->error || v->s->error == -EPROTO)
	{
		TH_LOG("the session ended with %d", v->s->error);
	}
	t->sessions++;
	t->ended += v->s->error != 0;
	t->frames += v->s->counters.frames_received;
	t->calls += v->nr_calls;
	if (v->longest > t->longest)
		t->longest = v->longest;
	if (v->most_frames > t->most_frames)
		t->most_frames = v->most_frames;
	/* On a session that is over all calls return, too. */
	for (int i = 0; i < 5; i++)
		act(v);
	let_go_of(v, NULL);
	while (v->nr_streams)
		shmux_stream_close(v->streams[--v->nr_streams]);
}

static void check_call(struct __test_metadata *_metadata, const struct victim *v)
{
	ASSERT_EQ(0, v->wrong)
	{
		TH_LOG("seed %llu, step %llu: %s returned %zd", (unsigned long long)desk->seed,
		       (unsigned long long)desk->step, v->call, v->wrong);
	}
}

/* As check_friend(), with something that the scribbler must never see. */
static void tell_secret(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self)
{
	char buf[700], back[700] = "";
	struct iovec iov = { .iov_base = back, .iov_len = sizeof(back) };

	pattern_fill(buf, sizeof(buf), self->position, 7);
	memcpy(buf + self->position % 600, SECRET, strlen(SECRET));
	shmux_stream_set_deadline(self->friendly, SHMUX_READ | SHMUX_WRITE,
				  shmux_now() + 2 * LONG_ENOUGH);
	ASSERT_EQ(sizeof(buf), shmux_stream_write(self->friendly, buf, sizeof(buf)));
	ASSERT_EQ(sizeof(buf), shmux_stream_recv(self->friendly, &iov, 1, SHMUX_WAITALL));
	ASSERT_EQ(0, memcmp(buf, back, sizeof(buf)));
	self->position += sizeof(buf);
}

static void check_tally(struct __test_metadata *_metadata, const struct tally *t)
{
	uint64_t made = 0;

	for (size_t i = 0; i < SCRIBBLER_NR_KINDS; i++) {
		TH_LOG("%9llu %s", (unsigned long long)desk->made[i], scribbler_mutations[i].name);
		EXPECT_NE(0, desk->made[i]);
		made += desk->made[i];
	}
	TH_LOG("%llu mutations, %llu of them in the round that ended the session",
	       (unsigned long long)made, (unsigned long long)t->in_vain);
	TH_LOG("%llu sessions, %llu ended with EPROTO; %llu frames taken in %llu calls",
	       (unsigned long long)t->sessions, (unsigned long long)t->ended,
	       (unsigned long long)t->frames, (unsigned long long)t->calls);
	TH_LOG("at most %llu us of CPU and %llu frames in a call, %llu KiB in use",
	       (unsigned long long)t->longest / 1000, (unsigned long long)t->most_frames,
	       (unsigned long long)t->most / 1024);
	EXPECT_FALSE(desk->appalled);
	EXPECT_FALSE(desk->saw_secret);
	/* Sessions live long enough to be worth it, and some die. */
	EXPECT_LT(t->steps / 2, t->frames);
	EXPECT_GT(t->steps / 40, t->sessions);
	EXPECT_LT(t->sessions / 10, t->ended);
	EXPECT_GT(t->sessions * 19 / 20, t->ended);
	EXPECT_GE(ALLOWED, t->most);
	EXPECT_GE(effort_bound(100 * MSEC), t->longest);
}

/* Map the desk before there is a child; stands for a setup of its own. */
static void __attribute__((constructor)) make_desk(void)
{
	desk = mmap(NULL, sizeof(*desk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (desk == MAP_FAILED)
		abort();
}

static void begin(void)
{
	memset(desk, 0, sizeof(*desk));
	desk->seed = effort_seed();
	watch_signals();
}

static void join_at_random(struct __test_metadata *_metadata, FIXTURE_DATA(peer) *self,
			   const FIXTURE_VARIANT(peer) *variant, uint64_t *random)
{
	struct shmux_session_options victims = random_options(random);
	struct shmux_session_options foes = random_options(random);

	join_with(_metadata, self, variant, &victims, &foes);
}

TEST_F_TIMEOUT(peer, mutations_in_lockstep_end_their_session_at_worst, EFFORT_TIMEOUT)
{
	struct victim v;
	struct tally t = { 0 };
	uint64_t random, first, base, nr;

	begin();
	nr = LOCKSTEP_STEPS;
	for (uint64_t rounds = 0; desk->step < nr; t.steps = desk->step) {
		alarm(120);
		first = desk->step;
		random = desk->seed ^ ~first;
		base = allocated();
		join_at_random(_metadata, self, variant, &random);
		desk->part = false;
		far_begin(&self->foe, side_scribble_in_turn, NULL, 0, 0);
		victim_begin(&v, self->s, random, 0);
		while (!v.s->error && desk->step < first + SESSION_STEPS) {
			desk->nr = 1 + pick(&v, ROUND_MAX);
			turn_pass(1);
			ASSERT_TRUE(turn_wait(0));
			for (uint32_t i = 1 + pick(&v, 6); i; i--) {
				act_and_measure(&v);
				check_call(_metadata, &v);
			}
			if (v.s->error)
				t.in_vain += desk->nr;
			if (rounds++ % 64 == 0) {
				tell_secret(_metadata, self);
				if (allocated() > base + t.most)
					t.most = allocated() - base;
			}
		}
		victim_end(_metadata, &v, &t);
		check_call(_metadata, &v);
		desk->part = true;
		turn_pass(1);
		ASSERT_TRUE(turn_wait(0));
		ASSERT_EQ(0, far_finish(&self->foe, NULL));
		part(self);
	}
	alarm(0);
	check_tally(_metadata, &t);
	EXPECT_GT(nr / 8, t.in_vain);
}

TEST_F_TIMEOUT(peer, mutations_at_once_end_their_session_at_worst, EFFORT_TIMEOUT)
{
	struct victim v;
	struct tally t = { 0 };
	struct companion c;
	struct worker w;
	uint64_t random, base, nr;

	begin();
	nr = STEPS_AT_ONCE;
	for (; desk->step < nr; t.steps = desk->step) {
		alarm(120);
		random = desk->seed ^ ~desk->step;
		base = allocated();
		join_at_random(_metadata, self, variant, &random);
		victim_begin(&v, self->s, random, 200000);
		memset(&c, 0, sizeof(c));
		ASSERT_EQ(0, shmux_session_open(self->s, 0, &c.st));
		v.others = c.st;
		worker_start(&w, accompany, &c);
		far_begin(&self->foe, side_scribble_at_once, NULL, 0, 0);
		for (int i = 0; !v.s->error; i++) {
			act_and_measure(&v);
			check_call(_metadata, &v);
			if (i % 64 == 0 && allocated() > base + t.most)
				t.most = allocated() - base;
			if (i % 16 == 0 && far_is_done(&self->foe))
				break;
		}
		tell_secret(_metadata, self);
		shmux_store_release(&c.stop, 1);
		worker_join(&w);
		EXPECT_EQ(0, c.wrong);
		shmux_stream_close(c.st);
		victim_end(_metadata, &v, &t);
		check_call(_metadata, &v);
		shmux_session_close(self->s, 0);
		self->s = NULL;
		ASSERT_LE(0, far_finish(&self->foe, NULL));
		far_run(&self->foe, side_part);
	}
	alarm(0);
	check_tally(_metadata, &t);
}

TEST_HARNESS_MAIN
