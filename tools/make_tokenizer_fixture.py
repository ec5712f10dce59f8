#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the tokenizer fixtures: the ids that the Hugging Face `tokenizers` library gives for some 5,000 strings.

    make_tokenizer_fixture.py            writes tests/data/tokenizer/{mini.json, small.json, small_tokenizer.json}

mini.json uses models/mini/tokenizer.json; small.json uses small_tokenizer.json, which has what the other lacks: ignore_merges, digits in groups
of three, added tokens with `special: false`, one added token that begins another, merges stored as "a b". Format of both:
    tokenizer           path of the tokenizer.json, relative to the repository's root
    tokenizers_version  version of the library
    unicode_version     every character is assigned in this version of Unicode (later letters are classed differently by older tables)
    cases               [text, ids] or [text, ids, plain_ids]: `ids` with added tokens matched, `plain_ids` without (given where it differs).
                        Decoding `ids` with special tokens kept gives `text` again; this script checks it.
    decode              [ids, text, text_without_special]: id lists that no text encodes to; broken UTF-8 becomes U+FFFD, unknown ids nothing
    long                [unit, count, number of ids, CRC-32 of the ids as little-endian int32]: the text is `unit` repeated `count` times
"""

from __future__ import annotations

import json
import random
import struct
import sys
import unicodedata
import zlib
from pathlib import Path

import tokenizers
from tokenizers import Regex, Tokenizer
from tokenizers.pre_tokenizers import Split

sys.path.insert(0, str(Path(__file__).parent))
from make_synthetic_snapshot import small_tokenizer, write_json  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
FUZZED_CASES = 5000
# Unicode's White_Space property; `\s` of some regex libraries also takes U+180E, which was removed from the list in Unicode 6.3.
WHITE_SPACE = [chr(code) for code in (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000)]
NEARLY_SPACE = ["\u180e", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\x1c", "\x1d", "\x1e", "\x1f", "\x00", "\x08", "\x7f"]

HAND_PICKED = [
    "", " ", "  ", "   ", "\n", "\r", "\r\n", "\n\n", "\n \n", " \n ", "\t", "\t\t x", "a", " a", "  a", "a ", "a  ", "a\n", "a \n", "a\n ", "a \n b",
    "Text Recognition:", "Table Recognition:", "Formula Recognition:", "请按下列JSON格式输出图中信息:\n{\"name\": \"\"}",
    "it's", "IT'S", "it'S", "it’s", "'s", "'S", "''s", "'ſ", "'ſth", "a'ſe", "'t're've'm'll'd", "'T'RE'VE'M'LL'D", "'Ll", "'lL", "'l", "'r", "'v", "'re'", "I'm we'll they'd",
    "don't", "rock'n'roll", "o'clock", "'twas", "x'sy", "1's", "'\n's", " 's", "'  s", "'\u017f\u017f", "'\u212a", "'ﬆ", "'ß", "s'S's", "'D", "'đ",
    "0", "00", "000", "0000", "00000", "1234567890", "12 345", "1,234,567.89", "3.14159", "٣٤٥٦", "１２３４", "²³¹⁴", "½¾⅓", "ⅣⅧ", "१२३४", "一二三四", "1a2b3c", "007", "0x1F",
    "hello world", "Hello,World", "hello_world", "__init__", "a.b.c", "...", "....", " ...", "…", "!?", "?!\n", "?!\r\n\r\n", "?! \n", "***", "* * *", "---", "$$x^2$$",
    "\\frac{1}{2}", "\\begin{array}{cc}", "{\"a\": [1, 2, {\"b\": null}]}", "<table><tr><td>1</td></tr></table>", "<td colspan=\"2\">", "a\\nb", "https://example.org/a?b=c&d=%20#e",
    "tab\tseparated\tvalues", "line one\nline two\n\nline four", "line\r\nline\r\n", "\r\r\r", "\n\r\n\r", "\n\n\n\n", "\n\n\n\na", " \n\n\n\n", "\x0b\x0c", "a\x0bb", "a\x85b", "\x85\x85",
    "\u2028", "a\u2028b", "\u2029\n", "\u3000\u3000全角", "\u00a0", "a\u00a0b", "\u00a0\u00a0a", "\u00a0»", "\u1680x", "\u180e", "a\u180eb", " \u180e ", "\u180e\n", "\u200b", "a\u200bb", "\ufeffBOM",
    "\x00", "a\x00b", "\x00\x00\x00", " \x00", "\x00\n", "\x01\x02\x7f", "\x1b[31mred\x1b[0m", "\x1c \x1d",
    "e\u0301", "\u0301", " \u0301", "a\u0301\u0302\u0303", "ñ", "n\u0303", "Å", "Å", "ﬁne", "ǅ", "İ", "ı", "ß", "ẞ", "Ω", "Ω", "naïve café", "Zażółć gęślą jaźń", "Ça été là", "Ελλάς",
    "ünïcödé", "Straße", "Đorđe", "Привет мир", "שלום עולם", "שָׁלוֹם", "مرحبا بالعالم", "مُحَمَّد", "नमस्ते", "क्षि", "สวัสดีชาวโลก", "ภาษาไทย", "ที่นี่", "ខ្មែរ", "မြန်မာ", "こんにちは世界",
    "ガギグ", "ｶﾞｷﾞ", "안녕하세요", "한국어", "中文字符", "繁體中文，標點。", "𠀀𠮷", "𝒜𝓑𝟘𝟙", "🙂", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "1️⃣2️⃣", "☺️", "❤", "⌚", "🫠", "©®™", "→←↔",
    "\U0010ffff", "\ue000", "\ufffd", "\ufffd\ufffd", "\ufffe", "\uffff", "\U0001fbf9", "a\U000e0001b", "\u202eabc\u202c", "\u2066x\u2069", "Ã©Ã¨", "Ġword", "ĊĠ", "ÃŁ", "Ċ", "Â", "Ń",
    "<|endoftext|>", "<|user|>", "<|user|>\n", "\n<|user|>", "a<|user|>b", " <|user|> ", "<|user|><|user|>", "<|image|><|image|>", "<|assistant|>\nText", "[gMASK]<sop><|user|>\n",
    "[MASK]", "[gMASK]", "[sMASK]", "[[MASK]]", "[gMASK", "gMASK]", "[GMASK]", "<sop>", "<eop>", "<SOP>", "<sop", "sop>", "< sop>", "<<sop>>", "<|user", "<|user|", "|user|>", "<|User|>", "<| user |>",
    "<|us<|user|>er|>", "<|begin_of_image|><|image|><|end_of_image|>Text Recognition:", "<|begin_of_image|", "/nothink", "/no", "/noth", "/nothin", "/nothinking", "//nothink", "/no/nothink",
    "text/nothink", "text /nothink ", "<think>", "</think>", "<think></think>\n", "<think>x</think", "<tool_call>", "<|begin_of_box|>42<|end_of_box|>", "<|video|>", "<|begin_of_video|>",
    "[gMASK]<sop><|user|>\n<|begin_of_image|><|image|><|image|><|image|><|image|><|end_of_image|>Text Recognition:<|assistant|>\n",
    "Reading", " Reading", "Readings", " recognises", " recognised", "zq", " zq", "zqzq", "123", "1234", "0071", " 007", "'re", "we're", "naïve", "naïveté",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "ababababababababababababababab", "thethethethethe", "eeererererrre", "><><><><><", "tdtdtdtd", "inininin in in", "the  the   the    the",
    "a" * 300, " " * 300, "\n" * 300, "0" * 301, "ab" * 200, "é" * 150, "\u0301" * 100, "ก" * 100, "👍" * 60, "." * 257, "- " * 120, " \n" * 100, "\r\n" * 100, "A1" * 100,
]  # fmt: skip

WORDS = """the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one you were all her she
there would their we him been has when who will no more if out so said what up its about into than them can only other new some could time these two
may then do first any my now such like our over man me even most made after also did many before must through years where much your way well down
should because each just those people how too little state good very make world still own see men work long get here between both life being under
never day same another know while last might us great old year off come since against go came right used take three Müller Straße über größer Bücher
français élève garçon où déjà naïve señor niño mañana corazón ação coração português però perché città år smörgås øre ærlig łódź żółty święto ćma
Recognition Table Formula Section Chapter Figure Invoice Total Amount Page Abstract References Introduction Conclusion""".split()


def assigned_characters() -> dict[str, list[str]]:
    """Characters by group, without those whose class differs between the library's tables and Unicode 14."""
    everything = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF and unicodedata.category(chr(code)) != "Cn"]
    text = "".join(everything)

    def matching(pattern: str) -> set[str]:
        rest = "".join(piece for piece, _ in Split(Regex(pattern + "+"), "removed").pre_tokenize_str(text))
        return set(everything) - set(rest)

    letters, numbers, spaces = matching(r"\p{L}"), matching(r"\p{N}"), matching(r"\s")
    if spaces != set(WHITE_SPACE):
        raise SystemExit(f"\\s of the library is not White_Space: {sorted(spaces ^ set(WHITE_SPACE))!r}")
    groups: dict[str, list[str]] = {}
    for char in everything:
        category = unicodedata.category(char)
        if (category[0] == "L") == (char in letters) and (category[0] == "N") == (char in numbers):
            groups.setdefault(category[0], []).append(char)
    excluded = len(everything) - sum(map(len, groups.values()))
    print(f"{len(everything)} assigned characters, {excluded} of them classed otherwise by the library and left out")
    return groups


class Fuzzer:
    def __init__(self, seed: int, added_tokens: list[str]) -> None:
        self.random = random.Random(seed)
        self.added_tokens = added_tokens
        self.groups = assigned_characters()
        # Blocks that occur in documents: Latin, Greek, Cyrillic, Thai, kana, punctuation, emoji.
        blocks = [(0xA0, 0x250), (0x370, 0x400), (0x400, 0x480), (0xE01, 0xE5C), (0x3041, 0x30FF), (0x2010, 0x2060), (0x1F300, 0x1F650)]
        known = {char for chars in self.groups.values() for char in chars}
        self.blocks = [[chr(code) for code in range(*block) if chr(code) in known] for block in blocks]

    def times(self, low: int, high: int) -> range:
        return range(self.random.randint(low, high))

    def word(self) -> str:
        word = self.random.choice(WORDS)
        return self.random.choice((word, word, word, word.upper(), word.title()))

    def ascii(self) -> str:
        return "".join(chr(self.random.randint(32, 126)) for _ in self.times(1, 24))

    def spaces(self) -> str:
        kinds = self.random.choice((" ", " \n", "\r\n ", "\n\t ", WHITE_SPACE, WHITE_SPACE + NEARLY_SPACE))
        return "".join(self.random.choice(kinds) for _ in self.times(1, 6))

    def sentence(self) -> str:
        ends = [".", ",", ";", ":", "!", "?", "...", ")", "”", " –", "\n"]
        return " ".join(self.word() + (self.random.choice(ends) if self.random.random() < 0.2 else "") for _ in self.times(2, 9))

    def contraction(self) -> str:
        apostrophe = self.random.choice("''''’`")
        suffix = self.random.choice(("s", "t", "re", "ve", "m", "ll", "d", "S", "T", "RE", "Ve", "lL", "ſ", "l", "r", "sx", "x", ""))
        return self.random.choice((self.word(), "", " ", "1", "\n", "'")) + apostrophe + suffix

    def number(self) -> str:
        pieces = ["0123456789", ".,:/-+ ", "٠١٢٣", "①½²Ⅷ", "０１２"]
        return "".join(self.random.choice(self.random.choices(pieces, (12, 3, 1, 1, 1))[0]) for _ in self.times(1, 14))

    def any_unicode(self) -> str:
        group = lambda: self.groups[self.random.choices("LNPSZMC", (6, 3, 3, 3, 2, 3, 1))[0]]  # noqa: E731
        return "".join(self.random.choice(group()) for _ in self.times(1, 8))

    def block(self) -> str:
        block = self.random.choice(self.blocks)
        return "".join(self.random.choice(block) for _ in self.times(1, 12))

    def token_like(self) -> str:
        token = self.random.choice(self.added_tokens)
        place = self.random.randrange(len(token))
        return self.random.choices(
            (token, token[:place], token[place:], token[:place] + " " + token[place:], token[:place] + token, token.swapcase()), (8, 1, 1, 1, 1, 1)
        )[0]

    def run(self) -> str:
        unit = self.random.choice(
            ("a", "e", "in", "><", " ", "\n", "0", ".", "-", "_", "é", "\u0301", "ก", "👍", "\r\n", "'s", "the", " a", self.word())
        )
        return unit * self.random.randint(2, 20)

    def mojibake(self) -> str:
        return self.block().encode().decode("latin-1")

    def case(self) -> str:
        makers = (
            self.ascii,
            self.spaces,
            self.sentence,
            self.contraction,
            self.number,
            self.any_unicode,
            self.block,
            self.token_like,
            self.run,
            self.mojibake,
        )
        weights = (3, 3, 3, 2, 2, 3, 3, 3, 1, 0.5)
        return "".join(maker() for maker in self.random.choices(makers, weights, k=self.random.choice((1, 1, 1, 2, 2, 3))))


LONG = [
    ("a", 100000), ("ab", 60000), ("er", 60000), (" ", 100000), ("\n", 100000), ("\r\n", 50000), (" \n", 50000), ("0", 100001), (".", 100000), ("é", 50000), ("ก", 30000),
    ("👍", 20000), ("\u0301", 50000), ("the ", 50000), (" the", 50000), ("'s", 50000), ("<|user|>", 20000), ("<|user", 20000), ("x\x00", 50000), ("Straße über ", 10000),
]  # fmt: skip


def ids_crc(ids: list[int]) -> int:
    return zlib.crc32(struct.pack(f"<{len(ids)}i", *ids))


def fixture(name: str, path: Path, texts: list[str]) -> dict:
    data = json.loads(path.read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_str(json.dumps(data))
    plain = Tokenizer.from_str(json.dumps(data | {"added_tokens": []}))
    cases: list[list] = []
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        plain_ids = plain.encode(text, add_special_tokens=False).ids
        if tokenizer.decode(ids, skip_special_tokens=False) != text:
            raise SystemExit(f"{name}: {text!r} does not survive")
        cases.append([text, ids] if ids == plain_ids else [text, ids, plain_ids])
    rng = random.Random(7)
    size = tokenizer.get_vocab_size()
    id_lists = [[rng.randrange(size) for _ in range(rng.randint(1, 10))] for _ in range(300)]
    id_lists += [[rng.randrange(128, 256) for _ in range(rng.randint(1, 8))] for _ in range(100)] if name == "small" else []
    id_lists += [ids[rng.randrange(len(ids)) :] for _, ids, *_ in rng.sample(cases, 150) if ids]  # cut in the middle of a character
    id_lists += [[], [size], [size + 5, 65, size], [65, 2**31 - 1]]
    added = [token["id"] for token in data["added_tokens"]]
    id_lists += [[one, 65, one] for one in added] + [added]
    decode = [[ids, tokenizer.decode(ids, skip_special_tokens=False), tokenizer.decode(ids, skip_special_tokens=True)] for ids in id_lists]
    long = []
    for unit, count in LONG:
        ids = tokenizer.encode(unit * count, add_special_tokens=False).ids
        long.append([unit, count, len(ids), ids_crc(ids)])
    return {
        "tokenizer": path.relative_to(ROOT).as_posix(),
        "tokenizers_version": tokenizers.__version__,
        "unicode_version": unicodedata.unidata_version,
        "cases": cases,
        "decode": decode,
        "long": long,
    }


def write_fixture(path: Path, value: dict) -> None:
    """One line per case, so that a change is easy to read in a diff."""
    lines = []
    for key, entry in value.items():
        if isinstance(entry, list):
            rows = ",\n".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) for row in entry)
            lines.append(f"{json.dumps(key)}:[\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(key)}:{json.dumps(entry)}")
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    if unicodedata.unidata_version != "14.0.0":
        raise SystemExit(f"needs Python 3.11 (Unicode 14), not Unicode {unicodedata.unidata_version}")
    out = ROOT / "tests/data/tokenizer"
    out.mkdir(parents=True, exist_ok=True)
    small = small_tokenizer()
    write_json(out / "small_tokenizer.json", small)
    fuzzer = Fuzzer(20240229, [token["content"] for token in small["added_tokens"]])
    texts = list(dict.fromkeys(HAND_PICKED))
    unique = set(texts)
    while len(texts) < len(HAND_PICKED) + FUZZED_CASES:
        text = fuzzer.case()
        if text not in unique:
            unique.add(text)
            texts.append(text)
    for name, path in (("mini", ROOT / "models/mini/tokenizer.json"), ("small", out / "small_tokenizer.json")):
        value = fixture(name, path, texts)
        write_fixture(out / f"{name}.json", value)
        print(f"{name}.json: {len(value['cases'])} cases, {len(value['decode'])} id lists, {len(value['long'])} long texts")


if __name__ == "__main__":
    main()
