/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: who somebody is
 *
 * A process and its credentials, as of some moment. Both are kept by reference,
 * so that they can be told in the terms of whoever asks: its pid and user
 * namespaces. Guarded by whatever guards the object that has it.
 */
#ifndef KMOD_WHO_H
#define KMOD_WHO_H

#include <linux/cred.h>
#include <linux/pid.h>

#include "compat.h"

/**
 * struct shmux_who - somebody, or nobody where @pid is NULL
 * @pid: thread group
 * @cred: its credentials
 * @subject: what its security label is made of
 */
struct shmux_who {
	struct pid *pid;
	const struct cred *cred;
	struct shmux_subject subject;
};

/**
 * shmux_who_get_current() - the caller
 *
 * Return: to be put.
 */
struct shmux_who shmux_who_get_current(void);

/**
 * shmux_who_get() - one more reference
 * @who: somebody
 *
 * Return: to be put.
 */
struct shmux_who shmux_who_get(const struct shmux_who *who);

/**
 * shmux_who_put() - let go
 * @who: somebody or nobody; nobody afterwards
 */
void shmux_who_put(struct shmux_who *who);

/**
 * shmux_who_pid() - its pid
 * @who: somebody
 *
 * Return: in the caller's pid namespace, 0 if it is in none that it sees.
 */
pid_t shmux_who_pid(const struct shmux_who *who);

/**
 * shmux_who_uid() - its effective user
 * @who: somebody
 *
 * Return: in the caller's user namespace, or its overflowuid.
 */
uid_t shmux_who_uid(const struct shmux_who *who);

/**
 * shmux_who_gid() - its effective group
 * @who: somebody
 *
 * Return: in the caller's user namespace, or its overflowgid.
 */
gid_t shmux_who_gid(const struct shmux_who *who);

/**
 * shmux_who_copy_label() - its security label
 * @who: somebody
 * @to: user memory
 * @size: of @to, bytes; out: of the label with its NUL, 0 if there is none
 *
 * Context: may sleep.
 * Return: 0, -ERANGE: does not fit, -EFAULT, or -ENOMEM.
 */
int shmux_who_copy_label(const struct shmux_who *who, char __user *to,
			 u32 *size);

#endif /* KMOD_WHO_H */
