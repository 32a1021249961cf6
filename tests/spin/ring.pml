/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ring.pml - the ring's memory order, as litmus tests
 *
 * Each process below is a handful of loads and stores that its processor may
 * carry out in any order, but for what the program forbids: STEP(n, after, ..)
 * waits for the steps that "after" names. That is what release, acquire and
 * fence keep, and nothing else is kept, as on a processor that reorders
 * whatever it may (Arm; x86 does less). Two processors share the words, so
 * whether a store reaches all others at once makes no difference.
 *
 *   released(n)   all steps before n: a release store, or one behind a fence
 *   acquired(n)   step n: all that follows an acquire load, or depends on it
 *   fenced(n)     all steps before n: what follows a fence, or a system call
 *
 * libshmux/BARRIERS.md has the claims that these are to bear out.
 *
 *   test      what must never be                        code
 *   publish   a record seen, and not all of it, nor     shmux__producer_add(), _rest(),
 *             all of those published with it            _publish(); shmux__consumer_word()
 *   reuse     a slot overwritten while it is read       shmux__consumer_publish(),
 *                                                       shmux__producer_refresh()
 *   returns   a chunk overwritten while it is read, or  shmux__returns_put(), _get(),
 *             read before it is written                 shm_chunk_send()
 *   wake      both look, and neither sees the other     shmux__shm_look(), shm_arm()
 *   room      the same, for the consumer's index        shmux__consumer_publish(), shm_ready()
 *   kick      a kick that the sleeper takes for old     shmux__shm_kick(), shm_arm()
 *   late      a kick without the index told before it   shmux__shm_kick(), shm_arm()
 *   last      last words counted before they are there  shm_last_word(), shm_heard_last()
 *   death     a death told before what was published    memfd_check_alive(), the kernel's
 *
 * Planted faults: PUBLISH_RELAXED, WORD_RELAXED, INDEX_RELAXED, RETURN_RELAXED,
 * NO_FENCE_LOOK, NO_FENCE_ARM, NO_FENCE_ROOM, SEEN_LATE, KICKS_RELAXED,
 * LAST_RELAXED, SIGN_UNORDERED.
 */
#define STEP(n, after, what) \
	:: atomic { !(done & (1 << n)) && (after) -> what; done = done | (1 << n) }
#define all_before(n)	((done & ((1 << n) - 1)) == (1 << n) - 1)
#define released(n)	all_before(n)
#define acquired(n)	((done & (1 << n)) != 0)
#define fenced(n)	all_before(n)
#define steps(n)	:: done == (1 << n) - 1 -> break

byte finished;

/* --- publish: two records of a batch, the first of two slots ---------------- */

byte first_word, first_body, next_word, next_body, second_word, second_body;

proctype publish_producer()
{
	byte done;

	do
	STEP(0, true, next_word = 1)		/* relaxed */
	STEP(1, true, next_body = 1)
	STEP(2, true, first_body = 1)
	STEP(3, true, second_word = 1)		/* relaxed: not the first of the batch */
	STEP(4, true, second_body = 1)
#ifdef PUBLISH_RELAXED
	STEP(5, true, first_word = 1)
#else
	STEP(5, released(5), first_word = 1)	/* held back till here */
#endif
	steps(6)
	od;
	finished++
}

proctype publish_consumer()
{
	byte done, word, body, body2, word2, later;

	do
	STEP(0, true, word = first_word)
#ifdef WORD_RELAXED
	STEP(1, true, body = first_body)
#else
	STEP(1, acquired(0), body = first_body)
#endif
	STEP(2, acquired(0), body2 = next_word + next_body)
	STEP(3, acquired(0), word2 = second_word)
	STEP(4, acquired(3), later = second_body)
	steps(5)
	od;
	if
	:: word -> assert(body == 1 && body2 == 2 && word2 == 1 && later == 1)
	:: else
	fi;
	finished++
}

/* --- reuse: the slot of a lap ago -------------------------------------------- */

byte slot = 1, index;

proctype reuse_consumer()
{
	byte done, body;

	do
	STEP(0, true, body = slot)
#ifdef INDEX_RELAXED
	STEP(1, true, index = 1)
#else
	STEP(1, released(1), index = 1)
#endif
	steps(2)
	od;
	assert(body == 1);
	finished++
}

proctype reuse_producer()
{
	byte done, consumer;

	do
	STEP(0, true, consumer = index)
	STEP(1, acquired(0), if :: consumer -> slot = 2 :: else fi)
	steps(2)
	od;
	finished++
}

/* --- returns: a chunk goes there, comes back and goes there again ------------- */

byte chunk, descriptor, given_back;

proctype returns_lender()
{
	byte done, word;

	do
	STEP(0, true, chunk = 1)
	STEP(1, released(1), descriptor = 1)
	STEP(2, true, word = given_back)
	STEP(3, acquired(2), if :: word -> chunk = 2 :: else fi)
	steps(4)
	od;
	finished++
}

proctype returns_taker()
{
	byte done, word, body;

	do
	STEP(0, true, word = descriptor)
	STEP(1, acquired(0), body = chunk)
#ifdef RETURN_RELAXED
	STEP(2, acquired(0), if :: word -> given_back = 1 :: else fi)
#else
	STEP(2, released(2), if :: word -> given_back = 1 :: else fi)
#endif
	steps(3)
	od;
	if
	:: word -> assert(body == 1)
	:: else
	fi;
	finished++
}

/* --- wake: publish and look, arm and look ------------------------------------- */

byte published, armed;
bool waker_saw, sleeper_saw;

proctype wake_waker()
{
	byte done;

	do
	STEP(0, true, published = 1)
#ifdef NO_FENCE_LOOK
	STEP(1, true, waker_saw = armed)
#else
	STEP(1, fenced(1), waker_saw = armed)
#endif
	steps(2)
	od;
	finished++
}

proctype wake_sleeper()
{
	byte done;

	do
	STEP(0, true, armed = 1)
#ifdef NO_FENCE_ARM
	STEP(1, true, sleeper_saw = published)
#else
	STEP(1, fenced(1), sleeper_saw = published)
#endif
	steps(2)
	od;
	finished++
}

/* --- room: the index that the consumer publishes before it sleeps itself ------- */

byte consumer_index, writer_armed, reader_armed, record;
bool reader_kicks, writer_goes_on, reader_goes_on, writer_kicks;

proctype room_reader()
{
	byte done;

	do
	STEP(0, true, consumer_index = 1)
	STEP(1, true, reader_armed = 1)		/* relaxed */
#ifdef NO_FENCE_ROOM
	STEP(2, true, reader_kicks = writer_armed)
#else
	STEP(2, fenced(2), reader_kicks = writer_armed)
#endif
	STEP(3, fenced(2), reader_goes_on = record)
	steps(4)
	od;
	finished++
}

/* It has published a last record, and waits for room. */
proctype room_writer()
{
	byte done;

	do
	STEP(0, true, record = 1)
	STEP(1, true, writer_armed = 1)
	STEP(2, fenced(2), writer_kicks = reader_armed)
	STEP(3, fenced(2), writer_goes_on = consumer_index)
	steps(4)
	od;
	finished++
}

/* --- kick: the word slept on --------------------------------------------------- */

byte kicks, kick_armed, kick_record, seen;
bool kicked, looked;

proctype kick_waker()
{
	byte done;

	do
	STEP(0, true, kick_record = 1)
	STEP(1, fenced(1), kicked = kick_armed)
	STEP(2, acquired(1), if :: kicked -> kicks = 1 :: else fi)
	steps(3)
	od;
	finished++
}

proctype kick_sleeper()
{
	byte done;

	do
	/* What counts is that it comes before the look: the fence sees to that. */
	STEP(0, true, seen = kicks)
	STEP(1, true, kick_armed = 1)
#ifdef SEEN_LATE
	STEP(2, acquired(1), looked = kick_record)
#else
	STEP(2, fenced(2), looked = kick_record)
#endif
	steps(3)
	od;
	finished++
}

/* --- late: the index that a writer is told once it is seen to sleep for room ------- */

byte late_index, late_kicks;

proctype late_waker()
{
	byte done;

	do
	STEP(0, true, late_index = 1)
#ifdef KICKS_RELAXED
	STEP(1, true, late_kicks = 1)
#else
	STEP(1, released(1), late_kicks = 1)
#endif
	steps(2)
	od;
	finished++
}

proctype late_sleeper()
{
	byte done, was, now;

	do
	STEP(0, true, was = late_kicks)
	STEP(1, fenced(1), now = late_index)	/* it has armed meanwhile */
	steps(2)
	od;
	assert(!was || now);
	finished++
}

/* --- last words ------------------------------------------------------------------ */

byte last_word, nr_last_words;

proctype last_speaker()
{
	byte done;

	do
	STEP(0, true, last_word = 1)
#ifdef LAST_RELAXED
	STEP(1, true, nr_last_words = 1)
#else
	STEP(1, released(1), nr_last_words = 1)
#endif
	steps(2)
	od;
	finished++
}

proctype last_listener()
{
	byte done, nr, id;

	do
	STEP(0, true, nr = nr_last_words)
	STEP(1, acquired(0), id = last_word)
	steps(2)
	od;
	assert(!nr || id == 1);
	finished++
}

/* --- death: the kernel tells of it ----------------------------------------------- */

byte said, sign;

proctype death_victim()
{
	byte done;

	do
	STEP(0, true, said = 1)
#ifdef SIGN_UNORDERED
	STEP(1, true, sign = 1)
#else
	STEP(1, fenced(1), sign = 1)		/* it is the kernel's by then */
#endif
	steps(2)
	od;
	finished++
}

proctype death_survivor()
{
	byte done, dead, heard;

	do
	STEP(0, true, dead = sign)
	STEP(1, fenced(1), heard = said)
	steps(2)
	od;
	assert(!dead || heard);
	finished++
}

/* --- one test at a time ------------------------------------------------------------ */

init
{
	if
	:: atomic { run publish_producer(); run publish_consumer() };
	   finished == 2
	:: atomic { run reuse_producer(); run reuse_consumer() };
	   finished == 2
	:: atomic { run returns_lender(); run returns_taker() };
	   finished == 2
	:: atomic { run wake_waker(); run wake_sleeper() };
	   finished == 2;
	   assert(waker_saw || sleeper_saw)
	:: atomic { run room_reader(); run room_writer() };
	   finished == 2;
	   /* Neither sleeps on what the other has done, unless it is kicked. */
	   assert(writer_goes_on || reader_kicks);
	   assert(reader_goes_on || writer_kicks)
	:: atomic { run kick_waker(); run kick_sleeper() };
	   finished == 2;
	   /* Asleep for good: it saw no record, and no kick is to come. */
	   assert(looked || seen != kicks)
	:: atomic { run late_waker(); run late_sleeper() };
	   finished == 2
	:: atomic { run last_speaker(); run last_listener() };
	   finished == 2
	:: atomic { run death_victim(); run death_survivor() };
	   finished == 2
	fi
}
