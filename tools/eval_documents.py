#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what is read from pictures of real PDF pages with the files' own text, and with Tesseract.

    apt-get download r-doc-pdf pari-doc gnuplot-doc r-cran-vegan r-cran-lme4 auto-multiple-choice-doc-pdf
    for package in *.deb; do dpkg -x $package PDFS; done
    apt-get install poppler-utils qpdf tesseract-ocr tesseract-ocr-fra tesseract-ocr-jpn
    pip install rapidfuzz                                              # in a virtual environment
    tools/eval_documents.py prepare PDFS WORK                          # WORK/pages: files of one page, WORK/truth.json
    tools/eval_documents.py read WORK build/release/bin/glm-ocr --regions detector
    tools/eval_documents.py read WORK build/release/bin/glm-ocr --regions classical
    tools/eval_documents.py tesseract WORK build/pdfium/libpdfium.so --psm 3
    tools/eval_documents.py report WORK --worst 10

The pages are those of tools/eval_regions.py: ten kinds, chosen by a fixed seed (`prepare --seed N`: other pages). Both programs see the pixels that PDFium draws
at 200 dpi, never the layer of text. `read` and `tesseract` go on where they were stopped; --every N takes every Nth page only.

Before texts are compared, white space is folded, Unicode's compatibility forms (ligatures, full width), typographic quotes and
dashes are replaced by the plain ones, the bullets of lists by dashes (which they are in Markdown), leaders of dots are cut to three, and hyphens between letters, with a line's end after
them or not, are left out, so that it makes no difference whether words are joined again. For each kind of page `report` prints
  characters  Levenshtein distance to the text layer in its own order (pdftotext -raw), over that layer's length,
  words       words that are missing or too many, whichever are more, in any order, over the words of the layer (each Chinese or
              Japanese character counts as a word),
  order       pairs of paragraphs (blocks of pdftotext) in the order of the layer, of those paragraphs that are found,
  found       paragraphs that are found by their first characters, two thirds of them right.
Formulas in TeX, and what is written inside plots, count as errors for whoever writes them so: the layer has plain letters.
"""
import argparse
import collections
import ctypes
import json
import os
import pathlib
import re
import statistics
import subprocess
import unicodedata

import eval_regions

PLAIN = str.maketrans({**dict.fromkeys("‘’‚‛′`´", "'"), **dict.fromkeys("“”„‟″", '"'), **dict.fromkeys("‐‑‒–—―−•‣◦▪", "-"), "\u00ad": None})
CJK = "\u3040-\u30ff\u3400-\u9fff"
LANGUAGES = {"auto-multiple-choice.fr": "fra", "auto-multiple-choice.ja": "jpn+eng", "automultiplechoice": "fra"}
DPI = 200


def fold(text):
    text = unicodedata.normalize("NFKC", text.translate(PLAIN)).translate(PLAIN)
    text = re.sub(r"(?<=[^\W\d])-\s*(?=[^\W\d])", "", text)
    text = re.sub(r"(?:[.·]\s*){3,}", "... ", text)
    text = re.sub(rf"(?<=[{CJK}])\s+(?=[{CJK}])", "", text)
    return " ".join(text.split())


def words(text):
    return collections.Counter(re.findall(rf"[{CJK}]|[^\W{CJK}]+", text))


def paragraphs_of(pdf, page):
    """The blocks of a page with 20 characters or more, in the order of the file."""
    blocks = {}
    for text, _, block, place in eval_regions.text_layer(pdf, page, DPI):
        if place is not None:
            blocks.setdefault(block, []).append((place, text))
    long = [parts for parts in blocks.values() if sum(len(text) for _, text in parts) >= 20]
    long.sort(key=lambda parts: statistics.median(place for place, _ in parts))
    return [" ".join(text for _, text in parts) for parts in long]


def prepare(options):
    pages = options.work / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    truth = []
    for number, (kind, pdf, page) in enumerate(eval_regions.choose(options.pdfs, options.pages, options.seed)):
        name = f"{number:03}-{pdf.stem}-{page}"
        (pages / f"{name}.pdf").exists() or subprocess.run(["qpdf", "--empty", "--pages", pdf, str(page), "--", pages / f"{name}.pdf"], check=True)
        command = ["pdftotext", "-raw", "-f", str(page), "-l", str(page), pdf, "-"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        truth.append({"name": name, "kind": kind, "language": LANGUAGES.get(pdf.stem, "eng"), "text": text,
                      "paragraphs": paragraphs_of(pdf, page)})
    (options.work / "truth.json").write_text(json.dumps(truth, ensure_ascii=False, indent=0))
    print(f"{len(truth)} pages")


def left(options, folder):
    """The pages that have no text in the folder yet."""
    truth = json.loads((options.work / "truth.json").read_text())[::options.every]
    return [page for page in truth if not (folder / f"{page['name']}.pdf.txt").exists()]


def read(options):
    folder = options.work / ("glm-ocr " + options.regions)
    files = [options.work / "pages" / f"{page['name']}.pdf" for page in left(options, folder)]
    for begin in range(0, len(files), 10):
        command = [options.program, "parse", "--text-layer", "off", "--regions", options.regions, "--furniture", "keep",
                   "-f", "txt,json", "-o", folder, "--resume", "-q", *options.more, *files[begin:begin + 10]]
        subprocess.run(command)  # a page that failed is told on standard error, and has no text


class Pdfium:
    """Pages as PNM pictures, drawn as glm-ocr-pdf draws them, but for the fields of forms."""

    ANNOTATIONS, RGB_ORDER, BGR = 1, 16, 2

    def __init__(self, library):
        self.library = ctypes.CDLL(str(library))
        for name, result in (("LoadDocument", "c_void_p"), ("LoadPage", "c_void_p"), ("GetPageWidth", "c_double"),
                             ("GetPageHeight", "c_double")):
            getattr(self.library, "FPDF_" + name).restype = getattr(ctypes, result)
        self.library.FPDFBitmap_CreateEx.restype = ctypes.c_void_p
        self.library.FPDF_InitLibrary()

    def draw(self, path):
        pdfium, pointer = self.library, ctypes.c_void_p
        document = pointer(pdfium.FPDF_LoadDocument(str(path).encode(), None))
        page = pointer(pdfium.FPDF_LoadPage(document, 0))
        width = int(pdfium.FPDF_GetPageWidth(page) * DPI / 72 + 0.5)
        height = int(pdfium.FPDF_GetPageHeight(page) * DPI / 72 + 0.5)
        stride = (3 * width + 3) // 4 * 4
        pixels = ctypes.create_string_buffer(b"\xff" * (stride * height), stride * height)
        bitmap = pointer(pdfium.FPDFBitmap_CreateEx(width, height, self.BGR, pixels, stride))
        pdfium.FPDF_RenderPageBitmap(bitmap, page, 0, 0, width, height, 0, self.ANNOTATIONS | self.RGB_ORDER)
        pdfium.FPDFBitmap_Destroy(bitmap)
        pdfium.FPDF_ClosePage(page)
        pdfium.FPDF_CloseDocument(document)
        raw = pixels.raw
        rows = (raw[row * stride:row * stride + 3 * width] for row in range(height))
        return f"P6 {width} {height} 255\n".encode() + b"".join(rows)


def tesseract(options):
    folder = options.work / f"tesseract psm {options.psm}"
    folder.mkdir(exist_ok=True)
    pdfium = Pdfium(options.pdfium)
    for page in left(options, folder):
        picture = pdfium.draw(options.work / "pages" / f"{page['name']}.pdf")
        command = ["tesseract", "-", "-", "--dpi", str(DPI), "--psm", str(options.psm), "-l", page["language"]]
        text = subprocess.run(command, input=picture, capture_output=True, check=True,
                              env={**os.environ, "OMP_THREAD_LIMIT": "1"}).stdout
        (folder / f"{page['name']}.pdf.txt").write_bytes(text)


def paragraph_order(paragraphs, text):
    """Right pairs, pairs of paragraphs that are found, found paragraphs."""
    from rapidfuzz import fuzz
    places = []
    for paragraph in paragraphs:
        begin = fold(paragraph)[:60]
        match = fuzz.partial_ratio_alignment(begin, text, score_cutoff=67) if text else None
        if match and match.dest_end - match.dest_start >= len(begin) * 2 // 3:
            places.append(match.dest_start)
    pairs = [(a, b) for index, a in enumerate(places) for b in places[index + 1:]]
    return sum(a <= b for a, b in pairs), len(pairs), len(places)


def measure(page, text):
    from rapidfuzz.distance import Levenshtein
    truth, text = fold(page["text"]), fold(text)
    counts, read_counts = words(truth), words(text)
    wrong = max((counts - read_counts).total(), (read_counts - counts).total())
    right, pairs, found = paragraph_order(page["paragraphs"], text)
    return {"characters": 100 * Levenshtein.distance(truth, text) / max(1, len(truth)),
            "words": 100 * wrong / max(1, counts.total()), "pairs": pairs, "order": 100 * right / pairs if pairs else None,
            "found": found, "length": len(truth), "read": len(text)}


def table(truth, folder, name):
    rows = {}
    for page in truth:
        path = folder / f"{page['name']}.pdf.txt"
        if path.exists():
            result = measure(page, path.read_text(errors="replace"))
            rows.setdefault(page["kind"], []).append({"page": page, **result})
    everything = [entry for row in rows.values() for entry in row]
    print(f"\n{name}\n\n| kind of page | pages | characters: median | mean | words: median | mean | order | found |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, row in [*rows.items(), ("all", everything)]:
        values = [function(entry[key] for entry in row) for key in ("characters", "words")
                  for function in (statistics.median, statistics.mean)]
        order = [entry["order"] for entry in row if entry["pairs"]]
        paragraphs = sum(len(entry["page"]["paragraphs"]) for entry in row)
        found = 100 * sum(entry["found"] for entry in row) / max(1, paragraphs)
        print(f"| {kind} | {len(row)} | " + " | ".join(f"{value:.2f}" for value in values) +
              f" | {statistics.mean(order) if order else 100:.1f} | {found:.1f} |")
    return everything


def report(options):
    truth = json.loads((options.work / "truth.json").read_text())[::options.every]
    truth = [page for page in truth if len(fold(page["text"])) >= 50]
    folders = [path for path in sorted(options.work.iterdir()) if path.is_dir() and path.name != "pages"]
    if options.common:
        truth = [page for page in truth if all((folder / f"{page['name']}.pdf.txt").exists() for folder in folders)]
    for folder in folders:
        entries = table(truth, folder, folder.name)
        for entry in sorted(entries, key=lambda entry: -entry["characters"])[:options.worst]:
            order = "" if entry["order"] is None else f", order {entry['order']:.0f} %"
            print(f"{entry['characters']:.1f} % characters, {entry['words']:.1f} % words{order}, {entry['length']} characters, "
                  f"{entry['read']} read: {entry['page']['name']}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)

    def command(function, *arguments):
        part = commands.add_parser(function.__name__)
        part.set_defaults(function=function)
        for argument in arguments:
            part.add_argument(argument, type=pathlib.Path)
        return part
    part = command(prepare, "pdfs", "work")
    part.add_argument("--pages", type=int, default=210)
    part.add_argument("--seed", type=int, default=19, help="another one: other pages")
    part = command(read, "work", "program")
    part.add_argument("--regions", default="detector")
    part.add_argument("--every", type=int, default=1)
    part.add_argument("--more", nargs="*", default=[], help="further options of glm-ocr parse, as --more=--dpi=150")
    part = command(tesseract, "work", "pdfium")
    part.add_argument("--psm", type=int, default=3)
    part.add_argument("--every", type=int, default=1)
    part = command(report, "work")
    part.add_argument("--worst", type=int, default=0, help="name so many of the worst pages")
    part.add_argument("--every", type=int, default=1)
    part.add_argument("--common", action="store_true", help="only pages that all have read")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
