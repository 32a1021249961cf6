/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_WORDS_H
#define SHMUX_TOOLS_WORDS_H

#include <stdint.h>
#include <stdio.h>

#include "nl.h"

/* By enum shmux_scope and enum shmux_resource, as they are typed and shown. */
extern const char *const words_scopes[SHMUX_NR_SCOPES];
extern const char *const words_resources[SHMUX_NR_RESOURCES];

/* The member "max" of a JSON object, after a comma; null if there is no limit. */
void words_write_max(FILE *out, uint64_t max);

/*
 * Why something that the module alone has cannot be had, and what else to know; or
 * NULL where the system's own words will do. Until the next call.
 */
const char *words_lack(int error, const char *more);

#endif /* SHMUX_TOOLS_WORDS_H */
