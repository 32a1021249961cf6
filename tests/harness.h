/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * harness.h - the kernel's kselftest_harness.h, as our tests use it
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include "kselftest_harness.h"

/* Seconds: an emulated machine is slow, and what hangs is the runner's to end. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 200

/*
 * In a set-up: the test does not run. The harness of Linux 6.1 would run it after
 * a SKIP there, and runs it not if the set-up has not passed.
 */
#ifdef XFAIL_ADD
#define SKIP_TEST(...) SKIP(return, __VA_ARGS__)
#else
#define SKIP_TEST(...) SKIP(_metadata->passed = 0; return, __VA_ARGS__)
#endif

#endif /* TESTS_HARNESS_H */
