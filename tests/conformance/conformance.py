#!/usr/bin/env python3
"""Runs every conformance test of this directory against real brokers. Arguments: as for unittest, such as -k will."""

import pathlib
import sys
import unittest

import link

DIRECTORY = pathlib.Path(__file__).resolve().parent


def main():
    arguments = sys.argv[1:]
    patterns = [f"*{arguments[i + 1]}*" for i, word in enumerate(arguments[:-1]) if word == "-k"]
    loader = unittest.TestLoader()
    loader.testNamePatterns = patterns or None
    suite = loader.discover(str(DIRECTORY), pattern="*_test.py", top_level_dir=str(DIRECTORY))
    outcome = unittest.TextTestRunner(verbosity=2 if "-v" in arguments else 1).run(suite)
    ended = True
    for server in link.RUNNING:
        try:
            server.__exit__()
        except AssertionError as error:
            print(error, file=sys.stderr)
            ended = False
    return 0 if outcome.wasSuccessful() and ended and suite.countTestCases() else 1


sys.exit(main())
