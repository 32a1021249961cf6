// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rx.c - see rx.h
 *
 * Owns the nodes and which chunks of the peer's are held. Credit is given back
 * through credit.c as nodes go.
 */
#include "core/rx.h"

#include <stdlib.h>
#include <string.h>

#include "base/errno.h"
#include "core/credit.h"

#define BUFFER_MIN 256u
#define BUFFER_MAX 16384u	/* of a spare one, too */
#define SPARE_MAX 64u

/* A node whose payload came in a chunk. */
struct chunk {
	struct shmux_list kept;		/* in the session's, while it may be copied out */
	struct shmux_stream *st;	/* whose it is, while it is queued */
	char *copy;			/* or NULL: we hold the chunk */
	bool wanted;			/* back, but the caller was looking at it */
	struct shmux__rx node;
};

static struct chunk *to_chunk(struct shmux__rx *node)
{
	return shmux_container_of(node, struct chunk, node);
}

/* Bytes of the peer's arena that a chunk with @len bytes takes at least. */
static uint32_t taken(uint32_t len)
{
	return (len + SHMUX_BLOCK_SIZE - 1) & ~(SHMUX_BLOCK_SIZE - 1);
}

static struct shmux__rx *chunk_node(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	struct shmux__rx *node = s->spare_chunk_nodes;
	struct chunk *c;

	if (node) {
		s->spare_chunk_nodes = node->next;
		s->nr_spare--;
		c = to_chunk(node);
	} else {
		c = SHMUX_KEEP_ERRNO(malloc(sizeof(*c)));
		if (!c)
			return NULL;
	}
	c->st = st;
	c->copy = NULL;
	c->wanted = false;
	c->node.size = 0;
	shmux_list_append(&s->kept, &c->kept);
	return &c->node;
}

static struct shmux__rx *buffer_node(struct shmux_session *s, uint32_t size)
{
	struct shmux__rx *node = s->spare_buffer;

	if (node && node->size >= size && node->size / 4 <= size) {
		s->spare_buffer = NULL;
		size = node->size;
	} else {
		node = SHMUX_KEEP_ERRNO(malloc(sizeof(*node) + size));
	}
	if (node) {
		node->size = size;
		node->data = node->buf;
	}
	return node;
}

static void queued(struct shmux_stream *st, int64_t n)
{
	st->rx_queued += (uint32_t)n;
	st->s->rx_queued += (uint64_t)n;
}

static void append(struct shmux_stream *st, struct shmux__rx *node)
{
	node->next = NULL;
	if (st->rx_last)
		st->rx_last->next = node;
	else
		st->rx_first = node;
	st->rx_last = node;
	queued(st, (int64_t)node->len - node->pos);
	if (!node->more)
		st->rx_whole = node;
}

/* Copy the rest of a frame behind what the last node holds, if it has room. */
static bool extend(struct shmux_stream *st, const struct shmux__frame *f,
		   uint32_t pos, uint32_t cost)
{
	struct shmux__rx *node = st->rx_last;
	uint32_t n = f->len - pos;

	if ((st->state & STREAM_MESSAGES) || !node ||
	    node->size - node->len < n || !node->size)
		return false;
	shmux__link_copy(st->s->link, f, pos, node->buf + node->len, n);
	node->len += n;
	node->cost += n;
	queued(st, n);
	/* Together they take less than the least that a record costs. */
	shmux__credit_consumed(st, cost - n);
	return true;
}

/* How large a buffer for @n bytes behind what is queued. */
static uint32_t buffer_size(const struct shmux_stream *st, uint32_t n)
{
	const struct shmux__rx *last = st->rx_last;
	uint32_t size = BUFFER_MIN;

	/* Not 0, which says that the payload is in a chunk. */
	if (st->state & STREAM_MESSAGES)
		return n ? n : 1;
	/*
	 * Twice the one before, which is full: in all at most thrice the payload.
	 * Behind a chunk there is none: tiny records between chunks would each
	 * begin a large one.
	 */
	if (last && last->size)
		size = 2 * last->size;
	if (size > BUFFER_MAX)
		size = BUFFER_MAX;
	return size < n ? n : size;
}

int shmux__rx_add(struct shmux_stream *st, const struct shmux__frame *f,
		  uint32_t pos, uint32_t cost)
{
	struct shmux_session *s = st->s;
	uint32_t n = f->len - pos;
	struct shmux__rx *node;
	bool keep;

	/*
	 * Keep the chunk unless the peer would run short of arena, or the
	 * payload is smaller than what holding it costs.
	 */
	keep = f->data && n > SHMUX_SLOT_NEXT_BODY * 16 &&
	       s->held + taken(f->len) <= s->link->peer_arena_size / 2;
	if (keep) {
		node = chunk_node(st);
		if (!node)
			return -ENOMEM;
		node->data = f->data;
		node->handle = f->handle;
		node->len = f->len;
		node->pos = pos;
		s->held += taken(f->len);
	} else {
		if (extend(st, f, pos, cost))
			goto out_return;
		node = buffer_node(s, buffer_size(st, n));
		if (!node)
			return -ENOMEM;
		shmux__link_copy(s->link, f, pos, node->buf, n);
		node->len = n;
		node->pos = 0;
	}
	node->cost = cost;
	node->more = (f->flags & SHMUX_FLAG_MORE) &&
		     (st->state & STREAM_MESSAGES);
	append(st, node);
	if (keep)
		return 0;
out_return:
	if (f->data)
		s->link->ops->chunk_return(s->link, f->handle);
	return 0;
}

struct shmux__rx *shmux__rx_pop(struct shmux_stream *st)
{
	struct shmux__rx *node = st->rx_first;

	st->rx_first = node->next;
	if (!st->rx_first)
		st->rx_last = NULL;
	queued(st, -((int64_t)node->len - node->pos));
	if (st->rx_whole == node)
		st->rx_whole = NULL;
	/* It may be for the caller to look at. */
	if (!node->size)
		shmux_list_remove(&to_chunk(node)->kept);
	return node;
}

/* We read no more in the chunk. */
static void give_back(struct shmux_session *s, struct chunk *c)
{
	s->held -= taken(c->node.len);
	if (!s->error)
		s->link->ops->chunk_return(s->link, c->node.handle);
}

static void drop_chunk(struct shmux_session *s, struct chunk *c)
{
	shmux_list_remove(&c->kept);
	if (c->copy)
		free(c->copy);
	else
		give_back(s, c);
	if (s->nr_spare == SPARE_MAX) {
		free(c);
		return;
	}
	c->node.next = s->spare_chunk_nodes;
	s->spare_chunk_nodes = &c->node;
	s->nr_spare++;
}

/* Give back chunk and memory, not credit. */
static void drop(struct shmux_session *s, struct shmux__rx *node)
{
	struct shmux__rx *spare;

	if (!node->size) {
		drop_chunk(s, to_chunk(node));
		return;
	}
	if (node->size <= BUFFER_MAX &&
	    (!s->spare_buffer || s->spare_buffer->size < node->size)) {
		/* The larger one is kept. */
		spare = s->spare_buffer;
		s->spare_buffer = node;
		node = spare;
	}
	free(node);
}

/*
 * Let the node have what is unread in memory of our own, no more than it is
 * charged for. Return: false without memory; then the chunk stays.
 */
static bool copy_out(struct shmux_session *s, struct chunk *c)
{
	struct shmux__rx *node = &c->node;
	uint32_t n = node->len - node->pos;

	c->copy = SHMUX_KEEP_ERRNO(malloc(n));
	if (!c->copy)
		return false;
	memcpy(c->copy, node->data + node->pos, n);
	shmux_list_remove(&c->kept);
	give_back(s, c);
	node->data = c->copy;
	node->len = n;
	node->pos = 0;
	return true;
}

/*
 * All at once, but no more than the budget: 64 MiB in 30 ms. Each chunk leaves
 * the list, so that a peer which asks again and again has no more from it.
 */
void shmux__rx_give_way(struct shmux_session *s)
{
	struct shmux_list *pos, *tmp;
	struct chunk *c;

	shmux_list_for_each_safe(pos, tmp, &s->kept) {
		c = shmux_container_of(pos, struct chunk, kept);
		if ((c->st->state & STREAM_PEEKED) &&
		    c->st->rx_first == &c->node) {
			shmux_list_remove(&c->kept);
			c->wanted = true;
		} else if (!copy_out(s, c)) {
			return;
		}
	}
}

void shmux__rx_unpeek(struct shmux_stream *st)
{
	struct shmux_session *s = st->s;
	struct chunk *c;

	st->state &= ~STREAM_PEEKED;
	if (st->state & (STREAM_RESET | STREAM_STOP_SENT)) {
		shmux__rx_clear(st);
	} else if (st->rx_first && !st->rx_first->size) {
		c = to_chunk(st->rx_first);
		if (c->wanted && !copy_out(s, c))
			shmux_list_append(&s->kept, &c->kept);
		c->wanted = false;
	}
}

void shmux__rx_free(struct shmux_stream *st, struct shmux__rx *node)
{
	uint32_t cost = node->cost;

	drop(st->s, node);
	shmux__credit_consumed(st, cost);
}

void shmux__rx_abort(struct shmux_stream *st)
{
	struct shmux__rx *node, *last = st->rx_whole, *next;

	node = last ? last->next : st->rx_first;
	if (last)
		last->next = NULL;
	else
		st->rx_first = NULL;
	st->rx_last = last;
	for (; node; node = next) {
		next = node->next;
		queued(st, -((int64_t)node->len - node->pos));
		shmux__rx_free(st, node);
	}
}

void shmux__rx_clear(struct shmux_stream *st)
{
	while (st->rx_first)
		shmux__rx_free(st, shmux__rx_pop(st));
}

void shmux__rx_discard(struct shmux_stream *st)
{
	if (!(st->state & STREAM_PEEKED))
		shmux__rx_clear(st);
}

size_t shmux__rx_copy(struct shmux_stream *st, char *buf, size_t size)
{
	struct shmux__rx *node;
	size_t done = 0, n;
	bool more;

	while ((node = st->rx_first)) {
		n = node->len - node->pos;
		if (n > size - done)
			n = size - done;
		if (n <= 64)
			shmux_copy_small(buf + done, node->data + node->pos, n);
		else
			memcpy(buf + done, node->data + node->pos, n);
		done += n;
		node->pos += (uint32_t)n;
		queued(st, -(int64_t)n);
		if (node->pos < node->len)
			break;
		more = node->more;
		shmux__rx_free(st, shmux__rx_pop(st));
		if ((st->state & STREAM_MESSAGES) && !more)
			break;
		if (!(st->state & STREAM_MESSAGES) && done == size)
			break;
	}
	return done;
}

size_t shmux__rx_take_parts(struct shmux_stream *st, char *buf, uint32_t *cost)
{
	struct shmux__rx *node;
	size_t done = 0;

	*cost = 0;
	while (st->rx_first) {
		node = shmux__rx_pop(st);
		memcpy(buf + done, node->data + node->pos, node->len - node->pos);
		done += node->len - node->pos;
		*cost += node->cost;
		drop(st->s, node);
	}
	return done;
}

int shmux__rx_put_back(struct shmux_stream *st, const char *buf, size_t n,
		       uint32_t cost)
{
	struct shmux__rx *node = buffer_node(st->s, n ? (uint32_t)n : 1);

	if (!node)
		return -ENOMEM;
	memcpy(node->buf, buf, n);
	node->len = (uint32_t)n;
	node->pos = 0;
	node->cost = cost;
	node->more = true;
	append(st, node);
	return 0;
}

size_t shmux__rx_message_len(const struct shmux_stream *st)
{
	const struct shmux__rx *node;
	size_t len = 0;

	for (node = st->rx_first; node; node = node->next) {
		len += node->len - node->pos;
		if (!node->more)
			break;
	}
	return len;
}

void shmux__rx_settle(struct shmux_stream *st)
{
	struct shmux__rx *node = st->rx_first;
	uint32_t left, back;

	if (!node)
		return;
	left = shmux__cost(st->s->link, node->len - node->pos);
	if (node->cost <= left)
		return;
	back = node->cost - left;
	node->cost = left;
	shmux__credit_consumed(st, back);
}

int shmux__rx_gather(struct shmux_stream *st, size_t n)
{
	struct shmux__rx *first = st->rx_first, *node, *whole;
	uint32_t part;

	if (!first || first->len - first->pos >= n)
		return 0;
	whole = buffer_node(st->s, (uint32_t)(n < BUFFER_MAX ? BUFFER_MAX : n));
	if (!whole)
		return -ENOMEM;
	whole->len = whole->pos = whole->cost = 0;
	whole->more = false;
	while (whole->len < n && (node = st->rx_first)) {
		part = node->len - node->pos;
		if (part > n - whole->len)
			part = (uint32_t)n - whole->len;
		memcpy(whole->buf + whole->len, node->data + node->pos, part);
		whole->len += part;
		node->pos += part;
		queued(st, -(int64_t)part);
		/* No node costs less than it holds: each byte takes its own along. */
		whole->cost += part;
		node->cost -= part;
		if (node->pos < node->len)
			break;
		whole->more = node->more;
		shmux__rx_free(st, shmux__rx_pop(st));
	}
	whole->next = st->rx_first;
	st->rx_first = whole;
	if (!st->rx_last)
		st->rx_last = whole;
	queued(st, whole->len);
	/* If it has taken the place of the last whole one. */
	if (!whole->more && !st->rx_whole)
		st->rx_whole = whole;
	return 0;
}

void shmux__rx_exit(struct shmux_session *s)
{
	struct shmux__rx *node;

	while ((node = s->spare_chunk_nodes)) {
		s->spare_chunk_nodes = node->next;
		free(to_chunk(node));
	}
	free(s->spare_buffer);
	s->spare_buffer = NULL;
}
