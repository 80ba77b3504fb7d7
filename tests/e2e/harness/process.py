"""What the kernel says of a running process."""

import os
import pathlib


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waited_seconds(pid):
    """How long threads of the process could have run and had no processor: on a busy machine that is what latency is made of."""
    waits = [path.read_text(encoding="ascii").split()[1] for path in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")]
    return sum(map(int, waits)) / 1e9
