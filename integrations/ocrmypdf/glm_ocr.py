# SPDX-License-Identifier: Apache-2.0
"""Reads the pages of OCRmyPDF by glm-ocr in the place of Tesseract: ocrmypdf --plugin glm_ocr.py IN.pdf OUT.pdf

GLMOCR: the program, if it is not in PATH. GLMOCR_OPTIONS: more options of `glm-ocr parse`, as in a shell.
"""

import logging
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from ocrmypdf import hookimpl
from ocrmypdf.exceptions import MissingDependencyError, SubprocessOutputError
from ocrmypdf.pluginspec import OcrEngine, OrientationConfidence


log = logging.getLogger(__name__)
SOME_FAILED = 1  # exit code: a region could not be read, or was cut by a limit; the rest is written


def program():
    return os.environ.get("GLMOCR", "glm-ocr")


def run(arguments, outputs=()):
    """What the program prints. Where it has written all `outputs`, a part that failed is a warning."""
    try:
        ended = subprocess.run([program(), *arguments], capture_output=True, text=True)
    except FileNotFoundError as error:
        raise MissingDependencyError(f"{program()}: is not there; set GLMOCR to the program glm-ocr") from error
    message = ended.stderr.strip()
    if ended.returncode == SOME_FAILED and outputs and all(Path(output).exists() for output in outputs):
        log.warning(message)
    elif ended.returncode != 0:
        raise SubprocessOutputError(message)
    return ended.stdout


def threads(options):
    """OCRmyPDF reads several pages at once: the processors are divided among them."""
    jobs = getattr(options, "jobs", None) or os.cpu_count() or 1
    return max(1, (os.cpu_count() or 1) // jobs)


class GlmOcrEngine(OcrEngine):
    @staticmethod
    def version():
        return run(["--version"]).split()[-1]

    @staticmethod
    def creator_tag(options):
        return f"glm-ocr {GlmOcrEngine.version()}"

    def __str__(self):
        return f"glm-ocr {GlmOcrEngine.version()}"

    @staticmethod
    def languages(options):
        """Whatever was asked for: the model has no option for languages."""
        asked = getattr(options, "languages", None) or getattr(options, "language", None) or []
        return {"eng", *asked}

    @staticmethod
    def get_orientation(input_file, options):
        return OrientationConfidence(angle=0, confidence=0.0)

    @staticmethod
    def generate_hocr(input_file, output_hocr, output_text, options):
        # --no-turn: places are those of the picture as it is.
        with tempfile.TemporaryDirectory() as folder:
            written = Path(folder) / Path(input_file).name
            hocr, text = Path(f"{written}.hocr"), Path(f"{written}.txt")
            run(["parse", "-q", "--no-turn", "--format", "hocr,txt", "--threads", str(threads(options)),
                 *shlex.split(os.environ.get("GLMOCR_OPTIONS", "")), "--output", folder, str(input_file)],
                outputs=(hocr, text))
            Path(output_hocr).write_bytes(hocr.read_bytes())
            Path(output_text).write_bytes(text.read_bytes())

    @staticmethod
    def generate_pdf(input_file, output_pdf, output_text, options):
        raise NotImplementedError("glm-ocr gives hOCR: use another --pdf-renderer than sandwich")


@hookimpl
def get_ocr_engine():
    return GlmOcrEngine()
