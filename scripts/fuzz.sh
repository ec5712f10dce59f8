# SPDX-License-Identifier: Apache-2.0
# Sourced by scripts/test.sh, from the root of the repository, after scripts/build.sh.

# fuzz_all SECONDS: builds the fuzzers and runs each over its corpus, one per processor. Of those that find something the
# output is shown; the input is in build/fuzz/findings and belongs into tests/fuzz/corpus, with a repair.
fuzz_all() {
  local seconds=$1 build=build/fuzz
  bash scripts/setup.sh --checks
  configure "$build" --preset fuzz
  compile "$build" fuzzers
  python3 tests/fuzz/seeds.py "$build/seeds"
  echo "fuzz: $seconds seconds each" >&2
  find "$build/bin" -name 'fuzz_*' -printf '%f\n' | sort |
    xargs --max-procs="$(nproc)" --replace={} bash scripts/fuzz_one.sh {} "$seconds"
}
