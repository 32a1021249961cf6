/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * DOC: what all of libshmux's headers share
 *
 * Errors. Functions return 0 or a count where they succeed and a negative
 * errno value where they fail; none touches errno. These mean the same
 * everywhere and are not repeated at each function:
 *
 *   -EINVAL      an argument makes no sense, whatever the state
 *   -ENOMEM      no memory, or no address space
 *   -EMFILE, -ENFILE   no descriptor to be had
 *   -ECONNRESET  the peer is dead, or the session was closed here
 *   -EPROTO      the peer broke the protocol; the session is over
 *   -ETIMEDOUT   the deadline has passed
 *   -ECANCELED   another thread called the object's _unblock(), or closes it
 *   -EAGAIN      asked not to wait, and it would have had to
 *   -ECHILD      called in a forked child on a session of its parent
 *
 * Time. Deadlines are absolute, in nanoseconds of CLOCK_MONOTONIC, as
 * shmux_now() tells; SHMUX_NEVER waits for ever, a past one does not wait.
 *
 * Threads. Any function may be called from any thread, on the same object too,
 * except that nothing may be called on an object once it is being closed.
 * Closing a stream or a session first wakes the calls blocked on it; a listener
 * or a context is closed when no call on it is under way. The library starts no
 * thread and prints nothing; its globals are the list of listening sockets, which
 * a forked child closes, and how many threads wait for a lock of its own. Who is
 * to sleep on one calls membarrier(2), as does the library when it is loaded; a
 * sandbox may refuse that, not kill for it. It does not handle signals: a signal
 * does not end a wait. No call is async-signal-safe, nor a cancellation point that
 * may be used: a thread in a call is woken by _unblock(), not ended by
 * pthread_cancel(3) or left by longjmp(3).
 *
 * Forks. Sessions and streams are their process's: in a forked child calls on
 * them fail with -ECHILD, and closing them there does not disturb the parent. A
 * listener is only to be used and closed by the process that opened it. A fork
 * while another thread is in a call leaves that call's locks taken in the child:
 * until it execs it uses only what it makes itself.
 *
 * Ownership. What a function returns through a pointer is the caller's, to be
 * closed, released or freed as said there. Options are copied.
 */
#ifndef SHMUX_COMMON_H
#define SHMUX_COMMON_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(__GNUC__)
#define SHMUX_API __attribute__((visibility("default")))
#else
#define SHMUX_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A deadline that never comes. */
#define SHMUX_NEVER UINT64_MAX

/*
 * The longest address, with its final NUL, in bytes: of a name or a path; and of
 * any (exec:, and yamux+tcp: with a long name of a host).
 */
#define SHMUX_ADDRESS_MAX 128
#define SHMUX_ADDRESS_LONG_MAX 4096

/**
 * struct shmux_peer - who is at the other end, as of connect
 * @pid: process, in our pid namespace; 0 if it is in none that we see
 * @uid: effective user, in our user namespace; nobody (65534) if it knows none
 * @gid: effective group, likewise
 */
struct shmux_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/* How much a log sentence matters. */
enum shmux_log_level {
	SHMUX_LOG_ERROR,	/* a session was lost: EPROTO or ENOMEM */
	SHMUX_LOG_INFO,		/* the peer has gone; no session was made, and why */
};

/**
 * typedef shmux_log_fn - receives one sentence, without a newline
 * @arg: as given in the options
 * @level: see enum shmux_log_level
 * @sentence: valid during the call only
 *
 * Called from whichever thread is in a call of the library, amid that call. It
 * must return soon, and must not call the library on that session, its streams,
 * or the listener or context that it belongs to.
 */
typedef void (*shmux_log_fn)(void *arg, enum shmux_log_level level,
			     const char *sentence);

/**
 * shmux_now() - the clock of deadlines
 *
 * Return: nanoseconds of CLOCK_MONOTONIC. Does not block.
 */
SHMUX_API uint64_t shmux_now(void);

/**
 * shmux_version() - the library's version
 *
 * Return: a static string such as "0.1.0".
 */
SHMUX_API const char *shmux_version(void);

#ifdef __cplusplus
}
#endif

#endif /* SHMUX_COMMON_H */
