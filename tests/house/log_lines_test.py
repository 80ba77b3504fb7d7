#!/usr/bin/env python3
"""docs/LOGGING.md lists every line that the programs log, as the code has it. `log_lines_test.py --write` writes the list anew."""

import re
import sys

import tree

PAGE = "docs/LOGGING.md"
BEGIN, END = "<!-- lines: begin -->\n", "<!-- lines: end -->\n"
CALL = re.compile(r'log::(debug|info|warn|error)\(\s*"((?:[^"\\]|\\.)*)"\s*(,\s*\{(.*?)\})?\s*\)\s*;', re.S)
FIELD = re.compile(r'\{\s*"([a-z_0-9]+)"')
LEVELS = ["error", "warn", "info", "debug"]


def lines_of_code():
    found = {}
    for path in tree.files(".cpp", ".hpp"):
        if path.parts[0] in ("tests", "base"):
            continue
        text = (tree.ROOT / path).read_text(encoding="utf-8")
        for level, event, _, fields in CALL.findall(text):
            key = level, event, str(path.parent)
            found.setdefault(key, []).extend(name for name in FIELD.findall(fields) if name not in found.get(key, []))
    return found


def table():
    rows = ["| level | event | fields | from |", "| --- | --- | --- | --- |"]
    found = lines_of_code()
    for level, event, room in sorted(found, key=lambda key: (LEVELS.index(key[0]), key[1], key[2])):
        fields = " ".join(f"`{name}`" for name in found[level, event, room]) or "–"
        rows.append(f"| {level} | {event} | {fields} | {room} |")
    return "\n".join(rows) + "\n", len(found)


def main():
    page = (tree.ROOT / PAGE).read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    rows, count = table()
    wanted = f"{head}{BEGIN}\n{rows}\n{END}{tail}"
    if "--write" in sys.argv:
        (tree.ROOT / PAGE).write_text(wanted, encoding="utf-8")
        print(f"{PAGE}: {count} lines")
        return
    stale = [] if page == wanted else [f"{PAGE}: is not what the code logs; tests/house/log_lines_test.py --write mends it"]
    tree.report(stale, count)


main()
