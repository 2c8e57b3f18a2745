# shellcheck shell=bash
# Shared by jobset.sh and archive.sh: fills <NAMES> of a YAML file in, and applies it with kubectl.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    echo 'launch/kubernetes.sh is a part of launch/jobset.sh and launch/archive.sh: call one of these, see its --help' >&2
    exit 2
fi

# shellcheck source=launch/words.sh
source "$(dirname "$0")/words.sh"

check_account() {
    [[ $1 =~ ^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$ ]] ||
        refuse "--service-account=$1: give the name of one in the cluster (kubectl get serviceaccounts), not an e-mail address"
}

check_claim() {
    [[ $1 =~ ^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$ ]] ||
        refuse "--volume=$1: give the name of a claim in the cluster (kubectl get persistentvolumeclaims)"
}

quoted() { # YAML takes JSON's strings
    local text=${1//\\/\\\\}
    printf '"%s"' "${text//\"/\\\"}"
}

fill() { filled=${filled//"<$1>"/"$2"}; } # the text is in `filled`

apply() { # `filled`; with `dry` it is printed instead
    if [[ $dry ]]; then
        printf '%s\n# filled in, this goes to:\n# + kubectl apply -f -\n' "$filled"
    else
        kubectl apply -f - <<<"$filled"
    fi
}
