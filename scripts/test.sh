#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything and runs all tests. Needs nothing outside the repository.
#   scripts/test.sh              the release build
#   scripts/test.sh --sanitize   under AddressSanitizer and UndefinedBehaviorSanitizer instead
#   scripts/test.sh --long       and the tests that take minutes (label "long")
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

long=false
build=build/release
options=(-DCMAKE_BUILD_TYPE=Release)
for argument in "$@"; do
  case "$argument" in
    --long) long=true ;;
    --sanitize)
      build=build/asan
      options=(--preset asan)
      ;;
    *) echo "usage: scripts/test.sh [--long] [--sanitize]" >&2; exit 2 ;;
  esac
done

bash scripts/setup.sh
source scripts/build.sh
configure "$build" "${options[@]}"
compile "$build"
selection=()
$long || selection=(--label-exclude long)
run_ctest "$build" "${selection[@]}"
