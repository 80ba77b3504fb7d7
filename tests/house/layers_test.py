#!/usr/bin/env python3
"""No file includes what cmake/layers.txt doesn't let its room see.

With one include root a room compiles happily against a header of a room it doesn't link, and against any system header;
so the include lines themselves are read.
"""

import fnmatch
import re

import tree

TABLE = "cmake/layers.txt"
INCLUDE = re.compile(r'^\s*#\s*include\s*(?:"([^"]+)"|<([^>]+)>)')


def read_table():
    rooms, groups = {}, {}
    for number, line in tree.lines(TABLE):
        if line.startswith("#") or not line.strip():
            continue
        if "|" in line:
            name, seen, outside = (column.split() for column in line.split("|"))
            rooms[name[0]] = (number, set(seen), set(outside))
        else:
            name, patterns = line.split("=", 1)
            groups[name.strip()] = patterns.split()
    for name, (number, seen, outside) in rooms.items():
        for word in seen - {"-", "*"} - rooms.keys():
            raise SystemExit(f"{TABLE}:{number}: {name} may include {word}, which is no room")
        for word in outside - {"-", "*"} - groups.keys():
            raise SystemExit(f"{TABLE}:{number}: {name} may use {word}, which is no group")
    return rooms, groups


def room_of(path, rooms):
    parts = str(path).split("/")
    for length in range(len(parts), 0, -1):
        name = "/".join(parts[:length])
        if name in rooms:
            return name
    return None


def group_of(header, groups):
    for name, patterns in groups.items():
        if any(fnmatch.fnmatchcase(header, pattern) for pattern in patterns):
            return name
    return None


def is_standard(header):
    """C++ standard headers have neither a directory nor a suffix; of C's only these have no C++ name of their own."""
    return "/" not in header and "." not in header


def check_include(path, number, room, rooms, groups, quoted, angled):
    row, seen, outside = rooms[room]
    where = f"{path}:{number}"
    if quoted is not None:
        target = room_of(quoted, rooms)
        if not (tree.ROOT / quoted).is_file():
            return f'{where}: "{quoted}" is no file of the tree; includes are full paths from the root'
        if target is None:
            return f'{where}: "{quoted}" belongs to no room of {TABLE}'
        if target != room and "*" not in seen and target not in seen:
            return f'{where}: {room} includes "{quoted}" of {target} against {TABLE}:{row}'
        return None
    group = group_of(angled, groups)
    if group is None and is_standard(angled):
        return None
    if "*" in outside or group in outside:
        return None
    what = f"of {group}" if group else "of no group"
    return f"{where}: {room} includes <{angled}> {what} against {TABLE}:{row}"


def main():
    rooms, groups = read_table()
    findings, checked = [], 0
    for path in tree.files(".hpp", ".cpp"):
        room = room_of(path, rooms)
        if room is None:
            findings.append(f"{path}:1: belongs to no room of {TABLE}")
            continue
        checked += 1
        for number, line in tree.lines(path):
            match = INCLUDE.match(line)
            if match:
                finding = check_include(path, number, room, rooms, groups, *match.groups())
                if finding:
                    findings.append(finding)
    tree.report(findings, checked)


main()
