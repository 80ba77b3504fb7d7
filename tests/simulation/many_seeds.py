#!/usr/bin/env python3
"""Runs the simulation of whole clusters with many seeds, until one breaks a promise.

    tests/simulation/many_seeds.py [--seeds 20000 | --seconds 90] [--first N | --fresh] [--jobs 2] [--binary FILE]

Prints how far it is, and the seeds a second. Without --first or --fresh it begins at 1; --fresh begins where the clock says, so each
run has seeds of its own. A seed that fails runs again with PARLEY_SEED=N and the same program.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

TEST = "ClusterPromises.HoldWhateverHappens"
SUMMARY = re.compile(r"^(\d+) seeds, .*; (\d+) acknowledged, (\d+) records, (\d+) elections, (\d+) crashes, (\d+) logs lost$", re.MULTILINE)


def run(binary, first, count, limit):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_SEED")}
    environment |= {"PARLEY_FIRST_SEED": str(first), "PARLEY_SEEDS": str(count)}
    return subprocess.run([binary, f"--gtest_filter={TEST}"], env=environment, capture_output=True, text=True, timeout=limit, check=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, help="end after so long, instead of after --seeds")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--chunk", type=int, default=50, help="seeds that one process runs")
    parser.add_argument("--binary", type=pathlib.Path, default=pathlib.Path("build/dev/bin/cluster_promises_test"))
    options = parser.parse_args()
    first = int(time.time()) * 1000 if options.fresh else options.first
    began, at, done, figures = time.monotonic(), first, 0, [0, 0, 0, 0, 0]
    passed = lambda: time.monotonic() - began
    wanted = lambda: passed() < options.seconds if options.seconds else at < first + options.seeds
    print(f"seeds from {first} on", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        running = {}
        while running or wanted():
            while len(running) < options.jobs and wanted():
                count = options.chunk if options.seconds else min(options.chunk, first + options.seeds - at)
                running[pool.submit(run, options.binary, at, count, 60 * count)] = at
                at += count
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for one in ended:
                of, result = running.pop(one), one.result()
                summary = SUMMARY.search(result.stdout)
                if result.returncode != 0 or not summary:
                    print(result.stdout[-8000:], result.stderr[-4000:])
                    print(f"FAILED: one of the seeds from {of} on, after {done} clean ones")
                    sys.exit(1)
                before, done = done, done + int(summary[1])
                figures = [sum(pair) for pair in zip(figures, map(int, summary.groups()[1:]))]
                if before // 1000 != done // 1000:
                    print(f"{done} seeds clean, {done / passed():.1f} a second", flush=True)
    print(f"{done} seeds from {first} on, none failed, {done / passed():.1f} a second; {figures[0]} acknowledged, {figures[1]} records, "
          f"{figures[2]} elections, {figures[3]} crashes, {figures[4]} logs lost")


main()
