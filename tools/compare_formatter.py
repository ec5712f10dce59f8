#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares `--compat sdk` with the official formatter: compare_formatter.py FORMAT_REPLAY [--documents N] [--seed N]

Runs documents through the formatter of PyPI's glmocr 0.1.5 and through FORMAT_REPLAY (the test program format_replay), and
compares the bytes of its JSON, _model.json and Markdown. The documents are curated ones, one for each rule and its
exceptions, and generated ones: pages of regions whose texts are put together from the pieces that the rules look for, from
characters of all of Unicode 14, and from long repeats. Prints every difference, and ends with 1 if there is one.

It needs Python 3.11 (its character tables are those of Unicode 14) and, in a virtual environment outside the repository:
    pip install --no-deps glmocr==0.1.5 && pip install pydantic pyyaml
PyMuPDF, torch and what else the package imports for its other parts are replaced by empty modules."""
import argparse
import difflib
import importlib.abc
import importlib.machinery
import io
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import types
import unicodedata

PARTS = ("json", "model_json", "markdown")
DROPPED = {"header", "footer", "number", "footnote", "aside_text", "reference", "footer_image", "header_image"}


class EmptyModules(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for packages that are not installed: the formatter itself needs none of them."""

    ABSENT = {"fitz", "PIL", "numpy", "cv2", "torch", "transformers", "requests", "urllib3", "tqdm", "dotenv", "flask",
              "portalocker"}

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in self.ABSENT:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: type(name, (), {}) if not name.startswith("__") else self.missing(name)
        return module

    @staticmethod
    def missing(name):
        raise AttributeError(name)

    def exec_module(self, module):
        pass


def official():
    sys.meta_path.append(EmptyModules())
    import glmocr
    import yaml
    from glmocr.config import ResultFormatterConfig
    from glmocr.postprocess import result_formatter

    if result_formatter.zipf_frequency is not None:
        sys.exit("wordfreq is installed: the official formatter behaves otherwise with it")
    packaged = yaml.safe_load((pathlib.Path(glmocr.__file__).parent / "config.yaml").read_text(encoding="utf-8"))
    settings = packaged["pipeline"]
    formatter = result_formatter.ResultFormatter(ResultFormatterConfig(**settings["result_formatter"]))
    tasks = settings["layout"]["label_task_mapping"]
    return formatter, {label: task for task, labels in tasks.items() for label in labels}


# --- a document in the SDK's form -------------------------------------------------------------------------------------


def thousandths(edge, size):
    return int(float(int(edge)) / size * 1000)


def sdk_regions(page, tasks):
    regions = []
    for region in page["regions"]:
        task = tasks[region["label"]]
        if task == "abandon":
            continue
        x0, y0, x1, y1 = region["box"]
        bbox = [thousandths(x0, page["width"]), thousandths(y0, page["height"]),
                thousandths(x1, page["width"]), thousandths(y1, page["height"])]
        corners = [[bbox[0], bbox[1]], [bbox[2], bbox[1]], [bbox[2], bbox[3]], [bbox[0], bbox[3]]]
        polygon = [[int(x / page["width"] * 1000), int(y / page["height"] * 1000)] for x, y in region.get("polygon", [])]
        content = region.get("content")
        regions.append({
            "index": len(regions), "label": region["label"], "score": 0.5, "bbox_2d": bbox, "polygon": polygon or corners,
            "task_type": task, "content": None if content is None or task == "skip" else content.strip(),
        })
    return regions


def official_outputs(formatter, tasks, document):
    grouped = [sdk_regions(page, tasks) for page in document]
    raw = [[{"index": i, "label": r["label"], "content": r["content"], "bbox_2d": r["bbox_2d"], "polygon": r["polygon"]}
            for i, r in enumerate(regions)] for regions in grouped]
    crops = {(i, *r["bbox_2d"]): True for i, regions in enumerate(grouped) for r in regions if r["task_type"] == "skip"}
    result, markdown, _ = formatter.process(grouped, cropped_images=crops or None)

    def dump(value):  # as BaseParserResult._save_json_and_markdown
        file = io.StringIO()
        json.dump(value, file, ensure_ascii=False, indent=2)
        return file.getvalue()

    return {"json": dump(json.loads(result)), "model_json": dump(raw), "markdown": markdown}


# --- documents --------------------------------------------------------------------------------------------------------

TEXTS = [
    "1.5 GHz", "U.S. policy", "I.e.", "(1)", "（2）abc", "1.", "* b", "- # T", "$$", "A....b", "Intro\nb", "\\theta = 1", "\\t\\t x",
    "\\text{a}", "x \\t", "x\\t\\t", "\\t", "#", "# #", "###", "#Title", "- ", "* ", "·a", "•  a", "··· a", "···· a", "____", "\\_\\_\\_\\_",
    "\\\\_\\_\\_\\_x", "a..b...c....d", "x$ a $y", "$ a$b$ c $", "$ $", "$$ x $$", "\\[ x \\]", "\\( x \\)", "f\\(x\\)", "$$x", "x$$", "$$$",
    "$\\$$", "$a\\", "$a\\\n$", "\\$a$", "a\\$b$c$d", "$5 and $6", "$ \n x \n $", "é$x$é", "٣$x$٣", "x$y$ ²", "$a$$b$", "$ a $ $ b $", "$a $b$ c$",
    "```python\nx = 1", "```a```", "```", "```a\n\n\nb", "a\nb\n\nc\n\n\nd", "a\r\nb", "a\u2028b\nc", "١)x", "１２．x", "a）x", "（ａ）x", "(ab)x", "(1]x",
    "((1)x", "12)", "12) x\ny", "1.\u3000x", "<table><tr><td>1</td></tr></table>", "<table", "<table>\n....</table>", "</table>",
    "<table><tr><td>$ x $", "word-", "word -", "-", "co-\nop-", "ex-", "ample", "ample, and", "Ample", "ém", "ſtrange", "ªb", "ⅳ", "K-", "it's-", "s", "a--",
    "b-c", "-d", "''", "The end of the exam-", "e" * 31, "f" * 28 + "-", "- item", "- ", "\u00a0x\u00a0", "\x1cx\x1f", "\u200bx\u200b", "\ufeffx", "\x7f",
    "\x00\x01\b\f", "\"quoted\" \\ /", "😀", "\U0001f468\u200d\U0001f469", "e\u0301", "ﬁ", "İ-", "ıx", "(2.1)", "（2.1）", "()", "(", ")", "(a) \\tag{b}",
    "a\x0bb", "a\x85b\n", "..." * 700, "ab" * 600 + "\n" * 3, "$" * 50, "\\" * 9 + "$x$", "·" * 5 + "." * 5, "\u0660\u0661. x", "²) x", "Ⅷ. x",
]
LABELS = [
    "abstract", "algorithm", "aside_text", "chart", "content", "display_formula", "doc_title", "figure_title", "footer",
    "footer_image", "footnote", "formula_number", "header", "header_image", "image", "inline_formula", "number",
    "paragraph_title", "reference", "reference_content", "seal", "table", "text", "vertical_text", "vision_footnote",
]
PIECES = [
    "$", "$$", "\\$", "\\", "\\t", "\\[", "\\]", "\\(", "\\)", " ", "  ", "\n", "\n\n", "\u00a0", "\u3000", "\u2028", "\x1f", ".", "..", "....", "_", "____",
    "\\_", "\\_\\_\\_\\_", "·", "····", "•", "* ", "- ", "-", "#", "## ", "(", ")", "（", "）", "1", "23", "a", "B", "٣", "०", "１", "²", "½", "Ⅳ", "é", "ß", "ǅ", "ª",
    "中文", "あ", "word", "exam-", "ple", "ple,", "It's", "```", "<table>", "</table>", "<td>", "x^2", "\\frac{a}{b}", "\\tag{1}", "'", "--", "\"", "&", "\x00",
    "\u0301", "😀", "\u200b", "K", "İ", "ſ",
]


def random_character(rng):
    while True:
        code = rng.choice((rng.randrange(0x80), rng.randrange(0x800), rng.randrange(0x3100), rng.randrange(0x110000)))
        if not 0xD800 <= code < 0xE000:
            return chr(code)


def soup(rng, length):
    return "".join(rng.choice(PIECES) if rng.random() < 0.9 else random_character(rng) for _ in range(length))


def repeating(rng):
    """Long enough for the repeat cleanup, with units, counts and lines around its limits."""
    kind = rng.randrange(4)
    unit = soup(rng, rng.randint(3, 30))
    before = soup(rng, rng.randint(0, 60))
    if kind == 0:
        text = before + unit * rng.randint(8, 12) + soup(rng, 20)
    elif kind == 1:
        line = soup(rng, 6).replace("\n", "")
        lines = [line if rng.random() < 0.85 else soup(rng, 4) for _ in range(rng.randint(8, 60))]
        text = before + "\n".join(lines)
    elif kind == 2:
        text = rng.choice("ab ") * rng.randint(1900, 2200) + before
    else:
        text = "".join(rng.choice("ab") for _ in range(rng.randint(50, 300))) + unit * 10
    filler = "".join("%x " % rng.randrange(1 << 20) for _ in range(rng.randint(0, 350)))
    text = filler + text if rng.random() < 0.5 else text + filler
    if len(text) < 2048 and rng.random() < 0.8:
        text += "".join("%05d," % rng.randrange(100000) for _ in range((2060 - len(text)) // 6))
    return text


def content(rng, label):
    pick = rng.random()
    if pick < 0.03:
        return None
    if pick < 0.06:
        return ""
    if pick < 0.35:
        return rng.choice(TEXTS)
    if pick < 0.4:
        return repeating(rng)
    if label == "formula_number" and pick < 0.8:
        return rng.choice(("(%d)", "（%d）", "%d", "(%d.1)", "[%d]", "( %d )")) % rng.randrange(30)
    if "formula" in label and pick < 0.7:
        return rng.choice(("$$%s$$", "\\[%s\\]", "\\(%s\\)", "%s", "$$%s", "%s\\]")) % rng.choice(("x", " x ", "\\theta", "", "a\nb"))
    if pick < 0.6:
        words = " ".join(rng.choice(("the", "exam", "word", "of", "Paris", "naïve", "x1")) for _ in range(rng.randint(1, 12)))
        return rng.choice(("%s", "- %s", "%s-", "• %s", "%s.", "1. %s", "(a)%s", "%s exam-", "%s\n%s")).replace("%s", words)
    return soup(rng, rng.randint(1, 40))


def region(rng, width, height, label):
    x = sorted(rng.uniform(0, width) for _ in range(2)) if rng.random() < 0.5 else [rng.randint(60, 75), width - 60]
    y = sorted(rng.uniform(0, height) for _ in range(2))
    made = {"label": label, "box": [x[0], y[0], x[1], y[1]], "content": content(rng, label)}
    if rng.random() < 0.3:
        made["polygon"] = [[rng.randint(0, width), rng.randint(0, height)] for _ in range(rng.randint(3, 9))]
    return made


def generated(rng):
    document = []
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5))):
        width, height = rng.choice(((1654, 2339), (1000, 1000), (333, 777), (3500, 2475)))
        likely = rng.choice((LABELS, ["text"] * 5 + LABELS, ["text", "paragraph_title", "image"],
                             ["display_formula", "inline_formula", "formula_number", "text"]))
        document.append({"width": width, "height": height, "regions": [
            region(rng, width, height, rng.choice(likely)) for _ in range(rng.choice((0, 1, 3, 8, 20)))]})
    return document


def page_of(*regions, box=(100, 100, 900, 200)):
    return [{"width": 1000, "height": 1000, "regions": [
        {"label": label, "box": list(box), "content": text} for label, text in regions]}]


def curated():
    for text in TEXTS:
        for label in ("text", "doc_title", "paragraph_title", "display_formula", "table", "algorithm", "seal"):
            yield page_of((label, text))
        yield page_of(("text", text), ("text", "ample text"), ("text", text))
        yield page_of(("display_formula", "x"), ("formula_number", text), ("inline_formula", text))
        yield page_of(("text", "- a"), ("text", text), ("text", "- b"))
    number, formula, picture = ("formula_number", "(1)"), ("display_formula", "$$x$$"), ("image", None)
    for order in ((number,), (number, formula), (formula, number), (number, formula, number), (formula, formula, number),
                  (number, number, formula), (number, picture, formula), (picture, picture, ("chart", None), ("text", None))):
        yield page_of(*order)
    first, second, rest = ("text", "an exam-"), ("text", "The other exam-"), ("text", "ple of it")
    for order in ((first, rest), (first, picture, rest), (first, second, rest), (first, second, rest, rest),
                  (("doc_title", "exam-"), rest), (first, formula, ("figure_title", "ple"))):
        yield page_of(*order)
    yield [*page_of(picture), *page_of(), *page_of(picture, ("text", "x"), ("header", "y")), *page_of()]
    for repeats in (9, 10, 11):
        for length in (9, 10, 11, 205):
            unit = "".join(chr(0x4E00 + i) for i in range(length))
            yield page_of(("text", "head " + unit * repeats + "".join(chr(0x5E00 + i) for i in range(2048))))
            yield page_of(("text", "".join(chr(0x5E00 + i) for i in range(2048)) + "\n" + (unit + "\n") * repeats))
    for lines in (7, 8, 9, 10, 40):
        yield page_of(("text", "\n".join(["short"] * lines + ["%d" % i * 900 for i in range(2, 4)])))
    for size in (2047, 2048):
        yield page_of(("text", "é" * size))


# --- comparison -------------------------------------------------------------------------------------------------------


def records(document):
    for number, page in enumerate(document, 1):
        regions = [{"task": "text", "score": 0.5, "source": "picture", "mean_logprob": 0, "finish_reason": "stop",
                    **{key: value for key, value in region.items() if value is not None}} for region in page["regions"]]
        yield json.dumps({"file": "a", "page": number, "width": page["width"], "height": page["height"], "rotation": 0, "skew": 0,
                          "warnings": [], "regions": regions}) + "\n"
    yield "\n"


def our_outputs(program, documents):
    with tempfile.TemporaryFile() as lines:
        for document in documents:
            lines.write("".join(records(document)).encode())
        lines.seek(0)
        done = subprocess.run([program, "sdk"], stdin=lines, stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.split(b"\n") if line]


def show(expected, ours, name):
    for line in difflib.unified_diff(expected.split("\n"), ours.split("\n"), "official " + name, "ours " + name, "", "", 2, ""):
        print(line.encode("unicode_escape").decode()[:500])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("Unicode %s instead of 14.0.0: run it with Python 3.11" % unicodedata.unidata_version)
    formatter, tasks = official()
    rng = random.Random(options.seed)
    documents = list(curated())
    print("%d curated documents, %d generated ones" % (len(documents), options.documents))
    documents += [generated(rng) for _ in range(options.documents)]
    ours = our_outputs(options.program, documents)
    assert len(ours) == len(documents)
    different, regions = 0, 0
    for number, (document, result) in enumerate(zip(documents, ours)):
        expected = official_outputs(formatter, tasks, document)
        regions += sum(len(page["regions"]) for page in document)
        wrong = [part for part in PARTS if expected[part] != result[part]]
        different += bool(wrong)
        if wrong and different <= 5:
            print("document %d:" % number)
            for part in wrong:
                show(expected[part], result[part], part)
    print("%d documents, %d regions: %d differ" % (len(documents), regions, different))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
