#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzers that tests/data holds already: seeds.py FOLDER makes FOLDER/NAME/..., one folder per
fuzzer of tests/fuzz/CMakeLists.txt. What the fuzzers have found beyond them is kept in tests/fuzz/corpus."""
import hashlib
import pathlib
import struct
import sys

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
LARGEST_PICTURE = 6 << 10
PICTURES = {
    "png": [".png"], "jpeg": [".jpg"], "webp": [".webp"], "tiff": [".tiff"], "gif": [".gif"], "bmp": [".bmp"],
    "pnm": [".pbm", ".pgm", ".ppm"],
}


def header(path):
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return content[8 : 8 + length]


def pictures(suffixes):
    for folder in ("pictures", "broken"):
        for file in sorted((DATA / folder).iterdir()):
            if file.suffix in suffixes and file.stat().st_size <= LARGEST_PICTURE:
                yield file.read_bytes()


def configurations():
    for model in ("awkward", "narrow"):
        parts = [(DATA / model / name).read_bytes()
                 for name in ("config.json", "generation_config.json", "preprocessor_config.json")]
        yield b"\0".join(parts)
        yield b"\0".join([parts[0], b"", b"", b'{"image_processor": ' + parts[2] + b"}"])


def tensors():
    small = b'{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},' \
            b'"b":{"dtype":"BF16","shape":[4],"data_offsets":[24,32]},"__metadata__":{"format":"pt"}}'
    yield small + b"\0" + bytes(32)
    yield b"\xff" + struct.pack("<Q", len(small)) + small + bytes(32)
    yield b"{}"


def indexes():
    index = b'{"metadata":{},"weight_map":{"a":"a.safetensors","b":"b.safetensors"}}'
    shard = b'{"%s":{"dtype":"U8","shape":[8,8],"data_offsets":[0,64]}}'
    yield b"\0".join([index, shard % b"a", shard % b"b"])
    yield index


def tokenizers():
    text = "Text Recognition:\n<|user|> 123 été\t".encode()
    yield (DATA / "tokenizer" / "small_tokenizer.json").read_bytes() + b"\0" + text


def recipes():
    for options in range(8):
        merges = bytes([options]) + b"ab" + b"\x80c" + b"\x80\x80" + b"  " + b"\xc3\xa9"
        pattern = rb" ?\p{L}+|\p{N}{1,3}|\s+(?!\S)|\s+"
        yield b"\0".join([merges, pattern, b"<|user|>", "abab abcab  été <|user|>12345".encode()])


def command_lines():
    for line in (
        "a.png b.png -o out --format jsonl", "read a.png --task table --max-tokens 100 --temperature 0.5 --top-k 3",
        "forward --image a.png --top 3 --json --dump dir", "info --memory 2G --json", "tokenize Text: --ids",
        "tokenize --decode 1,2,3", "selftest --device cpu:avx2", "--help", "help forward", "--version", "-v -q read x",
        "--stop a --stop b --guard off --background #fff x", "--files-from list -0", "--task extract --schema s x",
        "--time-limit 1.5 --seed 18446744073709551615 --min-p 0.1 --max-pixels 100 x", "--tasks text x", "raed x",
    ):
        yield line.replace(" ", "\0").encode()


def repetitions():
    yield bytes([40, 200, 3, 4, 5, 6, 1, 255, 3, 7])
    yield bytes([10, 20, 0, 10, 255, 0, 0])
    yield bytes([40, 50, 5, 4, 11, 7, 5, 6, 1, 120, 4, 17])


def documents():
    text, title, table, formula, number, note = b"\x16\x04", b"\x06\x00", b"\x15\x08", b"\x05\x0c", b"\x0b\x0c", b"\x0a\x1c"
    yield b"\x0c" + b"\0".join([
        title + b"# A $ \\theta $ title", text + "an exam-\nple¹ of <b>it</b>, 1.5 GHz, divi-".encode(), text + b"ded",
        formula + b"$$x$$", number + b"(1)", note + "¹ a note".encode(),
        table + b"<table><tr><td colspan=2>a &lt; b<td rowspan=3>c</table>", b"",
        table + b"<table><tr><th>a<td>b<td>c<tr><td>1</table>", text + b"- a\n- b\n1. c", b"\x01\x00```\ncode\n```",
        b"\x0e\x00", b"\x0c\x00header", b"\x10\x007"])
    yield b"\x01" + text + b"# Head\n\n$$\na\n$$\nb <table><tr><td>1</table> c\n\\[d\\]\n```py\ne\n```" + b"." * 9 + b"\\_" * 5
    yield b"\x02" + text + b"0123456789ab" * 180


def pages():
    """Pictures of the fuzzer for regions: width, height, steps, pixels; then the answer of a detector."""
    line = bytes([255] * 6 + [0, 0, 255, 0, 0, 0, 255, 255, 0, 255] * 2 + [255] * 5)
    detector = bytes([22, 120, 20, 20, 120, 60, 0, 0, 21, 100, 20, 50, 120, 110, 1, 1, 3, 90, 10, 10, 200, 200, 2, 0])
    yield bytes([200, 180, 0, 0x23]) + line * 12 + detector
    yield bytes([120, 255, 7, 0x11]) + (line + bytes([255] * 31)) * 20 + detector
    yield bytes([9, 9, 9, 9]) + bytes(40)


SEEDS = {
    "safetensors": tensors, "index": indexes, "config": configurations, "tokenizer_json": tokenizers,
    "tokenizer": recipes, "command_line": command_lines, "repetition": repetitions,
    "formats": documents, "regions": pages,
}
SEEDS.update({name: lambda suffixes=suffixes: pictures(suffixes) for name, suffixes in PICTURES.items()})


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for name, seeds in SEEDS.items():
        folder = pathlib.Path(sys.argv[1]) / name
        folder.mkdir(parents=True, exist_ok=True)
        for seed in seeds():
            (folder / hashlib.sha1(seed).hexdigest()).write_bytes(seed)


if __name__ == "__main__":
    main()
