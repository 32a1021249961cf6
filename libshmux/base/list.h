/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list.h - doubly linked lists whose nodes lie in what they link */
#ifndef SHMUX_BASE_LIST_H
#define SHMUX_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct shmux_list {
	struct shmux_list *prev, *next;
};

#define shmux_container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))

#define shmux_list_for_each_safe(pos, tmp, head)			\
	for ((pos) = (head)->next, (tmp) = (pos)->next; (pos) != (head); \
	     (pos) = (tmp), (tmp) = (pos)->next)

static inline void shmux_list_init(struct shmux_list *l)
{
	l->prev = l->next = l;
}

static inline bool shmux_list_empty(const struct shmux_list *l)
{
	return l->next == l;
}

static inline void shmux_list_append(struct shmux_list *head,
				     struct shmux_list *n)
{
	n->prev = head->prev;
	n->next = head;
	head->prev->next = n;
	head->prev = n;
}

/* Take @n off its list; it is then a list of its own. */
static inline void shmux_list_remove(struct shmux_list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	shmux_list_init(n);
}

#endif /* SHMUX_BASE_LIST_H */
