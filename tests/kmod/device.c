// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * device.c - /dev/shmux, before it is asked for anything
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "kselftest_harness.h"

#include <linux/shmux.h>

FIXTURE(device)
{
	int fd;
};

FIXTURE_SETUP(device)
{
	self->fd = open("/dev/shmux", O_RDWR | O_CLOEXEC);
	ASSERT_GE(self->fd, 0);
}

FIXTURE_TEARDOWN(device)
{
	EXPECT_EQ(0, close(self->fd));
}

TEST_F(device, no_request_of_another_number_is_known)
{
	EXPECT_EQ(-1, ioctl(self->fd, _IO(SHMUX_IOC_TYPE, 0xff), NULL));
	EXPECT_EQ(ENOTTY, errno);
}

TEST_F(device, no_request_of_another_type_is_known)
{
	EXPECT_EQ(-1, ioctl(self->fd, _IO(SHMUX_IOC_TYPE + 1, 0), NULL));
	EXPECT_EQ(ENOTTY, errno);
}

TEST_HARNESS_MAIN
