#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: shmux top shows sessions live, follows the terminal's size, and gives the terminal back however it ends
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
command -v python3 >/dev/null || { echo "python3 is not installed: tests/setup.sh check sees to it"; exit 1; }
tool=$(realpath "${BUILD:-build}")/shmux
tmp=$(mktemp -d) || exit 1
name=test-top-$$
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$tmp"' EXIT

mkfifo "$tmp/ready" "$tmp/in" "$tmp/out"
"$tool" echo "$name" 2>"$tmp/ready" &
read -r _ <"$tmp/ready"
"$tool" cat "$name" <"$tmp/in" >"$tmp/out" &
exec 8>"$tmp/in" 9<"$tmp/out"
echo hello >&8
read -r -t 20 line <&9 && [ "$line" = hello ] || { echo "no echo"; exit 1; }

python3 - "$tool" "$name" <<'END'
import fcntl, os, pty, re, select, signal, struct, sys, termios, time

tool, name = sys.argv[1:]
TAKEN, GIVEN_BACK, END = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[J"


def fail(what):
    print(what)
    sys.exit(1)


class Top:
    """The command on a terminal of its own, whose other end we hold."""

    def __init__(self, *arguments, rows=12, columns=100):
        self.master, self.slave = pty.openpty()
        self.resize(rows, columns, tell=False)
        self.before = termios.tcgetattr(self.slave)
        self.seen = b""
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            fcntl.ioctl(self.slave, termios.TIOCSCTTY, 0)
            for fd in 0, 1, 2:
                os.dup2(self.slave, fd)
            os.closerange(3, 100)
            os.execv(tool, [tool, "top", "-i", "0.1", *arguments])
        self.await_(TAKEN)

    def resize(self, rows, columns, tell=True):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def await_(self, what, since=None):
        """Read until WHAT, a regular expression or bytes, has come; return all up to its end."""
        if since is not None:
            self.seen = since
        end = time.monotonic() + 20
        pattern = what if isinstance(what, re.Pattern) else re.compile(re.escape(what))
        while True:
            m = pattern.search(self.seen)
            if m:
                got, self.seen = self.seen[: m.end()], self.seen[m.end() :]
                return got
            if not select.select([self.master], [], [], max(0, end - time.monotonic()))[0]:
                fail("%r did not come; there was %r" % (what, self.seen[-2000:]))
            self.seen += os.read(self.master, 65536)

    def frame(self):
        """The next whole picture, as rows of plain text."""
        self.await_(b"\x1b[H", since=b"")
        text = self.await_(END).decode()
        return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", row) for row in text.split("\r\n")]

    def press(self, key):
        os.write(self.master, key)

    def is_given_back(self):
        if termios.tcgetattr(self.slave) != self.before:
            fail("the terminal's modes have not come back")

    def leave(self, how):
        self.await_(GIVEN_BACK)
        _, status = os.waitpid(self.pid, 0)
        if os.waitstatus_to_exitcode(status):
            fail("by %s it left with status %d" % (how, os.waitstatus_to_exitcode(status)))
        self.is_given_back()
        os.close(self.master)
        os.close(self.slave)


# What it shows, and in which order.
top = Top(columns=200)
rows = top.frame()
if not any(name in row and "shmux cat" in row and "shmux echo" in row for row in rows):
    fail("the session is not shown: %r" % rows)
if "by kicks" not in rows[0] or not re.search(r"listeners: [1-9]\d*  sessions: [1-9]", rows[0]):
    fail("the first line is %r" % rows[0])
if termios.tcgetattr(top.slave)[3] & (termios.ICANON | termios.ECHO):
    fail("keys are not taken one by one, or shown")
for key, word in ((b"s", "slots"), (b"t", "streams"), (b"r", "resident"), (b"a", "age"), (b"n", "number"), (b"k", "kicks")):
    top.press(key)
    top.await_(re.compile(rb"sessions: \d+, by " + word.encode()))
top.press(b"x ")
top.frame()

# It fits what there is.
for size in ((5, 60), (2, 20), (1, 1), (24, 80)):
    top.resize(*size)
    end = time.monotonic() + 20
    while True:
        rows = top.frame()
        widest = max(len(row) for row in rows)
        if len(rows) <= size[0] and widest <= size[1] and (size[1] > 60 or widest == size[1]):
            break
        if time.monotonic() > end:
            fail("on %r it shows %d rows of up to %d: %r" % (size, len(rows), widest, rows))

# Stopped, the terminal is the shell's; going on, it is ours again.
top.press(b"\x1a")
top.await_(GIVEN_BACK)
_, status = os.waitpid(top.pid, os.WUNTRACED)
if not os.WIFSTOPPED(status):
    fail("^Z does not stop it")
top.is_given_back()
os.kill(top.pid, signal.SIGCONT)
top.await_(TAKEN)
top.frame()
top.press(b"q")
top.leave("q")

for how, act in (
    ("^C", lambda t: t.press(b"\x03")),
    ("^\\", lambda t: t.press(b"\x1c")),
    ("SIGTERM", lambda t: os.kill(t.pid, signal.SIGTERM)),
    ("SIGHUP", lambda t: os.kill(t.pid, signal.SIGHUP)),
):
    top = Top("--sort", "age")
    if not any("by age" in row for row in top.frame()):
        fail("--sort is not minded")
    act(top)
    top.leave(how)

top = Top("--count", "2")
top.leave("--count")
END
status=$?
exec 8>&-
exit $status
