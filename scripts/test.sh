#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing, builds everything and runs the tests. Needs nothing outside the repository.
#   scripts/test.sh              the release build, all tests
#   scripts/test.sh --sanitize   the library under AddressSanitizer and UndefinedBehaviorSanitizer, without the label "slow"
#   scripts/test.sh --threads    under ThreadSanitizer, the label "threads"
#   scripts/test.sh --fuzz [S]   each fuzzer of tests/fuzz for S seconds (10)
#   scripts/test.sh --long       what takes long: 60 seconds per fuzzer, 10,000 requests, kill -9 at 50 moments,
#                                a document of 1,000 pages
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

source scripts/build.sh
source scripts/fuzz.sh
# Where there is nvcc, the device cuda:N is built for one kind of card: that of this machine, or sm_90a.
build=build/release options=(-DCMAKE_BUILD_TYPE=Release -DGLMOCR_CUDA_ARCHITECTURES=native) targets=() selection=()
case "${1:-}" in
  "") ;;
  --sanitize) build=build/asan options=(--preset asan) selection=(--label-exclude slow) ;;
  --threads) build=build/tsan options=(--preset tsan) targets=(thread_tests) selection=(--label-regex threads) ;;
  --fuzz) fuzz_all "${2:-10}"; exit ;;
  --long)
    fuzz_all 60
    export GLMOCR_SOAK_REQUESTS=10000 GLMOCR_KILLS=50 GLMOCR_PAGES=1000
    targets=(soak_test integration_test)
    selection=(--tests-regex 'Soak|KillNine|MemoryDoesNotGrow' --timeout 3600)
    ;;
  *) echo "usage: scripts/test.sh [--sanitize | --threads | --fuzz [SECONDS] | --long]" >&2; exit 2 ;;
esac

bash scripts/setup.sh
configure "$build" "${options[@]}"
compile "$build" "${targets[@]}"
run_ctest "$build" "${selection[@]}"
