#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything and runs the tests. Needs nothing outside the repository.
#   scripts/test.sh              the release build, all tests
#   scripts/test.sh --sanitize   under AddressSanitizer and UndefinedBehaviorSanitizer, without the label "slow"
#   scripts/test.sh --threads    under ThreadSanitizer, the label "threads"
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where there is nvcc, the device cuda:N is built for one kind of card: that of this machine, or sm_90a.
build=build/release options=(-DCMAKE_BUILD_TYPE=Release -DGLMOCR_CUDA_ARCHITECTURES=native) targets=() selection=()
case "${1:-}" in
  "") ;;
  --sanitize) build=build/asan options=(--preset asan) selection=(--label-exclude slow) ;;
  --threads) build=build/tsan options=(--preset tsan) targets=(thread_tests) selection=(--label-regex threads) ;;
  *) echo "usage: scripts/test.sh [--sanitize | --threads]" >&2; exit 2 ;;
esac

bash scripts/setup.sh
source scripts/build.sh
configure "$build" "${options[@]}"
compile "$build" "${targets[@]}"
run_ctest "$build" "${selection[@]}"
