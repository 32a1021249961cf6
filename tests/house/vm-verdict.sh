#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: what the kernel says of a virtual machine's tests fails them, but for a kill for memory that a test announced
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

# judged STATUS WHAT: what the verdict is to be on the kernel's log in the input.
judged()
{
	{
		echo "[    1.000000] shmux-vm: loading"
		cat
		echo "[   99.000000] shmux-vm: done"
	} >"$work/console.log"
	printf '%s\n' '##LOADED 0' '##BEGIN trust/limits' '1..1' \
		"# limits.c:1075:writer:the memory of shmux-test-77 is to run out" 'ok 1 writer' \
		'##END trust/limits 0 12' '##UNLOADED 0' '##DONE' >"$work/output.log"
	tests/vm/verdict "$work" 6.12 0 >"$work/out" 2>&1
	[ $? -eq "$1" ] || { echo "$2:"; cat "$work/out"; bad=1; }
}

judged 0 "a log without a complaint failed" </dev/null
judged 1 "a warning passed" <<<"[   12.000000] WARNING: CPU: 0 PID: 77 at kmod/main.c:1"
judged 0 "a kill that was announced failed" < <(killed shmux-test-77)
judged 0 "two kills that were announced failed" < <(killed shmux-test-77 && killed shmux-test-77)
judged 1 "a kill in another group passed" < <(killed shmux-test-7)
judged 1 "a kill in a group below passed" < <(killed shmux-test-77/other)
judged 1 "a kill for the memory of all passed" < <(killed shmux-test-77 '[   12.000003] Call Trace:' CONSTRAINT_NONE)
judged 1 "a second trace amid a kill that was announced passed" \
	< <(killed shmux-test-77 "[   12.000003] Call Trace:"$'\n'"[   12.000003] Call Trace:")
judged 1 "a warning amid a kill that was announced passed" \
	< <(killed shmux-test-77 "[   12.000003] WARNING: CPU: 0 PID: 77 at kmod/main.c:1")
judged 1 "a trace after a kill that was announced passed" \
	< <(killed shmux-test-77 && echo "[   13.000000] Call Trace:")
exit $bad
