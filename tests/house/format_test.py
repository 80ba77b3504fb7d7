#!/usr/bin/env python3
"""Every C++ file is as clang-format leaves it. `clang-format -i FILE…` mends what this finds."""

import subprocess

import tree

paths = [str(path) for path in tree.files(".hpp", ".cpp")]
findings = []
for start in range(0, len(paths), 50):
    some = paths[start : start + 50]
    result = subprocess.run(
        ["clang-format", "--dry-run", "--ferror-limit=1", *some], cwd=tree.ROOT, capture_output=True, text=True, check=True
    )
    findings += [line for line in result.stderr.splitlines() if "[-Wclang-format-violations]" in line]
tree.report(findings, len(paths))
