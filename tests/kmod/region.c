// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * region.c - we write ours and read theirs, and nobody can do otherwise
 */
#include <linux/futex.h>
#include <linux/userfaultfd.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>

#include "device.h"
#include "pattern.h"
#include "process.h"
#include "usage.h"
#include "worker.h"

#define PAGES 8
#define MIB (1u << 20)

/* Two ends that have met; theirs is far's region, as near sees it. */
FIXTURE(region)
{
	struct ends ends;
	int near, far;
	size_t size;
	char *own, *theirs, *far_own;
};

FIXTURE_SETUP(region)
{
	self->size = PAGES * PAGE;
	ASSERT_EQ(0, ends_open_sized(&self->ends, self->size, self->size));
	self->near = self->ends.near;
	self->far = self->ends.far;
	self->own = region_map_own(self->near, self->size);
	self->theirs = region_map_peer(self->near, self->size);
	self->far_own = region_map_own(self->far, self->size);
	ASSERT_NE(MAP_FAILED, self->own);
	ASSERT_NE(MAP_FAILED, self->theirs);
	ASSERT_NE(MAP_FAILED, self->far_own);
}

FIXTURE_TEARDOWN(region)
{
	munmap(self->own, self->size);
	munmap(self->theirs, self->size);
	munmap(self->far_own, self->size);
	ends_close(&self->ends);
}

/* Return: 0 if it can be mapped, or -errno. */
static int try_map(int fd, size_t size, int prot, int flags, uint64_t offset)
{
	void *map = mmap64(NULL, size, prot, flags, fd, (off64_t)offset);

	if (map == MAP_FAILED)
		return -errno;
	munmap(map, size);
	return 0;
}

#define OK_OR_ERRNO(call) ((call) < 0 ? -errno : 0)

/* --- sizes ------------------------------------------------------------------------ */

TEST(size_is_one_page_to_the_maximum_in_whole_pages)
{
	const uint32_t wrong[] = { 0,
				   1,
				   PAGE - 1,
				   PAGE + 1,
				   SHMUX_REGION_MAX + 1,
				   SHMUX_REGION_MAX + PAGE,
				   UINT32_MAX,
				   UINT32_MAX - PAGE + 1 };
	const uint32_t right[] = { PAGE, 2 * PAGE, 64 * MIB };
	int fd;

	for (int i = 0; i < 8; i++) {
		fd = device_open();
		EXPECT_EQ(-EINVAL, end_create_sized(fd, wrong[i], 0, ANY_SIZE));
		EXPECT_EQ(0, end_create(fd));
		close(fd);
	}
	for (int i = 0; i < 3; i++) {
		fd = device_open();
		EXPECT_EQ(0, end_create_sized(fd, right[i], 0, ANY_SIZE));
		close(fd);
	}
}

TEST(largest_is_made_or_too_much_for_a_quota)
{
	int fd = device_open();
	int err = end_create_sized(fd, SHMUX_REGION_MAX, 0, ANY_SIZE);

	EXPECT_TRUE(err == 0 || err == -EDQUOT);
	close(fd);
}

TEST(populated_is_no_more_than_there_is)
{
	int fd = device_open();

	EXPECT_EQ(-EINVAL, end_create_sized(fd, PAGE, PAGE + 1, ANY_SIZE));
	EXPECT_EQ(-EINVAL, end_create_sized(fd, PAGE, UINT32_MAX, ANY_SIZE));
	EXPECT_EQ(0, end_create_sized(fd, PAGE, PAGE, ANY_SIZE));
	close(fd);
}

TEST(size_is_no_more_than_the_other_end_takes)
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_create_sized(ends.near, PAGE, 0, 2 * PAGE));

	EXPECT_EQ(-EMSGSIZE, end_create_sized(ends.far, 3 * PAGE, 0, ANY_SIZE));
	EXPECT_EQ(0, end_create_sized(ends.far, 2 * PAGE, 0, ANY_SIZE));
	ends_close(&ends);
}

TEST(size_of_theirs_is_no_more_than_we_take)
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_create_sized(ends.near, 2 * PAGE, 0, ANY_SIZE));

	EXPECT_EQ(-EMSGSIZE, end_create_sized(ends.far, PAGE, 0, 2 * PAGE - 1));
	EXPECT_EQ(-EMSGSIZE, end_create_sized(ends.far, PAGE, 0, 0));
	EXPECT_EQ(0, end_create_sized(ends.far, PAGE, 0, 2 * PAGE));
	ends_close(&ends);
}

TEST(size_is_told_to_the_other_end)
{
	struct shmux_ioc_peer peer;
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	ASSERT_EQ(0, end_peer(ends.near, &peer));
	EXPECT_EQ(0, peer.region_size);

	ASSERT_EQ(0, end_create_sized(ends.far, 3 * PAGE, 0, ANY_SIZE));

	ASSERT_EQ(0, end_peer(ends.near, &peer));
	EXPECT_EQ(3 * PAGE, peer.region_size);
	ends_close(&ends);
}

/* Bytes of memory that the file behind a mapping has. */
static int64_t memory_behind(void *map, size_t size)
{
	struct stat st;
	char path[128];

	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)map,
		 (unsigned long)map + size);
	return stat(path, &st) ? -errno : (int64_t)st.st_blocks * 512;
}

TEST(populated_is_there_at_once_and_the_rest_is_not)
{
	uint32_t populate[] = { 0, 1, PAGE, 3 * PAGE - 1, 3 * PAGE, 4 * PAGE };

	NEEDS_ROOT("to see the file behind a mapping");
	for (int i = 0; i < 6; i++) {
		int fd = device_open();
		char *own;

		ASSERT_EQ(0, end_create_sized(fd, 4 * PAGE, populate[i], ANY_SIZE));
		own = region_map_own(fd, 4 * PAGE);
		ASSERT_NE(MAP_FAILED, own);
		EXPECT_EQ((populate[i] + PAGE - 1) / PAGE * PAGE, memory_behind(own, 4 * PAGE));
		munmap(own, 4 * PAGE);
		close(fd);
	}
}

static void ignore_alarm(int signal)
{
}

TEST(populated_it_is_whatever_signals_come)
{
	const struct sigaction act = { .sa_handler = ignore_alarm };
	const struct itimerval often = { { .tv_usec = 100 }, { .tv_usec = 100 } };
	int fd = device_open();

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, sigaction(SIGALRM, &act, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	EXPECT_EQ(0, end_create_sized(fd, 16 * MIB, 16 * MIB, ANY_SIZE));
	EXPECT_EQ(0, setitimer(ITIMER_REAL, &(struct itimerval){ 0 }, NULL));
	close(fd);
}

TEST(region_is_zero_at_first)
{
	int fd = device_open();
	char *own, zero[64] = { 0 };

	ASSERT_EQ(0, end_create_sized(fd, 64 * PAGE, 32 * PAGE, ANY_SIZE));
	own = region_map_own(fd, 64 * PAGE);
	ASSERT_NE(MAP_FAILED, own);
	for (uint32_t at = 0; at < 64 * PAGE; at += sizeof(zero))
		ASSERT_EQ(0, memcmp(zero, own + at, sizeof(zero)));
	munmap(own, 64 * PAGE);
	close(fd);
}

/* --- what is mapped ------------------------------------------------------------------ */

TEST_F(region, what_one_end_writes_the_other_reads)
{
	char *seen = region_map_peer(self->far, self->size);

	ASSERT_NE(MAP_FAILED, seen);
	pattern_fill(self->own, self->size, 0, 1);
	pattern_fill(self->far_own, self->size, 0, 2);

	EXPECT_EQ(-1, pattern_check(seen, self->size, 0, 1));
	EXPECT_EQ(-1, pattern_check(self->theirs, self->size, 0, 2));
	EXPECT_EQ(-1, pattern_check(self->own, self->size, 0, 1));
	munmap(seen, self->size);
}

TEST_F(region, any_part_can_be_mapped_alone)
{
	for (int i = 0; i < PAGES; i++)
		self->far_own[i * PAGE] = self->own[i * PAGE] = (char)('a' + i);

	for (int i = 0; i < PAGES; i++) {
		for (int n = 1; i + n <= PAGES; n++) {
			char *own = mmap64(NULL, n * PAGE, PROT_READ, MAP_SHARED, self->near,
					   SHMUX_MMAP_OWN + (off64_t)i * PAGE);
			char *theirs = mmap64(NULL, n * PAGE, PROT_READ, MAP_SHARED, self->near,
					      SHMUX_MMAP_PEER + (off64_t)i * PAGE);

			ASSERT_NE(MAP_FAILED, own);
			ASSERT_NE(MAP_FAILED, theirs);
			EXPECT_EQ('a' + i, own[0]);
			EXPECT_EQ('a' + i + n - 1, theirs[(n - 1) * PAGE]);
			munmap(own, n * PAGE);
			munmap(theirs, n * PAGE);
		}
	}
}

TEST_F(region, nothing_beyond_its_end_can_be_mapped)
{
	const uint64_t starts[] = { SHMUX_MMAP_OWN, SHMUX_MMAP_PEER };

	for (int i = 0; i < 2; i++) {
		uint64_t end = starts[i] + self->size;

		EXPECT_EQ(-EINVAL, try_map(self->near, PAGE, PROT_READ, MAP_SHARED, end));
		EXPECT_EQ(-EINVAL,
			  try_map(self->near, 2 * PAGE, PROT_READ, MAP_SHARED, end - PAGE));
		EXPECT_EQ(-EINVAL,
			  try_map(self->near, self->size + PAGE, PROT_READ, MAP_SHARED, starts[i]));
		EXPECT_EQ(-EINVAL,
			  try_map(self->near, PAGE, PROT_READ, MAP_SHARED, starts[i] + 0x7ffff000));
	}
	EXPECT_EQ(-EINVAL, try_map(self->near, PAGE, PROT_READ, MAP_SHARED, 1ULL << 32));
	EXPECT_EQ(-EINVAL, try_map(self->near, PAGE, PROT_READ, MAP_SHARED, 1ULL << 40));
}

TEST(file_without_a_region_has_nothing_to_map)
{
	int fresh = device_open(), listener = listener_new(name_new());
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	EXPECT_EQ(-EBADFD, try_map(fresh, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_OWN));
	EXPECT_EQ(-EBADFD, try_map(fresh, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_PEER));
	EXPECT_EQ(-EBADFD, try_map(listener, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_OWN));
	EXPECT_EQ(-EBADFD, try_map(ends.near, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_OWN));
	close(fresh);
	close(listener);
	ends_close(&ends);
}

TEST(theirs_cannot_be_seen_before_they_are_ready)
{
	struct ends ends;

	ASSERT_EQ(0, ends_pair(&ends));
	EXPECT_EQ(-ENOTCONN, try_map(ends.near, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_PEER));
	ASSERT_EQ(0, end_create(ends.far));
	EXPECT_EQ(-ENOTCONN, try_map(ends.near, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_PEER));
	ASSERT_EQ(-EAGAIN, end_meet(ends.far, NO_WAIT));
	EXPECT_EQ(0, try_map(ends.near, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_PEER));
	ends_close(&ends);
}

/* --- theirs cannot be written ---------------------------------------------------------- */

/* Whatever was tried, the owner's bytes are as they were. */
#define UNTOUCHED "as it was"

#define EXPECT_UNTOUCHED() EXPECT_STREQ(UNTOUCHED, self->far_own)

TEST_F(region, theirs_cannot_be_mapped_for_writing)
{
	EXPECT_EQ(-EACCES,
		  try_map(self->near, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, SHMUX_MMAP_PEER));
	EXPECT_EQ(-EACCES, try_map(self->near, PAGE, PROT_WRITE, MAP_SHARED, SHMUX_MMAP_PEER));
	EXPECT_EQ(-EACCES, OK_OR_ERRNO(mprotect(self->theirs, self->size, PROT_READ | PROT_WRITE)));
	EXPECT_EQ(-EACCES, OK_OR_ERRNO(mprotect(self->theirs, PAGE, PROT_WRITE)));
}

TEST_F(region, none_can_be_mapped_privately)
{
	EXPECT_EQ(-EINVAL, try_map(self->near, PAGE, PROT_READ, MAP_PRIVATE, SHMUX_MMAP_PEER));
	EXPECT_EQ(-EINVAL, try_map(self->near, PAGE, PROT_READ, MAP_PRIVATE, SHMUX_MMAP_OWN));
	EXPECT_EQ(-EINVAL,
		  try_map(self->near, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, SHMUX_MMAP_OWN));
}

/* Return: 0, or -EACCES; so is -EPERM, of a file that is nowhere, or on noexec. */
static int try_map_executable(int fd, uint64_t offset)
{
	int err = try_map(fd, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED, offset);

	return err == -EPERM ? -EACCES : err;
}

TEST_F(region, none_can_be_executed)
{
	EXPECT_EQ(-EACCES, try_map_executable(self->near, SHMUX_MMAP_PEER));
	EXPECT_EQ(-EACCES, try_map_executable(self->near, SHMUX_MMAP_OWN));
	EXPECT_EQ(-EACCES, try_map_executable(self->far, SHMUX_MMAP_PEER));
	EXPECT_EQ(-EACCES, try_map_executable(self->far, SHMUX_MMAP_OWN));
	EXPECT_EQ(-EACCES, OK_OR_ERRNO(mprotect(self->theirs, PAGE, PROT_READ | PROT_EXEC)));
	EXPECT_EQ(-EACCES, OK_OR_ERRNO(mprotect(self->own, PAGE, PROT_READ | PROT_EXEC)));
}

TEST_F(region, system_calls_do_not_write_theirs)
{
	struct iovec from = { UNTOUCHED, 1 }, to = { self->theirs, 1 };
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	strcpy(self->far_own, UNTOUCHED);
	EXPECT_EQ(-EFAULT, OK_OR_ERRNO(read(fd, self->theirs, 1)));
	EXPECT_EQ(-EFAULT, OK_OR_ERRNO(process_vm_writev(getpid(), &from, 1, &to, 1, 0)));
	EXPECT_UNTOUCHED();

	/* Which they would, if they could. */
	to.iov_base = self->own;
	EXPECT_EQ(0, OK_OR_ERRNO(process_vm_writev(getpid(), &from, 1, &to, 1, 0)));
	EXPECT_EQ('a', self->own[0]);
	close(fd);
}

TEST_F(region, proc_mem_does_not_write_theirs)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	strcpy(self->far_own, UNTOUCHED);
	EXPECT_EQ(-1, pwrite64(fd, "x", 1, (off64_t)(uintptr_t)self->theirs));
	EXPECT_UNTOUCHED();
	EXPECT_STREQ(UNTOUCHED, self->theirs);

	EXPECT_EQ(1, pwrite64(fd, "x", 1, (off64_t)(uintptr_t)self->own));
	EXPECT_EQ('x', self->own[0]);
	close(fd);
}

TEST_F(region, remap_file_pages_does_not_make_theirs_writable)
{
	strcpy(self->far_own, UNTOUCHED);

	syscall(SYS_remap_file_pages, self->theirs, self->size, 0, 0, 0);

	EXPECT_EQ(-EACCES, OK_OR_ERRNO(mprotect(self->theirs, self->size, PROT_READ | PROT_WRITE)))
	{
		self->theirs[0] = 'x';
	}
	EXPECT_UNTOUCHED();
}

TEST_F(region, theirs_cannot_be_punched)
{
	strcpy(self->far_own, UNTOUCHED);
	EXPECT_NE(0, madvise(self->theirs, PAGE, MADV_REMOVE));
	EXPECT_UNTOUCHED();
	madvise(self->theirs, PAGE, MADV_DONTNEED);
	EXPECT_UNTOUCHED();
	EXPECT_STREQ(UNTOUCHED, self->theirs);
	EXPECT_NE(0, fallocate(self->near, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	EXPECT_NE(0, ftruncate(self->near, 0));
	EXPECT_UNTOUCHED();
}

TEST_F(region, userfaultfd_does_not_fill_theirs)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { (uintptr_t)self->theirs, self->size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	if (fd < 0 && errno == ENOSYS)
		SKIP(return, "this kernel has no userfaultfd");
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, ioctl(fd, UFFDIO_API, &api));

	/* One kernel finds that it is not for writing, another that it does not grow. */
	EXPECT_NE(0, ioctl(fd, UFFDIO_REGISTER, &reg));
	close(fd);
}

TEST_F(region, none_grows)
{
	void *maps[] = { self->own, self->theirs };

	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(MAP_FAILED,
			  mremap(maps[i], self->size, self->size + PAGE, MREMAP_MAYMOVE));
		EXPECT_EQ(MAP_FAILED, mremap(maps[i], 0, self->size, MREMAP_MAYMOVE));
		/* Nor does a part, so that the rest would have to be asked for. */
		EXPECT_EQ(maps[i], mremap(maps[i], self->size, PAGE, 0));
		EXPECT_EQ(MAP_FAILED, mremap(maps[i], PAGE, 2 * PAGE, MREMAP_MAYMOVE));
	}
	/* Nor by another way than mremap. */
	EXPECT_NE(0, ftruncate(self->near, (off_t)self->size * 2));
	EXPECT_NE(0, fallocate(self->near, 0, 0, (off_t)self->size * 2));
}

TEST_F(region, of_a_descriptor_for_reading_is_read)
{
	int fd = open(SHMUX_DEVICE, O_RDONLY | O_CLOEXEC);

	ASSERT_EQ(0, end_create(fd));
	EXPECT_EQ(0, try_map(fd, PAGE, PROT_READ, MAP_SHARED, SHMUX_MMAP_OWN));
	EXPECT_EQ(-EACCES, try_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, SHMUX_MMAP_OWN));
	close(fd);
}

/* --- ours are ours to punch ------------------------------------------------------------- */

TEST_F(region, that_its_owner_punches_reads_as_zeros)
{
	char zero[16] = { 0 };

	pattern_fill(self->far_own, self->size, 0, 1);
	ASSERT_EQ(-1, pattern_check(self->theirs, self->size, 0, 1));

	ASSERT_EQ(0, madvise(self->far_own + PAGE, PAGE, MADV_REMOVE));

	EXPECT_EQ(-1, pattern_check(self->theirs, PAGE, 0, 1));
	EXPECT_EQ(0, memcmp(zero, self->theirs + PAGE, sizeof(zero)));
	EXPECT_EQ(0, memcmp(zero, self->theirs + 2 * PAGE - 16, sizeof(zero)));
	EXPECT_EQ(-1, pattern_check(self->theirs + 2 * PAGE, self->size - 2 * PAGE, 2 * PAGE, 1));
	self->far_own[PAGE] = 'x';
	EXPECT_EQ('x', self->theirs[PAGE]);
}

/* --- futexes ---------------------------------------------------------------------------- */

static long futex(uint32_t *word, int op, uint32_t value)
{
	return syscall(SYS_futex, word, op, value, NULL, NULL, 0);
}

TEST_F(region, who_sleeps_on_a_word_of_theirs_is_woken_by_its_owner)
{
	uint32_t *word = (uint32_t *)(self->far_own + PAGE);
	struct child c;

	if (child_fork(&c)) {
		uint32_t *seen = (uint32_t *)(self->theirs + PAGE);

		child_say(&c, 's');
		while (!__atomic_load_n(seen, __ATOMIC_ACQUIRE))
			must(futex(seen, FUTEX_WAIT, 0) == 0 || errno == EAGAIN || errno == EINTR);
		_exit(0);
	}
	ASSERT_EQ('s', child_hear(&c));
	ASSERT_TRUE(wait_until(process_sleeps(c.pid, c.pid)));

	__atomic_store_n(word, 1, __ATOMIC_RELEASE);
	EXPECT_EQ(1, futex(word, FUTEX_WAKE, 1));
	EXPECT_EQ(0, child_end(&c));
}

TEST_F(region, futexes_of_two_regions_are_two)
{
	EXPECT_EQ(0, futex((uint32_t *)self->own, FUTEX_WAKE, 1));
	EXPECT_EQ(0, futex((uint32_t *)self->far_own, FUTEX_WAKE, 1));
}

/* --- how long it is there ----------------------------------------------------------------- */

TEST(pages_can_be_read_when_their_owner_is_dead_and_nothing_is_open)
{
	const size_t size = PAGES * PAGE;
	const char *name = name_new();
	int listener = listener_new(name), far;
	struct child c;
	char *theirs;

	if (child_fork(&c)) {
		int fd = device_open();
		char *own;

		must(!end_create_sized(fd, size, PAGE, ANY_SIZE));
		own = region_map_own(fd, size);
		must(own != MAP_FAILED);
		pattern_fill(own, size / 2, 0, 7);
		must(!end_connect(fd, name, HANGS));
		child_say(&c, 'c');
		child_hear(&c);
		_exit(1);
	}
	ASSERT_EQ('c', child_hear(&c));
	far = listener_accept(listener, NO_WAIT);
	ASSERT_LE(0, far);
	ASSERT_EQ(0, end_create(far));
	ASSERT_EQ(0, end_meet(far, NO_WAIT));
	theirs = region_map_peer(far, size);
	ASSERT_NE(MAP_FAILED, theirs);
	EXPECT_EQ(-1, pattern_check(theirs, PAGE, 0, 7));

	EXPECT_EQ(-SIGKILL, child_kill(&c));
	EXPECT_EQ(POLLHUP, file_await(far, 0));
	EXPECT_EQ(-1, pattern_check(theirs, size / 2, 0, 7));

	close(far);
	close(listener);
	EXPECT_EQ(-1, pattern_check(theirs, size / 2, 0, 7));
	/* What was never touched as well. */
	EXPECT_EQ(0, theirs[size - 1]);
	munmap(theirs, size);
}

TEST(ours_can_be_written_when_nothing_is_open)
{
	int fd = end_new();
	char *own = region_map_own(fd, SMALL);

	ASSERT_NE(MAP_FAILED, own);
	close(fd);
	pattern_fill(own, SMALL, 0, 3);
	EXPECT_EQ(-1, pattern_check(own, SMALL, 0, 3));
	munmap(own, SMALL);
}

TEST_F(region, theirs_can_be_mapped_when_they_are_dead)
{
	char *seen;

	strcpy(self->far_own, "last words");
	ASSERT_EQ(0, file_hang_up(self->far));
	close(self->far);
	self->ends.far = -1;

	seen = region_map_peer(self->near, PAGE);
	ASSERT_NE(MAP_FAILED, seen);
	EXPECT_STREQ("last words", seen);
	munmap(seen, PAGE);
}

/* --- who pays --------------------------------------------------------------------------------- */

#define CGROUPS "/sys/fs/cgroup"
#define PAID (4 * MIB)

static void cgroup_path(char path[128], const char *group, const char *file)
{
	snprintf(path, 128, CGROUPS "/shmux-test-%d-%s/%s", getpid(), group, file);
}

static bool cgroup_new(const char *group)
{
	char path[128];

	cgroup_path(path, group, "");
	return !mkdir(path, 0755);
}

static void cgroup_free(const char *group)
{
	char path[128];

	cgroup_path(path, group, "");
	/* Who was in it may not be gone for good yet. */
	if (!wait_until(!rmdir(path) || errno == ENOENT))
		fprintf(stderr, "# %s is still in use\n", path);
}

static bool cgroup_put(const char *group, const char *name, uint64_t value)
{
	char path[128];
	FILE *file;

	cgroup_path(path, group, name);
	file = fopen(path, "we");
	if (!file)
		return false;
	fprintf(file, "%llu\n", (unsigned long long)value);
	return !fclose(file);
}

/* Bytes of shared memory that it is charged with, to the MiB. */
static int64_t cgroup_shmem(const char *group)
{
	char path[128], line[128];
	long long bytes = -1;
	FILE *file;

	cgroup_path(path, group, "memory.stat");
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "shmem %lld", &bytes) == 1)
			break;
	fclose(file);
	return (bytes + MIB / 2) / MIB * MIB;
}

/* The statistics of a group come in batches. */
#define EXPECT_CHARGED(bytes, group) EXPECT_TRUE(wait_until(cgroup_shmem(group) == (bytes)))

/* A child in @group, which runs @work when it hears from us, and ends so, too. */
static void payer_start(struct __test_metadata *_metadata, struct child *c, const char *group,
			void (*work)(struct ends *ends), struct ends *ends)
{
	ASSERT_TRUE(cgroup_new(group));
	if (child_fork(c)) {
		child_hear(c);
		work(ends);
		child_say(c, 'd');
		child_hear(c);
		_exit(0);
	}
	ASSERT_TRUE(cgroup_put(group, "cgroup.procs", (uint64_t)c->pid));
}

static void payer_run(struct __test_metadata *_metadata, struct child *c)
{
	child_say(c, 'g');
	ASSERT_EQ('d', child_hear(c));
}

static void create_populated(struct ends *ends)
{
	must(!end_create_sized(ends->near, 2 * PAID, PAID, ANY_SIZE));
}

static void create_bare(struct ends *ends)
{
	must(!end_create_sized(ends->near, 2 * PAID, 0, ANY_SIZE));
	must(end_meet(ends->near, NO_WAIT) == -EAGAIN);
}

static void write_all(struct ends *ends)
{
	char *own = region_map_own(ends->near, 2 * PAID);

	must(own != MAP_FAILED);
	memset(own, 1, 2 * PAID);
	munmap(own, 2 * PAID);
}

static void read_half(struct ends *ends)
{
	char *theirs = region_map_peer(ends->far, PAID);
	int sum = 0;

	must(theirs != MAP_FAILED);
	for (uint32_t at = 0; at < PAID; at += PAGE)
		sum += ((volatile char *)theirs)[at];
	must(!sum);
	munmap(theirs, PAID);
}

FIXTURE(charge)
{
	struct ends ends;
};

FIXTURE_SETUP(charge)
{
	struct usage is;

	if (access(CGROUPS "/cgroup.controllers", R_OK))
		SKIP_TEST("there are no control groups of the second version");
	ASSERT_TRUE(usage_becomes_none(&is));
	ASSERT_EQ(0, ends_pair(&self->ends));
}

FIXTURE_TEARDOWN(charge)
{
	ends_close(&self->ends);
	cgroup_free("one");
	cgroup_free("other");
}

TEST_F(charge, of_what_is_populated_is_the_makers)
{
	struct child c;

	payer_start(_metadata, &c, "one", create_populated, &self->ends);
	EXPECT_CHARGED(0, "one");

	payer_run(_metadata, &c);

	EXPECT_CHARGED(PAID, "one");
	child_kill(&c);
	ends_close(&self->ends);
	EXPECT_CHARGED(0, "one");
}

static void create_for_ever(struct ends *ends)
{
	end_create_sized(ends->near, 16 * PAID, 16 * PAID, ANY_SIZE);
	must(!"alive");
}

TEST_F(charge, that_the_group_has_no_room_for_kills_the_maker_and_leaves_nothing)
{
	struct usage before, after;
	struct child c;

	ASSERT_EQ(0, usage_get(&before));
	payer_start(_metadata, &c, "one", create_for_ever, &self->ends);
	ASSERT_TRUE(cgroup_put("one", "memory.max", PAID));
	cgroup_put("one", "memory.swap.max", 0);

	/* tests/vm/verdict looks for this. */
	TH_LOG("the memory of shmux-test-%d-one is to run out", getpid());
	child_say(&c, 'g');
	EXPECT_EQ(-SIGKILL, child_end(&c));
	EXPECT_CHARGED(0, "one");
	EXPECT_TRUE(usage_becomes(&before, &after));

	EXPECT_EQ(0, end_create(self->ends.near));
	EXPECT_EQ(0, end_create(self->ends.far));
	EXPECT_EQ(0, ends_meet(&self->ends));
}

TEST_F(charge, of_the_rest_is_the_first_writers)
{
	struct child maker, writer;

	payer_start(_metadata, &maker, "one", create_populated, &self->ends);
	payer_start(_metadata, &writer, "other", write_all, &self->ends);
	payer_run(_metadata, &maker);
	EXPECT_CHARGED(PAID, "one");
	EXPECT_CHARGED(0, "other");

	payer_run(_metadata, &writer);

	EXPECT_CHARGED(PAID, "one");
	EXPECT_CHARGED(PAID, "other");
	child_kill(&writer);
	child_kill(&maker);
}

TEST_F(charge, of_what_nobody_wrote_is_the_first_readers)
{
	struct child maker, reader;

	payer_start(_metadata, &maker, "one", create_bare, &self->ends);
	payer_start(_metadata, &reader, "other", read_half, &self->ends);
	payer_run(_metadata, &maker);
	EXPECT_CHARGED(0, "one");

	payer_run(_metadata, &reader);

	EXPECT_CHARGED(0, "one");
	EXPECT_CHARGED(PAID, "other");
	child_kill(&reader);
	child_kill(&maker);
}

TEST_HARNESS_MAIN
