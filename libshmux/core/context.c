// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * context.c - the sessions that a program's dials share
 *
 * An entry an address. While one thread makes the session the others that want
 * it wait for it; those who dial elsewhere do not.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shmux/context.h>

#include "base/errno.h"
#include "base/futex.h"
#include "core/core.h"
#include "core/dial.h"
#include "core/options.h"
#include "core/who.h"

#define WAIT_SLICE UINT64_C(50000000)	/* ns between looks for cancel */
#define RETRY_FIRST UINT64_C(500000)	/* ns until a listener is looked for again */
#define RETRY_MOST UINT64_C(20000000)

struct entry {
	struct shmux_list node;
	struct shmux_session *session;	/* or NULL */
	bool dialling;
	bool spent;			/* there cannot be another session */
	char text[];
};

struct shmux_context {
	struct shmux_lock lock;
	struct shmux_list entries;
	struct shmux_list dials;	/* calls that are in progress */
	uint32_t changed;		/* futex: some entry did */
	struct shmux_session_options options;
};

int shmux_context_open(const struct shmux_context_options *options,
		       struct shmux_context **context)
{
	struct shmux_context_options o;
	struct shmux_context *c;
	int err;

	err = shmux__options_copy(&o, sizeof(o), options);
	if (err)
		return err;
	c = SHMUX_KEEP_ERRNO(calloc(1, sizeof(*c)));
	if (!c)
		return -ENOMEM;
	err = shmux__options_resolve(o.session, &c->options, NULL);
	if (err) {
		free(c);
		return err;
	}
	shmux_list_init(&c->entries);
	shmux_list_init(&c->dials);
	*context = c;
	return 0;
}

/* Under the context's lock. Drops the context's hold on a session. */
static void entry_drop(struct entry *e)
{
	struct shmux_session *s = e->session;

	e->session = NULL;
	if (!s || shmux__enter(s))
		return;
	if (s->refs == 1 && !s->error) {
		/* Nobody else has a stream in it. */
		shmux_unlock(&s->lock);
		shmux_session_close(s, 0);
		return;
	}
	/* It goes with its last stream. */
	if (!s->error)
		shmux__session_refuse_all(s);
	if (!s->error && shmux__owes(s))
		shmux__control_flush(s);
	if (!s->error)
		shmux__publish(s);
	shmux__session_put_unlock(s);
}

static struct entry *entry_get(struct shmux_context *c, const char *text)
{
	struct shmux_list *pos, *tmp;
	struct entry *e;
	size_t size;

	shmux_list_for_each_safe(pos, tmp, &c->entries) {
		e = shmux_container_of(pos, struct entry, node);
		if (!strcmp(e->text, text))
			return e;
	}
	size = strlen(text) + 1;
	e = calloc(1, sizeof(*e) + size);
	if (!e)
		return NULL;
	memcpy(e->text, text, size);
	shmux_list_append(&c->entries, &e->node);
	return e;
}

static void changed(struct shmux_context *c)
{
	/* [B12] Pairs with the acquire in wait_changed(). */
	__atomic_add_fetch(&c->changed, 1, __ATOMIC_RELEASE);
	shmux_futex_wake(&c->changed, INT32_MAX);
}

/* Has the session an end in sight? */
static bool session_usable(struct shmux_session *s)
{
	bool usable;

	if (shmux__enter(s))
		return false;
	s->alive_checked = 0;
	shmux__drain(s);
	shmux__session_check(s);
	usable = !s->error && !s->going_away && !s->peer_going_away;
	shmux__leave(s);
	return usable;
}

static int accepts(const void *arg, const struct shmux_peer *peer)
{
	const struct shmux_dial_options *o = arg;

	if (o->flags & SHMUX_DIAL_UID)
		return shmux__who_is_user(peer, o->uid) ? 0 : -EACCES;
	if (o->flags & SHMUX_DIAL_ANY_UID)
		return 0;
	return shmux__dial_accepts_own(NULL, peer);
}

static int check(const void *arg, const struct shmux_peer *peer)
{
	const struct shmux_dial_options *o = arg;

	return o->check ? o->check(o->check_arg, peer) : 0;
}

/* Is there no listener yet, but may there be one? */
static bool may_appear(const struct shmux__address *address, int err)
{
	if (address->kind == SHMUX_ADDRESS_TCP)
		return err == -ECONNREFUSED;
	return shmux__address_knows_user(address) &&
	       (err == -ECONNREFUSED || err == -ENOENT || err == -ECONNRESET);
}

/* Dial, again and again if the listener is to be waited for. */
static int make_session(struct shmux_context *c,
			const struct shmux__address *address,
			const struct shmux__dial_terms *terms, bool wait,
			struct shmux_session **session)
{
	uint64_t pause = RETRY_FIRST, left;
	struct timespec ts;
	int err;

	for (;;) {
		err = shmux__dial(address, &c->options, terms, session);
		if (!wait || !may_appear(address, err))
			return err;
		left = shmux_clock_left(terms->deadline);
		if (!left)
			return -ETIMEDOUT;
		ts = shmux_clock_timespec(left < pause ? left : pause);
		nanosleep(&ts, NULL);
		pause = pause * 2 < RETRY_MOST ? pause * 2 : RETRY_MOST;
		if (shmux_load_relaxed(terms->cancelled))
			return -ECANCELED;
	}
}

/* Wait for whoever is dialling. The lock is dropped meanwhile. */
static int wait_changed(struct shmux_context *c, uint64_t deadline,
			const uint32_t *cancelled)
{
	/* [B12] Pairs with the release in changed(). */
	uint32_t seen = shmux_load_acquire(&c->changed);
	uint64_t left = shmux_clock_left(deadline);

	if (!left)
		return -ETIMEDOUT;
	if (shmux_load_relaxed(cancelled))
		return -ECANCELED;
	shmux_unlock(&c->lock);
	shmux_futex_wait(&c->changed, seen,
			 left < WAIT_SLICE ? left : WAIT_SLICE);
	shmux_lock(&c->lock);
	return 0;
}

/* A reference of our own, so that the session stays while we use it. */
static int hold(struct shmux_session *s)
{
	int err = shmux__enter(s);

	if (err)
		return err;
	shmux__session_get(s);
	shmux_unlock(&s->lock);
	return 0;
}

static void unhold(struct shmux_session *s)
{
	if (!shmux__enter(s))
		shmux__session_put_unlock(s);
}

/* A call of dial, for unblock to find. */
struct dial {
	struct shmux_list node;
	uint32_t cancelled;
};

/* Under the lock: a live session to the address, held for us. */
static int get_session(struct shmux_context *c,
		       const struct shmux__address *address,
		       const struct shmux__dial_terms *terms, bool wait,
		       struct shmux_session **session)
{
	struct shmux_session *s = NULL;
	struct entry *e;
	int err;

	for (;;) {
		e = entry_get(c, address->text);
		if (!e)
			return -ENOMEM;
		if (e->session && session_usable(e->session)) {
			/* Shared or not, the listener must be one we accept. */
			err = shmux__dial_admits(address, terms,
						 &e->session->link->peer);
			if (err)
				return err;
			*session = e->session;
			return hold(e->session);
		}
		if (!e->dialling)
			break;
		err = wait_changed(c, terms->deadline, terms->cancelled);
		if (err)
			return err;
	}
	if (e->spent)
		return -ESHUTDOWN;
	entry_drop(e);
	e->dialling = true;
	shmux_unlock(&c->lock);
	err = make_session(c, address, terms, wait, &s);
	shmux_lock(&c->lock);
	e->dialling = false;
	e->spent = !err && shmux__address_is_spent(address);
	e->session = s;
	changed(c);
	*session = s;
	return err ? err : hold(s);
}

int shmux_context_dial(struct shmux_context *c, const char *address,
		       const struct shmux_dial_options *options,
		       struct shmux_stream **stream)
{
	struct shmux_dial_options o;
	struct dial dial = { .cancelled = 0 };
	struct shmux__dial_terms terms = {
		.cancelled = &dial.cancelled,
		.accepts = accepts,
		.check = check,
		.arg = &o,
	};
	struct shmux_session *s = NULL;
	struct shmux__address a;
	unsigned int kind;
	int err, saved = errno, tries;

	err = shmux__options_copy(&o, sizeof(o), options);
	if (!err && (o.flags & ~(SHMUX_DIAL_MESSAGES | SHMUX_DIAL_UID |
				 SHMUX_DIAL_ANY_UID | SHMUX_DIAL_WAIT)))
		err = -EINVAL;
	if (!err && (o.reserved || ((o.flags & SHMUX_DIAL_UID) &&
				    (o.flags & SHMUX_DIAL_ANY_UID))))
		err = -EINVAL;
	if (!err)
		err = shmux__address_parse(address, &a);
	if (err)
		return err;
	terms.deadline = o.deadline ? o.deadline : SHMUX_NEVER;
	terms.by_user = o.flags & SHMUX_DIAL_UID;
	kind = o.flags & SHMUX_DIAL_MESSAGES ? SHMUX_STREAM_MESSAGES :
					       SHMUX_STREAM_BYTES;
	shmux_lock(&c->lock);
	shmux_list_append(&c->dials, &dial.node);
	for (tries = 0; tries < 2; tries++) {
		err = get_session(c, &a, &terms, o.flags & SHMUX_DIAL_WAIT, &s);
		if (err)
			break;
		shmux_unlock(&c->lock);
		err = shmux__session_open(s, kind, terms.deadline, &dial.cancelled,
					  stream);
		unhold(s);
		shmux_lock(&c->lock);
		/* It may have died since we looked. */
		if (err != -ECONNRESET && err != -ESHUTDOWN)
			break;
	}
	shmux_list_remove(&dial.node);
	shmux_unlock(&c->lock);
	errno = saved;
	return err;
}

void shmux_context_unblock(struct shmux_context *c)
{
	struct shmux_list *pos, *tmp;

	shmux_lock(&c->lock);
	shmux_list_for_each_safe(pos, tmp, &c->dials)
		shmux_store_relaxed(&shmux_container_of(pos, struct dial,
							node)->cancelled, 1);
	changed(c);
	shmux_unlock(&c->lock);
}

int shmux_context_nr_sessions(struct shmux_context *c)
{
	struct shmux_list *pos, *tmp;
	struct entry *e;
	int nr = 0;

	shmux_lock(&c->lock);
	shmux_list_for_each_safe(pos, tmp, &c->entries) {
		e = shmux_container_of(pos, struct entry, node);
		if (e->session && session_usable(e->session))
			nr++;
	}
	shmux_unlock(&c->lock);
	return nr;
}

void shmux_context_close(struct shmux_context *c)
{
	struct shmux_list *pos, *tmp;
	struct entry *e;

	if (!c)
		return;
	shmux_list_for_each_safe(pos, tmp, &c->entries) {
		e = shmux_container_of(pos, struct entry, node);
		entry_drop(e);
		free(e);
	}
	free(c);
}
