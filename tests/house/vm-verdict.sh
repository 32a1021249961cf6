#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: what the kernel says of a virtual machine's tests, or what is missing of it or of them, fails them
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
bad=0

# The report of a process that was killed for the memory of the control group $1.
killed()
{
	cat <<-END
		[   12.000001] limits invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
		[   12.000002] CPU: 0 PID: 77 Comm: limits Tainted: G           OE      6.12.0 #1
		${2-[   12.000003] Call Trace:}
		[   12.000004]  <TASK>
		[   12.000005]  dump_stack_lvl+0x5d/0x80
		[   12.000006]  </TASK>
		[   12.000007] memory: usage 8192kB, limit 8192kB, failcnt 9
		[   12.000008] oom-kill:constraint=${3-CONSTRAINT_MEMCG},nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/$1,task_memcg=/$1,task=limits,pid=77,uid=0
		[   12.000009] Memory cgroup out of memory: Killed process 77 (limits) total-vm:9000kB, anon-rss:8000kB
	END
}

# What the kernel logs around the input, and what init says of a good run.
kernel_log()
{
	echo "[    1.000000] shmux-vm: loading"
	cat
	echo "[   99.000000] shmux-vm: done"
}
good_run()
{
	printf '%s\n' '##LOADED 0' '##PROGRAMS 1' '##BEGIN trust/limits' '1..1' \
		"# limits.c:1075:writer:the memory of shmux-test-77 is to run out" 'ok 1 writer' \
		'##END trust/limits 0 12' '##UNLOADED 0' '##DONE'
}

# verdict STATUS WHAT: what it is to be on the logs in $work.
verdict()
{
	tests/vm/verdict "$work" 6.12 0 >"$work/out" 2>&1
	[ $? -eq "$1" ] || { echo "$2:"; cat "$work/out"; bad=1; }
}

# judged STATUS WHAT: what it is to be on the kernel's log in the input.
judged()
{
	kernel_log >"$work/console.log"
	good_run >"$work/output.log"
	verdict "$@"
}

# lacking WHAT SED: a good run without something is none.
lacking()
{
	kernel_log </dev/null >"$work/console.log"
	good_run | sed "$2" >"$work/output.log"
	verdict 1 "$1"
}

judged 0 "a log without a complaint failed" </dev/null
judged 1 "a warning passed" <<<"[   12.000000] WARNING: CPU: 0 PID: 77 at kmod/main.c:1"
judged 0 "a kill that was announced failed" < <(killed shmux-test-77)
judged 0 "two kills that were announced failed" < <(killed shmux-test-77 && killed shmux-test-77)
judged 0 "a kill that was announced failed in a log without times" < <(killed shmux-test-77 | sed 's/^\[ *[0-9.]*\] //')
judged 1 "a kill in another group passed" < <(killed shmux-test-7)
judged 1 "a kill in a group below passed" < <(killed shmux-test-77/other)
judged 1 "a kill for the memory of all passed" < <(killed shmux-test-77 '[   12.000003] Call Trace:' CONSTRAINT_NONE)
judged 1 "a second trace amid a kill that was announced passed" \
	< <(killed shmux-test-77 "[   12.000003] Call Trace:"$'\n'"[   12.000003] Call Trace:")
judged 1 "a warning amid a kill that was announced passed" \
	< <(killed shmux-test-77 "[   12.000003] WARNING: CPU: 0 PID: 77 at kmod/main.c:1")
judged 1 "a trace after a kill that was announced passed" \
	< <(killed shmux-test-77 && echo "[   13.000000] Call Trace:")
lacking "a program that was not run passed" 's/^##PROGRAMS 1/##PROGRAMS 2/'
lacking "a test that was not reported passed" '/^ok/d'
lacking "a machine that stopped passed" '/^##DONE/d'
lacking "a module that was not unloaded passed" '/^##UNLOADED/d'
good_run >"$work/output.log"
: >"$work/console.log"
verdict 1 "a kernel that said nothing at all passed"
exit $bad
