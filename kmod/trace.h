/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - tracepoints: connect, kick, wait, wake, death
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM shmux

#if !defined(KMOD_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KMOD_TRACE_H

#include <linux/tracepoint.h>

#include "session.h"

TRACE_EVENT(shmux_connect,
	TP_PROTO(const struct shmux_session *s),
	TP_ARGS(s),
	TP_STRUCT__entry(
		__field(u32, session)
		__array(char, name, SHMUX_NAME_SIZE)
	),
	TP_fast_assign(
		__entry->session = s->number;
		memcpy(__entry->name, s->name, SHMUX_NAME_SIZE);
	),
	TP_printk("session=%u name=%s", __entry->session, __entry->name)
);

TRACE_EVENT(shmux_kick,
	TP_PROTO(const struct shmux_end *e, bool sync),
	TP_ARGS(e, sync),
	TP_STRUCT__entry(
		__field(u32, session)
		__field(u32, side)
		__field(u32, kicks)
		__field(bool, sync)
	),
	TP_fast_assign(
		__entry->session = e->session->number;
		__entry->side = shmux_end_side(e);
		__entry->kicks = atomic_read(&e->kicks);
		__entry->sync = sync;
	),
	TP_printk("session=%u end=%u kicks=%u sync=%d", __entry->session,
		  __entry->side, __entry->kicks, __entry->sync)
);

TRACE_EVENT(shmux_wait,
	TP_PROTO(const struct shmux_end *e, u32 seen),
	TP_ARGS(e, seen),
	TP_STRUCT__entry(
		__field(u32, session)
		__field(u32, side)
		__field(u32, seen)
	),
	TP_fast_assign(
		__entry->session = e->session->number;
		__entry->side = shmux_end_side(e);
		__entry->seen = seen;
	),
	TP_printk("session=%u end=%u seen=%u", __entry->session,
		  __entry->side, __entry->seen)
);

TRACE_EVENT(shmux_wake,
	TP_PROTO(const struct shmux_end *e, u32 kicks, int err),
	TP_ARGS(e, kicks, err),
	TP_STRUCT__entry(
		__field(u32, session)
		__field(u32, side)
		__field(u32, kicks)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->session = e->session->number;
		__entry->side = shmux_end_side(e);
		__entry->kicks = kicks;
		__entry->err = err;
	),
	TP_printk("session=%u end=%u kicks=%u err=%d", __entry->session,
		  __entry->side, __entry->kicks, __entry->err)
);

TRACE_EVENT(shmux_death,
	TP_PROTO(const struct shmux_session *s),
	TP_ARGS(s),
	TP_STRUCT__entry(
		__field(u32, session)
		__field(u32, side)
		__field(int, cause)
	),
	TP_fast_assign(
		__entry->session = s->number;
		__entry->side = s->side;
		__entry->cause = s->over;
	),
	TP_printk("session=%u end=%u cause=%s", __entry->session, __entry->side,
		  __print_symbolic(__entry->cause,
			{ SHMUX_CAUSE_HANG_UP, "hang-up" },
			{ SHMUX_CAUSE_DEATH, "death" },
			{ SHMUX_CAUSE_REFUSAL, "refusal" },
			{ SHMUX_CAUSE_NOBODY, "nobody" }))
);

#endif /* KMOD_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
