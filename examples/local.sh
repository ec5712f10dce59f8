#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Documents of a folder, divided over processes of this machine:
#   bash examples/local.sh IN OUT PARTS [OPTIONS OF parse]
# Fails if a part does.
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: local.sh IN OUT PARTS [OPTIONS]" >&2; exit 2; }
in=$1 out=$2 parts=$3
shift 3
pids=() status=0
for ((part = 0; part < parts; part++)); do
  "${GLMOCR:-glm-ocr}" parse "$in" -o "$out" --resume --shard "$part/$parts" "$@" &
  pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid" || status=$?; done
exit "$status"
