#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speed of glm-ocr, llama.cpp and transformers on the CPU: the same snapshot, the same threads, measured in turn.

    compare_cpu.py PROGRAM SNAPSHOT --threads 2 [--isa avx2|avx512_bf16|amx] [--gguf FOLDER] [--no-transformers] [--json FILE]

PROGRAM is build/release/bin/glm-ocr and needs Python's own library alone; SNAPSHOT has the published sizes
(tools/make_synthetic_snapshot.py OUT --preset full --no-mtp).
Every case is run by each of them in turn, --runs times after one that does not count; the table has the medians. Cases: vision of
two pictures, a prompt of 417 tokens (that of a picture of 560x560) and of 1,000, decoding behind 150 tokens, and a page of 560x560
with 100 tokens from pixels to the last token.

llama.cpp (--gguf): pip install numpy; pip install --no-binary llama-cpp-python llama-cpp-python==0.3.36, which builds its source package for
this processor, then bench/make_gguf.py SNAPSHOT SOURCE FOLDER --types bf16,f16,q8_0. It is measured with q8_0 and with the faster one of
the other types, each with flash attention or without, whichever is faster for a picture of 560x560. transformers: as
tools/make_golden.py needs; the faster type of bf16 and fp32 likewise.

--isa holds all three to an instruction set: glm-ocr by its device, transformers by the variables of oneDNN, MKL and ATen, llama.cpp by
--llama-libraries, a folder with libraries built for it. Bind the command to processors by taskset: taskset -c 0,1 bench/compare_cpu.py …
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE, PAGE_TOKENS = (560, 560), 100
PAGE_PROMPT = 417
# What holds transformers to an instruction set.
ENVIRONMENTS = {
    "avx2": {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512_bf16": {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16", "ATEN_CPU_CAPABILITY": "avx512"},
}


# --- the three ----------------------------------------------------------------------------------------------------------------------------


class Peer:
    """A process that answers a line for every case."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self.about = self.answer()

    def answer(self) -> dict:
        # Others may print on standard output, too.
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name} ended with status {self.process.wait()}")

    def seconds(self, case: dict) -> float:
        print(json.dumps(case), file=self.process.stdin, flush=True)
        return self.answer()["seconds"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


class Program:
    """glm-ocr itself, started for every case; its own runs before a measured one do not count."""

    def __init__(self, name: str, options: argparse.Namespace, more: list[str]) -> None:
        self.name, self.options = name, options
        device = f"cpu:{options.isa}" if options.isa else "cpu"
        self.model = ["--model", options.snapshot, "--device", device, "--threads", str(options.threads), *more]
        self.folder = tempfile.TemporaryDirectory()
        self.about = {"ready": subprocess.run([options.program, "--version"], capture_output=True, text=True, check=True).stdout.strip()}

    def run(self, *arguments: str) -> str:
        done = subprocess.run([self.options.program, *arguments], stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"glm-ocr {' '.join(arguments)} ended with status {done.returncode}")
        return done.stdout

    def seconds(self, case: dict) -> float:
        if case["case"] == "page":
            return self.page(case)
        what = {"--pictures": "none", "--prompts": "none", "--sequences": "none"}
        if case["case"] == "vision":
            what["--pictures"] = f"{case['width']}x{case['height']}"
        elif case["case"] == "prefill":
            what["--prompts"] = str(case["tokens"])
        else:
            what |= {"--sequences": "1", "--contexts": str(case["context"]), "--tokens": str(case["tokens"])}
        arguments = [word for pair in what.items() for word in pair]
        report = self.run("bench", *self.model, *arguments, "--runs", "1", "--clock", self.options.clock, "--no-peaks", "--json")
        return json.loads(report)["cases"][0]["ms"] / 1e3

    def page(self, case: dict) -> float:
        path = Path(self.folder.name) / "page.ppm"
        if not path.exists():
            width, height = case["width"], case["height"]
            path.write_bytes(f"P6 {width} {height} 255\n".encode() + bytes((i * 7919 >> 4) & 255 for i in range(3 * width * height)))
        # The first picture warms up.
        lines = self.run(*self.model, "--guard", "off", "--format", "jsonl", "--batch", "1", "--max-tokens", str(case["tokens"]), str(path), str(path))
        result = json.loads(lines.splitlines()[-1])
        if result["completion_tokens"] != case["tokens"]:
            raise SystemExit(f"glm-ocr: {result['completion_tokens']} tokens, expected {case['tokens']}")
        return sum(result["timings"][name] for name in ("decode_image", "vision", "prefill", "decode")) / 1e3

    def close(self) -> None:
        self.folder.cleanup()


# --- measuring ----------------------------------------------------------------------------------------------------------------------------


def faster(peers: list[Peer], case: dict) -> Peer:
    """Keeps the fastest, by the second run of each."""
    if len(peers) == 1:
        return peers[0]
    for peer in peers:
        peer.seconds(case)
    seconds = {peer: peer.seconds(case) for peer in peers}
    print("; ".join(f"{peer.name} {1e3 * of:.0f} ms" for peer, of in seconds.items()), flush=True)
    best = min(peers, key=seconds.get)
    for peer in peers:
        if peer is not best:
            peer.close()
    return best


def start_peers(options: argparse.Namespace) -> list:
    common = ["--threads", str(options.threads), "--clock", options.clock]
    probe = {"case": "vision", "width": PAGE[0], "height": PAGE[1]}
    peers = [Program("glm-ocr", options, [])]
    if options.int8:
        peers.append(Program("glm-ocr int8", options, ["--quantize", "int8"]))
    return peers + llama_peers(options, common, probe) + transformers_peers(options, common, probe)


def llama_peers(options: argparse.Namespace, common: list[str], probe: dict) -> list[Peer]:
    libraries = {name: options.llama_libraries for name in ("LLAMA_CPP_LIB_PATH", "MTMD_CPP_LIB") if options.llama_libraries}
    choices: dict[bool, list[Peer]] = {False: [], True: []}
    for text in sorted(Path(options.gguf).glob("text-*.gguf")) if options.gguf else []:
        kind = text.stem.removeprefix("text-")
        command = [str(HERE / "peer_llama_cpp.py"), str(text), str(text.with_name(f"vision-{kind}.gguf")), *common]
        for flash in options.flash_attention.split(","):
            name = f"llama.cpp {kind}" + (", flash" if flash == "on" else "")
            choices[kind == "q8_0"].append(Peer(name, [*command, "--flash-attention", flash], libraries))
    return [faster(some, probe) for some in choices.values() if some]


def transformers_peers(options: argparse.Namespace, common: list[str], probe: dict) -> list[Peer]:
    if not options.transformers:
        return []
    command = [str(HERE / "peer_transformers.py"), options.snapshot, *common]
    environment = ENVIRONMENTS.get(options.isa, {}) | {"OMP_NUM_THREADS": str(options.threads)}
    return [faster([Peer(f"transformers {kind}", [*command, "--dtype", kind], environment) for kind in options.transformers.split(",")], probe)]


def all_cases(options: argparse.Namespace) -> dict[str, dict]:
    cases = {}
    for size in options.pictures.split(","):
        width, height = map(int, size.split("x"))
        cases[f"vision {size}"] = {"case": "vision", "width": width, "height": height}
    for tokens in (PAGE_PROMPT, 1000):
        cases[f"prefill {tokens}"] = {"case": "prefill", "tokens": tokens}
    cases["decode"] = {"case": "decode", "context": 150, "tokens": options.tokens}
    if options.clock == "wall":
        cases["page"] = {"case": "page", "width": PAGE[0], "height": PAGE[1], "tokens": PAGE_TOKENS}
    wanted = options.cases.split(",") if options.cases else []
    return {name: case for name, case in cases.items() if not wanted or name.split()[0] in wanted}


def measure(peers: list, name: str, case: dict, runs: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {peer.name: [] for peer in peers}
    # glm-ocr warms up by itself each time; for pictures that take very long the others are warm by then.
    for peer in peers:
        if isinstance(peer, Peer) and case.get("width", 0) * case.get("height", 0) <= PAGE[0] * PAGE[1]:
            peer.seconds(case)
    for _ in range(runs):
        for peer in peers:
            times[peer.name].append(peer.seconds(case))
    print(f"{name:18}" + "".join(f"{1e3 * statistics.median(times[peer.name]):22.1f}" for peer in peers), flush=True)
    return times


def processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def with_sums(medians: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """Adds vision + prefill of the page."""
    vision, prefill = medians.get(f"vision {PAGE[0]}x{PAGE[1]}"), medians.get(f"prefill {PAGE_PROMPT}")
    return medians | ({"vision + prefill": {name: vision[name] + prefill[name] for name in vision}} if vision and prefill else {})


def print_ratios(medians: dict[str, dict[str, float]]) -> None:
    """How many times as fast glm-ocr is as each of the others; eight bits against eight bits where both are there."""
    ours = [name for name in next(iter(medians.values())) if name.startswith("glm-ocr")]
    for name, times in medians.items():
        for own in ours:
            others = ", ".join(f"{other} {times[other] / times[own]:.2f}" for other in times if not other.startswith("glm-ocr"))
            if others:
                print(f"{name}: {own} is as many times as fast as {others}")


def record(options: argparse.Namespace, peers: list, times: dict[str, dict[str, list[float]]]) -> dict[str, dict[str, float]]:
    """The medians so far, which are written to --json too."""
    medians = with_sums({name: {peer: statistics.median(values) for peer, values in of.items()} for name, of in times.items()})
    if options.json:
        everything = {
            "date": datetime.date.today().isoformat(),
            "processor": processor(),
            "threads": options.threads,
            "isa": options.isa or "the best one",
            "clock": options.clock,
            "versions": {peer.name: peer.about["ready"] for peer in peers},
            "median_ms": {name: {peer: round(1e3 * value, 2) for peer, value in of.items()} for name, of in medians.items()},
            "all_ms": {name: {peer: [round(1e3 * value, 2) for value in values] for peer, values in of.items()} for name, of in times.items()},
        }
        Path(options.json).write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")
    return medians


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("snapshot")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--isa", help="baseline, avx2, avx512, avx512_bf16 or amx (default: the best one)")
    parser.add_argument("--gguf", help="folder of bench/make_gguf.py: measure llama.cpp")
    parser.add_argument("--flash-attention", default="on,off", help="of llama.cpp, to choose from: on, off or both (default on,off)")
    parser.add_argument("--llama-libraries", help="folder with libllama.so and the others, instead of those of the package")
    parser.add_argument("--transformers", default="bf16,fp32", help="types to choose from (default bf16,fp32)")
    parser.add_argument("--no-transformers", dest="transformers", action="store_const", const="")
    parser.add_argument("--no-int8", dest="int8", action="store_false", help="do not measure glm-ocr --quantize int8")
    parser.add_argument("--pictures", default="560x560,1120x812", help="sizes with commas between, multiples of 28")
    parser.add_argument("--cases", help="only these of vision, prefill, decode, page")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=32, help="decoded in a run")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help="processor: where others run beside it; no page then")
    parser.add_argument("--json", help="file to write everything to")
    options = parser.parse_args()
    peers = start_peers(options)
    print(f"{'milliseconds':18}" + "".join(f"{peer.name:>22}" for peer in peers), flush=True)
    times, medians = {}, {}
    for name, case in all_cases(options).items():
        times[name] = measure(peers, name, case, options.runs)
        medians = record(options, peers, times)
    print_ratios(medians)
    for peer in peers:
        peer.close()


if __name__ == "__main__":
    main()
