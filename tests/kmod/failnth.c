// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * failnth.c - every allocation, and every copy from and to user memory, fails once
 *
 * Each request is made again and again, with the first, the second, the third...
 * thing that can fail in it failing, until one is made in which nothing did. It
 * must say an errno that the contract names, leave nothing half-made, and work
 * when it is made once more. That takes a kernel with fault injection (vm/debug).
 */
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "device.h"
#include "usage.h"

#define POPULATE (4 * PAGE)

/* --- faults -------------------------------------------------------------------- */

static bool file_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

static bool file_has(const char *path, const char *what)
{
	char text[4096] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return strstr(text, what) != NULL;
}

#define FAULTS "/sys/kernel/debug/"

/* Return: why there are none to be had, or NULL. */
static const char *faults_prepare(void)
{
	static const char *const settings[][2] = {
		/* All that may sleep, and single pages; and nothing in the log. */
		{ FAULTS "failslab/ignore-gfp-wait", "N" },
		{ FAULTS "failslab/verbose", "0" },
		{ FAULTS "fail_page_alloc/ignore-gfp-wait", "N" },
		{ FAULTS "fail_page_alloc/ignore-gfp-highmem", "N" },
		{ FAULTS "fail_page_alloc/min-order", "0" },
		{ FAULTS "fail_page_alloc/verbose", "0" },
		{ FAULTS "fail_usercopy/verbose", "0" },
	};

	if (access("/proc/thread-self/fail-nth", W_OK))
		return "this kernel injects no faults";
	if (!access(FAULTS "kmemleak", F_OK) && !file_has("/proc/cmdline", "kmemleak=off"))
		return "fault injection makes kmemleak complain: kmemleak=off";
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (!file_write(settings[i][0], settings[i][1]))
			return "this kernel does not let faults be set as they are needed";
	return NULL;
}

static int fault_fd = -1;

static void fault_arm(unsigned int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	must(pwrite(fault_fd, text, (size_t)len, 0) == len);
}

/* Return: whether something has failed since fault_arm(). */
static bool fault_disarm(void)
{
	char text[16] = "";
	bool failed;

	/* To read and to write it are things that can fail, too. */
	while (pread(fault_fd, text, sizeof(text) - 1, 0) <= 0)
		;
	failed = atoi(text) == 0;
	while (pwrite(fault_fd, "0", 1, 0) != 1)
		;
	return failed;
}

/* --- requests ------------------------------------------------------------------ */

/* What a request is made of, and what it makes. */
struct scene {
	char name[SHMUX_NAME_SIZE];
	int a, b, c; /* files, or -1 */
	int made; /* a descriptor that the request gave, or -1 */
	void *map;
	struct shmux_ioc_connect connect;
	struct shmux_ioc_listen listen;
	struct shmux_ioc_peer peer;
	char label[256];
};

static struct scene scene;
static int netlink_family;

static void scene_clear(void)
{
	int *const fds[] = { &scene.a, &scene.b, &scene.c, &scene.made };

	if (scene.map)
		munmap(scene.map, SMALL);
	for (size_t i = 0; i < sizeof(fds) / sizeof(*fds); i++)
		if (*fds[i] >= 0)
			close(*fds[i]);
	scene = (struct scene){ .a = -1, .b = -1, .c = -1, .made = -1 };
}

static int prepare_nothing(void)
{
	return 0;
}

static int prepare_fresh(void)
{
	return scene.a = device_open();
}

static int prepare_end(void)
{
	return scene.a = end_new();
}

static int prepare_listener(void)
{
	strcpy(scene.name, name_new());
	return scene.b = listener_new(scene.name);
}

static int prepare_to_connect(void)
{
	int err = prepare_listener();

	scene.connect = ARG(connect);
	name_put(scene.connect.name, scene.name);
	return err < 0 ? err : prepare_end();
}

static int prepare_to_listen(void)
{
	scene.listen = listen_arg(name_new(), 16, EVERYBODY);
	return prepare_fresh();
}

static int prepare_queued(void)
{
	int err = prepare_to_connect();

	return err < 0 ? err : end_connect(scene.a, scene.name, NO_WAIT);
}

static int prepare_pair(void)
{
	struct ends ends;
	int err = ends_pair(&ends);

	scene.a = ends.near;
	scene.b = ends.far;
	return err;
}

static int prepare_regions(void)
{
	int err = prepare_pair();

	if (!err)
		err = end_create(scene.a);
	return err ? err : end_create(scene.b);
}

static int prepare_half_met(void)
{
	int err = prepare_regions();

	if (!err)
		err = end_meet(scene.b, NO_WAIT);
	return err == -EAGAIN ? 0 : err;
}

static int prepare_session(void)
{
	int err = prepare_half_met();

	return err ? err : end_meet(scene.a, NO_WAIT);
}

static int prepare_eventfd(void)
{
	int err = prepare_session();

	return err ? err : (scene.c = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

static int prepare_epoll(void)
{
	int err = prepare_session();

	return err ? err : (scene.c = epoll_create1(EPOLL_CLOEXEC));
}

/* With somebody who hears what happens. */
static int prepare_heard(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK };
	int err = prepare_half_met();
	static struct usage_message m;
	const struct nlattr *group;

	if (err)
		return err;
	scene.c = usage_socket();
	if (scene.c < 0 || bind(scene.c, (struct sockaddr *)&address, sizeof(address)))
		return -EBADF;
	err = usage_ask(scene.c, GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME,
			SHMUX_GENL_NAME, sizeof(SHMUX_GENL_NAME));
	if (!err)
		err = usage_hear(scene.c, &m);
	if (err)
		return err;
	/* There is one group: a nest of a nest of its name and its number. */
	group = usage_attr(&m.hdr, CTRL_ATTR_MCAST_GROUPS);
	if (!group)
		return -ENOENT;
	for (const char *p = (const char *)group + NLA_HDRLEN, *end = m.bytes + m.len;
	     p + NLA_HDRLEN + sizeof(uint32_t) <= end;) {
		const struct nlattr *a = (const struct nlattr *)p;
		int id;

		if (a->nla_type == CTRL_ATTR_MCAST_GRP_ID) {
			memcpy(&id, p + NLA_HDRLEN, sizeof(id));
			return setsockopt(scene.c, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &id,
					  sizeof(id)) ?
				       -errno :
				       0;
		}
		p += NLA_ALIGN(a->nla_len);
	}
	return -ENOENT;
}

static int prepare_netlink(void)
{
	int err = prepare_session();

	return err ? err : (scene.c = usage_socket());
}

static int make_open(void)
{
	return scene.made = device_open();
}

static int make_create(void)
{
	return end_create_sized(scene.a, SMALL, 0, ANY_SIZE);
}

static int make_create_populated(void)
{
	return end_create_sized(scene.a, SMALL, POPULATE, ANY_SIZE);
}

static int make_listen(void)
{
	return request(scene.a, SHMUX_IOC_LISTEN, &scene.listen);
}

static int make_connect(void)
{
	return request(scene.a, SHMUX_IOC_CONNECT, &scene.connect);
}

static int make_accept(void)
{
	return scene.made = listener_accept(scene.b, NO_WAIT);
}

static int make_pair(void)
{
	return scene.made = end_pair(scene.a);
}

static int make_meet(void)
{
	return end_meet(scene.a, NO_WAIT);
}

static int make_refuse(void)
{
	return end_refuse(scene.a, EPERM);
}

static int make_peer(void)
{
	scene.peer = ARG(peer, .label = (uintptr_t)scene.label, .label_size = sizeof(scene.label));
	return request(scene.a, SHMUX_IOC_PEER, &scene.peer);
}

static int make_kick(void)
{
	return end_kick(scene.a);
}

static int make_wait(void)
{
	uint32_t seen = 1;

	return end_wait(scene.a, &seen, A_WHILE);
}

static int make_eventfd(void)
{
	return end_eventfd(scene.a, scene.c);
}

static int make_adopt(void)
{
	return file_adopt(scene.a);
}

static int make_hang_up(void)
{
	return file_hang_up(scene.a);
}

static int make_close(void)
{
	int fd = scene.a;

	scene.a = -1;
	return close(fd) ? -errno : 0;
}

static int map(size_t size, int prot, off64_t offset)
{
	void *map = mmap64(NULL, size, prot, MAP_SHARED, scene.a, offset);

	if (map == MAP_FAILED)
		return -errno;
	scene.map = map;
	return 0;
}

static int make_map_own(void)
{
	return map(SMALL, PROT_READ | PROT_WRITE, SHMUX_MMAP_OWN);
}

static int make_map_peer(void)
{
	return map(SMALL, PROT_READ, SHMUX_MMAP_PEER);
}

static int make_poll(void)
{
	int events = file_polls(scene.a, POLLOUT);

	return events < 0 ? events : events == POLLOUT ? 0 : -EPROTO;
}

static int make_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(scene.c, EPOLL_CTL_ADD, scene.a, &event) ? -errno : 0;
}

static int make_dump_of_sessions(void)
{
	return usage_dump(scene.c, netlink_family, SHMUX_CMD_SESSION_GET, NULL, NULL);
}

static int make_dump_of_limits(void)
{
	return usage_dump(scene.c, netlink_family, SHMUX_CMD_LIMIT_GET, NULL, NULL);
}

static int make_counters(void)
{
	static struct usage_message m;
	int err =
		usage_ask(scene.c, (uint16_t)netlink_family, 0, SHMUX_CMD_COUNTER_GET, 0, NULL, 0);

	return err ? err : usage_hear(scene.c, &m);
}

static int make_setting_of_a_limit(void)
{
	/* It lacks two attributes: what is walked is how it is looked at. */
	static const uint32_t scope = SHMUX_SCOPE_USER;
	static struct usage_message m;
	int err = usage_ask(scene.c, (uint16_t)netlink_family, NLM_F_ACK, SHMUX_CMD_LIMIT_SET,
			    SHMUX_A_LIMIT_SCOPE, &scope, sizeof(scope));

	err = err ?: usage_hear(scene.c, &m);
	return err == -EINVAL ? 0 : err;
}

/* --- the walk ------------------------------------------------------------------ */

FIXTURE(failing)
{
	const char *why_not;
	struct usage nothing;
};

FIXTURE_VARIANT(failing)
{
	int (*prepare)(void); /* Return: -errno if that failed */
	int (*make)(void); /* Return: -errno if that failed */
	bool works; /* whatever fails in it */
	bool netlink; /* ENOBUFS and EAGAIN are as good as ENOMEM */
};

#define REQUEST(what, before, it, ...)                       \
	FIXTURE_VARIANT_ADD(failing, what)                   \
	{                                                    \
		.prepare = before, .make = it, ##__VA_ARGS__ \
	}

/* clang-format off */
REQUEST(open, prepare_nothing, make_open);
REQUEST(create, prepare_fresh, make_create);
REQUEST(create_populated, prepare_fresh, make_create_populated);
REQUEST(create_of_an_end, prepare_pair, make_create_populated);
REQUEST(listen, prepare_to_listen, make_listen);
REQUEST(connect, prepare_to_connect, make_connect);
REQUEST(accept, prepare_queued, make_accept);
REQUEST(pair, prepare_fresh, make_pair);
REQUEST(meet, prepare_half_met, make_meet);
REQUEST(meet_that_is_heard, prepare_heard, make_meet);
REQUEST(refuse, prepare_pair, make_refuse);
REQUEST(peer, prepare_session, make_peer);
REQUEST(kick, prepare_session, make_kick, .works = true);
REQUEST(wait, prepare_session, make_wait);
REQUEST(eventfd, prepare_eventfd, make_eventfd);
REQUEST(adopt, prepare_session, make_adopt);
REQUEST(hang_up, prepare_session, make_hang_up);
REQUEST(hang_up_that_is_heard, prepare_heard, make_hang_up);
REQUEST(close, prepare_session, make_close, .works = true);
REQUEST(close_that_is_heard, prepare_heard, make_close, .works = true);
REQUEST(close_of_a_listener, prepare_to_connect, make_close, .works = true);
REQUEST(map_own, prepare_session, make_map_own);
REQUEST(map_peer, prepare_session, make_map_peer);
REQUEST(poll, prepare_session, make_poll);
REQUEST(epoll, prepare_epoll, make_epoll);
REQUEST(dump_of_sessions, prepare_netlink, make_dump_of_sessions, .netlink = true);
REQUEST(dump_of_limits, prepare_netlink, make_dump_of_limits, .netlink = true);
REQUEST(counters, prepare_netlink, make_counters, .netlink = true);
REQUEST(setting_of_a_limit, prepare_netlink, make_setting_of_a_limit, .netlink = true);
/* clang-format on */

FIXTURE_SETUP(failing)
{
	int fd;

	scene = (struct scene){ .a = -1, .b = -1, .c = -1, .made = -1 };
	self->why_not = faults_prepare();
	if (self->why_not)
		return;
	fault_fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, fault_fd);
	fd = usage_socket();
	ASSERT_LE(0, fd);
	netlink_family = usage_family(fd);
	ASSERT_LT(0, netlink_family);
	close(fd);
	ASSERT_TRUE(usage_becomes_none(&self->nothing));
}

FIXTURE_TEARDOWN(failing)
{
	if (fault_fd >= 0)
		close(fault_fd);
}

TEST_F(failing, names_its_error_and_leaves_nothing)
{
	struct usage before, is;
	bool failed = true;
	int err, again, n;

	if (self->why_not)
		SKIP(return, "%s", self->why_not);
	for (n = 1; failed; n++) {
		ASSERT_LT(n, 10000);
		ASSERT_LE(0, variant->prepare());
		ASSERT_EQ(0, usage_get(&before));

		fault_arm((unsigned int)n);
		err = variant->make();
		failed = fault_disarm();

		/* It is of no account where it did not matter. */
		if (err < 0 && !variant->works) {
			ASSERT_TRUE(failed);
			EXPECT_TRUE(err == -ENOMEM || err == -EFAULT ||
				    (variant->netlink && (err == -ENOBUFS || err == -EAGAIN)))
			{
				TH_LOG("fault %d: it said %s", n, strerrorname_np(-err));
			}
		} else {
			EXPECT_LE(0, err)
			{
				TH_LOG("fault %d: it said %s", n, strerrorname_np(-err));
			}
		}
		/* With EFAULT it may have been done, and could not be told. */
		if (err < 0 && err != -EFAULT) {
			ASSERT_TRUE(usage_becomes(&before, &is))
			{
				TH_LOG("fault %d: something half-made is left", n);
			}
			if (variant->netlink) {
				close(scene.c);
				scene.c = usage_socket();
			}
			again = variant->make();
			EXPECT_LE(0, again)
			{
				TH_LOG("fault %d: then it said %s", n, strerrorname_np(-again));
			}
		}

		scene_clear();
		ASSERT_TRUE(usage_becomes(&self->nothing, &is))
		{
			TH_LOG("fault %d: %llu listeners, %llu sessions, %llu bytes are left", n,
			       (unsigned long long)is.used[SHMUX_LISTENERS],
			       (unsigned long long)is.used[SHMUX_SESSIONS],
			       (unsigned long long)is.used[SHMUX_BYTES]);
		}
	}
	TH_LOG("%d things that can fail", n - 2);
	EXPECT_LT(2, n);
}

TEST_HARNESS_MAIN
