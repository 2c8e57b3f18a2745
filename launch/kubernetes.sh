# shellcheck shell=bash
# Shared by jobset.sh and archive.sh: fills <NAMES> of a YAML file in, and applies it with kubectl.

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
