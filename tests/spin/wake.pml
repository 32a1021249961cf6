/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wake.pml - one that publishes, and may die, one that sleeps: no wake-up is lost
 *
 * The two sides of a link across the boundary of their processes, with the
 * store buffers of their processors: a store lies in its side's buffer until
 * some later time, and only a fence or a system call waits for that.
 *
 *   model                   code
 *   waker: publish          shmux__shm_publish(), shmux__producer_publish()
 *   waker: look, kick       shmux__shm_look(), shmux__shm_kick()
 *   waker: ring             memfd_ring(): futex, or a byte over the socket
 *   sleeper: take           shmux__pump(), shmux__shm_receive()
 *   sleeper: arm            shm_arm(), called by sleep_armed()
 *   sleeper: second look    shmux__link_ready() in sleep_armed()
 *   sleeper: futex          memfd_sleep(): the kernel compares, then sleeps
 *   sleeper: socket         sleep_deep(), wake_deep(), memfd_clear()
 *   sleeper: rung           shm_rung()
 *   sleeper: disarm         shm_disarm()
 *   sleeper: check          shmux__session_check(), wake_deep()
 *
 * A sleep ends by itself at most SLICES times (a slice of the futex, a deadline),
 * so that whoever depends on that to wake is found out: the sleeper is left in
 * a state that nothing leads out of, and spin says so. What is published is one
 * number, and "there is news" compares it, as the code compares the tag of the
 * next slot.
 *
 * The waker dies between any two steps, or not at all. What it had stored is seen
 * by all before the kernel gives a sign of that, some time later; from then on the
 * sleeper may sleep LATE slices more for each that it takes. It leaves when all
 * messages have come, or when it knows of the death and has taken what there is.
 *
 * Planted faults: NO_LOOK, NO_FENCE_WAKER, NO_FENCE_SLEEPER, FLAG, FLAG_ONCE,
 * OWN_BELL, KICK_FIRST, LATE_SEEN, HOLD_BLIND, CLEAR_LATE, DEEP_BLIND,
 * SLICE_BLIND, RUNG_BLIND.
 */
#ifdef BIG
#define MESSAGES	3
#define SLICES		2
#else
#define MESSAGES	2
#define SLICES		2
#endif

/* The shared words. WORD and KICKS are the waker's, ARMED is the sleeper's. */
#define WORD	0	/* the first word of the slots: how many are published */
#define KICKS	1
#define ARMED	2
byte memory[3];

/* What each side has stored and no other processor sees yet, oldest first. */
chan waker_buffer = [4] of { byte, byte };
chan sleeper_buffer = [4] of { byte, byte };

/* The kernel's. */
bool on_futex;		/* the sleeper is in the futex's queue */
bool readable;		/* a byte lies in the sleeper's socket */
bool killed, sign;	/* the waker; what tells of that */

#define LATE	1

/* The armed word: a counter, which bell, odd. */
#define ODD	1
#define DEEP	2	/* SHMUX_ARMED_SOCKET, else SHMUX_ARMED_FUTEX */
#define STEP	4

/* What is to be proved beside: one kick for each time it armed, at most. */
byte armings, kicks_sent;

active proctype waker_drain()
{
	byte at, value;
end:
	do
	:: atomic { waker_buffer?at, value -> memory[at] = value }
	od
}

active proctype sleeper_drain()
{
	byte at, value;
end:
	do
	:: atomic { sleeper_buffer?at, value -> memory[at] = value }
	od
}

active proctype waker()
{
	byte published, kicks, kicked, armed;

	{
	do
	:: published < MESSAGES ->
#ifdef KICK_FIRST
		armed = memory[ARMED];
#endif
		published++;
		waker_buffer!WORD, published;
#ifndef NO_FENCE_WAKER
		empty(waker_buffer);
#endif
#ifndef KICK_FIRST
		armed = memory[ARMED];
#endif
		if
#ifdef FLAG
		:: armed & ODD ->
#else
		:: (armed & ODD) && armed != kicked ->
#endif
			kicked = armed;
			kicks++;
			kicks_sent++;
			assert(kicks_sent <= armings);
#ifndef OWN_BELL
			waker_buffer!KICKS, kicks;
#endif
			/* A system call orders as a fence does. */
			empty(waker_buffer);
			if
			:: armed & DEEP -> readable = true
			:: else -> on_futex = false
			fi
		:: else
		fi
	:: else -> break
	od
	} unless { killed }
}

active proctype executioner()
{
	if
	:: killed = true;
	   empty(waker_buffer);
	   sign = true
	:: true
	fi
}

active proctype sleeper()
{
	byte taken, seen, armed, slices, late, want;

take:
	do
	:: memory[WORD] != taken -> taken++; late = 0
	:: else -> break
	od;
	if
	:: taken == MESSAGES -> goto done
	:: else
	fi;

arm:
	if
	:: want = ODD
	:: want = ODD | DEEP
	fi;
	if
#ifdef HOLD_BLIND
	:: (armed & (STEP - 1)) == want
#else
	:: (armed & (STEP - 1)) == want && memory[KICKS] == seen
#endif
	:: else ->
#ifndef LATE_SEEN
		seen = memory[KICKS];
#endif
#if defined(FLAG) || defined(FLAG_ONCE)
		armed = want;
#else
		armed = (armed | (STEP - 1)) + 1 | want;
#endif
		armings++;
		sleeper_buffer!ARMED, armed;
#ifndef NO_FENCE_SLEEPER
		empty(sleeper_buffer);
#endif
	fi;

#ifndef NO_LOOK
	if
	:: memory[WORD] != taken -> goto awake
	:: else
	fi;
#endif
#ifdef LATE_SEEN
	seen = memory[KICKS];
#endif

	if
	:: armed & DEEP ->
#ifdef CLEAR_LATE
		readable = false;
#endif
		if
		:: readable
#ifndef DEEP_BLIND
		:: sign
#endif
		:: slices < SLICES -> slices++
		fi;
		if
		:: sign -> goto lost
		:: else
		fi;
		readable = false
	:: else ->
		empty(sleeper_buffer);
		atomic {
			if
			:: memory[KICKS] == seen -> on_futex = true
			:: else
			fi
		};
		if
		:: !on_futex
		:: slices < SLICES -> slices++; on_futex = false
		:: sign && late < LATE -> late++; on_futex = false
		fi;
		if
#ifndef SLICE_BLIND
		:: sign && memory[KICKS] == seen -> goto lost
#endif
		:: else
		fi
	fi;
	if
	:: memory[KICKS] != seen ->
		if
#ifndef RUNG_BLIND
		:: memory[WORD] == taken && sign -> goto lost	/* rung for nothing */
#endif
		:: else -> goto take
		fi
	:: else ->
		if
		:: goto arm		/* sleep_armed() goes round */
		:: slices -> skip	/* the deadline */
		fi
	fi;

awake:
	if
	:: memory[KICKS] != seen	/* rung for: the value is spent */
	:: else ->
		armed = armed & ~(STEP - 1);
		sleeper_buffer!ARMED, armed
	fi;
	goto take;
lost:
	do
	:: memory[WORD] != taken -> taken++
	:: else -> break
	od;
done:
	skip
}
