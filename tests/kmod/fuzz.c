// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * fuzz.c - random programs of requests and mappings, guided by what they reach
 *
 * A program is a list of moves, of which the first are made one after another, and
 * the others in up to three lanes, which are threads: requests with arguments at their bounds and beyond, what mmap and its kin do, poll, dup,
 * close, fork, descriptors in flight. What reaches code of the module that none
 * before has reached, or is answered as none before was, is kept, and varied. Where
 * the kernel does not tell what is reached (KCOV; vm/fuzzing's does), answers are all.
 *
 * Beside what the kernel finds of itself, these must hold, whatever is done:
 *   nobody writes by a mapping of the other's region, grows or executes one
 *   memory is zero, or what has been written since the region was made
 *   a kick is told, by WAIT and by poll
 *   a request fails with an errno that the contract has for it
 *   nothing is left of a program when all its files are closed
 *
 * SHMUX_FUZZ_SECONDS says for how long; a few, by default.
 */
#include <dirent.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

#include <linux/kcov.h>

#include "device.h"
#include "effort.h"
#include "pattern.h"
#include "usage.h"

/* Whoever asks for longer says so. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 86400

#define SECONDS 5
#define NR_LANES 3
#define NR_SLOTS 6
#define NR_MAPS 4
#define NR_NAMES 2
#define MAX_MOVES 32
#define MAX_KEPT 2048
#define PROGRAMS_A_PROCESS 100
#define WINDOW (128 * PAGE) /* of addresses, for each mapping */
#define COVER_SIZE (32 << 10)
#define COVER_HASHES (64 << 10)
#define HANG_SECONDS 60
#define DEATH_SECONDS 10

/* --- programs ------------------------------------------------------------------ */

enum op {
	OPEN,
	CLOSE,
	DUP,
	CREATE,
	LISTEN,
	CONNECT,
	ACCEPT,
	PAIR,
	MEET,
	ASK_PEER,
	KICK,
	WAIT,
	EVENTFD,
	ADOPT,
	HANG_UP,
	RAW,
	MMAP,
	MUNMAP,
	MPROTECT,
	MREMAP,
	REMAP_FILE_PAGES,
	MADVISE,
	MLOCK,
	READ,
	WRITE,
	WRITE_BY_KERNEL,
	TRUNCATE,
	POLL,
	EPOLL,
	FILE_IO,
	FORK,
	SEND,
	RECEIVE,
	DUMP,
	NR_OPS
};

static const char *const op_names[NR_OPS] = {
	"open",
	"close",
	"dup",
	"CREATE",
	"LISTEN",
	"CONNECT",
	"ACCEPT",
	"PAIR",
	"MEET",
	"PEER",
	"KICK",
	"WAIT",
	"EVENTFD",
	"ADOPT",
	"HANG_UP",
	"raw",
	"mmap",
	"munmap",
	"mprotect",
	"mremap",
	"remap_file_pages",
	"madvise",
	"mlock",
	"read",
	"write",
	"write_by_kernel",
	"truncate",
	"poll",
	"epoll",
	"file_io",
	"fork",
	"send",
	"receive",
	"dump",
};

/* How often each is chosen. */
static const uint8_t op_weights[NR_OPS] = {
	[OPEN] = 14,
	[CLOSE] = 8,
	[DUP] = 4,
	[CREATE] = 20,
	[LISTEN] = 10,
	[CONNECT] = 14,
	[ACCEPT] = 14,
	[PAIR] = 12,
	[MEET] = 20,
	[ASK_PEER] = 6,
	[KICK] = 8,
	[WAIT] = 12,
	[EVENTFD] = 8,
	[ADOPT] = 4,
	[HANG_UP] = 6,
	[RAW] = 3,
	[MMAP] = 24,
	[MUNMAP] = 4,
	[MPROTECT] = 12,
	[MREMAP] = 8,
	[REMAP_FILE_PAGES] = 4,
	[MADVISE] = 6,
	[MLOCK] = 2,
	[READ] = 8,
	[WRITE] = 8,
	[WRITE_BY_KERNEL] = 6,
	[TRUNCATE] = 2,
	[POLL] = 6,
	[EPOLL] = 4,
	[FILE_IO] = 2,
	[SEND] = 4,
	[RECEIVE] = 2,
	/* These take long. */
	[FORK] = 1,
	[DUMP] = 1,
};

struct move {
	uint8_t op, lane;
	uint8_t a, b; /* slots, mostly */
	uint16_t x, y; /* what they mean is the move's */
	uint8_t spoil; /* what is wrong with the argument; 0: nothing */
};

struct program {
	uint32_t nr, nr_lanes;
	uint32_t alone; /* so many of the moves are made first, by one thread */
	uint32_t worked; /* moves, when it was run */
	struct move moves[MAX_MOVES];
};

/* What the processes that run programs share with the one that starts them. */
struct shared {
	atomic_uint executions;
	atomic_bool found; /* something is wrong */
	char what[256];
	struct program running;
	uint32_t nr_kept;
	struct program kept[MAX_KEPT];
	uint32_t nr_reached;
	bool has_coverage;
	uint8_t reached[COVER_HASHES];
	uint64_t random;
};

static struct shared *shared;

static void __attribute__((format(printf, 1, 2))) found(const char *format, ...)
{
	va_list args;

	if (atomic_exchange(&shared->found, true))
		return;
	va_start(args, format);
	vsnprintf(shared->what, sizeof(shared->what), format, args);
	va_end(args);
}

static uint32_t chance(uint32_t n)
{
	return random_between(&shared->random, 0, n - 1);
}

/* What a slot holds, if all that was to make it that has gone well. */
enum state {
	EMPTY,
	FRESH,
	LISTENING,
	LONE,
	QUEUED,
	BARE, /* joined, without a region */
	WHOLE, /* with one */
	READY,
};

struct guess {
	enum state slots[NR_SLOTS];
	enum { MAPS_NOTHING, MAPS_OWN, MAPS_PEER } maps[NR_MAPS];
};

#define IN(state) (1u << (state))
#define IN_AN_END (IN(LONE) | IN(QUEUED) | IN(BARE) | IN(WHOLE) | IN(READY))
#define IN_USE (IN(FRESH) | IN(LISTENING) | IN_AN_END)

/* Where the slot of a move had better be; 0: it has none, or it does not matter. */
static const uint8_t op_wants[NR_OPS] = {
	[OPEN] = IN(EMPTY),
	[CLOSE] = IN_USE,
	[DUP] = IN_USE,
	[CREATE] = IN(FRESH) | IN(BARE),
	[LISTEN] = IN(FRESH),
	[CONNECT] = IN(LONE),
	[ACCEPT] = IN(LISTENING),
	[PAIR] = IN(FRESH),
	[MEET] = IN(BARE) | IN(WHOLE) | IN(READY),
	[ASK_PEER] = IN_AN_END,
	[KICK] = IN_AN_END,
	[WAIT] = IN_AN_END,
	[EVENTFD] = IN_AN_END,
	[ADOPT] = IN_AN_END | IN(LISTENING),
	[HANG_UP] = IN_AN_END | IN(LISTENING),
	[MMAP] = IN(LONE) | IN(QUEUED) | IN(WHOLE) | IN(READY),
	[POLL] = IN_USE,
	[EPOLL] = IN_USE,
	[FILE_IO] = IN_USE,
	[SEND] = IN_USE,
};

static bool is_of_mappings(enum op op)
{
	return op >= MUNMAP && op <= TRUNCATE;
}

/* The first values of each table are those that mean no harm. */
#define NR_PLAIN 4

static bool is_plain(const struct move *m)
{
	switch (m->op) {
	case CREATE:
	case LISTEN:
	case CONNECT:
	case MEET:
	case MMAP:
		return m->x < NR_PLAIN && m->y < NR_PLAIN;
	default:
		return true;
	}
}

/* What @m makes of it all. */
static void guess_after(struct guess *g, const struct move *m)
{
	enum state *a = &g->slots[m->a % NR_SLOTS], *b = &g->slots[m->b % NR_SLOTS];

	/* A move fails, mostly, that is spoilt, or not plain, or made elsewhere. */
	if (m->spoil || !is_plain(m) ||
	    (op_wants[m->op] && m->op != OPEN && !(op_wants[m->op] & IN(*a))))
		return;
	switch (m->op) {
	case OPEN:
		*a = FRESH;
		break;
	case CLOSE:
		*a = EMPTY;
		break;
	case DUP:
		*b = *a;
		break;
	case CREATE:
		*a = *a == FRESH ? LONE : WHOLE;
		break;
	case LISTEN:
		*a = LISTENING;
		break;
	case CONNECT:
		*a = QUEUED;
		break;
	case ACCEPT:
		for (int i = 0; i < NR_SLOTS; i++)
			if (g->slots[i] == QUEUED) {
				g->slots[i] = READY;
				*b = BARE;
				break;
			}
		break;
	case PAIR:
		*a = *b = BARE;
		break;
	case MEET:
		*a = *a == BARE ? BARE : READY;
		break;
	case MMAP: /* the other's region, or one's own */
		if (*a == READY || !(m->x & 1))
			g->maps[m->b % NR_MAPS] = m->x & 1 ? MAPS_PEER : MAPS_OWN;
		break;
	}
}

/* Return: a slot in one of the states of @in, or -1. */
static int guess_slot(const struct guess *g, uint32_t in)
{
	uint32_t first = chance(NR_SLOTS);

	for (uint32_t i = 0; i < NR_SLOTS; i++)
		if (in & IN(g->slots[(first + i) % NR_SLOTS]))
			return (int)((first + i) % NR_SLOTS);
	return -1;
}

/* Return: a mapping that there is, as often as not of the other's region; or -1. */
static int guess_map(const struct guess *g)
{
	uint32_t first = chance(NR_MAPS), at;
	bool any = chance(2);

	for (uint32_t i = 0; i < 2 * NR_MAPS; i++) {
		at = (first + i) % NR_MAPS;
		if (g->maps[at] == MAPS_PEER || (g->maps[at] && (any || i >= NR_MAPS)))
			return (int)at;
	}
	return -1;
}

static struct move move_random(uint32_t nr_lanes)
{
	uint32_t sum = 0, pick;
	struct move m = { 0 };

	for (int op = 0; op < NR_OPS; op++)
		sum += op_weights[op];
	pick = chance(sum);
	for (; pick >= op_weights[m.op]; m.op++)
		pick -= op_weights[m.op];
	m.lane = (uint8_t)chance(nr_lanes);
	m.a = (uint8_t)chance(chance(2) ? 3 : NR_SLOTS);
	m.b = (uint8_t)chance(chance(2) ? 3 : NR_SLOTS);
	m.x = (uint16_t)chance(0x10000);
	m.y = (uint16_t)chance(0x10000);
	m.spoil = chance(8) ? 0 : (uint8_t)chance(256);
	return m;
}

/* One that may do something where it is made; but any, now and then. */
static struct move move_fitting(const struct guess *g, uint32_t nr_lanes)
{
	struct move m = move_random(nr_lanes);
	int slot;

	if (!chance(4))
		return m;
	for (int tries = 0; tries < 8; tries++, m = move_random(nr_lanes)) {
		if (is_of_mappings(m.op)) {
			slot = guess_map(g);
			if (slot < 0)
				continue;
			m.b = (uint8_t)slot;
		} else if (op_wants[m.op]) {
			slot = guess_slot(g, op_wants[m.op]);
			if (slot < 0)
				continue;
			m.a = (uint8_t)slot;
		}
		if (m.op == PAIR || m.op == ACCEPT || m.op == DUP || m.op == RECEIVE) {
			slot = guess_slot(g, IN(EMPTY));
			m.b = slot < 0 ? m.b : (uint8_t)slot;
		}
		break;
	}
	if (!is_of_mappings(m.op) && chance(4)) {
		m.x %= NR_PLAIN;
		m.y %= NR_PLAIN;
	}
	return m;
}

/* For the place @at of @p. */
static struct move move_for(const struct program *p, uint32_t at)
{
	struct guess g = { 0 };

	for (uint32_t i = 0; i < at; i++)
		guess_after(&g, &p->moves[i]);
	return move_fitting(&g, p->nr_lanes);
}

static void program_random(struct program *p)
{
	uint32_t nr = 4 + chance(MAX_MOVES - 3);

	p->nr_lanes = chance(3) ? 1 : 1 + chance(NR_LANES);
	p->alone = chance(nr);
	for (p->nr = 0; p->nr < nr; p->nr++)
		p->moves[p->nr] = move_for(p, p->nr);
}

/* From the move @at on in lanes; that one, maybe, in two of them at once. */
static void program_split(struct program *p, uint32_t at)
{
	p->nr_lanes = NR_LANES;
	p->alone = at;
	if (p->nr < MAX_MOVES && chance(2)) {
		memmove(&p->moves[at + 1], &p->moves[at], (p->nr - at) * sizeof(*p->moves));
		p->nr++;
	}
	for (uint32_t i = at; i < p->nr; i++)
		p->moves[i].lane = (uint8_t)((i - at + chance(2)) % NR_LANES);
}

static void program_vary(struct program *p)
{
	const struct program *other;
	uint32_t at;

	for (uint32_t times = 1 + chance(4); times; times--) {
		at = chance(p->nr);
		switch (chance(9)) {
		case 0:
		case 1: /* some more; behind the last, too */
			at = chance(2) ? p->nr : chance(p->nr);
			for (uint32_t more = 1 + chance(6); more && p->nr < MAX_MOVES; more--) {
				memmove(&p->moves[at + 1], &p->moves[at],
					(p->nr - at) * sizeof(*p->moves));
				p->moves[at] = move_for(p, at);
				p->nr++;
				at++;
			}
			break;
		case 2: /* one less */
			if (p->nr == 1)
				break;
			p->nr--;
			memmove(&p->moves[at], &p->moves[at + 1], (p->nr - at) * sizeof(*p->moves));
			break;
		case 3:
			p->moves[at] = move_for(p, at);
			break;
		case 4:
			p->moves[at].x = (uint16_t)chance(0x10000);
			break;
		case 5:
			p->moves[at].y = (uint16_t)chance(0x10000);
			break;
		case 6:
			p->moves[at].spoil = chance(2) ? 0 : (uint8_t)chance(256);
			p->moves[at].a = (uint8_t)chance(NR_SLOTS);
			break;
		case 7: /* at the same time, or one after the other */
			if (chance(3))
				program_split(p, at);
			else
				p->nr_lanes = 1;
			break;
		default: /* the end of another */
			other = &shared->kept[chance(shared->nr_kept)];
			for (uint32_t i = at; i < MAX_MOVES && i < other->nr; i++) {
				p->moves[i] = other->moves[i];
				p->nr = i + 1;
			}
			p->nr_lanes = p->nr_lanes > other->nr_lanes ? p->nr_lanes : other->nr_lanes;
			p->alone = p->alone > other->alone ? p->alone : other->alone;
		}
	}
}

static void program_print(const struct program *p)
{
	fprintf(stderr, "# the program, in %u lanes from %u on:\n", p->nr_lanes, p->alone);
	for (uint32_t i = 0; i < p->nr; i++) {
		const struct move *m = &p->moves[i];

		fprintf(stderr, "#   %u: %s a=%u b=%u x=%u y=%u spoil=%u\n", m->lane,
			op_names[m->op], m->a, m->b, m->x, m->y, m->spoil);
	}
}

/* What takes chance long to come upon. */
static const struct program firsts[] = {
	{ .nr_lanes = 1,
	  .nr = 14,
	  .moves = { { .op = OPEN, .a = 0 },
		     { .op = PAIR, .a = 0, .b = 1 },
		     { .op = CREATE, .a = 0, .x = 2 },
		     { .op = CREATE, .a = 1, .x = 2 },
		     { .op = MEET, .a = 0 },
		     { .op = MEET, .a = 1 },
		     { .op = MMAP, .a = 0, .b = 0, .x = 0 },
		     { .op = MMAP, .a = 1, .b = 1, .x = 1 },
		     { .op = WRITE, .b = 0 },
		     { .op = READ, .b = 1 },
		     { .op = EVENTFD, .a = 1 },
		     { .op = KICK, .a = 0 },
		     { .op = WAIT, .a = 1 },
		     { .op = HANG_UP, .a = 0 } } },
	{ .nr_lanes = 1,
	  .nr = 12,
	  .moves = { { .op = OPEN, .a = 0 },
		     { .op = LISTEN, .a = 0 },
		     { .op = OPEN, .a = 1 },
		     { .op = CREATE, .a = 1, .x = 2 },
		     { .op = CONNECT, .a = 1 },
		     { .op = ACCEPT, .a = 0, .b = 2 },
		     { .op = CREATE, .a = 2, .x = 2 },
		     { .op = MEET, .a = 2 },
		     { .op = MEET, .a = 1 },
		     { .op = ASK_PEER, .a = 1 },
		     { .op = MMAP, .a = 1, .b = 0, .x = 1 },
		     { .op = POLL, .a = 2 } } },
};

/* --- moves --------------------------------------------------------------------- */

struct mapping {
	atomic_flag busy; /* held by a lane while it is at it */
	char *base; /* of a window that is kept for it */
	size_t len; /* 0: none */
	bool peer;
	bool remapped; /* by remap_file_pages, past the module: it may grow, and be executed */
};

struct lane {
	pthread_t thread;
	uint32_t nr;
	int kcov;
	unsigned long *cover; /* NULL: the kernel does not tell */
	char *arg; /* a page, behind which there is none */
	uint32_t news; /* answers that none has got before, of this program */
	uint32_t worked; /* moves of it */
};

static atomic_int slots[NR_SLOTS];
static struct mapping maps[NR_MAPS];
static struct lane lanes[NR_LANES];
static pthread_barrier_t begin, end;
static int bells[2], epoll_fd, socks[2], netlink_fd, mem_fd, netlink_family;
static uint64_t tag; /* of this program, in what it writes */
static const struct program *program;
static _Thread_local sigjmp_buf escape;
static _Thread_local struct lane *my_lane; /* NULL in a child: nobody counts there */

static const uint64_t timeouts[] = { 0, 0, 1, 100000, 1000000 };

#define PICK(table, by) ((table)[(by) % (sizeof(table) / sizeof(*(table)))])

static int slot(uint8_t i)
{
	return atomic_load(&slots[i % NR_SLOTS]);
}

static void slot_put(uint8_t i, int fd)
{
	int was = atomic_exchange(&slots[i % NR_SLOTS], fd);

	if (was >= 0)
		close(was);
}

/* Return: whether it was not there yet. */
static bool reach(uint64_t what)
{
	uint8_t *reached = &shared->reached[what * UINT64_C(0x9e3779b97f4a7c15) >> 48];
	bool news = !*reached;

	*reached = 1;
	return news;
}

/* @op, done to what @about says, was answered like this. */
static void answered(enum op op, uint32_t about, int answer)
{
	uint64_t what = (uint64_t)(op + 1) << 56 | (uint64_t)about << 32 | (uint32_t)answer;

	if (!my_lane)
		return;
	my_lane->worked += answer >= 0;
	my_lane->news += reach(what);
}

/* Whether @err, which is 0 or negative, is one of the contract's for the request. */
static void check_errno(enum op op, int err, const int *more)
{
	static const int always[] = { 0, -EINVAL, -EFAULT, -E2BIG, -EBADFD, -ENOMEM, -EINTR, 1 };

	answered(op, 0, err);
	/* The slot is empty, or becomes so. */
	if (err == -EBADF)
		return;
	for (int i = 0; always[i] != 1; i++)
		if (err == always[i])
			return;
	for (; more && *more; more++)
		if (err == -*more)
			return;
	found("%s said %s", op_names[op], strerrorname_np(-err));
}

#define ERRNOS(...) ((const int[]){ __VA_ARGS__, 0 })

/* Flip a bit of an argument; but nothing waits for long, or writes where we live. */
static void flip(unsigned long nr, uint32_t *words, uint32_t word, uint32_t bit)
{
	uint32_t timeout = 0;

	if (nr == SHMUX_IOC_CONNECT || nr == SHMUX_IOC_ACCEPT)
		timeout = offsetof(struct shmux_ioc_connect, timeout) / 4;
	if (nr == SHMUX_IOC_MEET || nr == SHMUX_IOC_WAIT)
		timeout = offsetof(struct shmux_ioc_meet, timeout) / 4;
	if (timeout && (word == timeout || word == timeout + 1)) {
		word = timeout;
		bit %= 20;
	}
	if (nr == SHMUX_IOC_PEER && (word == 6 || word == 7)) {
		word = 7;
		bit = 31;
	}
	words[word] ^= 1u << bit;
}

/*
 * Make a request, spoilt or not. @arg is the lane's copy of the argument
 * afterwards. Return: 0 or -errno.
 */
static int ask(const struct lane *lane, const struct move *m, unsigned long nr, void *arg,
	       uint32_t size)
{
	static const uint32_t sizes[] = { 0, 1, 4, 7, 8, 0x1000, 0x1001, 0xffffffff };
	char *to = lane->arg + PAGE - size;
	uint32_t *words, said = size;
	int err;

	memcpy(to, arg, size);
	words = (uint32_t *)to;
	if (m->spoil) {
		uint32_t how = m->spoil % 7, which = m->spoil / 7;

		switch (how) {
		case 0:
			said = PICK(sizes, which);
			break;
		case 1: /* a tail, of zeros or not */
		case 2:
			said = size + 8 * (1 + which % 8);
			to = lane->arg + PAGE - said;
			memset(to, 0, said);
			memcpy(to, arg, size);
			if (how == 2)
				to[said - 1] = 1;
			break;
		case 3: /* a page of them */
			said = PAGE;
			to = lane->arg;
			memset(to, which & 1, PAGE);
			memcpy(to, arg, size);
			break;
		case 4:
			words[1] ^= 1u << (which % 32);
			break;
		case 5:
			flip(nr, words, which % (size / 4), m->y % 32);
			break;
		default: /* not all of it is there */
			to = which & 1 ? NULL : lane->arg + PAGE - 4 * (1 + which % (size / 4 - 1));
			if (to)
				*(uint32_t *)to = size;
			return ioctl(slot(m->a), nr, to) ? -errno : 0;
		}
		*(uint32_t *)to = said;
	}
	err = ioctl(slot(m->a), nr, to) ? -errno : 0;
	memcpy(arg, to, size);
	return err;
}

#define ASK(what, arg) ask(lane, m, SHMUX_IOC_##what, &(arg), sizeof(arg))

static void name_pick(__u8 field[SHMUX_NAME_SIZE], uint16_t by)
{
	snprintf((char *)field, SHMUX_NAME_SIZE, "fuzz-%u", by % NR_NAMES);
	/* Longer than it may be, or with what may not be in it. */
	if (by % 31 == 30)
		memset(field, 'x', SHMUX_NAME_MAX + (by & 7));
	if (by % 31 == 29)
		field[2] = (__u8)(by >> 8);
}

static void move_create(const struct lane *lane, const struct move *m)
{
	const uint32_t sizes[] = { 2 * PAGE,  PAGE,	4 * PAGE, 16 * PAGE,	    0,
				   4 * PAGE,  PAGE + 1, 4 * PAGE, SHMUX_REGION_MAX, 0xffffffff,
				   0x80000000 };
	const uint32_t limits[] = { ANY_SIZE, 4 * PAGE, ANY_SIZE, PAGE, 0, PAGE - 1, ANY_SIZE };
	const uint32_t populates[] = { 0, 0, PAGE, 1, PAGE + 1, 4 * PAGE, 16 * PAGE };
	struct shmux_ioc_create arg = ARG(create, .region_size = PICK(sizes, m->x),
					  .populate = PICK(populates, m->y),
					  .peer_size_max = PICK(limits, m->y / 7));

	check_errno(CREATE, ASK(CREATE, arg), ERRNOS(EMSGSIZE, EDQUOT, ECONNRESET));
}

static void move_listen(const struct lane *lane, const struct move *m)
{
	const uint32_t backlogs[] = { 1, 1, 2, 16, 0, 65535, 65536 };
	const uint32_t modes[] = { EVERYBODY, EVERYBODY, 0777, 0200, 0, 01000 };
	struct shmux_ioc_listen arg = ARG(listen, .backlog = PICK(backlogs, m->y),
					  .mode = PICK(modes, m->y / 7), .flags = m->y >> 14);

	name_pick(arg.name, m->x);
	check_errno(LISTEN, ASK(LISTEN, arg), ERRNOS(EADDRINUSE, EDQUOT));
}

static void move_connect(const struct lane *lane, const struct move *m)
{
	struct shmux_ioc_connect arg = ARG(connect, .timeout = PICK(timeouts, m->y));

	name_pick(arg.name, m->x);
	check_errno(CONNECT, ASK(CONNECT, arg),
		    ERRNOS(EAGAIN, ETIMEDOUT, ECONNREFUSED, EACCES, ECONNRESET));
}

static void move_accept(const struct lane *lane, const struct move *m)
{
	struct shmux_ioc_accept arg = ARG(accept, .timeout = PICK(timeouts, m->y), .fd = -1);
	int err = ASK(ACCEPT, arg);

	check_errno(ACCEPT, err, ERRNOS(EAGAIN, ETIMEDOUT, ECONNRESET));
	if (!err)
		slot_put(m->b, arg.fd);
}

static void move_pair(const struct lane *lane, const struct move *m)
{
	struct shmux_ioc_pair arg = ARG(pair, .fd = -1);
	int err = ASK(PAIR, arg);

	check_errno(PAIR, err, ERRNOS(EDQUOT));
	if (!err)
		slot_put(m->b, arg.fd);
}

static void move_meet(const struct lane *lane, const struct move *m)
{
	const uint32_t refusals[] = { 0, 0, 0, 0, 0, 0, 1, 4095, 4096 };
	struct shmux_ioc_meet arg =
		ARG(meet, .refuse = PICK(refusals, m->x), .timeout = PICK(timeouts, m->y));

	check_errno(MEET, ASK(MEET, arg),
		    ERRNOS(EAGAIN, ETIMEDOUT, ECONNRESET, ECONNABORTED, ECONNREFUSED));
}

static void move_peer(const struct lane *lane, const struct move *m)
{
	char label[64];
	struct shmux_ioc_peer arg = ARG(peer, .label_size = m->x % (sizeof(label) + 1));

	if (m->y & 1)
		arg.label = m->y & 2 ? (uintptr_t)label : 8;
	check_errno(ASK_PEER, ASK(PEER, arg), ERRNOS(ENOTCONN, ERANGE));
}

static void move_kick(const struct move *m)
{
	const unsigned long flags[] = { 0, 0, SHMUX_KICK_SELF, 2, ~0ul };
	int err = ioctl(slot(m->a), SHMUX_IOC_KICK, PICK(flags, m->x)) ? -errno : 0;

	check_errno(KICK, err, ERRNOS(ENOTCONN, ECONNRESET));
}

static void move_wait(const struct lane *lane, const struct move *m)
{
	struct shmux_ioc_wait arg = ARG(wait, .seen = m->x % 4,
					.flags = m->x & 4 ? SHMUX_WAIT_KICK : 0,
					.timeout = PICK(timeouts, m->y));
	uint32_t seen = arg.seen;
	int err = ASK(WAIT, arg);

	check_errno(WAIT, err, ERRNOS(EAGAIN, ETIMEDOUT, ECONNRESET, ENOTCONN));
	if (!m->spoil && !err && arg.kicks == seen)
		found("WAIT has returned without news");
}

static void move_eventfd(const struct lane *lane, const struct move *m)
{
	const int fds[] = { bells[0], bells[0], bells[1], -1, 0, 9999, -2 };
	struct shmux_ioc_eventfd arg = ARG(eventfd, .fd = PICK(fds, m->x));

	check_errno(EVENTFD, ASK(EVENTFD, arg), ERRNOS(EBADF));
}

static void move_adopt(const struct lane *lane, const struct move *m)
{
	struct shmux_ioc_adopt arg = ARG(adopt);

	check_errno(ADOPT, ASK(ADOPT, arg), NULL);
}

static void move_hang_up(const struct lane *lane, const struct move *m)
{
	struct shmux_ioc_hang_up arg = ARG(hang_up);

	check_errno(HANG_UP, ASK(HANG_UP, arg), NULL);
}

/* Any number, any bytes. What it gives is closed when this process ends. */
static void move_raw(const struct lane *lane, const struct move *m)
{
	static const unsigned long numbers[] = { 0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 255 };
	uint64_t random = m->y;
	unsigned long nr = _IOC(m->spoil & 1 ? _IOC_WRITE : _IOC_NONE, SHMUX_IOC_TYPE,
				PICK(numbers, m->x), m->spoil & 1 ? 8 : 0);

	for (uint32_t i = 0; i < PAGE / 4; i++)
		((uint32_t *)lane->arg)[i] = random_next(&random) & random_next(&random) & 0x1001;
	*(uint32_t *)lane->arg = m->y & 1 ? 24 : 32;
	/* Nothing waits for long: these are the upper halves of times. */
	((uint32_t *)lane->arg)[3] = ((uint32_t *)lane->arg)[5] = 0;
	if (nr == SHMUX_IOC_ACCEPT || nr == SHMUX_IOC_PAIR)
		return;
	ioctl(slot(m->a), nr, lane->arg);
}

static struct mapping *map_take(uint8_t i)
{
	struct mapping *map = &maps[i % NR_MAPS];

	return atomic_flag_test_and_set(&map->busy) ? NULL : map;
}

static void map_give_back(struct mapping *map)
{
	atomic_flag_clear(&map->busy);
}

static void map_clear(struct mapping *map)
{
	if (mmap(map->base, WINDOW, PROT_NONE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		abort();
	map->len = 0;
}

static const int prots[] = { PROT_READ | PROT_WRITE,
			     PROT_READ,
			     PROT_READ,
			     PROT_WRITE,
			     PROT_NONE,
			     PROT_READ | PROT_EXEC,
			     PROT_READ | PROT_WRITE | PROT_EXEC };

static void check_access(enum op op, const struct mapping *map, int prot)
{
	if ((prot & PROT_EXEC) && !map->remapped)
		found("%s has made a mapping that can be executed", op_names[op]);
	if (map->peer && (prot & PROT_WRITE))
		found("%s has made a mapping of the other's region that can be written",
		      op_names[op]);
}

static void move_mmap(struct mapping *map, const struct move *m)
{
	const off64_t offsets[] = { SHMUX_MMAP_OWN,	    SHMUX_MMAP_PEER,
				    SHMUX_MMAP_OWN,	    SHMUX_MMAP_PEER,
				    SHMUX_MMAP_OWN + PAGE,  SHMUX_MMAP_PEER + PAGE,
				    SHMUX_MMAP_PEER - PAGE, 0xfffff000,
				    INT64_C(1) << 32,	    INT64_C(0x7ffffffffffff000) };
	const size_t lengths[] = { PAGE, 4 * PAGE, 2 * PAGE, 16 * PAGE, 17 * PAGE };
	const int flags[] = { MAP_SHARED,	   MAP_SHARED,
			      MAP_SHARED_VALIDATE, MAP_SHARED | MAP_POPULATE,
			      MAP_PRIVATE,	   MAP_SHARED };
	off64_t offset = PICK(offsets, m->x);
	size_t len = PICK(lengths, m->y);
	int prot = PICK(prots, m->y / 5 + (offset >= SHMUX_MMAP_PEER));
	int flag = PICK(flags, m->y / 35);

	map_clear(map);
	map->peer = offset >= SHMUX_MMAP_PEER;
	map->remapped = false;
	if (mmap64(map->base, len, prot, flag | MAP_FIXED, slot(m->a), offset) == MAP_FAILED) {
		answered(MMAP, map->peer, -errno);
		return;
	}
	answered(MMAP, map->peer, prot);
	map->len = len;
	if (flag == MAP_PRIVATE)
		found("mmap has made a mapping that is private");
	check_access(MMAP, map, prot);
}

static void move_mremap(struct mapping *map, const struct move *m)
{
	const size_t lengths[] = { map->len + PAGE, map->len > PAGE ? map->len - PAGE : PAGE,
				   map->len, 2 * map->len };
	size_t len = PICK(lengths, m->x);
	size_t was = m->y % 5 ? map->len : 0;
	int flags = m->y & 8 ? MREMAP_MAYMOVE | MREMAP_FIXED : 0;
	void *to = map->base + WINDOW / 2;

	if (len > WINDOW / 2 || mremap(map->base, was, len, flags, to) == MAP_FAILED)
		return;
	if (len > was && !map->remapped)
		found("mremap has made a mapping grow");
	if (flags)
		mremap(to, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, map->base);
	map->len = len;
}

/* Return: whether it did not end in a signal. */
static bool touch(volatile uint64_t *at, uint64_t *value, bool write)
{
	if (sigsetjmp(escape, 0))
		return false;
	if (write)
		*at = *value;
	else
		*value = *at;
	return true;
}

static void on_fault(int sig)
{
	siglongjmp(escape, sig);
}

static void check_content(uint64_t value)
{
	if (value && value != tag)
		found("memory that is not this program's: %llx", (unsigned long long)value);
}

static void move_memory(struct mapping *map, const struct move *m)
{
	static const int advices[] = { MADV_DONTNEED,	   MADV_REMOVE,	  MADV_DONTFORK,
				       MADV_DOFORK,	   MADV_WILLNEED, MADV_POPULATE_READ,
				       MADV_FREE,	   MADV_PAGEOUT,  MADV_COLD,
				       MADV_POPULATE_WRITE };
	size_t offset = (size_t)(m->x % 16) * PAGE, len = (size_t)(1 + m->y % 8) * PAGE;
	uint64_t *at = (uint64_t *)(map->base + m->x % map->len / 8 * 8), value = tag;
	int prot = PICK(prots, m->y / 8);
	char path[96];
	int fd;

	if (offset >= map->len)
		offset = 0;
	if (len > map->len - offset)
		len = map->len - offset;
	switch (m->op) {
	case MUNMAP:
		munmap(map->base + offset, len);
		break;
	case MPROTECT:
		if (!mprotect(map->base + offset, len, prot))
			check_access(MPROTECT, map, prot);
		else
			prot = -errno;
		answered(MPROTECT, map->peer, prot);
		break;
	case MREMAP:
		move_mremap(map, m);
		break;
	case REMAP_FILE_PAGES:
		if (!remap_file_pages(map->base + offset, len, 0, m->y & 3, 0))
			map->remapped = true;
		break;
	case MADVISE:
		answered(MADVISE, map->peer | (m->y / 8 % 10) << 1,
			 madvise(map->base + offset, len, PICK(advices, m->y / 8)) ? -errno : 0);
		break;
	case MLOCK:
		if (m->y & 8)
			munlock(map->base + offset, len);
		else
			mlock(map->base + offset, len);
		break;
	case READ:
		if (touch(at, &value, false))
			check_content(value);
		break;
	case WRITE:
		if (touch(at, &value, true) && map->peer)
			found("a mapping of the other's region was written");
		break;
	case WRITE_BY_KERNEL:
		if (m->y & 8) {
			if (pwrite64(mem_fd, &value, 8, (off64_t)(uintptr_t)at) == 8 && map->peer)
				found("a mapping of the other's region was written by /proc/self/mem");
		} else {
			struct iovec from = { &value, 8 }, to = { at, 8 };

			if (process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 8 && map->peer)
				found("a mapping of the other's region was written by process_vm_writev");
		}
		break;
	default: /* TRUNCATE, as root can */
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx",
			 (unsigned long)map->base, (unsigned long)map->base + map->len);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			break;
		if (!ftruncate(fd, m->y & 8 ? 0 : 64 * PAGE))
			found("the size of a region was changed");
		close(fd);
	}
}

static void move_file_io(const struct move *m)
{
	char byte = 0, path[32];
	int fd = slot(m->a), other;

	switch (m->x % 6) {
	case 0:
		if (read(fd, &byte, 1) >= 0 || write(fd, &byte, 1) >= 0)
			found("a file of the device was read or written");
		break;
	case 1:
		fcntl(fd, F_SETFL, m->y & 1 ? O_NONBLOCK : O_ASYNC);
		break;
	case 2:
		if (fd >= 0 && !ftruncate(fd, 0))
			found("a file of the device was truncated");
		break;
	case 3: /* anew, for reading only */
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		other = open(path, O_RDONLY | O_CLOEXEC);
		if (other >= 0)
			slot_put(m->b, other);
		break;
	case 4:
		other = open(SHMUX_DEVICE, (m->y & 1 ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
		if (other >= 0)
			slot_put(m->b, other);
		break;
	default:
		lseek(fd, 1, SEEK_SET);
	}
}

static void move_run(struct lane *lane, const struct move *m);

/* A child that has all descriptors, makes some of the moves, and dies. */
static void move_fork(struct lane *lane, const struct move *m)
{
	pid_t parent = getpid(), pid = fork();
	int status;

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(0);
		my_lane = NULL;
		for (uint32_t i = 0; i < m->x % 4; i++) {
			struct move also = program->moves[(m->y + i) % program->nr];

			if (also.op != FORK && also.op != DUMP)
				move_run(lane, &also);
		}
		if (m->y & 0x100)
			raise(SIGKILL);
		_exit(0);
	}
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
}

static void move_run(struct lane *lane, const struct move *m)
{
	struct epoll_event event = { .events = EPOLLIN | (m->y & 1 ? EPOLLET : 0) };
	struct mapping *map;
	int fd;

	switch (m->op) {
	case OPEN:
		fd = open(SHMUX_DEVICE, O_RDWR | O_CLOEXEC);
		if (fd >= 0)
			slot_put(m->a, fd);
		break;
	case CLOSE:
		slot_put(m->a, -1);
		break;
	case DUP:
		fd = slot(m->a) < 0 ? -1 : dup(slot(m->a));
		if (fd >= 0)
			slot_put(m->b, fd);
		break;
	case CREATE:
		move_create(lane, m);
		break;
	case LISTEN:
		move_listen(lane, m);
		break;
	case CONNECT:
		move_connect(lane, m);
		break;
	case ACCEPT:
		move_accept(lane, m);
		break;
	case PAIR:
		move_pair(lane, m);
		break;
	case MEET:
		move_meet(lane, m);
		break;
	case ASK_PEER:
		move_peer(lane, m);
		break;
	case KICK:
		move_kick(m);
		break;
	case WAIT:
		move_wait(lane, m);
		break;
	case EVENTFD:
		move_eventfd(lane, m);
		break;
	case ADOPT:
		move_adopt(lane, m);
		break;
	case HANG_UP:
		move_hang_up(lane, m);
		break;
	case RAW:
		move_raw(lane, m);
		break;
	case POLL:
		answered(POLL, 0, file_polls(slot(m->a), POLLIN | POLLOUT));
		break;
	case EPOLL:
		epoll_ctl(epoll_fd, m->x % 3 ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, slot(m->a), &event);
		epoll_wait(epoll_fd, &event, 1, 0);
		break;
	case FILE_IO:
		move_file_io(m);
		break;
	case FORK:
		move_fork(lane, m);
		break;
	case SEND:
		if (slot(m->a) >= 0)
			fd_send(socks[0], slot(m->a));
		break;
	case RECEIVE:
		fd = fd_receive(socks[1]);
		if (fd >= 0)
			slot_put(m->b, fd);
		break;
	case DUMP:
		if (!lane->nr)
			usage_dump(netlink_fd, netlink_family,
				   m->x & 1 ? SHMUX_CMD_SESSION_GET : SHMUX_CMD_LISTENER_GET, NULL,
				   NULL);
		break;
	default:
		map = map_take(m->b);
		if (!map)
			break;
		if (m->op == MMAP)
			move_mmap(map, m);
		else if (map->len)
			move_memory(map, m);
		map_give_back(map);
	}
}

/* --- running a program --------------------------------------------------------- */

static void lane_open(struct lane *lane)
{
	struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	lane->arg =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (lane->arg == MAP_FAILED || mprotect(lane->arg + PAGE, PAGE, PROT_NONE))
		abort();
	lane->kcov = open("/sys/kernel/debug/kcov", O_RDWR | O_CLOEXEC);
	if (lane->kcov < 0 || ioctl(lane->kcov, KCOV_INIT_TRACE, COVER_SIZE))
		return;
	lane->cover = mmap(NULL, COVER_SIZE * sizeof(*lane->cover), PROT_READ | PROT_WRITE,
			   MAP_SHARED, lane->kcov, 0);
	if (lane->cover == MAP_FAILED || ioctl(lane->kcov, KCOV_ENABLE, KCOV_TRACE_PC))
		abort();
	shared->has_coverage = true;
}

/* From now on it counts for this program. */
static void lane_begin(struct lane *lane)
{
	my_lane = lane;
	lane->news = lane->worked = 0;
	if (lane->cover)
		__atomic_store_n(&lane->cover[0], 0, __ATOMIC_RELAXED);
}

/* Those of the moves that it makes beside the other lanes. */
static void lane_run(struct lane *lane)
{
	for (uint32_t i = program->alone; i < program->nr; i++)
		if (program->moves[i].lane % program->nr_lanes == lane->nr)
			move_run(lane, &program->moves[i]);
}

static void *lane_loop(void *arg)
{
	struct lane *lane = arg;

	lane_open(lane);
	pthread_barrier_wait(&end);
	for (;;) {
		pthread_barrier_wait(&begin);
		if (lane->nr < program->nr_lanes) {
			lane_begin(lane);
			lane_run(lane);
		}
		pthread_barrier_wait(&end);
	}
	return NULL;
}

/* Return: how much of what was reached none has reached before. */
static uint32_t lane_news(const struct lane *lane)
{
	unsigned long n, from = 0;
	uint32_t news = lane->news;

	if (!lane->cover)
		return news;
	n = __atomic_load_n(&lane->cover[0], __ATOMIC_RELAXED);
	for (unsigned long i = 1; i <= n; i++) {
		news += reach(lane->cover[i] ^ from << 1);
		from = lane->cover[i] & 0xffffff;
	}
	return news;
}

/* Of ends that nobody else is at now: a kick is told, once. */
static void check_kicks(int fd)
{
	uint32_t count = 0, seen;
	int err;

	if (end_kick_self(fd))
		return;
	err = end_wait(fd, &count, NO_WAIT);
	/* It may have been kicked 2^32 times, in theory. */
	if (err == -EAGAIN || err == -ECONNRESET)
		found("a kick of one's own was lost");
	if (err)
		return;
	if ((file_polls(fd, POLLIN) & (POLLIN | POLLHUP)) == POLLIN)
		found("poll tells of a kick that WAIT has told");
	if (end_kick_self(fd))
		return;
	if (!(file_polls(fd, POLLIN) & POLLIN))
		found("poll does not tell of a kick");
	seen = count;
	err = end_wait(fd, &seen, NO_WAIT);
	if (err || seen != count + 1)
		found("a kick was lost: %u, then %u (%d)", count, seen, err);
}

static void world_open(void)
{
	for (int i = 0; i < NR_SLOTS; i++)
		atomic_store(&slots[i], -1);
	for (int i = 0; i < 2; i++)
		bells[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	mem_fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	netlink_fd = usage_socket();
	netlink_family = usage_family(netlink_fd);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, socks))
		abort();
	for (int i = 0; i < NR_MAPS; i++) {
		maps[i].base = mmap(NULL, WINDOW, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (maps[i].base == MAP_FAILED)
			abort();
	}
	pthread_barrier_init(&begin, NULL, NR_LANES);
	pthread_barrier_init(&end, NULL, NR_LANES);
	for (uint32_t i = 1; i < NR_LANES; i++) {
		lanes[i].nr = i;
		if (pthread_create(&lanes[i].thread, NULL, lane_loop, &lanes[i]))
			abort();
	}
	lane_open(&lanes[0]);
	/* From now on nobody maps anything but in a window. */
	pthread_barrier_wait(&end);
}

static void world_clear(void)
{
	int fd;

	for (int i = 0; i < NR_SLOTS; i++) {
		fd = slot((uint8_t)i);
		if (fd >= 0)
			check_kicks(fd);
	}
	for (int i = 0; i < NR_SLOTS; i++)
		slot_put((uint8_t)i, -1);
	while ((fd = fd_receive(socks[1])) >= 0)
		close(fd);
	for (int i = 0; i < NR_MAPS; i++)
		if (maps[i].len)
			map_clear(&maps[i]);
}

static const struct program *kept_random(void)
{
	/* The newest are the most likely to lead on. */
	uint32_t span = chance(2) && shared->nr_kept > 32 ? 32 : shared->nr_kept;

	return &shared->kept[shared->nr_kept - 1 - chance(span)];
}

/* One that gets far, mostly. */
static const struct program *kept_pick(void)
{
	const struct program *one = kept_random(), *other = kept_random();

	return one->worked > other->worked || !chance(4) ? one : other;
}

static void program_choose(struct program *p)
{
	uint32_t nr = atomic_load(&shared->executions);

	if (nr < sizeof(firsts) / sizeof(*firsts)) {
		*p = firsts[nr];
	} else if (!chance(4)) {
		program_random(p);
	} else {
		*p = *kept_pick();
		program_vary(p);
	}
}

/* In a process of its own, whose death is a part of what is tried. */
static void programs_run(void)
{
	uint32_t news;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	world_open();
	for (int i = 0; i < PROGRAMS_A_PROCESS && !atomic_load(&shared->found); i++) {
		program_choose(&shared->running);
		program = &shared->running;
		tag = UINT64_C(0x5348) << 48 | (1 + atomic_fetch_add(&shared->executions, 1));
		lane_begin(&lanes[0]);
		for (uint32_t move = 0; move < program->alone && move < program->nr; move++)
			move_run(&lanes[0], &program->moves[move]);
		if (program->nr_lanes > 1)
			pthread_barrier_wait(&begin);
		lane_run(&lanes[0]);
		if (program->nr_lanes > 1)
			pthread_barrier_wait(&end);

		news = shared->running.worked = 0;
		for (uint32_t lane = 0; lane < program->nr_lanes; lane++) {
			news += lane_news(&lanes[lane]);
			shared->running.worked += lanes[lane].worked;
		}
		shared->nr_reached += news;
		/* Where little is told, some are kept at random. */
		if (news || (!shared->has_coverage && !chance(64)))
			shared->kept[shared->nr_kept < MAX_KEPT ? shared->nr_kept++ :
								  chance(MAX_KEPT)] = *program;
		/* The last leaves everything as it is. */
		if (i + 1 < PROGRAMS_A_PROCESS)
			world_clear();
	}
	_exit(0);
}

/* --- the whole ----------------------------------------------------------------- */

/* What the kernel has said since the last time, if it is a complaint. */
static void check_log(int log)
{
	static const char *const complaints[] = { "BUG:",    "WARNING:",    "KASAN:",
						  "UBSAN:",  "refcount_t:", "corruption",
						  "ODEBUG:", "INFO: task",  "general protection" };
	char line[1024];
	ssize_t n;

	for (;;) {
		n = read(log, line, sizeof(line) - 1);
		if (n < 0 && errno == EPIPE)
			continue;
		if (n <= 0)
			return;
		line[n] = 0;
		/* Which of the data races are the module's is for vm/verdict to say. */
		if (strstr(line, "BUG: KCSAN:"))
			continue;
		for (size_t i = 0; i < sizeof(complaints) / sizeof(*complaints); i++)
			if (strstr(line, complaints[i]))
				found("the kernel complained: %s",
				      strchr(line, ';') ? strchr(line, ';') + 1 : line);
	}
}

/* What was seen of a process that does not go on; told last, for it tells most. */
static char evidence[16 << 10];

/* Where a process is in the kernel, thread by thread. */
static void process_look(pid_t pid, const char *why)
{
	/* The last byte stays the end of the text. */
	FILE *to = fmemopen(evidence, sizeof(evidence) - 1, "a");
	static const char *const about[] = { "status", "syscall", "stack" };
	char path[64], line[256];
	struct dirent *task;
	DIR *tasks;
	FILE *file;

	if (!to)
		return;
	fprintf(to, "# %s:\n", why);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	while (tasks && (task = readdir(tasks))) {
		if (task->d_name[0] == '.')
			continue;
		for (size_t i = 0; i < sizeof(about) / sizeof(*about); i++) {
			snprintf(path, sizeof(path), "/proc/%d/task/%.16s/%s", pid, task->d_name,
				 about[i]);
			file = fopen(path, "re");
			while (file && fgets(line, sizeof(line), file))
				if (i || !strncmp(line, "State:", 6))
					fprintf(to, "# %s: %s", task->d_name, line);
			if (file)
				fclose(file);
		}
	}
	if (tasks)
		closedir(tasks);
	fclose(to);
	/* Of what runs there is no stack to read: the kernel logs where all processors are. */
	file = strstr(evidence, "State:\tR") ? fopen("/proc/sysrq-trigger", "we") : NULL;
	if (file) {
		fputs("l", file);
		fclose(file);
	}
}

static time_t seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static void check_dies(pid_t pid)
{
	time_t until = seconds_now() + DEATH_SECONDS;

	while (waitpid(pid, NULL, WNOHANG) == 0) {
		if (seconds_now() > until) {
			process_look(pid, "killed, and not dead after a while");
			return;
		}
		usleep(20000);
	}
}

/* Until the process has come to its end, or something is found. */
static void process_watch(pid_t pid, int log)
{
	time_t last = seconds_now();
	uint32_t seen = 0, now;
	int status;

	while (waitpid(pid, &status, WNOHANG) == 0) {
		now = atomic_load(&shared->executions);
		if (now != seen) {
			seen = now;
			last = seconds_now();
		} else if (seconds_now() - last > HANG_SECONDS) {
			found("a program hangs");
			process_look(pid, "it hangs");
		}
		check_log(log);
		if (atomic_load(&shared->found)) {
			kill(pid, SIGKILL);
			check_dies(pid);
			return;
		}
		usleep(20000);
	}
	if (WIFSIGNALED(status))
		found("the process of the programs died of signal %d", WTERMSIG(status));
}

static void check_nothing_is_left(const struct usage *nothing)
{
	struct usage is;

	if (!usage_becomes(nothing, &is))
		found("%llu listeners, %llu sessions, %llu bytes are left of the programs",
		      (unsigned long long)is.used[SHMUX_LISTENERS],
		      (unsigned long long)is.used[SHMUX_SESSIONS],
		      (unsigned long long)is.used[SHMUX_BYTES]);
	for (uint16_t i = 0; i < NR_NAMES; i++) {
		__u8 name[SHMUX_NAME_SIZE] = { 0 };
		int fd;

		name_pick(name, i);
		fd = listener_new((const char *)name);
		if (fd < 0)
			found("the name %s is still taken", name);
		else
			close(fd);
	}
}

TEST(random_programs_break_nothing)
{
	const char *seconds = getenv("SHMUX_FUZZ_SECONDS");
	time_t until = seconds_now() + (seconds ? atoi(seconds) : SECONDS);
	struct usage nothing;
	pid_t pid;
	int log;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	ASSERT_NE(MAP_FAILED, shared);
	shared->random = effort_seed();
	for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++)
		shared->kept[shared->nr_kept++] = firsts[i];
	log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	/* Only root may read it; the verdict on a virtual machine does in any case. */
	ASSERT_TRUE(log >= 0 || geteuid());
	lseek(log, 0, SEEK_END);
	ASSERT_TRUE(usage_becomes_none(&nothing));

	while (seconds_now() < until && !atomic_load(&shared->found)) {
		pid = fork();
		if (!pid)
			programs_run();
		ASSERT_LT(0, pid);
		process_watch(pid, log);
		if (!atomic_load(&shared->found))
			check_nothing_is_left(&nothing);
		check_log(log);
	}

	fprintf(stderr, "# %u programs, %u kept, %s%u steps reached\n",
		atomic_load(&shared->executions), shared->nr_kept,
		shared->has_coverage ? "" : "no coverage: ", shared->nr_reached);
	EXPECT_LT(0, atomic_load(&shared->executions));
	EXPECT_TRUE(shared->has_coverage || !getenv("SHMUX_FUZZ_COVERAGE"));
	EXPECT_FALSE(atomic_load(&shared->found))
	{
		program_print(&shared->running);
		fputs(evidence, stderr);
		TH_LOG("found after %u programs: %s", atomic_load(&shared->executions),
		       shared->what);
	}
	close(log);
}

TEST_HARNESS_MAIN
