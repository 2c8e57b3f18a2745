"""The decision between measured, review and refused, and its reasons."""

from __future__ import annotations

import pytest

from fetal_jax.biometry import FLAGS, Measurement
from fetal_jax.geometry import Ellipse
from fetal_jax.inference.acceptance import NO_SPACING, NOT_CALIBRATED, WORDS, decide, kind_of, kinds_of, plane_is_sure

SURE_HEAD = {"other": 0.01, "abdomen": 0.01, "head": 0.97, "femur": 0.01}
RULE = {"data": "a set of frames"}
SCORED = RULE | {"limit": 0.1}


def head(*flags: str) -> Measurement:
    return Measurement("head", Ellipse(50, 50, 30, 25, 0), hc_mm=170.0, flags=flags)


def test_value_without_doubt_is_measured_without_reason():
    decision = decide(head(), SURE_HEAD, "head", RULE)
    assert (decision.status, decision.reasons) == ("measured", ())


def test_head_that_leaves_the_picture_is_measured():
    assert decide(head("leaves the frame"), SURE_HEAD, "head", RULE).status == "measured"


@pytest.mark.parametrize("flag", sorted(FLAGS.keys() - {"leaves the frame"}))
def test_each_flag_has_words_and_prevents_measured(flag):
    decision = decide(head(flag), SURE_HEAD, "head", RULE)
    assert decision.status == ("refused" if flag in ("nothing found", "no spacing", "implausible size") else "review")
    (reason,) = decision.reasons
    assert reason == WORDS[flag].format(plane="head", a_plane="a head", where="")
    assert "{" not in reason


def test_all_reasons_are_given_the_gravest_first():
    planes = SURE_HEAD | {"head": 0.7, "abdomen": 0.28}
    decision = decide(head("poor fit", "no spacing"), planes, "head", None, frame_doubts=["the scan is truncated"])
    assert decision.status == "refused"
    assert decision.reasons == (
        NO_SPACING,
        "the network is not sure that this is a head (70 %)",
        "the scan is truncated",
        "the outline departs from an ellipse",
    )


def test_forced_plane_that_the_network_does_not_see_is_review():
    planes = {"other": 0.0, "abdomen": 0.994, "head": 0.006, "femur": 0.0}
    decision = decide(head(), planes, "head", RULE)
    assert (decision.status, decision.reasons) == ("review", ("the network sees an abdomen (probability 99 %)",))
    none = decide(head(), {"other": 0.9, "head": 0.1}, "head", RULE)
    assert none.status == "review"
    assert none.reasons == ("the network sees no plane that is measured (probability 90 %)",)


def test_plane_that_is_not_measured_is_refused_with_advice_and_nothing_is_invited():
    decision = decide(None, {"other": 0.97, "head": 0.03}, "other", None)
    assert decision.status == "refused"
    advice = "if it shows a plane that is measured, give it (plane=head, abdomen or femur), else leave the frame out"
    assert decision.reasons == (f"the network sees no plane that is measured (probability 97 %): {advice}",)
    thorax = decide(None, {"thorax": 0.9, "head": 0.1}, "thorax", None)
    assert thorax.reasons == (f"the network sees a thorax (probability 90 %): {advice}",)
    assert kind_of(decision.reasons[0]) == "the network sees no plane that is measured"


@pytest.mark.parametrize(("probability", "status"), [(0.79, "review"), (0.81, "measured")])
def test_plane_below_80_percent_is_review(probability, status):
    planes = {"head": probability, "abdomen": 1 - probability}
    assert decide(head(), planes, "head", RULE).status == status
    assert plane_is_sure(planes, "head") == (status == "measured")


def test_bundle_with_one_plane_is_always_sure_of_it():
    assert decide(head(), {"head": 1.0}, "head", RULE).status == "measured"


def test_decoder_warning_is_review_in_the_decoders_words():
    decision = decide(head(), SURE_HEAD, "head", RULE, frame_doubts=["premature end of JPEG file"])
    assert (decision.status, decision.reasons) == ("review", ("premature end of JPEG file",))


def test_uncalibrated_bundle_gives_review_and_names_the_command():
    decision = decide(head(), SURE_HEAD, "head", None)
    assert (decision.status, decision.reasons) == ("review", (NOT_CALIBRATED,))
    assert "fetal-jax evaluate --bundle=BUNDLE --calibrate" in NOT_CALIBRATED
    assert NOT_CALIBRATED not in decide(head("nothing found"), SURE_HEAD, "head", None).reasons


def test_score_overrules_flags_of_the_outline_but_not_of_the_shape():
    assert decide(head("poor fit", "low confidence"), SURE_HEAD, "head", SCORED, 0.05).status == "measured"
    assert decide(head("implausible shape"), SURE_HEAD, "head", SCORED, 0.05).status == "review"
    assert decide(head("no spacing"), SURE_HEAD, "head", SCORED, 0.05).status == "refused"
    risky = decide(head(), SURE_HEAD, "head", SCORED, 0.23)
    assert risky.status == "review"
    assert risky.reasons == ("the value may be off by more than 5 % (probability 23 %)",)


def test_sides_and_structure_are_named():
    where = {"low confidence": " on the left side (in shadow)"}
    (reason,) = decide(head("low confidence"), SURE_HEAD, "head", RULE, where=where).reasons
    assert reason == "the outline is soft on the left side (in shadow)"
    abdomen = Measurement("abdomen", flags=("implausible shape",))
    assert decide(abdomen, {"abdomen": 1.0}, "abdomen", RULE).reasons == (
        "the outline does not have the shape of an abdomen",
    )
    femur = Measurement("femur", flags=("low confidence", "nothing found"))
    assert decide(femur, {"femur": 1.0}, "femur", RULE).reasons == (
        "no femur is found in this picture",
        "it is not clear where the femur ends",
    )


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("the network is not sure that this is a head (70 %)", "the network is not sure that this is a head"),
        ("the outline is soft on the left, upper and lower sides (in shadow)", "the outline is soft"),
        ("the outline departs from an ellipse on the right side", "the outline departs from an ellipse"),
        ("the head leaves the picture; under 60 % of its outline is seen", "the head leaves the picture"),
        ("it has damaged pixels (ValueError: no shape (400,520)): export it again", "it has damaged pixels"),
        (NO_SPACING, "no spacing"),
        ("has 16 bits per channel: save it as 8-bit grey or RGB", "has 16 bits per channel"),
    ],
)
def test_reasons_are_counted_without_numbers_sides_and_remedies(reason, kind):
    assert kind_of(reason) == kind


def test_every_reason_is_counted_and_no_remedy():
    """Otherwise a call says "not calibrated (8)" of fifteen rows that all say so."""
    several = "the network sees no plane that is measured (probability 82 %); " + "; ".join(
        (WORDS["several structures"], WORDS["poor fit"].format(where=" on the left side"), NOT_CALIBRATED)
    )
    assert kinds_of(several) == [
        "the network sees no plane that is measured",
        "several structures are found",
        "the outline departs from an ellipse",
        "not calibrated",
    ]
    spacing = "no spacing: the table has no row for 'a.png'; the nearest name in it is 'b.png'; "
    sure = "the network is not sure that this is a head"
    assert kinds_of(f"{spacing}{sure} (61 %)") == ["no spacing", sure]
    decision = decide(head("cut off"), SURE_HEAD | {"head": 0.7, "abdomen": 0.28}, "head", SCORED, 0.5)
    assert kinds_of("; ".join(decision.reasons)) == [kind_of(reason) for reason in decision.reasons]
    assert len(decision.reasons) == 3
