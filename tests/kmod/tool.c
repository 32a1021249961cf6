// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * tool.c - what the command shows of the module, and does to it
 *
 * It is `shmux` in the PATH.
 */
#include <pty.h>
#include <sched.h>
#include <stdarg.h>

#include "genl.h"
#include "json.h"
#include "process.h"
#include "worker.h"

#define TOOL "shmux"

/* --- running it ------------------------------------------------------------- */

/* What it wrote and how it left. */
struct ran {
	int status;
	char out[65536];
	char err[4096];
};

static void slurp(const char *path, char *buf, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(buf, 1, size - 1, file) : 0;

	buf[n] = '\0';
	if (file)
		fclose(file);
	unlink(path);
}

static int run(struct ran *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Return: the exit status. */
static int run(struct ran *r, const char *format, ...)
{
	char command[512], out[64], err[64], arguments[300];
	va_list args;
	int status;

	va_start(args, format);
	vsnprintf(arguments, sizeof(arguments), format, args);
	va_end(args);
	snprintf(out, sizeof(out), "/tmp/tool-%d.out", getpid());
	snprintf(err, sizeof(err), "/tmp/tool-%d.err", getpid());
	snprintf(command, sizeof(command), TOOL " %s >%s 2>%s", arguments, out, err);
	status = system(command);
	r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	slurp(out, r->out, sizeof(r->out));
	slurp(err, r->err, sizeof(r->err));
	return r->status;
}

#define EXPECT_SHOWS(text)                                                               \
	do {                                                                             \
		EXPECT_NE(NULL, strstr(self->r.out, text))                               \
		{                                                                        \
			TH_LOG("'%s' is not in:\n%s%s", text, self->r.out, self->r.err); \
		}                                                                        \
	} while (0)

#define ASSERT_RUNS(...)                                          \
	do {                                                      \
		ASSERT_EQ(0, run(&self->r, __VA_ARGS__))          \
		{                                                 \
			TH_LOG("%s%s", self->r.out, self->r.err); \
		}                                                 \
		EXPECT_STREQ("", self->r.err);                    \
	} while (0)

/* It leaves by a sentence that says @text, with the errno's name @name. */
#define EXPECT_REFUSED(text, name)                                        \
	do {                                                              \
		EXPECT_EQ(1, self->r.status);                             \
		EXPECT_EQ(0, strncmp(self->r.err, "shmux: cannot ", 14)); \
		EXPECT_NE(NULL, strstr(self->r.err, text))                \
		{                                                         \
			TH_LOG("%s", self->r.err);                        \
		}                                                         \
		EXPECT_NE(NULL, strstr(self->r.err, "(" name ")\n"));     \
		EXPECT_STREQ("", self->r.out);                            \
	} while (0)

/* One that runs beside us, its standard output and error in one pipe. */
struct beside {
	pid_t pid;
	int fd, in;
	size_t len;
	char buf[65536];
};

static void beside_start(struct beside *b, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void beside_start(struct beside *b, const char *format, ...)
{
	char command[300];
	int out[2], in[2];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	b->len = 0;
	genl_must(!pipe2(out, O_CLOEXEC) && !pipe2(in, O_CLOEXEC));
	b->pid = fork();
	genl_must(b->pid >= 0);
	if (!b->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		execl("/bin/sh", "sh", "-c", command, NULL);
		_exit(127);
	}
	close(out[1]);
	close(in[0]);
	b->fd = out[0];
	b->in = in[1];
}

/* Read on until @text is there. Return: whether it came. */
static bool beside_says(struct beside *b, const char *text)
{
	for (;;) {
		ssize_t n;

		b->buf[b->len] = '\0';
		if (strstr(b->buf, text))
			return true;
		if (file_await(b->fd, POLLIN) <= 0 || b->len + 1 >= sizeof(b->buf))
			return false;
		n = read(b->fd, b->buf + b->len, sizeof(b->buf) - 1 - b->len);
		if (n <= 0)
			return false;
		b->len += n;
	}
}

/* Return: its status, as a shell has it. */
static int beside_end(struct beside *b, int signal)
{
	char rest[4096];
	int status;

	if (signal)
		kill(b->pid, signal);
	close(b->in);
	/* It may have more to say than its pipe holds. */
	while (read(b->fd, rest, sizeof(rest)) > 0)
		;
	genl_must(waitpid(b->pid, &status, 0) == b->pid);
	close(b->fd);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* --- a listener and a session, both ends of which are ours -------------------- */

FIXTURE(tool)
{
	char name[SHMUX_NAME_SIZE];
	int listener;
	struct ends ends;
	uint32_t number;
	struct ran r;
	struct beside b;
};

static uint32_t number_of(const char *name)
{
	struct genl g = genl_dump(SHMUX_CMD_SESSION_GET);
	uint32_t number = 0;

	for (unsigned int i = 0; i < g.nr; i++) {
		const struct nlmsghdr *m = genl_message(&g, i);
		const char *its = genl_string(m, SHMUX_A_SESSION_NAME);

		if (its && !strcmp(its, name))
			number = genl_u32(m, SHMUX_A_SESSION_NUMBER);
	}
	genl_free(&g);
	return number;
}

static int open_session(const char *name, int listener, struct ends *ends)
{
	int err = ends->near = end_new_queued(name, NO_WAIT);

	if (err >= 0)
		err = ends->far = listener_accept(listener, NO_WAIT);
	if (err >= 0)
		err = end_create(ends->far);
	return err >= 0 ? ends_meet(ends) : err;
}

FIXTURE_SETUP(tool)
{
	strcpy(self->name, name_new());
	self->listener = listener_new(self->name);
	ASSERT_LE(0, self->listener);
	ASSERT_EQ(0, open_session(self->name, self->listener, &self->ends));
	self->number = number_of(self->name);
	ASSERT_NE(0, self->number);
}

FIXTURE_TEARDOWN(tool)
{
	ends_close(&self->ends);
	close(self->listener);
}

/* Where @text has the session whose dialler is @pid. */
static const char *session_of(const char *text, pid_t pid)
{
	char path[64];

	for (int i = 0;; i++) {
		snprintf(path, sizeof(path), ".sessions[%d]", i);
		if (!json_at(text, path))
			return NULL;
		strcat(path, ".dialler.pid");
		if (json_number(text, path) == pid) {
			snprintf(path, sizeof(path), ".sessions[%d]", i);
			return json_at(text, path);
		}
	}
}

/* Where @text has the session of this number. */
static const char *session_in(const char *text, uint32_t number)
{
	char path[64];

	for (int i = 0;; i++) {
		snprintf(path, sizeof(path), ".sessions[%d]", i);
		if (!json_at(text, path))
			return NULL;
		strcat(path, ".number");
		if (json_number(text, path) == number) {
			*strrchr(path, '.') = '\0';
			return json_at(text, path);
		}
	}
}

/* --- ls and show -------------------------------------------------------------- */

TEST_F(tool, ls_shows_listeners_and_sessions_of_the_module)
{
	char line[256];

	ASSERT_RUNS("ls");
	snprintf(line, sizeof(line), "%s  %7d  %7d  kmod   ", self->name, getpid(), geteuid());
	EXPECT_SHOWS(line);
	snprintf(line, sizeof(line), "kmod   %7u  open\n", self->number);
	EXPECT_SHOWS(line);
	EXPECT_EQ(NULL, strstr(self->r.out, "memfd alone"));
}

TEST_F(tool, ls_writes_json_of_all_that_is_known)
{
	const char *s;

	ASSERT_RUNS("ls --json");
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_TRUE(json_says(self->r.out, ".module", "true"));
	EXPECT_TRUE(json_says(self->r.out, ".listeners[0].address", self->name));
	EXPECT_EQ(getpid(), json_number(self->r.out, ".listeners[0].pid"));
	EXPECT_EQ(16, json_number(self->r.out, ".listeners[0].backlog"));
	EXPECT_EQ(1, json_number(self->r.out, ".listeners[0].accepted"));
	EXPECT_TRUE(json_says(self->r.out, ".listeners[0].mode", "0222"));

	s = session_in(self->r.out, self->number);
	ASSERT_NE(NULL, s);
	EXPECT_TRUE(json_says(s, ".address", self->name));
	EXPECT_TRUE(json_says(s, ".over", "kmod"));
	EXPECT_TRUE(json_says(s, ".state", "open"));
	EXPECT_TRUE(json_says(s, ".by", "null"));
	EXPECT_EQ(getpid(), json_number(s, ".dialler.pid"));
	EXPECT_EQ(SMALL, json_number(s, ".dialler.bytes"));
	EXPECT_EQ(getpid(), json_number(s, ".listener.owner"));
	EXPECT_EQ(0, json_number(s, ".listener.kicks"));
}

TEST_F(tool, ls_shows_the_state_of_a_session)
{
	const char *s;

	ASSERT_EQ(0, file_hang_up(self->ends.near));
	ASSERT_RUNS("ls");
	EXPECT_SHOWS("  hung up\n");
	ASSERT_RUNS("ls --json");
	s = session_in(self->r.out, self->number);
	ASSERT_NE(NULL, s);
	EXPECT_TRUE(json_says(s, ".state", "hung up"));
	EXPECT_TRUE(json_says(s, ".by", "dialler"));
	/* Which may be somebody else's pid by now. */
	EXPECT_EQ(getpid(), json_number(s, ".dialler.pid"));
	EXPECT_TRUE(json_says(s, ".dialler.command", "null"));
	EXPECT_TRUE(json_says(s, ".listener.command", "null"));
}

TEST_F(tool, ls_makes_a_command_fit_to_be_shown_however_badly_it_is_called)
{
	/* ESC, a quote, a backslash, a new line, C1, and what is no UTF-8. */
	static const char bad[] = "\033[1m\"\\\n\302\233\377";
	static const char good[] = "\"?[1m\\\"\\\\???x"; /* as JSON has it */
	struct child c;
	const char *s;

	if (child_fork(&c)) {
		struct ends ends;

		/* The command line is memory of ours. */
		must(strlen(program_invocation_name) >= strlen(bad));
		memset(program_invocation_name, 'x', strlen(program_invocation_name));
		memcpy(program_invocation_name, bad, strlen(bad));
		must(!ends_open(&ends));
		child_say(&c, 'o');
		child_hear(&c);
		_exit(0);
	}
	ASSERT_EQ('o', child_hear(&c));
	ASSERT_RUNS("ls");
	EXPECT_SHOWS(" ?[1m\"\\???x");
	EXPECT_EQ(NULL, strpbrk(self->r.out, "\033\302\233\377"));
	ASSERT_RUNS("ls --json");
	ASSERT_TRUE(json_is(self->r.out, 1));
	s = session_of(self->r.out, c.pid);
	ASSERT_NE(NULL, s);
	EXPECT_EQ(0, strncmp(json_at(s, ".dialler.command"), good, strlen(good)))
	{
		TH_LOG("%.60s", json_at(s, ".dialler.command"));
	}
	child_kill(&c);
}

TEST_F(tool, show_tells_a_session_by_its_number)
{
	uint32_t seen = 0;

	ASSERT_EQ(0, end_kick(self->ends.near));
	ASSERT_EQ(0, end_wait(self->ends.far, &seen, HANGS));
	ASSERT_RUNS("show %u", self->number);
	EXPECT_SHOWS("Session ");
	EXPECT_SHOWS("  state      open\n");
	EXPECT_SHOWS("    kicks    1\n");
	EXPECT_SHOWS("    waits    1, of which 0 slept\n");
	EXPECT_SHOWS("    region   16.4 kB, 0 B of it there\n");
	EXPECT_EQ(NULL, strstr(self->r.out, "Listener\n"));

	ASSERT_RUNS("show --json %u", self->number);
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_EQ(self->number, json_number(self->r.out, ".sessions[0].number"));
	EXPECT_EQ(NULL, json_at(self->r.out, ".sessions[1]"));
	EXPECT_EQ(NULL, json_at(self->r.out, ".listeners[0]"));
}

TEST_F(tool, show_tells_why_a_session_is_over)
{
	int queued = end_new_queued(self->name, NO_WAIT);

	ASSERT_LE(0, queued);
	ASSERT_EQ(0, file_hang_up(self->ends.far));
	ASSERT_RUNS("show %u", self->number);
	EXPECT_SHOWS("  state      over: the listener hung up\n");

	ASSERT_EQ(0, file_hang_up(self->listener));
	ASSERT_RUNS("show %u", number_of(self->name));
	EXPECT_SHOWS("  state      over: nobody was left to accept\n");
	close(queued);
}

TEST_F(tool, show_tells_a_listener_with_its_sessions)
{
	ASSERT_RUNS("show kmod:%s", self->name);
	EXPECT_SHOWS("Listener\n");
	EXPECT_SHOWS("  admits     0222, uid 0, gid 0\n");
	EXPECT_SHOWS("  waiting    0 of 16\n");
	EXPECT_SHOWS("  accepted   1\n");
	EXPECT_SHOWS("Session ");
	ASSERT_RUNS("show --json %s", self->name);
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_EQ(self->number, json_number(self->r.out, ".sessions[0].number"));

	run(&self->r, "show memfd:%s", self->name);
	EXPECT_REFUSED("nobody listens by this name", "ENOENT");
	run(&self->r, "show %u", self->number + 1);
	EXPECT_REFUSED("no session has this number", "ENOENT");
}

TEST_F(tool, another_network_namespace_is_shown_nothing)
{
	struct child c;

	if (child_fork(&c)) {
		must(!unshare(CLONE_NEWNET));
		must(!run(&self->r, "ls --json"));
		must(json_is(self->r.out, 1) && json_says(self->r.out, ".module", "true"));
		must(!json_at(self->r.out, ".listeners[0]"));
		must(!json_at(self->r.out, ".sessions[0]"));
		must(run(&self->r, "show %u", self->number) == 1);
		must(run(&self->r, "show %s", self->name) == 1);
		must(!run(&self->r, "limit --json"));
		must(json_is(self->r.out, 1) && !json_number(self->r.out, ".limits[4].used"));
		must(json_number(self->r.out, ".limits[7].used") == 1);
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
}

/* --- stat --------------------------------------------------------------------- */

static int64_t kick_on(void *arg)
{
	FIXTURE_DATA(tool) *self = arg;
	int64_t err = 0;

	while (!err && !__atomic_load_n(&self->b.len, __ATOMIC_RELAXED)) {
		uint32_t seen = 0;

		err = end_kick(self->ends.near);
		if (!err)
			err = end_wait(self->ends.far, &seen, HANGS);
	}
	return err;
}

TEST_F(tool, stat_shows_the_counters)
{
	int64_t kicks;

	ASSERT_RUNS("stat --json");
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_EQ(1, json_number(self->r.out, ".sessions"));
	EXPECT_EQ(1, json_number(self->r.out, ".module.listeners"));
	EXPECT_EQ(2 * SMALL, json_number(self->r.out, ".module.bytes"));
	kicks = json_number(self->r.out, ".module.kicks");
	ASSERT_LE(0, kicks);
	ASSERT_EQ(0, end_kick(self->ends.near));
	ASSERT_RUNS("stat --json");
	EXPECT_EQ(kicks + 1, json_number(self->r.out, ".module.kicks"));
	ASSERT_RUNS("stat");
	EXPECT_SHOWS("Of the kernel module, on this machine\n");
	EXPECT_SHOWS("\n  connects ");
	EXPECT_SHOWS("\n  quota_hits ");
}

TEST_F(tool, stat_and_top_show_rates)
{
	struct worker w;

	worker_start(&w, kick_on, self);
	ASSERT_RUNS("stat -i 0.2 --count 2 --json");
	EXPECT_TRUE(json_is(self->r.out, 2));
	/* On a busy machine the worker may not get a turn in so short a time. */
	for (int i = 0; i < 20 && json_number(self->r.out, ".module.kicks_per_s") <= 0; i++)
		ASSERT_RUNS("stat -i 0.2 --count 1 --json");
	EXPECT_LT(0, json_number(self->r.out, ".module.kicks_per_s"));
	EXPECT_LT(0, json_number(self->r.out, ".module.waits_per_s"));
	EXPECT_EQ(0, json_number(self->r.out, ".module.deaths_per_s"));
	EXPECT_EQ(1, json_number(self->r.out, ".module.sessions"));
	EXPECT_EQ(2 * SMALL, json_number(self->r.out, ".module.bytes"));
	ASSERT_RUNS("top -i 0.2 --count 1 --json");
	EXPECT_TRUE(json_is(self->r.out, 1));
	for (int i = 0; i < 20 && json_number(self->r.out, ".sessions[0].kicks_per_s") <= 0; i++)
		ASSERT_RUNS("top -i 0.2 --count 1 --json");
	EXPECT_EQ(self->number, json_number(self->r.out, ".sessions[0].session.number"));
	EXPECT_LT(0, json_number(self->r.out, ".sessions[0].kicks_per_s"));
	EXPECT_LT(0, json_number(self->r.out, ".sessions[0].waits_per_s"));
	EXPECT_TRUE(json_says(self->r.out, ".sessions[0].slots_per_s", "null"));
	ASSERT_RUNS("stat -i 0.2 --count 1");
	EXPECT_SHOWS("KICKS/S");
	__atomic_store_n(&self->b.len, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, worker_join(&w));
}

/* --- limit -------------------------------------------------------------------- */

TEST_F(tool, limit_shows_what_is_used_and_sets_what_may_be)
{
	char line[64];

	ASSERT_RUNS("limit");
	EXPECT_SHOWS("user   sessions            1 ");
	EXPECT_SHOWS("total  listeners           1 ");
	ASSERT_RUNS("limit --json");
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_TRUE(json_says(self->r.out, ".limits[4].scope", "net"));
	EXPECT_TRUE(json_says(self->r.out, ".limits[4].resource", "sessions"));
	EXPECT_EQ(1, json_number(self->r.out, ".limits[4].used"));
	EXPECT_EQ(NULL, json_at(self->r.out, ".limits[9]"));

	snprintf(line, sizeof(line), "%ju", (uintmax_t)limit_max(SHMUX_SCOPE_NET, SHMUX_BYTES));
	ASSERT_RUNS("limit net bytes 3Mi");
	EXPECT_EQ(3 << 20, limit_max(SHMUX_SCOPE_NET, SHMUX_BYTES));
	ASSERT_RUNS("limit net bytes 7k");
	EXPECT_EQ(7000, limit_max(SHMUX_SCOPE_NET, SHMUX_BYTES));
	ASSERT_RUNS("limit net bytes none");
	EXPECT_EQ(UINT64_MAX, limit_max(SHMUX_SCOPE_NET, SHMUX_BYTES));
	ASSERT_RUNS("limit");
	EXPECT_SHOWS("net    bytes         32.8 kB        none\n");
	ASSERT_RUNS("limit --json");
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_TRUE(json_says(self->r.out, ".limits[5].resource", "bytes"));
	EXPECT_TRUE(json_says(self->r.out, ".limits[5].max", "null"));
	EXPECT_LT(0, json_number(self->r.out, ".limits[4].max"));
	ASSERT_RUNS("limit net bytes %s", line);
}

TEST_F(tool, limit_says_that_it_takes_an_administrator)
{
	struct child c;

	if (child_fork(&c)) {
		must(!setresgid(1001, 1001, 1001) && !setresuid(1001, 1001, 1001));
		must(run(&self->r, "limit user sessions 5") == 1);
		must(strstr(self->r.err, "cannot set the limit: that takes root, or "
					 "CAP_NET_ADMIN") &&
		     strstr(self->r.err, "(EPERM)\n"));
		must(!run(&self->r, "limit"));
		/* Who has it in a namespace of its own has not got it here. */
		must(!unshare(CLONE_NEWUSER | CLONE_NEWNET));
		must(run(&self->r, "limit user sessions 5") == 1);
		must(strstr(self->r.err, "(EPERM)\n"));
		_exit(0);
	}
	EXPECT_EQ(0, child_end(&c));
	EXPECT_LT(5, limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS));
}

/* --- monitor ------------------------------------------------------------------ */

/* A session comes and goes; one dies; a limit is hit. */
static void make_events(struct __test_metadata *_metadata, FIXTURE_DATA(tool) * self)
{
	uint64_t limit = limit_max(SHMUX_SCOPE_USER, SHMUX_SESSIONS);
	struct ends ends;
	struct child c;

	ASSERT_EQ(0, open_session(self->name, self->listener, &ends));
	ends_close(&ends);
	ASSERT_EQ(0, open_session(self->name, self->listener, &ends));
	if (child_fork(&c)) {
		must(!file_adopt(ends.near));
		_exit(0);
	}
	ASSERT_EQ(0, child_end(&c));
	ends_close(&ends);
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, 1));
	EXPECT_TRUE(quota_hit_is_told());
	ASSERT_EQ(0, limit_set(SHMUX_SCOPE_USER, SHMUX_SESSIONS, limit));
}

TEST_F(tool, monitor_shows_a_line_for_each_event)
{
	static const char *const words[] = { "  up ", "  down ", "  up ", "  death ", "  quota " };
	const char *line;
	char text[128];

	beside_start(&self->b, "exec " TOOL " monitor --count 5");
	ASSERT_TRUE(beside_says(&self->b, "watching\n"));
	make_events(_metadata, self);
	ASSERT_TRUE(beside_says(&self->b, "for a user\n"));
	EXPECT_EQ(0, beside_end(&self->b, 0));

	line = strchr(self->b.buf, '\n') + 1;
	snprintf(text, sizeof(text), " on %s: %d (", self->name, getpid());
	for (int i = 0; i < 5; i++) {
		const char *end = strchr(line, '\n');

		ASSERT_NE(NULL, end);
		EXPECT_EQ(line + 12, strstr(line, words[i]));
		if (i < 4) {
			EXPECT_LT(line, strstr(line, text));
			EXPECT_GT(end, strstr(line, text));
		}
		line = end + 1;
	}
	EXPECT_EQ('\0', *line);
	EXPECT_NE(NULL, strstr(self->b.buf, "; the dialler hung up after "));
	EXPECT_NE(NULL, strstr(self->b.buf, "; the dialler died after "));
	EXPECT_NE(NULL, strstr(self->b.buf, "uid 0 wanted more sessions than the limit of 1 "));
}

TEST_F(tool, monitor_writes_an_event_a_line_as_json)
{
	const char *line;

	beside_start(&self->b, "exec " TOOL " monitor --json");
	ASSERT_TRUE(beside_says(&self->b, "watching\n"));
	make_events(_metadata, self);
	ASSERT_TRUE(beside_says(&self->b, "\"quota\""));
	EXPECT_EQ(0, beside_end(&self->b, SIGTERM));

	line = strchr(self->b.buf, '\n') + 1;
	ASSERT_TRUE(json_is(line, 5));
	EXPECT_TRUE(json_says(line, ".event", "up"));
	EXPECT_LT(1000000000, json_number(line, ".time"));
	EXPECT_EQ(getpid(), json_number(line, ".session.dialler.pid"));
	EXPECT_TRUE(json_says(line, ".session.address", self->name));
	line = json_skip(line) + 1;
	EXPECT_TRUE(json_says(line, ".event", "down"));
	EXPECT_TRUE(json_says(line, ".session.state", "hung up"));
	line = json_skip(json_skip(line) + 1) + 1;
	EXPECT_TRUE(json_says(line, ".event", "death"));
	EXPECT_TRUE(json_says(line, ".session.by", "dialler"));
	line = json_skip(line) + 1;
	EXPECT_TRUE(json_says(line, ".event", "quota"));
	EXPECT_TRUE(json_says(line, ".scope", "user"));
	EXPECT_TRUE(json_says(line, ".resource", "sessions"));
	EXPECT_EQ(1, json_number(line, ".max"));
	EXPECT_EQ(0, json_number(line, ".uid"));
}

/* Whether the kernel had to drop what a process was to be told by generic netlink. */
static bool has_missed(pid_t pid)
{
	unsigned int protocol, port, drops;
	bool missed = false;
	char line[256];
	FILE *f = fopen("/proc/net/netlink", "r");

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "%*s %u %u %*s %*s %*s %*s %*s %u", &protocol, &port, &drops) == 3)
			/* libnl takes the upper bits of a port to tell a process's apart. */
			missed |= protocol == NETLINK_GENERIC && drops &&
				  (port & 0x3fffff) == (unsigned int)pid;
	if (f)
		fclose(f);
	return missed;
}

TEST_F(tool, monitor_says_when_it_has_missed_something)
{
	struct ends ends;

	beside_start(&self->b, "exec " TOOL " monitor");
	ASSERT_TRUE(beside_says(&self->b, "watching\n"));
	kill(self->b.pid, SIGSTOP);
	/* More than its buffer has room for, however large the kernel lets that be. */
	for (int i = 0; i < 100000 && !has_missed(self->b.pid); i++) {
		ASSERT_EQ(0, open_session(self->name, self->listener, &ends));
		ends_close(&ends);
	}
	kill(self->b.pid, SIGCONT);
	for (;;) {
		if (beside_says(&self->b, "(ENOBUFS)\n"))
			break;
		/* The beginning was too much; what is looked for comes later. */
		ASSERT_LT(sizeof(self->b.buf) / 2, self->b.len);
		memmove(self->b.buf, self->b.buf + self->b.len - 100, 100);
		self->b.len = 100;
	}
	EXPECT_EQ(0, beside_end(&self->b, SIGINT));
}

/* --- with the library's own sessions -------------------------------------------- */

TEST_F(tool, a_listener_in_both_worlds_is_one_and_its_sessions_are_looked_into)
{
	struct beside client = { 0 };
	const char *s;

	beside_start(&self->b, "exec " TOOL " echo both");
	ASSERT_TRUE(beside_says(&self->b, "listening on"));
	beside_start(&client, "exec " TOOL " cat both");
	ASSERT_EQ(6, write(client.in, "hello\n", 6));
	ASSERT_TRUE(beside_says(&client, "hello\n"));

	ASSERT_RUNS("show --json both");
	ASSERT_TRUE(json_is(self->r.out, 1));
	EXPECT_TRUE(json_says(self->r.out, ".listeners[0].over", "both"));
	EXPECT_EQ(self->b.pid, json_number(self->r.out, ".listeners[0].pid"));
	EXPECT_EQ(NULL, json_at(self->r.out, ".listeners[1]"));
	s = json_at(self->r.out, ".sessions[0]");
	ASSERT_NE(NULL, s);
	EXPECT_TRUE(json_says(s, ".over", "kmod"));
	EXPECT_EQ(1, json_number(s, ".streams"));
	EXPECT_EQ(client.pid, json_number(s, ".dialler.pid"));
	EXPECT_EQ(self->b.pid, json_number(s, ".listener.pid"));
	EXPECT_LE(0, json_number(s, ".dialler.queued"));
	EXPECT_LT(0, json_number(s, ".listener.ring_slots"));
	EXPECT_EQ(NULL, json_at(self->r.out, ".sessions[1]"));

	beside_end(&client, SIGKILL);
	EXPECT_EQ(0, beside_end(&self->b, SIGTERM));
	run(&self->r, "show both");
	EXPECT_REFUSED("nobody listens by this name", "ENOENT");
}

/* --- top ---------------------------------------------------------------------- */

TEST_F(tool, top_shows_the_busiest_session_on_the_terminal)
{
	struct winsize size = { .ws_row = 30, .ws_col = 160 };
	struct worker w;
	char line[64], word[16];
	double rate = 0;

	worker_start(&w, kick_on, self);
	/* It is quiet until we hear of it. */
	self->b = (struct beside){ .in = -1 };
	self->b.pid = forkpty(&self->b.fd, NULL, NULL, &size);
	ASSERT_LE(0, self->b.pid);
	if (!self->b.pid) {
		execlp(TOOL, TOOL, "top", "-i", "0.2", NULL);
		_exit(127);
	}
	/* At the first look there is no rate. */
	for (int i = 0; i < 100 && rate <= 0; i++) {
		struct beside screen = { .fd = self->b.fd };
		const char *row;

		ASSERT_TRUE(beside_says(&screen, "\033[J"));
		snprintf(line, sizeof(line), "%7u  %-14.14s", self->number, self->name);
		row = strstr(screen.buf, line);
		if (row && sscanf(row + strlen(line), "%15s", word) == 1)
			rate = atof(word);
	}
	EXPECT_LT(0, rate);
	__atomic_store_n(&self->b.len, 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, worker_join(&w));
	ASSERT_EQ(1, write(self->b.fd, "q", 1));
	self->b.len = 0;
	EXPECT_TRUE(beside_says(&self->b, "\033[?1049l"));
	EXPECT_EQ(0, beside_end(&self->b, 0));
}

/* --- without the module --------------------------------------------------------- */

#define MODULE "/vm/shmux.ko" /* where the virtual machine has it */

TEST(monitor_leaves_with_a_sentence_when_the_module_is_unloaded)
{
	struct {
		struct ran r;
		struct beside b;
	} *self = calloc(1, sizeof(*self));
	bool said;

	if (access(MODULE, R_OK)) {
		free(self);
		SKIP(return, "where the module is one does not know, outside of the virtual "
			     "machine");
	}
	beside_start(&self->b, "exec " TOOL " monitor");
	ASSERT_TRUE(beside_says(&self->b, "watching\n"));
	ASSERT_EQ(0, system("rmmod shmux"));
	said = beside_says(&self->b, "shmux: cannot watch for events any more: "
				     "the kernel module has been unloaded (ENODEV)\n");
	EXPECT_TRUE(said);
	EXPECT_EQ(1, beside_end(&self->b, said ? 0 : SIGKILL));
	run(&self->r, "monitor");
	EXPECT_REFUSED("the kernel module is not loaded", "ENOENT");
	ASSERT_RUNS("ls");
	EXPECT_SHOWS("Over memfd alone: the kernel module is not loaded.\n");
	ASSERT_EQ(0, system("insmod " MODULE));
	ASSERT_RUNS("ls --json");
	EXPECT_TRUE(json_says(self->r.out, ".module", "true"));
	free(self);
}

TEST(stat_does_not_know_the_rates_of_an_interval_in_which_the_module_was_loaded)
{
	static const char unknown[] =
		"           -           -           -           -         -\n";
	struct {
		struct ran r;
		struct beside b, json;
	} *self = calloc(1, sizeof(*self));
	struct ends ends;
	const char *line;

	if (access(MODULE, R_OK)) {
		free(self);
		SKIP(return, "where the module is one does not know, outside of the virtual "
			     "machine");
	}
	/* So that there is something to be counted from zero again. */
	ASSERT_EQ(0, ends_open(&ends));
	ASSERT_EQ(0, end_kick(ends.near));
	ends_close(&ends);
	beside_start(&self->json, "exec " TOOL " stat -i 2 --count 9 --json");
	ASSERT_TRUE(beside_says(&self->json, "}}\n"));
	beside_start(&self->b, "exec " TOOL " stat -i 2 --count 9");
	ASSERT_TRUE(beside_says(&self->b, "DEATHS/S\n"));
	ASSERT_EQ(0, system("rmmod shmux && insmod " MODULE));
	EXPECT_TRUE(beside_says(&self->b, unknown))
	{
		TH_LOG("%s", self->b.buf);
	}
	beside_end(&self->b, SIGTERM);
	/* One that is slow may have found none in between. */
	ASSERT_TRUE(beside_says(&self->json, "null}}\n"))
	{
		TH_LOG("%s", self->json.buf);
	}
	beside_end(&self->json, SIGTERM);
	EXPECT_EQ(0, json_number(self->json.buf, ".module.kicks_per_s"));
	line = self->json.buf;
	while (!json_says(line, ".module.kicks_per_s", "null"))
		ASSERT_NE(NULL, line = json_blank(json_skip(line)));
	EXPECT_TRUE(json_says(line, ".module.connects_per_s", "null"));
	EXPECT_EQ(0, json_number(line, ".module.sessions"));
	free(self);
}

TEST_HARNESS_MAIN
