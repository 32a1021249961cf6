/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * lock.pml - threads that share a lock which is given back by a plain store
 *
 * Each takes it and gives it back, a few times. A plain store lies in the buffer of
 * its processor until some later time; an atomic operation waits until that is
 * empty, so does futex(2), which has a fence before it looks for sleepers, and
 * membarrier(2) waits until all of them are. A sleep has no end but a wake-up.
 *
 *   model           code
 *   take            shmux_lock(), shmux_lock_slow()
 *   barrier         others_fence()
 *   sleep           shmux_futex_wait(): the kernel compares, then sleeps
 *   give back       shmux_unlock(), shmux_unlock_slow()
 *   wake            shmux_unlock_wake()
 *
 * At most one holds it at a time, and none sleeps on when nobody does.
 *
 * Planted faults: NO_BARRIER, BARRIER_FIRST, NO_SECOND_LOOK, ONE_SLEEPER,
 * GONE_BEFORE, SAYS_ONE.
 */
#define THREADS	3

#ifdef BIG
#define ROUNDS	3
#else
#define ROUNDS	2
#endif

#define FREE	0
#define HELD	1
#define SLEPT	2	/* held, and somebody may sleep on it */

byte word, sleepers;
bool asleep[THREADS];
byte holders;

/* What a thread has stored to the word and the others do not see yet. */
chan buffer[THREADS] = [1] of { byte };

proctype drain(byte me)
{
	byte value;
end:
	do
	:: atomic { buffer[me]?value -> word = value }
	od
}

/* One of them, whichever. */
inline wake_one()
{
	atomic {
		if
		:: asleep[0] -> asleep[0] = false
		:: asleep[1] -> asleep[1] = false
		:: asleep[2] -> asleep[2] = false
		:: else
		fi
	}
}

proctype thread(byte me)
{
	byte rounds, seen, other;

	do
	:: rounds < ROUNDS ->
		rounds++;

		/* Take it. */
		atomic {
			empty(buffer[me]);
			if
			:: word == FREE -> word = HELD; goto held
			:: else
			fi
		};
#ifdef BARRIER_FIRST
		empty(buffer[0]) && empty(buffer[1]) && empty(buffer[2]);
#endif
#ifdef ONE_SLEEPER
		sleepers = 1;
#else
		sleepers++;
#endif
#if !defined(NO_BARRIER) && !defined(BARRIER_FIRST)
		/* Each at its own time. */
		other = 0;
		do
		:: other < THREADS -> empty(buffer[other]); other++
		:: else -> break
		od;
		other = 0;
#endif
		do
		:: atomic {
			seen = word;
#ifdef SAYS_ONE
			if
			:: word == FREE -> word = HELD
			:: else
			fi;
#else
			word = SLEPT;
#endif
			};
			if
			:: seen == FREE -> break
			:: else
			fi;
#ifdef GONE_BEFORE
			sleepers--;
#endif
			atomic {
				if
#ifdef SAYS_ONE
				:: word == HELD -> asleep[me] = true
#else
				:: word == SLEPT -> asleep[me] = true
#endif
				:: else
				fi
			};
			!asleep[me];
#ifdef GONE_BEFORE
			sleepers++;
#endif
		od;
		sleepers--;

held:
		holders++;
		assert(holders == 1);
		holders--;

		/* Give it back. */
		if
		:: sleepers ->
			atomic { seen = word; word = FREE };
			if
			:: seen == SLEPT -> wake_one()
			:: else
			fi
		:: else ->
			buffer[me]!FREE;
#ifndef NO_SECOND_LOOK
			if
			:: sleepers ->
				empty(buffer[me]);
				wake_one()
			:: else
			fi
#endif
		fi
	:: else -> break
	od
}

init {
	byte i;

	atomic {
		do
		:: i < THREADS -> run drain(i); run thread(i); i++
		:: else -> break
		od
	}
}
