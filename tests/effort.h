/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * effort.h - how hard a test tries, and how to try the same again
 *
 * In `make check` a promised time is bounded generously, since others use the
 * machine; in `make stress` (SHMUX_STRESS set) it is held to what is promised,
 * and everything is run round after round, each with a seed of its own.
 */
#ifndef TESTS_EFFORT_H
#define TESTS_EFFORT_H

#include <stdbool.h>
#include <stdint.h>

/* For TEST_F_TIMEOUT(), where the runner's own limit is the one that counts. */
#define EFFORT_TIMEOUT 3600

/* Whether this is `make stress`. */
bool effort_is_stress(void);

/*
 * Whether the machine is emulated (SHMUX_EMULATED set, by tests/vm): everything
 * takes many times as long there, so counts are smaller, by a factor of what it is
 * set to, and bounds wider.
 */
bool effort_is_emulated(void);

/* @nr, or fewer where the machine is emulated. */
uint32_t effort_count(uint32_t nr);

/* What a wait that is promised to take @promised ns may take here, in ns. */
uint64_t effort_bound(uint64_t promised);

/*
 * Where the random numbers of this run start: what `--seed N` on the command
 * line says, else SHMUX_TEST_SEED, else a new one. The same for all tests of a
 * run; said on stderr as a line of TAP, with how to have it again.
 */
uint64_t effort_seed(void);

#endif /* TESTS_EFFORT_H */
