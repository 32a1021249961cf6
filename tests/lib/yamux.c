// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * yamux.c - what goes over the wire, seen from its other end
 *
 * The other end is the test itself, which writes and reads frames by hand, as
 * hashicorp/yamux's spec.md has them. It is the client unless said otherwise.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shmux/shmux.h>

#include "far.h"
#include "harness.h"
#include "pair.h"
#include "pattern.h"
#include "process.h"

enum { DATA, WINDOW_UPDATE, PING, GO_AWAY };
enum { SYN = 1, ACK = 2, FIN = 4, RST = 8 };
enum { KIB = 1024, MIB = 1024 * KIB, WINDOW = 256 * KIB };

struct frame {
	uint8_t version, type;
	uint16_t flags;
	uint32_t id, len;
};

FIXTURE(yamux)
{
	struct shmux_session *s;
	int fd;		/* the other end */
	int nr_fds;
};

static int open_session(FIXTURE_DATA(yamux) *self, enum shmux_role role,
			const struct shmux_session_options *options)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds))
		return -errno;
	self->fd = fds[1];
	return shmux_session_yamux(fds[0], fds[0], role, options, &self->s);
}

/* Another session instead. */
static int open_with(FIXTURE_DATA(yamux) *self, const struct shmux_session_options *options)
{
	shmux_session_close(self->s, 0);
	close(self->fd);
	return open_session(self, SHMUX_ROLE_ACCEPTOR, options);
}

FIXTURE_SETUP(yamux)
{
	self->nr_fds = process_nr_fds();
	ASSERT_EQ(0, open_session(self, SHMUX_ROLE_ACCEPTOR, NULL));
}

FIXTURE_TEARDOWN(yamux)
{
	shmux_session_close(self->s, 0);
	close(self->fd);
	EXPECT_EQ(self->nr_fds, process_nr_fds());
}

static bool put(int fd, uint8_t type, uint16_t flags, uint32_t id, uint32_t len)
{
	struct frame f = { 0, type, htobe16(flags), htobe32(id), htobe32(len) };

	_Static_assert(sizeof(f) == 12, "as on the wire");
	return send(fd, &f, sizeof(f), MSG_NOSIGNAL) == sizeof(f);
}

static bool put_data(int fd, uint16_t flags, uint32_t id, const void *data, uint32_t len)
{
	return put(fd, DATA, flags, id, len) &&
	       send(fd, data, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* The next frame, without its payload. Return: whether there is one. */
static bool get(int fd, struct frame *f)
{
	if (recv(fd, f, sizeof(*f), MSG_DONTWAIT | MSG_WAITALL) != sizeof(*f))
		return false;
	f->flags = be16toh(f->flags);
	f->id = be32toh(f->id);
	f->len = be32toh(f->len);
	return true;
}

#define EXPECT_FRAME(type_, flags_, id_, len_)                                            \
	do {                                                                              \
		struct frame f_;                                                          \
                                                                                          \
		ASSERT_TRUE(get(self->fd, &f_));                                          \
		EXPECT_EQ(0, f_.version);                                                 \
		EXPECT_EQ(type_, f_.type);                                                \
		EXPECT_EQ(flags_, f_.flags);                                              \
		EXPECT_EQ(id_, f_.id);                                                    \
		EXPECT_EQ(len_, f_.len);                                                  \
	} while (0)

#define EXPECT_SILENCE()                                                                  \
	do {                                                                              \
		struct frame f_;                                                          \
                                                                                          \
		EXPECT_FALSE(get(self->fd, &f_));                                         \
	} while (0)

/* The session has ended for what was sent, and has said why. */
#define EXPECT_BREACH()                                                                   \
	do {                                                                              \
		struct shmux_stream *st_;                                                 \
                                                                                          \
		EXPECT_EQ(-EPROTO, shmux_session_accept(self->s, SHMUX_NOWAIT, &st_));    \
		EXPECT_FRAME(GO_AWAY, 0, 0, 1);                                           \
		EXPECT_SILENCE();                                                         \
	} while (0)

/* A stream that the other end has opened. */
static struct shmux_stream *accepted(FIXTURE_DATA(yamux) *self, uint32_t id)
{
	struct shmux_stream *st;
	struct frame f;

	if (!put(self->fd, WINDOW_UPDATE, SYN, id, 0) ||
	    shmux_session_accept(self->s, SHMUX_NOWAIT, &st) || !get(self->fd, &f) ||
	    f.flags != ACK)
		return NULL;
	return st;
}

TEST_F(yamux, begins_without_a_word)
{
	EXPECT_EQ(0, session_pump(self->s));
	EXPECT_SILENCE();
}

TEST_F(yamux, opening_is_a_window_update_with_syn_and_ids_of_the_role)
{
	struct shmux_stream *st[2];

	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st[0]));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st[1]));

	EXPECT_FRAME(WINDOW_UPDATE, SYN, 2, 0);
	EXPECT_FRAME(WINDOW_UPDATE, SYN, 4, 0);
	EXPECT_SILENCE();
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
}

TEST_F(yamux, opening_that_more_follows_goes_with_the_first_write)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_session_open(self->s, SHMUX_STREAM_MORE, &st));
	EXPECT_SILENCE();
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));

	EXPECT_FRAME(WINDOW_UPDATE, SYN, 2, 0);
	EXPECT_FRAME(DATA, 0, 2, 5);
	shmux_stream_close(st);
}

TEST_F(yamux, what_is_written_takes_note_of_the_peer_first_unless_more_follows)
{
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	struct shmux_stream *st;

	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, RST, 2, 0));
	EXPECT_EQ(5, shmux_stream_send(st, &iov, 1, SHMUX_MORE));
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st, "hello", 5));

	shmux_stream_close(st);
}

TEST_F(yamux, peer_is_heard_though_every_call_holds_back)
{
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	struct shmux_stream *st;
	struct frame f;
	bool answered = false;
	char payload[5];

	ASSERT_TRUE(put(self->fd, PING, SYN, 0, 77));
	for (int i = 0; i < 20; i++) {
		ASSERT_EQ(0, shmux_session_open(self->s, SHMUX_STREAM_MORE, &st));
		ASSERT_EQ(5, shmux_stream_send(st, &iov, 1, SHMUX_MORE | SHMUX_FIN));
		shmux_stream_close(st);
	}
	while (!answered && get(self->fd, &f)) {
		answered = f.type == PING && f.flags == ACK && f.len == 77;
		if (f.type == DATA)
			ASSERT_EQ((ssize_t)f.len, recv(self->fd, payload, f.len, MSG_WAITALL));
	}
	EXPECT_TRUE(answered);
}

TEST_F(yamux, death_is_noticed_though_every_call_holds_back)
{
	struct iovec iov = { .iov_base = "hello", .iov_len = 5 };
	struct shmux_stream *st;
	int err = 0;

	ASSERT_EQ(0, shutdown(self->fd, SHUT_RDWR));
	for (int i = 0; i < 20 && !err; i++) {
		err = shmux_session_open(self->s, SHMUX_STREAM_MORE, &st);
		if (err)
			break;
		shmux_stream_send(st, &iov, 1, SHMUX_MORE);
		shmux_stream_close(st);
	}
	EXPECT_EQ(-ECONNRESET, err);
}

TEST_F(yamux, client_has_odd_ids)
{
	struct shmux_stream *st;

	shmux_session_close(self->s, 0);
	close(self->fd);
	ASSERT_EQ(0, open_session(self, SHMUX_ROLE_DIALLER, NULL));
	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));

	EXPECT_FRAME(WINDOW_UPDATE, SYN, 1, 0);
	shmux_stream_close(st);
}

TEST_F(yamux, stream_is_acknowledged_when_it_is_accepted)
{
	struct shmux_stream *st;

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	session_pump(self->s);
	EXPECT_SILENCE();
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));

	EXPECT_FRAME(WINDOW_UPDATE, ACK, 1, 0);
	shmux_stream_close(st);
}

TEST_F(yamux, acknowledgement_that_more_follows_goes_with_the_first_write)
{
	struct shmux_stream *st;

	char buf[8];

	ASSERT_TRUE(put_data(self->fd, SYN, 1, "abc", 3));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st));
	ASSERT_EQ(3, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_SILENCE();
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));

	EXPECT_FRAME(DATA, ACK, 1, 5);
	shmux_stream_close(st);
}

TEST_F(yamux, acknowledgement_held_back_goes_before_a_call_waits)
{
	struct shmux_stream *st;
	char buf[8];

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st));
	ASSERT_EQ(0, shmux_stream_set_deadline(st, SHMUX_READ, shmux_now()));
	EXPECT_EQ(-ETIMEDOUT, shmux_stream_read(st, buf, sizeof(buf)));

	EXPECT_FRAME(WINDOW_UPDATE, ACK, 1, 0);
	shmux_stream_close(st);
}

TEST_F(yamux, acknowledgement_held_back_goes_with_the_next_accepted)
{
	struct shmux_stream *st[2];

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 3, 0));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st[0]));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &st[1]));

	EXPECT_FRAME(WINDOW_UPDATE, ACK, 1, 0);
	EXPECT_FRAME(WINDOW_UPDATE, ACK, 3, 0);
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
}

TEST_F(yamux, acknowledgement_held_back_goes_when_there_is_no_more_to_be_accepted)
{
	struct shmux_stream *st[2];

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st[0]));
	EXPECT_SILENCE();
	ASSERT_EQ(-EAGAIN, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st[1]));

	EXPECT_FRAME(WINDOW_UPDATE, ACK, 1, 0);
	shmux_stream_close(st[0]);
}

TEST_F(yamux, acknowledgement_held_back_goes_with_the_end)
{
	struct shmux_stream *st;

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st));
	shmux_stream_close(st);
	session_pump(self->s);

	EXPECT_FRAME(WINDOW_UPDATE, ACK | FIN, 1, 0);
	EXPECT_SILENCE();
}

TEST_F(yamux, acknowledgement_held_back_goes_with_what_is_pumped)
{
	struct shmux_stream *st;

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT | SHMUX_MORE, &st));
	session_pump(self->s);

	EXPECT_FRAME(WINDOW_UPDATE, ACK, 1, 0);
	shmux_stream_close(st);
}

TEST_F(yamux, stream_may_be_opened_written_and_ended_by_one_frame)
{
	struct shmux_stream *st;
	char buf[8] = "";

	ASSERT_TRUE(put_data(self->fd, SYN | FIN, 1, "hello", 5));

	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));
	EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(0, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
}

TEST_F(yamux, write_is_a_frame_of_data_and_its_payload)
{
	struct shmux_stream *st = accepted(self, 1);
	char buf[8] = "";

	ASSERT_NE(NULL, st);
	ASSERT_EQ(5, shmux_stream_write(st, "hello", 5));

	EXPECT_FRAME(DATA, 0, 1, 5);
	EXPECT_EQ(5, recv(self->fd, buf, sizeof(buf), MSG_DONTWAIT));
	EXPECT_STREQ("hello", buf);
	shmux_stream_close(st);
}

TEST_F(yamux, small_writes_under_a_cork_are_one_frame)
{
	struct shmux_stream *st = accepted(self, 1);

	ASSERT_NE(NULL, st);
	shmux_session_cork(self->s);
	for (int i = 0; i < 100; i++)
		ASSERT_EQ(3, shmux_stream_write(st, "abc", 3));
	EXPECT_SILENCE();
	shmux_session_uncork(self->s);

	EXPECT_FRAME(DATA, 0, 1, 300);
	shmux_stream_close(st);
}

TEST_F(yamux, small_buffers_are_one_frame_and_held_back_as_told)
{
	enum { NR = 200, LEN = 64 };
	static char bytes[NR * LEN];
	struct shmux_stream *st = accepted(self, 1);
	struct iovec iov[NR];

	ASSERT_NE(NULL, st);
	for (int i = 0; i < NR; i++)
		iov[i] = (struct iovec){ bytes + (size_t)i * LEN, LEN };
	shmux_session_cork(self->s);
	ASSERT_EQ(NR * LEN, shmux_stream_writev(st, iov, NR));
	EXPECT_SILENCE();
	shmux_session_uncork(self->s);
	EXPECT_FRAME(DATA, 0, 1, NR * LEN);
	ASSERT_EQ(NR * LEN, recv(self->fd, bytes, sizeof(bytes), MSG_WAITALL));

	ASSERT_EQ(NR * LEN, shmux_stream_send(st, iov, NR, SHMUX_MORE));
	EXPECT_SILENCE();
	ASSERT_EQ(1, shmux_stream_write(st, "", 1));
	EXPECT_FRAME(DATA, 0, 1, NR * LEN);
	shmux_stream_close(st);
}

TEST_F(yamux, frames_that_come_byte_by_byte_are_put_together)
{
	static const unsigned char wire[] = "\0\1\0\1\0\0\0\1\0\0\0\0"
					    "\0\0\0\4\0\0\0\1\0\0\0\3abc";
	struct shmux_stream *st;
	char buf[8] = "";

	for (size_t i = 0; i < sizeof(wire) - 1; i++) {
		ASSERT_EQ(1, send(self->fd, wire + i, 1, 0));
		ASSERT_LE(0, session_pump(self->s));
	}

	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));
	EXPECT_EQ(3, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_STREQ("abc", buf);
	EXPECT_EQ(0, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
}

#define LEN_LONG (240 * 1024) /* within the window */

/*
 * Somebody who writes that much on stream 1, in frames and in parts of any length, with
 * a small frame on stream 3 after each.
 */
static pid_t talker(int fd, uint64_t seed)
{
	static char bytes[LEN_LONG];
	pid_t pid = fork();

	if (pid)
		return pid;
	pattern_fill(bytes, sizeof(bytes), 0, (uint32_t)seed);
	for (uint32_t pos = 0, len; pos < sizeof(bytes); pos += len) {
		len = random_between(&seed, 1, random_next(&seed) % 4 ? 70000 : 100);
		if (len > sizeof(bytes) - pos)
			len = sizeof(bytes) - pos;
		if (!put(fd, DATA, pos + len == sizeof(bytes) ? FIN : 0, 1, len))
			_exit(1);
		for (uint32_t at = 0, part; at < len; at += part) {
			part = random_between(&seed, 1, 30000);
			if (part > len - at)
				part = len - at;
			if (send(fd, bytes + pos + at, part, MSG_NOSIGNAL) != (ssize_t)part)
				_exit(1);
			if (part % 2)
				sched_yield();
		}
		if (!put_data(fd, 0, 3, "small", 5))
			_exit(1);
	}
	_exit(0);
}

/* Read to the end what talker() has written, with buffers of any size. */
static void check_read_whole(struct __test_metadata *_metadata, struct shmux_stream *st,
			     uint64_t seed)
{
	static char buf[100000];
	uint32_t mark = (uint32_t)seed;
	uint64_t pos = 0;
	ssize_t n;

	while ((n = shmux_stream_read(st, buf, random_between(&seed, 1, sizeof(buf)))) > 0) {
		ASSERT_EQ(-1, pattern_check(buf, (size_t)n, pos, mark));
		pos += (uint64_t)n;
	}
	EXPECT_EQ(0, n);
	EXPECT_EQ(LEN_LONG, pos);
}

static void check_long_payloads(struct __test_metadata *_metadata, FIXTURE_DATA(yamux) *self,
				uint64_t spin)
{
	struct shmux_stream *st, *other;
	int status;
	pid_t pid;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		shmux_session_close(self->s, 0);
		close(self->fd);
		ASSERT_EQ(0, open_session(self, SHMUX_ROLE_ACCEPTOR, SESSION_OPTIONS(.spin = spin)));
		st = accepted(self, 1);
		other = accepted(self, 3);
		pid = talker(self->fd, seed);

		check_read_whole(_metadata, st, seed);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
		EXPECT_LE(0, session_pump(self->s));
		EXPECT_EQ(0, (int)shmux_stream_next_len(other) % 5);
		EXPECT_LT(0, shmux_stream_next_len(other));
		shmux_stream_close(st);
		shmux_stream_close(other);
	}
}

TEST_F(yamux, long_payloads_that_come_in_parts_are_read_whole_by_who_sleeps)
{
	check_long_payloads(_metadata, self, SHMUX_SPIN_NONE);
}

TEST_F(yamux, long_payloads_that_come_in_parts_are_read_whole_by_who_spins)
{
	check_long_payloads(_metadata, self, SHMUX_SPIN_ENDLESS);
}

TEST_F(yamux, long_payload_that_nobody_waits_for_holds_up_no_other_stream)
{
	static char bytes[60000], buf[sizeof(bytes)];
	struct shmux_stream *st = accepted(self, 1), *other = accepted(self, 3);

	pattern_fill(bytes, sizeof(bytes), 0, 1);
	for (int i = 0; i < 2; i++)
		ASSERT_TRUE(put_data(self->fd, 0, 1, bytes, sizeof(bytes)));
	ASSERT_TRUE(put_data(self->fd, 0, 3, "small", 5));

	EXPECT_EQ(5, shmux_stream_read(other, buf, sizeof(buf)));
	for (int i = 0; i < 2; i++) {
		struct iovec iov = { buf, sizeof(buf) };

		ASSERT_EQ(sizeof(buf), shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
		EXPECT_EQ(0, memcmp(bytes, buf, sizeof(buf)));
	}
	shmux_stream_close(st);
	shmux_stream_close(other);
}

TEST_F(yamux, long_payload_that_nobody_waits_for_holds_up_nobody_who_has_a_part)
{
	static char bytes[60000], buf[200];
	struct shmux_stream *st = accepted(self, 1), *other = accepted(self, 3);
	struct iovec iov = { buf, sizeof(buf) };

	ASSERT_TRUE(put_data(self->fd, 0, 1, bytes, 100));
	for (int i = 0; i < 2; i++)
		ASSERT_TRUE(put_data(self->fd, 0, 3, bytes, sizeof(bytes)));
	ASSERT_TRUE(put_data(self->fd, 0, 1, bytes, 100));

	EXPECT_EQ(sizeof(buf), shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
	EXPECT_EQ(2 * sizeof(bytes), shmux_stream_next_len(other));
	shmux_stream_close(st);
	shmux_stream_close(other);
}

TEST_F(yamux, write_that_the_kernel_turns_away_leaves_nothing_and_can_be_tried_again)
{
	static char bytes[64 * 1024], buf[sizeof(bytes)];
	struct shmux_stream *st = accepted(self, 1);
	uint64_t written = 0, read = 0;
	struct frame f;
	ssize_t n;

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 1, 16 * WINDOW));
	while ((n = shmux_stream_try_write(st, bytes, sizeof(bytes))) > 0)
		written += (uint64_t)n;
	ASSERT_EQ(-EAGAIN, n);
	EXPECT_EQ(-EAGAIN, shmux_stream_try_write(st, "x", 1));

	while (get(self->fd, &f)) {
		ASSERT_EQ(DATA, f.type);
		for (uint32_t pos = 0; pos < f.len; pos += (uint32_t)n) {
			/* Of what it took in part the rest is on its way. */
			ASSERT_LE(0, session_pump(self->s));
			n = recv(self->fd, buf, f.len - pos, MSG_DONTWAIT);
			ASSERT_LT(0, n);
		}
		read += f.len;
	}
	EXPECT_EQ(written, read);
	EXPECT_EQ(1, shmux_stream_try_write(st, "x", 1));
	EXPECT_FRAME(DATA, 0, 1, 1);
	shmux_stream_close(st);
}

/* Bytes that the other end can read by now. */
static int nr_there(int fd)
{
	int n = 0;

	return ioctl(fd, FIONREAD, &n) ? -1 : n;
}

TEST_F(yamux, write_that_is_turned_away_leaves_what_was_unsent_before_as_it_was)
{
	static char out[1000], more[8192], in[sizeof(out)];
	struct shmux_stream *st = accepted(self, 1);
	uint32_t nr = 0, got = 0;
	struct frame f;
	int before;

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 1, 16 * WINDOW));
	do {
		before = nr_there(self->fd);
		pattern_fill(out, sizeof(out), 0, nr++);
		ASSERT_EQ(sizeof(out), shmux_stream_try_write(st, out, sizeof(out)));
	} while (nr_there(self->fd) != before);
	ASSERT_EQ(-EAGAIN, shmux_stream_try_write(st, more, sizeof(more)));

	while (get(self->fd, &f)) {
		ASSERT_EQ(sizeof(in), f.len);
		ASSERT_EQ((ssize_t)f.len, recv(self->fd, in, f.len, MSG_DONTWAIT | MSG_WAITALL));
		EXPECT_EQ(-1, pattern_check(in, sizeof(in), 0, got++));
		ASSERT_LE(0, session_pump(self->s));
	}
	EXPECT_EQ(nr, got);
	shmux_stream_close(st);
}

TEST_F(yamux, every_ping_is_answered)
{
	for (uint32_t i = 0; i < 100; i++)
		ASSERT_TRUE(put(self->fd, PING, SYN, 0, i * 0x01010101u));
	session_pump(self->s);

	for (uint32_t i = 0; i < 100; i++)
		EXPECT_FRAME(PING, ACK, 0, i * 0x01010101u);
	EXPECT_SILENCE();
}

TEST_F(yamux, answers_to_pings_that_were_never_sent_are_passed_over)
{
	struct shmux_stream *st;

	ASSERT_TRUE(put(self->fd, PING, ACK, 0, 7));

	EXPECT_EQ(-EAGAIN, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));
}

TEST_F(yamux, half_close_is_fin_and_leaves_the_other_direction_open)
{
	struct shmux_stream *st = accepted(self, 1);
	char buf[8] = "";

	ASSERT_NE(NULL, st);
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
	EXPECT_FRAME(WINDOW_UPDATE, FIN, 1, 0);
	ASSERT_TRUE(put_data(self->fd, 0, 1, "late", 4));

	EXPECT_EQ(4, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
}

TEST_F(yamux, reset_is_rst_either_way)
{
	struct shmux_stream *st = accepted(self, 1), *other = accepted(self, 3);
	char byte;

	ASSERT_NE(NULL, st);
	ASSERT_NE(NULL, other);
	ASSERT_EQ(0, shmux_stream_reset(st, 300));
	EXPECT_FRAME(WINDOW_UPDATE, RST, 1, 0);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, RST, 3, 0));

	EXPECT_EQ(-ECONNRESET, shmux_stream_read(other, &byte, 1));
	shmux_stream_close(st);
	shmux_stream_close(other);
	EXPECT_SILENCE();
}

TEST_F(yamux, who_writes_to_a_stream_that_we_have_closed_is_told_by_rst)
{
	struct shmux_stream *st = accepted(self, 1);

	ASSERT_NE(NULL, st);
	shmux_stream_close(st);
	EXPECT_FRAME(WINDOW_UPDATE, FIN, 1, 0);
	ASSERT_TRUE(put_data(self->fd, 0, 1, "late", 4));
	session_pump(self->s);

	EXPECT_FRAME(WINDOW_UPDATE, RST, 1, 0);
}

TEST_F(yamux, no_more_is_written_than_the_window)
{
	static char buf[2 * WINDOW];
	struct shmux_stream *st = accepted(self, 1);
	uint32_t seen = 0;
	ssize_t n, taken = 0;
	struct frame f;

	ASSERT_NE(NULL, st);
	do {
		n = shmux_stream_try_write(st, buf, sizeof(buf));
		taken += n > 0 ? n : 0;
		while (get(self->fd, &f)) {
			ASSERT_EQ(DATA, f.type);
			for (seen += f.len; f.len; f.len -= (uint32_t)n) {
				n = recv(self->fd, buf, f.len, MSG_DONTWAIT);
				if (n <= 0) {
					session_pump(self->s);
					n = 0;
				}
			}
			session_pump(self->s);
		}
	} while (seen < WINDOW);

	EXPECT_EQ(WINDOW, taken);
	EXPECT_EQ(WINDOW, seen);
	EXPECT_EQ(-EAGAIN, shmux_stream_try_write(st, "x", 1));
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 1, 1));
	EXPECT_EQ(1, shmux_stream_try_write(st, "xy", 2));
	shmux_stream_close(st);
}

TEST_F(yamux, window_that_is_overrun_costs_that_stream_alone)
{
	static char buf[WINDOW / 4];
	struct shmux_stream *st = accepted(self, 1), *other = accepted(self, 3);
	char byte;

	ASSERT_NE(NULL, st);
	ASSERT_NE(NULL, other);
	for (int i = 0; i < 4; i++) {
		ASSERT_TRUE(put_data(self->fd, 0, 1, buf, sizeof(buf)));
		ASSERT_LE(0, session_pump(self->s));
	}
	EXPECT_SILENCE();
	ASSERT_TRUE(put_data(self->fd, 0, 1, "x", 1));
	ASSERT_TRUE(put_data(self->fd, 0, 3, "x", 1));

	EXPECT_EQ(1, shmux_stream_read(other, &byte, 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, &byte, 1));
	EXPECT_FRAME(WINDOW_UPDATE, RST, 1, 0);
	shmux_stream_close(st);
	shmux_stream_close(other);
}

TEST_F(yamux, what_is_unread_is_bounded_by_the_budget)
{
	static char buf[WINDOW / 4];
	const struct shmux_session_options *options =
		SESSION_OPTIONS(.budget = WINDOW, .first_grant = 64, .streams_max = 64);
	struct shmux_stream *st[2];
	char byte;

	ASSERT_EQ(0, open_with(self, options));
	for (int i = 0; i < 2; i++)
		ASSERT_NE(NULL, st[i] = accepted(self, 1 + 2 * (uint32_t)i));
	for (int i = 0; i < 5; i++) {
		ASSERT_TRUE(put_data(self->fd, 0, i < 3 ? 1 : 3, buf, sizeof(buf)));
		ASSERT_LE(0, session_pump(self->s));
	}

	EXPECT_EQ(1, shmux_stream_read(st[0], &byte, 1));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st[1], &byte, 1));
	EXPECT_GE(WINDOW, session_counters(self->s).rx_queued);
	shmux_stream_close(st[0]);
	shmux_stream_close(st[1]);
}

/* --- what we let the other end send ------------------------------------------ */

/* Have @len bytes come on the stream @id, and read them. Return: whether they came. */
static bool passes(int fd, struct shmux_stream *st, uint32_t id, uint32_t len)
{
	static char buf[WINDOW / 8];
	uint32_t n;
	ssize_t got;

	for (; len; len -= n) {
		n = len < sizeof(buf) ? len : sizeof(buf);
		if (!put_data(fd, 0, id, buf, n))
			return false;
		for (uint32_t left = n; left; left -= (uint32_t)got) {
			got = shmux_stream_read(st, buf, left);
			if (got <= 0)
				return false;
		}
	}
	return true;
}

/* Once the last of @half bytes is read, and not before, the window is @more larger. */
#define EXPECT_GRANT(st, id, half, more)                                                  \
	do {                                                                              \
		ASSERT_TRUE(passes(self->fd, st, id, (half)-1));                          \
		EXPECT_SILENCE();                                                         \
		ASSERT_TRUE(passes(self->fd, st, id, 1));                                 \
		EXPECT_FRAME(WINDOW_UPDATE, 0, id, more);                                 \
		EXPECT_SILENCE();                                                         \
	} while (0)

TEST_F(yamux, window_of_256_kib_becomes_1_mib_with_the_first_grant)
{
	struct shmux_stream *st = accepted(self, 1);

	ASSERT_NE(NULL, st);
	EXPECT_GRANT(st, 1, 128 * KIB, (128 + 768) * KIB);
	EXPECT_GRANT(st, 1, 512 * KIB, 512 * KIB);
	EXPECT_GRANT(st, 1, 512 * KIB, 512 * KIB);
	shmux_stream_close(st);
}

TEST_F(yamux, window_grows_fourfold_with_each_grant_up_to_the_option)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, open_with(self, SESSION_OPTIONS(.window = 10 * MIB)));
	ASSERT_NE(NULL, st = accepted(self, 1));
	EXPECT_GRANT(st, 1, 128 * KIB, 128 * KIB + 768 * KIB);
	EXPECT_GRANT(st, 1, 512 * KIB, 512 * KIB + 3 * MIB);
	EXPECT_GRANT(st, 1, 2 * MIB, 2 * MIB + 6 * MIB);
	EXPECT_GRANT(st, 1, 5 * MIB, 5 * MIB);
	shmux_stream_close(st);
}

TEST_F(yamux, window_that_is_said_to_be_smaller_is_256_kib_all_the_same)
{
	struct shmux_stream *st;

	ASSERT_EQ(0, open_with(self, SESSION_OPTIONS(.window = 4 * KIB)));
	ASSERT_NE(NULL, st = accepted(self, 1));
	EXPECT_GRANT(st, 1, 128 * KIB, 128 * KIB);
	EXPECT_GRANT(st, 1, 128 * KIB, 128 * KIB);
	shmux_stream_close(st);
}

TEST_F(yamux, window_grows_by_half_of_what_the_budget_has_left_at_most)
{
	struct shmux_stream *st[2];

	ASSERT_EQ(0, open_with(self, SESSION_OPTIONS(.budget = 512 * KIB)));
	for (int i = 0; i < 2; i++)
		ASSERT_NE(NULL, st[i] = accepted(self, 1 + 2 * (uint32_t)i));
	EXPECT_GRANT(st[0], 1, 128 * KIB, (128 + 256) * KIB);
	EXPECT_GRANT(st[1], 3, 128 * KIB, (128 + 128) * KIB);
	/* What is closed has it no longer. */
	shmux_stream_close(st[0]);
	EXPECT_FRAME(WINDOW_UPDATE, FIN, 1, 0);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, FIN, 1, 0));
	EXPECT_GRANT(st[1], 3, 192 * KIB, (192 + 192) * KIB);
	shmux_stream_close(st[1]);
}

TEST_F(yamux, payload_after_fin_costs_that_stream_alone)
{
	struct shmux_stream *st = accepted(self, 1), *other = accepted(self, 3);
	char byte;

	ASSERT_NE(NULL, st);
	ASSERT_NE(NULL, other);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, FIN, 1, 0));
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, FIN, 1, 0));
	ASSERT_TRUE(put_data(self->fd, 0, 1, "x", 1));
	ASSERT_TRUE(put_data(self->fd, 0, 3, "y", 1));

	EXPECT_EQ(1, shmux_stream_read(other, &byte, 1));
	EXPECT_EQ('y', byte);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, &byte, 1));
	EXPECT_FRAME(WINDOW_UPDATE, RST, 1, 0);
	shmux_stream_close(st);
	shmux_stream_close(other);
}

TEST_F(yamux, no_more_than_256_streams_are_opened_unacknowledged)
{
	struct shmux_stream *st[257];
	int nr = 0, err;

	while (!(err = shmux_session_open(self->s, SHMUX_STREAM_NOWAIT, &st[nr])))
		nr++;
	EXPECT_EQ(-EAGAIN, err);
	EXPECT_EQ(256, nr);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, ACK, 2, 0));
	/* Saying it again makes no more room. */
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, ACK, 2, 0));

	EXPECT_EQ(0, shmux_session_open(self->s, SHMUX_STREAM_NOWAIT | SHMUX_STREAM_MORE,
					&st[256]));
	EXPECT_EQ(-EAGAIN, shmux_session_open(self->s, SHMUX_STREAM_NOWAIT, &st[256]));
	for (int i = 0; i < 257; i++)
		shmux_stream_close(st[i]);
}

static int64_t open_one(void *s)
{
	struct shmux_stream *st;
	int err = shmux_session_open(s, 0, &st);

	shmux_stream_close(err ? NULL : st);
	return err;
}

static const struct bulk large = { .len = 4 << 20, .piece = 100000, .seed = 1 };

/* Whether what is written to the stream @id comes out, when nothing else is said. */
static bool comes_out(int fd, uint32_t id, uint64_t len)
{
	static char buf[65536];
	struct timeval patience = { .tv_sec = 10 };
	struct frame f;
	ssize_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	while (len) {
		if (recv(fd, &f, sizeof(f), MSG_WAITALL) != sizeof(f))
			return false;
		for (f.len = be32toh(f.len); f.len; f.len -= (uint32_t)n) {
			n = recv(fd, buf, f.len < sizeof(buf) ? f.len : sizeof(buf), 0);
			if (n <= 0)
				return false;
			len -= be32toh(f.id) == id ? (uint64_t)n : 0;
		}
	}
	return true;
}

/* Writes what the wire has no room for, while another call has led for long. */
TEST_F(yamux, what_the_wire_had_no_room_for_is_sent_by_who_sleeps_already)
{
	struct bulk_job job = { .st = accepted(self, 1), .bulk = large };
	struct worker opener, writer;
	struct shmux_stream *st[256];

	ASSERT_NE(NULL, job.st);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 1, large.len));
	for (int i = 0; i < 256; i++)
		ASSERT_EQ(0, shmux_session_open(self->s, 0, &st[i]));
	worker_start(&opener, open_one, self->s);
	ASSERT_TRUE(worker_wait_blocked(&opener));
	worker_start(&writer, bulk_write_job, &job);
	ASSERT_TRUE(worker_wait_blocked(&writer));

	EXPECT_TRUE(comes_out(self->fd, 1, large.len));
	EXPECT_EQ((int64_t)large.len, worker_join(&writer));
	shmux_session_unblock(self->s);
	EXPECT_EQ(-ECANCELED, worker_join(&opener));
	for (int i = 0; i < 256; i++)
		shmux_stream_close(st[i]);
	shmux_stream_close(job.st);
}

TEST_F(yamux, what_the_wire_had_no_room_for_is_sent_by_who_spins)
{
	struct bulk_job job = { .bulk = large };
	struct worker writer;

	ASSERT_EQ(0, open_with(self, SESSION_OPTIONS(.spin = SHMUX_SPIN_ENDLESS)));
	job.st = accepted(self, 1);
	ASSERT_NE(NULL, job.st);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 1, large.len));
	worker_start(&writer, bulk_write_job, &job);
	/* More than a socket holds. */
	ASSERT_TRUE(wait_until(session_counters(self->s).room_stalls));

	EXPECT_TRUE(comes_out(self->fd, 1, large.len));
	EXPECT_EQ((int64_t)large.len, worker_join(&writer));
	shmux_stream_close(job.st);
}

/* Somebody who says hello on a stream of its own once its parent sleeps. */
static pid_t greeter(int fd)
{
	pid_t parent = getpid(), pid = fork();

	if (pid)
		return pid;
	if (!wait_until(process_sleeps(parent, parent)))
		_exit(1);
	_exit(!put_data(fd, SYN, 1, "hello", 5));
}

/* With one thread, and no deadline, the wait is in the very call that reads. */
TEST_F(yamux, wait_is_long_enough_whatever_was_set_on_the_socket)
{
	const struct timeval soon = { .tv_usec = 1000 };
	struct shmux_stream *st;
	char buf[8] = "";
	int status, fds[2];
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		shmux_session_close(self->s, 0);
		close(self->fd);
		ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
		if (i == 1)
			ASSERT_EQ(0, fcntl(fds[0], F_SETFL, O_NONBLOCK));
		if (i == 2)
			ASSERT_EQ(0, setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &soon,
						sizeof(soon)));
		self->fd = fds[1];
		ASSERT_EQ(0, shmux_session_yamux(fds[0], fds[0], SHMUX_ROLE_ACCEPTOR, NULL,
						 &self->s));
		pid = greeter(self->fd);

		ASSERT_EQ(0, shmux_session_accept(self->s, 0, &st));
		EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));
		EXPECT_STREQ("hello", buf);
		shmux_stream_close(st);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_EQ(0, status);
	}
}

static volatile sig_atomic_t nr_alarms;

static void on_alarm(int sig)
{
	nr_alarms += sig == SIGALRM;
}

TEST_F(yamux, wait_goes_on_after_a_signal)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval often = { { .tv_usec = 500 }, { .tv_usec = 500 } }, never = { 0 };
	struct shmux_stream *st;
	char buf[8] = "";
	int status;
	pid_t pid;

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	ASSERT_TRUE(wait_until(nr_alarms));
	pid = greeter(self->fd);

	EXPECT_EQ(0, shmux_session_accept(self->s, 0, &st));
	EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	setitimer(ITIMER_REAL, &never, NULL);
	shmux_stream_close(st);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(yamux, what_came_before_the_end_is_read_though_a_write_met_the_end_first)
{
	struct shmux_stream *st = accepted(self, 1);
	char buf[8] = "";

	ASSERT_NE(NULL, st);
	shmux_session_cork(self->s);
	ASSERT_EQ(1, shmux_stream_write(st, "x", 1));
	ASSERT_TRUE(put_data(self->fd, 0, 1, "hello", 5));
	close(self->fd);
	self->fd = -1;
	shmux_session_uncork(self->s);

	EXPECT_EQ(5, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_STREQ("hello", buf);
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
}

TEST_F(yamux, ids_of_ended_streams_are_not_used_again)
{
	struct shmux_stream *st;
	struct frame f;

	for (uint32_t i = 1; i <= 5000; i++) {
		ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
		shmux_stream_close(st);
		ASSERT_TRUE(get(self->fd, &f));
		ASSERT_EQ(2 * i, f.id);
		ASSERT_TRUE(get(self->fd, &f));
		ASSERT_EQ(FIN, f.flags);
	}
}

TEST_F(yamux, messages_and_spans_it_does_not_have)
{
	struct shmux_stream *st = accepted(self, 1), *none;
	struct shmux_span span;

	ASSERT_NE(NULL, st);
	EXPECT_EQ(-EOPNOTSUPP, shmux_session_open(self->s, SHMUX_STREAM_MESSAGES, &none));
	EXPECT_EQ(-EOPNOTSUPP, shmux_stream_reserve(st, 1, &span, 0));
	shmux_stream_close(st);
}

TEST_F(yamux, go_away_of_the_peer_ends_opening_but_not_the_streams)
{
	struct shmux_stream *st = accepted(self, 1), *none;
	uint32_t code;

	ASSERT_NE(NULL, st);
	ASSERT_TRUE(put(self->fd, GO_AWAY, 0, 0, 0));

	EXPECT_EQ(-ESHUTDOWN, shmux_session_open(self->s, 0, &none));
	EXPECT_EQ(0, shmux_session_go_away_code(self->s, &code));
	EXPECT_EQ(0, code);
	EXPECT_EQ(1, shmux_stream_write(st, "x", 1));
	shmux_stream_close(st);
}

TEST_F(yamux, our_go_away_is_a_normal_one)
{
	ASSERT_EQ(0, shmux_session_go_away(self->s, 300));

	EXPECT_FRAME(GO_AWAY, 0, 0, 0);
}

TEST_F(yamux, end_of_the_wire_is_a_reset_after_what_has_come)
{
	struct shmux_stream *st = accepted(self, 1);
	char buf[8] = "";

	ASSERT_NE(NULL, st);
	ASSERT_TRUE(put_data(self->fd, 0, 1, "last", 4));
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));

	EXPECT_EQ(4, shmux_stream_read(st, buf, sizeof(buf)));
	EXPECT_EQ(-ECONNRESET, shmux_stream_read(st, buf, sizeof(buf)));
	shmux_stream_close(st);
}

TEST_F(yamux, however_many_frames_have_come_by_the_end_they_are_taken)
{
	static unsigned char frames[12000][13];
	struct shmux_stream *st = accepted(self, 1);
	static char bytes[sizeof(frames) / 13];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	size_t i;

	ASSERT_NE(NULL, st);
	for (i = 0; i < sizeof(bytes); i++) {
		memcpy(frames[i], "\0\0\0\0\0\0\0\1\0\0\0\1", 12);
		frames[i][12] = (unsigned char)i;
	}
	ASSERT_EQ((ssize_t)sizeof(frames), send(self->fd, frames, sizeof(frames), MSG_DONTWAIT));
	ASSERT_EQ(0, shutdown(self->fd, SHUT_WR));

	/* Long enough for the end to be asked after before all is taken. */
	usleep(50000);
	while (shmux_session_state(self->s) != SHMUX_SESSION_DEAD)
		usleep(50000);
	EXPECT_EQ((ssize_t)sizeof(bytes), shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL));
	EXPECT_EQ((char)(sizeof(bytes) - 1), bytes[sizeof(bytes) - 1]);
	shmux_stream_close(st);
}

TEST_F(yamux, close_tells_of_what_the_peer_has_not_made_room_for)
{
	static char bytes[WINDOW];
	struct shmux_stream *st;

	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN | FIN, 1, 0));
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &st));
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 1, 1u << 30));
	while (shmux_stream_try_write(st, bytes, sizeof(bytes)) > 0)
		;
	ASSERT_EQ(0, shmux_stream_shutdown(st, SHMUX_WRITE));
	shmux_stream_close(st);
	ASSERT_EQ(0, session_counters(self->s).streams_open);

	EXPECT_EQ(-ETIMEDOUT, shmux_session_drain(self->s, 0));
	EXPECT_EQ(-ETIMEDOUT, shmux_session_close(self->s, 0));
	self->s = NULL;
}

TEST_F(yamux, loop_is_told_of_what_another_call_has_taken_in)
{
	struct shmux_stream *st, *other;
	struct pollfd pfd = { .events = POLLIN };

	ASSERT_EQ(0, shmux_session_open(self->s, 0, &st));
	pfd.fd = shmux_session_fd(self->s);
	session_pump(self->s);
	ASSERT_EQ(0, poll(&pfd, 1, 0));
	for (int i = 0; i < 100; i++)
		ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 0, 2, 1));
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));

	/* One read of the wire brings them all; a call takes note of some. */
	ASSERT_EQ(1, shmux_stream_try_write(st, "x", 1));
	EXPECT_EQ(1, poll(&pfd, 1, 0));
	session_pump(self->s);
	ASSERT_EQ(0, shmux_session_accept(self->s, SHMUX_NOWAIT, &other));
	shmux_stream_close(other);
	shmux_stream_close(st);
}

TEST_F(yamux, wrong_version_ends_the_session)
{
	ASSERT_EQ(12, send(self->fd, "\1\1\0\1\0\0\0\1\0\0\0\0", 12, 0));
	EXPECT_BREACH();
}

TEST_F(yamux, unknown_type_ends_the_session)
{
	ASSERT_TRUE(put(self->fd, GO_AWAY + 1, 0, 0, 0));
	EXPECT_BREACH();
}

TEST_F(yamux, unknown_flag_ends_the_session)
{
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, 16, 1, 0));
	EXPECT_BREACH();
}

TEST_F(yamux, stream_of_our_own_ids_ends_the_session)
{
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 2, 0));
	EXPECT_BREACH();
}

TEST_F(yamux, stream_opened_twice_ends_the_session)
{
	struct shmux_stream *st = accepted(self, 1);

	ASSERT_NE(NULL, st);
	ASSERT_TRUE(put(self->fd, WINDOW_UPDATE, SYN, 1, 0));
	EXPECT_BREACH();
	shmux_stream_close(st);
}

TEST_F(yamux, stream_zero_ends_the_session)
{
	ASSERT_TRUE(put_data(self->fd, SYN, 0, "x", 1));
	EXPECT_BREACH();
}

TEST_F(yamux, ping_of_a_stream_ends_the_session)
{
	ASSERT_TRUE(put(self->fd, PING, SYN, 1, 0));
	EXPECT_BREACH();
}

/* --- descriptors ------------------------------------------------------------- */

TEST(description_that_others_share_keeps_its_flags)
{
	int there[2], back[2], shared;
	struct shmux_session *s;

	ASSERT_EQ(0, pipe2(there, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(back, O_CLOEXEC));
	shared = dup(there[1]);
	ASSERT_EQ(0, shmux_session_yamux(back[0], there[1], SHMUX_ROLE_DIALLER, NULL, &s));

	EXPECT_EQ(0, fcntl(shared, F_GETFL) & O_NONBLOCK);
	shmux_session_close(s, 0);
	close(shared);
	close(there[0]);
	close(back[1]);
}

static volatile sig_atomic_t nr_signals;

static void note_signal(int nr)
{
	(void)nr;
	nr_signals++;
}

TEST(pipe_that_nobody_reads_sends_no_signal)
{
	int there[2], back[2];
	struct shmux_session *s;
	struct shmux_stream *st;

	signal(SIGPIPE, note_signal);
	ASSERT_EQ(0, pipe2(there, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(back, O_CLOEXEC));
	ASSERT_EQ(0, shmux_session_yamux(back[0], there[1], SHMUX_ROLE_DIALLER, NULL, &s));
	ASSERT_EQ(0, shmux_session_open(s, 0, &st));
	close(there[0]);

	shmux_stream_write(st, "x", 1);
	EXPECT_EQ(-ECONNRESET, shmux_stream_write(st, "x", 1));
	EXPECT_EQ(0, nr_signals);
	shmux_stream_close(st);
	shmux_session_close(s, 0);
	close(back[1]);
}

TEST(what_cannot_carry_a_session_is_refused_and_closed)
{
	int nr_fds = process_nr_fds(), fds[2];
	struct shmux_session *s;

	EXPECT_EQ(-EBADF, shmux_session_yamux(-1, -1, SHMUX_ROLE_DIALLER, NULL, &s));
	fds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
	EXPECT_EQ(-EINVAL, shmux_session_yamux(fds[0], fds[0], SHMUX_ROLE_DIALLER, NULL, &s));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds));
	EXPECT_EQ(-EINVAL, shmux_session_yamux(fds[0], fds[1], SHMUX_ROLE_DIALLER, NULL, &s));
	/* The ends of the pipe are swapped. */
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	EXPECT_EQ(-EINVAL, shmux_session_yamux(fds[1], fds[0], SHMUX_ROLE_DIALLER, NULL, &s));
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	EXPECT_EQ(-EINVAL,
		  shmux_session_yamux(fds[0], fds[1], (enum shmux_role)2, NULL, &s));

	EXPECT_EQ(nr_fds, process_nr_fds());
}

TEST_HARNESS_MAIN
