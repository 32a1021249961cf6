/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * credit.h - what the peer may send to us, stream by stream, within a budget
 *
 * rx_limit = rx_granted + what is queued or held + rx_owed. A stream starts with
 * its first grant; its limit grows as it is used, towards the window, while the
 * sum of all limits stays within the session's budget. Grants are saved up until
 * half of the limit is owed. Under the session's lock.
 */
#ifndef SHMUX_CORE_CREDIT_H
#define SHMUX_CORE_CREDIT_H

#include "core/core.h"

/* A stream begins. Return: 0, or -ENOSPC: no budget for its first grant. */
int shmux__credit_open(struct shmux_stream *st);

/* A stream takes no more payload: its limit goes back to the budget. */
void shmux__credit_close(struct shmux_stream *st);

/*
 * What comes from now on is dropped: no more is granted. What was granted may
 * still be under way.
 */
void shmux__credit_stop(struct shmux_stream *st);

/* Bytes of cost have left the queue. */
void shmux__credit_consumed(struct shmux_stream *st, uint32_t cost);

/* The peer says that it wants to send @want bytes and has not the credit. */
void shmux__credit_wanted(struct shmux_stream *st, uint32_t want);

/* It will want to send @n bytes, of which nobody need be in a call here. */
void shmux__credit_expect(struct shmux_stream *st, uint32_t n);

/*
 * The peer has given up, and gives @n bytes of what it was granted back. Return: 0,
 * or -EPROTO: it has not so much.
 */
int shmux__credit_refunded(struct shmux_stream *st, uint32_t n);

/* What to grant now; it counts as granted. 0: nothing. */
uint32_t shmux__credit_take(struct shmux_stream *st);

/* Does the peer want more than the budget had? Then it is to wait for its turn. */
bool shmux__credit_starved(const struct shmux_stream *st);

/*
 * It is its turn: let its limit grow to what the peer wants, the reserve included.
 * Return: false: there is too little, and it waits on.
 */
bool shmux__credit_feed(struct shmux_stream *st);

/* Budget that is not used, nor kept for the first grants of streams to come. */
uint64_t shmux__credit_spare(const struct shmux_session *s);

#endif /* SHMUX_CORE_CREDIT_H */
