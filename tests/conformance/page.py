#!/usr/bin/env python3
"""docs/CONFORMANCE.md from the tests' own words. Usage: page.py > docs/CONFORMANCE.md"""

import ast
import pathlib

DIRECTORY = pathlib.Path(__file__).resolve().parent

HEAD = """# Conformance

Generated from tests/conformance: `tests/conformance/page.py > docs/CONFORMANCE.md`; a house test compares.

Each normative statement of MQTT 5.0 and the test that shows it against a real broker, byte by byte. The statements are
paraphrased; their identifiers are the specification's. *binds* says whom: what binds clients only has a test where a server
must notice the violation. `MQTT3-` are statements of 3.1.1 that 5.0 words differently, with 3.1.1's numbers, `MQTT31-` the rules
of 3.1. `ctest -R conformance` runs them all; one of them: `tests/conformance/conformance.py -k WORD`.
"""


def statements(name):
    lines = (DIRECTORY / name).read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines[1:] if line]


def tests():
    """Statement -> the tests that show it, as FILE: CLASS.TEST."""
    found = {}
    for path in sorted(DIRECTORY.glob("*_test.py")):
        for group in ast.parse(path.read_text(encoding="utf-8")).body:
            if not isinstance(group, ast.ClassDef):
                continue
            for test in group.body:
                for mark in getattr(test, "decorator_list", ()):
                    if isinstance(mark, ast.Call) and getattr(mark.func, "id", "") == "shows":
                        for statement in mark.args:
                            found.setdefault(statement.value, []).append(f"{path.stem}: {test.name[5:].replace('_', ' ')}")
    return found


def page():
    """The page, and what is wrong with the tests' own marks."""
    shown = tests()
    known, text, open_ones, wrong = set(), HEAD, [], []
    for title, name in (("MQTT 5.0", "statements.tsv"), ("MQTT 3.1.1 and 3.1", "statements_v3.tsv")):
        text += f"\n## {title}\n\n| statement | binds | what it says | shown by |\n| --- | --- | --- | --- |\n"
        for statement, party, paraphrase in statements(name):
            known.add(statement)
            names = "<br>".join(dict.fromkeys(shown.get(statement, ())))
            if not names and party != "client":
                open_ones.append(statement)
            text += f"| {statement} | {party} | {paraphrase.replace('|', chr(92) + '|')} | {names or ('-' if party == 'client' else '**open**')} |\n"
    wrong += [f"{statement} is shown by a test and isn't known" for statement in sorted(set(shown) - known)]
    text += f"\nOpen: {', '.join(open_ones) if open_ones else 'none'}.\n"
    return text, open_ones, wrong


if __name__ == "__main__":
    print(page()[0], end="")
