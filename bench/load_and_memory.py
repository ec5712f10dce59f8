#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a snapshot in a warm file cache takes to load, against copying its bytes, and how much memory reading a picture takes.

    load_and_memory.py PROGRAM SNAPSHOT [--device cpu] [--quantize int8] [--threads N] [--memory SIZE] [--runs 5] [--json FILE]

Loading is the whole command `glm-ocr info`, from its start to its end; copying is reading the safetensors files into new memory, by one
thread. Both in turn, medians. Memory is the largest resident size (what the system reports when the process ends) while a picture of
560x560 is read with 100 tokens, against the memory of prepared weights, of keys and values of those tokens, and of weights that stay
mapped, as the program says. Where others use the machine, compare processor seconds.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MIB = 1 << 20


def copy_apart(files: list[Path]) -> list[float]:
    """copy() in a process of its own: the system counts the memory of a process that starts another to the other's largest size."""
    done = subprocess.run([sys.executable, __file__, "--copy", *map(str, files)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def copy(files: list[Path]) -> tuple[float, float]:
    """Seconds and processor seconds."""
    begin, used = time.perf_counter(), time.process_time()
    for path in files:
        with path.open("rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            memory = mmap.mmap(-1, size)
            view, at = memoryview(memory), 0
            while at < size:
                at += file.readinto(view[at : at + (1 << 28)])
            del view
            memory.close()
    return time.perf_counter() - begin, time.process_time() - used


def run(command: list[str]) -> tuple[float, float, int, str]:
    """Seconds, processor seconds, the largest resident size in bytes, and standard output."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        errors.seek(0)
        text, messages = out.read(), errors.read()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}: {messages}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, text


def picture(folder: str) -> Path:
    """A picture of 560x560 in a format that needs no library."""
    path = Path(folder) / "picture.ppm"
    path.write_bytes(b"P6 560 560 255\n" + bytes((i * 7919 >> 4) & 255 for i in range(560 * 560 * 3)))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("snapshot", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--quantize")
    parser.add_argument("--memory")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json")
    options = parser.parse_args()
    model = ["--model", str(options.snapshot), "--device", options.device, "--threads", str(options.threads)]
    model += ["--quantize", options.quantize] if options.quantize else []
    model += ["--memory", options.memory] if options.memory else []
    files = sorted(options.snapshot.glob("*.safetensors"))
    copies, loads = [], []
    for _ in range(options.runs + 1):
        copies.append(copy_apart(files))
        seconds, used, _, text = run([options.program, "info", "--json", *model])
        loads.append((seconds, used))
    (copy_s, copy_processor_s), (load_s, load_processor_s) = (map(statistics.median, zip(*times[1:])) for times in (copies, loads))
    info = json.loads(text)
    with tempfile.TemporaryDirectory() as folder:
        reading = [options.program, *model, "--guard", "off", "--format", "jsonl", "--max-tokens", "100", str(picture(folder))]
        _, _, peak, text = run(reading)
    result, memory = json.loads(text), info["memory"]
    cache = memory["kv_bytes_per_token"] * (result["prompt_tokens"] + result["completion_tokens"])
    prepared, mapped = memory["copied_bytes"], memory["mapped_bytes"]
    record = {
        "device": info["device"] + " " + info["isa"],
        "dtype": info["dtype"],
        "quantize": options.quantize or "as stored",
        "threads": options.threads,
        "file_bytes": sum(path.stat().st_size for path in files),
        "copy_s": copy_s,
        "copy_processor_s": copy_processor_s,
        "load_s": load_s,
        "load_processor_s": load_processor_s,
        "prepared_bytes": prepared,
        "mapped_bytes": mapped,
        "cache_bytes": cache,
        "peak_bytes": peak,
        "notes": info["notes"],
    }
    print(f"copying {record['file_bytes'] / MIB:.0f} MiB: {copy_s:.2f} s, of a processor {copy_processor_s:.2f} s; loading:", end=" ")
    print(f"{load_s:.2f} s, {load_s / copy_s:.2f} times that; {load_processor_s:.2f} s, {load_processor_s / copy_processor_s:.2f} times")
    over = peak - prepared - mapped - cache
    print(f"memory: {peak / MIB:.0f} MiB at most = {prepared / MIB:.0f} prepared + {mapped / MIB:.0f} mapped + {cache / MIB:.0f} cache", end=" ")
    print(f"+ {over / MIB:.0f} MiB")
    for note in info["notes"]:
        print(f"note: {note}")
    if options.json:
        Path(options.json).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--copy"]:
        print(json.dumps(copy([Path(name) for name in sys.argv[2:]])))
    else:
        main()
