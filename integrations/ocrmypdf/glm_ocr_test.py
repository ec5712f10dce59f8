# SPDX-License-Identifier: Apache-2.0
"""What the plugin makes of the program's exit code. Needs neither OCRmyPDF nor glm-ocr: both are stood in for.

python3 integrations/ocrmypdf/glm_ocr_test.py
"""

import os
import sys
import tempfile
import types
import unittest
from pathlib import Path


class Failed(Exception):
    pass


def module(name, **members):
    made = types.ModuleType(name)
    vars(made).update(members)
    sys.modules[name] = made


module("ocrmypdf", hookimpl=lambda function: function)
module("ocrmypdf.exceptions", MissingDependencyError=type("Missing", (Exception,), {}), SubprocessOutputError=Failed)
module("ocrmypdf.pluginspec", OcrEngine=object, OrientationConfidence=object)
sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
import glm_ocr  # noqa: E402

# Writes the outputs named in WRITES as `glm-ocr parse --output DIR FILE` does and ends with the code EXIT.
PROGRAM = """#!/bin/sh
while [ $# -gt 2 ]; do shift; done
for format in $WRITES; do echo "as $format" >"$1/$(basename "$2").$format"; done
echo "page.png: the time limit has passed" >&2
exit "$EXIT"
"""


class GenerateHocr(unittest.TestCase):
    def generate(self, code, writes="hocr txt"):
        with tempfile.TemporaryDirectory() as folder:
            program = Path(folder) / "program"
            program.write_text(PROGRAM)
            program.chmod(0o755)
            os.environ.update(GLMOCR=str(program), GLMOCR_OPTIONS="", EXIT=str(code), WRITES=writes)
            hocr, text = Path(folder) / "out.hocr", Path(folder) / "out.txt"
            glm_ocr.GlmOcrEngine.generate_hocr(Path(folder) / "page.png", hocr, text, types.SimpleNamespace(jobs=1))
            return hocr.read_text(), text.read_text()

    def test_takes_both_files(self):
        with self.assertNoLogs(glm_ocr.log):
            self.assertEqual(self.generate(0), ("as hocr\n", "as txt\n"))

    def test_warns_of_a_part_that_failed_and_keeps_the_page(self):
        with self.assertLogs(glm_ocr.log, "WARNING") as logs:
            self.assertEqual(self.generate(1), ("as hocr\n", "as txt\n"))
        self.assertEqual([record.getMessage() for record in logs.records], ["page.png: the time limit has passed"])

    def test_fails_where_a_file_is_missing(self):
        with self.assertRaisesRegex(Failed, "time limit"):
            self.generate(1, writes="hocr")

    def test_fails_for_any_other_code(self):
        for code in (2, 3, 4, 70):
            with self.assertRaisesRegex(Failed, "time limit"):
                self.generate(code)


if __name__ == "__main__":
    unittest.main()
