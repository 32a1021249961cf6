/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * death.pml - the peer stops for ever, at any step: everybody is told
 *
 * Two threads that read, one of which may be cancelled; beside them an event
 * loop, a listener, or a call that does not wait; and the peer, which dies
 * between any two steps: before it rings, amid an orderly end, and so on. What
 * the kernel says of that comes later, at any time: the socket's hang-up, the
 * pidfd, or both, one after the other. A child of the peer may have the socket.
 *
 * What is done under the session's lock is one step, as in leader.pml, and the
 * link's words are taken as wake.pml has proved them.
 *
 *   model              code
 *   peer               shmux__shm_publish(), shmux__shm_kick(), memfd_ring()
 *     orderly end      shm_hang_up()
 *   signs              memfd_check_alive(), memfd_descriptors()
 *   check              shmux__session_check(): asks, unless somebody has lately
 *   lost               shmux__session_lost(), shmux__session_die()
 *   reader: spin       spin() in lead(), with SHMUX_SPIN_ENDLESS
 *   reader: asleep     sleep_armed(): futex in slices
 *   reader: deep       sleep_deep(), wake_deep(), if can_sleep_deep()
 *   reader: follow     follow()
 *   loop               shmux_session_pump() whenever shmux_session_fd() is readable
 *   listener           session_serve()
 *   caller             shmux_stream_try_read(): shmux__session_check()
 *
 * Time is counted in slices (60 ms) that a thread sees end. Once there is a sign,
 * at most LATE of them end before the thread knows: one amid which another has
 * asked just before, and one more. While the peer lives SLICES may end. Who would
 * need more is left in a state that nothing leads out of. Whoever is told finds
 * that all the peer had published has been taken in.
 *
 * Planted faults: SPIN_BLIND, SLICE_BLIND, DEEP_BLIND, DEEP_UNCHECKED, NO_PIDFD,
 * ASKED_ONCE, NO_HANDOVER, LOST_UNREAD, PUMP_UNCHECKED, SERVE_UNCHECKED,
 * CLEAR_ALONE.
 */
#define READERS		2
#ifdef BIG
#define SLICES		3
#else
#define SLICES		1
#endif
#define LATE		2
#define PUMPS		4	/* of a loop, from the sign on until it knows */

/* --- the link and the kernel ----------------------------------------------------- */

#define FUTEX	1
#define SOCKET	2
byte ring[READERS];		/* frames published and not taken, of each stream */
#define news	(ring[0] + ring[1] != 0)
byte armed;			/* the bell, or 0 */
bool spent;			/* kicks is not what was seen */

bool on_futex, on_poke[READERS], byte_there, event_fd;
bool hup, exited;		/* the socket; the pidfd */
#define told_by_kernel	(hup || exited)
#ifdef NO_PIDFD
#define readable	(byte_there || hup)
#define sign		hup
#else
#define readable	(byte_there || hup || exited)
#define sign		(hup || exited)
#endif

#define unlocked	(!lock && !dying)

/* --- the session ------------------------------------------------------------------ */

bool error, lock, dying, in_pump;
byte leader;			/* 0: nobody; else reader + 1 */
bool leader_asleep, leader_deep, told, event, notified;
chan waiters = [READERS] of { byte };
bool enlisted[READERS], follows[READERS], poke[READERS], cancelled;
byte queued[READERS];
bool asked[READERS];		/* somebody has, since this one's slice began */

bool endless;			/* they spin, and never sleep */
bool no_eventfd;		/* there are no descriptors left for one */
bool loops, listens;
byte slices, late[READERS], pumps;

inline wake(who)
{
	if
	:: !poke[who] ->
		poke[who] = true;
		if
		:: follows[who] -> on_poke[who] = false
		:: !follows[who] && leader == who + 1 && leader_deep -> event_fd = !no_eventfd
		:: !follows[who] && leader == who + 1 && !leader_deep && leader_asleep ->
			on_futex = false
		:: else
		fi
	:: else
	fi
}

inline tell()
{
	if
	:: !told -> told = true; event_fd = true
	:: else
	fi
}

inline take(who)
{
	if
	:: ring[who] ->
		queued[who] = queued[who] + ring[who];
		ring[who] = 0;
		event = true;
		if
		:: enlisted[who] && (leader != who + 1 || leader_asleep) -> wake(who)
		:: else
		fi
	:: else
	fi
}

inline pump()
{
	take(0);
	take(1)
}

inline pump_and_tell()
{
	pump();
	if
	:: event && loops -> tell()
	:: else
	fi
}

inline arm(bell)
{
	if
	:: armed == bell && !spent
	:: else -> armed = bell; spent = false
	fi
}

/* What whoever finds it lost does, with the lock; nobody else takes that. */
active proctype lost()
{
end:
	atomic {
		dying ->
#ifndef LOST_UNREAD
		pump();
#endif
		error = true;
		if
		:: enlisted[0] -> wake(0)
		:: else
		fi;
		if
		:: enlisted[1] -> wake(1)
		:: else
		fi;
		if
		:: loops && !in_pump -> tell()
		:: else
		fi;
		notified = listens;
		dying = false
	}
}

inline ask(signs)
{
	asked[0] = true;
	asked[1] = true;
	if
	:: signs -> dying = true; !dying
	:: else
	fi
}

inline check(lately)
{
	if
	:: !error && lately	/* within 30 ms */
	:: !error -> ask(sign)
	:: error
	fi
}

inline slice_begins()
{
#ifdef ASKED_ONCE
	skip
#else
	asked[me] = false
#endif
}

/* What lets a thread see a slice end. */
#define slice_ends	(told_by_kernel -> late[me] < LATE : slices < SLICES)

inline slice_ended()
{
	if
	:: told_by_kernel -> late[me]++
	:: else -> slices++
	fi
}

inline wait_end()
{
	if
	:: enlisted[me] ->
		enlisted[me] = false;
		waiters??eval(me);
		if
		:: leader == me + 1 -> leader = 0
		:: else
		fi;
		if
		:: leader
		:: !leader && nempty(waiters) ->
#ifndef NO_HANDOVER
			waiters?<next>;
			wake(next);
			next = 0
#endif
		:: !leader && empty(waiters)	/* rewatch() is not about death */
		fi
	:: else
	fi
}

proctype reader(byte me)
{
	byte next;

call:
	atomic {
		unlocked ->
		if
		:: !error && (!leader || leader_asleep) -> pump_and_tell()
		:: else
		fi;
look:
		if
		:: queued[me] ->
			queued[me]--;
			wait_end();
			goto call
		:: !queued[me] && error ->
			assert(!news);
			wait_end();
			goto ended
		:: !queued[me] && !error && me == 1 && cancelled ->
			wait_end();
			goto ended
		:: else
		fi;
		if
		:: !enlisted[me] -> enlisted[me] = true; waiters!me
		:: else
		fi;
		if
		:: poke[me] -> poke[me] = false; goto look
		:: !poke[me] && (leader == 0 || leader == me + 1) -> leader = me + 1
		:: !poke[me] && leader != 0 && leader != me + 1 ->
			follows[me] = true;
			goto follow
		fi;
		slice_begins()
	};

	/* It leads. */
spin:
	if
	:: !endless
	:: endless && (news || poke[me]) -> goto spun
	:: atomic { endless && !news && !poke[me] && slice_ends -> slice_ended() };
	   atomic {
		unlocked;
#ifndef SPIN_BLIND
		check(asked[me]);
#endif
		slice_begins();
		if
		:: error || poke[me] -> goto led
		:: else -> goto spin
		fi
	   }
	fi;
	atomic {
		unlocked ->
		if
		:: poke[me] -> goto led
		:: else
		fi;
		leader_asleep = true;
		arm(FUTEX);
asleep:
		if
		:: news || poke[me] || error -> goto awake
		:: else
		fi;
		if
		:: leader_deep -> goto deep
		:: !leader_deep -> slice_begins()
		fi
	};
	atomic {
		if
		:: spent || poke[me]
		:: else -> on_futex = true
		fi
	};
	if
	:: !on_futex
	:: atomic { on_futex && slice_ends -> slice_ended(); on_futex = false }
	fi;
	atomic {
		unlocked;
round:
		if
		:: spent ->
			if
			:: !news -> check(false)
			:: else
			fi;
			goto awake
		:: !spent ->
#ifndef SLICE_BLIND
			if
			:: !leader_deep -> check(asked[me])
			:: else
			fi;
#endif
			leader_deep = !told && !no_eventfd;
			if
			:: leader_deep -> arm(SOCKET)
			:: else -> arm(FUTEX)
			fi;
			goto asleep
		fi;
awake:
		leader_asleep = false;
		leader_deep = false;
		if
		:: !spent -> armed = 0
		:: else
		fi;
led:
		if
		:: !error -> pump_and_tell()
		:: else
		fi;
		poke[me] = false;
		goto look
	};
spun:
	atomic { unlocked -> goto led };

deep:
#ifdef DEEP_BLIND
	event_fd;
#else
	(readable || event_fd);
#endif
	atomic {
		unlocked ->
		if
		:: event_fd && !told -> event_fd = false
		:: else
		fi;
		if
		:: told_by_kernel -> late[me]++; assert(late[me] <= LATE + 1)
		:: else
		fi;
		if
		:: !error ->
			byte_there = false;
#ifdef DEEP_UNCHECKED
#elif defined(CLEAR_ALONE)
			ask(hup)
#else
			ask(sign)
#endif
		:: else
		fi;
		goto round
	};

follow:
	atomic {
		if
		:: poke[me]
		:: else -> on_poke[me] = true
		fi
	};
	!on_poke[me];
	atomic {
		unlocked ->
		follows[me] = false;
		poke[me] = false;
		goto look
	};

ended:
	skip
}

/* Level-triggered, as poll(2): it comes back as long as there is a reason. */
proctype loop()
{
	bool idle, leads, rung, over;

	do
	:: !over ->
		(readable || event_fd);
		atomic {
			unlocked ->
			lock = true;
			leads = leader && !leader_asleep;	/* it is about to go on */
			if
			:: told_by_kernel && !leads -> pumps++; assert(pumps <= PUMPS)
			:: else
			fi;
			idle = !told && !event && !news;
			if
			:: told ->
				told = false;
				event_fd = false;
				if
				:: leader_deep && poke[leader - 1] -> event_fd = true
				:: else
				fi
			:: else
			fi;
			rung = spent
		};
		atomic {
			if
			:: !error && (rung || idle) ->
				byte_there = false;
				if
				:: leader_deep -> wake(leader - 1)
				:: else
				fi;
#ifndef PUMP_UNCHECKED
				in_pump = true;
				ask(sign);
				in_pump = false
#endif
			:: else
			fi;
			if
			:: !error && !leads -> pump()
			:: else
			fi;
			event = false;
			over = error;
			assert(!over || !news)
		};
		atomic {
			if
			:: !error && !leads && !leader ->
				arm(SOCKET);
				if
				:: news -> tell()
				:: !news
				fi
			:: else
			fi;
			lock = false;
			idle = false;
			leads = false;
			rung = false
		}
	:: over -> break
	od
}

proctype listener()
{
	bool by_event;

	do
	:: atomic {
		(readable || notified) && unlocked ->
		if
		:: told_by_kernel -> pumps++; assert(pumps <= PUMPS)
		:: else
		fi;
		by_event = readable;
		notified = false;
		if
		:: !error && by_event ->
			byte_there = false;
			if
			:: leader_deep -> wake(leader - 1)
			:: else
			fi;
#ifndef SERVE_UNCHECKED
			ask(sign)
#endif
		:: else
		fi;
		if
		:: !error && (!leader || leader_asleep) ->
			pump();
			if
			:: !leader -> arm(SOCKET)
			:: else
			fi
		:: else
		fi;
		by_event = false;
		if
		:: error -> assert(!news); break
		:: else
		fi
	   }
	od
}

/* A call that does not wait, at any moment. */
proctype caller()
{
	atomic {
		unlocked ->
		if
		:: !error && (!leader || leader_asleep) -> pump()
		:: else
		fi;
		check(false)
	}
}

proctype canceller()
{
end:
	atomic {
		unlocked && enlisted[1] -> cancelled = true; wake(1)
	}
}

/* Nothing that it does need be followed by anything. */
proctype peer()
{
	byte left[READERS], bell, to;
	bool child, orderly;

	if
	:: left[0] = 1
	:: left[1] = 1
#ifndef BIG
	:: !loops && !listens ->
#else
	::
#endif
	   left[0] = 1; left[1] = 1
	fi;
	do
	:: atomic {
		if
		:: left[0] -> to = 0
		:: left[1] -> to = 1
		fi;
		left[to]--;
		ring[to]++;
		to = 0
	   };
	   if
	   :: break
	   :: atomic {
		if
		:: armed && !spent -> spent = true; bell = armed
		:: else
		fi
	      }
	   fi;
	   if
	   :: bell -> break
	   :: atomic {
		if
		:: bell == FUTEX -> on_futex = false
		:: bell == SOCKET -> byte_there = true
		:: else
		fi;
		bell = 0
	      }
	   fi
	:: break
	:: atomic { spent = true; bell = 0 };
	   if
	   :: break
	   :: on_futex = false
	   fi;
	   if
	   :: break
	   :: orderly = true; break
	   fi
	od;

	/* The kernel's, from here on. */
	if
	:: orderly -> hup = true
	:: !orderly -> child = true
	:: !orderly -> hup = true
	fi;
	if
	:: !child	/* there is no pidfd */
	:: exited = true
	fi
}

init
{
	atomic {
		if
		:: no_eventfd = true
		:: endless = true
		:: true
		fi;
		if
		:: !no_eventfd ->
			loops = true;
			told = true;
			event_fd = true;
			run loop()
		:: listens = true; run listener()
		:: run caller(); run canceller()
		fi;
		run reader(0);
		run reader(1);
		run peer()
	}
}
