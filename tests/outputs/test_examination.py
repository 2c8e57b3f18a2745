"""From frames to an examination: grouping, robust sizes, age with its range, weight, ratios, visits."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetal_jax.growth import GrowthError, centile, fetal_weight, gestational_age
from fetal_jax.inference.identity import Identities, Key, Naming
from fetal_jax.outputs.examinations import tables
from fetal_jax.outputs.examinations.examination import group, summarise
from fetal_jax.outputs.examinations.page import measure_cells
from fetal_jax.outputs.examinations.visits import follow
from fetal_jax.planes import QUANTITIES
from fetal_jax.reading.study import Labels, Study
from tests.support.examination_rows import PLANE, correlated, row, sizes, woman


def one(rows, **options):
    (examination,) = group(rows)
    return summarise(examination, **options)


# --------------------------------------------------------------------------------------------- 500 drawn women


@pytest.mark.parametrize("standard", ["hadlock", "intergrowth"])
def test_500_women_of_median_size_get_the_age_and_weight_of_growth(standard):
    """All frames in one shuffled list, each size in three frames, and an absurd one to review that must not count."""
    rng = np.random.default_rng(0)
    truth, rows = {}, []
    for i in range(500):
        mm = sizes(rng.uniform(16, 38), standard)
        truth[str(i)] = mm
        for factor in (0.99, 1.0, 1.01):
            rows += woman(str(i), {m: factor * value for m, value in mm.items()})
        rows.append(row("head", 2 * mm["hc"], str(i), "review"))
    random.Random(0).shuffle(rows)
    found = {e.name: summarise(e, standard) for e in group(rows)}
    assert set(found) == set(truth)
    formula = {"hadlock": "hadlock3", "intergrowth": "intergrowth"}[standard]
    for name, mm in truth.items():
        lengths = {f"{m}_mm": value for m, value in mm.items()}
        age, weight = gestational_age(**lengths, standard=standard), fetal_weight(**lengths, formula=formula)
        assert abs(found[name].age.weeks - age.weeks) < 1e-9  # asked: 1 day
        assert found[name].weight.grams == pytest.approx(weight.grams, rel=1e-12)
        assert found[name].status == "measured"


@pytest.mark.parametrize("standard", ["hadlock", "intergrowth"])
@pytest.mark.parametrize("correlation", [0.3, 0.5, 0.7])
def test_the_range_of_the_age_covers_90_to_98_percent_of_500_fetuses(standard, correlation):
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(500):
        weeks = rng.uniform(16, 38)
        found = one(woman("a", sizes(weeks, standard, correlated(rng, correlation))), standard=standard)
        if found.age:
            inside.append(found.age.low <= weeks <= found.age.high)
    assert len(inside) >= 485
    assert 0.90 <= np.mean(inside) <= 0.98


@settings(max_examples=60)
@given(
    st.lists(st.floats(15, 39), min_size=2, max_size=4),
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["hc", "ac", "fl"])), max_size=12),
    st.randoms(use_true_random=False),
)
def test_women_in_one_folder_are_never_mixed(ages, extra, shuffler):
    truth = [sizes(weeks) for weeks in ages]
    rows = [frame for i, mm in enumerate(truth) for frame in woman(f"w{i}", mm, patient=f"p{i}", day=i)]
    for i, measure in extra:
        i %= len(ages)
        rows.append(row(PLANE[measure], truth[i][measure], f"w{i}", patient=f"p{i}", day=i))
    strangers = [row("head", 100.0, None), row("femur", 60.0, None)]
    shuffled = rows + strangers
    shuffler.shuffle(shuffled)
    found = {summary.examination.name: summary for p in follow(group(shuffled)) for summary in p.visits}
    assert len(found) == len(ages)
    for i, mm in enumerate(truth):
        summary = found[f"w{i}"]
        assert {m: summary.sizes_mm[m] for m in mm} == pytest.approx(mm, rel=1e-12)
        assert {r["examination"] for r in summary.examination.rows} == {f"w{i}"}

    merged = one([frame | {"examination": "one"} for frame in rows])  # a caller who calls them one woman
    assert merged.status == "refused"
    assert "patients" in merged.notes[0]
    assert not merged.sizes_mm
    assert merged.age is merged.weight is None

    unknown = {"examination": "one", "patient": None, "day": None}  # and without anything that tells them apart
    merged = one([frame | unknown for frame in rows])
    for plane, structure in merged.structures.items():
        for key, mm in structure.sizes_mm.items():
            near = 0.05 if plane == "head" else 0.08
            measures = [t[key] for t in truth if key in t] or [mm]
            assert min(abs(mm - true) / true for true in measures) <= near  # of one woman, or of women alike


# ----------------------------------------------------------------------------------------------------- the rules


def test_rows_without_an_examination_are_in_none():
    assert group([row("head", 200.0, None), row("femur", 40.0, None)]) == []


@pytest.mark.parametrize(
    ("key", "values", "word"),
    [
        ("patient", ("p", "q"), "2 patients"),
        ("day", (1, 2), "2 days"),
        ("stated_ga_weeks", (20.0, 21.0), "2 stated ages"),
    ],
)
def test_an_examination_of_two_women_days_or_ages_is_refused(key, values, word):
    found = one([row("head", 200.0, **{key: value}) for value in values])
    assert found.status == "refused"
    assert word in found.examination.refused
    assert "spacing table" in found.examination.refused
    assert found.structures["head"].sizes_mm == {}


def named_by(folder, plain, *frames):
    """Rows of one examination as a call names them: of (labels, study)."""
    identities = Identities(Key(lambda name: folder / name), Naming(plain=plain))
    return [row("head", 200.0) | identities.columns(*frame) for frame in frames]


@pytest.mark.parametrize("plain", [False, True])
def test_a_frame_that_names_no_patient_is_of_the_same_day(tmp_path, plain):
    """A DICOM frame, whose header names the patient, and an image, of which the table names examination and date."""
    label = Labels("e", date="2024-01-31")
    dicom, image = (label, Study("1.2", "MRN-1", "2024-01-31")), (label, None)
    for frames in ((dicom, image), (image, dicom), (image,)):
        rows = named_by(tmp_path, plain, *frames)
        (examination,) = group(rows)
        assert examination.refused == ""
        assert (examination.patient is None) == (frames == (image,))
        assert examination.day == next(r["day"] for r in rows if r["patient"] == examination.patient)


def test_a_day_of_nobody_is_not_the_day_of_a_patient(tmp_path):
    """The days of two visits would be compared, each shifted by another number."""
    label = Labels("e", date="2024-01-31")
    rows = named_by(tmp_path, False, (Labels("e"), Study("1.2", "MRN-1", "")), (label, None))
    (examination,) = group(rows)
    assert (examination.patient, examination.day) == (rows[0]["patient"], None)


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("patient", ["", "MRN-1"])
def test_two_days_of_one_patient_or_of_nobody_are_refused(tmp_path, plain, patient):
    days = ((Labels("e", patient, date=day), None) for day in ("2024-01-31", "2024-02-01"))
    (examination,) = group(named_by(tmp_path, plain, *days))
    assert "2 days" in examination.refused


def test_plain_days_are_compared_whoever_they_name(tmp_path):
    header, table = Study("1.2", "MRN-1", "2024-01-31"), Labels("e", date="2024-02-01")
    (examination,) = group(named_by(tmp_path, True, (table, header), (table, None)))
    assert "2 days" in examination.refused


def test_twins_are_told_apart_by_the_column_fetus():
    found = [summarise(e) for e in group([*woman("a", sizes(24), fetus="1"), *woman("a", sizes(21), fetus="2")])]
    assert [s.examination.fetus for s in found] == ["1", "2"]
    assert found[0].age.weeks - found[1].age.weeks == pytest.approx(3, abs=0.5)


def test_twins_that_nobody_told_apart_are_refused_not_averaged():
    found = one([*woman("a", sizes(24)), *woman("a", sizes(21))])
    assert found.status == "refused"
    assert "two fetuses" in found.structures["head"].reason
    assert found.age is None


def test_examination_with_frames_that_contradict_each_other_is_to_review():
    other = [r for r in woman("a", sizes(20)) if r["plane"] == "femur"]
    found = one([*woman("a", sizes(24)), *other])
    assert found.structures["femur"].status == "refused"
    assert set(found.sizes_mm) == {"hc", "bpd", "ofd", "ac"}
    assert found.status == "review"
    assert any(note.startswith("femur: the 2 frames do not agree") for note in found.notes)
    no_femur = one([r for r in woman("a", sizes(24)) if r["plane"] != "femur"])
    assert (no_femur.structures["femur"].status, no_femur.status) == ("refused", "measured")


@pytest.mark.parametrize("kind", ["frames", "sizes", "stated"])
def test_no_value_of_a_contradictory_examination_is_measured_in_any_output(kind):
    """Two femurs, a femur of another woman, or a stated age 8 weeks off: CSV, page and JSON say it of each value."""
    rows = woman("a", sizes(24) | ({"fl": sizes(34)["fl"]} if kind == "sizes" else {}))
    rows += [row("femur", 20.0)] if kind == "frames" else []
    (pregnancy,) = follow(group([r | ({"stated_ga_weeks": 32.0} if kind == "stated" else {}) for r in rows]))
    found = pregnancy.visits[0]
    assert found.contradictory
    record = tables.record(pregnancy, 0)
    written = tables.cells(record)
    for measure in found.sizes_mm:
        plane = QUANTITIES[measure].plane
        assert record["structures"][plane]["status"] == written[f"{plane}_status"] == "review"
        assert measure_cells(found, record, measure)["status"] == "review"
        assert written[f"{plane}_reason"] in "; ".join(found.notes)
        assert written[f"{plane}_reason"]


def test_head_of_one_woman_and_femur_of_another_give_no_age_weight_or_ratio():
    found = one([*woman("a", sizes(30) | {"fl": sizes(20)["fl"]})])
    assert found.status == "review"
    assert found.age is found.weight is None
    assert "is of" in found.reasons["age"]
    assert set(found.ratios) == {"cephalic_index"}
    assert set(found.sizes_mm) == {"hc", "bpd", "ofd", "ac", "fl"}


@pytest.mark.parametrize(
    ("mm", "said"),
    [
        ({"hc": 74.0, "fl": 63.6}, "FL 63.6 mm is of 32w6d, HC 74.0 mm of under 14 weeks: "),
        ({"hc": 70.8, "ac": 354.6}, "AC 354.6 mm is of 39w3d, HC 70.8 mm of under 14 weeks: "),
        ({"ac": 400.0, "fl": 40.0}, "AC 400.0 mm is of over 42 weeks, FL 40.0 mm of 22w6d: "),
    ],
)
def test_a_size_outside_the_ages_of_the_formula_contradicts_the_others(mm, said):
    found = one(woman("a", mm))
    assert found.status == "review"
    assert found.age is found.weight is None
    assert not {"hc_ac", "fl_ac"} & found.ratios.keys()
    assert [note for note in found.notes if note.startswith(said)] == [found.reasons["age"]]


def test_sizes_just_outside_the_ages_of_the_formula_do_not_contradict_the_others():
    """13 weeks and 15 weeks differ by less than a fifth, 45 and 40 too; the age has its own reason."""
    for mm in ({"hc": 74.0, "fl": 17.0}, {"ac": 400.0, "fl": 76.0}):
        found = one(woman("a", mm))
        assert (found.status, found.notes) == ("measured", ())


def test_frames_to_review_count_only_where_none_is_measured():
    found = one([row("head", 200.0), row("head", 206.0, status="review"), row("abdomen", 180.0, status="review")])
    assert found.sizes_mm["hc"] == 200.0
    assert found.structures["head"].status == "measured"
    assert found.structures["abdomen"].status == found.status == "review"
    assert "abdomen: the outline has gaps or bulges" in found.notes
    assert found.structures["femur"].reason == "no frame shows the femur"


@pytest.mark.parametrize("key", ["instance", "sha256"])
def test_copies_count_once_with_a_note(key):
    """Seven copies would be a majority, against which the three other heads were off: there would be no value."""
    others = [row("head", 200.0, **{key: "b"}), row("head", 201.0, **{key: "c"})]
    found = one([*(row("head", 220.0, **{key: "a"}) for _ in range(7)), *others, row("head", 202.0)])
    assert found.sizes_mm["hc"] == 201.0
    head = found.structures["head"]
    assert (head.status, len(head.counted), len(head.left_out)) == ("review", 3, 7)
    assert "6 frames left out, of a copy of a file that counts" in head.reason
    assert "1 of 4 frames left out, over 5 %" in head.reason
    alone = one([row("head", 200.0, instance="a"), row("head", 200.0, instance="a"), row("femur", 40.0)])
    assert (alone.status, len(alone.structures["head"].counted)) == ("measured", 1)
    assert alone.notes == ("head: 1 frame left out, of a copy of a file that counts",)


def test_copies_with_other_values_share_one_weight():
    corrected = [row("head", 200.0, instance="a"), row("head", 201.0, instance="a")]
    found = one([*corrected, row("head", 204.0, instance="b"), row("head", 205.0, instance="c")])
    assert found.sizes_mm["hc"] == 204.0
    assert found.notes == ()


def test_a_cine_counts_once():
    cine = [row("head", 204.0, file="cine.dcm", frame=i) for i in range(50)]
    found = one([*cine, row("head", 200.0), row("head", 201.0)])
    assert found.sizes_mm["hc"] == 201.0


def test_an_outlier_among_many_is_left_out_and_said():
    found = one([*(row("head", mm) for mm in (200.0, 201.0, 202.0, 203.0)), row("head", 250.0)])
    head = found.structures["head"]
    assert found.sizes_mm["hc"] == pytest.approx(201.5)
    assert [r["hc_mm"] for r in head.left_out] == [250.0]
    assert head.status == "review"
    assert "1 of 5 frames left out" in head.reason


@pytest.mark.parametrize(("right", "wrong", "status"), [(3, 1, "review"), (8, 3, "refused")])
def test_a_quarter_of_the_frames_may_be_wrong_and_no_more(right, wrong, status):
    head = one([row("head", mm) for mm in [200.0] * right + [300.0] * wrong]).structures["head"]
    assert (head.status, head.sizes_mm.get("hc")) == (status, 200.0 if status == "review" else None)


def test_one_of_three_that_disagrees_leaves_no_value():
    assert one([row("femur", mm) for mm in (40.0, 40.0, 50.0)]).structures["femur"].status == "refused"


def test_spacings_of_different_sources_are_not_mixed():
    found = one([row("head", 200.0), row("head", 204.0, spacing_source="ruler")])
    assert found.sizes_mm["hc"] == 200.0
    assert "1 frame left out, whose spacing is not from dicom" in found.structures["head"].reason
    found = one([row("head", 200.0), row("femur", 36.0, spacing_source="ruler")])
    assert any("different sources (dicom, ruler)" in note for note in found.notes)


def test_the_best_frame_has_the_fewest_flags_then_the_surest_plane():
    rows = [
        row("head", 200.0, flags=["leaves the frame"]),
        row("head", 203.0),
        row("head", 201.0, plane_probability=0.9),
    ]
    assert one(rows).structures["head"].best is rows[1]


def test_ratios():
    found = one(woman("a", {"hc": 280.0, "ac": 250.0, "fl": 55.0}))
    assert found.ratios["cephalic_index"] == pytest.approx(80.0)
    assert found.ratios["hc_ac"] == pytest.approx(1.12)
    assert found.ratios["fl_ac"] == pytest.approx(22.0)


def test_centiles_are_judged_at_the_known_age():
    mm = sizes(30)
    rows = woman("a", mm)
    assert one(rows, ga_weeks=32.0).centiles["hc"] == centile("hc", mm["hc"], 32.0, "hadlock")
    stated = one([r | {"stated_ga_weeks": 31.0} for r in rows])
    assert (stated.weeks, stated.known_by) == (31.0, "stated")
    by_sizes = one(rows)
    assert by_sizes.weeks == by_sizes.age.weeks
    assert by_sizes.known_by == ""


def test_what_cannot_be_computed_says_why():
    found = one([row("head", 200.0)])
    assert "AC, FL are missing" in found.reasons["weight"]
    assert "no curve" in found.reasons["ofd"]
    found = one([row("femur", 40.0)], standard="intergrowth")
    assert found.age is None
    assert "hadlock" in found.reasons["age"]
    assert found.reasons["fl"] == "no age is known"
    with pytest.raises(GrowthError, match="hadlock, intergrowth, who"):
        one([row("femur", 40.0)], standard="fmf")


# -------------------------------------------------------------------------------------------------------- visits


def visit(name, weeks, day, z=None, patient="p", **changes):
    return woman(name, sizes(weeks, z=z), patient=patient, day=day, **changes)


def test_later_visits_are_dated_by_the_first_one():
    slow = dict.fromkeys(PLANE, -1.5)
    rows = [*visit("b", 30, 170, slow), *visit("a", 20, 100), *visit("c", 28, 500, patient="q")]
    pregnancies = follow(group(rows))
    assert [[v.examination.name for v in p.visits] for p in pregnancies] == [["a", "b"], ["c"]]
    first, second = pregnancies[0].visits
    assert first.known_by == ""
    assert second.known_by == "first visit"
    assert second.weeks == pytest.approx(first.age.weeks + 10)
    assert second.age.weeks < second.weeks - 1
    change = pregnancies[0].changes(1)
    assert change["hc"] == pytest.approx(second.centiles["hc"] - first.centiles["hc"])
    assert change["hc"] < -25
    assert pregnancies[0].changes(0) == {}
    assert pregnancies[0].days(1) == 70


def test_centiles_that_are_bounds_or_missing_have_no_change():
    (pregnancy,) = follow(group([*visit("a", 20, 100), *visit("b", 30, 170, {"hc": -4.0})]))
    assert pregnancy.visits[1].centiles["hc"].bound
    assert {"ac", "fl"} <= pregnancy.changes(1).keys()
    assert "hc" not in pregnancy.changes(1)
    first = [r for r in visit("a", 20, 100) if r["plane"] == "head"]
    (pregnancy,) = follow(group([*first, *visit("b", 30, 170)]))
    assert "hc" in pregnancy.changes(1)
    assert not {"ac", "fl"} & pregnancy.changes(1).keys()


def test_visit_without_a_day_is_counted_from_itself():
    (pregnancy,) = follow(group(woman("a", sizes(20))))
    assert pregnancy.days(0) == 0
    assert pregnancy.changes(0) == {}


def test_a_stated_age_stands():
    rows = [*visit("a", 20, 100), *visit("b", 30, 170, stated_ga_weeks=31.0)]
    (pregnancy,) = follow(group(rows))
    assert (pregnancy.visits[1].weeks, pregnancy.visits[1].known_by) == (31.0, "stated")


@pytest.mark.parametrize(("weeks", "day"), [(20, 500), (36, 130)])
def test_another_pregnancy_under_one_patient_is_not_on_the_same_chart(weeks, day):
    """A second child, or an export that calls every patient ANON."""
    pregnancies = follow(group([*visit("a", 20, 100), *visit("b", weeks, day)]))
    assert [len(p.visits) for p in pregnancies] == [1, 1]
    assert "another pregnancy" in pregnancies[1].visits[0].notes[-1]


def test_visits_of_a_second_pregnancy_are_dated_by_its_first():
    pregnancies = follow(group([*visit("a", 20, 100), *visit("b", 20, 500), *visit("c", 30, 570)]))
    assert [[v.examination.name for v in p.visits] for p in pregnancies] == [["a"], ["b", "c"]]
    assert pregnancies[1].visits[1].weeks == pytest.approx(pregnancies[1].visits[0].age.weeks + 10)


def test_twins_have_charts_of_their_own():
    rows = [
        r
        for fetus in "12"
        for n, day in (("a", 100), ("b", 170))
        for r in visit(n, 20 + (day - 100) / 7, day, fetus=fetus)
    ]
    assert [[v.examination.fetus for v in p.visits] for p in follow(group(rows))] == [["1", "1"], ["2", "2"]]
