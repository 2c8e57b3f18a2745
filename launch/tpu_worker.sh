#!/usr/bin/env bash
# What every worker of a Cloud TPU slice runs at boot, as root.
set -euo pipefail

usage() {
    cat <<'END'
launch/tpu_worker.sh gs://BUCKET/RUN --config=RECIPE [--config.KEY=VALUE ...]

For a worker of a Cloud TPU slice, at boot and as root: installs the code of gs://BUCKET/RUN/code.tar.gz, trains, and
leaves log and exit code on the bucket. launch/cloud_tpu.sh sends it there; do not run it by hand.
END
}

[[ ${1-} == --help || ${1-} == -h ]] && { usage; exit; }
[[ ${1-} == gs://* ]] || { usage >&2; exit 2; }

run=$1
shift
home=${FETAL_HOME:-/opt/fetal_jax}
attributes=http://metadata.google.internal/computeMetadata/v1/instance/attributes
mkdir -p "$home"
cd "$home"
export HOME=$home PATH=$home/.venv/bin:$home/.local/bin:$PATH

worker=$(curl -fsS --retry 10 --retry-all-errors -H 'Metadata-Flavor: Google' "$attributes/agent-worker-number")
log=worker-$worker-$(date -u +%Y%m%dT%H%M%S).log # a slice that came back has logs of its own
exec >"$log" 2>&1
keep_log() { gcloud storage cp --quiet "$log" "$run/logs/$log" || true; } >/dev/null 2>&1
while sleep 60; do keep_log; done &

three_times() { "$@" || { sleep 30 && "$@"; } || { sleep 120 && "$@"; }; } # a network may be away for a moment

ended=1 # what the launcher waits for: the exit code of the run; 1 if there was none
taken=''
tell() {
    cd "$home"
    kill %1 || true
    keep_log
    [[ $worker == 0 && ! $taken ]] || return 0
    echo "$ended" >exit_code
    three_times gcloud storage cp exit_code "$run/exit_code"
}
trap tell EXIT
trap 'taken=1; exit 143' TERM INT HUP # preempted: the run has not ended

install() { # with uv, as the image's Python may be too old for us
    gcloud storage cp "$run/code.tar.gz" . &&
        rm -rf code && mkdir code &&
        tar -xzf code.tar.gz -C code &&
        PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --quiet --user uv &&
        uv venv --quiet --clear --python=3.12 .venv &&
        uv pip install --quiet --constraint=code/constraints.txt './code[tpu,bucket,export]' # export: onnx reads a bundle to start from
}
three_times install || { echo 'launch/tpu_worker.sh: the code cannot be installed: see above'; exit 1; }

# 0: done; 1, 2: it would end the same again. 75: told to stop. What is killed or aborts has lost a peer: three times.
lost=0
cd code
while true; do
    code=0
    fetal-jax train --workdir="$run/train" "$@" &
    echo "$!" >../pid
    wait "$!" || code=$?
    echo "fetal-jax train: exit code $code"
    [[ $code == 75 ]] && continue
    [[ $code -gt 2 && $((lost += 1)) -le 3 ]] && continue
    break
done
ended=$code
