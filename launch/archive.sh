#!/usr/bin/env bash
# Measure an archive on Kubernetes, with all cores of one machine: fill launch/archive.yaml in and apply it.
set -euo pipefail
# shellcheck source=launch/kubernetes.sh
source "$(dirname "$0")/kubernetes.sh"

usage() {
    cat <<'END'
launch/archive.sh --name=NAME --image=IMAGE [OPTIONS] -- PATTERN... --out=DIR [MEASURING OPTIONS]

Fills launch/archive.yaml in and applies it: `fetal-jax archive` with the arguments after `--`, as a Job of one pod that
is started again where it stopped when it is evicted. Files that cannot be read are among the dead letters and do not make
the Job fail. Kubernetes does nothing for a Job that is finished: `kubectl delete job NAME` before the same call again, or
give another --name.

  --image=IMAGE            target worker of launch/Dockerfile.cpu
  --cores=N                and as many processes, 1 GB each; default 32
  --volume=CLAIM           persistent volume claim, mounted at /data; without one, patterns and --out are gs://...
                           The pod runs as user 1000, who must be able to read the frames and to write into --out
  --service-account=NAME   that may read and write the buckets; default `default`
  --dry-run                print the filled file and the command

Needs: kubectl.
END
}

[[ $# -gt 0 ]] || { usage >&2; exit 2; }
name='' image='' cores=32 volume='' account=default dry=''
join "$@"
set -- "${joined[@]}"
while [[ $# -gt 0 ]]; do
    case $1 in
        --name=*) name=${1#*=} ;;
        --image=*) image=${1#*=} ;;
        --cores=*) cores=${1#*=} ;;
        --volume=*) volume=${1#*=} ;;
        --service-account=*) account=${1#*=} ;;
        --dry-run) dry=1 ;;
        --help | -h) usage; exit ;;
        --) shift; break ;;
        *) unknown "$1" ;;
    esac
    shift
done
need --name=NAME "$name"
need --image=IMAGE "$image"
[[ $cores =~ ^[1-9][0-9]*$ ]] || refuse "--cores=$cores: give a whole number from 1 up"
check_name "$name" 63
check_account "$account"
[[ ! $volume ]] || check_claim "$volume"

out='' patterns=()
for argument in "$@"; do
    case $argument in
        --out=*) out=${argument#*=} ;;
        --workers=*) refuse "$argument after --: leave it out, as many as --cores work" ;;
        -*) ;;
        *) patterns+=("$argument") ;;
    esac
done
for pattern in "${patterns[@]}"; do
    [[ $pattern == *://* || ($pattern =~ ^/data(/|$) && $volume) ]] ||
        refuse "$pattern is not on the pod: give gs://BUCKET/FOLDER, or /data/FOLDER with --volume=CLAIM"
done
[[ ${#patterns[@]} -gt 0 ]] || refuse 'give a PATTERN of the frames after --'
need '--out=gs://BUCKET/FOLDER, or --out=/data/FOLDER with --volume, after --' "$out"
case $out in
    gs://* | s3://*) ;;
    */../* | */..) refuse "--out=$out leads out of its folder: give gs://BUCKET/FOLDER, or /data/FOLDER with --volume=CLAIM" ;;
    /data/?*) [[ $volume ]] || refuse "--out=$out is lost with the pod: give --volume=CLAIM, which is mounted at /data" ;;
    *) refuse "--out=$out: give gs://BUCKET/FOLDER, or /data/FOLDER with --volume=CLAIM: the rest is lost with the pod" ;;
esac

arguments=\"archive\"
for argument in "$@" "--workers=$cores"; do arguments+=", $(quoted "$argument")"; done
data='{emptyDir: {}, name: data}'
[[ $volume ]] && data="{persistentVolumeClaim: {claimName: $(quoted "$volume")}, name: data}"

filled=$(<"$(dirname "$0")/archive.yaml")
fill NAME "$name"
fill IMAGE "$(quoted "$image")"
fill CORES "$cores"
fill MEMORY "$((cores + 2))Gi"
fill ACCOUNT "$account"
fill DATA "$data"
fill ARGUMENTS "$arguments"

apply
