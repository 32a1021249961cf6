#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# PROVES: the netlink specification shmux.yaml, the header and the module's table agree, to the last attribute
#
# Whatever is changed in one of them alone is found: the test tries it, one thing
# after another.
set -u
cd "${SRC:-$(dirname "$0")/../..}" || exit 1
python3 -c 'import yaml' 2>/dev/null || { echo "python3-yaml is not installed: tests/setup.sh check sees to it"; exit 1; }
exec python3 - <<'END'
import copy, re, sys, yaml

header_text = open("uapi/linux/shmux_netlink.h").read()
module_text = open("kmod/netlink.c").read()
spec = yaml.safe_load(open("uapi/linux/shmux.yaml"))

TYPES = {"u32", "u64", "string", "nest"}


def c_name(name):
    return name.upper().replace("-", "_")


class Header:
    """The enumerations with their values, what is said of each value, the constants."""

    def __init__(self, text):
        self.enums = {}
        for name, body in re.findall(r"^enum (\w+) \{(.*?)^\};", text, re.S | re.M):
            values, value = {}, 0
            for word, number in re.findall(r"^\t(\w+)(?: = (\w+))?,", body, re.M):
                value = int(number, 0) if number else value
                values[word] = value
                value += 1
            self.enums[name] = values
        self.docs = {}
        for name, doc in re.findall(r"^ \* @(\w+): ((?:.*\n)(?: \*\t.*\n)*)", text, re.M):
            self.docs[name] = " ".join(doc.replace("\n *\t", " ").split())
        self.whole = dict(re.findall(r"^ \* enum (\w+) - (.*)$", text, re.M))
        self.defines = dict(re.findall(r'^#define (\w+)\t+"?(\w+)"?', text, re.M))
        # An attribute's type is what its description begins with.
        self.types = {}
        for enum, values in self.enums.items():
            each = re.search(r", each (\w+)$", self.whole.get(enum, ""))
            for word in values:
                doc = self.docs.get(word, "")
                m = re.match(r"(u32|u64|string|nest)(?: of enum shmux_a_(\w+))?(?:, enum shmux_(\w+))?(?=:|$)", doc)
                if not m and each and not word.endswith(("_UNSPEC", "_PAD", "_NR")):
                    self.types[word] = (each.group(1), None, None)
                else:
                    self.types[word] = m.groups() if m else None


def check(header, module, spec):
    """Return what does not agree."""
    wrong = []

    def same(what, x, y):
        if x != y:
            wrong.append("%s: %r and %r" % (what, x, y))

    # Names of the whole.
    same("the name", header.defines.get("SHMUX_GENL_NAME"), spec["name"])
    same("the version", header.defines.get("SHMUX_GENL_VERSION"), str(spec["version"]))
    groups = {c_name(g["c-define-name"]): g["name"] for g in spec["mcast-groups"]["list"]}
    same("the groups", {"SHMUX_GENL_EVENTS": header.defines.get("SHMUX_GENL_EVENTS")}, groups)
    same("the header", spec["uapi-header"], "linux/shmux_netlink.h")

    known = set()

    def compare(enum, names, more):
        if enum in known:
            wrong.append("enum %s is there twice" % enum)
        known.add(enum)
        same("enum " + enum, header.enums.get(enum), {**names, **more})

    # Enumerations.
    entries = {}
    checked = {a["enum"] for s in spec["attribute-sets"] for a in s["attributes"] if "checks" in a}
    for d in spec["definitions"]:
        prefix, start = d["name-prefix"], d.get("value-start", 0)
        names = [e["name"] for e in d["entries"]]
        entries[d["name"]] = names
        values = {c_name(prefix + n): start + i for i, n in enumerate(names)}
        enum = d["enum-name"].replace("-", "_")
        # How many there are is the header's alone, of what the module checks.
        compare(enum, values, {"SHMUX_NR_%sS" % c_name(d["name"]): len(names)} if d["name"] in checked else {})

    # Attributes.
    sets = {}
    for s in spec["attribute-sets"]:
        values, value = {}, 0
        for a in s["attributes"]:
            value = a.get("value", value + 1)
            word = c_name(s["name-prefix"] + a["name"])
            values[word] = value
            if a["type"] == "pad":
                same(word, header.types.get(word), None)
                continue
            said = (a["type"], a.get("nested-attributes"), a.get("enum"))
            told = header.types.get(word)
            same("the type of " + word, told and (told[0], told[1], told[2] and told[2].replace("_", "-")), said)
            if a["type"] not in TYPES:
                wrong.append("%s: %s is no type that we have" % (word, a["type"]))
            if a.get("enum") and a["enum"] not in entries:
                wrong.append("%s: there is no enum %s" % (word, a["enum"]))
            if a.get("checks"):
                same("the check of " + word, a["checks"], {"max": len(entries[a["enum"]]) - 1})
        sets[s["name"]] = {a["name"] for a in s["attributes"]}
        unspec = {c_name(s["name-prefix"] + "unspec"): 0}
        compare(s["enum-name"].replace("-", "_"), values, {**unspec, c_name(s["attr-cnt-name"]): value + 1})
        same("the largest of " + s["name"], "#define %s (%s - 1)" % (c_name(s["attr-max-name"]), c_name(s["attr-cnt-name"])) in header_text, True)
    for s in spec["attribute-sets"]:
        for a in s["attributes"]:
            if a["type"] == "nest" and a["nested-attributes"] not in sets:
                wrong.append("%s: there is no set %s" % (a["name"], a["nested-attributes"]))

    # Commands, events, and what the module does for each.
    ops, table, policies = spec["operations"], {}, {}
    values = {c_name(ops["name-prefix"] + "unspec"): 0}
    answering = {}
    for value, o in enumerate(ops["list"], 1):
        word = c_name(ops["name-prefix"] + o["name"])
        values[word] = value
        if "notify" in o or "event" in o:
            same("the group of " + word, o.get("mcgrp"), "events")
            if "notify" in o and o["notify"] not in [x["name"] for x in ops["list"]]:
                wrong.append("%s: there is no %s" % (word, o["notify"]))
        else:
            ways = [w for w in ("do", "dump") if w in o]
            table[word] = (ways, o.get("flags", []))
        for way in ("do", "dump", "event"):
            bodies = [o[way]] if way == "event" and way in o else list(o.get(way, {}).values())
            for body in bodies:
                for name in body["attributes"]:
                    if name not in sets[o["attribute-set"]]:
                        wrong.append("%s: there is no attribute %s" % (word, name))
        request = o.get("do", {}).get("request", {}).get("attributes", [])
        if request:
            prefix = [s["name-prefix"] for s in spec["attribute-sets"] if s["name"] == o["attribute-set"]][0]
            policies[o["attribute-set"]] = {c_name(prefix + n) for n in request}
    same("enum shmux_cmd", header.enums.get("shmux_cmd"), values)
    known.add("shmux_cmd")
    same("all enumerations", set(header.enums), known)

    done = {}
    body = re.search(r"genl_ops shmux_ops\[\] = \{(.*?)^\};", module, re.S | re.M).group(1)
    for entry in re.findall(r"\{(.*?)\}", body, re.S):
        word = re.search(r"\.cmd = (\w+)", entry).group(1)
        ways = [w for w, field in (("do", ".doit"), ("dump", ".dumpit")) if field in entry]
        done[word] = (ways, ["admin-perm"] if "GENL_ADMIN_PERM" in entry else [])
    same("the module's table", done, table)
    taken = {
        name: set(re.findall(r"^\t\[(\w+)\]", text, re.M))
        for name, text in re.findall(r"nla_policy (\w+)_policy\[\] = \{(.*?)^\};", module, re.S | re.M)
    }
    same("what is asked with", taken, policies)
    return wrong


wrong = check(Header(header_text), module_text, spec)
for line in wrong:
    print(line)
if wrong:
    sys.exit(1)

# Now one change at a time.
missed, tried = [], 0


def must_be_found(what, header=header_text, module=module_text, spec=spec):
    global tried
    tried += 1
    if header == header_text and module == module_text and spec is globals()["spec"]:
        missed.append(what + " was not even tried")
        return
    try:
        found = check(Header(header), module, spec)
    except (KeyError, IndexError, AttributeError):
        found = True
    if not found:
        missed.append(what)


header = Header(header_text)
for enum, names in header.enums.items():
    for word in names:
        line = "\t%s,\n" % word
        must_be_found("%s gone from the header" % word, header=header_text.replace(line, "", 1))
        must_be_found("another before %s" % word, header=header_text.replace(line, "\tSHMUX_OTHER,\n" + line, 1))
        if header.types[word] and not re.search(", each", header.whole[enum]):
            at = "@%s: %s" % (word, header.types[word][0])
            must_be_found("the type of %s in the header" % word, header=header_text.replace(at, "@%s: u16" % word, 1))
must_be_found("the counters' type", header=header_text.replace("each u64", "each u32", 1))
for name in ("SHMUX_GENL_NAME", "SHMUX_GENL_VERSION", "SHMUX_GENL_EVENTS"):
    must_be_found(name, header=re.sub(r"(#define %s\t+\"?)" % name, r"\g<1>7", header_text))


def variants(where, get):
    """Without each of a list's things, and with it twice."""
    for i in range(len(get(spec))):
        for change in ("gone from", "twice in"):
            s = copy.deepcopy(spec)
            things = get(s)
            if change == "gone from":
                del things[i]
            else:
                things.insert(i, copy.deepcopy(things[i]))
                things[i]["name"] += "-other"
            must_be_found("%s %s %s" % (get(spec)[i]["name"], change, where), spec=s)


variants("the commands", lambda s: s["operations"]["list"])
variants("the sets", lambda s: s["attribute-sets"])
variants("the definitions", lambda s: s["definitions"])
for i, d in enumerate(spec["definitions"]):
    variants("the enum " + d["name"], lambda s: s["definitions"][i]["entries"])
for i, a in enumerate(spec["attribute-sets"]):
    variants("the set " + a["name"], lambda s: s["attribute-sets"][i]["attributes"])
    for j, b in enumerate(a["attributes"]):
        for key, other in (("type", "u16"), ("enum", "flavour"), ("nested-attributes", "limit"), ("checks", {"max": 9})):
            if key in b:
                s = copy.deepcopy(spec)
                s["attribute-sets"][i]["attributes"][j][key] = other
                must_be_found("%s of %s %s" % (key, a["name"], b["name"]), spec=s)
for field in (".doit = session_get", ".dumpit = listener_dump", ".flags = GENL_ADMIN_PERM"):
    must_be_found(field, module=module_text.replace(field, ".other = 0", 1))
must_be_found("a command of the module's", module=module_text.replace(".cmd = SHMUX_CMD_COUNTER_GET", ".cmd = SHMUX_CMD_QUOTA_HIT", 1))
must_be_found("a policy of the module's", module=module_text.replace("\t[SHMUX_A_LIMIT_MAX_USE] =", "\t[SHMUX_A_LIMIT_USED] =", 1))

for what in missed:
    print("this was not found: " + what)
if tried < 200:
    print("only %d changes were tried" % tried)
sys.exit(1 if missed or tried < 200 else 0)
END
