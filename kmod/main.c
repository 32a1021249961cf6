// SPDX-License-Identifier: GPL-2.0-only
/*
 * main.c - the device, loading and unloading
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include <linux/shmux.h>

static const struct file_operations shmux_fops = {
	.owner = THIS_MODULE,
};

static struct miscdevice shmux_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "shmux",
	.fops = &shmux_fops,
	.mode = 0666,
};
module_misc_device(shmux_device);

MODULE_DESCRIPTION("Shared memory and doorbells for two processes to talk");
MODULE_LICENSE("GPL");
