#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds the program and reads a sample page, and a document into Markdown, with the embedded
# models. The text goes to stdout, everything else to stderr.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

picture=${1:-tests/data/samples/demo-page.png}
build=build/release

bash scripts/setup.sh >&2
source scripts/build.sh
configure "$build" -DCMAKE_BUILD_TYPE=Release -DGLMOCR_CUDA_ARCHITECTURES=native
compile "$build" glm-ocr

echo "demo: glm-ocr $picture" >&2
"$build/bin/glm-ocr" "$picture"

document=tests/data/samples/demo-document.pdf
echo "demo: glm-ocr parse --text-layer off $document" >&2
echo
"$build/bin/glm-ocr" parse --text-layer off "$document"
