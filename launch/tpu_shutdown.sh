#!/usr/bin/env bash
# What a worker runs when it is about to be taken away.
if [[ ${1-} == --help || ${1-} == -h ]]; then
    cat <<'END'
launch/tpu_shutdown.sh

For a worker of a Cloud TPU slice that is about to be taken away: stops the run, and lets it save a checkpoint for as long
as there is time. launch/cloud_tpu.sh sends it there; do not run it by hand.
END
    exit
fi
pid=$(cat "${FETAL_HOME:-/opt/fetal_jax}/pid") || exit 0
kill -TERM "$pid" && tail --pid="$pid" -f /dev/null
