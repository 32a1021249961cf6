/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * room.pml - room in the ring and in the return ring: nobody waits for ever
 *
 * Two sides, each of which writes more than its ring holds and takes in what the
 * other writes; or one that writes, and a peer that only takes in: it polls and
 * never sleeps in the library, or it is a listener's and sleeps for new streams
 * alone. Who writes may block, or have an event loop: then it tries, and polls
 * for the descriptor until the pump names the stream. Payload leaves the ring for a private queue at once, as far as credit
 * allows, and credit is not what is short here. To publish and look is one step,
 * so is to arm, look and look again: wake.pml and ring.pml are about these.
 *
 *   model          code
 *   write          shmux__shm_send(): shmux__shm_room(), shmux__producer_refresh()
 *   sleep          lead(), use_room(), shm_begin_wait(), sleep_armed()
 *   frames, room   shmux__shm_ready()
 *   take           shmux__pump(), shmux__shm_receive(), shmux__consumer_due()
 *   publish        shmux__shm_publish()
 *   look           shmux__shm_look()
 *   arm            shm_arm()
 *   looper         shmux_stream_try_write(): send_wait(), shmux__room_wanted();
 *     pump         shmux_session_pump(), shmux__watch()
 *     has_room     shm_has_room()
 *   poller         shmux_stream_try_read(), again and again
 *   listener       session_serve(), shmux__watch()
 *   lender, taker  shm_chunk_get(), take_returns(), shmux__returns_get();
 *                  shm_chunk_return(), shmux__returns_put()
 *
 * Of the ring's 8 slots a quarter is 2, so one that is consumed may stay untold;
 * 1 is left to control frames; a record takes at most a quarter and one; and
 * spans that are reserved keep 3 at most (chunks_kept, shmux_stream_reserve()).
 *
 * Planted faults: NO_QUARTER, ROOM_UNRUNG, WRITER_ONLY_WAITS, FULL_UNTOLD,
 * NO_LOOK_FOR_ROOM, KEPT_MORE, INDEX_UNTOLD, RETURNS_SHORT, RETURN_UNRUNG,
 * ROOM_UNWATCHED, PUMP_BLIND, EIGHTH_ALONE.
 */
#define SLOTS		8
#define QUARTER		2
#define CONTROL		1
#define LONGEST		3
#ifdef BIG
#define RECORDS		5	/* that a side writes */
#define FUTILE		9	/* tries, of both, since anything went on */
#else
#define RECORDS		4
#define FUTILE		6
#endif
#define BATCH		2	/* records that one pump takes */
#ifdef KEPT_MORE
#define KEPT		4
#else
#define KEPT		3
#endif

#define FRAMES	1
#define SESSION	2
#define ROOM	4
#define ANY	7

chan ring[2] = [SLOTS] of { byte };	/* the length of each record */
byte next[2], published[2];		/* indexes in our ring */
byte consumer[2];			/* the peer's, as we know it */
byte seen[2];				/* the same, as of begin_wait */
byte taken[2], told[2];			/* ours in the peer's; told: for it to see */
byte reasons[2];			/* of what is not published */
byte armed[2];
bool spent[2], asleep[2];
byte kept;				/* by the first side */
byte futile;				/* tries to write since anything went on */

#define frames		(taken[me] != published[1 - me])
#define room		(told[1 - me] != seen[me])
#define keeps		(me == 0 -> kept : 0)
#define fits		(next[me] - consumer[me] + length + CONTROL + keeps <= SLOTS)

inline look()
{
	if
	:: (armed[1 - me] & reasons[me]) && !spent[1 - me] ->
		if
		:: armed[1 - me] & ROOM -> told[me] = taken[me]
		:: else
		fi;
		spent[1 - me] = true;
		asleep[1 - me] = false
	:: else
	fi;
	reasons[me] = 0
}

inline tell_index()
{
	told[me] = taken[me];
#ifndef ROOM_UNRUNG
	reasons[me] = reasons[me] | ROOM
#endif
}

inline tell_index_if_due()
{
	if
#ifndef NO_QUARTER
	:: taken[me] - told[me] >= QUARTER -> tell_index()
#endif
	:: else
	fi
}

inline publish()
{
	published[me] = next[me];
	tell_index_if_due();
	look()
}

inline arm(why)
{
	published[me] = next[me];
	if
#ifndef INDEX_UNTOLD
	:: taken[me] != told[me] -> tell_index()
#endif
	:: else
	fi;
	armed[me] = why;
	spent[me] = false;
	look()
}

inline disarm()
{
	if
	:: !spent[me] -> armed[me] = 0
	:: else
	fi
}

inline take()
{
	do
	:: frames && batch < BATCH ->
		tell_index_if_due();
		ring[1 - me]?n;
		taken[me] = taken[me] + n;
		n = 0;
		batch++;
		to_take--;
		futile = 0
	:: else -> break
	od;
	batch = 0
}

/* Writes all it has to, taking in what comes while it waits for room; then reads. */
proctype side(byte me; byte to_write; byte to_take)
{
	byte length, n, batch;

again:
	do
	:: atomic {
		to_write && !length ->
		if
		:: length = 1
		:: length = LONGEST
		fi
	   }
	:: atomic {
		length && fits ->
		ring[me]!length;
		next[me] = next[me] + length;
		length = 0;
		to_write--;
		futile = 0;
		reasons[me] = reasons[me] | FRAMES;
		if
		:: publish()
		:: true		/* corked */
		fi
	   }
	:: atomic {
		length && !fits ->
		consumer[me] = told[1 - me];
		if
		:: fits
		:: !fits ->
#ifndef FULL_UNTOLD
			reasons[me] = ANY;
#endif
			publish();
			futile++;
			assert(futile < FUTILE);
			if
			:: room -> seen[me] = told[1 - me]
			:: !room -> goto sleep
			fi
		fi
	   };
	   goto again;
sleep:
	   atomic {
		arm(FRAMES | ROOM);
		if
#ifndef NO_LOOK_FOR_ROOM
		:: room
#endif
#ifndef WRITER_ONLY_WAITS
		:: frames
#endif
		:: else -> asleep[me] = true
		fi
	   };
	   !asleep[me];
	   atomic {
		disarm();
#ifndef WRITER_ONLY_WAITS
		take()
#endif
	   }
	:: atomic {
		!to_write && to_take ->
		publish();
		arm(FRAMES);
		if
		:: frames
		:: !frames -> asleep[me] = true
		fi
	   };
	   !asleep[me];
	   atomic {
		disarm();
		take()
	   }
	:: !to_write && !to_take -> break
	od;
	atomic { publish() }
}

/* For the stream that met a full ring, and for what is like it. */
#ifdef EIGHTH_ALONE
#define has_room	(next[me] - consumer[me] + SLOTS / 8 + CONTROL + keeps <= SLOTS)
#else
#define has_room	(next[me] - consumer[me] + wanted + CONTROL + keeps <= SLOTS && \
			 next[me] - consumer[me] + SLOTS / 8 + CONTROL + keeps <= SLOTS)
#endif

inline watch()
{
	arm((wanted -> FRAMES | ROOM : FRAMES));
	asleep[me] = true;
	consumer[me] = told[1 - me];
	if
	:: frames || (wanted && has_room) -> event_fd = true
	:: else
	fi
}

/* Writes without waiting, and takes in what comes. */
proctype looper(byte me; byte to_write; byte to_take)
{
	byte length, n, batch, wanted;	/* slots; 0: the stream may write */
	bool event_fd;

	event_fd = true;	/* until the first pump */
	do
	:: atomic {
		to_write && !wanted ->
		if
		:: length = 1
		:: length = LONGEST
		fi;
try:
		take();
		if
		:: !fits -> consumer[me] = told[1 - me]
		:: fits
		fi;
		if
		:: fits ->
			ring[me]!length;
			next[me] = next[me] + length;
			length = 0;
			to_write--;
			futile = 0;
			reasons[me] = reasons[me] | FRAMES
		:: !fits ->
			reasons[me] = ANY;
			futile++;
			assert(futile < FUTILE);
			wanted = length;
#ifndef ROOM_UNWATCHED
			watch()
#endif
		fi;
		publish()
	   }
	:: atomic {
		(!asleep[me] || event_fd) && (to_write || to_take) ->
		event_fd = false;
		futile++;
		assert(futile < FUTILE);
		take();
		consumer[me] = told[1 - me];
		if
#ifndef PUMP_BLIND
		:: wanted && has_room -> wanted = 0
#endif
		:: else
		fi;
		watch();
		if
		:: length && !wanted -> goto try
		:: else
		fi
	   }
	:: !to_write && !to_take -> break
	od
}

/* It has something else to do between its calls, and never waits in one. */
proctype poller(byte me; byte to_take)
{
	byte n, batch;

	do
	:: atomic { to_take && frames -> take(); publish() }
	:: !to_take -> break
	od
}

/* Its streams are read by nobody; it waits for new ones. */
proctype listener(byte me; byte to_take)
{
	byte n, batch;

	do
	:: atomic { to_take && frames -> take(); publish() }
	:: atomic {
		to_take && !frames ->
		arm(SESSION);
		if
		:: frames
		:: !frames -> asleep[me] = true
		fi
	   };
end:	   !asleep[me]
	:: !to_take -> break
	od
}

/* --- the return ring -------------------------------------------------------------- */

#define BLOCKS		3
#ifdef RETURNS_SHORT
#define WORDS		2
#else
#define WORDS		BLOCKS	/* of returns, one for each block at least */
#endif

chan lent = [BLOCKS] of { byte };	/* descriptors on their way */
bool word[WORDS];			/* given back, and not yet taken back */
bool lender_armed, lender_asleep;

/* Lends chunks of one block; when all are lent it waits for one to come back. */
proctype lender(byte to_lend)
{
	byte free, at;

	free = BLOCKS;
	do
	:: atomic { to_lend && free -> free--; to_lend--; lent!0 }
	:: atomic { word[at] -> word[at] = false; at = (at + 1) % WORDS; free++ }
	:: atomic {
		to_lend && !free && !word[at] ->
		lender_armed = true;
		lender_asleep = true
	   };
	   !lender_asleep;
	   lender_armed = false
	:: atomic { !to_lend && free == BLOCKS -> break }
	od
}

/* Holds chunks as long as it likes. */
proctype taker(byte to_take)
{
	byte held, at;

	do
	:: atomic { lent?_ -> held++; to_take-- }
	:: atomic {
		held ->
		assert(!word[at]);		/* never over one that is not yet read */
		word[at] = true;
		at = (at + 1) % WORDS;
		held--
#ifndef RETURN_UNRUNG
		;
		if
		:: lender_armed -> lender_asleep = false
		:: else
		fi
#endif
	   }
	:: atomic { !to_take && !held -> break }
	od
}

init
{
	atomic {
		if
		:: kept = KEPT; run side(0, RECORDS, 0); run poller(1, RECORDS)
		:: kept = KEPT; run looper(0, RECORDS, 0); run poller(1, RECORDS)
		:: kept = KEPT; run looper(0, RECORDS, 0); run listener(1, RECORDS)
		:: kept = KEPT; run looper(0, RECORDS, RECORDS); run side(1, RECORDS, RECORDS)
		:: kept = KEPT; run looper(0, RECORDS, RECORDS); run looper(1, RECORDS, RECORDS)
		:: kept = KEPT; run side(0, RECORDS, 0); run listener(1, RECORDS)
		/* Before one that sleeps tells all, more could be kept than is. */
		:: kept = SLOTS - CONTROL - LONGEST; run side(0, RECORDS, 0); run side(1, 0, RECORDS)
		:: run lender(2 * BLOCKS + 1); run taker(2 * BLOCKS + 1)
		:: kept = KEPT; run side(0, RECORDS, RECORDS); run side(1, RECORDS, RECORDS)
		fi
	}
}
