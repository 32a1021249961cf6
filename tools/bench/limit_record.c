// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * limit_record.c - a bare ring one way, each record with its own commit word
 *
 * 48 bytes of payload a record, and so many records that the two ends stay out
 * of each other's lines; no fence, so the consumer can never sleep. The fastest
 * way we know to publish each. The row has no batch.
 */
#include "case.h"

enum { NR_RECORDS = 8192 };

struct record {
	_Alignas(64) _Atomic uint32_t lap;
	_Alignas(16) uint64_t payload[6];
};

struct ring {
	_Alignas(256) _Atomic uint32_t consumer;
	_Alignas(4096) struct record records[NR_RECORDS];
};

static void far(struct bench_run *run)
{
	struct ring *ring = run->shared;
	_Alignas(16) uint64_t out[6];
	uint32_t n = 0, seen = 0;

	for (;; n++) {
		struct record *record = &ring->records[n % NR_RECORDS];

		while (n + 1 - seen > NR_RECORDS)
			seen = atomic_load_explicit(&ring->consumer, memory_order_acquire);
		bench_fill(out, 48, n);
		memcpy(record->payload, out, 48);
		atomic_store_explicit(&record->lap, n / NR_RECORDS + 1, memory_order_release);
	}
}

static void near(struct bench_run *run)
{
	struct ring *ring = run->shared;
	_Alignas(16) uint64_t in[6];
	uint32_t n = 0;

	bench_start(run);
	do {
		for (uint32_t i = 0; i < NR_RECORDS / 4; i++, n++) {
			struct record *record = &ring->records[n % NR_RECORDS];

			while (atomic_load_explicit(&record->lap, memory_order_acquire) !=
			       n / NR_RECORDS + 1)
				;
			memcpy(in, record->payload, 48);
			bench_check(run, in, 48, n);
		}
		atomic_store_explicit(&ring->consumer, n, memory_order_release);
	} while (bench_took(run, NR_RECORDS / 4));
}

const struct bench_case bench_limit_record[] = {
	{ "limit", "ring-oneway", 48, "spin", "copy", 0, "split", NULL, near, far },
	{ 0 }
};
