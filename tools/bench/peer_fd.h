/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * peer_fd.h - round trips and one way over descriptors that read and write bytes
 *
 * For pipes and sockets: fds[0] is @near's to read, fds[1] @near's to write,
 * fds[2] @far's to read, fds[3] @far's to write.
 */
#ifndef SHMUX_BENCH_PEER_FD_H
#define SHMUX_BENCH_PEER_FD_H

#include "case.h"

/* A setup's last step: sockets at fds[0] and fds[2] are to be written to as well. */
int bench_fd_both_ways(struct bench_run *run);

void bench_fd_ping(struct bench_run *run);
void bench_fd_pong(struct bench_run *run);
void bench_fd_sink(struct bench_run *run);
void bench_fd_source(struct bench_run *run);

#endif
