#!/usr/bin/env python3
"""Every room of cmake/layers.txt that has sources has a README.md of one screen, a document that is named anywhere exists,
and so does every source file that a document under docs/ names in backticks."""

import re

import tree

LINES_MAX = 70
SOURCE = re.compile(r"`([a-z0-9_./-]+/[a-z0-9_.-]+\.(?:cpp|hpp|py|toml|cmake|txt))`")
NAMED = re.compile(r"\b(docs/[A-Za-z0-9_/]+\.md)\b")


def rooms():
    for _, line in tree.lines("cmake/layers.txt"):
        if "|" in line and not line.startswith("#"):
            yield line.split()[0]


def main():
    findings, checked = [], 0
    for room in rooms():
        directory = tree.ROOT / room
        if not any(directory.glob("*.cpp")) and not any(directory.glob("*.hpp")):
            continue
        checked += 1
        readme = directory / "README.md"
        if not readme.is_file():
            findings.append(f"{room}/README.md:1: is missing")
        elif len(readme.read_text(encoding="utf-8").splitlines()) > LINES_MAX:
            findings.append(f"{room}/README.md:{LINES_MAX}: is longer than a screen")
    for path in tree.files(".hpp", ".cpp", ".md", ".txt", ".cmake"):
        for number, line in tree.lines(path):
            for name in NAMED.findall(line):
                checked += 1
                if not (tree.ROOT / name).is_file():
                    findings.append(f"{path}:{number}: names {name}, which doesn't exist")
            for name in SOURCE.findall(line) if path.suffix == ".md" and path.parts[0] == "docs" else ():
                checked += 1
                if not (tree.ROOT / name).is_file():
                    findings.append(f"{path}:{number}: names {name}, which doesn't exist")
    tree.report(findings, checked)


main()
