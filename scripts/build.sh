# SPDX-License-Identifier: Apache-2.0
# Sourced by the other scripts, from the root of the repository.

# configure DIR [CMAKE ARGUMENTS…]: quiet unless it fails. ccache is used where it is installed.
configure() {
  local dir=$1 launcher=() log
  shift
  mkdir -p "$dir"
  log=$dir/configure.log
  command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DCMAKE_CUDA_COMPILER_LAUNCHER=ccache)
  echo "build: configuring $dir" >&2
  cmake -S . -B "$dir" -G Ninja -DGLMOCR_WERROR=ON "${launcher[@]}" "$@" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
}

# compile DIR [TARGET…]: progress on a terminal, else only the output of a failure.
compile() {
  local dir=$1 log targets=()
  shift
  [ $# -eq 0 ] || targets=(--target "$@")
  log=$dir/build.log
  echo "build: compiling $dir, $(build_jobs) at a time" >&2
  if [ -t 2 ]; then
    cmake --build "$dir" --parallel "$(build_jobs)" "${targets[@]}" >&2
  else
    cmake --build "$dir" --parallel "$(build_jobs)" "${targets[@]}" >"$log" 2>&1 || { cat "$log" >&2; return 1; }
  fi
}

# One compiler per processor, but no more than fit into the available memory at 1 GiB each.
build_jobs() {
  local cpus memory
  cpus=$(nproc)
  memory=$(awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo)
  [ "${memory:-1}" -ge 1 ] || memory=1
  echo $((cpus < memory ? cpus : memory))
}

# run_ctest DIR [CTEST ARGUMENTS…]: one line per test, the output of those that fail, and a summary.
run_ctest() {
  local dir=$1
  shift
  echo "test: $dir" >&2
  ctest --test-dir "$dir" --parallel "$(nproc)" --output-on-failure --no-tests=error "$@"
}
