/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: owners
 *
 * The process whose exit is the end of what it owns, though others may have
 * copies of its descriptors. A thread group, kept by reference. Guarded by
 * whatever guards the object that has it.
 */
#ifndef KMOD_OWNER_H
#define KMOD_OWNER_H

#include <linux/pid.h>
#include <linux/sched.h>

/**
 * shmux_owner_set() - the caller is the owner from now on
 * @owner: who was, or NULL; to be put with put_pid()
 */
static inline void shmux_owner_set(struct pid **owner)
{
	put_pid(*owner);
	*owner = get_pid(task_tgid(current));
}

/**
 * shmux_owner_is_current() - is it the caller?
 * @owner: who it is
 *
 * Return: whether it is the caller's process.
 */
static inline bool shmux_owner_is_current(const struct pid *owner)
{
	return owner == task_tgid(current);
}

#endif /* KMOD_OWNER_H */
