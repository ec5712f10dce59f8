#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Documents of a folder, divided over the tasks of a job array:
#   sbatch --array=0-7 examples/slurm.sh IN OUT [OPTIONS OF parse]
# A task that Slurm requeues goes on where it was stopped.
#SBATCH --job-name=glm-ocr
#SBATCH --cpus-per-task=8
#SBATCH --mem=8G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=B:INT@60
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: sbatch --array=0-N slurm.sh IN OUT [OPTIONS]" >&2; exit 2; }
in=$1 out=$2
shift 2
part=$((SLURM_ARRAY_TASK_ID - ${SLURM_ARRAY_TASK_MIN:-0}))
exec "${GLMOCR:-glm-ocr}" parse "$in" -o "$out" --resume --shard "$part/$SLURM_ARRAY_TASK_COUNT" \
  --threads "${SLURM_CPUS_PER_TASK:-1}" "$@"
