#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that the rooms of the code include only what docs/architecture.md lets them include.

The table between the markers `layers:begin` and `layers:end` of that file is the one source of the rules:
  | layer | room | may include | outside headers |
A room is a folder of src/ (or `glmocr`, the public headers); `room/file.h` in the third column opens one header of a
room instead of the whole room. Sub-folders without a line of their own belong to the room that contains them.

Further rules: no cycles between files, no switches between devices outside kernels, the SPDX line first, at most 800
lines per file. Prints file:line of every offence and exits with 1 if there are any.

  tools/check_layers.py [--root FOLDER]
  tools/check_layers.py --self-test
"""
import argparse
import pathlib
import re
import sys
import tempfile

MAX_LINES = 800
CODE = {".h", ".cc", ".cu", ".cuh"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
# Only CMake and kernels know which backends exist: an absent one is replaced by another source file, not by an #ifdef.
DEVICE_SWITCH = re.compile(
    r"^\s*#\s*(?:if|ifdef|ifndef|elif)\b.*\b(CUDA\w*|__CUDA\w*|GLMOCR_(?:CUDA|ONEDNN|CPU)\w*|__AVX\w*|__SSE\w*|__AMX\w*|"
    r"__ARM_\w+|_OPENMP)\b")
# Headers of C, C++ and Linux that any .cc file may include; a public header only those without a slash or ".h".
SYSTEM = re.compile(r"^[a-z_]+$|^(stdint|stddef|string|math|errno|fcntl|malloc|poll|unistd|sched|signal|spawn|pthread|dlfcn|glob)\.h$|"
                    r"^(sys|linux)/\w+\.h$")


class Room:
    def __init__(self, layer, name, rooms, headers, outside):
        self.layer, self.name, self.rooms, self.headers, self.outside = layer, name, rooms, headers, outside


def read_rooms(document):
    """The rooms of the table in docs/architecture.md, by name."""
    text = document.read_text(encoding="utf-8")
    match = re.search(r"<!-- layers:begin.*?-->(.*?)<!-- layers:end -->", text, re.S)
    if not match:
        sys.exit(f"{document}: no table between layers:begin and layers:end")
    rooms = {}
    for line in match.group(1).splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if len(cells) < 4 or not cells[0].isdigit():
            continue
        name = re.findall(r"`([^`]+)`", cells[1])[0]
        may = re.findall(r"`([^`]+)`", cells[2])
        rooms[name] = Room(int(cells[0]), name, {m for m in may if not m.endswith(".h")},
                           {m for m in may if m.endswith(".h")}, re.findall(r"`([^`]+)`", cells[3]))
    for room in rooms.values():
        for other in room.rooms:
            if other not in rooms:
                sys.exit(f"{document}: room {room.name} may include {other}, which has no line")
            if rooms[other].layer > room.layer:
                sys.exit(f"{document}: room {room.name} (layer {room.layer}) may include {other} above it")
    check_table_cycles(document, rooms)
    return rooms


def check_table_cycles(document, rooms):
    cycle = find_cycle({name: sorted(room.rooms) for name, room in rooms.items()})
    if cycle:
        sys.exit(f"{document}: the table lets rooms include each other: {' -> '.join(cycle)}")


def find_cycle(graph):
    """One cycle of a graph {node: [nodes]}, as a list that begins and ends with the same node, or None."""
    done, path = set(), []

    def visit(node):
        if node in path:
            return path[path.index(node):] + [node]
        if node in done:
            return None
        path.append(node)
        for other in graph.get(node, ()):
            cycle = visit(other)
            if cycle:
                return cycle
        path.pop()
        done.add(node)
        return None

    for node in graph:
        cycle = visit(node)
        if cycle:
            return cycle
    return None


def room_of(path, rooms):
    """The room of an include path such as models/glm_ocr/vision.h: the longest of its folders that has a line."""
    folders = path.split("/")[:-1]
    while folders:
        if "/".join(folders) in rooms:
            return "/".join(folders)
        folders.pop()
    return None


class Checker:
    def __init__(self, root):
        self.root = root
        self.rooms = read_rooms(root / "docs" / "architecture.md")
        self.offences = []
        self.graph = {}

    def offence(self, file, line, text):
        self.offences.append(f"{file.relative_to(self.root)}:{line}: {text}")

    def run(self):
        for top in ("src", "include", "tests", "bench"):
            for file in sorted((self.root / top).rglob("*")):
                if file.suffix in CODE:
                    self.check_code(file, top)
        for pattern in ("CMakeLists.txt", "cmake/*", "src/**/CMakeLists.txt", "tests/**/CMakeLists.txt", "scripts/*",
                        "tools/*.py", "tools/*.sh", "train/*.py", ".ci/run"):
            for file in sorted(self.root.glob(pattern)):
                if file.is_file():
                    self.check_text(file, file.read_text(encoding="utf-8").splitlines())
        cycle = find_cycle(self.graph)
        if cycle:
            self.offence(self.root / "src", 0, f"files include each other: {' -> '.join(cycle)}")
        return self.offences

    def check_text(self, file, lines):
        head = lines[1:2] if lines and lines[0].startswith("#!") else lines[:1]
        if not head or "SPDX-License-Identifier: Apache-2.0" not in head[0]:
            self.offence(file, 1, "the first line must be the SPDX-License-Identifier")
        if len(lines) > MAX_LINES:
            self.offence(file, len(lines), f"{len(lines)} lines, more than {MAX_LINES}: split the file")

    def check_code(self, file, top):
        lines = file.read_text(encoding="utf-8").splitlines()
        self.check_text(file, lines)
        path = file.relative_to(self.root / top).as_posix()
        room = room_of(path, self.rooms) if top in ("src", "include") else None
        if top == "src" and room is None:
            self.offence(file, 1, "the folder is no room of docs/architecture.md")
            return
        for number, line in enumerate(lines, 1):
            include = INCLUDE.match(line)
            if include:
                self.graph.setdefault(path, []).append(include.group(2))
                self.check_include(file, number, room, include.group(1) == '"', include.group(2))
            switch = DEVICE_SWITCH.match(line)
            if switch and top in ("src", "include") and room != "kernels":
                self.offence(file, number, f"switch on {switch.group(1)} outside kernels")

    def check_include(self, file, number, room, quoted, header):
        target = room_of(header, self.rooms)
        if target is None:
            if room is not None:
                self.check_outside(file, number, self.rooms[room], quoted, header)
        elif room is None:  # tests and bench see every room, but of kernels only the door, except for its own tests
            own_tests = file.relative_to(self.root).as_posix().startswith("tests/kernels/")
            if target == "kernels" and header != "kernels/kernels.h" and not own_tests:
                self.offence(file, number, f"{header} is inside kernels: include kernels/kernels.h")
        elif target != room and target not in self.rooms[room].rooms and header not in self.rooms[room].headers:
            self.offence(file, number, f"{room} (layer {self.rooms[room].layer}) must not include {header} "
                                       f"(layer {self.rooms[target].layer})")

    def check_outside(self, file, number, room, quoted, header):
        if quoted:
            self.offence(file, number, f"\"{header}\": no such room; include relative to src/")
        elif room.name == "glmocr":
            if not re.match(r"^[a-z_]+$", header):
                self.offence(file, number, f"<{header}>: public headers include the standard library only")
        elif not SYSTEM.match(header) and not any(header == o or (o.endswith("/") and header.startswith(o))
                                                  for o in room.outside):
            self.offence(file, number, f"<{header}>: {room.name} may not include this library")


def self_test():
    """Builds a small tree with one offence of each kind and expects exactly these to be found."""
    table = """<!-- layers:begin -->
| 0 | `glmocr` | | |
| 0 | `base` | `glmocr` | |
| 1 | `tensor` | `base` | |
| 2 | `kernels` | `tensor`, `base` | `dnnl.h` |
| 2 | `models` | `tensor`, `base` | `json/` |
| 2 | `models/a` | `models`, `tensor`, `base` | |
| 2 | `models/b` | `models`, `tensor`, `base` | |
| 5 | `api` | `models/a`, `base`, `kernels/kernels.h` | |
<!-- layers:end -->
"""
    spdx = "// SPDX-License-Identifier: Apache-2.0\n"
    files = {
        "docs/architecture.md": table,
        "include/glmocr/good.h": spdx + "#include <vector>\n",
        "include/glmocr/bad.h": spdx + "#include <json/json.h>\n",
        "src/base/good.h": spdx + '#include "glmocr/good.h"\n#include <unistd.h>\n',
        "src/base/upward.cc": spdx + '#include "tensor/t.h"\n',
        "src/base/one.h": spdx + '#include "base/two.h"\n',
        "src/base/two.h": spdx + '#include "base/one.h"\n',
        "src/tensor/t.h": spdx + '#include "base/good.h"\n',
        "src/tensor/switch.cc": spdx + "#ifdef GLMOCR_CUDA\n#endif\n",
        "src/tensor/library.cc": spdx + "#include <dnnl.h>\n",
        "src/kernels/kernels.h": spdx + '#include "tensor/t.h"\n',
        "src/kernels/ref/ops.h": spdx + "#if defined(__AVX2__)\n#endif\n#include <dnnl.h>\n",
        "src/models/m.cc": spdx + '#include <json/json.h>\n#include "models/a/a.h"\n',
        "src/models/a/a.h": spdx + '#include "models/b/b.h"\n',
        "src/models/b/b.h": "#pragma once\n",
        "src/api/api.cc": spdx + '#include "kernels/kernels.h"\n#include "kernels/ref/ops.h"\n',
        "src/attic/old.cc": spdx,
        "tests/unit/t.cc": spdx + '#include "kernels/kernels.h"\n#include "kernels/ref/ops.h"\n',
        "tests/kernels/t.cc": spdx + '#include "kernels/ref/ops.h"\n',
        "tests/unit/long.cc": spdx + "\n" * MAX_LINES,
    }
    expected = {
        "include/glmocr/bad.h:2", "src/base/upward.cc:2", "src:0", "src/tensor/switch.cc:2", "src/tensor/library.cc:2",
        "src/models/m.cc:3", "src/models/a/a.h:2", "src/models/b/b.h:1", "src/api/api.cc:3", "src/attic/old.cc:1",
        "tests/unit/t.cc:3", f"tests/unit/long.cc:{MAX_LINES + 1}",
    }
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        offences = Checker(root).run()
    found = {re.match(r"([^:]+:\d+):", offence).group(1) for offence in offences}
    for place in sorted(expected - found):
        print(f"self-test: not found: {place}")
    for place in sorted(found - expected):
        print(f"self-test: not expected: {place}")
    return found == expected


def main():
    parser = argparse.ArgumentParser(description="checks who includes whom")
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent.parent)
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test() else 1)
    offences = Checker(arguments.root).run()
    for offence in offences:
        print(offence)
    sys.exit(1 if offences else 0)


if __name__ == "__main__":
    main()
