#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes src/formats/unicode_tables.inc: the characters for which Python 3.11's str.isspace, isdecimal, isalnum, islower
and isupper are true, and those of East Asian width W or F, as ranges of code points. It needs Python 3.11, whose
tables are those of Unicode 14."""
import pathlib
import sys
import unicodedata

CLASSES = {
    "kSpace": str.isspace,
    "kDecimal": str.isdecimal,
    "kAlnum": str.isalnum,
    "kLower": str.islower,
    "kUpper": str.isupper,
    "kWide": lambda c: unicodedata.category(c) != "Cn" and unicodedata.east_asian_width(c) in "WF",
}
OUTPUT = pathlib.Path(__file__).resolve().parent.parent / "src" / "formats" / "unicode_tables.inc"


def ranges(contains):
    found, first = [], None
    for code in range(0x110001):
        inside = code < 0x110000 and contains(chr(code))
        if inside and first is None:
            first = code
        if not inside and first is not None:
            found.append((first, code - 1))
            first = None
    return found


def main():
    if unicodedata.unidata_version != "14.0.0":
        sys.exit("Unicode %s instead of 14.0.0: run it with Python 3.11" % unicodedata.unidata_version)
    lines = ["// SPDX-License-Identifier: Apache-2.0", "// Written by tools/make_unicode_tables.py.", "// clang-format off"]
    for name, contains in CLASSES.items():
        lines.append("constexpr Range %s[] = {" % name)
        cells = ["{0x%X,0x%X}" % pair for pair in ranges(contains)]
        lines += ["  " + ",".join(cells[i : i + 7]) + "," for i in range(0, len(cells), 7)]
        lines.append("};")
    OUTPUT.write_text("\n".join(lines + ["// clang-format on", ""]))


if __name__ == "__main__":
    main()
