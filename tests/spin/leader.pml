/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * leader.pml - several that wait in one process: none of them sleeps on
 *
 * Two threads that read, each a stream of its own; an event loop, for a third
 * stream; a call that does not wait and one that cancels, at any moment; and
 * the peer. What is done under the session's lock is one step here, from where
 * it is taken to where it is dropped, but for the loop's, which the peer may
 * come between. The link's words are taken as wake.pml has proved them: to arm
 * and look again is one step, so is to publish and look; to ring is another.
 *
 *   model              code
 *   reader             shmux_stream_read(): recv_bytes(), recv_wait(), shmux__wait()
 *     spin, asleep       lead(), spin(), sleep_armed(), can_sleep_deep()
 *     futex              memfd_sleep(): the kernel compares both words, then sleeps
 *     deep               sleep_deep(), wake_deep()
 *     follow             follow()
 *   wait_end           shmux__wait_end_slow(), rewatch()
 *   wake               shmux__wake(), poke_deep(), memfd_poke()
 *   pump               shmux__pump(), deliver_small(), shmux__stream_event()
 *   arm                shm_arm()
 *   tell               shmux__events_tell()
 *   loop               shmux_session_pump(), untell(), shmux__wake_again(),
 *                      shmux__clear(), shmux__watch()
 *   caller             shmux__drain()
 *   canceller          shmux__cancel_stream()
 *
 * A slice of a sleep ends at most SLICES times, and either one deadline comes or
 * another call gets in between: who would need more of them is found out.
 *
 * Planted faults: BELL_EATEN, POKE_EATEN, NO_HANDOVER, NO_REWATCH, FOLLOW_BLIND,
 * SLEEP_BLIND, POKE_UNSENT, LOOP_ARMS, TOLD_EATEN, NOT_TOLD, NO_SECOND_LOOK,
 * LEADER_UNTOLD.
 */
#define READERS		2
#define LOOP		2	/* the stream of the event loop */

#ifdef BIG
#define SLICES		3
#else
#define SLICES		1
#endif

/* --- the link ---------------------------------------------------------------- */

#define FUTEX	1
#define SOCKET	2
byte ring[READERS + 1];		/* frames published and not taken, of each stream */
#define news	(ring[0] + ring[1] + ring[LOOP] != 0)
byte armed;			/* the bell, or 0 */
bool spent;			/* rung for: kicks is not what was seen */

/* --- the kernel ---------------------------------------------------------------- */

bool on_futex;			/* the leader sleeps, on kicks and its poke */
bool on_poke[READERS];		/* a follower sleeps on its poke */
bool byte_there;		/* in the socket */
bool event_fd;			/* can be read */

/* --- the session ---------------------------------------------------------------- */

bool lock;			/* held between the loop's steps */
byte leader;			/* 0: nobody; else reader + 1 */
bool leader_asleep, leader_deep, told, watch, event;
chan waiters = [READERS] of { byte };
bool enlisted[READERS], follows[READERS], poke[READERS], cancelled;
byte queued[READERS + 1];	/* received and not read */

byte slices, deadlines;

inline wake(who)
{
	if
	:: !poke[who] ->
		poke[who] = true;
		if
		:: follows[who] -> on_poke[who] = false
		:: !follows[who] && leader == who + 1 && leader_deep -> event_fd = true
#ifndef POKE_UNSENT
		:: !follows[who] && leader == who + 1 && !leader_deep && leader_asleep ->
			on_futex = false
#endif
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
#ifndef LEADER_UNTOLD
		:: enlisted[who] -> wake(who)
#else
		:: enlisted[who] && (leader != who + 1 || leader_asleep) -> wake(who)
#endif
		:: else
		fi
	:: else
	fi
}

/* Every stream has events for the loop, too. */
inline pump()
{
	take(0);
	take(1);
	if
	:: ring[LOOP] -> queued[LOOP]++; ring[LOOP] = 0; event = true
	:: else
	fi
}

inline pump_and_tell()
{
	pump();
#ifndef NOT_TOLD
	if
	:: event -> tell()
	:: else
	fi
#endif
}

inline arm(bell)
{
	if
	:: armed == bell && !spent	/* stands as said */
	:: else -> armed = bell; spent = false
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
		:: !leader && empty(waiters) ->
#ifndef NO_REWATCH
			if
			:: watch ->
				arm(SOCKET);
				pump_and_tell()
			:: else
			fi
#endif
		fi
	:: else
	fi
}

/* The first reads twice; the other once, unless it is cancelled. */
proctype reader(byte me)
{
	byte calls, next;
	bool timed_out;

call:
	atomic {
		!lock ->
		pump_and_tell();
look:
		if
		:: queued[me] ->
			queued[me]--;
			calls++;
			wait_end();
			goto ended
		:: !queued[me] && (timed_out || (me == 1 && cancelled)) ->
			calls = 2;
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
		fi
	};

	/* It leads, and spins without the lock. */
	atomic {
		!lock ->
		if
		:: poke[me] -> goto led
		:: else
		fi;
		leader_asleep = true;
		arm(FUTEX);
asleep:
		if
#ifndef NO_SECOND_LOOK
		:: news || poke[me] -> goto awake
		:: else
#else
		:: poke[me] -> goto awake
		:: else
#endif
		fi;
		if
		:: deadlines -> deadlines--; timed_out = true; goto awake
		:: leader_deep -> goto deep
		:: !leader_deep
		fi
	};
	atomic {
		if
#ifndef SLEEP_BLIND
		:: spent || poke[me]
#else
		:: spent
#endif
		:: else -> on_futex = true
		fi
	};
	if
	:: !on_futex
	:: atomic { slices < SLICES -> slices++; on_futex = false }
	fi;
	atomic {
		!lock;
round:
		if
		:: spent -> goto awake
		:: !spent ->
			leader_deep = !told;
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
		poke[me] = true;
		pump_and_tell();
		poke[me] = false;
		goto look
	};

deep:
	(byte_there || event_fd);
	atomic {
		!lock ->
		if
#ifdef TOLD_EATEN
		:: event_fd -> event_fd = false
#else
		:: event_fd && !told -> event_fd = false
#endif
		:: else
		fi;
		byte_there = false;
		goto round
	};

follow:
	atomic {
		if
#ifndef FOLLOW_BLIND
		:: poke[me]
#endif
		:: else -> on_poke[me] = true
		fi
	};
	if
	:: !on_poke[me]
	:: atomic { deadlines -> deadlines--; on_poke[me] = false; timed_out = true }
	fi;
	atomic {
		!lock ->
		follows[me] = false;
		timed_out = timed_out && !poke[me];
		poke[me] = false;
		goto look
	};

ended:
	if
	:: me == 0 && calls < 2 -> goto call
	:: else
	fi
}

/* Edge-triggered, as epoll and pump are used: sleep, pump, until all has come. */
proctype loop()
{
	byte seen;
	bool idle, leads, rung;

	do
	:: seen < 1 ->
		(byte_there || event_fd);
		atomic {
			!lock ->
			lock = true;
			watch = true;
			idle = !told && !event && !news;
			if
			:: told ->
				told = false;
				event_fd = false;
#ifndef POKE_EATEN
				if
				:: leader_deep && poke[leader - 1] -> event_fd = true
				:: else
				fi
#endif
			:: else
			fi;
			leads = leader && !leader_asleep;
			rung = spent
		};
		atomic {
			if
			:: rung || idle ->
				byte_there = false;
#ifndef BELL_EATEN
				if
				:: leader_deep -> wake(leader - 1)
				:: else
				fi
#endif
			:: else
			fi;
			if
			:: !leads -> pump()
			:: else
			fi;
			seen = seen + queued[LOOP];
			queued[LOOP] = 0;
			event = false
		};
		atomic {
			if
#ifdef LOOP_ARMS
			:: !leads ->
#else
			:: !leads && !leader ->
#endif
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
	:: else -> break
	od
}

/* A call that does not wait, at any moment. */
proctype caller()
{
	atomic {
		!lock ->
		if
		:: !leader || leader_asleep -> pump_and_tell()
		:: tell()	/* other news for the loop */
		:: enlisted[1] -> cancelled = true; wake(1)
		:: enlisted[1] -> cancelled = true; wake(1); tell()
		fi
	}
}

proctype peer()
{
	byte left[READERS + 1], bell, to;

	left[0] = 2;
	left[1] = 1;
	left[LOOP] = 1;
	do
	:: atomic {
		if
		:: left[0] -> to = 0
		:: left[1] -> to = 1
		:: left[LOOP] -> to = LOOP
		:: !left[0] && !left[LOOP] && (!left[1] || cancelled) -> break
		fi;
		left[to]--;
		ring[to]++;
		if
		:: armed && !spent -> spent = true; bell = armed
		:: else
		fi;
		to = 0
	   };
	   atomic {
		if
		:: bell == FUTEX -> on_futex = false
		:: bell == SOCKET -> byte_there = true
		:: else
		fi;
		bell = 0
	   }
	od
}

init
{
	atomic {
		/* The descriptor is readable until the first pump. */
		told = true;
		event_fd = true;
		run reader(0);
		run reader(1);
		run loop();
		if
		:: run caller()
		:: deadlines = 1
		fi;
		run peer()
	}
}
