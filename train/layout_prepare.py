# SPDX-License-Identifier: Apache-2.0
"""Collects what layout_pages.py draws with: families of faces, prose and code, in one small folder.

    python3 prepare.py WORK                       # once: packages, faces, texts of the reading model
    python3 layout_prepare.py WORK WORK/layout    # a selection of it, and the faces below

The folder holds {train,test}/{families.json,*.ttf,prose.txt,code.txt}, maths/*.ttf and asian.txt. `test` has the reserved families and texts alone.
"""
import glob
import io
import json
import os
import random
import subprocess
import sys

from fontTools import subset
from fontTools.ttLib import TTFont
from PIL import ImageFont

from prepare import cut_down, family_key, style_rank

# Licences in this order: Apache-2.0 or GPL-3+FE, Arphic, Arphic, OFL-1.1, GUST, and OFL-1.1 for the rest.
PACKAGES = ("fonts-wqy-microhei", "fonts-arphic-uming", "fonts-arphic-ukai", "fonts-stix", "fonts-lmodern", "fonts-breip", "fonts-rufscript",
            "fonts-kristi", "fonts-dancingscript")
HANZI = {"train": ("wqy-microhei.ttc", "uming.ttc"), "test": ("ukai.ttc",)}
MATHS = ("STIX-Regular.otf", "latinmodern-math.otf")
HANDWRITTEN = ("Breip.ttf", "Rufscript010.ttf", "Kristi.ttf", "DancingScript-Regular.otf")
SETS = {"computermodern": ("serif", "cmunrm cmunbx cmunti"), "computersans": ("sans", "cmunss cmunsx cmunsi"),
        "computertype": ("mono", "cmuntt cmuntb cmunit")}                    # what LaTeX sets; their file names tell no styles
WANTED = ("texgyre", "nimbus", "c059", "arimo", "tinos", "cousine", "opensans", "dejavu", "roboto", "lato", "lmmono")     # before the others
RESERVED = ("texgyrecu",)                                                    # for the tests, besides those of prepare.py
FAMILIES, PROSE_BYTES, CODE_BYTES = 72, 1_500_000, 500_000
MATHS_RANGES = "U+0020-007E,U+00B1,U+00B7,U+00D7,U+0391-03D6,U+2190-2193,U+2202-22FF,U+2217"
COMMON_HANZI = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都同"
    "现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由问很最"
    "重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真论处走义各"
    "入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五"
    "基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识候带导争运图表目录"
    "摘要参考文献页章节司专票印")
KANA = "".join(map(chr, range(0x3041, 0x3097))) + "".join(map(chr, range(0x30A1, 0x30FB))) + "ー"
MARKS = "，。、；：！？《》（）「」・"


def unpack(work):
    folder = os.path.join(work, "deb", "layout")
    os.makedirs(folder, exist_ok=True)
    have = {os.path.basename(p).split("_")[0] for p in glob.glob(folder + "/*.deb")}
    for name in PACKAGES:
        if name not in have:
            subprocess.run(["apt-get", "download", "-q", name], cwd=folder, check=True)
    for deb in glob.glob(folder + "/*.deb"):
        subprocess.run(["dpkg", "-x", deb, folder + "/x"], check=True)
    return {os.path.basename(p): p for p in glob.glob(folder + "/x/**/*.[to]t[fc]", recursive=True)}


def cut_to(path, text="", ranges=""):
    """A face reduced to the outlines of `text` and `ranges`, as bytes."""
    font = TTFont(path, fontNumber=0)
    options = subset.Options(layout_features=[], hinting=False, notdef_outline=True)
    options.drop_tables += ["GSUB", "GPOS", "GDEF", "kern", "MATH", "DSIG", "FFTM", "vhea", "vmtx", "EBDT", "EBLC", "BASE"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text=text, unicodes=subset.parse_unicodes(ranges))
    subsetter.subset(font)
    out = io.BytesIO()
    font.save(out)
    return out.getvalue()


def has_serifs(path):
    """A serif makes the foot of an l wider than its stem."""
    mask = ImageFont.truetype(path, 96).getmask("l")
    width, height = mask.size
    rows = [sum(1 for x in range(width) if mask.getpixel((x, y)) > 127) for y in (height // 2, height - 3)]
    return rows[1] > 1.5 * rows[0]


def style_of(path):
    name = os.path.basename(path).lower()
    slanted = any(word in name for word in ("italic", "oblique", "-it", "_ri")) or name.endswith("i.ttf") and style_rank(path) == 2
    bold = "bold" in name or "-bd" in name or name.endswith("b.ttf")
    return "bold italic" if bold and slanted else "bold" if bold else "italic" if slanted else "regular"


def families(work, group):
    """name -> {kind, faces: style -> path}; only families that have an upright regular face."""
    facts = json.load(open(f"{work}/data/fonts.json"))
    found = {}
    if group == "train":
        for name, (kind, files) in SETS.items():
            found[name] = {"kind": kind, "faces": dict(zip(("regular", "bold", "italic"), (f"{work}/data/fonts/train/{file}.ttf" for file in files.split())))}
    for name, fact in facts.items():
        path = f"{work}/data/fonts/{name}"
        key = family_key(path) or os.path.basename(path)[:6].lower()
        if ("test" if key in RESERVED else name.split("/")[0]) != group:
            continue
        family = found.setdefault(key, {"kind": None, "faces": {}})
        family["faces"].setdefault(style_of(path), path)
        if family["kind"] is None:
            family["kind"] = "mono" if fact["mono"] else "serif" if has_serifs(path) else "sans"
    return {name: family for name, family in found.items() if "regular" in family["faces"]}


def pick(found, rng, count):
    """What LaTeX and common programs set first, then families that have a bold face: headings need one."""
    names = sorted(found)
    rng.shuffle(names)
    names.sort(key=lambda name: (name not in SETS, not name.startswith(WANTED), "bold" not in found[name]["faces"]))
    mono = [n for n in names if found[n]["kind"] == "mono"][:count // 6]
    return mono + [n for n in names if found[n]["kind"] != "mono"][:count - len(mono)]


def sample_pieces(path, rng, limit):
    pieces = open(path, encoding="utf-8").read().split("\0")
    rng.shuffle(pieces)
    kept, size = [], 0
    for piece in pieces:
        kept.append(piece)
        size += len(piece.encode())
        if size > limit:
            break
    return "\0".join(kept)


def main():
    work, out = map(os.path.abspath, sys.argv[1:3])
    other, rng = unpack(work), random.Random(5)
    for group in ("train", "test"):
        folder = os.path.join(out, group)
        os.makedirs(folder, exist_ok=True)
        table = {}

        def put(family, kind, style, data):
            name = f"{family}-{style.replace(' ', '')}.ttf"
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
            table.setdefault(family, {"kind": kind, "faces": {}})["faces"][style] = name

        found = families(work, group)
        for name in pick(found, rng, FAMILIES):
            for style in ("regular", "bold", "italic"):
                if style in found[name]["faces"]:
                    put(name, found[name]["kind"], style, open(found[name]["faces"][style], "rb").read())
        for name in HANZI[group]:
            ascii_and_marks = "".join(map(chr, range(32, 127))) + MARKS
            put(name[:-4], "hanzi", "regular", cut_to(other[name], COMMON_HANZI + KANA + ascii_and_marks))
        if group == "train":
            for name in HANDWRITTEN:
                put(name[:-4].lower(), "hand", "regular", cut_down(other[name]))
        json.dump(table, open(os.path.join(folder, "families.json"), "w"), indent=0)
        for kind, limit in (("prose", PROSE_BYTES), ("code", CODE_BYTES)):
            with open(os.path.join(folder, kind + ".txt"), "w", encoding="utf-8") as file:
                file.write(sample_pieces(f"{work}/data/{kind}.{group}.txt", rng, limit))
        kinds = [family["kind"] for family in table.values()]
        print(group, {kind: kinds.count(kind) for kind in sorted(set(kinds))})
    with open(out + "/asian.txt", "w", encoding="utf-8") as file:
        file.write(COMMON_HANZI + "\n" + KANA)
    os.makedirs(out + "/maths", exist_ok=True)
    for name in MATHS:
        with open(f"{out}/maths/{name[:-4]}.ttf", "wb") as file:
            file.write(cut_to(other[name], ranges=MATHS_RANGES))


if __name__ == "__main__":
    main()
