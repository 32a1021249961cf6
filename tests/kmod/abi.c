// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * abi.c - what every request of /dev/shmux has in common
 *
 * The form of its argument, tried one field at a time with the rest as it should
 * be; and in which state of a file it makes sense. Needs nothing but uapi, so
 * that it can be built for 32 bits as well.
 */
#include <assert.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <sys/resource.h>

#include "device.h"

static_assert(sizeof(struct shmux_ioc_create) == 24, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_listen) == 96, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_connect) == 88, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_accept) == 24, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_pair) == 16, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_meet) == 24, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_peer) == 40, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_wait) == 24, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_eventfd) == 16, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_adopt) == 8, "the same for 32 and 64 bits");
static_assert(sizeof(struct shmux_ioc_hang_up) == 8, "the same for 32 and 64 bits");

#define NR_MAX 0x0b /* the last request that there is */

static int nr_fds(void)
{
	int nr = 0;

	for (int fd = 0; fd < 256; fd++)
		nr += fcntl(fd, F_GETFD) >= 0;
	return nr;
}

/* The file that is asked, and those that make its state. */
struct scene {
	int fd;
	int others[3]; /* or -1 */
};

static void scene_close(struct scene *s)
{
	close(s->fd);
	for (int i = 0; i < 3; i++)
		if (s->others[i] >= 0)
			close(s->others[i]);
}

static int scene_fresh(struct scene *s)
{
	s->fd = device_open();
	return s->fd < 0 ? s->fd : 0;
}

static int scene_listener(struct scene *s)
{
	s->fd = listener_new(name_new());
	return s->fd < 0 ? s->fd : 0;
}

static int scene_pair(struct scene *s)
{
	struct ends ends;
	int err = ends_pair(&ends);

	s->fd = ends.near;
	s->others[0] = ends.far;
	return err;
}

static int scene_pair_with_region(struct scene *s)
{
	int err = scene_pair(s);

	return err ? err : end_create(s->fd);
}

static int scene_region(struct scene *s)
{
	s->fd = end_new();
	return s->fd < 0 ? s->fd : 0;
}

static int scene_queued(struct scene *s)
{
	const char *name = name_new();

	s->others[0] = listener_new(name);
	s->fd = end_new_queued(name, NO_WAIT);
	return s->fd < 0 ? s->fd : 0;
}

/* Its connector is ready, and it has no region. */
static int scene_accepted(struct scene *s)
{
	const char *name = name_new();

	s->others[0] = listener_new(name);
	s->others[1] = end_new_queued(name, NO_WAIT);
	s->fd = listener_accept(s->others[0], NO_WAIT);
	return s->fd < 0 ? s->fd : 0;
}

static int scene_met(struct scene *s)
{
	struct ends ends;
	int err = ends_dial(&ends);

	s->fd = ends.near;
	s->others[0] = ends.far;
	return err;
}

static int scene_dead(struct scene *s)
{
	int err = scene_met(s);

	if (!err)
		err = file_hang_up(s->others[0]);
	return err;
}

static int scene_hung_up(struct scene *s)
{
	int err = scene_met(s);

	return err ? err : file_hang_up(s->fd);
}

/* In the queue of a listener that is no more. */
static int scene_forsaken(struct scene *s)
{
	int err = scene_queued(s);

	return err ? err : file_hang_up(s->others[0]);
}

static int scene_closed_listener(struct scene *s)
{
	int err = scene_listener(s);

	return err ? err : file_hang_up(s->fd);
}

static int scene_refused(struct scene *s)
{
	int err = scene_accepted(s), fd = s->fd;

	s->fd = s->others[1];
	s->others[1] = fd;
	if (!err)
		err = end_refuse(fd, EACCES);
	return err;
}

static int scene_make(struct scene *s, int (*make)(struct scene *))
{
	*s = (struct scene){ .fd = -1, .others = { -1, -1, -1 } };
	return make(s);
}

/* --- the form of an argument ------------------------------------------------- */

FIXTURE(argument)
{
	struct scene scene;
	char known[128]; /* what should be said */
	char *page; /* where it is said: at the end of a page; no next one */
};

FIXTURE_VARIANT(argument)
{
	unsigned long nr;
	uint32_t size;
	uint32_t flags; /* that there are */
	int pad; /* where it is, or 0: there is none */
	bool tells; /* something comes back that the caller must have */
	int (*arrange)(struct scene * scene, void *arg);
};

/* Each: make a file that can be asked, and fill in what to ask. */
static int arrange_create(struct scene *s, void *arg)
{
	*(struct shmux_ioc_create *)arg =
		ARG(create, .region_size = PAGE, .peer_size_max = ANY_SIZE);
	return scene_make(s, scene_fresh);
}

static int arrange_listen(struct scene *s, void *arg)
{
	*(struct shmux_ioc_listen *)arg = listen_arg(name_new(), 1, EVERYBODY);
	return scene_make(s, scene_fresh);
}

static int arrange_connect(struct scene *s, void *arg)
{
	struct shmux_ioc_connect *connect = arg;
	const char *name = name_new();
	int err = scene_make(s, scene_region);

	s->others[0] = listener_new(name);
	*connect = ARG(connect);
	strcpy((char *)connect->name, name);
	return err;
}

static int arrange_accept(struct scene *s, void *arg)
{
	int err = scene_make(s, scene_queued), fd = s->fd;

	s->fd = s->others[0];
	s->others[0] = fd;
	*(struct shmux_ioc_accept *)arg = ARG(accept);
	return err;
}

static int arrange_pair(struct scene *s, void *arg)
{
	*(struct shmux_ioc_pair *)arg = ARG(pair);
	return scene_make(s, scene_fresh);
}

static int arrange_meet(struct scene *s, void *arg)
{
	int err = scene_make(s, scene_accepted);

	*(struct shmux_ioc_meet *)arg = ARG(meet);
	return err ? err : end_create(s->fd);
}

static int arrange_peer(struct scene *s, void *arg)
{
	*(struct shmux_ioc_peer *)arg = ARG(peer);
	return scene_make(s, scene_pair);
}

static int arrange_wait(struct scene *s, void *arg)
{
	int err = scene_make(s, scene_pair);

	*(struct shmux_ioc_wait *)arg = ARG(wait);
	return err ? err : end_kick(s->others[0]);
}

static int arrange_eventfd(struct scene *s, void *arg)
{
	int err = scene_make(s, scene_pair);

	s->others[1] = eventfd(0, EFD_CLOEXEC);
	*(struct shmux_ioc_eventfd *)arg = ARG(eventfd, .fd = s->others[1]);
	return err;
}

static int arrange_adopt(struct scene *s, void *arg)
{
	*(struct shmux_ioc_adopt *)arg = ARG(adopt);
	return scene_make(s, scene_pair);
}

static int arrange_hang_up(struct scene *s, void *arg)
{
	*(struct shmux_ioc_hang_up *)arg = ARG(hang_up);
	return scene_make(s, scene_pair);
}

#define REQUEST(number, type) \
	.nr = number, .size = sizeof(struct shmux_ioc_##type), .arrange = arrange_##type
#define PAD(type) .pad = offsetof(struct shmux_ioc_##type, pad)
/* The name is followed by bytes that cannot belong to it. */
#define NAME_PAD(type) .pad = offsetof(struct shmux_ioc_##type, name) + SHMUX_NAME_SIZE - 1

FIXTURE_VARIANT_ADD(argument, create){ REQUEST(SHMUX_IOC_CREATE, create), PAD(create) };
FIXTURE_VARIANT_ADD(argument, listen){ REQUEST(SHMUX_IOC_LISTEN, listen), NAME_PAD(listen),
				       .flags = SHMUX_LISTEN_UID | SHMUX_LISTEN_GID };
FIXTURE_VARIANT_ADD(argument, connect){ REQUEST(SHMUX_IOC_CONNECT, connect), NAME_PAD(connect),
					.tells = true };
FIXTURE_VARIANT_ADD(argument, accept){ REQUEST(SHMUX_IOC_ACCEPT, accept), PAD(accept),
				       .tells = true };
FIXTURE_VARIANT_ADD(argument, pair){ REQUEST(SHMUX_IOC_PAIR, pair), PAD(pair), .tells = true };
FIXTURE_VARIANT_ADD(argument, meet){ REQUEST(SHMUX_IOC_MEET, meet), .tells = true };
FIXTURE_VARIANT_ADD(argument, peer){ REQUEST(SHMUX_IOC_PEER, peer), PAD(peer), .tells = true };
FIXTURE_VARIANT_ADD(argument, wait){ REQUEST(SHMUX_IOC_WAIT, wait), .flags = SHMUX_WAIT_KICK,
				     .tells = true };
FIXTURE_VARIANT_ADD(argument, eventfd){ REQUEST(SHMUX_IOC_EVENTFD, eventfd), PAD(eventfd) };
FIXTURE_VARIANT_ADD(argument, adopt){ REQUEST(SHMUX_IOC_ADOPT, adopt) };
FIXTURE_VARIANT_ADD(argument, hang_up){ REQUEST(SHMUX_IOC_HANG_UP, hang_up) };

FIXTURE_SETUP(argument)
{
	ASSERT_EQ(0, variant->arrange(&self->scene, self->known));
	self->page =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	ASSERT_EQ(0, mprotect(self->page + PAGE, PAGE, PROT_NONE));
}

FIXTURE_TEARDOWN(argument)
{
	munmap(self->page, 2 * PAGE);
	scene_close(&self->scene);
}

/* What is known, with room for a tail of @tail bytes, up to the end of the page. */
static void *put(FIXTURE_DATA(argument) * self, const FIXTURE_VARIANT(argument) * variant,
		 uint32_t tail)
{
	char *arg = self->page + PAGE - variant->size - tail;

	memcpy(arg, self->known, variant->size);
	memset(arg + variant->size, 0, tail);
	*(uint32_t *)arg = variant->size + tail;
	return arg;
}

/* Ask, and take what comes. */
static int ask(FIXTURE_DATA(argument) * self, const FIXTURE_VARIANT(argument) * variant, void *arg)
{
	int err = request(self->scene.fd, variant->nr, arg);

	if (!err && variant->nr == SHMUX_IOC_ACCEPT)
		close(((struct shmux_ioc_accept *)arg)->fd);
	if (!err && variant->nr == SHMUX_IOC_PAIR)
		close(((struct shmux_ioc_pair *)arg)->fd);
	return err;
}

/* After whatever was refused, what should be said is not. */
#define EXPECT_STILL_ANSWERED() EXPECT_EQ(0, ask(self, variant, put(self, variant, 0)))

TEST_F(argument, too_small_is_refused)
{
	const uint32_t sizes[] = { 0, 1, 4, variant->size - 4, variant->size - 1 };

	for (int i = 0; i < 5; i++) {
		char *arg = put(self, variant, 0);

		*(uint32_t *)arg = sizes[i];
		EXPECT_EQ(-EINVAL, ask(self, variant, arg))
		{
			TH_LOG("size %u", sizes[i]);
		}
	}
	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, larger_is_taken_if_it_says_no_more)
{
	EXPECT_EQ(0, ask(self, variant, put(self, variant, 64)));
}

TEST_F(argument, larger_by_one_byte_is_taken_if_it_says_no_more)
{
	EXPECT_EQ(0, ask(self, variant, put(self, variant, 1)));
}

TEST_F(argument, what_is_said_beyond_it_is_refused)
{
	const uint32_t tails[] = { 1, 4, 7, 8, 64 };

	for (int i = 0; i < 5; i++) {
		for (uint32_t at = 0; at < tails[i]; at++) {
			char *arg = put(self, variant, tails[i]);

			arg[variant->size + at] = 1;
			EXPECT_EQ(-E2BIG, ask(self, variant, arg))
			{
				TH_LOG("byte %u of a tail of %u", at, tails[i]);
			}
		}
	}
	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, what_comes_back_leaves_the_tail_alone)
{
	char tail[64] = { 0 };
	char *arg = put(self, variant, sizeof(tail));

	ASSERT_EQ(0, ask(self, variant, arg));

	EXPECT_EQ(variant->size + sizeof(tail), *(uint32_t *)arg);
	EXPECT_EQ(0, memcmp(tail, arg + variant->size, sizeof(tail)));
}

TEST_F(argument, flag_that_there_is_not_is_refused)
{
	for (int bit = 0; bit < 32; bit++) {
		uint32_t *arg = put(self, variant, 0);

		if (variant->flags & (1u << bit))
			continue;
		arg[1] = 1u << bit;
		EXPECT_EQ(-EINVAL, ask(self, variant, arg))
		{
			TH_LOG("flag %#x", arg[1]);
		}
	}
	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, padding_is_zero)
{
	char *arg = put(self, variant, 0);

	if (!variant->pad)
		SKIP(return, "this one has no padding");
	arg[variant->pad] = 1;
	EXPECT_EQ(-EINVAL, ask(self, variant, arg));
	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, not_our_memory_is_refused)
{
	char *beyond = self->page + PAGE;
	char *arg = put(self, variant, 0);

	EXPECT_EQ(-EFAULT, ask(self, variant, NULL));
	EXPECT_EQ(-EFAULT, ask(self, variant, beyond));
	EXPECT_EQ(-EFAULT, ask(self, variant, (void *)(UINTPTR_MAX - 4095)));

	/* The last word, the first word and the tail of it. */
	memmove(arg + 4, arg, variant->size - 4);
	EXPECT_EQ(-EFAULT, ask(self, variant, arg + 4));
	*(uint32_t *)(beyond - 4) = variant->size;
	EXPECT_EQ(-EFAULT, ask(self, variant, beyond - 4));
	*(uint32_t *)put(self, variant, 0) = variant->size + 8;
	EXPECT_EQ(-EFAULT, ask(self, variant, arg));

	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, where_nothing_can_come_back_nothing_is_done)
{
	int fds = nr_fds();
	void *arg = put(self, variant, 0);

	if (!variant->tells)
		SKIP(return, "this one tells nothing");
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, ask(self, variant, arg));
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ | PROT_WRITE));

	EXPECT_EQ(fds, nr_fds());
	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, where_only_the_size_can_come_back_nothing_is_done)
{
	int fds = nr_fds();
	char *arg = self->page + PAGE - sizeof(uint32_t);

	if (!variant->tells)
		SKIP(return, "this one tells nothing");
	ASSERT_EQ(0, mprotect(self->page + PAGE, PAGE, PROT_READ | PROT_WRITE));
	memcpy(arg, self->known, variant->size);
	*(uint32_t *)arg = variant->size;
	ASSERT_EQ(0, mprotect(self->page + PAGE, PAGE, PROT_READ));
	EXPECT_EQ(-EFAULT, ask(self, variant, arg));

	EXPECT_EQ(fds, nr_fds());
	EXPECT_STILL_ANSWERED();
}

TEST_F(argument, that_tells_nothing_may_be_constant)
{
	void *arg = put(self, variant, 0);

	if (variant->tells)
		SKIP(return, "this one tells something");
	ASSERT_EQ(0, mprotect(self->page, PAGE, PROT_READ));
	EXPECT_EQ(0, ask(self, variant, arg));
}

/* --- a file in a state -------------------------------------------------------- */

enum ask {
	CREATE,
	LISTEN,
	CONNECT,
	ACCEPT,
	PAIR,
	MEET,
	REFUSE,
	PEER,
	KICK,
	KICK_SELF,
	WAIT,
	WAIT_KICK,
	EVENTFD,
	ADOPT,
	HANG_UP,
	NR_ASKS,
};

static const char *const asks[NR_ASKS] = {
	[CREATE] = "CREATE", [LISTEN] = "LISTEN",	[CONNECT] = "CONNECT",
	[ACCEPT] = "ACCEPT", [PAIR] = "PAIR",		[MEET] = "MEET",
	[REFUSE] = "refuse", [PEER] = "PEER",		[KICK] = "KICK",
	[WAIT] = "WAIT",     [WAIT_KICK] = "WAIT_KICK", [EVENTFD] = "EVENTFD",
	[ADOPT] = "ADOPT",   [HANG_UP] = "HANG_UP",	[KICK_SELF] = "KICK_SELF",
};

/* Ask what makes sense in some state. Return: 0 or -errno. */
static int state_ask(int fd, enum ask what, const char *listener)
{
	struct shmux_ioc_peer peer;
	uint32_t seen = 0;
	int fd2 = 0;

	switch (what) {
	case CREATE:
		return end_create(fd);
	case LISTEN:
		return listener_take(fd, name_new(), 1, EVERYBODY);
	case CONNECT:
		return end_connect(fd, listener, NO_WAIT);
	case ACCEPT:
		fd2 = listener_accept(fd, NO_WAIT);
		break;
	case PAIR:
		fd2 = end_pair(fd);
		break;
	case MEET:
		return end_meet(fd, NO_WAIT);
	case REFUSE:
		return end_refuse(fd, EACCES);
	case PEER:
		return end_peer(fd, &peer);
	case KICK:
		return end_kick(fd);
	case KICK_SELF:
		return end_kick_self(fd);
	case WAIT:
		return end_wait(fd, &seen, NO_WAIT);
	case WAIT_KICK:
		return end_wait_flags(fd, SHMUX_WAIT_KICK, &seen, NO_WAIT);
	case EVENTFD:
		return end_eventfd(fd, -1);
	case ADOPT:
		return file_adopt(fd);
	case HANG_UP:
		return file_hang_up(fd);
	default:
		abort();
	}
	if (fd2 < 0)
		return fd2;
	close(fd2);
	return 0;
}

FIXTURE(state)
{
	char name[SHMUX_NAME_SIZE]; /* where a CONNECT finds somebody */
	int listener;
};

FIXTURE_VARIANT(state)
{
	int (*make)(struct scene * scene);
	int answers[NR_ASKS];
};

#define NOT_OF_AN_END [LISTEN] = -EBADFD, [ACCEPT] = -EBADFD, [PAIR] = -EBADFD

#define NOT_OF_A_LISTENER                                                              \
	[CREATE] = -EBADFD, [LISTEN] = -EBADFD, [CONNECT] = -EBADFD, [PAIR] = -EBADFD, \
	[MEET] = -EBADFD, [REFUSE] = -EBADFD, [PEER] = -EBADFD, [KICK] = -EBADFD,      \
	[KICK_SELF] = -EBADFD, [WAIT] = -EBADFD, [WAIT_KICK] = -EBADFD, [EVENTFD] = -EBADFD

FIXTURE_VARIANT_ADD(state, fresh){
	.make = scene_fresh,
	.answers = { [CONNECT] = -EBADFD,
		     [ACCEPT] = -EBADFD,
		     [MEET] = -EBADFD,
		     [REFUSE] = -EBADFD,
		     [PEER] = -EBADFD,
		     [KICK] = -EBADFD,
		     [KICK_SELF] = -EBADFD,
		     [WAIT] = -EBADFD,
		     [WAIT_KICK] = -EBADFD,
		     [EVENTFD] = -EBADFD,
		     [ADOPT] = -EBADFD,
		     [HANG_UP] = -EBADFD },
};

FIXTURE_VARIANT_ADD(state, listener){
	.make = scene_listener,
	.answers = { NOT_OF_A_LISTENER, [ACCEPT] = -EAGAIN },
};

FIXTURE_VARIANT_ADD(state, end_of_a_pair_without_region){
	.make = scene_pair,
	.answers = { NOT_OF_AN_END, [CONNECT] = -EBADFD, [MEET] = -EBADFD, [WAIT] = -EAGAIN,
		     [WAIT_KICK] = -EAGAIN },
};

FIXTURE_VARIANT_ADD(state, end_of_a_pair_with_region){
	.make = scene_pair_with_region,
	.answers = { NOT_OF_AN_END, [CREATE] = -EBADFD, [CONNECT] = -EBADFD, [MEET] = -EAGAIN,
		     [WAIT] = -EAGAIN, [WAIT_KICK] = -EAGAIN },
};

FIXTURE_VARIANT_ADD(state, end_with_region_that_has_not_been_anywhere){
	.make = scene_region,
	.answers = { NOT_OF_AN_END, [CREATE] = -EBADFD, [MEET] = -EBADFD, [REFUSE] = -EBADFD,
		     [PEER] = -ENOTCONN, [KICK] = -ENOTCONN, [WAIT] = -EAGAIN,
		     [WAIT_KICK] = -ENOTCONN },
};

FIXTURE_VARIANT_ADD(state, queued){
	.make = scene_queued,
	.answers = { NOT_OF_AN_END, [CREATE] = -EBADFD, [CONNECT] = -EBADFD, [MEET] = -EAGAIN,
		     [REFUSE] = -EBADFD, [KICK] = -ENOTCONN, [WAIT] = -EAGAIN,
		     [WAIT_KICK] = -ENOTCONN },
};

FIXTURE_VARIANT_ADD(state, accepted_without_region){
	.make = scene_accepted,
	.answers = { NOT_OF_AN_END, [CONNECT] = -EBADFD, [MEET] = -EBADFD, [WAIT] = -EAGAIN,
		     [WAIT_KICK] = -EAGAIN },
};

FIXTURE_VARIANT_ADD(state, met){
	.make = scene_met,
	.answers = { NOT_OF_AN_END, [CREATE] = -EBADFD, [CONNECT] = -EBADFD, [REFUSE] = -EBADFD,
		     [WAIT] = -EAGAIN, [WAIT_KICK] = -EAGAIN },
};

/* What the dead has written can be read: MEET succeeds as it did before. */
#define OVER                                                                            \
	NOT_OF_AN_END, [CREATE] = -EBADFD, [CONNECT] = -ECONNRESET, [REFUSE] = -EBADFD, \
		       [KICK] = -ECONNRESET, [WAIT] = -ECONNRESET, [WAIT_KICK] = -ECONNRESET

FIXTURE_VARIANT_ADD(state, met_and_the_other_end_is_dead){
	.make = scene_dead,
	.answers = { OVER },
};

FIXTURE_VARIANT_ADD(state, met_and_hung_up){
	.make = scene_hung_up,
	.answers = { OVER },
};

FIXTURE_VARIANT_ADD(state, refused){
	.make = scene_refused,
	.answers = { OVER, [MEET] = -ECONNABORTED },
};

FIXTURE_VARIANT_ADD(state, queue_has_gone){
	.make = scene_forsaken,
	.answers = { NOT_OF_AN_END, [CREATE] = -EBADFD, [CONNECT] = -ECONNRESET, [REFUSE] = -EBADFD,
		     [MEET] = -ECONNREFUSED, [KICK] = -ENOTCONN, [WAIT] = -ECONNRESET,
		     [WAIT_KICK] = -ENOTCONN },
};

FIXTURE_VARIANT_ADD(state, listener_that_has_hung_up){
	.make = scene_closed_listener,
	.answers = { NOT_OF_A_LISTENER, [ACCEPT] = -ECONNRESET },
};

FIXTURE_SETUP(state)
{
	strcpy(self->name, name_new());
	self->listener = listener_new_for(self->name, 64, EVERYBODY);
	ASSERT_LE(0, self->listener);
}

FIXTURE_TEARDOWN(state)
{
	close(self->listener);
}

TEST_F(state, answers_each_request_or_says_that_it_does_not_fit)
{
	struct scene scene;

	for (int i = 0; i < NR_ASKS; i++) {
		ASSERT_EQ(0, scene_make(&scene, variant->make));
		EXPECT_EQ(variant->answers[i], state_ask(scene.fd, i, self->name))
		{
			TH_LOG("%s", asks[i]);
		}
		scene_close(&scene);
	}
}

TEST_F(state, no_other_request_is_known)
{
	static char arg[256] = { [0] = sizeof(arg) / 2 };
	struct scene scene;

	ASSERT_EQ(0, scene_make(&scene, variant->make));
	for (int nr = NR_MAX + 1; nr < 256; nr++)
		EXPECT_EQ(-ENOTTY, request(scene.fd, _IO(SHMUX_IOC_TYPE, nr), arg));
	for (int nr = 0; nr <= NR_MAX; nr++)
		EXPECT_EQ(-ENOTTY, request(scene.fd, _IO(SHMUX_IOC_TYPE + 1, nr), arg));
	scene_close(&scene);
}

/* --- arguments that never make sense ------------------------------------------- */

TEST(kick_has_no_other_flags)
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	for (int bit = 1; bit < 32; bit++)
		EXPECT_EQ(-EINVAL,
			  request(ends.near, SHMUX_IOC_KICK, (void *)(uintptr_t)(1u << bit)));
	EXPECT_EQ(0, file_polls(ends.near, POLLIN) | file_polls(ends.far, POLLIN));
	ends_close(&ends);
}

TEST(meet_refuses_by_an_errno)
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_create(ends.far));
	EXPECT_EQ(-EINVAL, end_refuse(ends.near, 4096));
	EXPECT_EQ(-EINVAL, end_refuse(ends.near, UINT32_MAX));
	EXPECT_EQ(0, end_refuse(ends.near, 4095));
	EXPECT_EQ(4095, end_refusal(ends.far));
	ends_close(&ends);
}

TEST(eventfd_is_a_descriptor_of_one)
{
	struct ends ends;
	int other = open("/dev/null", O_RDWR | O_CLOEXEC);
	int closed = dup(other);

	ASSERT_EQ(0, ends_pair(&ends));
	close(closed);
	EXPECT_EQ(-EBADF, end_eventfd(ends.near, closed));
	EXPECT_EQ(-EINVAL, end_eventfd(ends.near, other));
	EXPECT_EQ(-EINVAL, end_eventfd(ends.near, ends.far));
	EXPECT_EQ(0, end_eventfd(ends.near, -1));
	close(other);
	ends_close(&ends);
}

/* --- descriptors ----------------------------------------------------------------- */

static int descriptor_flags(int fd)
{
	return fcntl(fd, F_GETFD);
}

TEST(descriptors_that_come_from_here_are_close_on_exec)
{
	struct ends ends, pair;

	ASSERT_EQ(0, ends_dial(&ends));
	ASSERT_EQ(0, ends_pair(&pair));
	EXPECT_EQ(FD_CLOEXEC, descriptor_flags(ends.far));
	EXPECT_EQ(FD_CLOEXEC, descriptor_flags(pair.far));
	ends_close(&ends);
	ends_close(&pair);
}

static void limit_fds(struct __test_metadata *_metadata, rlim_t limit)
{
	struct rlimit nofile;

	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &nofile));
	nofile.rlim_cur = limit;
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &nofile));
}

TEST(accept_without_a_descriptor_takes_nobody_from_the_queue)
{
	const char *name = name_new();
	int listener = listener_new(name), end = end_new_queued(name, NO_WAIT), fd;

	ASSERT_LE(0, listener);
	ASSERT_LE(0, end);
	limit_fds(_metadata, end + 1);
	EXPECT_EQ(-EMFILE, listener_accept(listener, NO_WAIT));
	EXPECT_EQ(POLLIN, file_polls(listener, POLLIN));

	limit_fds(_metadata, end + 2);
	fd = listener_accept(listener, NO_WAIT);
	EXPECT_LE(0, fd);
	close(fd);
	close(end);
	close(listener);
}

TEST(pair_without_a_descriptor_leaves_the_file_as_it_was)
{
	int fd = device_open(), far;

	ASSERT_LE(0, fd);
	limit_fds(_metadata, fd + 1);
	EXPECT_EQ(-EMFILE, end_pair(fd));

	limit_fds(_metadata, fd + 2);
	far = end_pair(fd);
	EXPECT_LE(0, far);
	close(far);
	close(fd);
}

#define SOMEBODY 1000 /* a user who may do nothing in particular */

/* How many files the whole machine may have. */
#define FILE_MAX "/proc/sys/fs/file-max"

static bool file_max_get(char *value, size_t size)
{
	int fd = open(FILE_MAX, O_RDONLY | O_CLOEXEC);
	ssize_t len = read(fd, value, size - 1);

	close(fd);
	value[len > 0 ? len : 0] = '\0';
	return len > 0;
}

TEST(without_a_file_in_the_machine_a_request_is_enfile_and_leaves_all_as_it_was)
{
	const char *name = name_new();
	int listener, queued, end, paired, fd;
	char before[32];

	if (!getenv("SHMUX_TEST_MODULE") || geteuid())
		SKIP(return,
			   "leaves all of the machine without files: needs one of its own, as root");
	ASSERT_TRUE(file_max_get(before, sizeof(before)));
	listener = listener_new(name);
	queued = end_new_queued(name, NO_WAIT);
	end = device_open();
	paired = device_open();
	ASSERT_LE(0, listener);
	ASSERT_LE(0, queued);
	ASSERT_LE(0, end);
	ASSERT_LE(0, paired);

	/* Whoever may do anything is given files beyond that. */
	ASSERT_TRUE(proc_write(FILE_MAX, "0"));
	EXPECT_EQ(0, seteuid(SOMEBODY));
	EXPECT_EQ(-ENFILE, end_create(end));
	EXPECT_EQ(-ENFILE, end_pair(paired));
	EXPECT_EQ(-ENFILE, listener_accept(listener, NO_WAIT));
	EXPECT_EQ(POLLIN, file_polls(listener, POLLIN));
	EXPECT_EQ(0, seteuid(0));
	ASSERT_TRUE(proc_write(FILE_MAX, before));

	EXPECT_EQ(0, end_create(end));
	fd = end_pair(paired);
	EXPECT_LE(0, fd);
	close(fd);
	fd = listener_accept(listener, NO_WAIT);
	EXPECT_LE(0, fd);
	close(fd);
	close(paired);
	close(end);
	close(queued);
	close(listener);
}

TEST(regions_are_mapped_at_their_offsets)
{
	struct ends ends;
	char *own, *seen;

	ASSERT_EQ(0, ends_open(&ends));
	own = region_map_own(ends.far, SMALL);
	seen = region_map_peer(ends.near, SMALL);
	ASSERT_NE(MAP_FAILED, own);
	ASSERT_NE(MAP_FAILED, seen);
	own[0] = 'a';
	own[SMALL - 1] = 'z';
	EXPECT_EQ('a', seen[0]);
	EXPECT_EQ('z', seen[SMALL - 1]);
	munmap(own, SMALL);
	munmap(seen, SMALL);
	ends_close(&ends);
}

TEST(end_opened_anew_through_proc_is_not_the_end)
{
	struct shmux_ioc_peer peer;
	struct ends ends;
	char path[64];
	int fd;

	ASSERT_EQ(0, ends_open(&ends));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends.near);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADFD, end_peer(fd, &peer));
	close(fd);

	/* What was never opened cannot be opened anew, or is nothing yet either. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends.far);
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd >= 0) {
		EXPECT_EQ(-EBADFD, end_peer(fd, &peer));
		close(fd);
	}
	ends_close(&ends);
}

TEST_HARNESS_MAIN
