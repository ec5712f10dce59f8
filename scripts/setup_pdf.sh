#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Puts a renderer of PDF files where the build finds it: build/pdfium/libpdfium.so with its licences, from the Python
# package that scripts/pdfium.txt names by version and hash. Where pip cannot get it, poppler-utils is installed instead.
# Without either everything is built and tested except what needs PDF files, so this script never fails.
# After a failure it tries again on the next day, or when build/pdfium is removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build/pdfium
failed=$folder/failed
[ ! -f $folder/libpdfium.so ] && [ -z "${GLMOCR_PDFIUM+set}" ] || exit 0
[ -z "$(find $failed -mtime -1 2>/dev/null)" ] || exit 0
mkdir -p $folder

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fetch_pdfium() {
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip || return 1
  python3 -m pip download --quiet --disable-pip-version-check --no-input --retries 1 --timeout 15 --no-deps \
    --only-binary :all: --require-hashes --requirement scripts/pdfium.txt --dest "$work" || return 1
  python3 - "$work" $folder <<'END'
import glob, os, sys, zipfile
work, folder = sys.argv[1:]
with zipfile.ZipFile(glob.glob(work + "/*.whl")[0]) as wheel:
    for name in wheel.namelist():
        if "licenses/" in name and not name.endswith("/"):
            target = os.path.join(folder, "licenses", name.split("licenses/", 1)[1])
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as out:
                out.write(wheel.read(name))
    library = wheel.read("pypdfium2_raw/libpdfium.so")
with open(folder + "/libpdfium.so.part", "wb") as out:
    out.write(library)
os.replace(folder + "/libpdfium.so.part", folder + "/libpdfium.so")
END
}

apt_install() {
  local as_root=()
  [ "$(id -u)" -eq 0 ] || as_root=(sudo --non-interactive)
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@"
}

echo "setup: getting PDFium" >&2
if fetch_pdfium >"$work/log" 2>&1; then
  rm -f $failed
  exit 0
fi
cp "$work/log" $failed
if command -v pdftoppm >/dev/null || apt_install poppler-utils >>$failed 2>&1; then
  echo "setup: PDFium cannot be had ($failed says why); PDF files are rendered by poppler, at a tenth of the speed" >&2
else
  echo "setup: neither PDFium nor poppler-utils can be had ($failed says why): PDF files cannot be read for now" >&2
fi
