#!/usr/bin/env python3
"""docs/CONFORMANCE.md is what tests/conformance/page.py prints, and no statement that binds a server is without a test, but for
those of enhanced authentication that are named here."""

import sys

import tree

sys.path.insert(0, str(tree.ROOT / "tests/conformance"))
import page  # noqa: E402

OPEN = ("MQTT-3.15.2-", "MQTT-4.12.0-", "MQTT-4.12.1-")


def main():
    text, open_ones, findings = page.page()
    if text != (tree.ROOT / "docs/CONFORMANCE.md").read_text(encoding="utf-8"):
        findings.append("docs/CONFORMANCE.md: is not what tests/conformance/page.py prints; write it anew")
    findings += [f"{statement} has no test" for statement in open_ones if not statement.startswith(OPEN)]
    tree.report(findings, text.count("\n"))


main()
