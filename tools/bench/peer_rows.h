/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_rows.h - the rows that every peer has, as far as its messages reach
 *
 * Whoever includes this defines SYSTEM, its name, and RTT and ONEWAY, each the setup,
 * @near and @far of that test. All peers sleep when there is nothing to do: none of
 * these systems can spin.
 */
#ifndef SHMUX_BENCH_PEER_ROWS_H
#define SHMUX_BENCH_PEER_ROWS_H

#include "case.h"

/* Of 16 MB a dozen a slice must do. */
#define PEER_SLICE(bytes) ((bytes) > 1 << 20 ? 0.2 : 0)

#define PEER_RTT(bytes, placement, level)                                              \
	{ SYSTEM, "rtt", bytes, "block", "copy", 0, placement, RTT, level, PEER_SLICE(bytes) }
#define PEER_ONEWAY(bytes, placement, level)                                           \
	{ SYSTEM, "oneway", bytes, "block", "copy", 1, placement, ONEWAY, level, PEER_SLICE(bytes) }

/* Both tests at one size; the levels are those of each placement. */
#define PEER_ROWS(bytes, split, same, free)                                            \
	PEER_RTT(bytes, "split", split), PEER_RTT(bytes, "same", same),                \
	PEER_RTT(bytes, "free", free), PEER_ONEWAY(bytes, "split", split),             \
	PEER_ONEWAY(bytes, "same", same), PEER_ONEWAY(bytes, "free", free)

#define PEER_ROWS_8 PEER_ROWS(8, BENCH_USUAL, BENCH_FULL, BENCH_FULL)
#define PEER_ROWS_64 PEER_ROWS(64, BENCH_QUICK, BENCH_USUAL, BENCH_USUAL)
#define PEER_ROWS_1K PEER_ROWS(1024, BENCH_USUAL, BENCH_FULL, BENCH_FULL)
#define PEER_ROWS_4K PEER_ROWS(4096, BENCH_USUAL, BENCH_USUAL, BENCH_FULL)
#define PEER_ROWS_64K PEER_ROWS(65536, BENCH_USUAL, BENCH_USUAL, BENCH_FULL)
#define PEER_ROWS_1M PEER_ROWS(1 << 20, BENCH_USUAL, BENCH_FULL, BENCH_FULL)
#define PEER_ROWS_16M PEER_ROWS(16 << 20, BENCH_USUAL, BENCH_FULL, BENCH_FULL)

#define PEER_ROWS_TO_4K PEER_ROWS_8, PEER_ROWS_64, PEER_ROWS_1K, PEER_ROWS_4K
#define PEER_ROWS_TO_64K PEER_ROWS_TO_4K, PEER_ROWS_64K
#define PEER_ROWS_TO_16M PEER_ROWS_TO_64K, PEER_ROWS_1M, PEER_ROWS_16M

#endif
