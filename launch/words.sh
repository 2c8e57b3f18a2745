# shellcheck shell=bash
# Shared by cloud_tpu.sh, dataflow.sh, jobset.sh and archive.sh: reads a call, and says what is wrong with it.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    echo 'launch/words.sh is a part of launch/cloud_tpu.sh, dataflow.sh, jobset.sh and archive.sh: call one of these, see its --help' >&2
    exit 2
fi

refuse() {
    echo "launch/${0##*/}: $1" >&2
    exit 2
}

unknown() {
    refuse "$1 is not an option of it, or lacks its value: see --help"
}

FLAGS=' --dry-run --spot --help --identifiers --quiet ' # take no value: ours, and those of fetal-jax archive

# `--KEY VALUE` becomes `--KEY=VALUE`, as fetal-jax takes both: the arguments are left in the array `joined`
join() {
    joined=()
    while [[ $# -gt 0 ]]; do
        if [[ $1 == --?* && $1 != *=* && $FLAGS != *" $1 "* && $# -gt 1 && $2 != -* ]]; then
            joined+=("$1=$2")
            shift
        else
            joined+=("$1")
        fi
        shift
    done
}

need() { # $1: the option in words, $2: its value
    [[ $2 ]] || refuse "give $1"
}

check_name() { # $1: the name, $2: its most characters
    [[ $1 =~ ^[a-z]([-a-z0-9]*[a-z0-9])?$ && ${#1} -le $2 ]] ||
        refuse "--name=$1: give lower-case letters, digits and dashes, a letter first and no dash last, at most $2"
}
