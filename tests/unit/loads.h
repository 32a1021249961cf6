/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * loads.h - which words of some memory are loaded, and how often
 *
 * While it is watched, each access to the memory faults, is noted, and is then
 * done in a single step. x86-64 only.
 */
#ifndef TESTS_UNIT_LOADS_H
#define TESTS_UNIT_LOADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOADS_MAX 1024

/* Handlers write it where the compiler sees no call that could. */
static volatile struct {
	char *memory;
	size_t size;
	uint32_t nr;
	size_t offsets[LOADS_MAX];
} loads;

/* Return: where, before @end, something was loaded that had been loaded before, or -1. */
static inline int64_t loads_twice(size_t end)
{
	for (uint32_t i = 0; i < loads.nr && i < LOADS_MAX; i++)
		for (uint32_t k = 0; k < i; k++)
			if (loads.offsets[i] < end && loads.offsets[i] / 4 == loads.offsets[k] / 4)
				return (int64_t)loads.offsets[i];
	return -1;
}

#if defined(__x86_64__)

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define LOADS_TRAP_FLAG 0x100

static struct sigaction loads_segv, loads_trap; /* as they were */

static inline void loads_on_fault(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = (ucontext_t *)context;
	char *at = (char *)info->si_addr;

	(void)signal;
	if (at < loads.memory || at >= loads.memory + loads.size) {
		sigaction(SIGSEGV, &loads_segv, NULL);
		return;
	}
	if (loads.nr < LOADS_MAX)
		loads.offsets[loads.nr] = (size_t)(at - loads.memory);
	loads.nr++;
	mprotect(loads.memory, loads.size, PROT_READ | PROT_WRITE);
	uc->uc_mcontext.gregs[REG_EFL] |= LOADS_TRAP_FLAG;
}

static inline void loads_on_step(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = (ucontext_t *)context;

	(void)signal;
	(void)info;
	uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)LOADS_TRAP_FLAG;
	mprotect(loads.memory, loads.size, PROT_NONE);
}

/* Watch @size bytes of whole pages, from now on. */
static inline void loads_begin(const void *memory, size_t size)
{
	struct sigaction fault = { .sa_sigaction = loads_on_fault, .sa_flags = SA_SIGINFO };
	struct sigaction step = { .sa_sigaction = loads_on_step, .sa_flags = SA_SIGINFO };

	loads.memory = (char *)(uintptr_t)memory;
	loads.size = size;
	loads.nr = 0;
	sigaction(SIGSEGV, &fault, &loads_segv);
	sigaction(SIGTRAP, &step, &loads_trap);
	mprotect(loads.memory, loads.size, PROT_NONE);
}

static inline void loads_end(void)
{
	mprotect(loads.memory, loads.size, PROT_READ | PROT_WRITE);
	sigaction(SIGSEGV, &loads_segv, NULL);
	sigaction(SIGTRAP, &loads_trap, NULL);
}

/* Whether single steps are traced here: valgrind does not. */
static inline bool loads_work(void)
{
	const size_t size = 4096;
	volatile uint32_t *words = (volatile uint32_t *)mmap(NULL, size, PROT_READ | PROT_WRITE,
							     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (words == MAP_FAILED)
		return false;
	loads_begin((const void *)words, size);
	(void)words[0];
	(void)words[1];
	loads_end();
	munmap((void *)words, size);
	return loads.nr == 2;
}

#else

static inline bool loads_work(void)
{
	return false;
}

static inline void loads_begin(const void *memory, size_t size)
{
	(void)memory;
	(void)size;
}

static inline void loads_end(void)
{
}

#endif /* __x86_64__ */

#endif /* TESTS_UNIT_LOADS_H */
