/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* All of libshmux. */
#ifndef SHMUX_SHMUX_H
#define SHMUX_SHMUX_H

#include <shmux/common.h>
#include <shmux/context.h>
#include <shmux/listener.h>
#include <shmux/pipe.h>
#include <shmux/session.h>
#include <shmux/stream.h>

#endif /* SHMUX_SHMUX_H */
