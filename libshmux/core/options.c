// SPDX-License-Identifier: LGPL-2.1-or-later
/* options.c - defaults and limits of a session's options */
#include "core/options.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"

#define KEEPALIVE_MAX 32767	/* seconds; the kernel's */

int shmux__options_copy(void *own, size_t own_size, const void *given)
{
	const char *tail = given;
	size_t size, i;

	memset(own, 0, own_size);
	if (given) {
		size = *(const size_t *)given;
		if (size < sizeof(size))
			return -EINVAL;
		/* What a newer caller sets beyond what we know must be zero. */
		for (i = own_size; i < size; i++)
			if (tail[i])
				return -EINVAL;
		memcpy(own, given, size < own_size ? size : own_size);
	}
	*(size_t *)own = own_size;
	return 0;
}

/* What the budget has beside the first grants. */
static uint64_t spare(const struct shmux_session_options *o)
{
	uint64_t kept = (uint64_t)o->streams_max * o->first_grant;

	return o->budget > kept ? o->budget - kept : 0;
}

static void fill_defaults(struct shmux_session_options *o)
{
	if (!o->ring_slots)
		o->ring_slots = 4096;
	if (!o->arena_size)
		o->arena_size = 4u << 20;
	if (!o->window)
		o->window = 1u << 20;
	if (!o->budget)
		o->budget = UINT64_C(64) << 20;
	if (!o->first_grant)
		o->first_grant = 256;
	if (!o->backlog)
		o->backlog = 1024;
	if (!o->peer_size_max)
		o->peer_size_max = UINT64_C(256) << 20;
	if (!o->streams_max) {
		o->streams_max = SHMUX_ID_INDEX_MAX + 1;
		if (o->budget / 2 / o->first_grant < o->streams_max)
			o->streams_max =
				(uint32_t)(o->budget / 2 / o->first_grant);
	}
	if (!o->message_max)
		o->message_max = spare(o) < o->window ? (uint32_t)spare(o) :
							o->window;
}

static const char *fault(const struct shmux_session_options *o)
{
	struct shmux__shm_sizes sizes;

	if (o->reserved)
		return "reserved is not 0";
	if (o->ring_slots & (o->ring_slots - 1))
		return "ring_slots is not a power of two";
	if (o->ring_slots < SHMUX_RING_SLOTS_MIN)
		return "ring_slots is below 64";
	if (o->ring_slots > SHMUX_RING_SLOTS_MAX)
		return "ring_slots is above 2^20";
	if (o->arena_size % SHMUX_BLOCK_SIZE)
		return "arena_size is not a multiple of 4096";
	if (o->arena_size < SHMUX_ARENA_SIZE_MIN)
		return "arena_size is below 64 KiB";
	if (o->arena_size > SHMUX_ARENA_SIZE_MAX)
		return "arena_size is above 1 GiB";
	if (o->window < 4096)
		return "window is below 4096";
	if (o->window > SHMUX_WINDOW_MAX)
		return "window is above 1 GiB";
	if (o->first_grant < SHMUX_CREDIT_MIN)
		return "first_grant is below 64";
	if (o->first_grant > o->window)
		return "first_grant is larger than window";
	if (o->budget < o->first_grant)
		return "budget is smaller than first_grant";
	if (o->message_max > o->window)
		return "message_max is larger than window";
	if (o->backlog > 1u << 20)
		return "backlog is above 2^20";
	if (!o->streams_max || o->streams_max > SHMUX_ID_INDEX_MAX + 1)
		return "streams_max is not within 1 to 2^21";
	if ((uint64_t)o->streams_max * o->first_grant > o->budget)
		return "budget is smaller than streams_max first grants";
	if (o->message_max > spare(o) + o->first_grant)
		return "message_max is larger than budget without first grants";
	if (o->peer_size_max < SHMUX_HEADER_SIZE ||
	    o->peer_size_max > SHMUX_REGION_SIZE_MAX)
		return "peer_size_max is not within 4096 to 2 GiB";
	if (o->keepalive && o->keepalive < SHMUX_NSEC_PER_SEC)
		return "keepalive is below a second";
	if (o->keepalive > KEEPALIVE_MAX * SHMUX_NSEC_PER_SEC)
		return "keepalive is above 32767 seconds";
	sizes = shmux__options_sizes(o);
	if (!shmux__shm_size(&sizes))
		return "ring_slots and arena_size together exceed 2 GiB";
	return NULL;
}

struct shmux__shm_sizes
shmux__options_sizes(const struct shmux_session_options *o)
{
	return (struct shmux__shm_sizes){
		.ring_slots = o->ring_slots,
		.arena_size = o->arena_size,
		/* The peer's arena is no larger than its region. */
		.peer_arena_max = o->peer_size_max < SHMUX_ARENA_SIZE_MAX ?
					  (uint32_t)o->peer_size_max :
					  SHMUX_ARENA_SIZE_MAX,
		.first_grant = o->first_grant,
		.message_max = o->message_max,
	};
}

int shmux__options_resolve(const struct shmux_session_options *given,
			   struct shmux_session_options *o, const char **why)
{
	const char *sentence;

	if (why)
		*why = NULL;
	if (shmux__options_copy(o, sizeof(*o), given)) {
		sentence = "size is not that of a struct that this version knows";
	} else {
		fill_defaults(o);
		sentence = fault(o);
	}
	if (why)
		*why = sentence;
	return sentence ? -EINVAL : 0;
}

int shmux_session_options_verify(const struct shmux_session_options *options,
				 const char **why)
{
	struct shmux_session_options o;

	return shmux__options_resolve(options, &o, why);
}
