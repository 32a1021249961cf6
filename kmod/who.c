// SPDX-License-Identifier: GPL-2.0-only
/*
 * who.c - see who.h
 */
#include "who.h"

#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/uidgid.h>

struct shmux_who shmux_who_get_current(void)
{
	struct shmux_who who = {
		.pid = get_pid(task_tgid(current)),
		.cred = get_current_cred(),
	};

	shmux_subject_get_current(&who.subject);
	return who;
}

struct shmux_who shmux_who_get(const struct shmux_who *who)
{
	return (struct shmux_who){
		.pid = get_pid(who->pid),
		.cred = get_cred(who->cred),
		.subject = who->subject,
	};
}

void shmux_who_put(struct shmux_who *who)
{
	if (!who->pid)
		return;
	put_pid(who->pid);
	put_cred(who->cred);
	*who = (struct shmux_who){};
}

pid_t shmux_who_pid(const struct shmux_who *who)
{
	return pid_vnr(who->pid);
}

uid_t shmux_who_uid(const struct shmux_who *who)
{
	return from_kuid_munged(current_user_ns(), who->cred->euid);
}

gid_t shmux_who_gid(const struct shmux_who *who)
{
	return from_kgid_munged(current_user_ns(), who->cred->egid);
}

int shmux_who_copy_label(const struct shmux_who *who, char __user *to,
			 u32 *size)
{
	struct shmux_label label;
	u32 room = *size;
	int err;

	*size = 0;
	err = shmux_label_get(&who->subject, &label);
	/* No module gives labels. */
	if (err)
		return err == -ENOMEM ? err : 0;

	/* Some count the NUL. */
	label.len = strnlen(label.text, label.len);
	if (label.len)
		*size = label.len + 1;
	if (room && *size > room)
		err = -ERANGE;
	else if (room && label.len &&
		 (copy_to_user(to, label.text, label.len) ||
		  put_user(0, to + label.len)))
		err = -EFAULT;
	shmux_label_put(&label);
	return err;
}
