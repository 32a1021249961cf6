// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * nl_none.c - instead of nl.c where there is no libnl
 *
 * As nobody gets a struct module, nothing can be asked of it.
 */
#include "nl.h"

#include <errno.h>

int module_open(struct module **m)
{
	*m = NULL;
	return -ENOSYS;
}

void module_close(struct module *m)
{
	(void)m;
}

const char *module_reason(int error)
{
	return error == -ENOSYS ? "this shmux was built without libnl, by which the kernel module "
				  "is asked" :
				  NULL;
}

int module_listeners(struct module *m, struct module_listener **all, size_t *nr)
{
	(void)m;
	*all = NULL;
	*nr = 0;
	return -ENOSYS;
}

int module_sessions(struct module *m, struct module_session **all, size_t *nr)
{
	(void)m;
	*all = NULL;
	*nr = 0;
	return -ENOSYS;
}

int module_limits(struct module *m, struct module_limits *limits)
{
	(void)m;
	*limits = (struct module_limits){ 0 };
	return -ENOSYS;
}

int module_limit_set(struct module *m, enum shmux_scope scope, enum shmux_resource resource,
		     uint64_t max)
{
	(void)m;
	(void)scope;
	(void)resource;
	(void)max;
	return -ENOSYS;
}

int module_counters(struct module *m, struct module_counters *counters)
{
	(void)m;
	*counters = (struct module_counters){ 0 };
	return -ENOSYS;
}

int module_watch(struct module *m)
{
	(void)m;
	return -ENOSYS;
}

int module_fd(struct module *m)
{
	(void)m;
	return -1;
}

int module_take_events(struct module *m, void (*each)(void *arg, const struct module_event *event),
		       void *arg)
{
	(void)m;
	(void)each;
	(void)arg;
	return -ENOSYS;
}
