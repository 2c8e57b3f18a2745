#!/usr/bin/env bash
# What a worker runs when it is about to be taken away: let the run save a checkpoint, for as long as there is time.
pid=$(cat "${FETAL_HOME:-/opt/fetal_jax}/pid") || exit 0
kill -TERM "$pid" && tail --pid="$pid" -f /dev/null
