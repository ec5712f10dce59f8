#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs one fuzzer of build/fuzz: fuzz_one.sh fuzz_NAME SECONDS. What it finds new is kept in build/fuzz/found.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=${1#fuzz_} seconds=$2 build=build/fuzz
folders=("$build/found/$name" "$build/seeds/$name" "tests/fuzz/corpus/$name")
options=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -print_final_stats=1
  -artifact_prefix="$build/findings/$name-")
case $name in
  config | tokenizer_json) options+=(-max_len=16384) ;;
  repetition) options+=(-max_len=300) ;;
  *) options+=(-max_len=8192) ;;
esac
case $name in
  safetensors | index | config | tokenizer_json) options+=(-dict=tests/fuzz/json.dict) ;;
esac
mkdir -p "$build/found/$name" "$build/findings"
[ -d "${folders[2]}" ] || unset 'folders[2]'
export ASAN_OPTIONS=quarantine_size_mb=16
if "$build/bin/fuzz_$name" "${options[@]}" "${folders[@]}" >"$build/$name.log" 2>&1; then
  printf '%-16s ok     %s inputs\n' "$name" "$(awk '/number_of_executed_units/ {print $2}' "$build/$name.log")"
else
  grep -v '^#' "$build/$name.log"
  printf '%-16s FAILED, see %s\n' "$name" "$build/findings/$name-*"
  exit 1
fi
