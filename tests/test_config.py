"""The configuration: its keys, files and overrides, what is refused, and its documentation."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace

import pytest

from fetal_jax import bundle, config
from fetal_jax.config import Config, ModelConfig, from_json, from_values, load, portable, to_json
from fetal_jax.config.help import help_text, markdown
from fetal_jax.config.schema import KEYS, RENAMED
from fetal_jax.errors import UserError
from tests.support import ROOT

SHIPPED = ("demo", "hc18", "paper", "phantom", "unified", "routine", "close_ups", "all_folds")


def override(*keys: str, file: str = "hc18") -> Config:
    return load(file, [f"--config.{key}" for key in keys])


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_valid(name):
    assert load(name, []) == load(str(ROOT / "configs" / f"{name}.py"), [])


def test_a_configuration_is_frozen():
    with pytest.raises(FrozenInstanceError):
        load("hc18", []).model.width = 8


def test_overrides_reach_every_type():
    found = override(
        "seed=3", "optim.lr=1e-3", "optim.clip=2", "model.remat=true", "flip_average=False", "input_shape=(64,96)",
        "planes=('head','other')", "planes=('head',)", "data.dir=some where", "model.multipliers=(1,2)",
        "model.depths=(1,1)", "model.decoder=(0.5,)", "data.name=hc18/benchmark=2, fetal_phantom/small=1",
    )  # fmt: skip
    assert (found.seed, found.optim.lr, found.optim.clip) == (3, 1e-3, 2.0)
    assert type(found.optim.clip) is float
    assert (found.model.remat, found.flip_average) == (True, False)
    assert (found.input_shape, found.planes, found.data.dir) == ((64, 96), ("head",), "some where")
    assert found.model == replace(ModelConfig(), multipliers=(1, 2), depths=(1, 1), decoder=(0.5,), remat=True)
    assert found.data.name == {"hc18/benchmark": 2.0, "fetal_phantom/small": 1.0}


WRONG = {  # an override, and what the message says that the value must be
    "model.groups=0": "at least 1",
    "model.stem=0": "1 or 2",
    "model.width=none": "an integer",
    "model.width=8.0": "an integer",
    "model.width=True": "an integer",
    "model.width=12": "a multiple of the groups",
    "model.std=0": "above 0",
    "model.dtype=float16": "float32 or bfloat16",
    "model.dtype=float64": "float32 or bfloat16",
    "model.depths=(1,1)": "as many as model.multipliers",
    "model.decoder=(1,1)": "empty, or one less",
    "model.multipliers=()": "at least one",
    "input_shape=(96.0,128)": "two integers",
    "input_shape=(96,)": "two integers",
    "input_shape=(96,100)": "multiples of 32",
    "input_shape=(0,0)": "at least 1",
    "augment.zoom=(0,0)": "above 0",
    "augment.zoom=(1.2,0.8)": "the smaller one first",
    "augment.zoom=1.2": "two finite numbers",
    "augment.rotate_degrees=nan": "a finite number",
    "augment.noise=-1": "between 0 and 1",
    "augment.flip=2": "True or False",
    "seed=-1": "between 0 and",
    "eval_frames=-3": "at least 1",
    "total_steps=1e4": "an integer",
    "input_shape=192x288": "two integers, each at least 1, such as 192,288",
    "augment.zoom=0.8": "such as 0.8,1.25",
    "planes=('head','head')": "each once",
    "planes=('skull',)": "some of other, abdomen, head",
    "planes=()": "some of",
    "optim.clip=-1": "above 0",
    "optim.lr=inf": "a finite number",
    "optim.lr=1e999": "a finite number",
    "optim.ema=1": "below 1",
    "loss.cls_weight=1.5": "between 0 and 1",
    "mesh.data=0": "at least 1, or -1",
    "mesh.fsdp=-1": "where mesh.fsdp is -1",
    "data.workers=-1": "at least 0",
    "data.name=": "with weights",
    "data.no_class_loss=hc19": "some of data.name: hc18/benchmark",
    "data.no_class_loss=hc18,fetal_planes": "some of data.name: hc18/benchmark",
    "data.no_class_loss=": "some of data.name",
}


@pytest.mark.parametrize("argument", WRONG)
def test_a_wrong_value_is_refused_and_the_valid_ones_named(argument):
    with pytest.raises(UserError) as e:
        override(argument)
    key = argument.partition("=")[0]
    key = "mesh.data" if key == "mesh.fsdp" else key
    assert f"config.{key} is " in str(e.value)
    assert WRONG[argument] in str(e.value).partition("; it must be ")[2]


@pytest.mark.parametrize("names", ["hc18", "hc18/benchmark", "('hc18/benchmark',)"])
def test_a_data_set_without_class_loss_is_named_as_in_data_name_or_without_its_configuration(names):
    assert override(f"data.no_class_loss={names}").data.no_class_loss[0].startswith("hc18")


def test_names_are_written_with_commas_as_numbers_are():
    several = override("data.name=hc18=1,folder/a=1,fetal_phantom=1", "data.no_class_loss=hc18, folder/a")
    assert several.data.no_class_loss == ("hc18", "folder/a")
    assert override("planes=head,femur").planes == ("head", "femur")
    assert override("planes=head").planes == ("head",)


def test_a_batch_is_a_multiple_of_its_accumulated_parts():
    with pytest.raises(UserError, match=r"config\.batch_size is 6; it must be a multiple of accumulate, 4"):
        override("batch_size=6", "accumulate=4")


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("lambda", "config.loss.cls_weight"),
        ("lr", "config.optim.lr"),
        ("learning_rate", "config.optim.lr"),
        ("steps", "config.total_steps"),
        ("lambda", "the nearest is config"),
        ("modell.width", "config.model.width"),
        ("model.widht", "config.model.width"),
        ("optim.zoom", "config.augment.zoom"),
        ("model", "config.model.width"),
        ("qqq", "--help-config"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_keys(key, nearest):
    with pytest.raises(UserError) as e:
        override(f"{key}=8")
    assert f"config.{key}: no such key" in str(e.value)
    assert nearest in str(e.value)


def test_a_whole_group_is_no_value():
    with pytest.raises(UserError, match="model is a group"):
        override("model={'width':8}")


def test_float64_is_for_tests_in_64_bit_mode(monkeypatch):
    monkeypatch.setenv("JAX_ENABLE_X64", "1")
    assert override("model.dtype=float64").model.dtype == "float64"
    assert "float64" not in markdown()


# ------------------------------------------------------------------------------------------------------- files


def write(path, body: str) -> str:
    lines = [
        "from fetal_jax.config import *",
        "def get_config():",
        "    config = defaults()",
        f"    {body}",
        "    return config",
    ]
    path.write_text("\n".join(lines))
    return str(path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("config.model.widht = 8", "no such key; the nearest is config.model.width"),
        ("config.model.width = 8.5", "width"),
        ("config.augment.zoom = (1, 1, 1)", "config.augment.zoom is (1, 1, 1); it must be two finite numbers"),
        ("config.modle.width = 8", "not a configuration file: AttributeError"),
        ("1 / 0", "not a configuration file: ZeroDivisionError"),
    ],
)
def test_a_wrong_file_is_named(tmp_path, body, message):
    with pytest.raises(UserError) as e:
        load(write(tmp_path / "mine.py", body), [])
    assert "mine.py" in str(e.value)
    assert message in str(e.value)


def test_a_file_that_is_no_configuration_is_named(tmp_path):
    (tmp_path / "mine.py").write_text("x = 1\n")
    with pytest.raises(UserError, match=r"mine\.py is not a configuration file"):
        load(str(tmp_path / "mine.py"), [])


def test_overrides_are_applied_before_ranges_are_checked(tmp_path):
    path = write(tmp_path / "mine.py", "config.batch_size = 3; config.accumulate = 2")
    assert load(path, ["--config.batch_size=4"]).batch_size == 4


def test_a_file_may_give_data_sets_as_mapping_or_text(tmp_path):
    text = write(tmp_path / "text.py", 'config.data.name = "a/x.y=2, b=1"')
    mapping = write(tmp_path / "mapping.py", 'config.data.name = {"a/x.y": 2, "b": 1}')
    assert load(text, []) == load(mapping, [])


def test_a_misspelt_folder_does_not_train_a_shipped_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for shipped in ("hc18", "hc18.py", "configs/hc18.py"):
        assert load(shipped, []) == load("hc18", [])
    for path in ("typo/hc18.py", "../hc18.py", "hc19", "hc19.py", str(tmp_path / "hc18.py")):
        with pytest.raises(UserError, match=r"no such file.* hc18,"):
            load(path, [])
    (tmp_path / "configs").mkdir()  # the user's own, which lacks the file
    with pytest.raises(UserError, match="no such file"):
        load("configs/hc18.py", [])


def test_an_own_file_comes_before_a_shipped_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "hc18.py", "config.seed = 77")
    assert load("hc18.py", []).seed == 77


# ---------------------------------------------------------------------------------- config.json and old spellings


@pytest.mark.parametrize("name", SHIPPED)
def test_config_json_gives_the_same_configuration(tmp_path, name):
    (tmp_path / "config.json").write_text(to_json(load(name, ["--config.seed=5"])))
    assert from_json(tmp_path / "config.json") == load(name, ["--config.seed=5"])


def test_config_json_of_an_earlier_version_is_read(tmp_path):
    """It has former names, data sets as text, and lacks keys that came later."""
    saved = {
        "seed": 1,
        "input_shape": [192, 288],
        "data": {"name": "hc18/benchmark=12, folder/sononet=2", "unclassed": ["hc18"]},
        "model": {"head": 64, "looks": 10, "decoder": [0.5, 1, 2]},
    }
    (tmp_path / "config.json").write_text(json.dumps(saved))
    found = from_json(tmp_path / "config.json")
    assert (found.model.classifier_width, found.model.subclasses, found.model.decoder) == (64, 10, (0.5, 1.0, 2.0))
    assert found.data.name == {"hc18/benchmark": 12.0, "folder/sononet": 2.0}
    assert found.data.no_class_loss == ("hc18",)
    assert found.optim == Config().optim


@pytest.mark.parametrize("text", ["{", "[]", "3", ""])
def test_a_damaged_config_json_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        from_json(tmp_path / "config.json")


def test_config_json_with_an_unknown_key_is_of_another_version(tmp_path):
    (tmp_path / "config.json").write_text('{"model": {"depth": 3}}')
    with pytest.raises(UserError, match=r"another version: config\.model\.depth"):
        from_json(tmp_path / "config.json")


@pytest.mark.parametrize("name", ["default", "heads"])
def test_recipes_of_shipped_bundles_are_read(name):
    recipe = bundle.read(bundle.find(name)).training["recipe"]
    found = portable(from_values(recipe))
    names = {RENAMED.get(key, key) for key in recipe}
    assert names <= set(found)
    assert found["model.width"] == recipe["model.width"]


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_former_names_are_accepted_everywhere(tmp_path, old, new):
    value = ("fetal_phantom",) if new.startswith("data") else 4
    path = write(tmp_path / "mine.py", f"config.{old} = {value!r}")
    for found in (load(path, []), override(f"{old}={value}", file="phantom"), from_values({old: value})):
        assert portable(found)[new] == value
    assert portable(load(path, [f"--config.{new}={value}"]))[new] == value


def test_an_override_wins_over_a_former_name_in_the_file(tmp_path):
    path = write(tmp_path / "mine.py", "config.model.looks = 4")
    assert load(path, ["--config.model.subclasses=2"]).model.subclasses == 2


# ---------------------------------------------------------------------------- a run's identity, and the documentation


def test_differences_name_the_keys_that_change_learning():
    one = from_values({"model.width": 8, "data.dir": "a", "mesh.fsdp": 2, "init.bundle": "b"})
    other = from_values({"model.width": 16, "data.dir": "c", "data.name": "fetal_phantom=2"})
    assert config.differences(one, other) == [
        "data.name: {'fetal_phantom': 1.0} / {'fetal_phantom': 2.0}",
        "model.width: 8 / 16",
    ]
    assert config.differences(one, replace(one, mesh=other.mesh, data=one.data, log_every=7)) == []


def test_every_key_is_explained():
    for key in KEYS.values():
        assert len(key.meaning) > 10, key.name
        assert key.rule.holds(key.default), key.name
    assert "λ·L_cls + (1-λ)·L_seg" in KEYS["loss.cls_weight"].meaning
    assert {f.name for f in fields(Config)} == {name.partition(".")[0] for name in KEYS}


def test_documentation_lists_the_same_keys():
    assert (ROOT / "docs" / "configuration.md").read_text() == markdown(), (
        "run: python -m fetal_jax.config.help > docs/configuration.md"
    )
    for name in KEYS:
        assert f"`{name}`" in markdown()
        assert f"  {name}=" in help_text()


def test_help_config_needs_no_training_packages():
    missing = ("jax", "ml_collections", "absl", "etils", "grain", "tensorflow_datasets")
    code = f"import sys\nfor name in {missing}: sys.modules[name] = None\n"
    code += "from fetal_jax.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    run = [sys.executable, "-c", code, "train"]
    listed = subprocess.run([*run, "--help-config"], capture_output=True, text=True, check=True)
    assert listed.stdout == help_text()
    usage = subprocess.run([*run, "--help"], capture_output=True, text=True, check=True).stdout
    assert "--config.KEY=VALUE" in usage
    assert "--help-config" in usage
    trained = subprocess.run([*run, "--config=hc18", "--workdir=x"], capture_output=True, text=True, check=False)
    assert trained.returncode == 2
    assert "pip install" in trained.stderr
