#!/usr/bin/env python3
"""docs/SETTINGS.md is what `parleyd --settings` prints, docs/METRICS.md what `parleyd --metrics` does, and both files in conf/ are sound and name every section.
Usage: settings_test.py DIRECTORY_OF_PROGRAMS"""

import pathlib
import re
import subprocess
import sys

import tree


def run(*arguments):
    return subprocess.run(arguments, cwd=tree.ROOT, capture_output=True, text=True, check=False)


def main():
    programs = pathlib.Path(sys.argv[1])
    findings = []
    page = run(programs / "parleyd", "--settings").stdout
    if page != (tree.ROOT / "docs/SETTINGS.md").read_text(encoding="utf-8"):
        findings.append("docs/SETTINGS.md: is not what `parleyd --settings` prints; write it anew")
    if run(programs / "parleyd", "--metrics").stdout != (tree.ROOT / "docs/METRICS.md").read_text(encoding="utf-8"):
        findings.append("docs/METRICS.md: is not what `parleyd --metrics` prints; write it anew")
    checked = 2
    for conf in ("conf/dev.toml", "conf/parley.toml"):
        for program in ("parleyd", "parley-bridge"):
            checked += 1
            result = run(programs / program, "--config", conf, "--check-config")
            if result.returncode != 0:
                findings.append(f"{conf}: {program} refuses it: {result.stdout}{result.stderr}".strip())
    # The production file shows every setting, set or commented out.
    text = (tree.ROOT / "conf/parley.toml").read_text(encoding="utf-8")
    section = None
    shown = set()
    for line in text.splitlines():
        if match := re.match(r"#? ?\[+([a-z]+)\]+$", line):
            section = match[1]
        elif match := re.match(r"#? ?([a-z_0-9]+) = ", line):
            shown.add(f"{section}.{match[1]}")
    section = None
    for line in page.splitlines():
        if match := re.match(r"## \[+(\w+)\]+", line):
            section = match[1]
        elif match := re.match(r"\| `(\w+)` \|", line):
            checked += 1
            if f"{section}.{match[1]}" not in shown:
                findings.append(f"conf/parley.toml: doesn't show {section}.{match[1]}")
    tree.report(findings, checked)


main()
