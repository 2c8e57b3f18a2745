#!/usr/bin/env bash
# Train on Kubernetes (GKE): fill launch/jobset.yaml in and apply it.
set -euo pipefail
# shellcheck source=launch/kubernetes.sh
source "$(dirname "$0")/kubernetes.sh"

usage() {
    cat <<'END'
launch/jobset.sh --name=NAME --image=IMAGE (--tpu=TYPE:TOPOLOGY | --gpus=N [--hosts=N]) [OPTIONS] -- --config=RECIPE --workdir=gs://... [--config.KEY=VALUE ...]

Fills launch/jobset.yaml in and applies it: `fetal-jax train` with the arguments after `--`, one process a host, as a
JobSet that is started again when it is preempted or loses a host, and not when the program itself gave up. Kubernetes does nothing
for a JobSet that is finished: `kubectl delete jobset NAME` before the same call again, or give another --name.

The hosts have nothing but the bucket: give what the run starts from as --config.init.sononet=gs://BUCKET/SonoNet16.npz
or --config.init.bundle=gs://BUCKET/BUNDLE, and the data as --config.data.dir=gs://BUCKET/data.

  --image=IMAGE            built from launch/Dockerfile
  --tpu=TYPE:TOPOLOGY      a slice, 4 chips a host: v5e:2x4, v5e:16x16, v6e:4x4 ...
  --gpus=N --hosts=N       GPUs a host, and hosts (default 1)
  --service-account=NAME   that may write to the bucket; default `default`
  --dry-run                print the filled file and the command

Needs: kubectl, a cluster with the JobSet controller.
END
}

[[ $# -gt 0 ]] || { usage >&2; exit 2; }
name='' image='' tpu='' gpus='' hosts='' account=default dry=''
join "$@"
set -- "${joined[@]}"
while [[ $# -gt 0 ]]; do
    case $1 in
        --name=*) name=${1#*=} ;;
        --image=*) image=${1#*=} ;;
        --tpu=*) tpu=${1#*=} ;;
        --gpus=*) gpus=${1#*=} ;;
        --hosts=*) hosts=${1#*=} ;;
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
need '--tpu=TYPE:TOPOLOGY or --gpus=N' "$tpu$gpus"
[[ ! ($tpu && $gpus) ]] || refuse "--tpu=$tpu --gpus=$gpus: give one of them"
check_name "$name" 45 # a pod is NAME-train-0-HOST-xxxxx, of at most 63 characters
check_account "$account"
run=''
for argument in "$@"; do [[ $argument != --workdir=* ]] || run=${argument#*=}; done
[[ $run == *://* ]] || refuse 'give --workdir=gs://BUCKET/RUN after --: the disk of a host is lost with it'

if [[ $tpu ]]; then
    topologies='1x1 2x2 2x4 4x4 4x8 8x8 8x16 16x16' # of v5e and of v6e
    [[ $tpu =~ ^(v5e|v6e):([0-9]+)x([0-9]+)$ && " $topologies " == *" ${tpu#*:} "* ]] ||
        refuse "--tpu=$tpu: give v5e or v6e with one of the topologies $topologies, such as v5e:4x4"
    declare -A accelerators=([v5e]="tpu-v5-lite-podslice" [v6e]="tpu-v6e-slice")
    chips=$((BASH_REMATCH[2] * BASH_REMATCH[3])) accelerator=${accelerators[${BASH_REMATCH[1]}]}
    resource=google.com/tpu count=$((chips < 4 ? chips : 4)) of_slice=$(((chips + 3) / 4)) platform=tpu
    [[ ${hosts:-$of_slice} == "$of_slice" ]] ||
        refuse "--hosts=$hosts: a slice ${tpu#*:} has $chips chips on $of_slice hosts: leave --hosts out, or give another --tpu"
    hosts=$of_slice
    selector="{cloud.google.com/gke-tpu-accelerator: $accelerator, cloud.google.com/gke-tpu-topology: ${tpu#*:}}"
    annotations='{alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool}' # a slice to itself
else
    hosts=${hosts:-1}
    [[ $gpus =~ ^[1-9][0-9]*$ && $hosts =~ ^[1-9][0-9]*$ ]] ||
        refuse "--gpus=$gpus --hosts=$hosts: give whole numbers from 1 up: the GPUs of one host, and the hosts"
    resource=nvidia.com/gpu count=$gpus platform=cuda selector='{}' annotations='{}'
fi

arguments=[\"train\"
for argument in "$@"; do arguments+=", $(quoted "$argument")"; done

filled=$(<"$(dirname "$0")/jobset.yaml")
fill NAME "$name"
fill IMAGE "$(quoted "$image")"
fill HOSTS "$hosts"
fill RESOURCE "$resource"
fill COUNT "$count"
fill PLATFORM "$platform"
fill SELECTOR "$selector"
fill ANNOTATIONS "$annotations"
fill ACCOUNT "$account"
fill ARGUMENTS "$arguments]"

apply
