#!/usr/bin/env python3
"""No file has what belongs to one machine or was meant for later: home directories, notes to do, merge marks, trailing
blanks, tabs in C++."""

import re

import tree

# Written so that this file doesn't find itself.
RULES = [
    (re.compile(r"(?<![\w.])/" + r"(home|root|work|Users)/"), "a path of one machine"),
    (re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b"), "a note for later; an issue keeps it better"),
    (re.compile(r"^(<<<<" + r"<<<|>>>>" + r">>>)( |$)"), "a mark of an unfinished merge"),
    (re.compile(r"[ \t]+$"), "blanks at the end of the line"),
]
CPP_RULES = [
    (re.compile(r"\t"), "a tab"),
    (re.compile(r"std::(cout|cerr)\s*<<.*(DEBUG|debug:|here)"), "a trace left behind"),
]
TEXT = {".hpp", ".cpp", ".py", ".js", ".md", ".txt", ".cmake", ".toml", ".json", ".service", ".conf", ".yml", ""}


def main():
    findings, checked = [], 0
    for path in tree.files():
        if path.suffix not in TEXT or "corpus" in path.parts or path.name == "package-lock.json":
            continue
        checked += 1
        rules = RULES + (CPP_RULES if path.suffix in {".hpp", ".cpp"} else [])
        for number, line in tree.lines(path):
            for pattern, what in rules:
                if pattern.search(line):
                    findings.append(f"{path}:{number}: {what}: {line.strip()}")
    tree.report(findings, checked)


main()
