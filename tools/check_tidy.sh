#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy (.clang-tidy) on the sources that changed since this branch left `main`, or, on main itself, since the
# last commit; uncommitted changes are included. For a changed header, the source of the same name is checked.
#   tools/check_tidy.sh [--all | FILE…]        needs a configured build folder: build/release or $GLMOCR_BUILD
# GLMOCR_TIDY_MOST=N checks at most N of them, spread over the list, and says how many it left out: a file takes about
# ten seconds, and a change to everything must not take CI an hour.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build=${GLMOCR_BUILD:-build/release}
[ -f "$build/compile_commands.json" ] || { echo "check_tidy: configure $build first" >&2; exit 2; }

changed_files() {
  local base
  base=$(git merge-base HEAD origin/main 2>/dev/null || true)
  if [ -z "$base" ] || [ "$base" = "$(git rev-parse HEAD)" ]; then
    base=$(git rev-parse --quiet --verify HEAD~1) || { git ls-files; return; }
  fi
  git diff --name-only --diff-filter=d "$base"
  git ls-files --others --exclude-standard
}

case "${1:-}" in
  --all) files=$(find src -name '*.cc') ;;
  "") files=$(changed_files) ;;
  *) files=$(printf '%s\n' "$@") ;;
esac
sources=$(sed -n 's/\.h$/.cc/; /^src\/.*\.cc$/p' <<<"$files" | sort -u |
  while read -r file; do [ ! -f "$file" ] || echo "$file"; done)
# Sources compiled for one instruction set each are intrinsics and little else.
sources=$(grep -v '^src/kernels/cpu/simd_' <<<"$sources" || true)
# Without nvcc there are no headers of CUDA.
grep -q 'kernels/cuda/cuda_device\.cc' "$build/compile_commands.json" ||
  sources=$(grep -v '^src/kernels/cuda/' <<<"$sources" || true)
[ -n "$sources" ] || { echo "check_tidy: nothing changed" >&2; exit 0; }
count=$(wc -l <<<"$sources")
most=${GLMOCR_TIDY_MOST:-$count}
if [ "$count" -gt "$most" ]; then
  sources=$(awk -v n="$count" -v m="$most" 'int(NR * m / n) > int((NR - 1) * m / n)' <<<"$sources")
  echo "check_tidy: $((count - most)) of $count changed files are left out (tools/check_tidy.sh looks at all)" >&2
fi
echo "check_tidy: $(wc -l <<<"$sources") files" >&2
xargs --max-procs "$(nproc)" --max-args 1 clang-tidy --quiet -p "$build" <<<"$sources" 2> >(grep -v 'warnings generated' >&2)
