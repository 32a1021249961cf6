// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * rendezvous.c - what a hostile hello costs: its own connection, and no more
 *
 * The victim is a process of its own and runs the library: a listener that
 * serves, a dialler, or one that attaches to a socket. The test is the hostile
 * side, by hand, and to a listener the honest client as well, which asks the
 * victim how it is. What a single hello makes of a single message is in
 * unit/hello.c.
 */
#include <dirent.h>
#include <grp.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "harness.h"

#include "../unit/meeting.h"
#include "effort.h"
#include "far.h"
#include "link/shm.h"
#include "pair.h"
#include "process.h"
#include "stray.h"
#include "region/stray.h"

#define NOBODY 65534
#define OTHER 12345

/* An honest client is to be served within this, whatever others do. */
#define PROMPT effort_bound(200 * MSEC)

/* Percent of a processor that one takes who does not spin. */
#define CPU_MAX (effort_is_emulated() ? 50 : 20)

/* How long a close waits that is not made harmless. */
#define LINGER_SECONDS 4

/* --- what a process has to say about itself ------------------------------- */

struct report {
	int nr_fds;
	int nr_maps; /* of regions */
	int64_t rss;
	uint64_t took; /* ns that its last call has taken */
	int nr_errors; /* of accept, and the last one */
	int error;
	int nr_sentences; /* that say why there is no session, and the last one */
	char sentence[256];
	unsigned int nr_untold; /* that such a sentence was spared, as another one says */
};

static struct report own;

static void note_sentence(void *arg, enum shmux_log_level level, const char *sentence)
{
	unsigned int untold;

	(void)arg;
	(void)level;
	if (sscanf(sentence, "%u more clients got no session", &untold) == 1)
		own.nr_untold += untold;
	if (strncmp(sentence, "no session", strlen("no session")))
		return;
	own.nr_sentences++;
	snprintf(own.sentence, sizeof(own.sentence), "%s", sentence);
}

static int nr_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int nr = 0;

	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		nr += strstr(line, "/memfd:shmux") != NULL;
	fclose(file);
	return nr;
}

static const struct report *report_make(void)
{
	own.nr_fds = process_nr_fds();
	own.nr_maps = nr_maps();
	own.rss = process_rss();
	return &own;
}

static int64_t side_report(struct side *side)
{
	memcpy(side->out, report_make(), sizeof(own));
	return 0;
}

/* --- victims --------------------------------------------------------------- */

struct victim {
	char name[NAME_SIZE];
	mode_t mode;
	gid_t gid; /* admitted, if not 0 */
	enum kernel kernel;
	bool no_accept; /* the kernel has no file left for what it accepts */
	enum shmux_role role; /* of who attaches */
};

static const struct shmux_session_options logged = {
	.size = sizeof(logged),
	.log = note_sentence,
};

static int forbid_accept(void)
{
	struct sock_filter filter[] = {
		FILTER_IF_CALL(SYS_accept4, 1),
		FILTER_FAIL(ENFILE),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_SIZE(filter), filter };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int64_t side_listen(struct side *side)
{
	const struct victim *v = side->in;
	struct shmux_listener_options options = {
		.size = sizeof(options),
		.mode = v->mode,
		.gid = v->gid,
		.flags = v->gid ? SHMUX_LISTENER_GID : 0,
		.session = &logged,
	};

	SIDE_EQ(0, kernel_pretend(v->kernel));
	SIDE_EQ(0, shmux_listener_open(v->name, &options, &side->listener));
	return v->no_accept ? forbid_accept() : 0;
}

/* Tell who asks how we are, one after the other, until one says quit. */
static int64_t side_serve(struct side *side)
{
	struct shmux_stream *st;
	char request = 0;
	int ret;

	while (request != 'q') {
		ret = shmux_listener_accept(side->listener, 0, &st);
		if (ret) {
			own.nr_errors++;
			own.error = ret;
			if (ret == -EINVAL)
				return ret;
			continue;
		}
		request = 0;
		shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, shmux_now() + LONG_ENOUGH);
		if (shmux_stream_read(st, &request, 1) == 1)
			shmux_stream_write(st, report_make(), sizeof(own));
		shmux_stream_close(st);
	}
	return 0;
}

/* Dial in a context of our own, say how it went, and how we are afterwards. */
static int64_t side_dial(struct side *side)
{
	struct shmux_context_options options = { .size = sizeof(options), .session = &logged };
	struct shmux_dial_options dial = {
		.size = sizeof(dial),
		.deadline = shmux_now() + LONG_ENOUGH,
	};
	const struct victim *v = side->in;
	struct shmux_stream *st = NULL;
	struct shmux_context *context;
	uint64_t start = shmux_now();
	int ret;

	SIDE_EQ(0, kernel_pretend(v->kernel));
	SIDE_EQ(0, shmux_context_open(&options, &context));
	ret = shmux_context_dial(context, v->name, &dial, &st);
	shmux_stream_close(st);
	shmux_context_close(context);
	own.took = shmux_now() - start;
	side_report(side);
	return ret;
}

static int64_t side_attach(struct side *side)
{
	const struct victim *v = side->in;
	struct shmux_session *session = NULL;
	uint64_t start = shmux_now();
	int ret, fd = side->fd;

	side->fd = -1;
	SIDE_EQ(0, kernel_pretend(v->kernel));
	ret = shmux_session_attach(fd, v->role, &logged, shmux_now() + LONG_ENOUGH, &session);
	shmux_session_close(session, 0);
	own.took = shmux_now() - start;
	side_report(side);
	return ret;
}

/* --- the hostile side, by hand --------------------------------------------- */

static socklen_t abstract(struct sockaddr_un *addr, const char *name)
{
	int len;

	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	len = snprintf(addr->sun_path + 1, sizeof(addr->sun_path) - 1, "shmux/%s", name);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)len);
}

static int hand_connect(const char *name)
{
	struct sockaddr_un addr;
	socklen_t len = abstract(&addr, name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, len)) {
		close(fd);
		return -errno;
	}
	return fd;
}

static int hand_listen(const char *name)
{
	struct sockaddr_un addr;
	socklen_t len = abstract(&addr, name);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), one = 1;

	if (fd >= 0 && (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
			bind(fd, (struct sockaddr *)&addr, len) || listen(fd, 8))) {
		close(fd);
		return -errno;
	}
	return fd;
}

/* Wait for something to read, or the end. */
static bool hand_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 10000) == 1;
}

#define SHOT_FDS 253 /* the kernel lets no more through */

/* What a hostile side says: all in order, before it is spoilt. */
struct shot {
	struct message m;
	char tail[600]; /* bytes beyond the message, if @len goes that far */
	size_t len;
	int fds[SHOT_FDS];
	int nr_fds;
	bool cred;
	const struct ucred *as; /* somebody else's, or NULL */
	struct shmux__shm_sizes sizes;
	uint32_t size;
	int later; /* a descriptor in a packet of its own, or -1 */
	bool urgent; /* it comes first, as an urgent byte if the socket knows such a thing */
	int nr_kept; /* what keeps a socket lingering */
	int kept[4];
};

/* A sealed memfd with a valid header, which @change may spoil. */
static int region_memfd(const struct shot *s, int seals, void (*change)(void *region))
{
	int fd = memfd_create("shmux", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	void *p;

	if (fd < 0 || ftruncate(fd, s->size))
		return -1;
	p = mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -1;
	shmux__shm_format(&s->sizes,
			  s->m.kind == ANSWER ? SHMUX_ROLE_ACCEPTOR : SHMUX_ROLE_DIALLER, p);
	if (change)
		change(p);
	munmap(p, s->size);
	return fcntl(fd, F_ADD_SEALS, seals) ? -1 : fd;
}

static void shot_init(struct shot *s, uint32_t kind)
{
	memset(s, 0, offsetof(struct shot, nr_kept));
	s->sizes = (struct shmux__shm_sizes){
		.ring_slots = 64,
		.arena_size = 65536,
		.peer_arena_max = 4 << 20,
		.first_grant = 256,
		.message_max = 65536,
	};
	s->size = shmux__shm_size(&s->sizes);
	s->m = message_valid(kind);
	s->m.size = s->size;
	s->m.size_max = 256 << 20;
	s->len = sizeof(s->m);
	s->fds[0] = region_memfd(s, GOOD_SEALS, NULL);
	s->nr_fds = 1;
	s->cred = true;
	s->later = -1;
}

/* It may have been hung up on, or forbidden, already. */
static void shot_send_later(struct shot *s, int fd)
{
	if (!s->urgent || hand_send_as(fd, "x", 1, &s->later, 1, NULL, MSG_OOB))
		hand_send(fd, "x", 1, &s->later, 1, false);
	close(s->later);
	s->later = -1;
}

/* Fire, keeping nothing. */
static int shot_send(struct shot *s, int fd)
{
	int ret;

	if (s->urgent)
		shot_send_later(s, fd);
	ret = s->as ? hand_send_as(fd, &s->m, s->len, s->fds, s->nr_fds, s->as, 0) :
		      hand_send(fd, &s->m, s->len, s->fds, s->nr_fds, s->cred);
	while (s->nr_fds)
		close(s->fds[--s->nr_fds]);
	if (s->later >= 0)
		shot_send_later(s, fd);
	return ret;
}

/* Fire at a victim that does not move until nobody else has what was sent. */
static int shot_send_unseen(struct shot *s, int fd, pid_t victim)
{
	int ret, status;

	kill(victim, SIGSTOP);
	waitpid(victim, &status, WUNTRACED);
	ret = shot_send(s, fd);
	kill(victim, SIGCONT);
	return ret;
}

static void shot_replace(struct shot *s, int fd)
{
	if (s->nr_fds)
		close(s->fds[0]);
	s->fds[0] = fd;
	s->nr_fds = fd >= 0;
}

/* --- ways to spoil it ------------------------------------------------------ */

static void spoil_nothing(struct shot *s)
{
	(void)s;
}

static void garbage(struct shot *s)
{
	memset(&s->m, 0xa5, sizeof(s->m));
}

static void half_a_message(struct shot *s)
{
	s->len = sizeof(s->m) / 2;
}

static void one_byte(struct shot *s)
{
	s->len = 1;
}

static void a_message_and_a_byte(struct shot *s)
{
	s->len = sizeof(s->m) + 1;
}

static void a_long_message(struct shot *s)
{
	s->len = sizeof(s->m) + sizeof(s->tail);
}

static void magic(struct shot *s)
{
	s->m.magic ^= 0x80000000;
}

static void version(struct shot *s)
{
	s->m.version = UINT32_MAX;
}

static void kind(struct shot *s)
{
	s->m.kind = 77;
}

static void reserved(struct shot *s)
{
	s->m.reserved[0] = 1;
}

static void size_zero(struct shot *s)
{
	s->m.size = 0;
}

static void size_half_a_page(struct shot *s)
{
	s->m.size += 2048;
}

static void size_huge(struct shot *s)
{
	s->m.size = 0x7ffff000;
}

static void size_max_tiny(struct shot *s)
{
	s->m.size_max = 4096;
}

static void no_descriptor(struct shot *s)
{
	shot_replace(s, -1);
}

static void two_descriptors(struct shot *s)
{
	s->fds[s->nr_fds++] = region_memfd(s, GOOD_SEALS, NULL);
}

static void many_descriptors(struct shot *s)
{
	while (s->nr_fds < SHOT_FDS)
		s->fds[s->nr_fds++] = dup(s->fds[0]);
}

static void without_shrink(struct shot *s)
{
	shot_replace(s, region_memfd(s, GOOD_SEALS & ~F_SEAL_SHRINK, NULL));
}

static void without_grow(struct shot *s)
{
	shot_replace(s, region_memfd(s, GOOD_SEALS & ~F_SEAL_GROW, NULL));
}

static void without_future_write(struct shot *s)
{
	shot_replace(s, region_memfd(s, GOOD_SEALS & ~F_SEAL_FUTURE_WRITE, NULL));
}

static void without_seal(struct shot *s)
{
	shot_replace(s, region_memfd(s, GOOD_SEALS & ~F_SEAL_SEAL, NULL));
}

static void without_any(struct shot *s)
{
	shot_replace(s, region_memfd(s, 0, NULL));
}

static void more_seals(struct shot *s)
{
	shot_replace(s, region_memfd(s, GOOD_SEALS | F_SEAL_WRITE, NULL));
}

static void hugetlb(struct shot *s)
{
	shot_replace(s, memfd_with(2 << 20, GOOD_SEALS, MFD_HUGETLB));
	s->m.size = 2 << 20;
}

static void plain_file(struct shot *s)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 && ftruncate(fd, s->size))
		fd = -1;
	shot_replace(s, fd);
}

static void a_pipe(struct shot *s)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return;
	close(fds[1]);
	shot_replace(s, fds[0]);
}

static void an_eventfd(struct shot *s)
{
	shot_replace(s, eventfd(0, EFD_CLOEXEC));
}

static void a_directory(struct shot *s)
{
	shot_replace(s, open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static void a_mere_path(struct shot *s)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fds[0]);
	shot_replace(s, open(path, O_PATH | O_CLOEXEC));
}

static void too_small(struct shot *s)
{
	shot_replace(s, memfd_with(s->size - 4096, GOOD_SEALS, 0));
}

static void too_large(struct shot *s)
{
	shot_replace(s, memfd_with(s->size + 4096, GOOD_SEALS, 0));
}

static void empty(struct shot *s)
{
	shot_replace(s, memfd_with(0, GOOD_SEALS, 0));
}

/* Nobody has ever touched a page of it. */
static void sparse(struct shot *s)
{
	shot_replace(s, memfd_with(s->size, GOOD_SEALS, 0));
}

static void larger_on_the_inside(void *region)
{
	struct shmux_region_header *h = region;

	h->arena_size += 4096;
}

static void header(struct shot *s)
{
	shot_replace(s, region_memfd(s, GOOD_SEALS, larger_on_the_inside));
}

static void no_credentials(struct shot *s)
{
	s->cred = false;
}

static int lingering_socket(struct shot *s)
{
	return stray_lingering(LINGER_SECONDS, &s->kept[s->nr_kept++]);
}

static void a_lingering_socket(struct shot *s)
{
	shot_replace(s, lingering_socket(s));
}

static void a_lingering_socket_beside(struct shot *s)
{
	s->fds[s->nr_fds++] = lingering_socket(s);
}

static void a_lingering_socket_behind_garbage(struct shot *s)
{
	garbage(s);
	s->later = lingering_socket(s);
}

static void a_lingering_socket_behind_it(struct shot *s)
{
	s->later = lingering_socket(s);
}

static void a_lingering_socket_with_an_urgent_byte(struct shot *s)
{
	s->later = lingering_socket(s);
	s->urgent = true;
}

/* --- a hello or an answer that is spoilt in one way ------------------------- */

FIXTURE(hostile)
{
	int nr_fds;
	struct victim victim;
	struct far far;
	struct shot shot;
	struct report before, after;
};

FIXTURE_VARIANT(hostile)
{
	void (*spoil)(struct shot * s);
	int error; /* what it ends with; 0: it is as good as any */
	bool late; /* but only when the region has been exchanged */
	const char *says; /* in the sentence of the log */
	enum kernel kernel;
};

#define HOSTILE(name, ...)                 \
	FIXTURE_VARIANT_ADD(hostile, name) \
	{                                  \
		.spoil = name, __VA_ARGS__ \
	}

#define BREACH .error = -EPROTO, .says = "it broke the protocol (EPROTO)"

HOSTILE(spoil_nothing, .error = 0);
HOSTILE(garbage, BREACH);
HOSTILE(half_a_message, BREACH);
HOSTILE(one_byte, BREACH);
HOSTILE(a_message_and_a_byte, BREACH);
HOSTILE(a_long_message, BREACH);
HOSTILE(magic, BREACH);
HOSTILE(version, .error = -EPROTONOSUPPORT, .says = "no version in common (EPROTONOSUPPORT)");
HOSTILE(kind, BREACH);
HOSTILE(reserved, BREACH);
HOSTILE(size_zero, BREACH);
HOSTILE(size_half_a_page, BREACH);
HOSTILE(size_huge, .error = -E2BIG, .says = "larger than the other takes (E2BIG)");
HOSTILE(size_max_tiny, .error = -E2BIG, .says = "larger than the other takes (E2BIG)");
HOSTILE(no_descriptor, BREACH);
HOSTILE(two_descriptors, BREACH);
HOSTILE(many_descriptors, BREACH);
HOSTILE(without_shrink, BREACH);
HOSTILE(without_grow, BREACH);
HOSTILE(without_future_write, BREACH);
HOSTILE(without_seal, BREACH);
HOSTILE(without_any, BREACH);
HOSTILE(more_seals, .error = 0);
HOSTILE(hugetlb, BREACH);
HOSTILE(plain_file, BREACH);
HOSTILE(a_pipe, BREACH);
HOSTILE(an_eventfd, BREACH);
HOSTILE(a_directory, BREACH);
HOSTILE(a_mere_path, BREACH);
HOSTILE(too_small, BREACH);
HOSTILE(too_large, BREACH);
HOSTILE(empty, BREACH);
HOSTILE(sparse, BREACH, .late = true);
HOSTILE(header, BREACH, .late = true);
HOSTILE(no_credentials, .error = 0);
HOSTILE(a_lingering_socket, BREACH);
HOSTILE(a_lingering_socket_beside, BREACH);
HOSTILE(a_lingering_socket_behind_garbage, BREACH);
HOSTILE(a_lingering_socket_behind_it, .error = 0);
HOSTILE(a_lingering_socket_with_an_urgent_byte, BREACH);

FIXTURE_VARIANT_ADD(hostile, a_lingering_socket_behind_it_on_linux_6_1){
	.spoil = a_lingering_socket_behind_it,
	.kernel = KERNEL_6_1,
};

FIXTURE_SETUP(hostile)
{
	self->nr_fds = process_nr_fds();
	name_make(self->victim.name);
	self->victim.kernel = variant->kernel;
}

FIXTURE_TEARDOWN(hostile)
{
	if (_metadata->aborted)
		far_kill(&self->far);
	EXPECT_EQ(0, far_stop(&self->far));
	while (self->shot.nr_kept)
		close(self->shot.kept[--self->shot.nr_kept]);
	if (!_metadata->aborted)
		EXPECT_EQ(self->nr_fds, process_nr_fds());
}

/* Have the shot ready. */
static void load(struct __test_metadata *_metadata, FIXTURE_DATA(hostile) * self,
		 void (*spoil)(struct shot *s), uint32_t kind)
{
	shot_init(&self->shot, kind);
	ASSERT_LE(0, self->shot.fds[0]);
	spoil(&self->shot);
}

/* An honest client asks the victim how it is; with 'q' it is the last one. */
static int ask(const char *name, char request, struct report *answer, uint64_t *took)
{
	struct shmux_dial_options options = {
		.size = sizeof(options),
		.deadline = shmux_now() + LONG_ENOUGH,
	};
	uint64_t start = shmux_now();
	struct shmux_context *context;
	struct shmux_stream *st;
	ssize_t n;
	int ret;

	ret = shmux_context_open(NULL, &context);
	if (ret)
		return ret;
	ret = shmux_context_dial(context, name, &options, &st);
	if (!ret) {
		struct iovec iov = { answer, sizeof(*answer) };

		shmux_stream_set_deadline(st, SHMUX_READ | SHMUX_WRITE, shmux_now() + LONG_ENOUGH);
		n = shmux_stream_write(st, &request, 1);
		if (n == 1)
			n = shmux_stream_recv(st, &iov, 1, SHMUX_WAITALL);
		ret = n < 0 ? (int)n : n == sizeof(*answer) ? 0 : -EIO;
		shmux_stream_close(st);
	}
	shmux_context_close(context);
	if (took)
		*took = shmux_now() - start;
	return ret;
}

/* The victim serves. */
static void serve(struct __test_metadata *_metadata, struct far *far, const struct victim *v)
{
	ASSERT_EQ(0, far_start(far, FAR_CHILD));
	ASSERT_EQ(0, far_call(far, side_listen, v, sizeof(*v), NULL, 0));
	far_begin(far, side_serve, NULL, 0, 0);
}

static void serve_no_more(struct __test_metadata *_metadata, struct far *far,
			  const struct victim *v)
{
	struct report last;

	ASSERT_EQ(0, ask(v->name, 'q', &last, NULL));
	EXPECT_EQ(0, far_finish(far, NULL));
}

/* It has as many descriptors and regions as before. */
static bool is_as_before(const char *name, const struct report *before, struct report *now)
{
	return !ask(name, 'r', now, NULL) && now->nr_fds == before->nr_fds &&
	       now->nr_maps == before->nr_maps;
}

static void check_said(struct __test_metadata *_metadata, const struct report *r, const char *says,
		       pid_t pid)
{
	char who[64];

	snprintf(who, sizeof(who), "with process %d of user %d: ", pid, geteuid());
	EXPECT_NE(NULL, strstr(r->sentence, who))
	{
		TH_LOG("it was '%s'", r->sentence);
	}
	EXPECT_NE(NULL, strstr(r->sentence, says))
	{
		TH_LOG("it was '%s'", r->sentence);
	}
}

TEST_F(hostile, hello_costs_its_own_connection_and_nothing_else)
{
	struct report during;
	struct message m;
	uint64_t start;
	int fd, memfd;

	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	load(_metadata, self, variant->spoil, HELLO);
	if (variant->spoil == hugetlb && !self->shot.nr_fds)
		SKIP(serve_no_more(_metadata, &self->far, &self->victim);
		     return, "the kernel knows no hugetlb memfd");
	fd = hand_connect(self->victim.name);
	ASSERT_LE(0, fd);
	start = shmux_now();
	ASSERT_EQ(0, shot_send_unseen(&self->shot, fd, self->far.pid));

	ASSERT_TRUE(hand_wait(fd));
	ASSERT_EQ(sizeof(m), hand_receive(fd, &m, &memfd));
	if (variant->error && !variant->late) {
		EXPECT_EQ(REFUSAL, m.kind);
		EXPECT_EQ(variant->error, m.status);
		EXPECT_EQ(-1, memfd);
	} else {
		EXPECT_EQ(ANSWER, m.kind);
		EXPECT_LE(0, memfd);
		close(memfd);
	}
	if (variant->error) {
		ASSERT_TRUE(hand_wait(fd));
		EXPECT_EQ(0, hand_receive(fd, &m, &memfd));
	}
	/* We are still there. */
	ASSERT_EQ(0, ask(self->victim.name, 'r', &during, NULL));
	EXPECT_GE(PROMPT, shmux_now() - start);
	close(fd);
	EXPECT_TRUE(wait_until(is_as_before(self->victim.name, &self->before, &self->after)))
	{
		TH_LOG("%d descriptors and %d regions at first, %d and %d at last",
		       self->before.nr_fds, self->before.nr_maps, self->after.nr_fds,
		       self->after.nr_maps);
	}
	EXPECT_EQ(0, self->after.nr_errors);
	EXPECT_EQ(variant->error ? 1 : 0, self->after.nr_sentences);
	if (variant->error)
		check_said(_metadata, &self->after, variant->says, getpid());
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(hostile, answer_is_refused_by_a_dialler_who_loses_nothing)
{
	struct victim *v = &self->victim;
	int listening, fd, memfd;
	struct message m;

	ASSERT_EQ(0, far_start(&self->far, FAR_CHILD));
	ASSERT_EQ(0,
		  far_call(&self->far, side_report, NULL, 0, &self->before, sizeof(self->before)));
	listening = hand_listen(v->name);
	ASSERT_LE(0, listening);
	far_begin(&self->far, side_dial, v, sizeof(*v), sizeof(self->after));
	fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_TRUE(hand_wait(fd));
	ASSERT_EQ(sizeof(m), hand_receive(fd, &m, &memfd));
	EXPECT_EQ(HELLO, m.kind);
	EXPECT_LE(0, memfd);
	close(memfd);
	load(_metadata, self, variant->spoil, ANSWER);
	if (variant->spoil == hugetlb && !self->shot.nr_fds)
		SKIP(close(fd); return, "the kernel knows no hugetlb memfd");
	ASSERT_EQ(0, shot_send_unseen(&self->shot, fd, self->far.pid));

	EXPECT_EQ(variant->error, far_finish(&self->far, &self->after));
	EXPECT_EQ(self->before.nr_fds, self->after.nr_fds);
	EXPECT_EQ(0, self->after.nr_maps);
	EXPECT_GE(PROMPT, self->after.took);
	EXPECT_EQ(variant->error ? 1 : 0, self->after.nr_sentences);
	if (variant->error)
		check_said(_metadata, &self->after, variant->says, getpid());
	close(fd);
	close(listening);
}

/* One end of a socket pair attaches; what comes of it. */
static void attach(struct __test_metadata *_metadata, FIXTURE_DATA(hostile) * self,
		   const FIXTURE_VARIANT(hostile) * variant, int type, enum shmux_role role)
{
	struct victim *v = &self->victim;
	int error = variant->error;
	struct message m;
	int fds[2], memfd;

	ASSERT_EQ(0, socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds));
	ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, fds[1], fds[0]));
	ASSERT_EQ(0,
		  far_call(&self->far, side_report, NULL, 0, &self->before, sizeof(self->before)));
	v->role = role;
	far_begin(&self->far, side_attach, v, sizeof(*v), sizeof(self->after));
	ASSERT_TRUE(far_wait_blocked(&self->far));
	if (role == SHMUX_ROLE_DIALLER) {
		ASSERT_EQ(sizeof(m), hand_receive(fds[0], &m, &memfd));
		close(memfd);
	}
	load(_metadata, self, variant->spoil, role == SHMUX_ROLE_DIALLER ? ANSWER : HELLO);
	if (type == SOCK_STREAM && self->shot.len > sizeof(m))
		error = 0; /* the first bells */
	ASSERT_EQ(0, shot_send_unseen(&self->shot, fds[0], self->far.pid));
	if (type == SOCK_STREAM && self->shot.len < sizeof(m)) {
		/* The rest may be on its way. */
		ASSERT_TRUE(far_wait_blocked(&self->far));
		close(fds[0]);
		fds[0] = -1;
		error = -ECONNRESET;
	}
	EXPECT_EQ(error, far_finish(&self->far, &self->after));
	EXPECT_EQ(self->before.nr_fds - 1, self->after.nr_fds);
	EXPECT_EQ(0, self->after.nr_maps);
	EXPECT_GE(PROMPT, self->after.took);
	if (error == variant->error && error)
		check_said(_metadata, &self->after, variant->says, getpid());
	EXPECT_EQ(0, far_stop(&self->far));
	if (fds[0] >= 0)
		close(fds[0]);
}

TEST_F(hostile, partner_on_a_socket_pair_is_refused_in_either_role)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };
	int fd;

	if (variant->spoil == hugetlb) {
		fd = memfd_with(2 << 20, GOOD_SEALS, MFD_HUGETLB);
		if (fd < 0)
			SKIP(return, "the kernel knows no hugetlb memfd");
		close(fd);
	}
	for (int i = 0; i < 2; i++) {
		attach(_metadata, self, variant, types[i], SHMUX_ROLE_ACCEPTOR);
		attach(_metadata, self, variant, types[i], SHMUX_ROLE_DIALLER);
	}
}

/* --- a memfd that changes while it is looked at ------------------------------ */

/* Set: the next fstat() of the library is the moment to shrink what it looks at. */
static bool shrink_at_fstat;

int fstat(int fd, struct stat *st)
{
	int ret = (int)syscall(SYS_newfstatat, fd, "", st, AT_EMPTY_PATH);

	if (shrink_at_fstat) {
		shrink_at_fstat = false;
		if (ftruncate(fd, 0) == 0)
			fcntl(fd, F_ADD_SEALS, GOOD_SEALS);
	}
	return ret;
}

TEST(memfd_that_shrinks_and_is_sealed_while_it_is_looked_at_is_refused)
{
	struct end acceptor;
	struct shot shot;
	int fds[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
	end_init(&acceptor, "acceptor");
	acceptor.params.peer_size_max = 256 << 20;
	ASSERT_EQ(0, end_open(&acceptor, fds[1], SHMUX_ROLE_ACCEPTOR));
	shot_init(&shot, HELLO);
	shot_replace(&shot, memfd_with(shot.size, 0, 0));
	ASSERT_EQ(0, shot_send(&shot, fds[0]));
	shrink_at_fstat = true;

	EXPECT_EQ(-EPROTO, end_step(&acceptor));
	end_close(&acceptor);
	close(fds[0]);
}

/* --- a listener among strangers --------------------------------------------- */

FIXTURE(crowd)
{
	int nr_fds;
	struct victim victim;
	struct far far;
	struct report before, after;
	int nr_children;
	pid_t children[8];
	uint32_t *go; /* shared with them: futex-free flags and counts */
};

FIXTURE_SETUP(crowd)
{
	self->nr_fds = process_nr_fds();
	name_make(self->victim.name);
	self->go = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->go);
}

FIXTURE_TEARDOWN(crowd)
{
	while (self->nr_children)
		kill_and_reap(self->children[--self->nr_children]);
	if (_metadata->aborted)
		far_kill(&self->far);
	if (self->far.pid)
		EXPECT_EQ(0, far_stop(&self->far));
	munmap(self->go, 4096);
	if (!_metadata->aborted)
		EXPECT_EQ(self->nr_fds, process_nr_fds());
}

/* A child that becomes @uid, if not 0, and does @job until it is killed. */
static void child_start(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) * self, uid_t uid,
			void (*job)(FIXTURE_DATA(crowd) * self))
{
	pid_t parent = getpid(), pid = fork();

	ASSERT_LE(0, pid);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		if (uid &&
		    (setgroups(0, NULL) || setresgid(uid, uid, uid) || setresuid(uid, uid, uid)))
			_exit(2);
		job(self);
		_exit(0);
	}
	self->children[self->nr_children++] = pid;
}

static uint32_t count(FIXTURE_DATA(crowd) * self)
{
	return __atomic_load_n(self->go, __ATOMIC_ACQUIRE);
}

static void count_one(FIXTURE_DATA(crowd) * self)
{
	__atomic_add_fetch(self->go, 1, __ATOMIC_ACQ_REL);
}

static void check_as_before(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) * self)
{
	EXPECT_TRUE(wait_until(is_as_before(self->victim.name, &self->before, &self->after)))
	{
		TH_LOG("%d descriptors and %d regions at first, %d and %d at last",
		       self->before.nr_fds, self->before.nr_maps, self->after.nr_fds,
		       self->after.nr_maps);
	}
}

/* An honest client is served at once, several times. */
static void check_served(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) * self)
{
	uint64_t took;

	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(0, ask(self->victim.name, 'r', &self->after, &took));
		EXPECT_GE(PROMPT, took);
	}
}

enum {
	SILENT = 300
};

static void let_go(int *fds, int nr)
{
	while (nr)
		close(fds[--nr]);
}

TEST_F(crowd, of_hundreds_that_connect_and_say_nothing_delays_nobody)
{
	int fds[SILENT];

	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	for (int i = 0; i < SILENT; i++) {
		fds[i] = hand_connect(self->victim.name);
		ASSERT_LE(0, fds[i]);
	}
	check_served(_metadata, self);
	/* No more of them are kept than a listener is to keep. */
	EXPECT_GE(self->before.nr_fds + 256, self->after.nr_fds);
	EXPECT_NE(NULL,
		  strstr(self->after.sentence, "it has said nothing for too long (ETIMEDOUT)"));
	let_go(fds, SILENT);
	check_as_before(_metadata, self);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, of_hundreds_that_say_hello_and_then_nothing_delays_nobody)
{
	struct shot shot;
	int fds[SILENT];

	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	for (int i = 0; i < SILENT; i++) {
		fds[i] = hand_connect(self->victim.name);
		ASSERT_LE(0, fds[i]);
		shot_init(&shot, HELLO);
		ASSERT_EQ(0, shot_send(&shot, fds[i]));
	}
	check_served(_metadata, self);
	let_go(fds, SILENT);
	check_as_before(_metadata, self);
	serve_no_more(_metadata, &self->far, &self->victim);
}

/* Connect, and keep as many as there may be silent ones, for ever. */
static void flood_silently(FIXTURE_DATA(crowd) * self)
{
	int fds[SILENT];

	for (int i = 0;; i = (i + 1) % SILENT) {
		if (count(self) >= SILENT)
			close(fds[i]);
		fds[i] = hand_connect(self->victim.name);
		if (fds[i] < 0)
			_exit(3);
		count_one(self);
	}
}

TEST_F(crowd, of_one_user_does_not_push_out_a_slow_client_of_another)
{
	struct message m;
	struct shot shot;
	int slow, memfd;

	if (geteuid())
		SKIP(return, "only root can be two users");
	self->victim.mode = 0602;
	serve(_metadata, &self->far, &self->victim);
	slow = hand_connect(self->victim.name);
	ASSERT_LE(0, slow);
	child_start(_metadata, self, NOBODY, flood_silently);
	ASSERT_TRUE(wait_until(count(self) >= 4 * SILENT));

	/* At last it has found the words. */
	shot_init(&shot, HELLO);
	ASSERT_EQ(0, shot_send(&shot, slow));
	ASSERT_TRUE(hand_wait(slow));
	ASSERT_EQ(sizeof(m), hand_receive(slow, &m, &memfd));
	EXPECT_EQ(ANSWER, m.kind);
	close(memfd);
	close(slow);
	kill_and_reap(self->children[--self->nr_children]);
	serve_no_more(_metadata, &self->far, &self->victim);
}

/* Connect and hang up, now and then with half a word. */
static void flood(FIXTURE_DATA(crowd) * self)
{
	for (;;) {
		int fd = hand_connect(self->victim.name);

		if (fd < 0)
			continue;
		count_one(self);
		if (count(self) % 3 == 0)
			send(fd, "garbage", 7, MSG_NOSIGNAL | MSG_DONTWAIT);
		close(fd);
	}
}

TEST_F(crowd, of_thousands_that_connect_and_hang_up_keeps_nobody_out)
{
	uint32_t thousands = effort_is_stress() ? 50000 : effort_count(5000);
	int64_t rss;
	uint64_t took;

	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	for (int i = 0; i < 4; i++)
		child_start(_metadata, self, 0, flood);
	ASSERT_TRUE(wait_until(count(self) > 100));
	rss = self->before.rss;
	while (count(self) < thousands) {
		ASSERT_EQ(0, ask(self->victim.name, 'r', &self->after, &took));
		EXPECT_GE(effort_bound(SEC), took);
		EXPECT_GE(self->before.nr_fds + 256, self->after.nr_fds);
	}
	while (self->nr_children)
		kill_and_reap(self->children[--self->nr_children]);
	check_as_before(_metadata, self);
	if (!process_is_sanitized())
		EXPECT_GE(rss + (4 << 20), self->after.rss);
	serve_no_more(_metadata, &self->far, &self->victim);
}

/* How many descriptors the victim has. */
static int nr_fds_there(FIXTURE_DATA(crowd) * self)
{
	char path[64];
	DIR *dir;
	int nr = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", self->far.pid);
	dir = opendir(path);
	while (dir && readdir(dir))
		nr++;
	if (dir)
		closedir(dir);
	return nr;
}

/* The victim serves, and has served; now nobody is there. */
static void serve_one(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) * self)
{
	int quiet;

	serve(_metadata, &self->far, &self->victim);
	ASSERT_TRUE(far_wait_blocked(&self->far));
	quiet = nr_fds_there(self);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	ASSERT_TRUE(wait_until(nr_fds_there(self) == quiet));
}

/* Let the victim open @spare descriptors more, or as many as it likes. */
static void limit_fds(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) * self, int spare)
{
	struct rlimit limit;
	int fd;

	ASSERT_EQ(0, prlimit(self->far.pid, RLIMIT_NOFILE, NULL, &limit));
	limit.rlim_cur = limit.rlim_max;
	if (spare >= 0) {
		char path[64];

		for (fd = 0; spare >= 0; fd++) {
			snprintf(path, sizeof(path), "/proc/%d/fd/%d", self->far.pid, fd);
			spare -= access(path, F_OK) != 0 && errno == ENOENT;
		}
		limit.rlim_cur = (rlim_t)fd - 1;
	}
	ASSERT_EQ(0, prlimit(self->far.pid, RLIMIT_NOFILE, &limit, NULL));
}

/* Share of a CPU that the victim takes for the next 200 ms, in percent. */
static uint64_t percent_of_cpu(FIXTURE_DATA(crowd) * self)
{
	struct timespec before, after;
	uint64_t start = shmux_now();
	clockid_t clock;

	clock_getcpuclockid(self->far.pid, &clock);
	clock_gettime(clock, &before);
	usleep(200000);
	clock_gettime(clock, &after);
	return ((uint64_t)(after.tv_sec - before.tv_sec) * SEC + (uint64_t)after.tv_nsec -
		(uint64_t)before.tv_nsec) *
	       100 / (shmux_now() - start);
}

TEST_F(crowd, of_silent_ones_makes_way_when_descriptors_run_out)
{
	int fds[20];

	serve_one(_metadata, self);
	limit_fds(_metadata, self, 10);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = hand_connect(self->victim.name);
		ASSERT_LE(0, fds[i]);
	}
	EXPECT_TRUE(wait_until(!ask(self->victim.name, 'r', &self->after, NULL)));
	EXPECT_EQ(0, self->after.nr_errors);
	let_go(fds, ARRAY_SIZE(fds));
	check_as_before(_metadata, self);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, of_silent_ones_makes_way_when_others_have_taken_every_descriptor)
{
	int fds[10], quiet;

	serve_one(_metadata, self);
	quiet = nr_fds_there(self);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = hand_connect(self->victim.name);
		ASSERT_LE(0, fds[i]);
	}
	ASSERT_TRUE(wait_until(nr_fds_there(self) == quiet + (int)ARRAY_SIZE(fds)));
	limit_fds(_metadata, self, 0);
	EXPECT_TRUE(wait_until(!ask(self->victim.name, 'r', &self->after, NULL)));
	let_go(fds, ARRAY_SIZE(fds));
	limit_fds(_metadata, self, -1);
	check_as_before(_metadata, self);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, of_hundreds_that_are_turned_away_does_not_fill_the_log)
{
	const unsigned int a_second = 16;
	unsigned int nr = 0, seconds;
	uint64_t begun = shmux_now();
	int fd;

	serve(_metadata, &self->far, &self->victim);
	do {
		for (int i = 0; i < 100; i++, nr++) {
			fd = hand_connect(self->victim.name);
			ASSERT_LE(0, fd);
			close(fd);
		}
		ASSERT_EQ(0, ask(self->victim.name, 'r', &self->after, NULL));
		seconds = (unsigned int)((shmux_now() - begun) / SEC) + 2;
		ASSERT_GE(seconds * a_second, (unsigned int)self->after.nr_sentences);
		/* When a second is over, it says how many it has not told of. */
	} while (!self->after.nr_untold && seconds < 12);
	EXPECT_LE(a_second, (unsigned int)self->after.nr_sentences);
	EXPECT_LT(0, self->after.nr_untold);
	EXPECT_GE(nr, self->after.nr_untold + (unsigned int)self->after.nr_sentences);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, of_sessions_that_takes_every_descriptor_is_told_so)
{
	struct message m;
	struct shot shot;
	int fds[20], nr = 0, memfd;

	serve_one(_metadata, self);
	limit_fds(_metadata, self, 10);
	do {
		ASSERT_GT((int)ARRAY_SIZE(fds), nr);
		fds[nr] = hand_connect(self->victim.name);
		ASSERT_LE(0, fds[nr]);
		shot_init(&shot, HELLO);
		ASSERT_EQ(0, shot_send(&shot, fds[nr]));
		ASSERT_TRUE(hand_wait(fds[nr]));
		ASSERT_EQ(sizeof(m), hand_receive(fds[nr], &m, &memfd));
		close(memfd);
		nr++;
	} while (m.kind == ANSWER);
	EXPECT_LE(3, nr);
	EXPECT_EQ(REFUSAL, m.kind);
	EXPECT_EQ(-EMFILE, m.status);
	let_go(fds, nr);
	check_as_before(_metadata, self);
	serve_no_more(_metadata, &self->far, &self->victim);
}

static void dial_and_count(FIXTURE_DATA(crowd) * self)
{
	struct report r;

	if (!ask(self->victim.name, 'r', &r, NULL))
		count_one(self);
}

TEST_F(crowd, at_the_door_of_a_listener_without_descriptors_waits_and_it_does_not_spin)
{
	serve_one(_metadata, self);
	limit_fds(_metadata, self, 0);
	child_start(_metadata, self, 0, dial_and_count);
	EXPECT_GE(CPU_MAX, percent_of_cpu(self));
	EXPECT_EQ(0, count(self));

	limit_fds(_metadata, self, -1);
	EXPECT_TRUE(wait_until(count(self) == 1));
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->after, NULL));
	EXPECT_LE(1, self->after.nr_errors);
	EXPECT_EQ(-EMFILE, self->after.error);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, at_the_door_of_a_listener_on_a_full_machine_does_not_make_it_spin)
{
	self->victim.no_accept = true;
	serve(_metadata, &self->far, &self->victim);
	child_start(_metadata, self, 0, dial_and_count);
	EXPECT_GE(CPU_MAX, percent_of_cpu(self));
	far_kill(&self->far);
}

TEST_F(crowd, at_the_door_of_a_listener_without_descriptors_does_not_make_an_event_loop_spin)
{
	struct pollfd ready = { .events = POLLIN };
	struct rlimit limit, none;
	struct shmux_listener *l;
	struct shmux_stream *st;
	int nr = 0, ret;
	uint64_t end;

	ASSERT_EQ(0, shmux_listener_open(self->victim.name, NULL, &l));
	ready.fd = shmux_listener_fd(l);
	child_start(_metadata, self, 0, dial_and_count);
	ASSERT_EQ(1, poll(&ready, 1, 10000));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &limit));
	none = limit;
	none.rlim_cur = 3; /* poll() wants as many as it is to look at */
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &none));
	EXPECT_EQ(-EMFILE, shmux_listener_accept(l, SHMUX_NOWAIT, &st));
	for (end = shmux_now() + 200 * MSEC; shmux_now() < end; nr++) {
		poll(&ready, 1, 50);
		do {
			ret = shmux_listener_accept(l, SHMUX_NOWAIT, &st);
		} while (!ret);
	}
	EXPECT_GE(40, nr);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	EXPECT_TRUE(wait_until(!shmux_listener_accept(l, SHMUX_NOWAIT, &st)));
	shmux_stream_close(st);
	shmux_listener_close(l);
}

/* --- a session whose peer sends what is no bell ----------------------------- */

static void lingering_bell(struct __test_metadata *_metadata, FIXTURE_DATA(crowd) * self,
			   enum kernel kernel)
{
	struct message m;
	struct shot shot;
	int fd, memfd;

	self->victim.kernel = kernel;
	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	fd = hand_connect(self->victim.name);
	ASSERT_LE(0, fd);
	shot_init(&shot, HELLO);
	shot.nr_kept = 0;
	ASSERT_EQ(0, shot_send(&shot, fd));
	ASSERT_TRUE(hand_wait(fd));
	ASSERT_EQ(sizeof(m), hand_receive(fd, &m, &memfd));
	EXPECT_EQ(ANSWER, m.kind);
	close(memfd);

	/* Several at once, and one that is still there when it hangs up. */
	for (int i = 0; i < 3; i++) {
		int socket = lingering_socket(&shot);
		int ret = hand_send(fd, "x", 1, &socket, 1, false);

		EXPECT_TRUE(ret == 0 || (ret == -EPERM && kernel == KERNEL_THIS));
		if (ret)
			shmux__stray_close(socket);
		else
			close(socket);
		if (i == 1)
			check_served(_metadata, self);
	}
	close(fd);
	check_served(_metadata, self);
	check_as_before(_metadata, self);
	let_go(shot.kept, shot.nr_kept);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, with_a_peer_whose_bell_brings_a_lingering_socket_is_not_held_up)
{
	lingering_bell(_metadata, self, KERNEL_THIS);
}

TEST_F(crowd, with_a_peer_whose_bell_brings_a_lingering_socket_is_not_held_up_on_linux_6_1)
{
	lingering_bell(_metadata, self, KERNEL_6_1);
}

TEST_F(crowd, that_a_listener_never_accepted_does_not_hold_up_its_close)
{
	struct shmux_listener *l;
	struct shot shot;
	uint64_t start;
	int fd;

	ASSERT_EQ(0, shmux_listener_open(self->victim.name, NULL, &l));
	fd = hand_connect(self->victim.name);
	ASSERT_LE(0, fd);
	shot_init(&shot, HELLO);
	shot.nr_kept = 0;
	a_lingering_socket(&shot);
	ASSERT_EQ(0, shot_send(&shot, fd));
	start = shmux_now();
	shmux_listener_close(l);
	EXPECT_GE(PROMPT, shmux_now() - start);
	close(fd);
	let_go(shot.kept, shot.nr_kept);
}

/* --- a socket that somebody else has too ------------------------------------- */

/* Whatever can be set on the socket that the victim and we share. */
static void meddle(int fd)
{
	static const struct timeval never;
	const int one = 1, most = 1 << 20;

	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &most, sizeof(most));
	setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &never, sizeof(never));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &never, sizeof(never));
}

/* Fill what the victim would write into. */
static void fill(int fd)
{
	while (send(fd, "x", 1, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

static int64_t side_attach_soon(struct side *side)
{
	const struct victim *v = side->in;
	struct shmux_session *session = NULL;
	uint64_t deadline = shmux_now() + 50 * MSEC;
	int ret, fd = side->fd;

	side->fd = -1;
	ret = shmux_session_attach(fd, v->role, &logged, deadline, &session);
	own.took = shmux_now() - deadline;
	shmux_session_close(session, 0);
	side_report(side);
	return ret;
}

TEST_F(crowd,
       that_shares_our_socket_and_made_it_blocking_and_full_cannot_hold_us_beyond_the_deadline)
{
	static const int types[] = { SOCK_SEQPACKET, SOCK_STREAM };

	for (int i = 0; i < 8; i++) {
		int fds[2], shared;

		ASSERT_EQ(0, socketpair(AF_UNIX, types[i & 1] | SOCK_CLOEXEC, 0, fds));
		shared = dup(fds[1]);
		ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, fds[1], fds[0]));
		meddle(shared);
		if (i & 2)
			fill(shared);
		self->victim.role = i & 4 ? SHMUX_ROLE_ACCEPTOR : SHMUX_ROLE_DIALLER;
		if (self->victim.role == SHMUX_ROLE_ACCEPTOR) {
			struct shot shot;

			shot_init(&shot, HELLO);
			ASSERT_EQ(0, shot_send(&shot, fds[0]));
		}
		far_begin(&self->far, side_attach_soon, &self->victim, sizeof(self->victim),
			  sizeof(self->after));
		/* What it writes when it can, and what it would read, is gone. */
		EXPECT_EQ(self->victim.role == SHMUX_ROLE_ACCEPTOR && !(i & 2) ? 0 : -ETIMEDOUT,
			  far_finish(&self->far, &self->after));
		EXPECT_GE((int64_t)effort_bound(100 * MSEC), (int64_t)self->after.took);
		EXPECT_EQ(0, far_stop(&self->far));
		close(shared);
		close(fds[0]);
	}
}

/* Echo in an event loop, as one who sleeps for bells by socket. */
static int64_t side_stay(struct side *side)
{
	struct pollfd ready = { .events = POLLIN };
	const struct victim *v = side->in;
	struct shmux_session *session;
	struct shmux_stream *st = NULL;
	int fd = side->fd;
	char byte;

	side->fd = -1;
	SIDE_EQ(0, shmux_session_attach(fd, v->role, NULL, shmux_now() + LONG_ENOUGH, &session));
	ready.fd = shmux_session_fd(session);
	while (shmux_session_state(session) != SHMUX_SESSION_DEAD) {
		/* Bells that do not fit are not needed: there is one unread. */
		SIDE_EQ(1, poll(&ready, 1, 10000));
		session_pump(session);
		if (!st)
			shmux_session_accept(session, SHMUX_NOWAIT, &st);
		while (st && shmux_stream_try_read(st, &byte, 1) == 1)
			SIDE_EQ(1, shmux_stream_write(st, &byte, 1));
	}
	shmux_stream_close(st);
	shmux_session_close(session, 0);
	return 0;
}

TEST_F(crowd, that_shares_our_socket_cannot_make_a_bell_block)
{
	struct shmux_session *near;
	struct shmux_stream *st;
	int fds[2], shared;
	char byte = 0;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
	shared = dup(fds[0]);
	ASSERT_EQ(0, far_start_with(&self->far, FAR_CHILD, fds[1], fds[0]));
	self->victim.role = SHMUX_ROLE_ACCEPTOR;
	far_begin(&self->far, side_stay, &self->victim, sizeof(self->victim), 0);
	ASSERT_EQ(0, shmux_session_attach(fds[0], SHMUX_ROLE_DIALLER, NULL,
					  shmux_now() + LONG_ENOUGH, &near));
	ASSERT_EQ(0, shmux_session_open(near, 0, &st));
	meddle(shared);
	for (int i = 0; i < 20; i++) {
		int status;

		/* It sleeps for a bell by socket, and takes none. */
		ASSERT_TRUE(far_wait_blocked(&self->far));
		kill(self->far.pid, SIGSTOP);
		waitpid(self->far.pid, &status, WUNTRACED);
		fill(shared);
		ASSERT_EQ(1, shmux_stream_write(st, &byte, 1));
		kill(self->far.pid, SIGCONT);
		ASSERT_EQ(1, shmux_stream_read(st, &byte, 1));
	}
	shmux_stream_close(st);
	shmux_session_close(near, 0);
	EXPECT_EQ(0, far_finish(&self->far, NULL));
	close(shared);
}

/* --- who it is that speaks --------------------------------------------------- */

/* Say hello on @fd. Return: 0, or the errno that we are told. */
static int hello_as_we_are(int fd)
{
	struct message m;
	struct shot shot;
	int memfd;

	shot_init(&shot, HELLO);
	if (shot_send(&shot, fd) || !hand_wait(fd) || hand_receive(fd, &m, &memfd) != sizeof(m))
		return 101;
	return m.kind == ANSWER ? 0 : -m.status;
}

/* Have a child of user @uid and group @gid say hello on @fd; what is it told? */
static int hello_by(struct __test_metadata *_metadata, int fd, uid_t uid, gid_t gid)
{
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
			_exit(100);
		_exit(hello_as_we_are(fd));
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST_F(crowd, that_speaks_over_the_socket_of_one_who_is_admitted_is_judged_by_its_own_user)
{
	int fd;

	if (geteuid())
		SKIP(return, "only root can be two users");
	serve(_metadata, &self->far, &self->victim);
	fd = hand_connect(self->victim.name); /* by root, who is admitted */
	ASSERT_LE(0, fd);
	EXPECT_EQ(EACCES, hello_by(_metadata, fd, NOBODY, NOBODY));
	close(fd);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->after, NULL));
	EXPECT_NE(NULL, strstr(self->after.sentence, "we do not admit that user (EACCES)"))
	{
		TH_LOG("it was '%s'", self->after.sentence);
	}
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, that_speaks_over_the_socket_of_a_member_is_not_a_member)
{
	const gid_t member = OTHER;
	pid_t child;
	int fds[2], status, fd, memfd;
	struct message m;
	char byte;

	if (geteuid())
		SKIP(return, "only root can be two users");
	self->victim.mode = 0620;
	self->victim.gid = OTHER;
	serve(_metadata, &self->far, &self->victim);

	/* A member by its supplementary groups is admitted. */
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (setgroups(1, &member) || setresgid(NOBODY, NOBODY, NOBODY) ||
		    setresuid(NOBODY, NOBODY, NOBODY))
			_exit(100);
		fd = hand_connect(self->victim.name);
		_exit(fd < 0 ? 101 : hello_as_we_are(fd));
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);

	/* Whom it hands its socket to is not. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (setgroups(1, &member) || setresgid(NOBODY, NOBODY, NOBODY) ||
		    setresuid(NOBODY, NOBODY, NOBODY))
			_exit(100);
		fd = hand_connect(self->victim.name);
		if (fd < 0 || hand_send(fds[1], "x", 1, &fd, 1, false) || read(fds[1], &byte, 1))
			_exit(101);
		_exit(0);
	}
	ASSERT_TRUE(hand_wait(fds[0]));
	ASSERT_EQ(1, hand_receive(fds[0], &m, &memfd));
	EXPECT_EQ(EACCES, hello_by(_metadata, memfd, NOBODY, NOBODY));
	close(memfd);
	close(fds[0]);
	close(fds[1]);
	kill_and_reap(child);
	serve_no_more(_metadata, &self->far, &self->victim);
}

TEST_F(crowd, that_claims_to_be_another_is_stopped_by_the_kernel)
{
	struct ucred claims[3];
	struct shot shot;
	int status, fd;
	pid_t child;

	serve(_metadata, &self->far, &self->victim);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (!geteuid() && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
				   setresuid(NOBODY, NOBODY, NOBODY)))
			_exit(100);
		for (int i = 0; i < 3; i++)
			claims[i] = (struct ucred){ getpid(), geteuid(), getegid() };
		claims[0].pid = getppid();
		claims[1].uid = 0;
		claims[2].gid = 0;
		for (int i = 0; i < 3; i++) {
			fd = hand_connect(self->victim.name);
			shot_init(&shot, HELLO);
			shot.as = &claims[i];
			if (shot_send(&shot, fd) != -EPERM)
				_exit(i + 1);
		}
		_exit(0);
	}
	waitpid(child, &status, 0);
	EXPECT_EQ(0, status);
	serve_no_more(_metadata, &self->far, &self->victim);
}

static void sleep_on(FIXTURE_DATA(crowd) * self)
{
	(void)self;
	for (;;)
		pause();
}

TEST_F(crowd, of_root_that_claims_to_be_another_process_ends_with_that_process)
{
	struct ucred claim = { .uid = geteuid(), .gid = getegid() };
	struct message m;
	struct shot shot;
	int fd, memfd;

	if (geteuid())
		SKIP(return, "only root can claim it");
	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	child_start(_metadata, self, 0, sleep_on);
	fd = hand_connect(self->victim.name);
	ASSERT_LE(0, fd);
	shot_init(&shot, HELLO);
	claim.pid = self->children[0];
	shot.as = &claim;
	ASSERT_EQ(0, shot_send(&shot, fd));
	ASSERT_TRUE(hand_wait(fd));
	ASSERT_EQ(sizeof(m), hand_receive(fd, &m, &memfd));
	EXPECT_EQ(ANSWER, m.kind);
	close(memfd);

	kill_and_reap(self->children[--self->nr_children]);
	ASSERT_TRUE(hand_wait(fd));
	EXPECT_EQ(0, hand_receive(fd, &m, &memfd));
	close(fd);
	check_as_before(_metadata, self);
	serve_no_more(_metadata, &self->far, &self->victim);
}

/* --- a squatter on the name --------------------------------------------------- */

/* Take the name and answer whoever comes; or do not. */
static void squat(FIXTURE_DATA(crowd) * self, bool answer)
{
	int listening = hand_listen(self->victim.name), fd, memfd;
	struct message m;
	struct shot shot;

	count_one(self);
	while (answer) {
		fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
		hand_wait(fd);
		hand_receive(fd, &m, &memfd);
		close(memfd);
		shot_init(&shot, ANSWER);
		shot_send(&shot, fd);
		hand_wait(fd);
		close(fd);
	}
	pause();
}

static void squat_and_answer(FIXTURE_DATA(crowd) * self)
{
	squat(self, true);
}

static void squat_in_silence(FIXTURE_DATA(crowd) * self)
{
	squat(self, false);
}

TEST_F(crowd, that_squats_on_a_name_finds_no_dialler_if_it_is_another_users)
{
	struct shmux_session *session;
	struct shmux_listener *l;
	char who[100];

	if (geteuid())
		SKIP(return, "only root can be two users");
	ASSERT_EQ(0, far_start(&self->far, FAR_CHILD));
	child_start(_metadata, self, NOBODY, squat_and_answer);
	ASSERT_TRUE(wait_until(count(self)));

	EXPECT_EQ(-EADDRINUSE, shmux_listener_open(self->victim.name, NULL, &l));
	EXPECT_EQ(-EACCES, far_call(&self->far, side_dial, &self->victim, sizeof(self->victim),
				    &self->after, sizeof(self->after)));
	snprintf(who, sizeof(who),
		 "with process %d of user %d: we accept no listener of that user "
		 "(EACCES)",
		 self->children[0], NOBODY);
	EXPECT_NE(NULL, strstr(self->after.sentence, who))
	{
		TH_LOG("it was '%s'", self->after.sentence);
	}
	EXPECT_EQ(0, self->after.nr_maps);
	EXPECT_EQ(-EACCES,
		  shmux_session_dial(self->victim.name, NULL, shmux_now() + LONG_ENOUGH, &session));
}

TEST_F(crowd, that_squats_on_a_name_and_says_nothing_holds_a_dialler_no_longer_than_it_wants)
{
	struct shmux_session *s;
	uint64_t deadline;

	child_start(_metadata, self, 0, squat_in_silence);
	ASSERT_TRUE(wait_until(count(self)));
	/* Until its backlog is full, and when it is. */
	for (int i = 0; i < 12; i++) {
		deadline = shmux_now() + 5 * MSEC;
		EXPECT_EQ(-ETIMEDOUT, shmux_session_dial(self->victim.name, NULL, deadline, &s));
		EXPECT_GE(deadline + effort_bound(100 * MSEC), shmux_now());
	}
}

TEST_HARNESS_MAIN
