#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian 12 packages that build and test this project, and a renderer of PDF files. Silent, quick and offline
# when everything is installed.
#   scripts/setup.sh            what the program and its tests need
#   scripts/setup.sh --checks   and what the format and lint checks and the fuzzers need
#   scripts/setup.sh --cuda     and the CUDA compiler, which is not Debian's: installed where apt knows it, else explained
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

packages=(
  g++ cmake ninja-build pkg-config git python3
  libdnnl-dev                                                                    # dense products on the CPU
  libjpeg62-turbo-dev libpng-dev libwebp-dev libtiff-dev libgif-dev              # pictures
  libpcre2-dev nlohmann-json3-dev libcli11-dev                                   # tokenizer, JSON, command line
  libgtest-dev libgmock-dev                                                      # tests
)
case "${1:-}" in
  "") ;;
  --checks) packages+=(clang-format clang-tidy clang libclang-rt-14-dev) ;;
  --cuda)
    # Debian 12's own nvidia-cuda-toolkit is 11.8, which does not take C++20.
    cuda=(cuda-nvcc-13-0 cuda-cudart-dev-13-0)
    if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then
      echo "setup: nvcc is installed" >&2
    elif apt-cache show "${cuda[@]}" >/dev/null 2>&1; then
      packages+=("${cuda[@]}")
    else
      echo "setup: nvcc 12.8 or later is needed. Add NVIDIA's package source for Debian 12, as the download page of the" \
           "CUDA toolkit describes, run apt-get update, and this script again; it installs ${cuda[*]}." >&2
      exit 1
    fi
    ;;
  *) echo "usage: scripts/setup.sh [--checks | --cuda]" >&2; exit 2 ;;
esac

is_installed() { [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

command -v dpkg-query >/dev/null || {
  echo "setup: this is not a Debian system; please install the equivalents of: ${packages[*]}" >&2
  exit 1
}

# install PACKAGE…: what of these is missing. Downloads package lists only where those at hand are not enough; a fresh
# machine has none.
install() {
  local missing=() package as_root=() log code=0
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: run as root: apt-get install ${missing[*]}" >&2; return 1; }
    as_root=(sudo)
  fi
  echo "setup: installing ${missing[*]}" >&2
  log=$(mktemp)
  local get=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  local install=("${get[@]}" install --yes --no-install-recommends "${missing[@]}")
  "${install[@]}" >"$log" 2>&1 || { "${get[@]}" update && "${install[@]}"; } >"$log" 2>&1 || code=1
  [ $code -eq 0 ] || { cat "$log" >&2; echo "setup: could not install ${missing[*]}" >&2; }
  rm -f "$log"
  return $code
}

install "${packages[@]}"
bash scripts/setup_pdf.sh
