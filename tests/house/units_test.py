#!/usr/bin/env python3
"""The systemd units are sound and exposed to little: `systemd-analyze verify` has nothing to say (it exits 0 on a key that
it doesn't know), and `systemd-analyze security` rates them below the threshold. Usage: units_test.py BUILD_DIRECTORY"""

import pathlib
import subprocess
import sys
import tempfile

import tree

EXPOSURE_MAX = 15  # Tenths: 1.5 of 10.


def analyze(*arguments):
    result = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False)
    return result.returncode, (result.stdout + result.stderr).strip()


def main():
    findings = []
    units = sorted((pathlib.Path(sys.argv[1]) / "systemd").glob("*.service"))
    with tempfile.TemporaryDirectory() as directory:
        for unit in units:
            # verify wants the program to be there, and it isn't before the installation.
            text = unit.read_text(encoding="utf-8")
            lines = ["ExecStart=/bin/true" if line.startswith("ExecStart=") else line for line in text.splitlines()]
            (pathlib.Path(directory) / unit.name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        for unit in units:
            copy = str(pathlib.Path(directory) / unit.name)
            status, output = analyze("verify", "--man=no", copy)
            if status != 0 or output:
                findings.append(f"systemd/{unit.name}: verify: {output or status}")
            status, output = analyze("security", "--offline=yes", f"--threshold={EXPOSURE_MAX}", "--no-pager", copy)
            if status != 0:
                findings.append(f"systemd/{unit.name}: security: {output}")
    tree.report(findings, len(units))


main()
