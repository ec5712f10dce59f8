#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures the regions that are found without a detector, on real PDF files that hold a text layer.

    apt-get download r-doc-pdf pari-doc gnuplot-doc r-cran-vegan r-cran-lme4 auto-multiple-choice-doc-pdf
    for package in *.deb; do dpkg -x $package PDFS; done
    tools/eval_regions.py PDFS WORK build/release/bin/split_replay

Pages are chosen by a fixed seed and rendered with pdftoppm. For each kind of page it prints, in per cent,
  text     characters of the text layer inside regions that are read or are headers, footers and the like,
  picture  those inside figures, and no other region,
  lost     those in no region,
  order    pairs of paragraphs (blocks of pdftotext) that are read in the order of the text layer,
  regions  per page, and the milliseconds of processor time that a page takes.
"""
import argparse
import concurrent.futures
import html
import json
import pathlib
import random
import re
import statistics
import subprocess

KINDS = {
    "papers, two columns (vegan)": ["decision-vegan", "intro-vegan", "diversity-vegan", "partitioning"],
    "papers with formulas (lme4)": ["lmer", "Theory", "PLSvGLS"],
    "manuals (R)": ["R-intro", "R-exts", "R-lang", "R-data", "R-admin", "R-ints", "R-FAQ"],
    "reference manual (R)": ["fullrefman"],
    "manuals (PARI)": ["users", "libpari", "tutorial", "develop", "parallel", "tutorial-mf", "INSTALL"],
    "reference cards (PARI)": ["refcard", "refcard-nf", "refcard-ell", "refcard-mf", "refcard-lfun"],
    "manual (gnuplot)": ["gnuplot"],
    "manuals (AMC)": ["auto-multiple-choice.en", "auto-multiple-choice.fr", "automultiplechoice"],
    "manual, Japanese (AMC)": ["auto-multiple-choice.ja"],
    "forms (AMC)": ["sample-separate", "sample-plain", "sample-amc"],
}
TAG = re.compile(r'<(page|block|word) ?([^>]*)>([^<]*)')


def attributes(text):
    return {key: float(value) for key, value in re.findall(r'(\w+)="([-\d.]+)"', text)}


def words_of(xml, dpi):
    """Pages as lists of (text, box in pixels, block)."""
    words, block = [], -1
    for tag, rest, text in TAG.findall(xml):
        if tag == "block":
            block += 1
        elif tag == "word":
            a = attributes(rest)
            box = [a[key] * dpi / 72 for key in ("xMin", "yMin", "xMax", "yMax")]
            words.append((html.unescape(text).strip(), box, block))
    return words


def text_layer(pdf, page, dpi):
    """Words with the block of pdftotext they are in, in the order of the file."""
    def run(*arguments):
        command = ["pdftotext", "-f", str(page), "-l", str(page), *arguments, pdf, "-"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    raw = words_of(run("-raw", "-bbox"), dpi)
    place = {}
    for index, (_, box, _) in enumerate(raw):
        place.setdefault(tuple(round(value) for value in box[:2]), index)
    words = []
    for text, box, block in words_of(run("-bbox-layout"), dpi):
        words.append((text, box, block, place.get(tuple(round(value) for value in box[:2]))))
    return words


def page_count(pdf):
    info = subprocess.run(["pdfinfo", pdf], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"Pages: +(\d+)", info)[1])


def choose(pdfs, pages, seed=19):
    random_ = random.Random(seed)
    files = {path.stem: path for path in sorted(pdfs.rglob("*.pdf"))}
    chosen = []
    for kind, stems in KINDS.items():
        all_pages = [(kind, files[stem], number + 1) for stem in stems if stem in files for number in range(page_count(files[stem]))]
        chosen += random_.sample(all_pages, min(len(all_pages), pages // len(KINDS)))
    return chosen


def render(work, dpi, pdf, page):
    path = work / f"{pdf.stem}-{page}-{dpi}"
    if not path.with_suffix(path.suffix + ".png").exists():
        subprocess.run(["pdftoppm", "-r", str(dpi), "-png", "-singlefile", "-f", str(page), "-l", str(page), pdf, path], check=True)
    return f"{path}.png"


def region_of(regions, box):
    """The region that holds the middle of a box: one that is read before a figure. None: there is none."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    found = None
    for index, region in enumerate(regions):
        x0, y0, x1, y1 = region["box"]
        if x0 <= x < x1 and y0 <= y < y1 and (found is None or regions[found]["label"] in ("image", "chart")):
            found = index
    return found


def measure(regions, words):
    counts = {"text": 0, "picture": 0, "lost": 0}
    blocks = {}
    for text, box, block, place in words:
        region = region_of(regions, box)
        kind = "lost" if region is None else "picture" if regions[region]["label"] in ("image", "chart") else "text"
        counts[kind] += len(text)
        blocks.setdefault(block, []).append((len(text), box, region, place))
    paragraphs = []
    for parts in blocks.values():
        places = [place for _, _, _, place in parts if place is not None]
        if sum(part[0] for part in parts) < 20 or not places:
            continue
        holders = [region for _, _, region, _ in parts if region is not None]
        holder = statistics.mode(holders) if holders else None
        paragraphs.append((statistics.median(places), holder, min(part[1][1] for part in parts)))
    paragraphs.sort(key=lambda paragraph: paragraph[0])
    right = pairs = 0
    for i, (_, first, y) in enumerate(paragraphs):
        for _, second, below in paragraphs[i + 1:]:
            pairs += 1
            if first is not None and second is not None:
                right += first < second or (first == second and y <= below)
    return counts, right, pairs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pdfs", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path, help="a folder for rendered pages")
    parser.add_argument("replay", type=pathlib.Path)
    parser.add_argument("--pages", type=int, default=210)
    parser.add_argument("--dpi", type=int, default=200)
    parser.add_argument("--worst", type=int, default=0, help="name so many of the worst pages")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    chosen = choose(options.pdfs, options.pages)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        pictures = list(pool.map(lambda item: render(options.work, options.dpi, item[1], item[2]), chosen))
    answer = subprocess.run([options.replay, *pictures], capture_output=True, text=True, check=True).stdout
    rows, worst = {}, []
    for (kind, pdf, page), line in zip(chosen, answer.splitlines(), strict=True):
        result = json.loads(line)
        words = text_layer(pdf, page, options.dpi)
        counts, right, pairs = measure(result["regions"], words)
        row = rows.setdefault(kind, [])
        row.append((counts, right, pairs, len(result["regions"]), result["milliseconds"]))
        total = sum(counts.values())
        if total:
            worst.append((counts["text"] / total, right / pairs if pairs else 1, f"{pdf.stem} {page}"))
    print("| kind of page | pages | text | picture | lost | order | regions | ms |\n|---|---|---|---|---|---|---|---|")
    everything = [entry for row in rows.values() for entry in row]
    for kind, row in [*rows.items(), ("all", everything)]:
        sums = {key: sum(entry[0][key] for entry in row) for key in ("text", "picture", "lost")}
        total = max(1, sum(sums.values()))
        order = [entry[1] / entry[2] for entry in row if entry[2]]
        print(f"| {kind} | {len(row)} | " + " | ".join(f"{100 * sums[key] / total:.2f}" for key in sums) +
              f" | {100 * statistics.mean(order):.1f} | {statistics.mean(entry[3] for entry in row):.1f} |"
              f" {statistics.median(entry[4] for entry in row):.0f} |")
    for text, order, name in sorted(worst)[:options.worst]:
        print(f"{100 * text:.1f} % text: {name}")
    for text, order, name in sorted(worst, key=lambda item: item[1])[:options.worst]:
        print(f"{100 * order:.1f} % order: {name}")


if __name__ == "__main__":
    main()
