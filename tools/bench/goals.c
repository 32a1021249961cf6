// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * goals.c - what shmux wants to reach, and whether it did in this run
 *
 * Goals are ratios between rows of one run, but for few. Nothing here is an assertion: a
 * missed goal is reported, and the exit code stays the same.
 */
#include "goals.h"

#include <string.h>

enum relation { AT_MOST, AT_LEAST, LESS };

/* A row by its keys, in the order of the JSON file. */
#define ROW(...) find(b, __VA_ARGS__)
#define P50(...) p50(ROW(__VA_ARGS__))
#define RATE(...) bench_median(ROW(__VA_ARGS__), BENCH_RATE)

/* Those whose system calls are goals. */
#define SHMUX_RTT "shmux", "rtt", 64, "spin", "copy", 0, "split"
#define SHMUX_ONEWAY "shmux", "oneway", 64, "spin", "copy", 1, "split"
#define YAMUX_RTT "yamux", "rtt", 64, "block", "copy", 0, "split"
#define YAMUX_CHURN "yamux", "churn", 64, "block", "copy", 0, "split"

static bool same(const char *x, const char *y)
{
	return x == y || (x && y && !strcmp(x, y));
}

static bool is_row(const struct bench_case *bc, const char *system, const char *test, size_t bytes,
		   const char *wait, const char *path, unsigned int batch, const char *placement)
{
	return same(bc->system, system) && same(bc->test, test) && bc->bytes == bytes &&
	       same(bc->wait, wait) && same(bc->path, path) && bc->batch == batch &&
	       same(bc->placement, placement) && !bench_many(bc);
}

static const struct bench_result *find(const struct bench *b, const char *system, const char *test,
				       size_t bytes, const char *wait, const char *path,
				       unsigned int batch, const char *placement)
{
	for (unsigned int i = 0; i < b->nr_results; i++)
		if (is_row(b->results[i].bc, system, test, bytes, wait, path, batch, placement))
			return &b->results[i];
	return NULL;
}

/* The same for rows of many at once: shmux's, copied, with a CPU each. */
#define MANY(...) \
	find_many(b, &(struct bench_case){ .system = "shmux", .path = "copy", \
					   .placement = "split", __VA_ARGS__ })

static const struct bench_result *find_many(const struct bench *b, const struct bench_case *key)
{
	for (unsigned int i = 0; i < b->nr_results; i++) {
		const struct bench_case *bc = b->results[i].bc;

		if (same(bc->system, key->system) && same(bc->test, key->test) &&
		    bc->bytes == key->bytes && same(bc->wait, key->wait) &&
		    same(bc->path, key->path) && bc->batch == key->batch &&
		    same(bc->placement, key->placement) && bc->streams == key->streams &&
		    bc->sessions == key->sessions && bc->threads == key->threads &&
		    bc->depth == key->depth)
			return &b->results[i];
	}
	return NULL;
}

static double p50(const struct bench_result *r)
{
	return bench_median(r, BENCH_P50);
}

/* The least, of those that are there. */
static double least(const double *figures, unsigned int nr)
{
	double found = 0;

	for (unsigned int i = 0; i < nr; i++)
		if (figures[i] > 0 && (!found || figures[i] < found))
			found = figures[i];
	return found;
}

static double most(double x, double y)
{
	return x > y ? x : y;
}

static void print_goal(FILE *out, const char *what, bool known, double figure,
		       enum relation relation, double goal, const char *unit)
{
	static const char *const signs[] = { "<=", ">=", "<" };
	bool met = relation == AT_MOST ? figure <= goal :
		   relation == AT_LEAST ? figure >= goal :
					  figure < goal;

	fprintf(out, "  %-62s %2s %5.5g%-3s ", what, signs[relation], goal, unit);
	if (known)
		fprintf(out, "%8.3f%-3s %s\n", figure, unit, met ? "met" : "MISSED");
	else
		fprintf(out, "%8s\n", "-");
}

static void print_ratio(FILE *out, const char *what, double x, double y, enum relation relation,
			double goal)
{
	print_goal(out, what, x > 0 && y > 0, x / y, relation, goal, "");
}

static void print_small(const struct bench *b, FILE *out)
{
	const struct bench_result *rtt48 = ROW("shmux", "rtt", 48, "spin", "copy", 0, "split");
	const struct bench_result *rtt64 = ROW("shmux", "rtt", 64, "spin", "copy", 0, "split");
	double line = P50("limit", "cacheline", 0, "spin", NULL, 0, "split");

	print_ratio(out, "48 B round trip, spin, split / bare cache line", p50(rtt48), line,
		    AT_MOST, 1.25);
	print_ratio(out, "64 B round trip, spin, split / bare cache line", p50(rtt64), line,
		    AT_MOST, 1.15);
	print_ratio(out, "48 B round trip, spin, split: p99 / p50",
		    bench_median(rtt48, BENCH_P99), p50(rtt48), AT_MOST, 2);
	print_ratio(out, "64 B round trip, spin, split: p99 / p50",
		    bench_median(rtt64, BENCH_P99), p50(rtt64), AT_MOST, 2);
}

static void print_large(const struct bench *b, FILE *out)
{
	double ring4k = P50("limit", "ring-rtt", 4096, "spin", "copy", 0, "split");
	double ring64k = P50("limit", "ring-rtt", 65536, "spin", "copy", 0, "split");
	double parts = P50("limit", "ring-rtt", 65536, "spin", "copy", 4, "split");
	double copy = P50("shmux", "rtt", 65536, "spin", "copy", 0, "split");

	print_ratio(out, "4 KB round trip, spin, copy / bare copying ring",
		    P50("shmux", "rtt", 4096, "spin", "copy", 0, "split"), ring4k, AT_MOST, 1.15);
	print_ratio(out, "64 KB round trip, spin, copy / bare copying ring", copy, ring64k,
		    AT_MOST, 1.15);
	print_ratio(out, "64 KB round trip, spin, copy / bare ring with 4 fragments", copy, parts,
		    AT_MOST, 1.15);
	print_ratio(out, "64 KB round trip, spin, zero copy / bare copying ring",
		    P50("shmux", "rtt", 65536, "spin", "zerocopy", 0, "split"), ring64k, LESS, 1);
}

static void print_blocking(const struct bench *b, FILE *out, const char *placement, double goal)
{
	double shmux = P50("shmux", "rtt", 64, "block", "copy", 0, placement);
	double wakes[] = {
		P50("eventfd", "rtt", 8, "block", "copy", 0, placement),
		P50("futex", "rtt", 4, "block", "copy", 0, placement),
		P50("pipe", "rtt", 64, "block", "copy", 0, placement),
	};
	char what[80];

	snprintf(what, sizeof(what), "64 B round trip, block, %s / best of eventfd, futex, pipe",
		 placement);
	print_ratio(out, what, shmux, least(wakes, 3), AT_MOST, goal);
	snprintf(what, sizeof(what), "64 B round trip, block, %s / AF_UNIX", placement);
	print_ratio(out, what, shmux, P50("af_unix", "rtt", 64, "block", "copy", 0, placement),
		    LESS, 1);
}

static void print_idle(const struct bench *b, FILE *out)
{
	print_ratio(out, "64 B round trip, adaptive, split / spin",
		    P50("shmux", "rtt", 64, "adaptive", "copy", 0, "split"),
		    P50("shmux", "rtt", 64, "spin", "copy", 0, "split"), AT_MOST, 1.3);
	print_goal(out, "idle session, adaptive, both ends: wake-ups", b->idle.known,
		   b->idle.wakeups, AT_MOST, 20, "/s");
	print_goal(out, "idle session, adaptive, both ends: CPU", b->idle.known,
		   b->idle.cpu * 100, AT_MOST, 0.1, " %");
}

static void print_oneway(const struct bench *b, FILE *out)
{
	double batched = RATE("shmux", "oneway", 64, "spin", "copy", 64, "split");
	double batch_of_limit = RATE("limit", "ring-oneway", 64, "spin", "copy", 64, "split");
	double bulk = RATE("shmux", "oneway", 65536, "spin", "copy", 1, "split");
	double bare = RATE("limit", "copy-stream", 65536, "spin", "copy", 0, "split");
	double deep = RATE("limit", "copy-stream", 65536, "spin", "deep", 0, "split");
	double past = RATE("limit", "copy-stream", 65536, "spin", "past", 0, "split");
	double quickest = most(most(bare, deep), past);
	double large = RATE("limit", "copy-stream", 16 << 20, "spin", "copy", 0, "split");
	double large_past = RATE("limit", "copy-stream", 16 << 20, "spin", "past", 0, "split");

	print_ratio(out, "64 B one way, each published / bare ring of batch 1",
		    RATE("shmux", "oneway", 64, "spin", "copy", 1, "split"),
		    RATE("limit", "ring-oneway", 64, "spin", "copy", 1, "split"), AT_LEAST, 1);
	print_ratio(out, "64 B one way, batches of 64 by writev / bare ring of batch 64",
		    RATE("shmux", "oneway", 64, "spin", "writev", 64, "split"), batch_of_limit,
		    AT_LEAST, 0.6);
	print_ratio(out, "64 B one way, batches of 64 by calls / bare ring of batch 64",
		    batched, batch_of_limit, AT_LEAST, 0.6);
	print_ratio(out, "64 B one way, batches of 64 by calls / ZeroMQ, split", batched,
		    RATE("zeromq", "oneway", 64, "block", "copy", 1, "split"), AT_LEAST, 5);
	print_ratio(out, "64 KB one way, copy / bare copying stream, the quickest", bulk,
		    quickest, AT_LEAST, 0.9);
	print_ratio(out, "64 KB one way, zero copy / bare copying stream, the quickest",
		    RATE("shmux", "oneway", 65536, "spin", "zerocopy", 1, "split"), quickest,
		    AT_LEAST, 1);
	print_ratio(out, "64 KB one way, copy / AF_UNIX, split", bulk,
		    RATE("af_unix", "oneway", 65536, "block", "copy", 1, "split"), AT_LEAST, 4);
	print_ratio(out, "64 KB echoed, copy / AF_UNIX, split",
		    RATE("shmux", "rtt", 65536, "spin", "copy", 0, "split"),
		    RATE("af_unix", "rtt", 65536, "block", "copy", 0, "split"), AT_LEAST, 6);
	print_ratio(out, "16 MB messages one way / bare copy through as much memory",
		    RATE("shmux", "oneway", 16 << 20, "spin", "message", 1, "split"),
		    most(large, large_past), AT_LEAST, 0.8);
}

/* Of each @messages of @r together. */
static void print_calls(FILE *out, const char *what, const struct bench_result *r,
			unsigned int messages, double goal)
{
	bool known = r && r->calls.known;

	print_goal(out, what, known, known ? bench_calls(r) * messages : 0, AT_MOST, goal, "");
	if (known)
		fprintf(out, "    (%llu calls, %llu messages)\n",
			(unsigned long long)r->calls.nr_calls,
			(unsigned long long)r->calls.nr_messages);
}

static void print_streams(const struct bench *b, FILE *out)
{
	const struct bench_result *stalled =
		ROW("shmux", "stalled-rtt", 64, "spin", "copy", 0, "split");
	double rtt = P50("shmux", "rtt", 64, "spin", "copy", 0, "split");

	print_ratio(out, "open + 64 B echo + close / 64 B round trip",
		    P50("shmux", "churn", 64, "spin", "copy", 0, "split"), rtt, AT_MOST, 3);
	print_calls(out, "system calls a message, 64 B round trips, busy", ROW(SHMUX_RTT), 1, 0);
	print_calls(out, "system calls a message, 64 B one way, busy", ROW(SHMUX_ONEWAY), 1, 0);
	print_ratio(out, "64 B round trip beside a stalled stream / without",
		    p50(stalled), rtt, AT_MOST, 1.1);
	if (stalled && stalled->stalled_bytes)
		fprintf(out, "    (the stalled stream took %.0f KiB, then no more)\n",
			stalled->stalled_bytes / 1024.0);
}

/* From 32 on no depth is to be slower than the best of all, nor to take memory for it. */
static void print_flood(const struct bench *b, FILE *out)
{
	static const unsigned int depths[] = { 1, 8, 32, 128, 1000, 10000 };
	const struct bench_result *r = NULL;
	double best = 0, worst = 0;

	for (size_t i = 0; i < sizeof(depths) / sizeof(*depths); i++) {
		double rate;

		r = MANY(.test = "flood", .bytes = 64, .wait = "spin", .depth = depths[i]);
		rate = bench_median(r, BENCH_RATE);
		if (rate > best)
			best = rate;
		if (depths[i] >= 32 && rate > 0 && (!worst || rate < worst))
			worst = rate;
	}
	print_ratio(out, "requests a second, 32 to 10,000 under way: least / best depth", worst,
		    best, AT_LEAST, 0.9);
	if (r && r->peak_bytes)
		fprintf(out, "    (both ends at most %.1f MiB with %u under way)\n",
			r->peak_bytes / 1048576.0, r->bc->depth);
}

static void print_threads(const struct bench *b, FILE *out, size_t bytes, const char *size)
{
	double rates[3];
	char what[80];

	for (unsigned int i = 0; i < 3; i++)
		rates[i] = bench_median(MANY(.test = "threads-oneway", .bytes = bytes,
					     .wait = "adaptive", .batch = 1, .threads = 1 << i),
					BENCH_RATE);
	snprintf(what, sizeof(what), "%s one way by 2 and by 4 threads of a session / by one",
		 size);
	print_ratio(out, what, least(rates + 1, 2), rates[0], AT_LEAST, 0.8);
}

static void print_mass(const struct bench *b, FILE *out, const char *test, const char *what)
{
	double ns = bench_median(MANY(.test = test, .bytes = 1024, .wait = "spin",
				      .streams = 8192), BENCH_P50);

	print_goal(out, what, ns > 0, ns / 1e6, AT_MOST, 20, " ms");
}

static void print_many(const struct bench *b, FILE *out)
{
	const struct bench_result *open = MANY(.test = "open", .wait = "adaptive",
					       .streams = 1000000);
	bool known = open && open->idle_bytes;

	print_flood(b, out);
	print_threads(b, out, 64, "64 B");
	print_threads(b, out, 65536, "64 KB");
	print_mass(b, out, "mass", "1 KB echoed on each of 8,192 streams");
	print_mass(b, out, "mass-open", "the same, with opening and closing them");
	print_goal(out, "1,000,000 idle streams, memory of both ends", known,
		   known ? open->idle_bytes / 1e6 : 0, AT_MOST, 256, " MB");
	if (known)
		fprintf(out, "    (%.0f bytes each)\n",
			(double)open->idle_bytes / open->bc->streams);
}

/* Not pinned, a round trip falls on either side by chance: no median can say it. */
static void print_free(const struct bench *b, FILE *out)
{
	const struct bench_result *rows[] = {
		ROW("shmux", "rtt", 64, "block", "copy", 0, "free"),
		ROW("eventfd", "rtt", 8, "block", "copy", 0, "free"),
		ROW("futex", "rtt", 4, "block", "copy", 0, "free"),
		ROW("pipe", "rtt", 64, "block", "copy", 0, "free"),
		ROW("af_unix", "rtt", 64, "block", "copy", 0, "free"),
	};
	bool titled = false;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (!rows[i] || !rows[i]->nr_rounds)
			continue;
		if (!titled)
			fprintf(out, "\nRound trip, block, not pinned: p50 of %u alternated runs, "
				     "least, median, most\n", rows[i]->nr_rounds);
		titled = true;
		fprintf(out, "  %-8s %7.1f us %7.1f us %7.1f us\n", rows[i]->bc->system,
			bench_least(rows[i], BENCH_P50) / 1e3, p50(rows[i]) / 1e3,
			bench_most(rows[i], BENCH_P50) / 1e3);
	}
}

bool bench_goals_count_calls(const struct bench_case *bc)
{
	return is_row(bc, SHMUX_RTT) || is_row(bc, SHMUX_ONEWAY) || is_row(bc, YAMUX_RTT) ||
	       is_row(bc, YAMUX_CHURN);
}

void bench_goals_print(const struct bench *b, FILE *out)
{
	fprintf(out, "\nGoals: ratios of p50 or of messages a second within this run\n");
	print_small(b, out);
	print_large(b, out);
	print_blocking(b, out, "same", 1.25);
	print_blocking(b, out, "split", 1.1);
	print_idle(b, out);
	print_oneway(b, out);
	print_streams(b, out);
	print_many(b, out);
	print_free(b, out);
}

/* The default of sessions, beside that of Go's. */
static void print_yamux(const struct bench *b, FILE *out, const char *placement)
{
	double go = P50("go-yamux", "churn", 64, "block", "copy", 0, placement);
	char what[80];

	snprintf(what, sizeof(what), "yamux: 64 KB one way, %s / hashicorp/yamux", placement);
	print_ratio(out, what, RATE("yamux", "oneway", 65536, "adaptive", "copy", 1, placement),
		    RATE("go-yamux", "oneway", 65536, "block", "copy", 1, placement), AT_LEAST, 2);
	snprintf(what, sizeof(what), "yamux: 64 B round trip, %s / hashicorp/yamux", placement);
	print_ratio(out, what, P50("yamux", "rtt", 64, "adaptive", "copy", 0, placement),
		    P50("go-yamux", "rtt", 64, "block", "copy", 0, placement), AT_MOST, 0.5);
	snprintf(what, sizeof(what), "yamux: open + 64 B echo + close, %s / hashicorp/yamux",
		 placement);
	print_ratio(out, what, P50("yamux", "churn", 64, "adaptive", "copy", 0, placement), go,
		    AT_MOST, 0.25);
	snprintf(what, sizeof(what), "yamux: the same with SHMUX_MORE, %s / hashicorp/yamux",
		 placement);
	print_ratio(out, what, P50("yamux", "churn", 64, "adaptive", "more", 0, placement), go,
		    AT_MOST, 0.25);
}

void bench_goals_print_yamux(const struct bench *b, FILE *out)
{
	fprintf(out, "\nGoals: ratios of p50 or of messages a second within this run\n");
	print_yamux(b, out, "same");
	print_yamux(b, out, "split");
	/* To write, to read, and to look what the peer has said before each write. */
	print_calls(out, "yamux: system calls a message, 64 B round trips", ROW(YAMUX_RTT), 1, 3.5);
	print_calls(out, "yamux: system calls a stream, open + echo + close", ROW(YAMUX_CHURN), 2,
		    15);
}
