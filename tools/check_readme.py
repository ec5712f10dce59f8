#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the commands of README.md and checks that its C++ example is the one that is compiled.

A block of ```sh that follows the line `<!-- run -->` is run by bash, with the program's folder first on PATH, in a
scratch folder in which `tests` is a link to the repository's. It must succeed and print something. A block of ```cpp
must occur word for word in tests/install/consumer/main.cc.

  tools/check_readme.py --program build/release/bin/glm-ocr [--readme FILE]
  tools/check_readme.py --self-test
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^(<!-- run -->\n)?```(\w+)\n(.*?)^```$", re.M | re.S)


def run_block(script, program):
    """What is wrong with a block of commands, or None."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "tests").symlink_to(ROOT / "tests")
        environment = dict(os.environ, PATH=f"{program.parent}:{os.environ['PATH']}")
        environment.pop("GLMOCR_MODEL", None)
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment,
                              capture_output=True, text=True)
        if done.returncode != 0:
            return f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
        return None if done.stdout.strip() else "prints nothing on stdout"


def check(readme, program, example):
    """Offences of a README, and the number of blocks checked."""
    text = readme.read_text(encoding="utf-8")
    offences, looked_at = [], 0
    for match in BLOCK.finditer(text):
        run, language, body = match.groups()
        line = text.count("\n", 0, match.start(2)) + 1
        problem = None
        if run and language == "sh":
            looked_at += 1
            problem = run_block(body, program)
        elif language == "cpp":
            looked_at += 1
            problem = None if body in example else "this code is not in tests/install/consumer/main.cc"
        if problem:
            offences.append(f"{readme.name}:{line}: {problem}")
    return offences, looked_at


def self_test():
    with tempfile.TemporaryDirectory() as folder:
        readme = pathlib.Path(folder) / "README.md"
        readme.write_text("```sh\nexit 1\n```\n\n<!-- run -->\n```sh\necho good\n```\n\n<!-- run -->\n```sh\n"
                          "echo half | false\n```\n\n<!-- run -->\n```sh\ntrue\n```\n```cpp\nint one;\n```\n"
                          "```cpp\nint two;\n```\n", encoding="utf-8")
        offences, looked_at = check(readme, pathlib.Path(folder) / "program", "int one;\n")
    lines = [int(offence.split(":")[1]) for offence in offences]
    if lines != [11, 16, 22] or looked_at != 5:
        print(f"self-test: found offences in lines {lines}, expected [11, 16, 22]; {looked_at} blocks, expected 5")
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description="runs the commands of README.md")
    parser.add_argument("--program", type=pathlib.Path)
    parser.add_argument("--readme", type=pathlib.Path, default=ROOT / "README.md")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    if arguments.self_test:
        sys.exit(0 if self_test() else 1)
    if not arguments.program or not arguments.program.is_file():
        parser.error("--program must be the built program")
    example = (ROOT / "tests/install/consumer/main.cc").read_text(encoding="utf-8")
    offences, looked_at = check(arguments.readme, arguments.program.resolve(), example)
    if looked_at == 0:
        offences = [f"{arguments.readme.name}: no block to check"]
    for offence in offences:
        print(offence)
    print(f"{looked_at} blocks, {len(offences)} wrong")
    sys.exit(1 if offences else 0)


if __name__ == "__main__":
    main()
