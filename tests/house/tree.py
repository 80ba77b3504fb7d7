"""What the house tests share: which files belong to the tree, and how a finding is reported."""

import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = {"build", "data", "node_modules", ".git", "__pycache__"}


def files(*suffixes):
    """Every file of the tree with one of `suffixes` (all of them when none is given), sorted, relative to the root."""
    found = []
    for directory, below, names in os.walk(ROOT):
        below[:] = [name for name in below if name not in SKIPPED]
        paths = (pathlib.Path(directory, name) for name in names)
        found += [path.relative_to(ROOT) for path in paths
                  if path.is_file() and path.name not in SKIPPED and (not suffixes or path.suffix in suffixes)]
    return sorted(found)


def lines(path):
    """(number, line) of a file of the tree."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return enumerate(text.splitlines(), 1)


def report(findings, checked):
    """Prints the findings, one a line, and ends the test."""
    for finding in findings:
        print(finding)
    print(f"{checked} checked, {len(findings)} found")
    if checked == 0:
        print("nothing was checked: the test looks in the wrong place")
        sys.exit(1)
    sys.exit(1 if findings else 0)
