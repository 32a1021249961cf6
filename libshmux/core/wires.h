/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* wires.h - the addresses that lead to descriptors: one session each */
#ifndef SHMUX_CORE_WIRES_H
#define SHMUX_CORE_WIRES_H

#include <shmux/session.h>

#include "core/address.h"

struct shmux__link;

/*
 * The link that stdio:, fd: or exec: stand for. What stdio: and fd: name is the
 * link's if that succeeds; of fd: also if not. Return: 0; -EBUSY: standard input
 * is /dev/null; as shmux__bytes_open(), shmux__child_start().
 */
int shmux__wires_open(const struct shmux__address *address, enum shmux_role role,
		      struct shmux__link **link);

#endif /* SHMUX_CORE_WIRES_H */
