/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * shmux.h - what /dev/shmux is asked, and answers
 *
 * The device makes the two regions of a session, holds names, wakes, tells who
 * is at the other end and that it has died. What lies in the regions is for the
 * two processes to agree on; libshmux's agreement is shmux_ring.h.
 *
 * The life of a file
 * ==================
 * open(2) gives a file that is nothing yet. What is asked of it first makes it
 *
 *   a listener   LISTEN takes a name. ACCEPT gives one end of a session for
 *                each process that has connected, oldest first.
 *   an end       CREATE makes its region, then CONNECT looks for a listener;
 *                or PAIR makes it and another, joined, both without a region.
 *
 * and it stays that. Each end makes its own region, writes in it what the other
 * is to find there, and says so:
 *
 *   connector                       acceptor, and either end of a pair
 *   CREATE   region                 (ACCEPT or PAIR has given the end)
 *   mmap     own, write             PEER     who is it? may it?
 *   CONNECT  and ready              CREATE   region
 *   MEET     wait for the other     mmap     own, write
 *   PEER     who is it?             MEET     ready; or refuse; wait for the other
 *   mmap     theirs                 mmap     theirs
 *
 * A session is open once both are ready. It is over as soon as one end is dead:
 * hung up, or its last descriptor closed, or its owner gone. The owner is the
 * process that said ACCEPT, PAIR, CREATE, CONNECT or ADOPT last; that it has
 * exited, or that all threads of it were killed, ends the session, though a child
 * may still hold a copy of the descriptor which the owner had when it exited.
 * While another process shares its table of descriptors (CLONE_FILES, but for
 * threads) a process is not seen to exit; the last descriptor's end is then the
 * session's.
 * An owner that closes its descriptor leaves the end to those who have one.
 * exec keeps the owner; descriptors are close-on-exec if they come from here,
 * and as O_CLOEXEC says if they come from open(2).
 *
 * Memory
 * ======
 * mmap with MAP_SHARED at an offset of SHMUX_MMAP_OWN maps our region, at
 * SHMUX_MMAP_PEER the other one; any part of it, whole pages. Ours may be
 * written, theirs never: no mprotect makes it so. MAP_PRIVATE, PROT_EXEC, and to
 * grow are refused for both. Mappings outlive the session and the descriptors. The first
 * @populate bytes are there, zeroed, when CREATE returns, and are charged to
 * the control group of who said so; the others appear as they are touched, and
 * are charged to whoever touches them first; whose control group is spent meets
 * its killer, as with any memory. Theirs can be mapped when they are dead, too.
 *
 * What a region has declared counts
 * in its maker's quota, and the session in that of who made it, for as long as
 * either end or any mapping is there.
 *
 * mmap fails with EINVAL (not shared, or beyond the region's end), EACCES (to be
 * written or executed where that is not to be; to be executed also with EPERM, where
 * the kernel refuses that of all such files), EBADFD (no end, or no region yet) and
 * ENOTCONN (theirs, and it is not ready).
 *
 * Kicks
 * =====
 * Each end has a count of the kicks it has been given. KICK adds one to the
 * other end's, wakes who waits or polls there, and signals its eventfd. WAIT
 * sleeps until the count differs from what the caller has seen, and tells it:
 * so no kick is lost, whenever it falls. A kick is not data: several may be
 * told as one. What was written before it is seen by who has been told of it.
 *
 * poll(2) tells of an end
 *   EPOLLIN               kicks that no WAIT has told yet, or the end
 *   EPOLLOUT              MEET need not wait
 *   EPOLLHUP, EPOLLRDHUP  it is over: the other end is dead, or has refused
 * and of a listener
 *   EPOLLIN               ACCEPT need not wait
 *   EPOLLHUP              it has hung up
 * A file that is nothing yet has EPOLLERR; an epoll set is to be given it, or
 * given it again, once it is something.
 *
 * Structures
 * ==========
 * Each begins with @size, its size as the caller knows it, and @flags. Unknown
 * flags, what a newer caller says beyond what this kernel knows (unless zero),
 * and padding that is not zero are refused: E2BIG for the tail, else EINVAL.
 * They are the same for 32 and 64 bits.
 *
 * Time-outs are in nanoseconds from now, SHMUX_FOREVER for none; 0 does not
 * wait, and EAGAIN says that it would have had to. What is left is written
 * back, so that a call which EINTR ended can be made again.
 *
 * Errors
 * ======
 * The same everywhere:
 *   EAGAIN       asked not to wait
 *   ECONNRESET   the other end is dead, or this one (or a listener) has hung up
 *   EDQUOT       a quota of the user, the namespace or the machine is spent
 *   EFAULT       not our memory
 *   EINTR        a signal, where it waits
 *   EINVAL       sizes, flags or padding, or an argument that never makes sense
 *   E2BIG        more is said than this kernel knows
 *   EBADFD       not of a file in this state (a listener, an end that is met...)
 *   ENOMEM       no memory
 *   ENOTTY       no such request
 *   ETIMEDOUT    the time is over
 * Others are said at each request, and mean there what is said there.
 */
#ifndef _UAPI_LINUX_SHMUX_H
#define _UAPI_LINUX_SHMUX_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SHMUX_DEVICE		"/dev/shmux"

/*
 * Names: letters, digits and ._-+@. A name is taken in the network namespace of
 * who says LISTEN, and looked for in that of who said CREATE.
 */
#define SHMUX_NAME_MAX		64
#define SHMUX_NAME_SIZE		72	/* bytes of a name's field, zero-padded */

/* Bytes, in whole pages; the machine's limit may be less. */
#define SHMUX_REGION_MAX	0x7ffff000u

#define SHMUX_MMAP_OWN		0x00000000u
#define SHMUX_MMAP_PEER		0x80000000u

#define SHMUX_FOREVER		(~0ULL)

#define SHMUX_IOC_TYPE		0xd8

/**
 * struct shmux_ioc_create - argument of SHMUX_IOC_CREATE: make the region of this end
 * @size: of this structure
 * @flags: 0
 * @region_size: bytes, in whole pages, 1 page to SHMUX_REGION_MAX
 * @populate: bytes from its start that are to be there at once, 0 to @region_size
 * @peer_size_max: the largest region of another's that we take, bytes
 * @pad: 0
 *
 * Of a file that is nothing yet, or an end without a region.
 *
 * EMSGSIZE: the region is larger than the other end takes, or theirs than we do.
 * ENFILE: there are too many files in the machine.
 */
struct shmux_ioc_create {
	__u32 size;
	__u32 flags;
	__u32 region_size;
	__u32 populate;
	__u32 peer_size_max;
	__u32 pad;
};

#define SHMUX_IOC_CREATE	_IO(SHMUX_IOC_TYPE, 0x00)

/**
 * struct shmux_ioc_listen - argument of SHMUX_IOC_LISTEN: take a name
 * @size: of this structure
 * @flags: SHMUX_LISTEN_UID, SHMUX_LISTEN_GID
 * @backlog: processes that may wait to be accepted, 1 to 65535
 * @mode: who may connect: 0200 @uid, 0020 @gid, 0002 everybody else; other bits
 *	of 0777 do not count
 * @uid: with SHMUX_LISTEN_UID, in the caller's user namespace; else the caller's
 *	effective one
 * @gid: with SHMUX_LISTEN_GID, likewise
 * @name: see above
 *
 * The name is free again once the last descriptor is closed, or its owner, the
 * process that says this or ADOPT, has gone as an end's owner may.
 *
 * EADDRINUSE: somebody listens by this name.
 */
struct shmux_ioc_listen {
	__u32 size;
	__u32 flags;
	__u32 backlog;
	__u32 mode;
	__u32 uid;
	__u32 gid;
	__u8 name[SHMUX_NAME_SIZE];
};

#define SHMUX_IOC_LISTEN	_IO(SHMUX_IOC_TYPE, 0x01)

/* These are libshmux's SHMUX_LISTENER_UID and _GID. */
#define SHMUX_LISTEN_UID	0x1u
#define SHMUX_LISTEN_GID	0x2u

/**
 * struct shmux_ioc_connect - argument of SHMUX_IOC_CONNECT: join a listener's queue, ready
 * @size: of this structure
 * @flags: 0
 * @timeout: ns; what is left is written back
 * @name: whose
 *
 * Of an end with a region that has not been anywhere, nor is in CONNECT by
 * another thread. Waits only for room in the backlog, first come, first served.
 * Who we are is noted now.
 *
 * ECONNREFUSED: nobody listens by this name. EACCES: not to us.
 */
struct shmux_ioc_connect {
	__u32 size;
	__u32 flags;
	__u64 timeout;
	__u8 name[SHMUX_NAME_SIZE];
};

#define SHMUX_IOC_CONNECT	_IO(SHMUX_IOC_TYPE, 0x02)

/**
 * struct shmux_ioc_accept - argument of SHMUX_IOC_ACCEPT: the next process that has connected
 * @size: of this structure
 * @flags: 0
 * @timeout: ns; what is left is written back
 * @fd: out: an end without a region, close-on-exec
 * @pad: 0
 *
 * Of a listener.
 *
 * EMFILE, ENFILE: no descriptor; nobody has been taken from the queue.
 * ECONNRESET: the listener has hung up.
 */
struct shmux_ioc_accept {
	__u32 size;
	__u32 flags;
	__u64 timeout;
	__s32 fd;
	__u32 pad;
};

#define SHMUX_IOC_ACCEPT	_IO(SHMUX_IOC_TYPE, 0x03)

/**
 * struct shmux_ioc_pair - argument of SHMUX_IOC_PAIR: become one end, and give the other
 * @size: of this structure
 * @flags: 0
 * @fd: out: the other end, close-on-exec
 * @pad: 0
 *
 * Of a file that is nothing yet. For a parent and its child: the descriptor goes
 * to whoever is to have it, and each makes its own region.
 *
 * EMFILE, ENFILE: no descriptor.
 */
struct shmux_ioc_pair {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 pad;
};

#define SHMUX_IOC_PAIR		_IO(SHMUX_IOC_TYPE, 0x04)

/**
 * struct shmux_ioc_meet - argument of SHMUX_IOC_MEET: be ready, and wait for the other
 * @size: of this structure
 * @flags: 0
 * @refuse: 0, or 1 to 4095, an errno by which to refuse: the session is over
 * @refusal: out: with ECONNABORTED, the other's @refuse
 * @timeout: ns; what is left is written back
 *
 * Of an end that has a region and a queue or another end to wait for. To refuse
 * takes no region, and cannot be done by who is ready, as a connector is. When
 * this succeeds both were ready, and what the other wrote before can be read,
 * though it may be dead by now.
 *
 * ECONNABORTED: the other end has refused. ECONNREFUSED: the listener has gone
 * before it accepted us.
 */
struct shmux_ioc_meet {
	__u32 size;
	__u32 flags;
	__u32 refuse;
	__u32 refusal;
	__u64 timeout;
};

#define SHMUX_IOC_MEET		_IO(SHMUX_IOC_TYPE, 0x05)

/**
 * struct shmux_ioc_peer - argument of SHMUX_IOC_PEER: who is at the other end
 * @size: of this structure
 * @flags: 0
 * @pid: out: process, in our pid namespace; 0 if it is in none that we see
 * @uid: out: effective, in our user namespace; overflowuid where unknown
 * @gid: out: likewise; overflowgid
 * @region_size: out: bytes of its region, 0 if it has none yet
 * @label: in: user memory for the security label, or 0
 * @label_size: in: bytes of it; out: of the label, with its NUL; 0: there is none
 * @pad: 0
 *
 * As of its CONNECT, or, of others, its CREATE (before that: LISTEN or PAIR).
 * After a CONNECT that found no room: who listens. Stays as it was when the other
 * end is dead.
 *
 * ENOTCONN: no other end yet, nor a queue, nor one without room. ERANGE: the
 * label is longer; its size is told.
 */
struct shmux_ioc_peer {
	__u32 size;
	__u32 flags;
	__s32 pid;
	__u32 uid;
	__u32 gid;
	__u32 region_size;
	__u64 label;
	__u32 label_size;
	__u32 pad;
};

#define SHMUX_IOC_PEER		_IO(SHMUX_IOC_TYPE, 0x06)

/**
 * SHMUX_IOC_KICK - wake the other end
 *
 * The argument is flags: 0, or SHMUX_KICK_SELF for our own end, so that one
 * thread may wake another. Never waits. ENOTCONN: no other end yet.
 */
#define SHMUX_IOC_KICK		_IO(SHMUX_IOC_TYPE, 0x07)

#define SHMUX_KICK_SELF		0x1u

/**
 * struct shmux_ioc_wait - argument of SHMUX_IOC_WAIT: sleep until kicked
 * @size: of this structure
 * @flags: 0 or SHMUX_WAIT_KICK
 * @seen: the count that the caller knows of; 0 at first
 * @kicks: out, except with EINVAL, EBADFD and ENOTCONN: the count. It has been
 *	told now, and is no reason for EPOLLIN any more.
 * @timeout: ns; what is left is written back
 *
 * Several threads may. In one system call with SHMUX_WAIT_KICK: kick the other
 * end first, which then is woken on this CPU where that pays, as we are about to
 * leave it.
 *
 * ECONNRESET: the other end is dead, and @kicks equals @seen. ENOTCONN: with
 * SHMUX_WAIT_KICK: no other end yet.
 */
struct shmux_ioc_wait {
	__u32 size;
	__u32 flags;
	__u32 seen;
	__u32 kicks;
	__u64 timeout;
};

#define SHMUX_IOC_WAIT		_IO(SHMUX_IOC_TYPE, 0x08)

#define SHMUX_WAIT_KICK		0x1u

/**
 * struct shmux_ioc_eventfd - argument of SHMUX_IOC_EVENTFD: have an eventfd signalled as well
 * @size: of this structure
 * @flags: 0
 * @fd: an eventfd, in place of the one before; -1: none. Kicks that no WAIT has
 *	told yet, and the end, are signalled at once.
 * @pad: 0
 *
 * Of an end: its kicks, and that it is over. Many ends may have the same one.
 *
 * EBADF: not a descriptor. EINVAL: of something else.
 */
struct shmux_ioc_eventfd {
	__u32 size;
	__u32 flags;
	__s32 fd;
	__u32 pad;
};

#define SHMUX_IOC_EVENTFD	_IO(SHMUX_IOC_TYPE, 0x09)

/**
 * struct shmux_ioc_adopt - argument of SHMUX_IOC_ADOPT: become the owner
 * @size: of this structure
 * @flags: 0
 *
 * Of an end or a listener that another process made: after fork or when the
 * descriptor was passed. Who the other end sees does not change by it.
 */
struct shmux_ioc_adopt {
	__u32 size;
	__u32 flags;
};

#define SHMUX_IOC_ADOPT		_IO(SHMUX_IOC_TYPE, 0x0a)

/**
 * struct shmux_ioc_hang_up - argument of SHMUX_IOC_HANG_UP: be dead to the other end
 * @size: of this structure
 * @flags: 0
 *
 * Of an end or a listener; as if the last descriptor had been closed. Does no
 * harm twice.
 */
struct shmux_ioc_hang_up {
	__u32 size;
	__u32 flags;
};

#define SHMUX_IOC_HANG_UP	_IO(SHMUX_IOC_TYPE, 0x0b)

#endif /* _UAPI_LINUX_SHMUX_H */
