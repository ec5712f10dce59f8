#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/data/pdf/rc4.pdf and aes256.pdf: one page of text, encrypted with the passwords "reader" (of the user) and
"owner". Needs qpdf (Debian: qpdf). The tests write all other PDF files themselves (tests/support/pdf_writer.h)."""
import pathlib
import subprocess
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "data" / "pdf"
CIPHERS = {"rc4": ["128", "--use-aes=n"], "aes256": ["256"]}

OBJECTS = [
    "<</Type/Catalog/Pages 2 0 R>>",
    "<</Type/Pages/Kids[3 0 R]/Count 1>>",
    "<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
    "<</Length 42>>stream\nBT /F1 24 Tf 10 40 Td (Secret text) Tj ET  \nendstream",
    "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
]


def plain():
    text = "%PDF-1.7\n"
    places = []
    for number, body in enumerate(OBJECTS, 1):
        places.append(len(text))
        text += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(OBJECTS) + 1
    return (text + f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<</Size {size}/Root 1 0 R>>\n"
            f"startxref\n{len(text)}\n%%EOF\n")


with tempfile.TemporaryDirectory() as folder:
    source = pathlib.Path(folder) / "plain.pdf"
    source.write_text(plain())
    for name, options in CIPHERS.items():
        subprocess.run(["qpdf", "--allow-weak-crypto", "--static-id", "--encrypt", "reader", "owner", *options,
                        "--", str(source), str(FOLDER / f"{name}.pdf")], check=True)
