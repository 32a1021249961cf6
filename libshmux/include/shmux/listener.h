/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: addresses and listeners
 *
 * An address is one of
 *
 *   NAME                  1 to 64 bytes of letters, digits and ._-+@ (no slash)
 *   kmod:NAME             the same name, insisting on the kernel module
 *   memfd:NAME            the same name, insisting on shared memory by memfd
 *   memfd:/path/to/socket  a socket in the file system; at most 107 bytes
 *   yamux+unix:/path      the same, for bytes: yamux instead of shared memory
 *   yamux+tcp:HOST:PORT   a port: yamux over TCP
 *   stdio:                standard input and output: yamux, one session
 *   fd:IN,OUT  fd:BOTH    descriptors by number: the same
 *   exec:COMMAND WORDS    standard input and output of a child: the same
 *
 * A plain NAME is listened to in both, where the module is loaded and
 * /dev/shmux may be opened, and is the listener's in both or not at all; it is
 * dialled by the module first and then, unless the time is over or one whose
 * user is accepted has answered, by memfd. So the two sides meet whichever of
 * them was there before the module, and who takes a name in one of the two to
 * which he has no right keeps nobody from the other. What the module fails at
 * otherwise, for want of memory or quota say, a plain NAME does without, and
 * tells the log; with kmod: it is the error. Without the module that is -ENODEV.
 *
 * A NAME lives in the network namespace, leaves nothing behind and is free the
 * moment its holder dies. A path is removed when the listener is closed; what
 * a killed listener left is found dead and replaced by the next one, under a
 * lock (PATH.lock, an empty file that stays).
 *
 * A path leads from one network namespace into another, and into a chroot or a
 * container that shares no more than its directory. Users are seen through one's
 * user namespace. Where that does not map everybody, nobody (65534) is anybody:
 * whom it does not know is let in by mode 0002 only, and accepted with
 * SHMUX_DIAL_ANY_UID only. Who is nobody in there knows its own by /proc.
 *
 * Where yamux is spoken, see shmux_session_yamux() for what it cannot say. Who
 * dials is its client, who listens its server. It begins without a word, so a dial
 * is done when it is connected, and who is not admitted learns that by its first
 * call: -ECONNRESET. A yamux+unix: path is made, guarded and taken over like
 * memfd's, and users are asked for alike: who called connect(2) and listen(2).
 *
 * HOST is a number (127.0.0.1, [::1]), a name, or nothing: all addresses of the
 * machine for who listens, the loopback ones for who dials. PORT is a number; a
 * listener may leave the choice to the kernel by 0, and shmux_listener_address()
 * tells. A name is looked up by getaddrinfo(3), which is not bound by deadlines; it
 * is listened to at each of its addresses that this machine has (at most 8). Small
 * frames are not held back (TCP_NODELAY).
 *
 * Behind a port, descriptors or a command the kernel knows no user: peers have the
 * uid and gid -1, the modes of a listener count for nothing, and to have chosen
 * that address is to have accepted whoever is there. Functions that admit or check
 * are asked as ever.
 *
 * stdio: moves both descriptors away, above 2 and close-on-exec, and has 0 lead to
 * /dev/null and 1 to wherever 2 does, so that what a library prints does not get
 * into the wire. A process has it once: from then on it is -EBUSY. fd: takes the
 * descriptors it names, as shmux_session_yamux() does; decimal, without signs.
 *
 * exec: starts a child. Its words stand between blanks; a backslash makes the next
 * character an ordinary one, single quotes all that is in them, double quotes all
 * but themselves and backslashes before either. Nothing else is special, there is
 * no shell; the command is looked for by PATH unless it has a slash. The child's
 * standard input and output are one socket, its standard error is ours; it has no
 * other descriptor of ours, no signal blocked, and none ignored but SIGHUP, SIGINT
 * and SIGQUIT where we ignore them.
 *
 * The session ends when the child does, whoever else has its output (where the
 * kernel has pidfd_open(2), Linux 5.3), and shmux_session_child_status() tells how. The child sees the end of its input when
 * the session ends. shmux_session_close() then waits for the child until its
 * deadline and kills it (SIGKILL) if that passes. Where nothing is waited for, as
 * by shmux_context_close(), shmux_listener_close() and the last close of a stream
 * after them, that is at once. One who is killed is waited for, at most a tenth of
 * a second: no zombie is left. When our process dies the child sees the end of its
 * input; if it was the main thread that dialled or listened, it gets SIGTERM, too,
 * as that thread ends (PR_SET_PDEATHSIG).
 *
 * The child is one of the program's: its end is told by SIGCHLD, as any child's.
 * It is waited for by itself alone, no handler is needed and none is touched. A
 * program that waits for any child (waitpid(-1)) may take it before us, and one
 * that ignores SIGCHLD has the kernel drop it: then nobody knows how it ended, and
 * that is all that is lost.
 */
#ifndef SHMUX_LISTENER_H
#define SHMUX_LISTENER_H

#include <shmux/common.h>
#include <shmux/session.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shmux_listener;

/**
 * struct shmux_listener_options - 0 means the default
 * @size: sizeof(struct shmux_listener_options), set by the caller
 * @backlog: connections that may wait to be accepted, 1 to 65535 (128)
 * @flags: SHMUX_LISTENER_*
 * @mode: who may connect, as permission bits: 0200 @uid, 0020 @gid, 0002
 *	everybody (0600). Only the bits for writing count. A socket in the file
 *	system gets them as its mode, without those for executing.
 * @uid: with SHMUX_LISTENER_UID: the user that owns the name (our own)
 * @gid: with SHMUX_LISTENER_GID: the group (our own)
 * @admit: asked last, with who wants to connect; 0 admits, -EACCES or another
 *	negative errno refuses. NULL admits. Called from within accept: it must
 *	not call the library on the listener.
 * @admit_arg: handed to @admit
 * @session: options for the sessions, or NULL; copied. Its log is told, at most
 *	16 times a second, who got no session and why.
 */
struct shmux_listener_options {
	size_t size;
	uint32_t backlog;
	uint32_t flags;
	mode_t mode;
	uid_t uid;
	gid_t gid;
	int (*admit)(void *arg, const struct shmux_peer *peer);
	void *admit_arg;
	const struct shmux_session_options *session;
};

#define SHMUX_LISTENER_UID	0x1u
#define SHMUX_LISTENER_GID	0x2u

/**
 * shmux_listener_open() - take a name
 * @address: see above
 * @options: or NULL
 * @listener: out
 *
 * Does not block, except for a path: up to two seconds for its lock; and for the
 * name of a host, until it is looked up. Of stdio:, fd: and exec: there is one
 * session, which is made here, and nobody else is ever accepted.
 *
 * Return: 0; -EADDRINUSE: somebody listens there, or the path is no socket, or
 * its lock is held; -ENODEV: kmod:, and there is no module; -EDQUOT: the same,
 * and a quota of it is spent; -EINVAL: not an address, or the options;
 * -ENAMETOOLONG; -ENOENT, -EACCES, -EROFS...: the path, as bind(2) has it. Of
 * ports: -EADDRNOTAVAIL: this machine has no such address; -EACCES: not for us;
 * -ENOENT, -EHOSTUNREACH: as shmux_session_dial(). Of descriptors and commands: as
 * shmux_session_dial(), or what @admit has returned.
 */
SHMUX_API int shmux_listener_open(const char *address,
				  const struct shmux_listener_options *options,
				  struct shmux_listener **listener);

/**
 * shmux_listener_accept() - the next stream of whichever session
 * @l: the listener
 * @flags: SHMUX_NOWAIT or 0
 * @stream: out
 *
 * Blocks until there is one. Admits processes that connect, serves their
 * sessions while it waits, and forgets those that have died. A client that
 * connects and says nothing delays nobody; of more than 256 such the user with
 * the most loses the oldest.
 *
 * Return: 0; -ETIMEDOUT, -ECANCELED; -EMFILE and the like if a connection could
 * not be taken: it waits, and is looked at again in 20 ms; -ESHUTDOWN: the one
 * session of stdio:, fd: or exec: is over, or has been accepted: none will come.
 */
SHMUX_API int shmux_listener_accept(struct shmux_listener *l,
				    unsigned int flags,
				    struct shmux_stream **stream);

/**
 * shmux_listener_accept_session() - the next session
 * @l: the listener
 * @flags: SHMUX_NOWAIT or 0
 * @session: out: the caller's, to be closed; the listener no longer serves it
 *
 * For programs that manage sessions themselves. On one listener use either this
 * or shmux_listener_accept(), not both.
 *
 * Return: as shmux_listener_accept().
 */
SHMUX_API int shmux_listener_accept_session(struct shmux_listener *l,
					    unsigned int flags,
					    struct shmux_session **session);

/* The deadline of accepts, also of those blocked now. */
SHMUX_API int shmux_listener_set_deadline(struct shmux_listener *l,
					  uint64_t deadline);

/* Cancel the accepts that are blocked now: -ECANCELED. */
SHMUX_API void shmux_listener_unblock(struct shmux_listener *l);

/**
 * shmux_listener_fd() - a descriptor for poll, select and epoll
 * @l: the listener
 *
 * Readable when an accept with SHMUX_NOWAIT has something to do. The library's
 * own: do not read from it, nor close it. After it was readable call accept
 * until it returns -EAGAIN.
 */
SHMUX_API int shmux_listener_fd(struct shmux_listener *l);

/*
 * The address that was listened to, such as "NAME", with the port that the kernel
 * has chosen if that was left to it. Valid as long as the listener.
 */
SHMUX_API const char *shmux_listener_address(const struct shmux_listener *l);

/**
 * shmux_listener_close() - give the name up
 * @l: the listener, or NULL; gone when the call returns. No accept may be
 *	under way: cancel those that are, and let them return.
 *
 * Sessions none of whose streams has a handle are closed; others live on until
 * their last handle is closed, and refuse new streams. Does not block, except
 * for a path: up to a tenth of a second for its lock.
 */
SHMUX_API void shmux_listener_close(struct shmux_listener *l);

#ifdef __cplusplus
}
#endif

#endif /* SHMUX_LISTENER_H */
