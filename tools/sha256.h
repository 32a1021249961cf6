/* SPDX-License-Identifier: LGPL-2.1-or-later */
#ifndef SHMUX_TOOLS_SHA256_H
#define SHMUX_TOOLS_SHA256_H

#include <stddef.h>
#include <stdint.h>

#define SHA256_SIZE 32		/* bytes */
#define SHA256_TEXT_SIZE 65	/* with its NUL */

/* FIPS 180-4, of @len bytes at once. */
void sha256(const void *data, size_t len, uint8_t digest[SHA256_SIZE]);

void sha256_text(const uint8_t digest[SHA256_SIZE], char text[SHA256_TEXT_SIZE]);

#endif /* SHMUX_TOOLS_SHA256_H */
