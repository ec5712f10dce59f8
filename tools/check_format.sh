#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks that the C++ code is formatted as .clang-format says. `tools/check_format.sh --fix` formats it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

mode=(--dry-run -Werror)
[ "${1:-}" = --fix ] && mode=(-i)
find src include tests bench \( -name '*.h' -o -name '*.cc' -o -name '*.cu' -o -name '*.cuh' \) -print0 |
  xargs -0 --max-procs "$(nproc)" --max-args 16 clang-format "${mode[@]}"
