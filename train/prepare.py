# SPDX-License-Identifier: Apache-2.0
"""Makes the raw material of training from Debian packages: fonts cut down to our characters, prose, code.

    python3 prepare.py WORK          # downloads the packages of packages.txt into WORK/deb, writes WORK/data

WORK/data then holds fonts/{train,dev,test}/*.ttf, fonts.json (what each face lacks, is it monospaced, how tall
its letters are), {prose,code}.{train,test}.txt. `test` families and texts are never shown in training, `dev`
families only in the error curves.
"""
import glob
import gzip
import html
import io
import json
import os
import random
import re
import subprocess
import sys
import unicodedata

import numpy as np
from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib import instancer
from PIL import Image, ImageFont

from pages import CHARSET

HERE = os.path.dirname(os.path.abspath(__file__))
RESERVED_FAMILIES = re.compile(r"accanthis|romande|switzera|gentium|essays|karla|karmilla|oxygen|charis|doulos"
                               r"|vollkorn|didot|cabin", re.I)
RESERVED_LICENCES = ["GPL-3", "Apache-2.0", "Artistic", "MPL-2.0", "GFDL-1.3"]
UNFIT_FACES = re.compile(r"symbol|script|emoji|math|icon|noto(sans|serif)(?!(mono|display)?-)[A-Z]|braille|dingbat|cmex|cmsy"
                         r"|initials|titling|smallcaps|caps|sc\b|swash|fleuron|condensed|unicase|upright|ornament|orna"
                         r"|barcode|hairline|thin|extralight|ultralight|-black|heavy|z003|d050000l|lines|lignes", re.I)
MAX_FACES_PER_FAMILY = 4
MAX_FONT_BYTES = 110_000


# ---------------------------------------------------------------- packages
def packages():
    """packages.txt: lines `group package licence`."""
    groups = {}
    for line in open(os.path.join(HERE, "packages.txt")):
        if line.strip() and not line.startswith("#"):
            group, package, _ = line.split(None, 2)
            groups.setdefault(group, []).append(package)
    return groups


def download(work):
    for group, names in packages().items():
        folder = os.path.join(work, "deb", group)
        os.makedirs(folder, exist_ok=True)
        have = {os.path.basename(p).split("_")[0] for p in glob.glob(folder + "/*.deb")}
        for name in names:
            if name not in have:
                subprocess.run(["apt-get", "download", "-q", name], cwd=folder, check=False)
        for deb in glob.glob(folder + "/*.deb"):
            subprocess.run(["dpkg", "-x", deb, folder + "/x"], check=True)


# ---------------------------------------------------------------- fonts
def glyph_shape(font, char):
    """The ink of a glyph, scaled to 48x48, so that small capitals look like capitals."""
    mask = font.getmask(char)
    if not mask.size[0] or not mask.size[1]:
        return None
    ink = Image.frombytes("L", mask.size, bytes(mask)).resize((48, 48))
    return np.asarray(ink, np.float32).ravel()


def has_real_lowercase(path):
    font = ImageFont.truetype(path, 64, layout_engine=ImageFont.Layout.BASIC)
    for low, up in ("aA", "eE", "rR", "gG"):
        a, b = glyph_shape(font, low), glyph_shape(font, up)
        if a is None or b is None or a.std() == 0 or b.std() == 0 or np.corrcoef(a, b)[0, 1] > 0.85:
            return False
    return True


def cut_down(path):
    """The font reduced to the outlines of our characters, as bytes."""
    font = TTFont(path)
    if "fvar" in font:
        font = instancer.instantiateVariableFont(font, {a.axisTag: a.defaultValue for a in font["fvar"].axes})
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True, name_IDs=[1, 2, 4],
                             glyph_names=False)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "DSIG", "FFTM", "MATH"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(CHARSET))
    subsetter.subset(font)
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


def describe(path):
    """What pages.py needs to know about a face; None if it lacks an ASCII character."""
    font = ImageFont.truetype(path, 64, layout_engine=ImageFont.Layout.BASIC)
    nothing = bytes(font.getmask("\ue123"))
    missing = "".join(c for c in sorted(CHARSET) if c != " "
                      and (not any(bytes(font.getmask(c))) or bytes(font.getmask(c)) == nothing))
    if any(ord(c) < 127 for c in missing):
        return None
    _, top, _, bottom = font.getbbox("Hp")
    mono = abs(font.getlength("i") - font.getlength("W")) < 0.5 and font.getlength(" ") == font.getlength("W")
    return {"missing": missing, "mono": mono, "letter": (bottom - top) / 64}


def style_rank(path):
    """Plain faces first, so that the four faces of a family are not all bold italics."""
    name = os.path.basename(path).lower()
    if re.search(r"regular|roman|book|[-_]r\.", name):
        return 0
    return 1 if re.search(r"bold(?!.*(it|obl))|italic|oblique", name) else 2


def family_key(path):
    stem = os.path.basename(path).rsplit(".", 1)[0]
    return re.sub(r"[-_ ]?(regular|bold|italic|oblique|medium|light|semi|demi|roman|book|mono|it|bd|bi|lt|md).*$", "",
                  stem, flags=re.I).lower()[:9]


def make_fonts(work):
    table = {}
    for group in ("train", "dev", "test"):
        out = f"{work}/data/fonts/{group}"
        os.makedirs(out, exist_ok=True)
        faces = {}
        source = f"{work}/deb/fonts-{group}/x"
        for path in sorted(glob.glob(source + "/**/*.[to]tf", recursive=True), key=lambda p: (style_rank(p), p)):
            name = os.path.basename(path)
            key = family_key(path)
            if UNFIT_FACES.search(name) or faces.get(key, 0) >= MAX_FACES_PER_FAMILY:
                continue
            try:
                font = TTFont(path, lazy=True)
                label = " ".join(font["name"].getDebugName(i) or "" for i in (1, 4))
                cmap = set(map(chr, font.getBestCmap() or {}))
                lacks = len(set("éèüößñçàâêîôÄÖÜ£°§«»–—“”’") - cmap)
                if not set(map(chr, range(33, 127))) <= cmap or lacks > 3 or not has_real_lowercase(path):
                    continue
                if group != "test" and RESERVED_FAMILIES.search(path + label):
                    continue
                if group == "test" and not RESERVED_FAMILIES.search(path + label):
                    continue
                data = cut_down(path)
            except Exception as error:                      # a broken font is skipped
                print("skipped", name, error)
                continue
            if len(data) > MAX_FONT_BYTES:
                continue
            target = f"{out}/{name.rsplit('.', 1)[0]}.ttf"
            open(target, "wb").write(data)
            facts = describe(target)
            if facts is None:
                os.remove(target)
                continue
            faces[key] = faces.get(key, 0) + 1
            table[f"{group}/{os.path.basename(target)}"] = facts
        print(group, sum(faces.values()), "faces of", len(faces), "families,",
              sum(v["mono"] for k, v in table.items() if k.startswith(group)), "monospaced")
    json.dump(table, open(f"{work}/data/fonts.json", "w"), ensure_ascii=False, indent=0)


# ---------------------------------------------------------------- prose
PLAIN = str.maketrans({"\u2010": "-", "\u2011": "-", "\u00ad": "", "\u00a0": " ", "\u2032": "'", "\t": " "})


def clean(text):
    return re.sub(r"\s+", " ", unicodedata.normalize("NFC", text.translate(PLAIN))).strip()


def read_text(path):
    raw = gzip.open(path).read() if path.endswith(("gz", "dz")) else open(path, "rb").read()
    for encoding in ("utf8", "latin1"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            pass
    return ""


ROFF = {r"\-": "-", r"\&": "", r"\(co": "©", r"\(aq": "'", r"\(dq": '"', r"\(bu": "•", r"\(lq": "“", r"\(rq": "”",
        r"\(em": "—", r"\(en": "–", r"\e": "\\", r"\~": " ", r"\ ": " ", r"\(Fo": "«", r"\(Fc": "»", r"\(Bq": "„"}


def man_paragraphs(path):
    text = re.sub(r"\\f(\(..|\[[^]]*\]|.)", "", read_text(path))
    for paragraph in re.split(r"\n\.(?:PP|P|SH|TP|IP|LP|br|sp|SS|nf|fi|RS|RE)\b.*\n|\n\n", text):
        paragraph = re.sub(r"^\.[BIR]{1,2} ", "", paragraph, flags=re.M)
        paragraph = re.sub(r"^[.'].*$", "", paragraph, flags=re.M)
        for code, char in ROFF.items():
            paragraph = paragraph.replace(code, char)
        if not re.search(r'\\[(\[*sn^"]', paragraph):
            yield clean(paragraph)


def html_paragraphs(path):
    for paragraph in re.findall(r"<p[^>]*>(.*?)</p>", read_text(path), flags=re.S | re.I):
        yield clean(html.unescape(re.sub(r"<[^>]+>", "", paragraph)))


def plain_paragraphs(path):
    for paragraph in re.split(r"\n%+\s*\n|\n\s*\n|\n(?=\S)", read_text(path)):
        yield clean(re.sub(r"[{}]|\[1913 Webster\]|\[PJC\]", "", paragraph))


def fortune_paragraphs(path):
    for paragraph in re.split(r"\n%+\s*\n", read_text(path)):
        yield clean(paragraph)


def word_paragraphs(path):
    words = [w for w in read_text(path).split("\n") if 1 < len(w) < 22]
    random.Random(path).shuffle(words)
    for i in range(0, min(len(words), 12000), 25):
        yield " ".join(words[i:i + 25])


def licence_paragraphs(name):
    text = read_text(f"/usr/share/common-licenses/{name}")
    text = re.sub(r"([-=*_.~])\1{3,}", " ", text)          # rules drawn with characters are not text
    return [p for p in map(clean, re.split(r"\n\s*\n", text)) if len(p) > 60]


def shingles(text):
    words = re.findall(r"\w+", text.lower())
    return {" ".join(words[i:i + 7]) for i in range(len(words) - 6)}


def make_prose(work):
    x = f"{work}/deb/text/x/usr/share"
    reserved_text = [p for name in RESERVED_LICENCES for p in licence_paragraphs(name)]
    reserved = set().union(*(shingles(p) for p in reserved_text))
    sources = []                                            # (reader, files, most bytes)
    games = [p for p in glob.glob(x + "/games/fortunes/**/*", recursive=True)
             if os.path.isfile(p) and not p.endswith((".dat", ".u8"))]
    sources.append((fortune_paragraphs, games, 5e6))
    for path in glob.glob(x + "/dictd/*.dict.dz"):
        sources.append((plain_paragraphs, [path], 4e6 if "gcide" in path else 2e6))
    for path in glob.glob(x + "/dict/*"):
        if os.path.isfile(path) and not os.path.islink(path):
            sources.append((word_paragraphs, [path], 0.16e6))
    for language, limit in dict(de=1.3e6, fr=1.3e6, es=0.8e6, it=0.7e6, pl=0.9e6, pt_BR=0.6e6, sv=0.4e6, nl=0.4e6,
                                cs=0.5e6, da=0.4e6, hu=0.3e6, ro=0.4e6, nb=0.3e6, fi=0.3e6, en=1e6).items():
        folder = "" if language == "en" else language + "/"
        sources.append((man_paragraphs, glob.glob(f"{x}/man/{folder}man[1-8]/*"), limit))
    for language in "de en fr es it nl pt pt_BR pl sv da cs nb fi ro hu".split():
        pages = glob.glob(f"{x}/doc/**/{language}/**/*.html", recursive=True) \
            + glob.glob(f"{x}/doc/**/html/{language.replace('_', '-')}*/**/*.html", recursive=True) \
            + glob.glob(f"{x}/**/*.{language.lower().replace('_', '-')}.html", recursive=True) \
            + glob.glob(f"{x}/doc/debian-handbook/html/{language.replace('_', '-')}*/*.html")
        sources.append((html_paragraphs, sorted(set(pages)), 0.8e6))
    rng, chosen = random.Random(3), []
    for reader, files, limit in sources:
        rng.shuffle(files)
        size, seen = 0, set()
        for path in files:
            for p in reader(path):
                strange = sum(c not in CHARSET for c in p)
                if len(p) < 40 or strange > len(p) * 0.02 or p in seen or shingles(p) & reserved:
                    continue
                seen.add(p)
                size += len(p.encode())
            if size > limit * 1.3:
                break
        part = sorted(seen)
        rng.shuffle(part)
        while part and size > limit:
            size -= len(part.pop().encode())
        chosen += part
        print(f"{reader.__name__:22} {len(files):5} files {len(part):6} paragraphs {size / 1e6:.2f} MB")
    rng.shuffle(chosen)
    write(work, "prose.train", chosen)
    write(work, "prose.test", reserved_text)


# ---------------------------------------------------------------- code
CODE_FILES = re.compile(r"\.(py|pl|pm|h|hpp|rb|js|go|tcl)$|/include/c\+\+/[^.]*$")


def make_code(work):
    for group, limit in (("train", 0.75e6), ("test", 0.12e6)):
        by_kind = {}
        for path in glob.glob(f"{work}/deb/code-{group}/x/**/*", recursive=True):
            match = CODE_FILES.search(path)
            if match and os.path.isfile(path) and 800 < os.path.getsize(path) < 60_000:
                by_kind.setdefault(match.group(1) or "hpp", []).append(path)
        pieces = []
        for kind, files in sorted(by_kind.items()):
            random.Random(kind).shuffle(files)
            size = 0
            for path in files:
                lines = [line.rstrip().expandtabs(4) for line in read_text(path).split("\n")]
                start = next((i for i, line in enumerate(lines) if line and line[0] not in "#/*; "), 0)  # licence header
                body = "\n".join(line for line in lines[start:start + 220] if set(line) <= CHARSET)
                body = re.sub(r"\n{3,}", "\n\n", body)
                if len(body) > 400 and "icense" not in body[:300]:
                    pieces.append(body)
                    size += len(body)
                if size > limit:
                    break
            print("code", group, kind, len(files), f"{size / 1e6:.2f} MB")
        random.Random(4).shuffle(pieces)
        write(work, "code." + group, pieces)


def write(work, name, pieces):
    with open(f"{work}/data/{name}.txt", "w") as out:
        out.write("\0".join(pieces))
    print(name, len(pieces), "pieces", os.path.getsize(out.name) / 1e6, "MB")


def main():
    work = os.path.abspath(sys.argv[1])
    os.makedirs(work + "/data", exist_ok=True)
    steps = sys.argv[2:] or ["download", "prose", "code", "fonts"]
    for step in steps:
        {"download": download, "prose": make_prose, "code": make_code, "fonts": make_fonts}[step](work)


if __name__ == "__main__":
    main()
