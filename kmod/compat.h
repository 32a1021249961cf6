/* SPDX-License-Identifier: GPL-2.0-only */
/**
 * DOC: what differs between kernels
 *
 * From 6.1 to 7.x, but for 6.13, and with Debian's back-ports among them. All
 * that asks for a version is here; elsewhere the code reads as for one kernel.
 */
#ifndef KMOD_COMPAT_H
#define KMOD_COMPAT_H

#include <linux/eventfd.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/security.h>
#include <linux/shmem_fs.h>
#include <linux/version.h>

/* Private to the scheduler; from 6.6 on a wake-up may ask for this CPU. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0) && \
	LINUX_VERSION_CODE < KERNEL_VERSION(7, 4, 0)
#define SHMUX_WF_CURRENT_CPU 0x40
#else
#define SHMUX_WF_CURRENT_CPU 0
#endif

static inline void shmux_eventfd_signal(struct eventfd_ctx *ctx)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

static inline void shmux_vm_flags_mod(struct vm_area_struct *vma,
				      vm_flags_t set, vm_flags_t clear)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	vm_flags_mod(vma, set, clear);
#else
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
#endif
}

/* Of @size bytes, none of them there nor promised. */
static inline struct file *shmux_shmem_file(u64 size)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 0, 0)
	return shmem_file_setup("shmux", size, mk_vma_flags(VMA_NORESERVE_BIT));
#else
	return shmem_file_setup("shmux", size, VM_NORESERVE);
#endif
}

static inline int shmux_call_mmap(struct file *file, struct vm_area_struct *vma)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 17, 0)
	return vfs_mmap(file, vma);
#else
	return call_mmap(file, vma);
#endif
}

/**
 * struct shmux_label - a security label as text
 * @text: not terminated
 * @len: bytes
 * @context: by which it is let go; from 6.14 on
 */
struct shmux_label {
	char *text;
	u32 len;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	struct lsm_context context;
#endif
};

/* A subject as security modules number them, as of some moment. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
struct shmux_subject {
	struct lsm_prop prop;
};
#else
struct shmux_subject {
	u32 secid;
};
#endif

static inline void shmux_subject_get_current(struct shmux_subject *subject)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	security_current_getlsmprop_subj(&subject->prop);
#else
	security_current_getsecid_subj(&subject->secid);
#endif
}

/* Return: 0 or -errno; what it gives is let go by shmux_label_put(). */
static inline int shmux_label_get(const struct shmux_subject *subject,
				  struct shmux_label *label)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	struct lsm_prop prop = subject->prop;
	int err;

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 18, 0)
	err = security_lsmprop_to_secctx(&prop, &label->context, LSM_ID_UNDEF);
#else
	err = security_lsmprop_to_secctx(&prop, &label->context);
#endif
	if (err < 0)
		return err;
	label->text = label->context.context;
	label->len = label->context.len;
	return 0;
#else
	return security_secid_to_secctx(subject->secid, &label->text,
					&label->len);
#endif
}

static inline void shmux_label_put(struct shmux_label *label)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 14, 0)
	security_release_secctx(&label->context);
#else
	security_release_secctx(label->text, label->len);
#endif
}

#endif /* KMOD_COMPAT_H */
