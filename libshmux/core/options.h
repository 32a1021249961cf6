/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* options.h - options with every default filled in */
#ifndef SHMUX_CORE_OPTIONS_H
#define SHMUX_CORE_OPTIONS_H

#include <shmux/session.h>

#include "link/shm.h"

/*
 * Copy what the caller gave (NULL: nothing), fill in defaults, check. Return: 0,
 * or -EINVAL with *@why, if not NULL, a static sentence.
 */
int shmux__options_resolve(const struct shmux_session_options *given,
			   struct shmux_session_options *o, const char **why);

/* The region that resolved options ask for. */
struct shmux__shm_sizes
shmux__options_sizes(const struct shmux_session_options *o);

/* Copy a struct of the caller's that begins with its size; the rest is zero. */
int shmux__options_copy(void *own, size_t own_size, const void *given);

#endif /* SHMUX_CORE_OPTIONS_H */
