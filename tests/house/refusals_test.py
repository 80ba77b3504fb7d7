#!/usr/bin/env python3
"""docs/PROTOCOL.md has the refusals of broker/chat/refusal.cpp. `refusals_test.py --write` writes its table anew."""

import re
import sys

import tree

PAGE, SOURCE = "docs/PROTOCOL.md", "broker/chat/refusal.cpp"
BEGIN, END = "<!-- refusals: begin -->\n", "<!-- refusals: end -->\n"
RULE = re.compile(r'RefusalRule\{\s*Refusal::\w+,\s*"([^"]+)",\s*(0x[0-9A-Fa-f]+),\s*(\d+),\s*"([^"]+)"\}')


def main():
    rules = RULE.findall((tree.ROOT / SOURCE).read_text(encoding="utf-8"))
    rows = [f"| `{word}` | {reason} | {after if after != '0' else ''} | {message} |" for word, reason, after, message in rules]
    table = "\n".join(rows).replace("|  |", "| |")
    page = (tree.ROOT / PAGE).read_text(encoding="utf-8")
    # Inside a table there may be no comment, so the marks stand around all of it.
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    wanted = head + BEGIN + "| `error` | reason | retry-after | meaning |\n| --- | --- | --- | --- |\n" + table + "\n" + END + tail
    if "--write" in sys.argv:
        (tree.ROOT / PAGE).write_text(wanted, encoding="utf-8")
        return
    stale = [] if page == wanted else [f"{PAGE}: has other refusals than {SOURCE}; tests/house/refusals_test.py --write mends it"]
    tree.report(stale, len(rules))


main()
