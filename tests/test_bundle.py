"""A bundle: both runtimes agree with the network; damaged and foreign folders are refused."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import onnx
import pytest

from fetal_jax import bundle, export
from fetal_jax import config as recipe
from fetal_jax.config import from_values
from fetal_jax.errors import UserError
from fetal_jax.files import LOCK
from fetal_jax.inference import Predictor
from fetal_jax.model import onnx_graph, unet
from fetal_jax.training import sononet, workdir
from fetal_jax.training.live import bundle_info, live_predictor
from fetal_jax.training.start import bundle_parameters, check_bundle
from tfds_builders.fetal_phantom.phantom import draw

PLANES = ("other", "abdomen", "head", "femur")


FORMS = {
    "stem1": {"stem": 1},
    "stem2": {"stem": 2},
    "sononet": {
        "stem": 2,
        "encoder_norm": False,
        "standardise": True,
        "decoder": (0.5, 1),
        "classifier_width": 12,
        "subclasses": 3,
    },
}


@pytest.fixture(scope="module", params=FORMS.values(), ids=FORMS)
def small(request):
    """(configuration, parameters) of a small network with random parameters."""
    model = {"width": 8, "multipliers": (1, 2, 2), "depths": (1, 2, 1), "groups": 4, **request.param}
    config = recipe.from_values({"input_shape": (64, 96), "planes": PLANES, "model": model})
    net = unet.from_config(config.model, len(PLANES))
    params = jax.jit(net.init)(jax.random.key(3), np.zeros((1, 64, 96, 1), np.uint8))["params"]
    return config, export.single_precision(export.half_precision(params))  # as a bundle keeps them


@pytest.fixture(scope="module")
def folder(small, tmp_path_factory) -> Path:
    config, params = small
    out, params = tmp_path_factory.mktemp("bundle"), export.half_precision(params)
    (out / bundle.STABLEHLO).write_bytes(export.stablehlo(config, params))
    graph = onnx_graph.build(params, config.model, (64, 96))
    (out / bundle.ONNX).write_bytes(graph.SerializeToString())
    info = replace(bundle_info(config), training={"dataset": "x", "steps": 1, "fingerprint": "y"}, licence="z")
    info.training["recipe"] = recipe.portable(config)
    (out / bundle.CARD).write_text(export.model_card(info))
    bundle.write(out, info)
    return out


@pytest.mark.parametrize("name", ["", *sorted(path.name for path in bundle.SHIPPED.iterdir())])
def test_no_node_has_an_empty_input(name, folder):
    """With an empty bias ONNX Runtime takes a slow convolution: 12 % of the network's time."""
    graph = onnx.load((bundle.SHIPPED / name if name else folder) / bundle.ONNX).graph
    assert all(name for node in graph.node for name in node.input)


@pytest.mark.parametrize("runtime", ["onnx", "jax"])
@pytest.mark.parametrize("batch", [1, 3])
def test_both_runtimes_give_the_logits_of_the_network(small, folder, runtime, batch):
    config, params = small
    frames = np.random.default_rng(0).integers(0, 255, (batch, 64, 96, 1)).astype(np.uint8)
    expected = live_predictor(config, params).forward(frames)
    got = Predictor.from_bundle(folder, runtime).forward(frames)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, atol=2e-4)
    assert np.abs(expected[0]).max() > 0.1


@pytest.mark.parametrize("runtime", ["onnx", "jax"])
def test_both_runtimes_measure_the_same(small, folder, runtime):
    config, params = small
    live, shipped = live_predictor(config, params), Predictor.from_bundle(folder, runtime)
    frames = [draw("head", seed).image for seed in range(3)]
    for a, b in zip(live.predict(frames, [0.3] * 3), shipped.predict(frames, [0.3] * 3), strict=True):
        np.testing.assert_allclose(a.probability, b.probability, atol=1e-4)
        assert a.planes == pytest.approx(b.planes, abs=1e-4)


def test_no_path_of_this_machine_is_exported(folder):
    assert not re.search(rb"\.py\b", (folder / bundle.STABLEHLO).read_bytes())  # "Worker.pytest_main" is no file


@pytest.mark.parametrize("name", sorted(path.name for path in bundle.SHIPPED.iterdir()))
@pytest.mark.parametrize("file", [bundle.ONNX, bundle.STABLEHLO])
def test_weights_take_two_bytes_each(name, file):
    stored = onnx.load(bundle.SHIPPED / name / bundle.ONNX).graph.initializer
    weights = sum(math.prod(i.dims) for i in stored if "/" in i.name)
    assert 2 * weights < (bundle.SHIPPED / name / file).stat().st_size < 2.1 * weights


def test_half_precision_is_of_the_kernels_alone():
    half = export.half_precision({"kernel": np.full((1, 3), 1 / 3, np.float32), "scale": np.ones(3, np.float32)})
    assert half["kernel"].dtype == np.float16
    assert half["scale"].dtype == np.float32
    np.testing.assert_allclose(half["kernel"], 1 / 3, rtol=2**-11)
    for wrong in (7e4, np.nan):
        with pytest.raises(UserError, match="too large for half precision, or not a number"):
            export.half_precision({"kernel": np.full((1, 3), wrong, np.float32)})


def test_the_mirrored_frame_gives_the_mirrored_map(folder):
    predictor = Predictor.from_bundle(folder)
    assert predictor.info.flip_average
    frame = draw("head", 1).image
    one, mirrored = predictor.predict([frame, np.ascontiguousarray(frame[:, ::-1])], [None, None])
    np.testing.assert_allclose(one.probability, mirrored.probability[:, ::-1], atol=2e-3)


def test_parameters_come_back_from_the_graph(small, folder):
    config, params = small
    check_bundle(folder, config)
    back, licence = bundle_parameters(folder, config, params)
    assert licence == bundle.read(folder).licence
    jax.tree.map(np.testing.assert_array_equal, back, params)


def test_a_run_may_compute_a_bundles_network_in_another_type_and_precision(small, folder):
    config, _ = small
    check_bundle(folder, replace(config, model=replace(config.model, dtype="bfloat16", precision="highest")))


def test_another_networks_parameters_are_refused(small, folder, tmp_path):
    config, _ = small
    wider = replace(config.model, width=16, multipliers=(1, 2, 4))
    other = replace(config, model=wider, init=recipe.InitConfig(bundle=str(folder)))
    with pytest.raises(UserError, match=r"give '--config.model.multipliers=\(1, 2, 2\)' --config.model.width=8$"):
        workdir.check_workdir(tmp_path / "run", other)
    init = jax.jit(unet.from_config(other.model, 4).init)
    like = init(jax.random.key(0), np.zeros((1, 64, 96, 1), np.uint8))["params"]
    with pytest.raises(UserError, match="another network"):
        bundle_parameters(folder, other, jax.tree.map(np.asarray, like))


def test_other_planes_start_the_class_head_from_random(small, folder, capsys):
    config, params = small
    other = replace(config, planes=("head", "femur"))
    init = jax.jit(unet.from_config(other.model, 2).init)
    fresh = init(jax.random.key(1), np.zeros((1, 64, 96, 1), np.uint8))["params"]
    check_bundle(folder, other)
    assert "the classification head is initialised at random" in capsys.readouterr().out
    taken, _ = bundle_parameters(folder, other, fresh)
    assert set(fresh) - set(taken) == {"plane"}
    np.testing.assert_array_equal(taken["map"]["kernel"], params["map"]["kernel"])


def test_a_bundle_measures_without_jax(folder):
    code = (
        "import sys\n"
        "for name in ('jax', 'flax', 'onnx', 'tensorflow_datasets'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from fetal_jax.inference import Predictor\n"
        f"result = Predictor.from_bundle({str(folder)!r}).measure(np.zeros((50, 60), np.uint8), 0.3, 'head')\n"
        "print(result.status)\n"
        "import fetal_jax.cli.measure\n"
        "slow = {'jinja2', 'matplotlib'} & set(sys.modules)\n"  # a new process starts without them
        "assert not slow, slow\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("measured", "refused")


def test_stablehlo_needs_only_jax(folder):
    code = (
        "import sys\n"
        "for name in ('flax', 'optax', 'onnx', 'onnxruntime', 'tensorflow_datasets', 'cv2'): sys.modules[name] = None\n"
        "import numpy as np\n"
        "from fetal_jax.inference import Predictor\n"
        f"predictor = Predictor.from_bundle({str(folder)!r}, 'jax')\n"
        "print(predictor.measure(np.zeros((50, 60), np.uint8), 0.3, 'head').status)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() in ("measured", "refused")


def copy(folder: Path, to: Path) -> Path:
    to.mkdir()
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def test_a_damaged_file_is_named(folder, tmp_path):
    spoilt = copy(folder, tmp_path / "b")
    data = bytearray((spoilt / bundle.ONNX).read_bytes())
    data[len(data) // 2] ^= 1
    (spoilt / bundle.ONNX).write_bytes(data)
    with pytest.raises(UserError, match=r"model.onnx is not what"):
        bundle.read(spoilt)
    (spoilt / bundle.ONNX).unlink()
    with pytest.raises(UserError, match=r"model.onnx is missing"):
        bundle.read(spoilt)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s | {"schema": 99}, "update fetal_jax"),
        (lambda s: {k: v for k, v in s.items() if k != "planes"}, "wrong keys planes"),
        (lambda s: s | {"extra": 1}, "wrong keys extra"),
        (lambda _: [1], "not a bundle"),
        (lambda s: s | {"planes": ["spine"]}, "planes is"),
        (lambda s: s | {"input_shape": [64]}, "input_shape is"),
        (lambda s: s | {"temperature": 0}, "temperature is 0"),
        (lambda s: s | {"intervals": {"hc_mm": 3}}, "intervals is"),
        (lambda s: s | {"acceptance": {"head": {}}}, "acceptance is"),
        (lambda s: s | {"acceptance": {"head": {"data": "x", "limit": 0.1}}}, "acceptance is"),
        (lambda s: s | {"files": {"../../x": "y"}}, "files is"),
        (lambda s: s | {"close_up": 1.5}, "close_up is"),
        (lambda s: s | {"preprocessing": "another"}, "made for another preprocessing"),
        (lambda s: s | {"outline": 0.4}, "made for another outline"),
    ],
)
def test_foreign_and_newer_bundles_are_refused(folder, tmp_path, change, message):
    spoilt = copy(folder, tmp_path / "b")
    saved = json.loads((spoilt / bundle.INFO).read_text())
    (spoilt / bundle.INFO).write_text(json.dumps(change(saved)))
    with pytest.raises(UserError, match=message):
        bundle.read(spoilt)


def test_an_old_bundle_without_later_keys_is_read(folder, tmp_path):
    early = copy(folder, tmp_path / "b")
    saved = json.loads((early / bundle.INFO).read_text())
    for key in ("close_up", "preprocessing", "outline", "temperature", "intervals", "acceptance", "metrics"):
        del saved[key]
    (early / bundle.INFO).write_text(json.dumps(saved))
    assert bundle.read(early) == bundle.read(folder)


def test_temperature_softens_the_planes(folder):
    sharp = Predictor.from_bundle(folder)
    soft = replace(sharp, info=replace(sharp.info, temperature=1e9))
    frame = draw("head", 1).image
    assert list(soft.predict([frame], [None])[0].planes.values()) == pytest.approx([0.25] * 4)
    assert max(sharp.predict([frame], [None])[0].planes.values()) > 0.26


def test_an_interval_is_a_multiple_of_the_sd():
    shipped = Predictor.from_bundle()
    plain = replace(shipped, info=replace(shipped.info, intervals={}))
    table = {"hc_mm": {"level": 0.9, "factor": 2.0, "data": "hc18/benchmark 36 frames"}}
    with_table = replace(plain, info=replace(plain.info, intervals=table))
    head = draw("head", 1)
    result = with_table.measure(head.image, head.spacing_mm, "head")
    sd = result.measurement.sd_mm
    assert result.interval_mm == pytest.approx((result.hc_mm - 2 * sd, result.hc_mm + 2 * sd))
    assert plain.measure(head.image, head.spacing_mm, "head").interval_mm is None


def test_a_foreign_network_with_a_right_digest_is_refused(folder, tmp_path):
    foreign = copy(folder, tmp_path / "b")
    graph = onnx.load(foreign / bundle.ONNX)
    graph.graph.input[0].name = graph.graph.node[0].input[0] = "pictures"
    (foreign / bundle.ONNX).write_bytes(graph.SerializeToString())
    bundle.write(foreign, bundle.read(folder))
    with pytest.raises(UserError, match="not the network of a bundle"):
        Predictor.from_bundle(foreign)
    (foreign / bundle.ONNX).write_bytes(b"nothing")
    bundle.write(foreign, bundle.read(folder))
    with pytest.raises(UserError, match="not a network that ONNX Runtime runs"):
        Predictor.from_bundle(foreign)


@pytest.mark.parametrize("metrics", [{"frames": 3, "hc_mm": {"mae": 2.3}}, {"frames": 3, "plane": {}}])
def test_metrics_of_an_evaluation_are_read(tmp_path, metrics):
    (tmp_path / "m.json").write_text(json.dumps(metrics))
    assert export.read_metrics(tmp_path / "m.json") == metrics


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"frames": 3}', '{"hc_mm": {"mae": 2.3}}', '{"step": 1, "loss": 2}', None]
)
def test_what_is_no_evaluation_is_no_metrics(tmp_path, text):
    if text is not None:
        (tmp_path / "m.json").write_text(text)
    with pytest.raises(UserError, match=r"m.json.*: give metrics.json of fetal-jax evaluate"):
        export.read_metrics(tmp_path / "m.json")


@pytest.mark.parametrize("name", [bundle.ONNX, bundle.INFO])
def test_a_file_of_a_bundle_in_place_of_its_folder_is_no_damage(name):
    with pytest.raises(UserError, match=rf"{name} is not a folder: if it is a file of a bundle, give its folder"):
        bundle.read(bundle.DEFAULT / name)


def test_a_bundle_that_cannot_be_read_says_why(folder, tmp_path):
    (copy(folder, tmp_path / "b") / bundle.INFO).unlink()
    (tmp_path / "b" / bundle.INFO).mkdir()
    with pytest.raises(UserError, match=r"bundle.json cannot be read \(Is a directory\)"):
        bundle.read(tmp_path / "b")


def test_a_damaged_bundle_is_named(folder, tmp_path):
    (copy(folder, tmp_path / "b") / bundle.INFO).write_text('{"schema": 1, ')
    with pytest.raises(UserError, match=r"bundle.json is damaged: export the bundle again"):
        bundle.read(tmp_path / "b")


def test_a_run_in_place_of_a_bundle_is_called_one(tmp_path):
    (tmp_path / "config.json").touch()
    with pytest.raises(UserError, match=r"is not a bundle: .*; it is a run: fetal-jax export --workdir="):
        bundle.read(tmp_path)


def test_a_folder_without_a_bundle_is_refused(tmp_path):
    with pytest.raises(
        UserError, match=r"is not a bundle: .* give the name of a shipped one as text \(default, heads\), or make one"
    ):
        bundle.read(tmp_path)


@pytest.mark.parametrize(
    ("name", "planes", "origins"),
    [("default", set(PLANES), ["CC BY 4.0", "SonoNet16"]), ("heads", {"head"}, ["CC BY 4.0"])],
)
def test_a_shipped_bundle_is_complete_and_small(name, planes, origins):
    folder = bundle.find(name)
    info = bundle.read(folder)
    assert set(info.planes) == planes
    for text in (info.licence, (folder / bundle.CARD).read_text()):
        assert all(origin in text for origin in origins)
    assert "Not for clinical use" in (folder / bundle.CARD).read_text()
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 12e6
    onnx.checker.check_model(onnx.load(folder / bundle.ONNX))


def test_a_bare_name_is_the_shipped_bundle_and_a_path_is_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert bundle.find("heads") == bundle.SHIPPED / "heads"
    assert capsys.readouterr().err == ""
    (tmp_path / "heads").mkdir()
    assert bundle.find("heads") == bundle.SHIPPED / "heads"
    assert "for the folder heads, give ./heads" in capsys.readouterr().err
    for path in ("./heads", str(tmp_path / "heads")):
        assert bundle.find(path).resolve() == tmp_path / "heads"
        assert bundle.find(bundle.find(path)) == bundle.find(path)  # as a command and then the predictor do
    with pytest.raises(UserError, match="heads is not a bundle"):
        Predictor.from_bundle(bundle.find("./heads"))
    assert bundle.find("none") == Path("none")
    assert bundle.find(bundle.DEFAULT) == bundle.DEFAULT


def test_an_update_of_a_shipped_bundle_goes_into_a_copy(tmp_path):
    before = {p.name: p.read_bytes() for p in bundle.DEFAULT.iterdir()}
    info = replace(bundle.read(bundle.DEFAULT), temperature=1.75)
    copy = bundle.update(bundle.DEFAULT, info, tmp_path / "copy")
    assert copy == tmp_path / "copy"
    assert bundle.read(copy).temperature == 1.75
    assert {p.name: p.read_bytes() for p in bundle.DEFAULT.iterdir()} == before
    again = bundle.update(copy, replace(info, temperature=1.5), tmp_path / "unused")  # a bundle of the user's own
    assert (again, bundle.read(copy).temperature) == (copy, 1.5)
    assert not (tmp_path / "unused").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UserError, match="not empty and not a bundle"):
        bundle.update(bundle.DEFAULT, info, tmp_path / "mine")


def test_our_outlines_carry_no_non_commercial_licence():
    ours = export.licence(from_values({"data.name": {"fetal_planes/outlines": 1}}), "")
    calipers = export.licence(from_values({"data.name": {"fetal_planes/official": 1}}), "")
    assert "CC BY 4.0" in ours
    assert "NC" not in ours
    assert "CC BY-NC-SA 4.0" in calipers


def test_the_licence_of_the_shipped_network_is_what_export_writes():
    start = export.licence(recipe.load("unified", []), sononet.LICENCE)
    end = export.licence(recipe.load("all_folds", []), start)
    assert bundle.read(bundle.DEFAULT).licence == end
    assert "the exporter's own" not in end


def test_a_licence_is_said_once_also_where_the_start_has_it():
    config = from_values({"data.name": {"fetal_planes/outlines": 1, "fetal_phantom": 1}})
    first = export.licence(config, "SonoNet16, Apache-2.0.")
    again = export.licence(config, export.licence(config, first))
    assert again == first
    assert again.endswith("Started from: SonoNet16, Apache-2.0.")
    assert "HC18" in export.licence(config, export.licence(from_values({"data.name": {"hc18": 1}}), ""))
    assert export.licence(config, export.licence(config, "")) == export.licence(config, "")


def test_folds_may_start_from_their_own_weights_and_whole_runs_may_not():
    folds = [from_values({"data.leave_out": k, "init.bundle": f"fold{k}", "seed": k}) for k in range(2)]
    assert export.drawn_alike(*folds)
    whole = [from_values({"init.bundle": f"fold{k}"}) for k in range(2)]
    assert not export.drawn_alike(*whole)
    assert export.drawn_alike(whole[0], folds[0])
    assert not export.drawn_alike(whole[1], folds[0])


SEED = from_values({"data.leave_out": 0, "init.bundle": "default"})
META = {"dataset": "hc18/1.0.0", "fingerprint": "hc18/1.0.0 9 frames 1a", "before": []}


def mean_of(monkeypatch, *runs):
    """`export.load_runs` of runs (config, value of the one parameter, step, meta)."""
    found = iter([(c, {"w": np.full(2, w, np.float32)}, step, meta) for c, w, step, meta in runs])
    monkeypatch.setattr(export, "load_run", lambda *_: next(found))
    return export.load_runs([Path(f"run{i}") for i in range(len(runs))])


def test_folds_are_averaged_to_one_network_that_has_seen_what_each_has(monkeypatch):
    other = replace(SEED, seed=1, data=replace(SEED.data, leave_out=1))
    start = {"datasets": {"fetal_phantom/3.2.0": "x"}, "leave_out": -1}
    runs = [(SEED, 1.0, 5, META), (other, 4.0, 7, META | {"before": [start]})]
    config, params, step, meta = mean_of(monkeypatch, *runs)
    np.testing.assert_array_equal(params["w"], [2.5, 2.5])
    assert (config.data.leave_out, step, meta["before"]) == (-1, 7, [start])


@pytest.mark.parametrize(
    ("config", "meta", "message"),
    [
        (SEED, META | {"fingerprint": "hc18/1.0.0 9 frames 2b"}, "run1 was trained on other data"),  # a record as first
        (SEED, META | {"origin": "SonoNet16"}, "or started from other weights, than run0"),
        (replace(SEED, batch_size=4), META, "only seed and data.leave_out may differ"),
    ],
)
def test_runs_that_differ_in_more_are_not_averaged(monkeypatch, config, meta, message):
    with pytest.raises(UserError, match=message):
        mean_of(monkeypatch, (SEED, 1.0, 5, META), (config, 4.0, 5, meta))


def test_runs_from_random_weights_are_not_averaged(monkeypatch):
    random = replace(SEED, init=recipe.InitConfig())
    with pytest.raises(UserError, match="run0 started from random weights"):
        mean_of(monkeypatch, (random, 1.0, 5, META), (random, 4.0, 5, META))


def test_the_card_says_how_often_the_network_looks():
    info = replace(bundle.read(bundle.DEFAULT), flip_average=True, close_up=0.0)
    assert "again" not in export.looks(info)
    twice = export.looks(replace(info, flip_average=False, close_up=0.5))
    assert "of the frame alone" in twice
    assert "enlarged to 50 % of the input and mirrored" in twice


def fill(draft: Path, source: Path, names: tuple[str, ...], temperature: float) -> None:
    for name in names:
        (draft / name).write_bytes((source / name).read_bytes())
    bundle.write(draft, replace(bundle.read(source), temperature=temperature))


@pytest.mark.parametrize("moved", range(5))
def test_bundle_that_is_killed_is_never_a_mixture(folder, tmp_path, monkeypatch, moved):
    """Killed after any number of files: the old bundle, the new one, or a folder that is refused; then made again."""
    out, names = tmp_path / "b", (bundle.ONNX, bundle.STABLEHLO, bundle.CARD)
    with bundle.replacing(out) as draft:
        (draft / bundle.HALF).write_bytes(b"of an older version")
        fill(draft, folder, names, 1.5)
    assert bundle.read(out).temperature == 1.5
    assert bundle.HALF in bundle.read(out).files
    (tmp_path / "source").mkdir()
    for name in (*names, bundle.INFO):
        (tmp_path / "source" / name).write_bytes((folder / name).read_bytes())
    moves, real = [], bundle.os.replace

    def killed(one, other):
        if Path(other).parent == out:
            if len(moves) == moved:
                raise KeyboardInterrupt
            moves.append(other)
        real(one, other)

    monkeypatch.setattr(bundle.os, "replace", killed)
    try:
        with bundle.replacing(out) as draft:
            fill(draft, tmp_path / "source", names, 2.5)
            (draft / bundle.CARD).write_text("another card")
            bundle.write(draft, replace(bundle.read(folder), temperature=2.5))
        finished = True
    except KeyboardInterrupt:
        finished = False
    monkeypatch.undo()
    assert finished == (moved == 4)
    try:
        assert bundle.read(out).temperature == (2.5 if finished else 1.5)
    except UserError:
        assert 0 < moved < 4
    with bundle.replacing(out) as draft:
        fill(draft, folder, names, 3.5)
    assert bundle.read(out).temperature == 3.5
    assert {p.name for p in out.iterdir()} - {LOCK} == {*names, bundle.INFO}


def test_bundle_that_fails_half_way_changes_nothing(folder, tmp_path):
    out = copy(folder, tmp_path / "b")
    before = {p.name: p.read_bytes() for p in out.iterdir()}

    def fails():
        with bundle.replacing(out) as draft:
            (draft / bundle.ONNX).write_bytes(b"half")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fails()
    assert {p.name: p.read_bytes() for p in out.iterdir() if p.name != LOCK} == before


def test_folder_of_somebody_else_is_no_place_for_a_bundle(tmp_path):
    (tmp_path / bundle.ONNX).write_bytes(b"mine")
    with pytest.raises(UserError, match="not empty and not a bundle"), bundle.replacing(tmp_path):
        raise AssertionError
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {bundle.ONNX: b"mine"}


@pytest.mark.parametrize(
    "theirs", ['{"name": "app", "files": []}', '["schema", "files"]', '{"schema": 1,', '{"schema": 1}']
)
def test_bundle_json_of_another_program_is_no_bundle(tmp_path, theirs):
    for name, content in ((bundle.INFO, theirs), (bundle.ONNX, "mine")):
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match="not empty and not a bundle"), bundle.replacing(tmp_path):
        raise AssertionError
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {bundle.INFO: theirs, bundle.ONNX: "mine"}


def test_shipped_networks_name_no_folder_of_the_machine_that_exported_them():
    networks = [*bundle.SHIPPED.glob("*/model.*")]
    assert networks
    for path in networks:
        assert not re.search(rb"/(home|root|work|Users|tmp)/", path.read_bytes()), path
