// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * threads.c - many threads on one session, doing at once all that is allowed
 *
 * Each end of a session is a party of threads over the same few streams. First
 * they do what they like: calm streams only carry their bytes and messages,
 * however often a call is cut short; rough ones are opened, reset and closed
 * under the calls of others as well. Then each calm stream is carried to its
 * end by two threads an end, without a deadline and with nobody to stir, though
 * pieces that nobody reads lie about in the arena: a wake-up that was lost hangs.
 * Last, one end closes the session under them all.
 *
 * The parties tell each other as little as they can (relaxed atomics), so as not
 * to order for the sanitizer what the library has to order.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "harness.h"

#include "base/barrier.h"
#include "core/core.h"
#include "core/wait.h"
#include "delays.h"
#include "effort.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

enum {
	NR_CALM = 3, /* the last of them carries messages */
	NR_SLOTS = 6,
	NR_THREADS = 8,
	NR_MESSAGES = 120,
	BUF = 32768,
};

/* How long nothing may happen at all. */
#define HANGS (2 * LONG_ENOUGH)

static uint32_t load(const uint32_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static void store(uint32_t *word, uint32_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

static void add(uint32_t *word, uint32_t n)
{
	__atomic_fetch_add(word, n, __ATOMIC_RELAXED);
}

/* --- gates ------------------------------------------------------------------ */

/*
 * Nothing may be called on what is being closed; a call that is blocked when the
 * closing begins is allowed. So whoever closes shuts the gate first, and waits
 * until all who are inside are blocked, with no further call to come.
 */
enum {
	EMPTY,
	FILLING,
	LIVE,
	CLOSING
};

struct gate {
	uint32_t state;
	uint32_t users;
	uint32_t pins; /* of those who will call again, to give back a view */
};

static bool gate_fill(struct gate *gate)
{
	uint32_t empty = EMPTY;

	return __atomic_compare_exchange_n(&gate->state, &empty, FILLING, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

static void gate_set(struct gate *gate, uint32_t state)
{
	__atomic_store_n(&gate->state, state, __ATOMIC_RELEASE);
}

static void gate_leave(struct gate *gate)
{
	__atomic_fetch_sub(&gate->users, 1, __ATOMIC_RELEASE);
}

static bool gate_enter(struct gate *gate)
{
	add(&gate->users, 1);
	/* Pairs with that in gate_shut(): it sees us, or we see it. */
	shmux_fence();
	if (__atomic_load_n(&gate->state, __ATOMIC_ACQUIRE) == LIVE)
		return true;
	gate_leave(gate);
	return false;
}

static bool gate_shut(struct gate *gate)
{
	uint32_t live = LIVE;

	if (!__atomic_compare_exchange_n(&gate->state, &live, CLOSING, false, __ATOMIC_ACQUIRE,
					 __ATOMIC_RELAXED))
		return false;
	shmux_fence();
	return true;
}

static void gate_pin(struct gate *gate)
{
	__atomic_fetch_add(&gate->pins, 1, __ATOMIC_ACQ_REL);
}

static void gate_unpin(struct gate *gate)
{
	__atomic_fetch_sub(&gate->pins, 1, __ATOMIC_RELEASE);
}

static uint32_t gate_users(const struct gate *gate)
{
	return __atomic_load_n(&gate->users, __ATOMIC_ACQUIRE);
}

/* How many calls are blocked on a stream, or on the session itself. */
static uint32_t nr_blocked(struct shmux_session *s, const struct shmux_stream *st)
{
	struct shmux_list *pos, *tmp;
	uint32_t nr = 0;

	shmux_lock(&s->lock);
	shmux_list_for_each_safe(pos, tmp, &s->waiters)
		nr += shmux_container_of(pos, struct shmux__waiter, node)->st == st;
	shmux_unlock(&s->lock);
	return nr;
}

/* May what is behind a gate that is shut be closed? */
static bool gate_is_quiet(const struct gate *gate, struct shmux_session *s, struct shmux_stream *st)
{
	/* In this order. */
	uint32_t users = gate_users(gate), blocked = nr_blocked(s, st);
	uint32_t pins = __atomic_load_n(&gate->pins, __ATOMIC_ACQUIRE);

	if (pins)
		shmux_stream_unblock(st, SHMUX_READ | SHMUX_WRITE);
	return users == blocked && !pins;
}

/* --- parties ---------------------------------------------------------------- */

/* One direction of a stream; one thread at a time. */
struct way {
	uint32_t busy;
	uint64_t at, len; /* bytes done, of so many */
	uint32_t done; /* to its end */
	uint32_t seed;
};

struct slot {
	struct gate gate;
	struct shmux_stream *st;
	bool calm, messages;
	struct way out, in;
	/* Of a calm message stream. */
	uint32_t sent[NR_MESSAGES], got[NR_MESSAGES];
	uint32_t nr_sent, nr_got;
};

/* What both ends know. */
struct plan {
	uint64_t seed;
	uint32_t msec; /* of the first phase */
	uint32_t near; /* 1 at the near end */
	uint32_t closes; /* 1 at the end that closes the session */
	uint32_t close_msec; /* its deadline */
	uint32_t polls; /* somebody uses the descriptor */
	uint32_t bystanders; /* call while the others finish */
	uint32_t delays;
	uint32_t calm_len;
	uint32_t parts; /* long messages travel in parts */
	uint32_t wire; /* there are neither messages nor spans */
};

enum phase {
	PHASE_ROUGH,
	PHASE_GATHER,
	PHASE_FINISH,
	PHASE_END
};

struct party;

struct thread {
	struct worker worker;
	struct party *party;
	uint32_t nr;
	uint64_t random;
	const char *doing; /* for who looks why nothing happens */
	int64_t did; /* what it did last, and with what result */
	uint32_t slot;
	char out[BUF], in[BUF];
};

struct party {
	struct plan plan;
	struct shmux_session *session;
	struct gate gate;
	uint32_t phase;
	uint32_t nr_gathered, nr_finished;
	uint32_t progress;
	uint32_t nr_wrong;
	uint64_t random;
	struct slot slots[NR_SLOTS];
	struct shmux_stream *litter; /* never read */
	struct thread threads[NR_THREADS];
};

static struct party *parties[2]; /* of this process */

/* Whoever reports looks at what is not at rest. */
#if defined(__clang__)
#define RACY __attribute__((no_sanitize("thread")))
#else
#define RACY
#endif

RACY static void report_slot(const struct slot *slot)
{
	const struct shmux_stream *st = slot->st;

	fprintf(stderr,
		"#   slot: gate %u users %u%s%s out %llu/%llu in %llu/%llu sent %u got %u\n",
		slot->gate.state, slot->gate.users, slot->calm ? " calm" : "",
		slot->messages ? " messages" : "", (unsigned long long)slot->out.at,
		(unsigned long long)slot->out.len, (unsigned long long)slot->in.at,
		(unsigned long long)slot->in.len, slot->nr_sent, slot->nr_got);
	if (slot->gate.state == LIVE || slot->gate.state == CLOSING)
		fprintf(stderr,
			"#     stream %08x state %x credit %u granted %u limit %u owed %u queued %u want %u\n",
			st->id, st->state, st->tx_credit, st->rx_granted, st->rx_limit, st->rx_owed,
			st->rx_queued, st->rx_want);
}

RACY static void report_session(struct shmux_session *s)
{
	const struct shmux__shm *l = shmux__shm(s->link);
	struct shmux_list *pos, *tmp;

	fprintf(stderr,
		"#   session: refs %u error %d leader %p%s%s%s nr_room %u watch %x told %d owes %x control %p wants_room %d\n",
		s->refs, s->error, (void *)s->leader, s->leader_asleep ? " asleep" : "",
		s->leader_deep ? " deep" : "", s->leader_room ? " room" : "", s->nr_room, s->watch,
		s->told, s->owes, (void *)(shmux_list_empty(&s->control) ? NULL : s->control.next),
		s->wants_room);
	fprintf(stderr,
		"#   link: tx next %u published %u consumer %u (%u now) kept %u; rx next %u published %u; armed %x seen kicks %u (%u now); peer armed %x, kicked %x; arena used %u lent %u\n",
		l->tx.next, l->tx.published, l->tx.consumer, load(l->tx.peer_consumer), l->tx.kept,
		l->rx.next, l->rx.published, l->armed, l->seen_kicks, load(&l->peer->kicks),
		load(&l->peer->armed), l->kicked, l->arena.nr_used, l->arena.nr_lent);
	shmux_list_for_each_safe(pos, tmp, &s->waiters)
	{
		struct shmux__waiter *w = shmux_container_of(pos, struct shmux__waiter, node);

		fprintf(stderr,
			"#   waiter %p: stream %08x kind %x poke %u%s%s%s%s done %zu of %zu\n",
			(void *)w, w->st ? w->st->id : 0, w->kind, load(&w->poke),
			w->asleep ? " asleep" : "", w->cancelled ? " cancelled" : "",
			w->slept ? " slept" : "", w->room ? " room" : "", w->done, w->size);
	}
}

RACY static void report(const struct party *party)
{
	fprintf(stderr, "# the %s end, phase %u, seed %llu%s%s%s:\n",
		party->plan.near ? "near" : "far", party->phase,
		(unsigned long long)party->plan.seed, party->plan.delays ? ", delays" : "",
		party->plan.polls ? ", polls" : "", party->plan.bystanders ? ", bystanders" : "");
	for (int i = 0; i < NR_THREADS; i++)
		fprintf(stderr, "#   thread %d: %s slot %u (before: %lld)%s\n", i,
			party->threads[i].doing ? party->threads[i].doing : "idle",
			party->threads[i].slot, (long long)party->threads[i].did,
			worker_is_done((struct worker *)&party->threads[i].worker) ? ", has left" :
										     "");
	for (int i = 0; i < NR_SLOTS; i++)
		report_slot(&party->slots[i]);
	if (party->gate.state == LIVE || party->gate.state == CLOSING)
		report_session(party->session);
}

/* Look whether anything has happened; if not for long, say who waits. */
struct watchdog {
	uint32_t progress;
	uint64_t since;
};

static void watchdog_look(struct watchdog *dog, struct party *party)
{
	uint32_t progress = load(&party->progress);

	if (!dog->since || progress != dog->progress) {
		dog->progress = progress;
		dog->since = shmux_now();
	} else if (shmux_now() - dog->since > HANGS) {
		static uint32_t reported;

		if (__atomic_exchange_n(&reported, 1, __ATOMIC_RELAXED))
			pause();
		fprintf(stderr, "# nothing happens any more\n");
		for (int i = 0; i < 2; i++)
			if (parties[i])
				report(parties[i]);
		abort();
	}
}

/* Wait until @cond, while the party is to get on. */
#define await(party, cond)                           \
	do {                                         \
		struct watchdog dog_ = { 0 };        \
                                                     \
		while (!(cond)) {                    \
			watchdog_look(&dog_, party); \
			usleep(200);                 \
		}                                    \
	} while (0)

/* --- what calls may return ---------------------------------------------------- */

enum {
	MAY_TIME_OUT = 0x1,
	MAY_CANCEL = 0x2,
	MAY_AGAIN = 0x4,
	MAY_RESET = 0x8,
	MAY_PIPE = 0x10,
	MAY_END = 0x20,
	MAY_MSGSIZE = 0x40,
	MAY_SHUTDOWN = 0x80,
	MAY_NOSPC = 0x100,
};

#define CUT_SHORT (MAY_TIME_OUT | MAY_CANCEL)
#define ROUGH (CUT_SHORT | MAY_RESET | MAY_PIPE | MAY_END)

static void wrong(struct thread *t, const char *what, int64_t value)
{
	if (__atomic_fetch_add(&t->party->nr_wrong, 1, __ATOMIC_RELAXED) < 10)
		fprintf(stderr, "# %s end, thread %u, phase %u: %s of slot %u: %s %lld\n",
			t->party->plan.near ? "near" : "far", t->nr, load(&t->party->phase),
			t->doing, t->slot, what, (long long)value);
}

/* A call is over: it may have failed in one of these ways. */
static void check(struct thread *t, int64_t ret, unsigned int may)
{
	static const struct {
		int64_t ret;
		unsigned int bit;
	} ways[] = {
		{ -ETIMEDOUT, MAY_TIME_OUT }, { -ECANCELED, MAY_CANCEL },   { -EAGAIN, MAY_AGAIN },
		{ -ECONNRESET, MAY_RESET },   { -EPIPE, MAY_PIPE },	    { -ENODATA, MAY_END },
		{ -EMSGSIZE, MAY_MSGSIZE },   { -ESHUTDOWN, MAY_SHUTDOWN }, { -ENOSPC, MAY_NOSPC },
	};

	t->did = ret;
	/* Who stands by gets on, whether the others do or not. */
	if (t->nr < 2 * NR_CALM || load(&t->party->phase) != PHASE_FINISH)
		add(&t->party->progress, 1);
	if (ret >= 0)
		return;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (ways[i].ret == ret && (ways[i].bit & may))
			return;
	wrong(t, "returned", ret);
}

static void doing(struct thread *t, const char *what, const struct slot *slot)
{
	__atomic_store_n(&t->doing, what, __ATOMIC_RELAXED);
	t->slot = slot ? (uint32_t)(slot - t->party->slots) : NR_SLOTS;
}

static bool chance(struct thread *t, uint32_t one_in)
{
	return random_between(&t->random, 1, one_in) == 1;
}

static size_t some_len(struct thread *t, size_t most)
{
	static const uint32_t bounds[] = { 64, 64, 300, 5000, BUF };
	size_t len = random_between(&t->random, 1, bounds[random_between(&t->random, 0, 4)]);

	return len < most ? len : most;
}

/* How a call on this stream may be cut short now. */
static unsigned int may_of(const struct thread *t, const struct slot *slot)
{
	if (!slot->calm)
		return ROUGH;
	return load(&t->party->phase) < PHASE_FINISH ? CUT_SHORT : 0;
}

/* --- bytes -------------------------------------------------------------------- */

static bool way_take(struct way *way)
{
	return !load(&way->busy) && !__atomic_exchange_n(&way->busy, 1, __ATOMIC_ACQUIRE);
}

static void way_give(struct way *way)
{
	__atomic_store_n(&way->busy, 0, __ATOMIC_RELEASE);
}

static int64_t write_in_place(struct thread *t, struct slot *slot, const char *buf, size_t len,
			      unsigned int flags)
{
	size_t most = shmux_stream_reserve_max(slot->st);
	struct shmux_span span;
	int64_t n;

	if (len > most)
		len = most;
	gate_pin(&slot->gate);
	doing(t, "reserve", slot);
	n = shmux_stream_reserve(slot->st, len, &span, flags);
	if (!n) {
		memcpy(span.data, buf, len);
		if (chance(t, 4)) {
			shmux_stream_cancel(slot->st, &span);
			n = -ECANCELED;
		} else {
			doing(t, "submit", slot);
			n = shmux_stream_submit(slot->st, &span, len,
						chance(t, 8) ? SHMUX_MORE : 0);
		}
	}
	gate_unpin(&slot->gate);
	return n;
}

static void write_bytes(struct thread *t, struct slot *slot)
{
	struct way *way = &slot->out;
	unsigned int may = may_of(t, slot), flags = 0;
	size_t len = some_len(t, way->len - way->at);
	struct iovec iov[2];
	int64_t n;

	if (way->at == way->len) {
		doing(t, "half-close", slot);
		check(t, shmux_stream_shutdown(slot->st, SHMUX_WRITE), may);
		store(&way->done, 1);
		return;
	}
	pattern_fill(t->out, len, way->at, way->seed);
	switch (random_between(&t->random, t->party->plan.wire ? 1 : 0, 4)) {
	case 0:
		n = write_in_place(t, slot, t->out, len, chance(t, 2) ? SHMUX_NOWAIT : 0);
		may |= MAY_AGAIN | MAY_CANCEL;
		break;
	case 1:
	case 2:
		doing(t, "write", slot);
		n = shmux_stream_write(slot->st, t->out, len);
		break;
	case 3:
		doing(t, "try_write", slot);
		n = shmux_stream_try_write(slot->st, t->out, len);
		may |= MAY_AGAIN;
		break;
	default:
		doing(t, "send", slot);
		iov[0] = (struct iovec){ t->out, len / 2 };
		iov[1] = (struct iovec){ t->out + len / 2, len - len / 2 };
		if (len == way->len - way->at)
			flags = SHMUX_FIN;
		else if (chance(t, 4))
			flags = SHMUX_MORE;
		n = shmux_stream_send(slot->st, iov, 2, flags);
		if (n == (int64_t)len && flags == SHMUX_FIN)
			store(&way->done, 1);
	}
	check(t, n, may);
	if (n > 0)
		__atomic_store_n(&way->at, way->at + (uint64_t)n, __ATOMIC_RELAXED);
	if (n > (int64_t)len)
		wrong(t, "wrote too much", n);
}

static void check_pattern(struct thread *t, struct way *way, const void *buf, int64_t n)
{
	int64_t at = pattern_check(buf, (size_t)n, way->at, way->seed);

	if (at >= 0)
		wrong(t, "wrong byte at", (int64_t)way->at + at);
}

static int64_t peek_bytes(struct thread *t, struct slot *slot, size_t len)
{
	size_t most = shmux_stream_peek_max(slot->st);
	const void *data;
	int64_t n;

	gate_pin(&slot->gate);
	doing(t, "peek", slot);
	n = shmux_stream_peek(slot->st, len < most ? len : most, &data);
	if (n > 0) {
		check_pattern(t, &slot->in, data, n);
		if (n > (int64_t)len)
			n = (int64_t)len;
		doing(t, "discard", slot);
		n = shmux_stream_discard(slot->st, (size_t)n);
	}
	gate_unpin(&slot->gate);
	return n;
}

static int64_t take_bytes(struct thread *t, struct slot *slot)
{
	struct shmux_view view;
	int64_t n;

	gate_pin(&slot->gate);
	doing(t, "take", slot);
	n = shmux_stream_take(slot->st, &view, 0);
	if (n > 0) {
		check_pattern(t, &slot->in, view.data, n);
		if (chance(t, 8))
			usleep(random_between(&t->random, 0, 200));
	}
	doing(t, "release", slot);
	shmux_stream_release(slot->st, &view);
	gate_unpin(&slot->gate);
	return n;
}

static void read_bytes(struct thread *t, struct slot *slot)
{
	unsigned int may = may_of(t, slot);
	struct way *way = &slot->in;
	size_t len = some_len(t, BUF);
	struct iovec iov[2];
	bool copied = true;
	int64_t n;

	switch (random_between(&t->random, 0, 6)) {
	case 0:
	case 1:
		doing(t, "read", slot);
		n = shmux_stream_read(slot->st, t->in, len);
		break;
	case 2:
		doing(t, "readv", slot);
		iov[0] = (struct iovec){ t->in, len / 2 };
		iov[1] = (struct iovec){ t->in + len / 2, len - len / 2 };
		n = shmux_stream_readv(slot->st, iov, 2);
		break;
	case 3:
		doing(t, "recv of all", slot);
		iov[0] = (struct iovec){ t->in, len };
		n = shmux_stream_recv(slot->st, iov, 1, SHMUX_WAITALL);
		break;
	case 4:
		doing(t, "try_read", slot);
		n = shmux_stream_try_read(slot->st, t->in, len);
		may |= MAY_AGAIN;
		break;
	case 5:
		n = peek_bytes(t, slot, len);
		copied = false;
		break;
	default:
		n = take_bytes(t, slot);
		copied = false;
	}
	check(t, n, may);
	if (n > 0) {
		if (copied)
			check_pattern(t, way, t->in, n);
		way->at += (uint64_t)n;
	} else if (!n && slot->calm) {
		if (way->at != way->len)
			wrong(t, "ended after", (int64_t)way->at);
		store(&way->done, 1);
	}
}

/* --- messages ----------------------------------------------------------------- */

struct message_head {
	uint32_t number, len, seed;
};

/* A message that is still to be sent, or NR_MESSAGES. */
static uint32_t message_pick(struct thread *t, struct slot *slot)
{
	uint32_t first = random_between(&t->random, 0, NR_MESSAGES - 1);

	for (uint32_t i = 0; i < NR_MESSAGES; i++) {
		uint32_t nr = (first + i) % NR_MESSAGES, todo = 0;

		if (__atomic_compare_exchange_n(&slot->sent[nr], &todo, 1, false, __ATOMIC_RELAXED,
						__ATOMIC_RELAXED))
			return nr;
	}
	return NR_MESSAGES;
}

static void write_message(struct thread *t, struct slot *slot)
{
	unsigned int may = may_of(t, slot);
	struct message_head head;
	size_t len = some_len(t, BUF);
	struct iovec iov;
	int64_t n;

	if (len < sizeof(head))
		len = sizeof(head);
	head = (struct message_head){
		.number = slot->calm ? message_pick(t, slot) : 0,
		.len = (uint32_t)len,
		.seed = random_next(&t->random),
	};
	if (head.number == NR_MESSAGES)
		return;
	memcpy(t->out, &head, sizeof(head));
	pattern_fill(t->out + sizeof(head), len - sizeof(head), 0, head.seed);
	switch (random_between(&t->random, 0, 3)) {
	case 0:
		doing(t, "try_write of a message", slot);
		n = shmux_stream_try_write(slot->st, t->out, len);
		may |= MAY_AGAIN | MAY_MSGSIZE;
		break;
	case 1:
		if (len <= shmux_stream_reserve_max(slot->st)) {
			n = write_in_place(t, slot, t->out, len, 0);
			may |= MAY_CANCEL;
			break;
		}
		/* fallthrough */
	case 2:
		doing(t, "send of a message", slot);
		iov = (struct iovec){ t->out, len };
		n = shmux_stream_send(slot->st, &iov, 1, chance(t, 4) ? SHMUX_MORE : 0);
		break;
	default:
		doing(t, "write of a message", slot);
		n = shmux_stream_write(slot->st, t->out, len);
	}
	check(t, n, may);
	if (n >= 0 && n != (int64_t)len)
		wrong(t, "sent half a message", n);
	if (slot->calm) {
		store(&slot->sent[head.number], n > 0 ? 2 : 0);
		if (n > 0)
			add(&slot->nr_sent, 1);
	}
}

static void check_message(struct thread *t, struct slot *slot, const char *message, int64_t n)
{
	struct message_head head;

	if (n < (int64_t)sizeof(head)) {
		wrong(t, "short message", n);
		return;
	}
	memcpy(&head, message, sizeof(head));
	if (head.len != n ||
	    pattern_check(message + sizeof(head), (size_t)n - sizeof(head), 0, head.seed) >= 0)
		wrong(t, "not what was sent", n);
	if (!slot->calm)
		return;
	if (head.number >= NR_MESSAGES ||
	    __atomic_exchange_n(&slot->got[head.number], 1, __ATOMIC_RELAXED))
		wrong(t, "not for the first time", head.number);
	add(&slot->nr_got, 1);
}

static int64_t take_message(struct thread *t, struct slot *slot)
{
	struct shmux_view view;
	int64_t n;

	gate_pin(&slot->gate);
	doing(t, "take of a message", slot);
	n = shmux_stream_take(slot->st, &view, 0);
	if (n >= 0) {
		if (view.more)
			wrong(t, "took a part", n);
		memcpy(t->in, view.data, view.len);
		shmux_stream_release(slot->st, &view);
	}
	gate_unpin(&slot->gate);
	return n;
}

static void read_message(struct thread *t, struct slot *slot)
{
	unsigned int may = may_of(t, slot);
	int64_t n;

	/* One that came in parts would be taken in parts, by several threads. */
	switch (random_between(&t->random, 0, t->party->plan.parts ? 2 : 3)) {
	case 0:
		doing(t, "try_read of a message", slot);
		n = shmux_stream_try_read(slot->st, t->in, BUF);
		may |= MAY_AGAIN;
		break;
	case 1:
	case 2:
		doing(t, "read of a message", slot);
		n = shmux_stream_read(slot->st, t->in, BUF);
		break;
	default:
		n = take_message(t, slot);
	}
	if (n == -ENODATA && slot->calm) {
		/* Who has read the last one may have yet to count it. */
		doing(t, "wait for the last message to be counted", slot);
		await(t->party, load(&slot->nr_got) >= NR_MESSAGES);
		if (load(&slot->nr_got) != NR_MESSAGES)
			wrong(t, "ended after messages", load(&slot->nr_got));
		store(&slot->in.done, 1);
		may |= MAY_END;
	}
	check(t, n, may);
	if (n >= 0)
		check_message(t, slot, t->in, n);
}

/* --- streams come and go -------------------------------------------------------- */

static void way_init(struct way *way, uint64_t len, uint32_t seed)
{
	way->at = 0;
	way->len = len;
	way->seed = seed;
	store(&way->done, 0);
}

/* Put a stream into a slot whose gate is being filled. */
static void slot_fill(struct party *party, struct slot *slot, struct shmux_stream *st)
{
	/* Each side of a wire has ids of its own. */
	uint32_t id = party->plan.wire ? 0 : shmux_stream_id(st);
	uint32_t near = (uint32_t)party->plan.seed ^ id, far = ~near;
	uint64_t random = (uint64_t)id ^ party->plan.seed;

	slot->st = st;
	slot->calm = slot - party->slots < NR_CALM;
	slot->messages = shmux_stream_is_message(st);
	for (uint32_t i = 0; i < 2; i++) {
		uint64_t len = random_between(&random, 1, party->plan.calm_len);

		way_init(i == party->plan.near ? &slot->in : &slot->out,
			 slot->calm ? len : UINT64_MAX, i ? far : near);
	}
	shmux_stream_set_user(st, slot);
	gate_set(&slot->gate, LIVE);
}

/* Close a stream, under the calls that are blocked on it. */
static void slot_close(struct party *party, struct slot *slot)
{
	if (!gate_shut(&slot->gate))
		return;
	await(party, gate_is_quiet(&slot->gate, slot->st->s, slot->st));
	shmux_stream_close(slot->st);
	await(party, gate_users(&slot->gate) == 0);
	add(&party->progress, 1);
	gate_set(&slot->gate, EMPTY);
}

static struct slot *slot_free(struct party *party)
{
	for (int i = NR_CALM; i < NR_SLOTS; i++)
		if (gate_fill(&party->slots[i].gate))
			return &party->slots[i];
	return NULL;
}

static unsigned int may_of_session(const struct thread *t)
{
	return CUT_SHORT | (load(&t->party->phase) == PHASE_END ? MAY_SHUTDOWN | MAY_RESET : 0);
}

static void open_stream(struct thread *t)
{
	struct slot *slot = slot_free(t->party);
	struct shmux_stream *st;
	int err;

	if (!slot)
		return;
	doing(t, "open", slot);
	err = shmux_session_open(t->party->session,
				 chance(t, 2) && !t->party->plan.wire ? SHMUX_STREAM_MESSAGES : 0,
				 &st);
	check(t, err, may_of_session(t) | MAY_NOSPC);
	if (err)
		gate_set(&slot->gate, EMPTY);
	else
		slot_fill(t->party, slot, st);
}

static void accept_stream(struct thread *t)
{
	struct shmux_stream *st;
	struct slot *slot;
	int err;

	doing(t, "accept", NULL);
	err = shmux_session_accept(t->party->session, chance(t, 2) ? SHMUX_NOWAIT : 0, &st);
	check(t, err, may_of_session(t) | MAY_AGAIN);
	if (err)
		return;
	slot = slot_free(t->party);
	if (slot) {
		slot_fill(t->party, slot, st);
		return;
	}
	if (chance(t, 2))
		shmux_stream_reset(st, SHMUX_CODE_USER);
	doing(t, "close of one too many", NULL);
	shmux_stream_close(st);
}

/* --- meddling --------------------------------------------------------------- */

static uint64_t some_deadline(uint64_t *random)
{
	switch (random_between(random, 0, 3)) {
	case 0:
		return 1;
	case 1:
		return SHMUX_NEVER;
	default:
		return shmux_now() + random_between(random, 0, 2000000);
	}
}

static void meddle(struct thread *t, struct slot *slot)
{
	unsigned int how = random_between(&t->random, 1, 3);
	char address[SHMUX_ADDRESS_MAX];
	uint32_t code;

	switch (random_between(&t->random, 0, slot->calm ? 5 : 7)) {
	case 0:
	case 1:
		doing(t, "set_deadline", slot);
		check(t, shmux_stream_set_deadline(slot->st, how, some_deadline(&t->random)), 0);
		break;
	case 2:
		doing(t, "unblock", slot);
		shmux_stream_unblock(slot->st, how);
		check(t, 0, 0);
		break;
	case 3:
		doing(t, "next_len", slot);
		check(t, shmux_stream_next_len(slot->st), ROUGH | MAY_AGAIN);
		break;
	case 4:
		doing(t, "reset_code", slot);
		check(t, shmux_stream_reset_code(slot->st, &code), slot->calm ? MAY_END : ROUGH);
		break;
	case 5:
		doing(t, "small questions", slot);
		if (shmux_stream_is_message(slot->st) != slot->messages)
			wrong(t, "has changed its kind", 0);
		shmux_stream_peer_address(slot->st, address, sizeof(address));
		shmux_stream_set_user(slot->st, shmux_stream_user(slot->st));
		check(t, 0, 0);
		break;
	case 6:
		doing(t, "shutdown", slot);
		if (chance(t, 3))
			check(t, shmux_stream_shutdown(slot->st, how), MAY_RESET);
		break;
	case 7:
		doing(t, "reset", slot);
		if (chance(t, 3))
			check(t, shmux_stream_reset(slot->st, SHMUX_CODE_USER + t->nr), MAY_RESET);
		break;
	}
}

static void poll_session(struct thread *t)
{
	struct shmux_session *s = t->party->session;
	struct shmux_event events[4];
	int nr;

	doing(t, "session_fd", NULL);
	nr = shmux_session_fd(s);
	check(t, nr, MAY_RESET);
	if (nr >= 0) {
		struct pollfd fd = { .fd = nr, .events = POLLIN };

		doing(t, "poll", NULL);
		poll(&fd, 1, 2);
	}
	do {
		doing(t, "pump", NULL);
		nr = shmux_session_pump(s, events, 4);
		check(t, nr, MAY_RESET);
	} while (nr == 4);
}

/* What does not wait. */
static void ask_session(struct thread *t)
{
	struct shmux_session_counters counters = { .size = sizeof(counters) };
	struct shmux_session *s = t->party->session;

	switch (random_between(&t->random, 0, 3)) {
	case 0:
		doing(t, "state", NULL);
		check(t, shmux_session_state(s), 0);
		break;
	case 1:
		doing(t, "cork", NULL);
		shmux_session_cork(s);
		sched_yield();
		doing(t, "uncork", NULL);
		shmux_session_uncork(s);
		check(t, 0, 0);
		break;
	default:
		doing(t, "counters", NULL);
		check(t, shmux_session_counters(s, &counters), 0);
	}
}

static void use_session(struct thread *t)
{
	struct party *party = t->party;
	struct shmux_session *s = party->session;
	uint64_t until = shmux_now() + random_between(&t->random, 0, 2000000);

	if (!gate_enter(&party->gate))
		return;
	switch (random_between(&t->random, 0, 9)) {
	case 0:
	case 1:
		open_stream(t);
		break;
	case 2:
	case 3:
		accept_stream(t);
		break;
	case 4:
		doing(t, "ping", NULL);
		check(t, shmux_session_ping(s, until, NULL), may_of_session(t));
		break;
	case 5:
		doing(t, "drain", NULL);
		check(t, shmux_session_drain(s, until), may_of_session(t));
		break;
	case 6:
		doing(t, "set_deadline", NULL);
		check(t, shmux_session_set_deadline(s, some_deadline(&t->random)), 0);
		break;
	case 7:
		doing(t, "unblock", NULL);
		shmux_session_unblock(s);
		check(t, 0, 0);
		break;
	case 8:
		if (party->plan.polls) {
			poll_session(t);
			break;
		}
		/* fallthrough */
	default:
		ask_session(t);
	}
	gate_leave(&party->gate);
}

/* --- phases ------------------------------------------------------------------- */

/* Most of what is calm is for the second phase. */
static bool is_early(const struct thread *t, const struct slot *slot, bool writes)
{
	const struct way *way = &slot->out;

	if (load(&t->party->phase) >= PHASE_FINISH || !writes)
		return false;
	if (slot->messages)
		return load(&slot->nr_sent) >= NR_MESSAGES / 4;
	return __atomic_load_n(&way->at, __ATOMIC_RELAXED) >= way->len / 4;
}

static void use_way(struct thread *t, struct slot *slot, bool writes)
{
	struct way *way = writes ? &slot->out : &slot->in;

	if (load(&way->done) || (slot->calm && is_early(t, slot, writes)))
		return;
	/* Messages can be shared out; of bytes only one knows where they belong. */
	if (slot->messages) {
		if (writes)
			write_message(t, slot);
		else
			read_message(t, slot);
	} else if (way_take(way)) {
		if (load(&way->done))
			;
		else if (writes)
			write_bytes(t, slot);
		else
			read_bytes(t, slot);
		way_give(way);
	}
}

static void use_slot(struct thread *t, struct slot *slot)
{
	uint32_t what = random_between(&t->random, 0, 9);

	if (what == 9 && slot - t->party->slots >= NR_CALM && chance(t, 4)) {
		doing(t, "close", slot);
		slot_close(t->party, slot);
		return;
	}
	if (!gate_enter(&slot->gate))
		return;
	if (what < 8)
		use_way(t, slot, what % 2);
	else
		meddle(t, slot);
	gate_leave(&slot->gate);
}

static void do_anything(struct thread *t)
{
	if (chance(t, 5))
		use_session(t);
	else
		use_slot(t, &t->party->slots[random_between(&t->random, 0, NR_SLOTS - 1)]);
	doing(t, NULL, NULL);
}

/* Carry one direction of a calm stream to its end. */
static void finish_way(struct thread *t)
{
	struct slot *slot = &t->party->slots[t->nr / 2];
	bool writes = t->nr % 2;
	struct way *way = writes ? &slot->out : &slot->in;

	while (!load(&way->done) && load(&t->party->nr_wrong) < 100) {
		if (writes && slot->messages && load(&slot->nr_sent) == NR_MESSAGES) {
			doing(t, "half-close", slot);
			check(t, shmux_stream_shutdown(slot->st, SHMUX_WRITE), 0);
			store(&way->done, 1);
			break;
		}
		use_way(t, slot, writes);
	}
}

/* Call, and tell nobody to look. */
static void stand_by(struct thread *t)
{
	struct slot *slot = &t->party->slots[random_between(&t->random, 0, NR_CALM - 1)];
	struct shmux_span span;

	if (!t->party->plan.bystanders) {
		usleep(1000);
		return;
	}
	if (t->nr == NR_THREADS - 1 && t->party->plan.polls) {
		poll_session(t);
		return;
	}
	/* It is closed when this phase is over. */
	if (!gate_enter(&slot->gate))
		return;
	switch (random_between(&t->random, 0, 2)) {
	case 0:
		doing(t, "next_len", slot);
		shmux_stream_next_len(slot->st);
		break;
	case 1:
		doing(t, "reserve and cancel", slot);
		if (!shmux_stream_reserve(slot->st, some_len(t, 10000), &span, SHMUX_NOWAIT)) {
			sched_yield();
			shmux_stream_cancel(slot->st, &span);
		}
		break;
	default:
		ask_session(t);
	}
	gate_leave(&slot->gate);
	usleep(random_between(&t->random, 0, 100));
}

static bool session_is_dead(struct party *party)
{
	bool dead = true;

	if (gate_enter(&party->gate)) {
		dead = shmux_session_state(party->session) == SHMUX_SESSION_DEAD;
		gate_leave(&party->gate);
	}
	return dead;
}

static int64_t thread_main(void *arg)
{
	struct thread *t = arg;
	struct party *party = t->party;

	while (load(&party->phase) == PHASE_ROUGH)
		do_anything(t);
	doing(t, "gathering", NULL);
	add(&party->nr_gathered, 1);
	while (load(&party->phase) == PHASE_GATHER)
		usleep(200);
	if (t->nr < 2 * NR_CALM)
		finish_way(t);
	add(&party->nr_finished, 1);
	while (load(&party->phase) == PHASE_FINISH) {
		if (t->nr < 2 * NR_CALM) {
			doing(t, "resting", NULL);
			usleep(200);
		} else {
			stand_by(t);
		}
	}
	while (!session_is_dead(party))
		do_anything(t);
	doing(t, "leaving", NULL);
	return 0;
}

static void ignore(int signal)
{
	(void)signal;
}

/* Cut calls short, so that nobody waits for somebody who waits for him. */
static void stir(struct party *party)
{
	struct slot *slot = &party->slots[random_between(&party->random, 0, NR_SLOTS - 1)];
	uint32_t nr = random_between(&party->random, 0, NR_THREADS - 1);

	pthread_kill(party->threads[nr].worker.thread, SIGUSR1);
	if (gate_enter(&slot->gate)) {
		shmux_stream_unblock(slot->st, SHMUX_READ | SHMUX_WRITE);
		gate_leave(&slot->gate);
	}
	if (gate_enter(&party->gate)) {
		shmux_session_unblock(party->session);
		gate_leave(&party->gate);
	}
	usleep(random_between(&party->random, 0, 500));
}

/*
 * Leave pieces here and there in the arena that nobody will read. In a small one
 * there is then no large chunk, but by asking the other end.
 */
static void leave_litter(struct party *party)
{
	struct shmux_span spans[16];
	int nr = 0;

	shmux_stream_set_deadline(party->litter, SHMUX_WRITE, shmux_now() + 50 * MSEC);
	while (nr < 16 && !shmux_stream_reserve(party->litter, SHMUX_BLOCK_SIZE, &spans[nr],
						nr ? SHMUX_NOWAIT : 0))
		nr++;
	for (int i = 0; i < nr; i++) {
		if (i % 4) {
			shmux_stream_cancel(party->litter, &spans[i]);
			continue;
		}
		memset(spans[i].data, 0, 1000);
		shmux_stream_submit(party->litter, &spans[i], 1000, 0);
	}
}

/* No deadline from now on, and nobody who would set one. */
static void calm_down(struct party *party)
{
	for (int i = 0; i < NR_SLOTS; i++)
		if (gate_enter(&party->slots[i].gate)) {
			shmux_stream_set_deadline(party->slots[i].st, SHMUX_READ | SHMUX_WRITE,
						  SHMUX_NEVER);
			gate_leave(&party->slots[i].gate);
		}
	shmux_session_set_deadline(party->session, SHMUX_NEVER);
}

/* Close the session under whoever is in a call. */
static void party_close(struct party *party)
{
	const struct plan *plan = &party->plan;
	uint64_t deadline = 0;
	int err;

	if (plan->close_msec)
		deadline = shmux_now() + plan->close_msec * MSEC;
	gate_shut(&party->gate);
	await(party, gate_is_quiet(&party->gate, party->session, NULL));
	err = shmux_session_close(party->session, deadline);
	add(&party->progress, 1);
	await(party, gate_users(&party->gate) == 0);
	if (err && err != -ETIMEDOUT) {
		fprintf(stderr, "# close of the session returned %d\n", err);
		add(&party->nr_wrong, 1);
	}
	gate_set(&party->gate, EMPTY);
}

/* Open or accept the calm streams, in the same order at both ends. */
static int64_t party_begin(struct party *party)
{
	struct shmux_stream *st;
	struct slot *slot;

	for (int i = 0; i < NR_CALM; i++) {
		slot = &party->slots[i];
		gate_fill(&slot->gate);
		if (party->plan.near)
			SIDE_EQ(0, shmux_session_open(party->session,
						      i == NR_CALM - 1 && !party->plan.wire ?
							      SHMUX_STREAM_MESSAGES :
							      0,
						      &st));
		else
			SIDE_EQ(0, shmux_session_accept(party->session, 0, &st));
		slot_fill(party, slot, st);
	}
	if (party->plan.near)
		SIDE_EQ(0, shmux_session_open(party->session, 0, &party->litter));
	else
		SIDE_EQ(0, shmux_session_accept(party->session, 0, &party->litter));
	return 0;
}

static int64_t party_main(struct party *party)
{
	struct sigaction action = { .sa_handler = ignore };
	uint64_t until = shmux_now() + party->plan.msec * MSEC;
	struct watchdog dog = { 0 };

	SIDE_EQ(0, sigaction(SIGUSR1, &action, NULL));
	gate_set(&party->gate, LIVE);
	SIDE_EQ(0, party_begin(party));
	for (uint32_t i = 0; i < NR_THREADS; i++) {
		struct thread *t = &party->threads[i];

		t->party = party;
		t->nr = i;
		t->random = party->plan.seed + 2 * i + party->plan.near;
		worker_start(&t->worker, thread_main, t);
	}
	while (shmux_now() < until) {
		watchdog_look(&dog, party);
		stir(party);
	}
	store(&party->phase, PHASE_GATHER);
	while (load(&party->nr_gathered) < NR_THREADS) {
		watchdog_look(&dog, party);
		stir(party);
	}
	leave_litter(party);
	calm_down(party);
	store(&party->phase, PHASE_FINISH);
	await(party, load(&party->nr_finished) == NR_THREADS);
	store(&party->phase, PHASE_END);
	for (int i = 0; i < NR_CALM; i++)
		slot_close(party, &party->slots[i]);
	if (party->plan.closes) {
		usleep(random_between(&party->random, 0, 3000));
		party_close(party);
	}
	for (int i = 0; i < NR_THREADS; i++) {
		await(party, worker_is_done(&party->threads[i].worker));
		worker_join(&party->threads[i].worker);
	}
	shmux_stream_close(party->litter);
	for (int i = 0; i < NR_SLOTS; i++)
		slot_close(party, &party->slots[i]);
	if (!party->plan.closes)
		party_close(party);
	return load(&party->nr_wrong);
}

/* Return: how many calls did what they should not. The session is closed. */
static int64_t party_run(struct shmux_session *session, const struct plan *plan)
{
	struct party *party = calloc(1, sizeof(*party));
	int64_t ret;

	party->plan = *plan;
	party->session = session;
	party->random = plan->seed * 2 + plan->near;
	delays_set(plan->delays);
	parties[plan->near] = party;
	ret = party_main(party);
	parties[plan->near] = NULL;
	free(party);
	return ret;
}

static int64_t side_party(struct side *side)
{
	struct plan plan = *(const struct plan *)side->in;
	struct shmux_session *session = side->session;

	plan.near = 0;
	plan.closes = !plan.closes;
	side->session = NULL;
	return party_run(session, &plan);
}

/* --- one mapping ---------------------------------------------------------------- */

struct mappings {
	void *at[2];
	size_t size[2];
};

/*
 * Let each end of a session in one process see the peer's region where the peer
 * itself does, so that the sanitizer sees who shares what. The mappings are then
 * the test's, for an end may read on after the other is gone.
 */
static void share_mapping(struct shmux_session *reader, struct shmux_session *owner)
{
	struct shmux__shm *l = shmux__shm(reader->link);
	const struct shmux__shm *from = shmux__shm(owner->link);
	ptrdiff_t shift = (char *)from->own - (char *)(uintptr_t)l->peer;

	l->peer = from->own;
	l->peer_data += shift;
	l->rx.slots += shift;
	l->tx.peer_consumer = (const void *)((const char *)l->tx.peer_consumer + shift);
	l->returned.words = (const void *)((const char *)l->returned.words + shift);
}

static void use_one_mapping(struct pair *pair, struct mappings *mappings)
{
	struct shmux_session *ends[2] = { pair->session, pair->far.side.session };

	for (int i = 0; i < 2; i++) {
		struct shmux__region *region = shmux__shm(ends[i]->link)->region;

		share_mapping(ends[i], ends[!i]);
		mappings->at[i] = region->own;
		mappings->size[i] = region->own_size;
	}
	for (int i = 0; i < 2; i++)
		shmux__shm(ends[i]->link)->region->own = NULL;
}

static void free_mappings(struct mappings *mappings)
{
	for (int i = 0; i < 2; i++)
		if (mappings->at[i])
			munmap(mappings->at[i], mappings->size[i]);
}

/* --- tests ---------------------------------------------------------------------- */

FIXTURE(threads)
{
	struct pair pair;
	struct mappings mappings;
	uint64_t random;
};

FIXTURE_VARIANT(threads)
{
	enum pair_kind kind;
	bool one_mapping;
};

FIXTURE_VARIANT_ADD(threads, one_mapping){
	.kind = PAIR_SAME_PROCESS,
	.one_mapping = true,
};

FIXTURE_VARIANT_ADD(threads, same_process){
	.kind = PAIR_SAME_PROCESS,
};

FIXTURE_VARIANT_ADD(threads, two_processes){
	.kind = PAIR_TWO_PROCESSES,
};

FIXTURE_VARIANT_ADD(threads, listener){
	.kind = PAIR_LISTENER,
};

FIXTURE_VARIANT_ADD(threads, yamux_socket){
	.kind = PAIR_YAMUX_SOCKET,
};

FIXTURE_VARIANT_ADD(threads, yamux_pipes){
	.kind = PAIR_YAMUX_PIPES,
};

FIXTURE_SETUP(threads)
{
	self->random = effort_seed();
}

FIXTURE_TEARDOWN(threads)
{
}

/* Sizes that run out soon, or never. */
static struct shmux_session_options some_options(uint64_t *random)
{
	static const uint64_t spins[] = { SHMUX_SPIN_ADAPTIVE, SHMUX_SPIN_NONE, 30000 };
	bool small = random_between(random, 0, 1);

	return (struct shmux_session_options){
		.size = sizeof(struct shmux_session_options),
		.ring_slots = small ? 64 : 1024,
		.arena_size = small ? 65536 : 1 << 20,
		.window = random_between(random, 0, 1) ? 65536 : 1 << 20,
		.spin = spins[random_between(random, 0, 2)],
	};
}

#define NR_ROUNDS 4

static void run_rounds(struct __test_metadata *_metadata, FIXTURE_DATA(threads) * self,
		       const FIXTURE_VARIANT(threads) * variant, bool delays)
{
	int nr_rounds = effort_is_stress() ? 5 * NR_ROUNDS : NR_ROUNDS;

	for (int round = 0; round < nr_rounds; round++) {
		struct shmux_session_options near = some_options(&self->random);
		struct shmux_session_options far = some_options(&self->random);
		struct plan plan = {
			.seed = random_next(&self->random),
			.msec = effort_is_stress() ? 1000 : 250,
			.near = 1,
			.closes = random_between(&self->random, 0, 1),
			.close_msec = random_between(&self->random, 0, 1) * 20,
			.polls = random_between(&self->random, 0, 1),
			.bystanders = random_between(&self->random, 0, 1),
			.delays = delays,
			.calm_len = 200000,
			.parts = near.arena_size < 4 * BUF || far.arena_size < 4 * BUF,
			.wire = pair_is_yamux(variant->kind),
		};

		ASSERT_EQ(0, pair_open(&self->pair, variant->kind, &near, &far));
		if (variant->one_mapping)
			use_one_mapping(&self->pair, &self->mappings);
		far_begin(&self->pair.far, side_party, &plan, sizeof(plan), 0);
		EXPECT_EQ(0, party_run(self->pair.session, &plan));
		EXPECT_EQ(0, far_finish(&self->pair.far, NULL));
		self->pair.session = NULL;
		EXPECT_EQ(0, pair_close(&self->pair));
		if (variant->one_mapping)
			free_mappings(&self->mappings);
	}
}

TEST_F_TIMEOUT(threads, each_gets_what_was_sent_and_all_wake_when_the_session_is_closed,
	       EFFORT_TIMEOUT)
{
	run_rounds(_metadata, self, variant, false);
}

TEST_F_TIMEOUT(threads, the_same_with_delays_where_one_hands_over_to_another, EFFORT_TIMEOUT)
{
	if (!delays_possible())
		SKIP(return, "the library was built without SHMUX_TEST_DELAYS");
	run_rounds(_metadata, self, variant, true);
}

TEST_HARNESS_MAIN
