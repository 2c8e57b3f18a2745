"""The library's way in: spacings of every kind, statuses, intervals, runtimes."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom.multival import MultiValue
from pydicom.valuerep import DSdecimal, DSfloat

from fetal_jax import bundle
from fetal_jax.biometry import Measurement
from fetal_jax.errors import UserError
from fetal_jax.inference import Predictor, runtimes
from fetal_jax.inference.acceptance import NOT_CALIBRATED
from fetal_jax.inference.predictor import GIVE_SIZE
from fetal_jax.inference.result import FrameResult
from fetal_jax.reading.frame import Failure, Frame
from fetal_jax.reading.sources import Source
from fetal_jax.reading.spacing import NOT_COVERED, PixelSize, Region
from fetal_jax.reading.spacing_table import OR_RULER, Spacings
from tests.support.drawn_heads import PREDICTOR, SPACING_MM, head
from tfds_builders.fetal_phantom.phantom import draw

RULES = {"head": {"data": "drawn heads"}}
CALIBRATED = replace(PREDICTOR, info=replace(PREDICTOR.info, acceptance=RULES))
FRAME = head(0).image
HC = CALIBRATED.measure(FRAME, SPACING_MM).hc_mm


@pytest.fixture(scope="module")
def shipped() -> Predictor:
    return Predictor.from_bundle()


@pytest.mark.parametrize(
    "spacing",
    [
        np.float32(SPACING_MM),
        Decimal("0.8"),
        DSfloat("0.8"),
        (0.8, 0.8),
        [0.8, 0.8],
        np.array([0.8, 0.8]),
        np.array(0.8),
        MultiValue(DSfloat, ["0.8", "0.8"]),
        MultiValue(DSdecimal, ["0.8", "0.8"]),
    ],
    ids=str,
)
def test_spacing_is_accepted_in_every_form(spacing):
    assert CALIBRATED.measure(FRAME, spacing_mm=spacing).hc_mm == pytest.approx(HC, rel=1e-6)


def test_list_means_row_and_column():
    tall = np.repeat(FRAME, 2, axis=0)
    result = CALIBRATED.measure(tall, spacing_mm=[0.4, 0.8])
    assert result.hc_mm == pytest.approx(HC, rel=0.01)
    assert CALIBRATED.measure(tall, spacing_mm=[0.8, 0.4]).hc_mm != pytest.approx(HC, rel=0.1)


@pytest.mark.parametrize(
    "spacing", [-1, 0, float("nan"), float("inf"), (0.8, 0.8, 0.8), [], "wide", (0.8, -0.8), [[0.8]]]
)
def test_impossible_spacing_is_refused_as_given(spacing):
    with pytest.raises(ValueError, match=r"spacing_mm is one positive number of mm per pixel or two") as caught:
        CALIBRATED.measure(FRAME, spacing_mm=spacing)
    assert repr(spacing) in str(caught.value)


def test_a_picture_with_a_palette_is_measured_by_its_colours():
    image = Image.fromarray(FRAME).convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
    assert CALIBRATED.measure(image, SPACING_MM).hc_mm == pytest.approx(HC)
    assert CALIBRATED.measure(np.asarray(image), SPACING_MM).hc_mm != pytest.approx(HC)


def frame_of(size: PixelSize, **changes) -> Frame:
    return replace(Frame(Source(Path("a.dcm")), 0, FRAME, size), **changes)


def test_a_frame_of_a_file_is_measured_where_its_spacing_holds():
    mm = (SPACING_MM, SPACING_MM)
    rows, columns = FRAME.shape
    whole, half = ((Region((-np.inf, -np.inf, share * columns, rows), mm),) for share in (1, 0.5))
    inside = CALIBRATED.measure_frame(frame_of(PixelSize(mm, "dicom", regions=whole)), "head")
    assert inside.hc_mm == pytest.approx(HC)
    outside = CALIBRATED.measure_frame(frame_of(PixelSize(mm, "dicom", regions=half)))
    assert (outside.status, outside.hc_mm, outside.reasons) == ("refused", None, (NOT_COVERED,))
    doubted = CALIBRATED.measure_frame(frame_of(PixelSize(mm, "dicom"), warnings=("premature end of file",)))
    assert (doubted.status, doubted.reasons) == ("review", ("premature end of file",))


def test_a_frame_of_a_file_says_why_it_has_no_spacing():
    why = "the DICOM header has no ultrasound region"
    frame = frame_of(PixelSize(reason=why))
    result = CALIBRATED.measure_frame(frame)
    assert (result.status, result.reason) == ("refused", f"no spacing: {why}: {GIVE_SIZE}")
    assert CALIBRATED.measure_frame(frame_of(PixelSize())).reason == f"no spacing: {GIVE_SIZE}"
    of_command = CALIBRATED.measure_frame(frame, size=Spacings("none").of(frame))
    assert of_command.reason == f"no spacing: {why}: {OR_RULER}"
    assert CALIBRATED.measure_frame(frame, size=Spacings("flag", SPACING_MM).of(frame)).hc_mm == pytest.approx(HC)


@pytest.mark.parametrize(
    ("frame", "size", "name"),
    [(Failure(Source(Path("a")), 0, "damaged"), None, "Failure"), (frame_of(PixelSize()), 0.12, "float")],
)
def test_what_is_no_frame_of_a_file_is_refused(frame, size, name):
    with pytest.raises(ValueError, match=rf"Frame of fetal_jax\.reading\.isolated\.read.*, not {name}$"):
        CALIBRATED.measure_frame(frame, size=size)


def test_messages_of_the_library_name_arguments():
    result = CALIBRATED.measure(FRAME)
    assert (result.status, result.hc_mm) == ("refused", None)
    assert "spacing_mm" in result.reason
    messages = [result.reason]
    single = replace(PREDICTOR, info=replace(PREDICTOR.info, planes=("head",)))
    for predictor, plane in ((CALIBRATED, "femur"), (CALIBRATED, "spine"), (CALIBRATED, "other"), (single, "auto")):
        with pytest.raises(UserError) as caught:
            predictor.measure(FRAME, SPACING_MM, plane)
        messages.append(str(caught.value))
    assert not any("--" in message for message in messages)
    with pytest.raises(UserError, match="give --plane=head"):
        single.check_plane("auto", argument="--plane")


def test_network_of_one_plane_has_no_probability_of_it():
    single = replace(PREDICTOR, info=replace(PREDICTOR.info, planes=("head",)))
    single = replace(single, forward=lambda fed: (PREDICTOR.forward(fed)[0], np.zeros((len(fed), 1), np.float32)))
    alone = single.measure(FRAME, SPACING_MM, "head")
    assert (alone.plane_probability, alone.hc_mm) == (None, pytest.approx(HC))
    both = PREDICTOR.measure(FRAME, SPACING_MM, "head")
    assert both.plane_probability == pytest.approx(1 / (1 + np.exp(-3)))  # logits of 3 and 0


def test_values_are_those_of_the_measurement_unless_refused():
    sizes = {"hc_mm": 200.0, "ac_mm": 180.0, "fl_mm": 35.0}
    for status, given in (("measured", True), ("review", True), ("refused", False)):
        result = FrameResult(status, "head", 0.9, Measurement("head", **sizes))
        assert {name: getattr(result, name) for name in sizes} == (sizes if given else dict.fromkeys(sizes))


def test_what_is_found_is_in_network_pixels_and_the_result_in_the_frames_own():
    (seen,) = CALIBRATED.predict([FRAME], [SPACING_MM])
    found, result = CALIBRATED.find(seen, FRAME, "head", SPACING_MM), CALIBRATED.measure(FRAME, SPACING_MM)
    assert found.measurement.hc_mm == result.hc_mm == HC
    there = result.measurement.ellipse.transform(seen.to_network)
    np.testing.assert_allclose(np.asarray(there), np.asarray(found.measurement.ellipse), atol=1e-9)


class Looks:
    """The drawn network, which remembers the frames that it was given, and may see nothing in some of them."""

    def __init__(self, blind: tuple[int, ...] = ()):
        self.frames, self.blind = [], blind

    def __call__(self, fed):
        self.frames += list(fed[..., 0])
        maps, planes = PREDICTOR.forward(fed)
        return (maps - 40 if len(self.frames) in self.blind else maps), planes


def closer(forward, flip=False, share=0.5):
    info = replace(CALIBRATED.info, close_up=share, flip_average=flip)
    return replace(CALIBRATED, info=info, forward=forward)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("spacing", [SPACING_MM, (0.5, 0.8)])
def test_a_second_look_measures_the_same_structure(flip, spacing):
    moved = np.pad(FRAME, ((0, 150), (220, 0)))  # small, in the upper right
    once, twice = closer(Looks(), flip, share=0).measure(moved, spacing), closer(Looks(), flip).measure(moved, spacing)
    assert twice.hc_mm == pytest.approx(once.hc_mm, rel=0.01)
    one, two = (np.asarray(r.measurement.ellipse) for r in (once, twice))
    np.testing.assert_allclose(two[:4], one[:4], atol=1)


def test_the_second_look_is_enlarged_centred_and_mirrored():
    forward = Looks()
    closer(forward).measure(np.pad(FRAME, ((0, 150), (220, 0))), SPACING_MM)
    first, second = (np.argwhere(frame > 127) for frame in forward.frames)
    height, width = forward.frames[1].shape
    low, high = second.min(0), second.max(0) + 1
    assert max((high - low) / (height, width)) == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose((low + high) / 2, (height / 2, width / 2), atol=2)
    assert len(second) > 1.5 * len(first)
    tilted = [np.cov(points.T)[0, 1] for points in (first, second)]
    assert tilted[0] * tilted[1] < 0


@pytest.mark.parametrize(("plane", "weight"), [("head", 1), ("abdomen", 0.5), ("femur", 2)])
def test_the_second_look_has_the_weight_of_its_plane(plane, weight):
    predictor = closer(Looks(blind=(2,)))
    (seen,) = predictor.predict([FRAME], [SPACING_MM])
    found = predictor.find(seen, FRAME, plane, SPACING_MM)
    assert found.seen.probability.max() == pytest.approx(1 / (1 + weight), abs=0.01)
    assert ("nothing found" in found.measurement.flags) == (weight >= 1)


def test_nothing_is_looked_at_again_where_nothing_is_found():
    assert closer(Looks(blind=(1,))).measure(FRAME, SPACING_MM).reason == "no head is found in this picture"


def test_several_structures_of_the_first_look_are_remembered():
    two = np.pad(FRAME, ((0, 150), (220, 0)))
    two[-60:-20, 20:60] = 255
    once, twice = (closer(Looks(), share=share).measure(two, SPACING_MM) for share in (0, 0.9))
    assert "several structures" in once.measurement.flags
    assert "several structures" in twice.measurement.flags


def test_frame_of_no_measured_plane_is_refused_as_what_it_is():
    other = replace(PREDICTOR, forward=lambda fed: (PREDICTOR.forward(fed)[0], PREDICTOR.forward(fed)[1][:, ::-1]))
    result = other.measure(FRAME, SPACING_MM)
    assert (result.status, result.plane, result.measurement) == ("refused", "other", None)
    assert result.plane_probability == pytest.approx(1 / (1 + np.exp(-3)))


def test_uncalibrated_bundle_gives_values_to_review():
    result = PREDICTOR.measure(FRAME, SPACING_MM)
    assert (result.status, result.reason) == ("review", NOT_CALIBRATED)
    assert result.hc_mm == pytest.approx(HC)


def test_warning_about_the_frame_gives_review():
    result = CALIBRATED.measure(FRAME, SPACING_MM, warnings=["premature end of file"])
    assert (result.status, result.reason) == ("review", "premature end of file")
    assert result.hc_mm == pytest.approx(HC)


def test_fitted_score_decides():
    model = {"inputs": ["width"], "weights": [1.0], "bias": 0.0}
    for limit, status in ((0.001, "review"), (0.9, "measured")):
        rule = {"head": {"data": "x", "score": model, "limit": limit}}
        result = replace(PREDICTOR, info=replace(PREDICTOR.info, acceptance=rule)).measure(FRAME, SPACING_MM)
        assert result.status == status
        assert 0.001 < result.error_probability < 0.9


def test_interval_is_given_only_with_data_of_the_frames_kind(shipped):
    frame = draw("head", 1)
    table = {"level": 0.9, "factor": 2.0}

    def measured(table, **more):
        info = replace(shipped.info, intervals={"hc_mm": table, "ac_mm": table})
        return replace(shipped, info=info).measure(frame.image, frame.spacing_mm, **more)

    real = measured(table | {"data": "hc18/benchmark/1.1.0 36 frames"})
    sd = real.measurement.sd_mm
    assert real.interval_mm == pytest.approx((real.hc_mm - 2 * sd, real.hc_mm + 2 * sd))
    assert real.interval_data == "hc18/benchmark/1.1.0 36 frames"
    drawn = measured(table | {"data": "fetal_phantom/large/3.2.0 900 frames"})
    assert (drawn.hc_mm, drawn.interval_mm, drawn.interval_data) == (real.hc_mm, None, "")
    assert measured(table).interval_mm is None  # it does not name its data
    forced = measured(table | {"data": "hc18/benchmark/1.1.0 36 frames"}, plane="abdomen")
    assert (forced.status, forced.interval_mm) == ("review", None)


def test_interval_is_as_wide_as_its_table_says_and_not_below_zero():
    predictor = replace(PREDICTOR, info=replace(PREDICTOR.info, intervals={"hc_mm": {"factor": 2.0}}))
    found = Measurement("head", hc_mm=100.0, sd_mm=3.0)
    assert predictor.interval(found) == (94.0, 106.0)
    assert predictor.interval(replace(found, hc_mm=4.0)) == (0.0, 10.0)
    for lacking in ({"hc_mm": None}, {"sd_mm": None}, {"plane": "abdomen"}):
        assert predictor.interval(replace(found, **lacking)) is None


@pytest.mark.parametrize("plane", ["head", "abdomen", "femur"])
def test_wrong_plane_is_never_measured(shipped, plane):
    frame = draw(plane, 0)
    assert shipped.measure(frame.image, frame.spacing_mm).status == "measured"
    for other in {"head", "abdomen", "femur"} - {plane}:
        result = shipped.measure(frame.image, frame.spacing_mm, other)
        assert result.status in ("review", "refused")
        assert f"the network sees {'an' if plane == 'abdomen' else 'a'} {plane}" in result.reason


def test_runtime_that_the_bundle_has_no_file_for_names_the_command(tmp_path):
    shutil.copy(bundle.DEFAULT / bundle.ONNX, tmp_path)
    bundle.write(tmp_path, bundle.read(bundle.DEFAULT))
    with pytest.raises(UserError, match=r"no model\.stablehlo: export it again with fetal-jax export"):
        Predictor.from_bundle(tmp_path, "jax")
    with pytest.raises(UserError, match="runtime 'tpu' is unknown"):
        Predictor.from_bundle("default", "tpu")
    assert set(runtimes.RUNTIMES) == {"onnx", "jax"}


def test_a_text_in_place_of_warnings_is_refused():
    for wrong in ("premature end of file", None):
        with pytest.raises(ValueError, match="warnings is a sequence of texts, .*not " + repr(wrong)):
            CALIBRATED.measure(FRAME, SPACING_MM, warnings=wrong)
    with pytest.raises(ValueError, match="warnings is a sequence of texts"):
        CALIBRATED.measure_batch([FRAME, FRAME], [SPACING_MM] * 2, warnings=["dark", "dark"])


def test_a_batch_has_one_spacing_for_each_frame():
    assert CALIBRATED.measure_batch([], []) == []
    for wrong in ([SPACING_MM], SPACING_MM, [SPACING_MM] * 3, "0.8", None, {0.1, 0.2}, {0.1: FRAME, 0.2: FRAME}):
        with pytest.raises(ValueError, match="spacings has one entry for each of the 2 frames, not "):
            CALIBRATED.measure_batch([FRAME, FRAME], wrong)
    with pytest.raises(ValueError, match="warnings has one entry for each of the 2 frames, not "):
        CALIBRATED.measure_batch([FRAME, FRAME], [SPACING_MM] * 2, warnings=[["dark"]])


def test_a_wrong_name_of_a_value_is_no_missing_value():
    for result in (CALIBRATED.measure(FRAME), FrameResult("refused", "thorax", 0.9, None)):
        assert (result.status, result.value("bpd_mm")) == ("refused", None)
        with pytest.raises(ValueError, match=r"a value is one of hc_mm, .*, not 'bdp_mm'"):
            result.value("bdp_mm")


def test_a_list_of_planes_is_refused_in_words():
    with pytest.raises(ValueError, match=r"plane is one plane for all frames, such as 'head', not \['head', 'head'\]"):
        CALIBRATED.measure_batch([FRAME, FRAME], [SPACING_MM] * 2, plane=["head", "head"])


def test_a_generator_of_frames_is_a_batch():
    results = CALIBRATED.measure_batch((frame for frame in [FRAME, FRAME]), (s for s in [SPACING_MM] * 2))
    assert [r.hc_mm for r in results] == [pytest.approx(HC)] * 2


def test_a_predictor_is_shown_in_a_line(shipped):
    assert repr(shipped).startswith("<Predictor of ")
    assert len(repr(shipped)) < 120


def test_diameters_of_a_head_are_properties():
    result = CALIBRATED.measure(FRAME, SPACING_MM)
    assert (result.ofd_mm, result.bpd_mm) == result.value("diameters_mm")


def test_a_predictor_can_be_pickled(shipped):
    again = pickle.loads(pickle.dumps(shipped))
    assert again.measure(FRAME, SPACING_MM) == shipped.measure(FRAME, SPACING_MM)
