#!/usr/bin/env bash
# A few minutes on a GPU of a machine that can fetch nothing: pack what it lacks, and there measure and train.
set -euo pipefail

usage() {
    cat <<'END'
launch/accelerator.sh [--dry-run] pack DIR [DATASET ...]
launch/accelerator.sh [--dry-run] run DIR OUT [ARGUMENT ...]

pack, where there is a network: DIR/wheels, for Python 3.12 on Linux, of what an image with JAX, Flax, Orbax, OpenCV and
PyTorch lacks; DIR/data, the prepared data sets of runs/data with frames of at most 224 pixels a side.
run, on the machine, in a copy of this repository: installs the wheels into a folder of its own and runs
benchmarks/accelerator.py with these arguments (--rehearse: on a CPU). OUT gets the results. Exit code 1: a part failed.

PYTHON names the interpreter (python3), DATA the folder of the prepared data sets (runs/data), FOR the version of Python
that the wheels are for (3.12).
END
}

[[ ${1-} == --help || ${1-} == -h ]] && { usage; exit; }
do=
[[ ${1-} == --dry-run ]] && { do=show; shift; }
show() { printf '+'; printf ' %q' "$@"; echo; }
python=${PYTHON:-python3} data=${DATA:-runs/data} for=${FOR:-3.12}
cd "$(dirname "$0")/.."

LACKING=(
    grain array_record tensorflow-datasets ml_collections importlib_resources tensorboardX tensorflow-metadata
    googleapis-common-protos immutabledict dm-tree simple-parsing docstring_parser toml termcolor zipp six
)
SOURCES=(promise portpicker) # no wheels on the index; pure Python
PLATFORMS=()
for version in manylinux_2_28 manylinux_2_27 manylinux_2_17 manylinux2014; do
    PLATFORMS+=(--platform "${version}_x86_64")
done

case ${1-} in
    pack)
        [[ $# -ge 2 ]] || { usage >&2; exit 2; }
        dir=$2
        shift 2
        pip=("$python" -m pip --disable-pip-version-check)
        $do "${pip[@]}" download --quiet --no-deps --only-binary=:all: --implementation cp --python-version "$for" \
            "${PLATFORMS[@]}" -c constraints.txt -d "$dir/wheels" "${LACKING[@]}"
        $do "${pip[@]}" wheel --quiet --no-deps -c constraints.txt -w "$dir/wheels" "${SOURCES[@]}"
        [[ $# -eq 0 ]] || PYTHONPATH=$PWD $do "$python" benchmarks/accelerator_data.py --data-dir "$data" --out "$dir/data" "$@"
        $do du -sh "$dir"
        ;;
    run)
        [[ $# -ge 3 ]] || { usage >&2; exit 2; }
        dir=$2 out=$3
        shift 3
        site=${TMPDIR:-/tmp}/fetal_jax-$$
        $do "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$dir"/wheels/*.whl
        PYTHONPATH=$site $do "$python" benchmarks/accelerator.py --out "$out" --data-dir "$dir/data" "$@"
        ;;
    *)
        usage >&2
        exit 2
        ;;
esac
