#!/usr/bin/env bash
# Measure an archive on Google Cloud Dataflow.
set -euo pipefail
# shellcheck source=launch/words.sh
source "$(dirname "$0")/words.sh"

usage() {
    cat <<'END'
launch/dataflow.sh --project=PROJECT --region=REGION --image=IMAGE --temp=gs://BUCKET/FOLDER [OPTIONS] -- PATTERN... --out=gs://... [MEASURING OPTIONS]

Runs `fetal-jax archive --runner=dataflow` with the arguments after `--`, and waits for the pipeline's end. Called again
after a failure it measures what is missing. Its exit code is this script's: 3 means that some files could not be read.

  --image=IMAGE        built from launch/Dockerfile.beam
  --workers=N          at most; default 100
  --machine=TYPE       default n2-standard-2; one process a core, about 1 GB each
  --spot               take what is left over in the region, cheaper and slower to come
  --dry-run            print what would be done

Needs: pip install '.[beam]' 'apache-beam[gcp]', and credentials of Google Cloud. An identifier's hash needs one key on all
machines: it lies beside the results (identifiers.key), or is set in the image (FETAL_JAX_KEY).
END
}

[[ $# -gt 0 ]] || { usage >&2; exit 2; }
project='' region='' image='' temp='' workers=100 machine=n2-standard-2 spot=() dry=''
join "$@"
set -- "${joined[@]}"
while [[ $# -gt 0 ]]; do
    case $1 in
        --project=*) project=${1#*=} ;;
        --region=*) region=${1#*=} ;;
        --image=*) image=${1#*=} ;;
        --temp=*) temp=${1#*=} ;;
        --workers=*) workers=${1#*=} ;;
        --machine=*) machine=${1#*=} ;;
        --spot) spot=(--flexrs_goal=COST_OPTIMIZED) ;;
        --dry-run) dry=1 ;;
        --help | -h) usage; exit ;;
        --) shift; break ;;
        *) unknown "$1" ;;
    esac
    shift
done
need --project=PROJECT "$project"
need --region=REGION "$region"
need --image=IMAGE "$image"
[[ $temp == gs://* ]] || refuse "--temp=$temp: give gs://BUCKET/FOLDER"
out='' patterns=()
for argument in "$@"; do
    case $argument in
        --out=*) out=${argument#*=} ;;
        -*) ;;
        *://*) patterns+=("$argument") ;;
        *) refuse "$argument: give gs://BUCKET/FOLDER: the workers have nothing but the bucket" ;;
    esac
done
[[ ${#patterns[@]} -gt 0 ]] || refuse 'give a PATTERN of the frames after --'
[[ $out == gs://?* ]] || refuse "--out=$out: give gs://BUCKET/FOLDER after --: the disk of a worker is lost with it"

# one thread a process: each thread would open a network of its own
call=(fetal-jax archive "$@" --runner=dataflow --
    --project="$project" --region="$region" --temp_location="$temp" --sdk_container_image="$image"
    --machine_type="$machine" --max_num_workers="$workers" --number_of_worker_harness_threads=1 "${spot[@]}")
if [[ $dry ]]; then
    printf '+'
    printf ' %q' "${call[@]}"
    echo
    exit
fi
exec "${call[@]}"
