// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * gate.c - see gate.h
 *
 * Owns the doors, which are listening sockets, a listener of the module's or
 * both; a timer; and a client for each connection whose hello is under way. Who
 * speaks yamux has no hello, and is no client: it has its session at once.
 */
#include "core/gate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/core.h"
#include "core/meeting.h"
#include "core/who.h"
#include "link/bytes.h"
#include "region/device.h"
#include "region/hello.h"
#include "region/inet.h"

#define CLIENTS_MAX 256
#define CONNECTS 16	/* taken at once, before sessions have their turn */
#define SWEEP UINT64_C(100000000)	/* ns between looks for dead clients */
#define REST UINT64_C(20000000)	/* ns without a look at the doors */
#define SENTENCES 16	/* a second, at most, about those who got no session */
#define PORTS 16	/* that the kernel may choose, until one is free everywhere */

struct client {
	struct shmux__watched watched;
	struct shmux__gate *g;
	const struct shmux__door *door;
	struct shmux_list node;
	struct shmux__meeting meeting;
	uint32_t bucket;		/* that it counts in */
};

static int admit(void *arg, const struct shmux_peer *peer, int fd)
{
	const struct shmux_listener_options *o =
		((struct shmux__gate *)arg)->options;

	/* The module has asked before it let them connect. */
	if (fd >= 0 && !shmux__who_may(peer, fd, o->mode, o->uid, o->gid))
		return -EACCES;
	return o->admit ? o->admit(o->admit_arg, peer) : 0;
}

static int socket_of(const struct client *c)
{
	return shmux__hello_fd(c->meeting.hello);
}

/* Somebody got no session. Strangers shall not fill the log: is this to be said? */
static bool may_log(struct shmux__gate *g)
{
	const struct shmux_session_options *o = g->session_options;
	uint64_t now = shmux_clock_now();
	char sentence[64];

	if (!o->log)
		return false;
	if (now - g->log_since >= SHMUX_NSEC_PER_SEC) {
		if (g->nr_sentences > SENTENCES) {
			snprintf(sentence, sizeof(sentence),
				 "%u more clients got no session",
				 g->nr_sentences - SENTENCES);
			o->log(o->log_arg, SHMUX_LOG_INFO, sentence);
		}
		g->log_since = now;
		g->nr_sentences = 0;
	}
	return g->nr_sentences++ < SENTENCES;
}

static void client_log(struct client *c, int err)
{
	if (may_log(c->g))
		shmux__meeting_log(&c->meeting, c->door->address, err);
}

/* It is over: its socket is no longer watched. */
static void client_forget(struct client *c)
{
	shmux__meeting_close(&c->meeting);
	shmux_list_remove(&c->node);
	c->g->nr_clients--;
	c->g->buckets[c->bucket]--;
	shmux__loop_free_later(c->g->loop, &c->watched);
}

static void client_drop(struct client *c)
{
	shmux__loop_remove(c->g->loop, socket_of(c));
	client_forget(c);
}

/* The user with the most clients loses the one that has lasted longest. */
static void make_way(struct shmux__gate *g)
{
	struct shmux_list *pos, *tmp;
	uint32_t i, most = 0;
	struct client *c;

	for (i = 1; i < SHMUX_GATE_BUCKETS; i++)
		if (g->buckets[i] > g->buckets[most])
			most = i;
	shmux_list_for_each_safe(pos, tmp, &g->clients) {
		c = shmux_container_of(pos, struct client, node);
		if (c->bucket != most)
			continue;
		client_log(c, -ETIMEDOUT);
		client_drop(c);
		return;
	}
}

/* For the end of a rest, or for the next sweep; for nothing without either. */
static void timer_arm(struct shmux__gate *g)
{
	uint64_t ns = g->rests ? REST : g->nr_clients ? SWEEP : 0;
	struct itimerspec in = { .it_value = shmux_clock_timespec(ns) };

	timerfd_settime(g->timer_fd, 0, &in, NULL);
}

/*
 * Go on with a client that is not watched. Its meeting may end by closing its
 * socket, which a forked child of ours may hold: then the epoll descriptor would
 * still tell of it, and name a client that is gone.
 */
static void client_serve(struct client *c)
{
	struct shmux__gate *g = c->g;
	struct shmux_session *s;
	int err;

	err = shmux__meeting_step(&c->meeting, c->door->address, &s);
	if (err == -EAGAIN) {
		err = shmux__loop_add(g->loop, socket_of(c),
				      (uint32_t)shmux__hello_events(
					      c->meeting.hello),
				      &c->watched);
		if (!err) {
			if (g->nr_clients == 1)
				timer_arm(g);
			return;
		}
	}
	if (err)
		client_log(c, err);
	/* Its socket is the session's now, and watched as such, if at all. */
	client_forget(c);
	if (!err)
		g->admitted(g->arg, s);
}

static int client_ready(struct shmux__watched *w)
{
	struct client *c = shmux_container_of(w, struct client, watched);

	shmux__loop_remove(c->g->loop, socket_of(c));
	client_serve(c);
	return 0;
}

static int watch_doors(struct shmux__gate *g)
{
	uint32_t i;
	int err = 0;

	for (i = 0; i < g->nr_doors && !err; i++)
		err = shmux__loop_add(g->loop, g->doors[i].fd, EPOLLIN,
				      &g->doors[i].watched);
	return err;
}

/*
 * Leave the doors alone for a while, or turn to them again. Not by asking for no
 * events: one that somebody has shut who has it, too, would tell of that for ever.
 */
static void rest(struct shmux__gate *g, bool rests)
{
	uint32_t i;

	for (i = 0; i < g->nr_doors; i++)
		shmux__loop_remove(g->loop, g->doors[i].fd);
	/* Without memory for that they rest on. */
	g->rests = rests || watch_doors(g);
	timer_arm(g);
}

/* Those with whom it is over without their having hung up. */
static void sweep(struct shmux__gate *g)
{
	struct shmux_list *pos, *tmp;

	shmux_list_for_each_safe(pos, tmp, &g->clients)
		client_ready(&shmux_container_of(pos, struct client, node)
				      ->watched);
	timer_arm(g);
}

static int timer_ready(struct shmux__watched *w)
{
	struct shmux__gate *g =
		shmux_container_of(w, struct shmux__gate, timer_watched);

	if (g->rests)
		rest(g, false);
	else
		sweep(g);
	return 0;
}

/* Whether there are descriptors for what a hello brings: a memfd and a pidfd. */
static bool has_room(const struct shmux__gate *g)
{
	int fds[2], nr = 0;
	bool room;

	while (nr < 2 && (fds[nr] = fcntl(g->timer_fd, F_DUPFD_CLOEXEC, 0)) >= 0)
		nr++;
	room = nr == 2;
	while (nr)
		close(fds[--nr]);
	return room;
}

/* Who has connected by yamux has a session, unless we do not want them. */
static int yamux_take(struct shmux__gate *g, int fd)
{
	bool knows_user = shmux__address_knows_user(g->address);
	struct shmux_session *s;
	struct shmux__link *link;
	int err;

	if (g->address->kind == SHMUX_ADDRESS_TCP)
		shmux__inet_tune(fd, g->session_options->keepalive);
	err = shmux__bytes_open(fd, fd, SHMUX_ROLE_ACCEPTOR, &link);
	if (err)
		return err;
	err = admit(g, &link->peer, knows_user ? fd : -1);
	if (err && may_log(g))
		shmux__say(g->session_options,
			   "no session at %s with process %ld of user %ld: %s",
			   g->address->text, (long)link->peer.pid,
			   (long)(int)link->peer.uid,
			   shmux__meeting_reason(err, false, SHMUX_ROLE_ACCEPTOR));
	if (err) {
		link->ops->close(link);
		return 0;
	}
	err = shmux__session_new(link, g->session_options, g->address->text, &s);
	if (!err)
		g->admitted(g->arg, s);
	return err;
}

static int door_accept(struct shmux__door *d)
{
	return d->by_module ? shmux__device_accept(d->fd) :
			      shmux__endpoint_accept(&d->endpoint);
}

/* Somebody connects. Return: 0, -EAGAIN, or why it cannot be had now. */
static int connection_take(struct shmux__door *d)
{
	struct shmux__gate *g = d->g;
	struct client *c;
	int fd;

	fd = door_accept(d);
	if (fd < 0 && fd != -EAGAIN && g->nr_clients) {
		make_way(g);
		fd = door_accept(d);
	}
	if (fd < 0 && fd != -EAGAIN)
		rest(g, true);
	if (fd < 0)
		return fd;
	if (g->address->kind != SHMUX_ADDRESS_MEMORY)
		return yamux_take(g, fd);
	/* What its hello brings is lost if there is no descriptor for it. */
	while (g->nr_clients && !has_room(g))
		make_way(g);
	c = calloc(1, sizeof(*c));
	if (!c) {
		close(fd);
		return -ENOMEM;
	}
	if (shmux__meeting_open(&c->meeting, fd, SHMUX_ROLE_ACCEPTOR, true,
				g->session_options, admit, g)) {
		free(c);
		return 0;
	}
	c->watched.ready = client_ready;
	c->g = g;
	c->door = d;
	shmux_list_append(&g->clients, &c->node);
	c->bucket = shmux__meeting_peer(&c->meeting)->uid % SHMUX_GATE_BUCKETS;
	g->buckets[c->bucket]++;
	g->nr_clients++;
	/* First: what it has said already saves it from being one too many. */
	client_serve(c);
	if (g->nr_clients > CLIENTS_MAX)
		make_way(g);
	return 0;
}

static int door_ready(struct shmux__watched *w)
{
	struct shmux__door *d =
		shmux_container_of(w, struct shmux__door, watched);
	int n, err = 0;

	for (n = 0; n < CONNECTS && !err; n++)
		err = connection_take(d);
	return err == -EAGAIN ? 0 : err;
}

/* @address: what it stands for, in full. The door is not yet one of the gate's. */
static struct shmux__door *door_init(struct shmux__gate *g, const char *address)
{
	struct shmux__door *d = &g->doors[g->nr_doors];

	*d = (struct shmux__door){
		.watched = { .ready = door_ready },
		.g = g,
		.fd = -1,
		.address = address,
	};
	return d;
}

static void door_add(struct shmux__gate *g, int fd)
{
	g->doors[g->nr_doors++].fd = fd;
}

static void close_doors(struct shmux__gate *g)
{
	struct shmux__door *d;

	while (g->nr_doors) {
		d = &g->doors[--g->nr_doors];
		if (d->by_module)
			shmux__device_unlisten(d->fd);
		else
			shmux__endpoint_close(&d->endpoint);
	}
}

/* A name that can be had by memfd is had without the module, if it must be. */
static int open_kmod(struct shmux__gate *g)
{
	const struct shmux_listener_options *o = g->options;
	struct shmux__door *d = door_init(g, g->address->kmod);
	int fd = shmux__device_listen(g->address->name, o->backlog, o->mode,
				      o->uid, o->gid);

	d->by_module = true;
	if (fd >= 0) {
		door_add(g, fd);
		return 0;
	}
	if (fd == -EADDRINUSE || !g->address->memfd[0])
		return fd;
	if (fd != -ENODEV)
		shmux__say(g->session_options,
			   "%s is had without the module, which fails with errno %d",
			   g->address->text, -fd);
	return 0;
}

/* memfd's name or path, or the path of a stream of bytes. */
static int open_unix(struct shmux__gate *g, const char *address, int type)
{
	const struct shmux_listener_options *o = g->options;
	uid_t uid = o->flags & SHMUX_LISTENER_UID ? o->uid : (uid_t)-1;
	gid_t gid = o->flags & SHMUX_LISTENER_GID ? o->gid : (gid_t)-1;
	struct shmux__door *d = door_init(g, address);
	int err = shmux__endpoint_open(&d->endpoint, &g->address->sun,
				       g->address->sun_len, type,
				       (int)o->backlog, o->mode & 0666, uid, gid);

	if (!err)
		door_add(g, d->endpoint.fd);
	return err;
}

static int open_memory(struct shmux__gate *g)
{
	int err = 0;

	if (g->address->kmod[0])
		err = open_kmod(g);
	if (!err && g->address->memfd[0])
		err = open_unix(g, g->address->memfd, SOCK_SEQPACKET);
	return err;
}

/*
 * The same port of all of the host's addresses; of those that there are here: a
 * machine may know a name by IPv6, say, and have none of it.
 */
static int open_port(struct shmux__gate *g, const struct addrinfo *found,
		     uint16_t *port)
{
	const struct addrinfo *ai;
	struct shmux__door *d;
	int err = -ENOENT;

	for (ai = found; ai && g->nr_doors < SHMUX_GATE_DOORS; ai = ai->ai_next) {
		d = door_init(g, g->address->text);
		shmux__inet_set_port(ai->ai_addr, *port);
		err = shmux__endpoint_open_inet(&d->endpoint, ai->ai_addr,
						ai->ai_addrlen,
						(int)g->options->backlog);
		if (err == -EADDRNOTAVAIL || err == -EAFNOSUPPORT)
			continue;
		if (!err) {
			door_add(g, d->endpoint.fd);
			err = shmux__inet_port_of(d->fd, port);
		}
		if (err)
			return err;
	}
	return g->nr_doors ? 0 : err;
}

static int open_inet(struct shmux__gate *g)
{
	uint16_t port = g->address->port;
	struct addrinfo *found;
	int err, tries = PORTS;

	err = shmux__inet_resolve(g->address->host, port, true, &found);
	if (err)
		return err;
	/* What is free at one address may be in use at another. */
	while ((err = open_port(g, found, &port)) == -EADDRINUSE &&
	       !g->address->port && --tries) {
		close_doors(g);
		port = 0;
	}
	freeaddrinfo(found);
	g->address->port = port;
	return err;
}

static int open_doors(struct shmux__gate *g)
{
	switch (g->address->kind) {
	case SHMUX_ADDRESS_MEMORY:
		return open_memory(g);
	case SHMUX_ADDRESS_UNIX:
		return open_unix(g, g->address->text, SOCK_STREAM);
	case SHMUX_ADDRESS_TCP:
		return open_inet(g);
	default:
		return 0;	/* nobody connects */
	}
}

int shmux__gate_open(struct shmux__gate *g)
{
	int err;

	g->rests = false;
	g->nr_doors = 0;
	g->nr_clients = g->nr_sentences = 0;
	g->log_since = 0;
	memset(g->buckets, 0, sizeof(g->buckets));
	shmux_list_init(&g->clients);
	g->timer_watched = (struct shmux__watched){ .ready = timer_ready };

	err = open_doors(g);
	if (err)
		goto err_close_doors;
	g->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (g->timer_fd < 0) {
		err = -errno;
		goto err_close_doors;
	}
	err = watch_doors(g);
	if (!err)
		err = shmux__loop_add(g->loop, g->timer_fd, EPOLLIN,
				      &g->timer_watched);
	if (err)
		goto err_close_timer;
	return 0;

err_close_timer:
	close(g->timer_fd);
err_close_doors:
	close_doors(g);
	return err;
}

void shmux__gate_close(struct shmux__gate *g)
{
	struct shmux_list *pos, *tmp;

	shmux_list_for_each_safe(pos, tmp, &g->clients)
		client_drop(shmux_container_of(pos, struct client, node));
	close(g->timer_fd);
	/* Now there is a descriptor for a path's lock, if none was left. */
	close_doors(g);
}
