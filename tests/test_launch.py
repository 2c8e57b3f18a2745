"""The launch files: dry runs, restarts on exit code 75, and a valid file for Kubernetes."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib

import jsonschema
import kubernetes_validate
import numpy as np
import pytest
import yaml
from PIL import Image

from fetal_jax.cli import archive
from fetal_jax.cli.archive import WORKER_GB
from tests.support import ROOT
from tests.support.orthanc import free_port

LAUNCH = ROOT / "launch"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUN = ["--config=configs/unified.py", "--workdir=gs://bucket/run", "--config.data.name=a=1, b=1"]
ARCHIVE = ["gs://b/in/**/*.dcm", "--out=gs://b/results", "--spacing-csv=a=1, b=1"]
QUOTED = r"--config.data.name=a=1\,\ b=1"

JOBSET = {  # the part of jobset.x-k8s.io/v1alpha2 that we use; Kubernetes' own schema checks the Job inside
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "jobset.x-k8s.io/v1alpha2"},
        "kind": {"const": "JobSet"},
        "metadata": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
                "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "failurePolicy": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "maxRestarts": {"type": "integer", "minimum": 0},
                        "restartStrategy": {"enum": ["Recreate", "BlockingRecreate", "InPlaceRestart"]},
                        "rules": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "additionalProperties": False,
                                "required": ["name", "action"],
                                "properties": {
                                    "name": {"pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
                                    "action": {
                                        "enum": ["FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"]
                                    },
                                    "onJobFailureReasons": {"type": "array", "items": {"type": "string"}},
                                    "targetReplicatedJobs": {"type": "array", "items": {"type": "string"}},
                                },
                            },
                        },
                    },
                },
                "replicatedJobs": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["name", "template"],
                        "properties": {
                            "name": {"type": "string"},
                            "replicas": {"type": "integer"},
                            "template": {"type": "object", "required": ["spec"]},
                        },
                    },
                },
            },
        },
    },
}


@pytest.fixture
def programs(tmp_path):
    """`programs(name, script)` puts a program first on PATH; it also writes its calls to the file `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def put(name, script):
        path = folder / name
        path.write_text(f'#!/usr/bin/env bash\nprintf "%s\\n" "{name} $*" >>"{tmp_path}/calls"\n{script}\n')
        path.chmod(0o755)

    return put


@pytest.fixture
def launch(tmp_path):
    """Run a launch file; (what it printed, the calls that it made). Asserts its exit code."""

    def run(name, *args, code=0, **environment):
        env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)} | environment
        done = subprocess.run([LAUNCH / name, *args], env=env, capture_output=True, text=True, timeout=60, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        calls = tmp_path / "calls"
        return done.stdout + done.stderr, calls.read_text().splitlines() if calls.exists() else []

    return run


def ends_with(*codes):
    """Script of a program that ends with each of these codes in turn."""
    count = "n=$(cat count 2>/dev/null || echo 0); echo $((n + 1)) >count"
    return f'{count}; codes=({" ".join(map(str, codes))}); exit "${{codes[n]}}"'


# ------------------------------------------------------------------------------------------------ dry runs

CALLS = {
    "gpus.sh": RUN,
    "slurm.sh": RUN,
    "cloud_tpu.sh": ["--name=n", "--zone=z", "--type=v6e-16", "--run=gs://bucket/run", "--spot", "--", *RUN[::2]],
    "dataflow.sh": ["--project=p", "--region=r", "--image=i", "--temp=gs://b/t", "--", *ARCHIVE],
    "archive.sh": ["--name=n", "--image=i", "--", *ARCHIVE],
    "jobset.sh": ["--name=n", "--image=i", "--gpus=8", "--hosts=2", "--", *RUN],
}


@pytest.mark.parametrize("name", CALLS)
def test_dry_run_prints_the_commands_and_runs_none(name, launch, programs):
    for program in ("fetal-jax", "srun", "sbatch", "scontrol", "gcloud", "kubectl"):
        programs(program, "exit 1")
    text, calls = launch(name, "--dry-run", *CALLS[name])
    assert not calls
    last = CALLS[name][-1]
    assert (last if name in ("jobset.sh", "archive.sh") else last.replace(", ", r"\,\ ")) in text


def apart(arguments):
    """The same call with each option's value in an argument of its own."""
    return [part for a in arguments for part in ([a] if a.startswith("--config.") else a.split("=", 1))]


@pytest.mark.parametrize("name", ["cloud_tpu.sh", "dataflow.sh", "archive.sh", "jobset.sh"])
def test_a_value_may_be_an_argument_of_its_own(name, launch):
    together, _ = launch(name, "--dry-run", *CALLS[name])
    text, _ = launch(name, "--dry-run", *apart(CALLS[name]))
    scratch = r"/tmp/tmp\.\w+"
    assert re.sub(scratch, "", text) == re.sub(scratch, "", together)


def test_launch_files_know_which_options_of_archive_take_no_value():
    """The word after such an option is a pattern, not its value."""
    parser = argparse.ArgumentParser()
    archive.add_arguments(parser)
    flags = {o for a in parser._actions if a.nargs == 0 for o in a.option_strings if o.startswith("--")}
    (known,) = re.findall(r"^FLAGS='(.*)'", (LAUNCH / "words.sh").read_text(), re.M)
    assert flags <= set(known.split())


@pytest.mark.parametrize("name", [*CALLS, "accelerator.sh"])
def test_help_is_printed_and_an_empty_call_refused(name, launch):
    assert f"launch/{name}" in launch(name, "--help")[0]
    assert f"launch/{name}" in launch(name, code=2)[0]


@pytest.mark.parametrize("name", ["tpu_worker.sh", "tpu_shutdown.sh"])
def test_help_of_a_worker_s_file_touches_nothing(name, launch, programs, tmp_path):
    """Without the guard one would install and train, the other stop the run."""
    for program in ("curl", "gcloud", "cat", "mkdir"):
        programs(program, "exec env -i PATH=/usr/bin:/bin cat" if program == "cat" else "exit 1")
    home = tmp_path / "home"  # does not exist: no other run can be met
    text, calls = launch(name, "--help", FETAL_HOME=str(home))
    assert text.startswith(f"launch/{name}")
    assert calls == ["cat "]  # the text alone, no file
    assert not home.exists()


@pytest.mark.parametrize("wrong", [[], ["--hepl"], ["runs/here", "--config=x"]])
def test_tpu_worker_without_a_bucket_is_refused(wrong, launch, programs, tmp_path):
    for program in ("curl", "gcloud"):
        programs(program, "exit 1")
    text, calls = launch("tpu_worker.sh", *wrong, code=2, FETAL_HOME=str(tmp_path / "home"))
    assert text.startswith("launch/tpu_worker.sh gs://BUCKET/RUN")
    assert not calls
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("argument", ["--help", "--dry-run"])
@pytest.mark.parametrize("part", ["kubernetes.sh", "words.sh"])
def test_a_part_names_the_files_to_call(part, argument, tmp_path):
    call = ["bash", LAUNCH / part, argument]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert "call one of these, see its --help" in done.stderr


def test_accelerator_packs_and_installs_without_a_network(launch, programs):
    programs("python3", "exit 1")
    packed, calls = launch("accelerator.sh", "--dry-run", "pack", "there", "hc18/benchmark")
    assert "--python-version 3.12" in packed
    assert "accelerator_data.py --data-dir runs/data --out there/data hc18/benchmark" in packed
    installed, calls = launch("accelerator.sh", "--dry-run", "run", "there", "out", "--rehearse")
    assert "--no-index --no-deps" in installed
    assert "accelerator.py --out out --data-dir there/data --rehearse" in installed
    assert not calls
    launch("accelerator.sh", "run", "there", "out", code=1)  # the installation failed: nothing is run
    assert len(launch("accelerator.sh", "run", "there", "out", code=1)[1]) == 2


def test_dry_run_of_slurm_shows_the_job(launch):
    text, _ = launch("slurm.sh", "--dry-run", *RUN)
    assert "#SBATCH --requeue" in text
    assert f"srun --gpu-bind=none --kill-on-bad-exit=0 --wait=300 fetal-jax train {RUN[0]} {RUN[1]} {QUOTED}" in text
    assert 'scontrol requeue "$SLURM_JOB_ID"' in text


def test_dry_run_of_cloud_tpu_shows_commands_and_the_worker_script(launch):
    text, _ = launch("cloud_tpu.sh", "--dry-run", *CALLS["cloud_tpu.sh"])
    create = next(line for line in text.splitlines() if "queued-resources create" in line)
    for part in ("--accelerator-type=v6e-16", "--runtime-version=v2-alpha-tpuv6e", "--spot", "startup-script="):
        assert part in create
    assert f"set -- gs://bucket/run --config=configs/unified.py {QUOTED}" in text
    assert (LAUNCH / "tpu_worker.sh").read_text() in text
    assert text.index("SUSPENDED") < text.index("queued-resources delete")


# --------------------------------------------------------------------------------------------------- restarts


def test_gpus_restarts_on_75_alone(launch, programs):
    programs("fetal-jax", ends_with(75, 75, 0))
    _, calls = launch("gpus.sh", *RUN)
    assert calls == ["fetal-jax train " + " ".join(RUN)] * 3


@pytest.mark.parametrize("code", [1, 2, 137])
def test_gpus_ends_with_any_other_code(code, launch, programs):
    programs("fetal-jax", ends_with(75, code, 0))
    assert len(launch("gpus.sh", *RUN, code=code)[1]) == 2


def test_gpus_passes_sigterm_on_and_does_not_restart(tmp_path, programs):
    programs("fetal-jax", 'trap "sleep 0.2; exit 75" TERM; touch started; while true; do sleep 0.05; done')
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    with subprocess.Popen([LAUNCH / "gpus.sh", *RUN], env=env, cwd=tmp_path) as script:
        for _ in range(400):
            if (tmp_path / "started").exists():
                break
            time.sleep(0.05)
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=20) == 75
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


@pytest.mark.parametrize(("codes", "last"), [((75, 75, 0), 0), ((75, 1), 1)])
def test_slurm_requeues_on_75_alone(codes, last, launch, programs, tmp_path):
    programs("fetal-jax", ends_with(*codes))
    programs("srun", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
    programs("scontrol", "")
    for attempt, code in enumerate(codes, 1):  # SLURM starts a requeued job
        _, calls = launch("slurm.sh", *RUN, code=code, SLURM_JOB_ID="7")
        assert calls.count("scontrol requeue 7") == min(attempt, codes.count(75))
    assert code == last
    assert calls.count("fetal-jax train " + " ".join(RUN)) == len(codes)


def test_slurm_refuses_to_run_outside_a_job(launch):
    assert "submit it: sbatch" in launch("slurm.sh", *RUN, code=2)[0]


def test_cloud_tpu_requests_a_new_slice_after_preemption_and_deletes_it_at_the_end(launch, programs, tmp_path):
    """States, one a poll: missing; active; suspended (a new one is created); active; then the exit code exists."""
    programs(
        "gcloud",
        r"""case "$*" in
  *describe*)
    echo look >>looks
    case $(wc -l <looks) in
      1) echo "ERROR: (gcloud) NOT_FOUND: Resource 'n' was not found." >&2; exit 1 ;;
      3) echo SUSPENDED ;;
      *) echo ACTIVE ;;
    esac ;;
  *"storage cat"*) [[ $(cat looks | wc -l) -ge 5 ]] && echo 0 ;;
  *"storage rm"*) exit 1 ;;
esac""",
    )
    programs("git", "")
    args = ["--name=n", "--zone=z", "--type=v5litepod-16", "--run=gs://bucket/run", "--poll=0", "--", *RUN[::2]]
    _, calls = launch("cloud_tpu.sh", *args)
    made = [line.split()[4] for line in calls if "queued-resources" in line and "describe" not in line]
    assert made == ["create", "delete", "create", "delete"]
    assert sum("storage cp" in line for line in calls) == 1


def test_cloud_tpu_ends_with_the_runs_exit_code_and_deletes_the_slice(launch, programs):
    programs("gcloud", '[[ $* == *"storage cat"* ]] && echo 2; [[ $* == *describe* ]] && echo ACTIVE; true')
    args = ["--name=n", "--zone=z", "--type=v5litepod-16", "--run=gs://bucket/run", "--poll=0", "--", *RUN[::2]]
    _, calls = launch("cloud_tpu.sh", *args, code=2)
    assert "queued-resources delete n --zone=z --force" in calls[-1]


def test_cloud_tpu_changes_nothing_where_it_cannot_tell_whether_the_slice_is_there(launch, programs):
    """A run may have ended there: its exit code and its code must stay in the bucket."""
    programs("gcloud", 'echo "ERROR: (gcloud) UNAVAILABLE: try again later" >&2; exit 1')
    programs("git", "")
    args = ["--name=n", "--zone=z", "--type=v5litepod-16", "--run=gs://bucket/run", "--poll=0", "--", *RUN[::2]]
    said, calls = launch("cloud_tpu.sh", *args, code=1)
    assert "UNAVAILABLE: try again later" in said
    assert "cannot tell whether n is there" in said
    assert [line.split()[4:6] for line in calls] == [["describe", "n"]]


@pytest.fixture
def worker(launch, programs, tmp_path):
    """Run `tpu_worker.sh` with stand-ins; (the exit code in the bucket or None, the calls that it made)."""

    def run(number=0, code=0):
        programs("curl", f"echo {number}")
        written = tmp_path / "written"
        programs("gcloud", f'[[ $4 == gs://bucket/run/exit_code ]] && cp exit_code "{written}"; true')
        programs("sleep", '[[ $1 == 60 ]] && exec "$(PATH=/usr/bin:/bin command -v sleep)" 60; true')  # no waiting
        _, calls = launch("tpu_worker.sh", "gs://bucket/run", *RUN[::2], FETAL_HOME=str(tmp_path / "home"), code=code)
        return written.read_text() if written.exists() else None, calls

    return run


@pytest.mark.parametrize(
    ("codes", "last"), [((75, 75, 0), "0"), ((75, 2), "2"), ((134, 75, 0), "0"), ((134, 137, 134, 134), "134")]
)
def test_tpu_worker_restarts_and_writes_the_exit_code_to_the_bucket(codes, last, worker, programs):
    programs("fetal-jax", "cd ..\n" + ends_with(*codes))
    for program in ("tar", "uv", "python3"):
        programs(program, "")
    written, calls = worker()
    trained = [line for line in calls if line.startswith("fetal-jax")]
    assert trained == [f"fetal-jax train --workdir=gs://bucket/run/train {RUN[0]} {RUN[2]}"] * len(codes)
    assert written == last + "\n"
    assert any("gs://bucket/run/logs/worker-0-" in line for line in calls)


@pytest.mark.parametrize(("number", "told"), [(0, "1\n"), (1, None)])
def test_tpu_worker_tells_that_it_cannot_install(number, told, worker, programs):
    """The launcher waits, and the slice costs, until the first worker has written an exit code."""
    for program in ("tar", "uv", "fetal-jax"):
        programs(program, "")
    programs("python3", "exit 4")
    written, calls = worker(number, code=1)
    assert written == told
    assert sum(line.startswith("python3 -m pip") for line in calls) == 3
    assert not any(line.startswith("fetal-jax") for line in calls)
    assert any(f"gs://bucket/run/logs/worker-{number}-" in line for line in calls)


def test_tpu_worker_installs_again_after_a_failure(worker, programs):
    for program in ("tar", "python3", "fetal-jax"):
        programs(program, "")
    programs("uv", "[[ $1 != pip ]] || { " + ends_with(2, 0) + "; }")
    written, calls = worker()
    assert written == "0\n"
    assert sum(line.startswith("uv pip install") for line in calls) == 2
    assert sum(line.startswith("fetal-jax") for line in calls) == 1


@pytest.mark.parametrize("where", ["python3", "fetal-jax"])
def test_tpu_worker_that_is_taken_away_writes_no_exit_code(where, worker, programs):
    """The launcher would end, instead of asking for another slice."""
    for program in ("tar", "uv", "python3", "fetal-jax"):
        programs(program, "")
    programs(where, "kill -TERM $PPID; exit 143")
    assert worker(code=143)[0] is None


# -------------------------------------------------------------------------------------------------------- Kubernetes


def filled(launch, *options):
    """The file that Kubernetes receives."""
    text, _ = launch("jobset.sh", "--dry-run", "--name=heads", "--image=here/fetal:1", *options, "--", *RUN)
    return yaml.safe_load(text)


def check(jobset):
    jsonschema.validate(jobset, JOBSET)
    for replicated in jobset["spec"]["replicatedJobs"]:
        job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "x"}} | replicated["template"]
        kubernetes_validate.validate(job, "1.30", strict=True)


@pytest.mark.parametrize(
    ("options", "hosts", "resource"),
    [
        (["--tpu=v5e:16x16"], 64, ("google.com/tpu", 4)),
        (["--tpu=v5e:2x4", "--hosts=2"], 2, ("google.com/tpu", 4)),
        (["--tpu=v6e:1x1"], 1, ("google.com/tpu", 1)),
        (["--gpus=8", "--hosts=2"], 2, ("nvidia.com/gpu", 8)),
    ],
)
def test_jobset_is_valid_and_requests_the_hosts(options, hosts, resource, launch):
    jobset = filled(launch, *options)
    check(jobset)
    job = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    container = job["template"]["spec"]["containers"][0]
    assert (job["parallelism"], job["completions"]) == (hosts, hosts)
    assert container["resources"]["limits"] == dict([resource])
    assert container["args"] == ["train", *RUN]
    assert {"name": "FETAL_PROCESSES", "value": str(hosts)} in container["env"]


BAD_JOBSETS = [
    (["--name=Heads_1", "--gpus=8"], "--name=Heads_1: give lower-case letters"),
    (["--name=heads-", "--gpus=8"], "no dash last"),
    (["--name=" + "h" * 46, "--gpus=8"], "at most 45"),
    (["--gpus=8", "--service-account=me@p.iam.gserviceaccount.com"], "not an e-mail address"),
    (["--gpus=eight"], "--gpus=eight --hosts=1: give whole numbers"),
    (["--gpus=8", "--hosts=0"], "--gpus=8 --hosts=0: give whole numbers"),
    (["--tpu=v5e:3x5"], "--tpu=v5e:3x5: give v5e or v6e with one of the topologies 1x1 2x2"),
    (["--tpu=v4:4x4"], "--tpu=v4:4x4: give v5e or v6e"),
    (["--tpu=v5e:4x4", "--hosts=2"], "a slice 4x4 has 16 chips on 4 hosts: leave --hosts out"),
]


@pytest.mark.parametrize(("options", "said"), BAD_JOBSETS)
def test_a_jobset_that_cannot_be_is_refused_before_anything_is_sent(options, said, launch, programs):
    programs("kubectl", "")
    text, calls = launch("jobset.sh", "--name=heads", "--image=i", *options, "--", *RUN, code=2)
    assert text.startswith("launch/jobset.sh: ")
    assert said in text
    assert not calls


def test_a_jobset_refuses_a_run_on_the_disk_of_a_host(launch, programs):
    programs("kubectl", "")
    on_disk = [RUN[0], "--workdir=runs/here"]
    for run in (RUN[:1], on_disk, [*on_disk, "--config.init.bundle=gs://bucket/start"]):
        text, calls = launch("jobset.sh", "--name=heads", "--image=i", "--gpus=8", "--", *run, code=2)
        assert "give --workdir=gs://BUCKET/RUN" in text
        assert not calls


TPU = ["--zone=z", "--type=v6e-16", "--run=gs://bucket/run"]
DATAFLOW = ["--project=p", "--region=r", "--image=i"]
BAD_CALLS = [
    ("archive.sh", ["--name=My_archive", "--image=i", "--", *ARCHIVE], "--name=My_archive: give lower-case letters"),
    ("archive.sh", ["--name=n", "--", *ARCHIVE], "give --image=IMAGE"),
    ("archive.sh", ["--name=n", "--image=i", "--cores=0", "--", *ARCHIVE], "--cores=0: give a whole number"),
    ("archive.sh", ["--name=n", "--image=i", "--volume=PACS_1", "--", *ARCHIVE], "--volume=PACS_1: give the name"),
    ("archive.sh", ["--name=n", "--image=i", "--", "gs://b/in"], "give --out=gs://BUCKET/FOLDER"),
    ("archive.sh", ["--name=n", "--image=i", "--", *ARCHIVE[1:]], "give a PATTERN"),
    ("archive.sh", ["--name=n", "--image=i", "--", "gs://b/in", "--out=/data/out"], "lost with the pod: give --volume"),
    ("archive.sh", ["--name=n", "--image=i", "--volume=v", "--", "/data/in", "--out=/tmp/out"], "give gs://"),
    ("archive.sh", ["--name=n", "--image=i", "--volume=v", "--", "/data/in", "--out=/data/../tmp"], "give gs://"),
    ("jobset.sh", ["--name=n", "--gpus=8", "--", *RUN], "give --image=IMAGE"),
    ("jobset.sh", ["--name=n", "--image=i", "--", *RUN], "give --tpu=TYPE:TOPOLOGY or --gpus=N"),
    ("jobset.sh", ["--name=n", "--image=i", "--tpu=v5e:2x4", "--gpus=8", "--", *RUN], "--gpus=8: give one of them"),
    ("dataflow.sh", [*DATAFLOW, "--temp=/tmp", "--", *ARCHIVE], "--temp=/tmp: give gs://BUCKET/FOLDER"),
    ("dataflow.sh", [*DATAFLOW, "--temp=gs://b/t", "--", "/data/in", "--out=gs://b/o"], "/data/in: give gs://"),
    ("dataflow.sh", [*DATAFLOW, "--temp=gs://b/t", "--", *ARCHIVE[1:]], "give a PATTERN"),
    ("dataflow.sh", [*DATAFLOW, "--temp=gs://b/t", "--", "gs://b/in", "--out", "/data/o"], "--out=/data/o: give gs://"),
    ("cloud_tpu.sh", ["--name=n", *TPU[:2], "--run=runs/u", "--", RUN[0]], "--run=runs/u: give gs://BUCKET/RUN"),
    ("cloud_tpu.sh", ["--name=My_run", *TPU, "--", RUN[0]], "--name=My_run: give lower-case letters"),
    ("cloud_tpu.sh", ["--name=n", *TPU, "--", *RUN], "--workdir=gs://bucket/run after --: leave it out"),
    ("cloud_tpu.sh", ["--name=n", *TPU, "--", RUN[0], "--workdir", "there"], "--workdir=there after --: leave it out"),
    ("archive.sh", ["--name=n", "--image=i", "--", "--identifiers", "--out", "gs://b/out"], "give a PATTERN"),
    ("archive.sh", ["--name=n", "--image=i", "--", *ARCHIVE, "--workers", "4"], "--workers=4 after --: leave it out"),
    ("archive.sh", ["--name=n", "--image=i", "--", "/data/in", "--out=gs://b/o"], "/data/in is not on the pod"),
    ("archive.sh", ["--name=n", "--image=i", "--volume=v", "--", "in", "--out=gs://b/o"], "in is not on the pod"),
    ("archive.sh", ["--name=n", "--image", "--", *ARCHIVE], "--image is not an option of it, or lacks its value"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), BAD_CALLS)
def test_a_wrong_call_is_named_in_a_line_before_anything_is_sent(name, arguments, said, launch, programs):
    for program in ("kubectl", "gcloud", "git", "fetal-jax"):
        programs(program, "")
    text, calls = launch(name, *arguments, code=2)
    (line,) = text.splitlines()
    assert line.startswith(f"launch/{name}: ")
    assert said in line
    assert not calls


@pytest.mark.parametrize(("name", "kind"), [("archive.sh", "job"), ("jobset.sh", "jobset")])
def test_help_says_how_to_call_again_what_kubernetes_has_finished(name, kind, launch):
    assert f"`kubectl delete {kind} NAME`" in launch(name, "--help")[0]


def test_jobset_check_refuses_a_wrong_key_or_type(launch):
    for path, value in [
        (("spec", "failurePolicy", "maxRestart"), 3),
        (("spec", "replicatedJobs", 0, "template", "spec", "backoffLimit"), "none"),
        (("spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "container"), []),
    ]:
        jobset = filled(launch, "--tpu=v5e:2x4")
        at = jobset
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        with pytest.raises((jsonschema.ValidationError, kubernetes_validate.ValidationError)):
            check(jobset)


def test_jobset_restarts_on_every_exit_code_but_1_and_2(launch):
    spec = filled(launch, "--tpu=v5e:2x4")["spec"]
    (rule,) = spec["replicatedJobs"][0]["template"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["values"] == [1, 2]
    (policy,) = spec["failurePolicy"]["rules"]
    assert (policy["action"], policy["onJobFailureReasons"]) == ("FailJobSet", ["PodFailurePolicy"])
    assert spec["failurePolicy"]["maxRestarts"] > 0


def test_jobset_is_piped_to_kubectl(launch, programs, tmp_path):
    programs("kubectl", f'cat >"{tmp_path}/applied"')
    _, calls = launch("jobset.sh", *CALLS["jobset.sh"])
    assert calls == ["kubectl apply -f -"]
    check(yaml.safe_load((tmp_path / "applied").read_text()))


@pytest.mark.parametrize("volume", [[], ["--volume=frames"]])
def test_the_archives_job_is_valid_and_uses_its_cores(volume, launch):
    text, _ = launch(
        "archive.sh", "--dry-run", "--name=n", "--image=here/fetal:1", "--cores=8", *volume, "--", *ARCHIVE
    )
    job = yaml.safe_load(text)
    kubernetes_validate.validate(job, "1.30", strict=True)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == ["archive", *ARCHIVE, "--workers=8"]
    assert container["resources"]["requests"]["cpu"] == 8
    assert container["resources"]["requests"]["memory"] == f"{8 * WORKER_GB + 2}Gi"
    assert f"plan {WORKER_GB} GB for each" in (ROOT / "docs" / "archive.md").read_text()
    security = container["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"], security["readOnlyRootFilesystem"]) == (True, 1000, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert not security["allowPrivilegeEscalation"]
    empty = [v["name"] for v in pod["volumes"] if "emptyDir" in v]
    assert "/tmp" in [m["mountPath"] for m in container["volumeMounts"] if m["name"] in empty]
    claims = [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v]
    assert claims == ["frames"] * len(volume)


@pytest.mark.parametrize(("code", "end"), [(0, 0), (3, 0), (2, 2), (75, 75)])
def test_the_archives_job_takes_unreadable_files_for_no_failure(code, end, launch, programs, tmp_path):
    """The command of the pod, run here with a stand-in."""
    text, _ = launch("archive.sh", "--dry-run", *CALLS["archive.sh"])
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    programs("fetal-jax", f'printf "%s\\n" "$@" >"{tmp_path}/given"; exit {code}')
    env = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run([*container["command"], *container["args"]], env=env, check=False)
    assert done.returncode == end
    assert (tmp_path / "given").read_text().splitlines() == container["args"]


def test_dataflow_has_one_thread_a_process_and_passes_the_call_on(launch, programs):
    programs("fetal-jax", "exit 3")
    _, calls = launch("dataflow.sh", *CALLS["dataflow.sh"], code=3)
    (call,) = calls
    ours, _, beams = call.partition(" -- ")
    assert ours == f"fetal-jax archive {' '.join(ARCHIVE)} --runner=dataflow"
    assert "--number_of_worker_harness_threads=1" in beams.split()
    assert "--sdk_container_image=i" in beams.split()


# -------------------------------------------------------------------------------------------------------- containers


def stages(name):
    """Stages of a container file, by name: each a list of (instruction, rest), after those of the stage it is from."""
    found = {}
    text = re.sub(r"\\\n\s*", "", (LAUNCH / name).read_text())
    for instruction, rest in re.findall(r"^([A-Z]+) (.*)$", text, re.M):
        if instruction == "FROM":
            base, _, stage = rest.partition(" AS ")
            lines = found[stage] = list(found.get(base, []))
        lines.append((instruction, rest))
    return found


def needs(extra):
    """Names of the packages that an extra brings, those of its extras too."""
    names = set()
    for requirement in PROJECT["optional-dependencies"][extra]:
        own = re.match(r"fetal_jax\[(.*)\]", requirement)
        names |= {n for e in own[1].split(",") for n in needs(e)} if own else {re.match(r"[\w.-]+", requirement)[0]}
    return names


def test_hosts_of_a_run_have_what_its_start_from_a_bucket_needs():
    """gcsfs reads it, onnx reads a bundle."""
    for name in ("Dockerfile", "tpu_worker.sh"):
        (extras,) = re.findall(r"(?:/src|/code)\[(.*?)\]", (LAUNCH / name).read_text())
        brought = {n for e in extras.split(",") if e in PROJECT["optional-dependencies"] for n in needs(e)}
        assert {"gcsfs", "onnx"} <= brought


CONTAINERS = [("Dockerfile.cpu", "worker"), ("Dockerfile.cpu", "page"), ("Dockerfile.beam", "")]


@pytest.mark.parametrize(("name", "stage"), CONTAINERS)
def test_no_container_of_a_worker_has_jax(name, stage):
    lines = stages(name)[stage]
    (extras,) = re.findall(r"/src\[(.*?)\]", str(lines))
    brought = {n for e in extras.split(",") for n in needs(e)}
    assert "python-gdcm" in brought  # compressed DICOM, in every one
    assert not {n for n in brought if "jax" in n}
    assert "jax" in needs("train")


@pytest.mark.parametrize("stage", ["worker", "page"])
def test_containers_are_of_a_user_by_number_with_a_home_in_tmp(stage):
    lines = stages("Dockerfile.cpu")[stage]
    last = dict(lines)
    assert last["USER"] == "1000"  # Kubernetes cannot tell that a name is not root
    assert last["ENV"] == "HOME=/tmp"
    assert lines.index(("USER", "1000")) > max(i for i, line in enumerate(lines) if line[0] == "RUN")
    assert json.loads(last["ENTRYPOINT"])[0] == "fetal-jax"


def test_the_beam_container_is_of_the_beam_that_is_tested_and_makes_no_environment_when_it_starts():
    lines = dict(stages("Dockerfile.beam")[""])
    beam = re.search(r"^apache-beam==(.*)$", (ROOT / "constraints-beam.txt").read_text(), re.M)[1]
    assert lines["COPY"].startswith(f"--from=apache/beam_python3.11_sdk:{beam} /opt/apache/beam ")
    assert "RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1" in lines["ENV"]
    assert json.loads(lines["ENTRYPOINT"]) == ["/opt/apache/beam/boot"]


def test_the_build_context_is_what_an_installation_needs():
    """`.dockerignore` holds for every file of `launch`: one beside a container file would hold for that file alone."""
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert patterns[0] == "*"
    assert patterns[-1] == "**/__pycache__"
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {"pyproject.toml", "constraints*.txt", PROJECT["readme"], *PROJECT["license-files"]}
    needed |= {*wheel["packages"], *wheel["force-include"]}
    assert {p.removeprefix("!") for p in patterns[1:-1]} == needed
    assert not list(LAUNCH.glob("*.dockerignore"))


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cpu", "Dockerfile.beam"])
def test_containers_install_from_the_checkout_and_do_not_keep_it(name):
    for lines in stages(name).values():
        assert all("--mount=type=bind,target=/src" in rest for _, rest in lines if "pip install" in rest)
        assert all(rest.startswith("--from=") for instruction, rest in lines if instruction in ("COPY", "ADD"))


@pytest.mark.slow
def test_the_page_s_container_starts_and_is_healthy(tmp_path):
    """The entry point and the health check of the file itself, on another port, with a folder of one frame."""
    lines = dict(stages("Dockerfile.cpu")["page"])
    port = str(free_port())
    entry = [word.replace("8000", port) for word in json.loads(lines["ENTRYPOINT"])]
    health = [word.replace("8000", port) for word in json.loads(lines["HEALTHCHECK"].removeprefix("CMD "))]
    Image.fromarray(np.full((80, 90), 30, np.uint8)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "fetal_jax", *entry[1:], "."]
    home = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=home) as page:
        try:
            assert f":{port}/" in page.stdout.readline()
            assert subprocess.run([sys.executable, *health[1:]], check=False).returncode == 0
        finally:
            page.terminate()
    assert subprocess.run([sys.executable, *health[1:]], check=False, capture_output=True).returncode != 0
