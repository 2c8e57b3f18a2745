#!/usr/bin/env bash
#SBATCH --job-name=fetal-jax
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@300
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.log
# Train under SLURM, one task a GPU; requeued after a preemption and at the end of its time.
set -euo pipefail

usage() {
    cat <<'END'
sbatch [SBATCH OPTIONS] launch/slurm.sh --config=RECIPE --workdir=DIR [--config.KEY=VALUE ...]
launch/slurm.sh --dry-run ...

Runs `fetal-jax train` with these arguments, one task a GPU: keep --ntasks-per-node and --gpus-per-node the same (8 here,
on one node; say otherwise to sbatch). JAX finds the other tasks by itself. --workdir and --config.data.dir must be seen
by all nodes. 300 s before its time is over, or when it is preempted, the job is told to stop; it saves a checkpoint, ends
with exit code 75 and is put back into the queue. With any other code it is over.

Needs: pip install '.[cuda]' in an environment that is active when you submit.
END
}

[[ ${1-} == --help || ${1-} == -h ]] && { usage; exit; }
dry=
[[ ${1-} == --dry-run ]] && { dry=1; shift; }
[[ $# -gt 0 ]] || { usage >&2; exit 2; }

# each task sees all GPUs of its node and takes the one of its SLURM_LOCALID
step=(srun --gpu-bind=none --kill-on-bad-exit=0 --wait=300 fetal-jax train "$@")
export JAX_PLATFORMS=${JAX_PLATFORMS:-cuda} # without a GPU JAX would train on the processor, without a word
if [[ $dry ]]; then
    grep '^#SBATCH' "$0"
    printf '+ sbatch %q' "$0"
    printf ' %q' "$@"
    printf '\n# in the job:\n+ JAX_PLATFORMS=%q' "$JAX_PLATFORMS"
    printf ' %q' "${step[@]}"
    # shellcheck disable=SC2016  # the job's own number
    printf '\n# on exit code 75:\n+ scontrol requeue "$SLURM_JOB_ID"\n# any other: the end\n'
    exit
fi
trap : TERM # SLURM may tell this shell as well as the tasks: their exit code decides
[[ ${SLURM_JOB_ID-} ]] || { echo "launch/slurm.sh: submit it: sbatch $0 ..., or see --dry-run" >&2; exit 2; }

code=0
"${step[@]}" || code=$?
if [[ $code == 75 ]]; then
    echo 'launch/slurm.sh: stopped with a checkpoint (exit code 75), back into the queue' >&2
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
