/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_absent.h - which peers this machine lacks; see struct bench_table
 */
#ifndef SHMUX_BENCH_PEER_ABSENT_H
#define SHMUX_BENCH_PEER_ABSENT_H

const char *bench_mq_absent(void);
const char *bench_mq_large_absent(void);
const char *bench_zeromq_absent(void);
const char *bench_nng_absent(void);
const char *bench_peer_mass_absent(void);

/* Their programs in Go are looked for beside the command. */
const char *bench_go_yamux_absent(void);
const char *bench_go_smux_absent(void);

#endif
