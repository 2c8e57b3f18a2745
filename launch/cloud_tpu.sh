#!/usr/bin/env bash
# Train on a Cloud TPU slice: queue for it, train on all its workers, queue again when it is preempted, give it back.
set -euo pipefail
# shellcheck source=launch/words.sh
source "$(dirname "$0")/words.sh"

usage() {
    cat <<'END'
launch/cloud_tpu.sh --name=NAME --zone=ZONE --type=TYPE --run=gs://BUCKET/RUN [OPTIONS] -- --config=RECIPE [--config.KEY=VALUE ...]

Sends the committed code to the bucket, asks for a slice as a queued resource and watches over it. Every worker installs
the code at boot and runs `fetal-jax train --workdir=RUN/train` with the arguments after `--` (launch/tpu_worker.sh).
RUN/train holds checkpoints and metrics, RUN/logs what each worker printed. A slice that is preempted is deleted and asked
for again, and the run goes on from its last checkpoint. When the run is over, well or not, the slice is given back, and
its exit code is this script's; 1 too where worker 0 cannot install the code. Interrupted, this script leaves the slice to
itself: start it again to watch on.

The workers have nothing but the bucket: give what the run starts from as --config.init.sononet=gs://BUCKET/SonoNet16.npz
or --config.init.bundle=gs://BUCKET/BUNDLE, and the data as --config.data.dir=gs://BUCKET/data.

  --type=TYPE        such as v5litepod-16 (v5e 4x4) or v6e-16
  --runtime=IMAGE    of the workers; default v2-alpha-tpuv5-lite, or v2-alpha-tpuv6e where --type says v6e
  --spot             cheaper, may be preempted at any time
  --project=PROJECT  default: gcloud's
  --poll=SECONDS     between two looks; default 60
  --dry-run          print what would be done

Needs: gcloud, and a bucket in the slice's region that its service account may write to.
END
}

[[ $# -gt 0 ]] || { usage >&2; exit 2; }
name='' zone='' type='' run='' runtime='' spot=() project=() poll=60 dry=''
join "$@"
set -- "${joined[@]}"
while [[ $# -gt 0 ]]; do
    case $1 in
        --name=*) name=${1#*=} ;;
        --zone=*) zone=${1#*=} ;;
        --type=*) type=${1#*=} ;;
        --run=*) run=${1#*=} run=${run%/} ;;
        --runtime=*) runtime=${1#*=} ;;
        --spot) spot=(--spot) ;;
        --project=*) project=("$1") ;;
        --poll=*) poll=${1#*=} ;;
        --dry-run) dry=1 ;;
        --help | -h) usage; exit ;;
        --) shift; break ;;
        *) unknown "$1" ;;
    esac
    shift
done
need --name=NAME "$name"
need --zone=ZONE "$zone"
need --type=TYPE "$type"
[[ $run == gs://?* ]] || refuse "--run=$run: give gs://BUCKET/RUN"
[[ $# -gt 0 ]] || refuse 'give --config=RECIPE after --'
check_name "$name" 63
for argument in "$@"; do
    [[ $argument != --workdir?(=*) ]] || refuse "$argument after --: leave it out, the run is in --run: $run/train"
done
[[ $runtime ]] || case $type in v6e*) runtime=v2-alpha-tpuv6e ;; *) runtime=v2-alpha-tpuv5-lite ;; esac

here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
where=(--zone="$zone" "${project[@]}")
tpus=(gcloud compute tpus queued-resources)

# what a worker runs at boot: tpu_worker.sh with its arguments, and what it runs when it is about to be taken away
startup() {
    printf '#!/usr/bin/env bash\nset -- %q' "$run"
    printf ' %q' "$@"
    echo
    cat "$here/tpu_worker.sh"
}
startup "$@" >"$scratch/startup.sh"

shown() {
    printf '+' >&2
    printf ' %q' "$@" >&2
    echo >&2
    [[ $dry ]] || "$@"
}
send() {
    shown git -C "$here/.." archive --format=tar.gz --output="$scratch/code.tar.gz" HEAD
    shown gcloud storage cp "$scratch/code.tar.gz" "$run/code.tar.gz"
    shown gcloud storage rm --quiet "$run/exit_code" || true # of a run before
}
create() {
    shown "${tpus[@]}" create "$name" --node-id="$name" "${where[@]}" --accelerator-type="$type" \
        --runtime-version="$runtime" "${spot[@]}" --scopes=https://www.googleapis.com/auth/cloud-platform \
        --metadata-from-file="startup-script=$scratch/startup.sh,shutdown-script=$here/tpu_shutdown.sh"
}
# whether the slice is there; where that cannot be known, the end: code and exit code of its run may be in the bucket
there() {
    local said
    said=$(state 2>&1) && return
    [[ $said == *NOT_FOUND* ]] && return 1
    printf '%s\n' "$said" >&2
    echo "launch/cloud_tpu.sh: cannot tell whether $name is there: see above, and start this script again" >&2
    exit 1
}
state() { shown "${tpus[@]}" describe "$name" "${where[@]}" --format='value(state.state)'; }
delete() { shown "${tpus[@]}" delete "$name" "${where[@]}" --force --quiet; }
ended() { shown gcloud storage cat "$run/exit_code"; }

if [[ $dry ]]; then
    {
        state
        echo '# where it is not there yet:'
        send
        create
        echo "# every $poll s:"
        ended
        state
        echo '# SUSPENDED (preempted):'
        delete
        create
        echo '# FAILED, or exit_code is there:'
        delete
        echo '# startup.sh, run at boot by every worker:'
        cat "$scratch/startup.sh"
        echo '# tpu_shutdown.sh:'
        cat "$here/tpu_shutdown.sh"
    } 2>&1
    exit
fi

if ! there; then
    send
    create
fi
while true; do
    if code=$(ended 2>/dev/null); then
        delete
        echo "launch/cloud_tpu.sh: the run ended with exit code $code; see $run/logs" >&2
        exit "$code"
    fi
    case $(state || true) in # a look may fail: look again
        SUSPENDED)
            echo 'launch/cloud_tpu.sh: preempted, asking for another slice' >&2
            delete
            create
            ;;
        FAILED)
            "${tpus[@]}" describe "$name" "${where[@]}" >&2 || true
            delete
            echo 'launch/cloud_tpu.sh: the slice cannot be had: see above' >&2
            exit 1
            ;;
    esac
    sleep "$poll"
done
