# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Builds libshmux, the shmux command, the examples and the tests. `make help`
# lists the targets; sources are found by wildcard, so a new file needs no line
# here.

VERSION := 0.1

BUILD   ?= build
AR      ?= ar
INSTALL ?= install

PREFIX     ?= /usr/local
bindir     ?= $(PREFIX)/bin
libdir     ?= $(PREFIX)/lib
includedir ?= $(PREFIX)/include
mandir     ?= $(PREFIX)/share/man
compdir    ?= $(PREFIX)/share/bash-completion/completions
udevdir    ?= $(PREFIX)/lib/udev/rules.d
modloaddir ?= $(PREFIX)/lib/modules-load.d

# The kernel that the module is built for, and where.
KDIR       ?= /lib/modules/$(shell uname -r)/build
MODULE_DIR ?= $(BUILD)/module

# make's own default for CC is `cc`; ask for the compiler that we test with.
ifeq ($(origin CC),default)
CC := gcc
endif

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-5s %s\n'
endif

# --- flags -------------------------------------------------------------------

tree :=
include flags.mk

lib_flags     := $(base_flags) -D_GNU_SOURCE= -fPIC -fno-semantic-interposition -fvisibility=hidden \
	$(public_inc) -Ilibshmux
tool_flags    := $(base_flags) -D_GNU_SOURCE= $(public_inc) -Itools
example_flags := $(base_flags) $(public_inc)
unit_flags    := $(test_flags) -Ilibshmux

# The command asks the kernel module by libnl, where there is libnl.
PKG_CONFIG ?= pkg-config
libnl_libs  := $(shell $(PKG_CONFIG) --libs libnl-genl-3.0 2>/dev/null)
libnl_flags := $(patsubst -I%,-isystem %,$(if $(libnl_libs),$(shell $(PKG_CONFIG) --cflags libnl-genl-3.0)))

# yamux's other side is Go's, where Debian's golang-go and its package of yamux are,
# as of smux. Nothing is fetched, and nothing written outside $(BUILD).
GO     ?= go
GOCODE ?= /usr/share/gocode
go_has  = $(if $(shell command -v $(GO)),$(wildcard $(GOCODE)/src/github.com/$(1)))
has_go   := $(call go_has,hashicorp/yamux)
has_smux := $(call go_has,xtaci/smux)
go      = $(Q)mkdir -p $(@D) && env -u GOROOT -u GOARCH -u GOOS GO111MODULE=off GOENV=off GOFLAGS= GOPROXY=off \
	GOPATH='$(GOCODE)' GOCACHE='$(abspath $(BUILD))/obj/go' $(GO)

# Examples that speak HTTP have it parsed by http_parser, where there is one.
http_examples := examples/http-stdio.c
http_libs     := $(shell echo '\#include <http_parser.h>' | $(CC) -E -x c - >/dev/null 2>&1 && echo -lhttp_parser)

compile = $(Q)mkdir -p $(@D) && $(CC) $(1) $(sanitize) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
link    = $(Q)mkdir -p $(@D) && $(CC) $(sanitize) $(CFLAGS) $(LDFLAGS) $(1) -pthread -o $@ \
	$(filter %.o %.a,$^) $(LDLIBS)

# --- what there is -----------------------------------------------------------

lib_src     := $(wildcard $(foreach d,base region link core facade,libshmux/$(d)/*.c))
tool_src    := $(filter-out tools/nl%.c,$(wildcard tools/*.c tools/bench/*.c)) \
	$(if $(libnl_libs),tools/nl.c,tools/nl_none.c)
example_src := $(filter-out $(if $(http_libs),,$(http_examples)),$(wildcard examples/*.c))
# One of several files is a directory.
proxy_src   := $(if $(http_libs),$(wildcard examples/upload-proxy/*.c))
common_src  := $(wildcard tests/common/*.c)
unit_src    := $(wildcard tests/unit/*.c)
libtest_src := $(wildcard tests/lib/*.c)
trust_src   := $(wildcard tests/trust/*.c)
tooltest_src := $(wildcard tests/tool/*.c)
interop_src := $(wildcard tests/interop/*.c)
count_src   := $(wildcard tests/count/*.c)
preload_src := $(wildcard tests/preload/*.c)
fuzz_src    := $(filter-out tests/fuzz/replay.c,$(wildcard tests/fuzz/*.c))

obj = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))
lib_obj     := $(call obj,$(lib_src))
tool_obj    := $(call obj,$(tool_src))
common_obj  := $(call obj,$(common_src))
all_obj     := $(lib_obj) $(tool_obj) $(common_obj) \
	$(call obj,$(example_src) $(proxy_src) $(unit_src) $(libtest_src) $(tooltest_src) $(trust_src) $(interop_src) $(count_src) $(preload_src) \
	$(wildcard tests/fuzz/*.c))

public_headers := $(wildcard libshmux/include/shmux/*.h)
uapi_headers   := $(wildcard uapi/linux/*.h)
manuals        := $(wildcard man/*.[1-9])
completion     := $(wildcard tools/shmux.bash-completion)

so     := $(BUILD)/libshmux.so.0
ar     := $(BUILD)/libshmux.a
tool   := $(BUILD)/shmux
map    := libshmux/libshmux.map
examples   := $(patsubst examples/%.c,$(BUILD)/examples/%,$(example_src))
proxy      := $(if $(proxy_src),$(BUILD)/examples/upload-proxy)
test_progs := $(patsubst %.c,$(BUILD)/%,$(unit_src) $(libtest_src) $(tooltest_src) $(trust_src) $(interop_src) $(count_src))
preloads   := $(patsubst %.c,$(BUILD)/%.so,$(preload_src))
replays    := $(patsubst %.c,$(BUILD)/%,$(fuzz_src))
fuzzers    := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzzers/%,$(fuzz_src))
bench_muxes := $(addprefix $(BUILD)/shmux-bench-go-,yamux smux)
bench_go   := $(filter $(if $(has_go),%-yamux) $(if $(has_smux),%-smux),$(bench_muxes))
bench_http := $(BUILD)/bench-http/plain $(BUILD)/bench-http/pair
gopeer     := $(if $(has_go),$(BUILD)/tests/go/gopeer)

# --- targets -----------------------------------------------------------------

.PHONY: bench plots bench-check bench-baseline
.PHONY: all examples tests bench-go bench-http kselftests fuzzers coverage check check-kernel-style stress demo install uninstall clean help format FORCE
.PHONY: module module_install dkms-install dkms-remove device_install device_uninstall check-vm check-here \
	check-debug-kernel check-uml

all: $(so) $(BUILD)/libshmux.so $(ar) $(if $(tool_src),$(tool))
	@:
examples: $(examples) $(proxy)
	@:
tests: $(test_progs) $(gopeer) $(bench_go) kselftests $(preloads) $(replays)
	@:
bench-go: $(or $(bench_go),$(bench_muxes))
	@:
bench-http: all examples $(bench_http)
	@:
# libFuzzer comes with clang; the library is built for it, elsewhere.
ifeq ($(findstring fuzzer,$(SANITIZE)),)
fuzzers:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=clang CFLAGS='-O1 -g' \
		SANITIZE=fuzzer-no-link,address,undefined $@
else
fuzzers: $(fuzzers)
	@:
endif

$(so): $(lib_obj) $(map) $(BUILD)/.sources
	$(say) LD $@
	$(Q)$(CC) $(sanitize) $(CFLAGS) $(LDFLAGS) -shared -pthread \
		-Wl,-soname,libshmux.so.0 -Wl,--version-script=$(map) \
		$(if $(SANITIZE),,-Wl,-z,defs) -o $@ $(lib_obj)

$(BUILD)/libshmux.so: $(so)
	$(Q)ln -sf $(notdir $(so)) $@

$(ar): $(lib_obj) $(BUILD)/.sources
	$(say) AR $@
	$(Q)rm -f $@ && $(AR) rcs $@ $(lib_obj)

$(tool): $(tool_obj) $(ar) $(BUILD)/.sources
	$(say) LD $@
	$(call link,) $(libnl_libs)

$(http_examples:%.c=$(BUILD)/%): LDLIBS += $(http_libs)
$(examples): $(BUILD)/examples/%: $(BUILD)/obj/examples/%.o $(ar)
	$(say) LD $@
	$(link)

$(proxy): $(call obj,$(proxy_src)) $(ar)
	$(say) LD $@
	$(call link,) $(http_libs)

# An example's parser of what a client wrote is tested and fuzzed as ours are.
$(BUILD)/tests/unit/multipart $(BUILD)/tests/fuzz/multipart $(BUILD)/fuzzers/multipart: \
	$(BUILD)/obj/examples/upload-proxy/multipart.o

$(test_progs): $(BUILD)/%: $(BUILD)/obj/%.o $(common_obj) $(ar)
	$(say) LD $@
	$(call link,$(test_ldflags))

$(BUILD)/bench-http/plain: $(BUILD)/obj/tools/bench/http/plain.o
	$(say) LD $@
	$(link)

# They run it.
$(patsubst %.c,$(BUILD)/%,$(tooltest_src)): $(tool)

# The kernel-facing ones, all or one: tests/kmod is a directory of kselftest's.
kselftest = +$(Q)$(MAKE) $(if $(Q),-s) --no-print-directory -C tests/kmod LINKED=yes CC='$(CC)' \
	BUILD='$(abspath $(BUILD))' KSELFTEST_DIR='$(abspath $(KSELFTEST_DIR))'
kselftests: $(common_obj) $(ar) | $(KSELFTEST_DIR)/kselftest_harness.h
	$(kselftest)
$(BUILD)/tests/kmod/%: $(common_obj) $(ar) FORCE | $(KSELFTEST_DIR)/kselftest_harness.h
	$(kselftest) '$(abspath $@)'

# A target of the fuzzer, which here runs what is kept in its corpus.
$(replays): $(BUILD)/%: $(BUILD)/obj/%.o $(BUILD)/obj/tests/fuzz/replay.o $(ar)
	$(say) LD $@
	$(link)

$(fuzzers): $(BUILD)/fuzzers/%: $(BUILD)/obj/tests/fuzz/%.o $(ar)
	$(say) LD $@
	$(link) -fsanitize=fuzzer

$(preloads): $(BUILD)/%.so: $(BUILD)/obj/%.o
	$(say) LD $@
	$(Q)mkdir -p $(@D) && $(CC) $(CFLAGS) $(LDFLAGS) -shared -pthread -o $@ $<

$(BUILD)/tests/go/gopeer: $(wildcard tests/go/*.go)
$(bench_muxes): $(BUILD)/shmux-bench-go-%: tools/bench/go/%.go \
	$(addprefix tools/bench/go/,main.go figures.go payload.go)
$(BUILD)/bench-http/pair: tools/bench/http/pair.go
$(BUILD)/tests/go/gopeer $(bench_muxes) $(BUILD)/bench-http/pair:
	$(say) GO $@
	$(go) build -o $@ $^

$(BUILD)/obj/libshmux/%.o: libshmux/%.c $(BUILD)/.flags
	$(say) CC $<
	$(call compile,$(lib_flags))

$(BUILD)/obj/tools/nl.o: tool_flags += $(libnl_flags)
$(BUILD)/obj/tools/%.o: tools/%.c $(BUILD)/.flags
	$(say) CC $<
	$(call compile,$(tool_flags))

$(BUILD)/obj/examples/%.o: examples/%.c $(BUILD)/.flags
	$(say) CC $<
	$(call compile,$(example_flags))

$(BUILD)/obj/tests/unit/%.o: tests/unit/%.c $(BUILD)/.flags | $(KSELFTEST_DIR)/kselftest_harness.h
	$(say) CC $<
	$(call compile,$(unit_flags))

$(BUILD)/obj/tests/trust/%.o: tests/trust/%.c $(BUILD)/.flags | $(KSELFTEST_DIR)/kselftest_harness.h
	$(say) CC $<
	$(call compile,$(unit_flags))

# What the fuzzer is to explore is the library, not the target.
$(BUILD)/obj/tests/fuzz/%.o: sanitize += $(if $(findstring fuzzer,$(SANITIZE)),-fno-sanitize=fuzzer-no-link)
$(BUILD)/obj/tests/fuzz/%.o: tests/fuzz/%.c $(BUILD)/.flags
	$(say) CC $<
	$(call compile,$(base_flags) -D_GNU_SOURCE= $(public_inc) -Ilibshmux -Itests)

# Loaded into programs that know nothing of the sanitizers.
$(BUILD)/obj/tests/preload/%.o: tests/preload/%.c $(BUILD)/.flags
	$(say) CC $<
	$(Q)mkdir -p $(@D) && $(CC) $(base_flags) -D_GNU_SOURCE= -fPIC $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/obj/tests/count/%.o: tests/count/%.c $(BUILD)/.flags | $(KSELFTEST_DIR)/kselftest_harness.h
	$(say) CC $<
	$(call compile,$(unit_flags))

$(BUILD)/obj/tests/%.o: tests/%.c $(BUILD)/.flags | $(KSELFTEST_DIR)/kselftest_harness.h
	$(say) CC $<
	$(call compile,$(test_flags))

$(KSELFTEST_DIR)/kselftest_harness.h:
	@tests/kselftest.sh '$(KSELFTEST_DIR)'

-include $(all_obj:.o=.d)
.SECONDARY: $(all_obj)

# Stamps that change when the flags or the list of sources do, so that another
# CC, CFLAGS or SANITIZE rebuilds, and a deleted source leaves the archive.
flags   := $(strip $(CC) $(base_flags) $(sanitize) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS) $(LDLIBS))
sources := $(strip $(lib_src) $(tool_src))
stamp    = $(Q)mkdir -p $(@D) && printf '%s\n' '$(subst ','\'',$(1))' >$@

ifneq ($(file <$(BUILD)/.flags),$(flags))
$(BUILD)/.flags: FORCE
endif
ifneq ($(file <$(BUILD)/.sources),$(sources))
$(BUILD)/.sources: FORCE
endif
$(BUILD)/.flags:
	$(call stamp,$(flags))
$(BUILD)/.sources: $(BUILD)/.flags
	$(call stamp,$(sources))

# --- benchmarks --------------------------------------------------------------

# BENCH_FLAGS=--quick, --full, yamux: what `shmux bench` is told. JSON: files of other
# runs than those that the target looks for or makes.
bench_json   := $(BUILD)/bench.json
bench_checks := $(foreach n,1 2 3,$(BUILD)/bench-check-$(n).json)

# What is absent is said before the minutes are spent, and again at the end.
bench: all $(bench_go)
	@$(tool) bench --list $(BENCH_FLAGS) | grep ' absent: ' || :
	@$(tool) bench --json $(bench_json) $(BENCH_FLAGS)

plots:
	@[ -f '$(or $(JSON),$(bench_json))' ] || { echo "there is no $(or $(JSON),$(bench_json)): run make bench first"; exit 1; }
	@tools/bench/plots '$(or $(JSON),$(bench_json))' docs/plots

# Three short runs, so that none of them says it alone.
bench-check bench-baseline: $(if $(JSON),,all $(bench_go))
	$(if $(JSON),,@for run in $(bench_checks); do \
		$(tool) bench $(or $(BENCH_FLAGS),--quick) --json $$run >/dev/null || exit 1; done)
	@tools/bench/check $(if $(filter bench-baseline,$@),--write) tools/bench/baseline.json $(or $(JSON),$(bench_checks))

# --- from a bare clone -------------------------------------------------------

jobs = $(if $(filter -j%,$(MAKEFLAGS)),,-j$$(nproc))

demo:
	@tests/setup.sh demo
	@$(MAKE) --no-print-directory $(jobs) all
	@$(tool) demo

check:
	+@MAKE='$(MAKE)' JOBS="$(jobs)" BUILD='$(BUILD)' KSELFTEST_DIR='$(KSELFTEST_DIR)' \
		DEBUG_KERNEL='$(if $(DEBUG_KERNEL),$(debug_kernel_tests))' tests/check

# The tests of trust, hard: round after round, held to what is promised.
stress:
	+@MAKE='$(MAKE)' JOBS="$(jobs)" BUILD='$(BUILD)' KSELFTEST_DIR='$(KSELFTEST_DIR)' \
		STRESS_SECONDS='$(STRESS_SECONDS)' tests/stress

# Which lines of the library the tests run.
coverage:
	+@MAKE='$(MAKE)' JOBS="$(jobs)" BUILD='$(BUILD)' KSELFTEST_DIR='$(KSELFTEST_DIR)' tests/coverage

# --- the kernel module -------------------------------------------------------

# The kernel's own tools over the kernel module.
check-kernel-style:
	@KSELFTEST_DIR='$(KSELFTEST_DIR)' tests/house/kernel-style.sh

# A kernel's build leaves its work beside the sources: so it is given a copy. It
# knows its compiler itself, and is told nothing of our variables.
kbuild = env -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u CC -u CFLAGS -u CPPFLAGS -u LDFLAGS -u LDLIBS -u V \
	make -C '$(KDIR)' M='$(abspath $(MODULE_DIR))' W=1 $(if $(WERROR),KCFLAGS=-Werror) $(if $(Q),,V=1)

module:
	@[ -d '$(KDIR)' ] || { echo "$(KDIR) is not there: install linux-headers-$$(uname -r)"; exit 1; }
	$(say) MOD $(MODULE_DIR)/kmod/shmux.ko
	$(Q)mkdir -p '$(MODULE_DIR)' && cp -pR Kbuild kmod uapi '$(MODULE_DIR)/'
	$(Q)$(kbuild) $(if $(Q),-s) modules

module_install: module
	$(Q)$(kbuild) $(if $(INSTALL_MOD_PATH),INSTALL_MOD_PATH='$(abspath $(INSTALL_MOD_PATH))') modules_install

# DKMS keeps a copy of the sources, and builds the module for each kernel that
# comes. DKMS_KERNEL says for which one now (-k RELEASE), DKMS_FLAGS where it keeps
# things (--dkmstree, --installtree).
DKMS      ?= dkms
DKMS_TREE ?= /usr/src
dkms       = $(DKMS) $(1) -m shmux -v $(VERSION) --sourcetree '$(DKMS_TREE)' $(DKMS_FLAGS)
dkms_src   = $(DKMS_TREE)/shmux-$(VERSION)

dkms-install: device_install
	$(Q)$(call dkms,remove) --all >/dev/null 2>&1 || :
	$(say) INST '$(dkms_src)'
	$(Q)rm -rf '$(dkms_src)' && $(INSTALL) -d '$(dkms_src)'
	$(Q)cp -R Kbuild dkms.conf kmod uapi '$(dkms_src)/'
	$(Q)$(call dkms,install) $(DKMS_KERNEL)

dkms-remove: device_uninstall
	$(Q)$(call dkms,remove) --all
	$(Q)rm -rf '$(dkms_src)'

# Who may open the device, and that the module is loaded when the machine starts.
device_install:
	$(say) INST '$(D)$(udevdir)' '$(D)$(modloaddir)'
	$(Q)$(INSTALL) -D -m 644 kmod/60-shmux.rules '$(D)$(udevdir)/60-shmux.rules'
	$(Q)$(INSTALL) -D -m 644 kmod/shmux.conf '$(D)$(modloaddir)/shmux.conf'

device_uninstall:
	$(Q)rm -f '$(D)$(udevdir)/60-shmux.rules' '$(D)$(modloaddir)/shmux.conf'

# Debian's kernels in virtual machines.
check-vm:
	@tests/setup.sh check
	@$(MAKE) --no-print-directory $(jobs) BUILD='$(BUILD)/gcc' CC=gcc WERROR=1 all tests
	@MAKE='$(MAKE)' BUILD='$(BUILD)/gcc' tests/run \
		$(foreach k,6.1 6.12 6.1-rt 6.12-rt,tests/vm/$(k) tests/vm/library-$(k))

# This very machine.
check-here:
	+@MAKE='$(MAKE)' JOBS="$(jobs)" BUILD='$(BUILD)/here' KDIR='$(KDIR)' KSELFTEST_DIR='$(KSELFTEST_DIR)' tests/here

# The newest kernel, as a program: User-Mode Linux.
check-uml:
	@tests/setup.sh uml
	@$(MAKE) --no-print-directory $(jobs) BUILD='$(BUILD)/gcc' CC=gcc WERROR=1 all tests
	@tests/vm/kernel uml
	@MAKE='$(MAKE)' BUILD='$(BUILD)/gcc' tests/run tests/vm/uml tests/vm/library-uml

# Kernels that look at themselves, built once. `make check DEBUG_KERNEL=yes` runs
# these tests after its own.
debug_kernel_tests = $(addprefix tests/vm/,debug failing fuzzing racing) tests/planted/run

check-debug-kernel:
	@tests/setup.sh debug-kernel
	@$(MAKE) --no-print-directory $(jobs) BUILD='$(BUILD)/gcc' CC=gcc WERROR=1 all tests
	@tests/vm/kernel debug && tests/vm/kernel kcsan
	@MAKE='$(MAKE)' BUILD='$(BUILD)/gcc' tests/run $(debug_kernel_tests)

# --- installing --------------------------------------------------------------

D = $(DESTDIR)
uninstall_files = $(bindir)/shmux $(compdir)/shmux \
	$(addprefix $(libdir)/,libshmux.so.0 libshmux.so libshmux.a pkgconfig/shmux.pc) \
	$(addprefix $(includedir)/shmux/,$(notdir $(public_headers))) \
	$(addprefix $(includedir)/linux/,$(notdir $(uapi_headers))) \
	$(foreach m,$(manuals),$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m)))

install: all
	$(say) INST '$(D)$(PREFIX)'
	$(Q)$(INSTALL) -d '$(D)$(libdir)/pkgconfig' '$(D)$(includedir)/shmux' '$(D)$(includedir)/linux'
	$(Q)$(INSTALL) -m 755 $(so) '$(D)$(libdir)/libshmux.so.0'
	$(Q)ln -sf libshmux.so.0 '$(D)$(libdir)/libshmux.so'
	$(Q)$(INSTALL) -m 644 $(ar) '$(D)$(libdir)/libshmux.a'
	$(Q)$(if $(public_headers),$(INSTALL) -m 644 $(public_headers) '$(D)$(includedir)/shmux/')
	$(Q)$(if $(uapi_headers),$(INSTALL) -m 644 $(uapi_headers) '$(D)$(includedir)/linux/')
	$(Q)sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@LIBDIR@|$(libdir)|' \
		-e 's|@INCLUDEDIR@|$(includedir)|' -e 's|@VERSION@|$(VERSION)|' \
		libshmux/shmux.pc.in >'$(D)$(libdir)/pkgconfig/shmux.pc'
	$(Q)$(if $(tool_src),$(INSTALL) -D -m 755 $(tool) '$(D)$(bindir)/shmux')
	$(Q)$(if $(completion),$(INSTALL) -D -m 644 $(completion) '$(D)$(compdir)/shmux')
	$(Q)for m in $(manuals); do \
		$(INSTALL) -D -m 644 "$$m" "$(D)$(mandir)/man$${m##*.}/$${m##*/}" || exit 1; \
	done

uninstall:
	$(Q)rm -f $(foreach f,$(uninstall_files),'$(D)$(f)')
	$(Q)rmdir '$(D)$(includedir)/shmux' 2>/dev/null || :

clean:
	$(Q)rm -rf $(BUILD)

# Rewrites, in place, the C files that differ from .clang-format.
format:
	$(Q)clang-format -i $(shell find libshmux uapi tools examples tests -name '*.[ch]')

help:
	@printf '%s\n' \
	'Two commands do all the set-up, each from a bare clone:' \
	'  make demo     build, then let two processes talk and measure them' \
	'  make check    build in every way and run every test' \
	'' \
	'  make          build the library and the shmux command into $(BUILD)/' \
	'  make examples build examples/ into $(BUILD)/examples/' \
	'  make tests    build the test programs into $(BUILD)/tests/' \
	'  make bench-go build the Go pairs that shmux bench measures, with Go' \
	'  make bench-http  build what tools/bench/http/run measures' \
	'  make bench    measure, in about five minutes; BENCH_FLAGS=--quick, --full, yamux' \
	'  make plots    draw docs/plots/ of it, with gnuplot; or of JSON=FILE' \
	'  make bench-check     say which ratios got worse since tools/bench/baseline.json,' \
	'                in three short runs or in JSON=FILE...; make bench-baseline writes it' \
	'  make fuzzers  build the targets of tests/fuzz/ into $(BUILD)/fuzz/' \
	'  make coverage say how many lines of each file the tests run' \
	'  make check-kernel-style' \
	'                sparse, checkpatch, coccinelle, kernel-doc over the module' \
	'  make module   build the kernel module for KDIR, the running kernel, into $(BUILD)/module/' \
	'  make module_install   and install it; honours INSTALL_MOD_PATH' \
	'  make dkms-install, make dkms-remove' \
	'                the module by DKMS, for this kernel and those to come' \
	'  make check-vm run the tests of the module in four kernels, in virtual machines' \
	'  make check-uml     and in the newest kernel, as User-Mode Linux' \
	'  make check-here   and in the kernel that runs: builds, loads, tests, unloads' \
	'  make check-debug-kernel  build kernels that look at themselves, once, and run those' \
	'                tests in them, with every fault injected, and random ones;' \
	'                make check DEBUG_KERNEL=yes does both' \
	'  make install  install under PREFIX ($(PREFIX)); honours DESTDIR' \
	'  make uninstall, make clean, make format' \
	'' \
	'Variables: V=1 shows the commands; CC, CFLAGS, LDFLAGS as usual;' \
	'SANITIZE=address,undefined; WERROR=1; BUILD=another directory.'
