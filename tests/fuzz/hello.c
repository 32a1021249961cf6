// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * hello.c - fuzzes the rendezvous, either end of it
 * PROVES: whatever_comes_over_the_socket_only_sealed_memory_is_taken_and_no_descriptor_stays
 *
 * The input is what the other end says: the bytes of its hello, whole or in
 * pieces, with credentials or without, with descriptors of every kind and
 * number, before, between and after the victim's steps. If the victim takes a
 * region, then only one that is as it has to be; whatever happened, no
 * descriptor is left.
 */
#include <sys/stat.h>

#include "unit/meeting.h"

#include "fuzz.h"

#define FDS_MAX 20
#define FDS_SEEN 128

struct game {
	struct input in;
	struct end victim;
	bool dialler;
	int type; /* of the socket */
	int fd; /* the other end of the victim's, or -1 */
	char bytes[sizeof(struct message) + 16];
	size_t sent; /* of them */
	struct message said; /* what of it all the victim takes for a hello */
	size_t said_len, first_len; /* of all, and of the first piece */
	int fds[FDS_MAX]; /* to go with the next piece */
	int nr_fds;
	bool cred;
	int taken; /* the only descriptor that went with the hello, or -1 */
	int nr_sent; /* how many did */
};

/* --- descriptors of all kinds --------------------------------------------- */

static int plain_file(const char *directory)
{
	int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 && ftruncate(fd, OWN_SIZE)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* A good one by another door. */
static int reopened(int flags)
{
	int fd = memfd_with(OWN_SIZE, GOOD_SEALS, 0), again;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	close(fd);
	return again;
}

static int one_end(int fds[2], int err)
{
	HOLD(!err);
	close(fds[1]);
	return fds[0];
}

static int make_fd(struct game *g)
{
	uint8_t kind = input_u8(&g->in);
	int fds[2];

	switch (kind & 15) {
	case 1:
		return memfd_with(OWN_SIZE, input_u8(&g->in) & 0x3f, 0);
	case 2:
		return memfd_with(input_number(&g->in), GOOD_SEALS, 0);
	case 3:
		return memfd_create("fuzz", MFD_CLOEXEC);
	case 4:
		return one_end(fds, pipe2(fds, O_CLOEXEC));
	case 5:
		return plain_file("/tmp");
	case 6:
		return plain_file("/dev/shm");
	case 7:
		return open("/dev/zero", O_RDWR | O_CLOEXEC);
	case 8:
		return open("/", O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	case 9:
		return one_end(fds, socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
	case 10:
		return reopened(O_PATH);
	case 11:
		return reopened(O_RDONLY);
	case 12:
		return memfd_with(2u << 20, GOOD_SEALS, MFD_HUGETLB);
	case 13:
		return memfd_with(OWN_SIZE + (kind & 16 ? 4096 : -4096), GOOD_SEALS, 0);
	default:
		return memfd_with(OWN_SIZE, GOOD_SEALS, 0);
	}
}

static void add_fd(struct game *g)
{
	int fd;

	if (g->nr_fds == FDS_MAX)
		return;
	fd = make_fd(g);
	if (fd >= 0)
		g->fds[g->nr_fds++] = fd;
}

/* --- the other end --------------------------------------------------------- */

/* Say @len bytes. Return: whether that could be done. */
static bool say(struct game *g, const char *bytes, size_t len, int nr_fds, bool cred)
{
	size_t room = sizeof(g->said) - g->said_len;

	if (g->fd < 0 || !len || hand_send(g->fd, bytes, len, g->fds, nr_fds, cred))
		return false;
	if (!g->said_len)
		g->first_len = len;
	memcpy((char *)&g->said + g->said_len, bytes, len < room ? len : room);
	g->said_len += len < room ? len : room;
	return true;
}

/* The next @len bytes of the message, with all that is to go with them. */
static void send_piece(struct game *g, size_t len)
{
	size_t before = g->said_len;
	int i;

	if (len > sizeof(g->bytes) - g->sent)
		len = sizeof(g->bytes) - g->sent;
	if (say(g, g->bytes + g->sent, len, g->nr_fds, g->cred)) {
		if (before < sizeof(g->said))
			g->nr_sent += g->nr_fds;
		if (g->nr_sent == 1 && g->nr_fds == 1 && g->taken < 0) {
			g->taken = g->fds[0];
			g->nr_fds = 0;
		}
		g->sent += len;
	}
	for (i = 0; i < g->nr_fds; i++)
		close(g->fds[i]);
	g->nr_fds = 0;
}

/* Go back to the start of the message, as it ought to be. */
static void begin_message(struct game *g, bool refusal)
{
	struct message m = message_valid(refusal ? REFUSAL : g->dialler ? ANSWER : HELLO);

	memcpy(g->bytes, &m, sizeof(m));
	memset(g->bytes + sizeof(m), 0, sizeof(g->bytes) - sizeof(m));
	if (refusal)
		memset(g->bytes + offsetof(struct message, size), 0, 8);
}

static void set_word(struct game *g)
{
	uint8_t b = input_u8(&g->in);
	uint32_t value = b & 0x80 ? input_u32(&g->in) : input_number(&g->in);

	if (b & 0x40)
		value = -value;
	memcpy(g->bytes + (b & 15) * 4, &value, sizeof(value));
}

/* --- the victim ------------------------------------------------------------ */

/* What made the victim take a region: every word of it is as it has to be. */
static void check_said(const struct game *g)
{
	const struct message *m = &g->said;
	size_t i;

	HOLD(g->said_len >= sizeof(*m));
	HOLD(g->type == SOCK_STREAM || g->first_len == sizeof(*m));
	HOLD(m->magic == message_valid(HELLO).magic && m->version == SHMUX_VERSION);
	HOLD(m->kind == (g->dialler ? ANSWER : HELLO) && m->status == 0);
	HOLD(m->size == g->victim.region->peer_size && m->size_max >= OWN_SIZE);
	HOLD(m->size <= g->victim.params.peer_size_max);
	for (i = 0; i < sizeof(m->reserved) / sizeof(m->reserved[0]); i++)
		HOLD(!m->reserved[i]);
}

/* One that was taken: nobody can change its size, nor write what is not mapped. */
static void check_region(struct game *g)
{
	struct shmux__region *r = g->victim.region;
	const volatile char *peer = r->peer;
	struct stat st;
	int fds[2], nr;

	HOLD(g->nr_sent == 1 && g->taken >= 0 && !fstat(g->taken, &st));
	HOLD(r->own && r->own_size == OWN_SIZE && r->peer_size <= PEER_SIZE_MAX);
	HOLD(st.st_size == (off_t)r->peer_size);
	HOLD(r->peer_size >= SHMUX_HEADER_SIZE && r->peer_size % SHMUX_PART_ALIGN == 0);
	HOLD((fcntl(g->taken, F_GET_SEALS) & GOOD_SEALS) == GOOD_SEALS);
	HOLD(ftruncate(g->taken, 0) && pwrite(g->taken, "x", 1, 0) < 0);
	(void)peer[0];
	(void)peer[r->peer_size - 1];
	*(char *)r->own = 1;

	HOLD(g->victim.nr_admits == 1 && g->victim.admit_status == 0);
	HOLD(g->victim.admitted.pid == getpid() && r->identity.pid == getpid());
	HOLD(g->victim.nr_formats == 1);

	nr = r->ops->descriptors(r, fds);
	HOLD(nr >= 1 && nr <= 2);
	r->ops->ring(r, r->own, SHMUX_ARMED_FUTEX | SHMUX_ARMED_SOCKET);
	nr = r->ops->clear(r);
	HOLD(!nr || nr == -ECONNRESET);
	nr = r->ops->check_alive(r);
	HOLD(!nr || nr == -ECONNRESET);
}

static void check_end(struct game *g)
{
	switch (g->victim.err) {
	case 0:
		check_said(g);
		check_region(g);
		break;
	case -EAGAIN:
	case -EPROTO:
	case -EPROTONOSUPPORT:
	case -ECONNRESET:
	case -E2BIG:
	case -EACCES:
		break;
	default:
		/* Only what the acceptor told. */
		HOLD(g->dialler && g->said.kind == REFUSAL && g->victim.err == g->said.status);
		HOLD(g->victim.err < 0 && g->victim.err >= -4095);
	}
	HOLD(g->victim.err == 0 || !g->victim.region);
}

static void step(struct game *g)
{
	if (g->victim.err == -EAGAIN)
		end_step(&g->victim);
}

static int nr_open(void)
{
	struct pollfd fds[FDS_SEEN];
	int i, nr = 0;

	for (i = 0; i < FDS_SEEN; i++)
		fds[i] = (struct pollfd){ .fd = i };
	HOLD(poll(fds, FDS_SEEN, 0) >= 0);
	for (i = 0; i < FDS_SEEN; i++)
		nr += !(fds[i].revents & POLLNVAL);
	return nr;
}

static void move(struct game *g)
{
	uint8_t b = input_u8(&g->in);
	size_t len;

	switch (b & 7) {
	case 0:
		set_word(g);
		break;
	case 1:
		add_fd(g);
		break;
	case 2:
		g->cred = b & 8;
		break;
	case 3:
		len = b >> 3 ? b >> 3 : sizeof(struct message) - g->sent;
		/* More than there is to be, too. */
		send_piece(g, len == 31 ? sizeof(g->bytes) : len);
		break;
	case 4:
		step(g);
		break;
	case 5:
		begin_message(g, b & 8);
		break;
	case 6:
		/* A bell, or something else that comes too soon. */
		say(g, g->bytes, 1, 0, b & 8);
		break;
	case 7:
		if (g->fd >= 0 && b & 8) {
			close(g->fd);
			g->fd = -1;
		} else if (g->fd >= 0) {
			shutdown(g->fd, b >> 4 & 1 ? SHUT_RD : SHUT_WR);
		}
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int admits[] = { 0, 0, -EACCES, -EAGAIN };
	struct game g = { .in = { data, data + size }, .taken = -1, .cred = true };
	uint8_t b = input_u8(&g.in);
	int nr = nr_open(), fds[2], i;

	/* A corpus has moves for each; more would only be slow. */
	if (size > 256)
		return 0;
	g.dialler = b & 1;
	g.type = b & 2 ? SOCK_STREAM : SOCK_SEQPACKET;
	HOLD(!socketpair(AF_UNIX, g.type | SOCK_CLOEXEC, 0, fds));
	g.fd = fds[1];
	end_init(&g.victim, "victim");
	g.victim.admit_status = admits[b >> 2 & 3];
	if (b & 16)
		g.victim.params.peer_size_max = OWN_SIZE - 1;
	HOLD(!end_open(&g.victim, fds[0], g.dialler ? SHMUX_ROLE_DIALLER : SHMUX_ROLE_ACCEPTOR));
	begin_message(&g, false);
	if (b & 32)
		g.fds[g.nr_fds++] = memfd_with(OWN_SIZE, GOOD_SEALS, 0);

	while (!input_is_empty(&g.in))
		move(&g);
	/* What has not been said yet. */
	if (b & 64 && g.sent < sizeof(struct message))
		send_piece(&g, sizeof(struct message) - g.sent);
	for (i = 0; i < 3; i++)
		step(&g);
	check_end(&g);

	end_close(&g.victim);
	for (i = 0; i < g.nr_fds; i++)
		close(g.fds[i]);
	if (g.taken >= 0)
		close(g.taken);
	if (g.fd >= 0)
		close(g.fd);
	HOLD(nr_open() == nr);
	return 0;
}
