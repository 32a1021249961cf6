// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * units.c - figures for people
 */
#include "units.h"

#include <stdio.h>

static struct units scale(double value, const char *unit)
{
	static const char prefix[] = "kMGTPE";
	struct units u;
	int i = -1;

	if (value < 999.5) {
		snprintf(u.text, sizeof(u.text), "%.0f %s", value, unit);
		return u;
	}
	do {
		value /= 1000;
		i++;
	} while (value >= 999.5 && prefix[i + 1]);
	snprintf(u.text, sizeof(u.text), "%.*f %c%s", value < 9.995 ? 2 : 1, value, prefix[i],
		 unit);
	return u;
}

struct units units_bytes(double bytes)
{
	return scale(bytes, "B");
}

struct units units_time(uint64_t ns)
{
	struct units u;

	if (ns < 10000)
		snprintf(u.text, sizeof(u.text), "%u ns", (unsigned int)ns);
	else if (ns < 1000000)
		snprintf(u.text, sizeof(u.text), "%.1f us", ns / 1e3);
	else if (ns < 10000000000)
		snprintf(u.text, sizeof(u.text), "%.1f ms", ns / 1e6);
	else
		snprintf(u.text, sizeof(u.text), "%.1f s", ns / 1e9);
	return u;
}

struct units units_age(uint64_t ns)
{
	unsigned long s = ns / 1000000000;
	struct units u;

	if (s < 1)
		return units_time(ns);
	if (s < 60)
		snprintf(u.text, sizeof(u.text), "%.1f s", ns / 1e9);
	else if (s < 3600)
		snprintf(u.text, sizeof(u.text), "%lu min %lu s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(u.text, sizeof(u.text), "%lu h %lu min", s / 3600, s / 60 % 60);
	else
		snprintf(u.text, sizeof(u.text), "%lu d %lu h", s / 86400 % 100000, s / 3600 % 24);
	return u;
}

struct units units_rate(double bytes, uint64_t ns)
{
	return ns ? scale(bytes / ns * 1e9, "B/s") : (struct units){ "-" };
}
