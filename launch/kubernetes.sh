# shellcheck shell=bash
# Shared by jobset.sh and archive.sh: fills <NAMES> of a YAML file in, and applies it with kubectl.
if [[ ${BASH_SOURCE[0]} == "$0" ]]; then
    echo 'launch/kubernetes.sh is a part of launch/jobset.sh and launch/archive.sh: call one of these, see its --help' >&2
    exit 2
fi

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
