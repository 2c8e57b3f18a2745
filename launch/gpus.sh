#!/usr/bin/env bash
# Train on the GPUs of this host; start again after a preemption.
set -euo pipefail

usage() {
    cat <<'END'
launch/gpus.sh [--dry-run] --config=RECIPE --workdir=DIR [--config.KEY=VALUE ...]

Runs `fetal-jax train` with these arguments as one process on all GPUs of this host (CUDA_VISIBLE_DEVICES picks some),
and starts it again whenever it ends with exit code 75: told to stop, checkpoint saved. With any other code it is over,
and that code is this script's. SIGTERM and Ctrl-C are passed on, and nothing is started again: the same command goes
on later.

Needs: pip install '.[cuda]'
END
}

[[ ${1-} == --help || ${1-} == -h ]] && { usage; exit; }
dry=
[[ ${1-} == --dry-run ]] && { dry=1; shift; }
[[ $# -gt 0 ]] || { usage >&2; exit 2; }

export JAX_PLATFORMS=${JAX_PLATFORMS:-cuda} # without a GPU JAX would train on the processor, without a word
if [[ $dry ]]; then
    printf '+ JAX_PLATFORMS=%q fetal-jax train' "$JAX_PLATFORMS"
    printf ' %q' "$@"
    printf '\n# exit code 75: the same again; any other: the end\n'
    exit
fi

child='' told=''
trap 'told=1; kill -TERM "$child" 2>/dev/null || true' TERM INT
while true; do
    fetal-jax train "$@" &
    child=$!
    code=0
    wait "$child" || code=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ended the wait, not the child
        code=0
        wait "$child" || code=$?
    done
    [[ $code == 75 && -z $told ]] || exit "$code"
    echo 'launch/gpus.sh: stopped with a checkpoint (exit code 75), starting again' >&2
done
