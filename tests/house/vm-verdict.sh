#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: what the kernel says of a virtual machine's tests, or what is missing of it or of them, fails them
set -u
shopt -s extglob
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

# The report of a data race of two accesses, each "ACCESS=FUNCTION": the second for
# the module if it is not by it.
race()
{
	local one=${1#*=} other=${2#*=}

	cat <<-END
		==================================================================
		BUG: KCSAN: data-race in ${one/+*([^ ])} / ${other/+*([^ ])}

		${1%%=*} by task 1675 on cpu 1:
		 $one
		 do_syscall_64+0x27/0x50

		${2%%=*} by task 1705 on cpu 0:
		 $other
		 shmux_ioctl+0x1a2/0x3f0 [shmux]
		 do_syscall_64+0x27/0x50
		${3-}
		Reported by Kernel Concurrency Sanitizer on:
		CPU: 0 PID: 1705 Comm: race Tainted: G           O       6.1.192-kcsan #1
		==================================================================
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
word="write to 0xff11000000322800 of 4 bytes"
late="write (reordered) to 0xff11000000322800 of 4 bytes"
keeper="shmux_who_get_current+0xd5/0x170 [shmux]"
judged 0 "a race between two that keep a credential failed" < <(race "$word=__alloc_file+0x52/0x160" "$word=$keeper")
judged 0 "a race with who begins a thread and keeps a credential failed" \
	< <(race "$word=copy_creds+0x62/0x2f0" "$late=$keeper" $' |\n +-> reordered to: shmux_who_get_current+0x10e/0x170 [shmux]\n')
judged 0 "a race between two of ours that keep a credential failed" \
	< <(race "$word=shmux_who_get+0x44/0x170 [shmux]" "$word=$keeper")
judged 0 "a race between two that keep a credential, both for the module, failed" \
	< <(race "$word=__alloc_file+0x52/0x160" "$word=__alloc_file+0x52/0x160" | sed '/do_syscall/i\ shmux_ioctl+0x260/0x3f0 [shmux]')
judged 0 "a race of which the module is no part failed" \
	< <(race "$word=tick_irq_enter+0xe1/0x130" "${word/write/read}=tick_nohz_idle_got_tick+0x1/0x2" | sed '/shmux/d')
judged 0 "a race of the kernel in what was done for the module failed" \
	< <(race "$word=__d_add+0x1/0x2" "$word=__d_add+0x1/0x2")
judged 0 "a race with a timer failed" \
	< <(race "$word=hrtimer_wakeup+0x1/0x2" "${word/write/read}=shmux_wait+0x1/0x2 [shmux]")
judged 1 "a race of the module passed" < <(race "$word=__d_add+0x1/0x2" "$word=shmux_listener_new+0x1/0x2 [shmux]")
judged 1 "a race of the module with itself passed" \
	< <(race "$word=shmux_connect+0x1/0x2 [shmux]" "$word=shmux_listener_new+0x1/0x2 [shmux]")
judged 1 "a race of who keeps a credential with another part of the module passed" \
	< <(race "$word=shmux_connect+0x1/0x2 [shmux]" "$word=$keeper")
judged 1 "a read by who keeps a credential passed" \
	< <(race "$word=__alloc_file+0x52/0x160" "${word/write/read}=$keeper")
judged 1 "a race for more than a word passed" \
	< <(race "$word=__alloc_file+0x52/0x160" "${word/4 bytes/8 bytes}=$keeper")
judged 1 "a value that changed in the module, nobody knows why, passed" \
	< <(race "$word=__alloc_file+0x52/0x160" "$word=$keeper" |
	    sed '/__alloc_file+/,/^$/d; /1675/,/^$/d; s/^write/race at unknown origin, with write/; s, __alloc_file /,,')
lacking "a program that was not run passed" 's/^##PROGRAMS 1/##PROGRAMS 2/'
lacking "a test that was not reported passed" '/^ok/d'
lacking "a machine that stopped passed" '/^##DONE/d'
lacking "a module that was not unloaded passed" '/^##UNLOADED/d'
good_run >"$work/output.log"
: >"$work/console.log"
verdict 1 "a kernel that said nothing at all passed"
exit $bad
