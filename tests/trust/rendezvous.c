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
#include <grp.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include "kselftest_harness.h"

#include "../unit/meeting.h"
#include "effort.h"
#include "far.h"
#include "link/shm.h"
#include "process.h"

#define NOBODY 65534
#define OTHER 12345

/* An honest client is to be served within this, whatever others do. */
#define PROMPT effort_bound(200 * MSEC)

/* How long a close waits that is not made harmless. */
#define LINGER_SECONDS 4

/* --- what a process has to say about itself ------------------------------- */

struct report {
	int nr_fds;
	int nr_maps; /* of regions */
	uint64_t cpu; /* ns that the process has run */
	uint64_t took; /* ns that its last call has taken */
	int nr_errors; /* of accept, and the last one */
	int error;
	int nr_sentences; /* that say why there is no session, and the last one */
	char sentence[256];
};

static struct report own;

static void note_sentence(void *arg, enum shmux_log_level level, const char *sentence)
{
	(void)arg;
	(void)level;
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
	struct timespec ts;

	own.nr_fds = process_nr_fds();
	own.nr_maps = nr_maps();
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	own.cpu = (uint64_t)ts.tv_sec * SEC + (uint64_t)ts.tv_nsec;
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
	int spare_fds; /* how many it may open, if not 0 */
	bool no_accept; /* the kernel has no file left for what it accepts */
	enum shmux_role role; /* of who attaches */
};

static const struct shmux_session_options logged = {
	.size = sizeof(logged),
	.log = note_sentence,
};

static int limit_fds(int spare)
{
	struct rlimit limit;
	int fd = dup(0);

	if (fd < 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	close(fd);
	limit.rlim_cur = (rlim_t)(fd + spare);
	return setrlimit(RLIMIT_NOFILE, &limit) ? -errno : 0;
}

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
	if (v->no_accept)
		SIDE_EQ(0, forbid_accept());
	return v->spare_fds ? limit_fds(v->spare_fds) : 0;
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
	struct shmux__shm_sizes sizes;
	uint32_t size;
	int later; /* a descriptor in a packet of its own, or -1 */
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
	shmux__shm_format(&s->sizes, p);
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

/* Fire, keeping nothing. */
static int shot_send(struct shot *s, int fd)
{
	int ret = hand_send(fd, &s->m, s->len, s->fds, s->nr_fds, s->cred);

	while (s->nr_fds)
		close(s->fds[--s->nr_fds]);
	/* It may have been hung up on, or forbidden, already. */
	if (s->later >= 0) {
		hand_send(fd, "x", 1, &s->later, 1, false);
		close(s->later);
	}
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

/* A TCP socket whose last close waits until somebody reads, who never will. */
static int lingering_socket(struct shot *s)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct linger linger = { 1, LINGER_SECONDS };
	static const char bytes[65536];
	socklen_t len = sizeof(addr);
	int fd, listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (bind(listening, (struct sockaddr *)&addr, len) || listen(listening, 1) ||
	    getsockname(listening, (struct sockaddr *)&addr, &len))
		return -1;
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(fd, (struct sockaddr *)&addr, len))
		return -1;
	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	s->kept[s->nr_kept++] = listening;
	return fd;
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
	uint64_t took;
	int fd, memfd;

	serve(_metadata, &self->far, &self->victim);
	ASSERT_EQ(0, ask(self->victim.name, 'r', &self->before, NULL));
	load(_metadata, self, variant->spoil, HELLO);
	if (variant->spoil == hugetlb && !self->shot.nr_fds)
		SKIP(serve_no_more(_metadata, &self->far, &self->victim);
		     return, "the kernel knows no hugetlb memfd");
	fd = hand_connect(self->victim.name);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, shot_send(&self->shot, fd));

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
	ASSERT_EQ(0, ask(self->victim.name, 'r', &during, &took));
	EXPECT_GE(PROMPT, took);
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
	ASSERT_EQ(0, shot_send(&self->shot, fd));

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
	ASSERT_EQ(0, shot_send(&self->shot, fds[0]));
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

TEST_HARNESS_MAIN
