#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs OCRmyPDF with the plugin over a scan and looks for its words in the result. Exit code 77: what is needed is not there.
#   integrations/ocrmypdf/test.sh      OCRMYPDF and GLMOCR name the programs, if they are not in PATH and build/release/bin
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

ocrmypdf=${OCRMYPDF:-ocrmypdf}
export GLMOCR=${GLMOCR:-$PWD/build/release/bin/glm-ocr}
for tool in "$ocrmypdf" gs pdftotext "$GLMOCR"; do
  command -v "$tool" >/dev/null || { echo "test.sh: $tool is not there: skipped" >&2; exit 77; }
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Pages without text of their own: pictures of lines, on paper.
"$GLMOCR" parse --regions page --max-tokens 1 --format pdf tests/data/pictures/paragraph_448x140.png >"$folder/one.pdf" 2>/dev/null
"$ocrmypdf" --plugin integrations/ocrmypdf/glm_ocr.py --force-ocr --output-type pdf --language eng \
  --sidecar "$folder/sidecar.txt" --jobs 2 "$folder/one.pdf" "$folder/out.pdf"
"$GLMOCR" --format text tests/data/pictures/paragraph_448x140.png >"$folder/expected.txt"
pdftotext "$folder/out.pdf" "$folder/found.txt"

words() { tr -s '[:space:][:punct:]' '\n' <"$1" | grep -E '^[[:alnum:]]{3,}$' | sort -u; }
missing=$(comm -23 <(words "$folder/expected.txt") <(words "$folder/found.txt") | wc -l)
all=$(words "$folder/expected.txt" | wc -l)
echo "$((all - missing)) of $all words found"
[ "$all" -gt 5 ] && [ $((10 * missing)) -le "$all" ]
