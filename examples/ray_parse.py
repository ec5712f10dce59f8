#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Documents of a folder, divided over the tasks of a Ray cluster that shares a file system.

    python3 examples/ray_parse.py IN OUT --parts 8 [--cpus 4] [-- OPTIONS OF parse]

Ray starts a task again when its machine is lost; it goes on where it was stopped.
"""
import argparse
import os
import subprocess
import sys

import ray


def parse_part(part, parts, source, output, cpus, options):
    """Reads one part; returns the exit code of glm-ocr."""
    program = os.environ.get("GLMOCR", "glm-ocr")
    command = [program, "parse", source, "-o", output, "--resume", "--shard", f"{part}/{parts}", "--threads", str(cpus)]
    return subprocess.run(command + options, check=False).returncode


def main():
    parser = argparse.ArgumentParser(epilog="Options of glm-ocr parse follow behind --.")
    parser.add_argument("source")
    parser.add_argument("output")
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--cpus", type=int, default=4, help="of each task")
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    arguments = parser.parse_args(sys.argv[1:end])
    ray.init()
    task = ray.remote(parse_part).options(num_cpus=arguments.cpus, max_retries=3)
    parts = [
        task.remote(part, arguments.parts, os.path.abspath(arguments.source), os.path.abspath(arguments.output),
                    arguments.cpus, sys.argv[end + 1 :])
        for part in range(arguments.parts)
    ]
    codes = ray.get(parts)
    for part, code in enumerate(codes):
        if code != 0:
            print(f"part {part}/{arguments.parts}: exit code {code}", file=sys.stderr)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main())
