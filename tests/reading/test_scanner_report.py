"""Reports made by hand after the standard: each gives the right values, or says why it does not."""

from __future__ import annotations

import re

import pytest

from fetal_jax.errors import UserError
from fetal_jax.reading.scanner.report import read_folder
from fetal_jax.reading.scanner.values import DERIVATIONS, MEASURES, Value
from tests.support.scanner_reports import (
    CM,
    KEY_OBJECTS,
    LOINC,
    MEAN,
    MEAN_SRT,
    SELECTED,
    biometry,
    coded,
    derivation,
    document,
    evidence,
    fetus,
    group,
    image,
    item,
    measurement_report,
    number,
    save,
)

IMAGE, OTHER = "1.2.3.4", "1.2.3.5"
SUMMARY = ("121111", "DCM", "Summary")


def one(*children, measure="hc", value="290", **how):
    """A report with one value."""
    return document(biometry(group(number(measure, value, *children, **how))))


def hc(mm=290.0, kind="single", fetus="", image="", frame=None):
    return Value("hc", mm, kind, fetus, image, frame)


def of_fetus(name, mm):
    return biometry(fetus(name), group(number("hc", mm)))


def by_reference(path):
    return item("IMAGE", None, relation="INFERRED FROM", ReferencedContentItemIdentifier=path)


def library(uid):
    return item("CONTAINER", ("111028", "DCM", "Image Library"), image(uid, relation="CONTAINS"))


def no_value():
    made = number("hc", "1")
    made.MeasuredValueSequence = []
    made.NumericValueQualifierCodeSequence = [coded(("114007", "DCM", "Measurement not attempted"))]
    return document(biometry(group(made)))


def two_values_in_one_item():
    made = number("hc", "290")
    made.MeasuredValueSequence = [*made.MeasuredValueSequence, *number("hc", "300").MeasuredValueSequence]
    return document(biometry(group(made)))


def not_a_number():
    made = number("hc", "1")
    made.MeasuredValueSequence[0].NumericValue = None
    return document(biometry(group(made)))


def fetuses(count):
    return item(
        "CONTAINER", SUMMARY, number("hc", str(count), unit=None, code=("11878-6", "LN", "Number of Fetuses by US"))
    )


def fetus_number(*value):
    """Its number; without one where none is given."""
    name = ("121037", "DCM", "Fetus Number")
    return number("hc", *value, unit=None, code=name) if value else item("NUM", name)


def scoord(uid):
    points = item("SCOORD", ("121055", "DCM", "Path"), image(uid, relation="SELECTED FROM"), relation="INFERRED FROM")
    points.GraphicType, points.GraphicData = "POLYLINE", [1.0, 1.0, 9.0, 9.0]
    return points


READ = {
    "millimetres": (lambda: one(), [hc()]),
    "centimetres": (lambda: one(value="29.05", unit=CM), [hc(290.5)]),
    "abdomen": (lambda: one(measure="ac", value="260"), [Value("ac", 260)]),
    "femur": (lambda: one(measure="fl", value="5.6", unit=CM), [Value("fl", 56)]),
    "BPD and OFD": (
        lambda: document(biometry(group(number("bpd", "80")), group(number("ofd", "100")))),
        [Value("bpd", 80), Value("ofd", 100)],
    ),
    "femur among the long bones too": (
        lambda: document(
            biometry(group(number("fl", "56"))),
            item("CONTAINER", ("125003", "DCM", "Fetal Long Bones"), group(number("fl", "56"))),
        ),
        [Value("fl", 56)],
    ),
    "mean, SNOMED CT": (lambda: one(derivation(MEAN)), [hc(kind="mean")]),
    "mean, the older SRT code": (lambda: one(derivation(MEAN_SRT)), [hc(kind="mean")]),
    "median": (lambda: one(derivation(("373099004", "SCT", "Median"))), [hc(kind="median")]),
    "best value": (lambda: one(derivation(("371912002", "SCT", "Best value"))), [hc(kind="selected")]),
    "selected by the user": (lambda: one(SELECTED), [hc(kind="selected")]),
    "measured": (lambda: one(derivation(("258104002", "SCT", "Measured"))), [hc()]),
    "three values and their mean": (
        lambda: document(
            biometry(group(*(number("hc", v) for v in ("289", "291")), number("hc", "290", derivation(MEAN))))
        ),
        [hc(289), hc(291), hc(290, "mean")],
    ),
    "image": (lambda: one(image(IMAGE)), [hc(image=IMAGE)]),
    "frame of a cine, counted from 1": (lambda: one(image(IMAGE, 7)), [hc(image=IMAGE, frame=6)]),
    "image by coordinates": (lambda: one(scoord(IMAGE)), [hc(image=IMAGE)]),
    "image by reference to the library": (
        lambda: document(library(IMAGE), biometry(group(number("hc", "290", by_reference([1, 1, 1]))))),
        [hc(image=IMAGE)],
    ),
    "two images: of neither alone": (lambda: one(image(IMAGE), image(OTHER)), [hc()]),
    "two fetuses, each named": (
        lambda: document(of_fetus("A", "290"), of_fetus("B", "280")),
        [hc(fetus="A"), hc(280, fetus="B")],
    ),
    "a fetus without a name is none": (
        lambda: document(
            biometry(fetus("A"), fetus(" "), fetus_number(), fetus_number(None), group(number("hc", "290")))
        ),
        [hc(fetus="A")],
    ),
    "no fetus is named": (lambda: document(biometry(fetus(""), group(number("hc", "290")))), [hc()]),
    "a fetus by its number": (
        lambda: document(biometry(fetus_number("0"), group(number("hc", "290")))),
        [hc(fetus="0")],
    ),
    "copy in the summary": (
        lambda: document(item("CONTAINER", SUMMARY, number("hc", "290.0004")), biometry(group(number("hc", "290")))),
        [hc()],
    ),
    "only in the summary": (lambda: document(item("CONTAINER", SUMMARY, number("hc", "290"))), [hc()]),
    "gestational age and weight beside it": (
        lambda: document(
            biometry(
                group(
                    number("hc", "290"),
                    number("hc", "224", unit=("d", "UCUM", "day"), code=("18185-9", "LN", "Gestational Age")),
                    number("hc", "1531", unit=("g", "UCUM", "gram"), code=("11727-5", "LN", "Estimated Weight")),
                )
            )
        ),
        [hc()],
    ),
    "a meaning in another language": (lambda: one(code=("11984-2", "LN", "Kopfumfang")), [hc()]),
}


@pytest.mark.parametrize("case", READ)
def test_values_are_read(tmp_path, case):
    made, expected = READ[case]
    save(made(), tmp_path / "report.dcm")
    (report,), refused = read_folder(tmp_path)
    assert list(report.values) == expected
    assert (list(report.refused), refused) == ([], [])


@pytest.mark.parametrize("fetus_id", ["", "B"])
def test_reports_by_highdicom_are_read_with_image_and_fetus(tmp_path, fetus_id):
    made = measurement_report([("hc", 290.0), ("fl", 56.5)], fetus_id)
    save(made, tmp_path / "report.dcm")
    (report,), _ = read_folder(tmp_path)
    uid = made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    named = {"fetus": fetus_id, "image": uid.ReferencedSOPInstanceUID}
    assert report.values == (Value("hc", 290.0, **named), Value("fl", 56.5, **named))
    assert (report.title, report.refused) == ("TID 1500", ())


INCH, PIXEL = ("[in_i]", "UCUM", "inch"), ("mm", "99LOCAL", "millimeter")
EQUATION = item("TEXT", ("121420", "DCM", "Equation"), relation="INFERRED FROM", TextValue="1.62 (BPD + OFD)")
AGE = number("hc", "224", unit=("d", "UCUM", "day"), code=("18185-9", "LN", "Gestational Age"))
AGE.RelationshipType = "INFERRED FROM"
PRIOR = item("UIDREF", ("121018", "DCM", "Procedure Study Instance UID"), relation="HAS OBS CONTEXT", UID="1.2.9")

REFUSED = {
    "a private code": (
        lambda: one(code=("HC01", "99MAKER", "Head Circumference")),
        "HC01 .99MAKER. is not LOINC's of HC",
    ),
    "LOINC's tape measure": (
        lambda: one(code=("8287-5", "LN", "Head circumference by tape")),
        "8287-5 .LN. is not LOINC",
    ),
    "the right digits of another scheme": (
        lambda: one(code=("11984-2", "SCT", "Head circumference")),
        "is not LOINC's",
    ),
    "codes swapped": (lambda: one(code=("11979-2", "LN", "Head Circumference")), "is AC's, its meaning is .Head Circ"),
    "inches": (lambda: one(value="11.4", unit=INCH), r"the unit \[in_i\] .UCUM."),
    "metres": (lambda: one(value="0.29", unit=("m", "UCUM", "meter")), "the unit m .UCUM."),
    "a unit of another scheme": (lambda: one(unit=PIXEL), "the unit mm .99LOCAL."),
    "no unit": (lambda: one(unit=None), "the unit is missing .no scheme."),
    "millimetres called centimetres": (lambda: one(unit=CM), "290 cm is not between 66 and 420 mm"),
    "centimetres called millimetres": (lambda: one(value="29"), "29 mm is not between"),
    "a negative value": (lambda: one(value="-290"), "-290 mm is not between"),
    "no value, and why": (no_value, "no value .Measurement not attempted."),
    "two values in one item": (two_values_in_one_item, "2 values in one item"),
    "an empty number": (not_a_number, "a value that is not a number"),
    "estimated": (lambda: one(derivation(("414135002", "SCT", "Estimated"))), "derivation Estimated"),
    "calculated": (lambda: one(derivation(("R-41D2D", "SRT", "Calculated"))), "derivation Calculated"),
    "standard deviation": (lambda: one(derivation(("386136009", "SCT", "Standard Deviation"))), "derivation Standard"),
    "selected, but estimated": (lambda: one(SELECTED, derivation(("R-10260", "SRT", "Estimated"))), "derivation Est"),
    "by an equation": (lambda: one(EQUATION), "from an equation, a table or the gestational age"),
    "from the gestational age": (lambda: one(AGE), "from an equation, a table or the gestational age"),
    "two fetuses, none named": (
        lambda: document(fetuses(2), biometry(group(number("hc", "290")))),
        "2 fetuses, and not",
    ),
    "two fetuses named, a third value of nobody": (
        lambda: document(of_fetus("A", "290"), of_fetus("B", "280"), biometry(group(number("hc", "270")))),
        "2 fetuses, and not said which",
    ),
    "a prior study by its context": (
        lambda: document(biometry(PRIOR, group(number("hc", "290")))),
        "of a prior procedure: its context names another study",
    ),
    "an image of a prior study": (
        lambda: document(
            biometry(group(number("hc", "290", image(IMAGE)))),
            PertinentOtherEvidenceSequence=[evidence([IMAGE], "1.9")],
        ),
        "measured in an image of another study",
    ),
    "observed last month": (
        lambda: document(biometry(group(_observed("20231201101112")))),
        r"observed on another day \(20231201\) than the study \(20240102\)",
    ),
}


def _observed(when):
    made = number("hc", "290")
    made.ObservationDateTime = when
    return made


@pytest.mark.parametrize("case", REFUSED)
def test_values_are_refused_with_the_reason(tmp_path, case):
    made, reason = REFUSED[case]
    save(made(), tmp_path / "report.dcm")
    (report,), _ = read_folder(tmp_path)
    assert not [v for v in report.values if v.mm == 290 and not v.fetus]
    assert len(report.refused) == 1
    assert re.search(reason, report.refused[0].reason)
    assert report.refused[0].where.endswith((": HC", ": AC"))


def rejected(uid, title=("113001", "DCM", "Rejected for Quality Reasons")):
    return document(title=title, class_=KEY_OBJECTS, CurrentRequestedProcedureEvidenceSequence=[evidence([uid])])


def set_of(*documents):
    return lambda: documents


def same_twice():
    made = one()
    return made, made


def corrected():
    first = one()
    return first, document(
        biometry(group(number("hc", "291"))), PredecessorDocumentsSequence=[evidence([first.SOPInstanceUID])]
    )


def reject_the_report():
    first = one()
    return first, rejected(first.SOPInstanceUID)


def deep():
    tree = number("hc", "290")
    for _ in range(60):
        tree = group(tree)
    return (document(tree),)


WHOLE = {
    "another kind of report": (set_of(document(title=("125200", "DCM", "Adult Echo Report"))), [], "Adult Echo Report"),
    "our own report": (
        lambda: (document(biometry(group(number("hc", "290"))), Manufacturer="fetal_jax"),),
        [],
        "by this prog",
    ),
    "no study": (
        lambda: (document(biometry(group(number("hc", "290"))), StudyInstanceUID=""),),
        [],
        "StudyInstanceUID",
    ),
    "the same file twice": (same_twice, [290], "the same report as another file"),
    "an earlier version": (corrected, [291], "a later version of it is there"),
    "a rejected report": (reject_the_report, [], "rejected by a Key Object Selection"),
    "none of the five sizes": (
        set_of(document(biometry(group(number("hc", "1", code=("11727-5", "LN", "EFW")))))),
        [],
        "without HC",
    ),
    "a tree without end": (deep, [], "over 40 levels"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_whole_reports_are_refused_with_the_reason(tmp_path, case):
    made, expected, reason = WHOLE[case]
    for i, each in enumerate(made()):
        save(each, tmp_path / f"{i}.dcm")
    reports, refused = read_folder(tmp_path)
    assert [v.mm for r in reports for v in r.values] == expected
    assert len(refused) == 1
    assert reason in refused[0].reason


def test_a_value_of_a_rejected_image_is_refused(tmp_path):
    save(one(image(IMAGE)), tmp_path / "report.dcm")
    save(rejected(IMAGE), tmp_path / "ko.dcm")
    (report,), _ = read_folder(tmp_path)
    assert (report.values, report.refused[0].reason) == ((), "measured in a rejected image")


def test_a_key_object_selection_that_rejects_nothing_changes_nothing(tmp_path):
    first = one()
    save(first, tmp_path / "report.dcm")
    save(rejected(first.SOPInstanceUID, ("113000", "DCM", "Of Interest")), tmp_path / "ko.dcm")
    (report,), refused = read_folder(tmp_path)
    assert [v.mm for v in report.values] == [290]
    assert not refused


@pytest.mark.parametrize(("flag", "signed"), [("VERIFIED", True), ("UNVERIFIED", False)])
def test_signed_reports_are_told_apart(tmp_path, flag, signed):
    save(document(biometry(group(number("hc", "290"))), VerificationFlag=flag), tmp_path / "report.dcm")
    (report,), _ = read_folder(tmp_path)
    assert (report.verified, report.complete) == (signed, True)


def test_a_folder_without_reports_says_so(tmp_path):
    (tmp_path / "a.dcm").write_bytes(b"no DICOM at all")
    with pytest.raises(UserError, match="holds no DICOM report"):
        read_folder(tmp_path)


@pytest.mark.parametrize("bytes_lost", [1, 3, 60, 200])
@pytest.mark.parametrize("undefined_lengths", [False, True])
def test_a_cut_report_is_refused_and_the_next_one_is_read(tmp_path, bytes_lost, undefined_lengths):
    made = one(value="290.55")  # "290.5", "290" and "2" are numbers too
    made["ContentSequence"].is_undefined_length = undefined_lengths
    path = save(made, tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:-bytes_lost])
    save(one(), tmp_path / "b.dcm")
    reports, refused = read_folder(tmp_path)
    assert [v.mm for r in reports for v in r.values] == [290]
    assert len(refused) == 1
    assert refused[0].where.endswith("a.dcm")


def test_the_codes_are_those_of_the_standard():
    from pydicom.sr._cid_dict import cid_concepts
    from pydicom.sr._concepts_dict import concepts
    from pydicom.sr._snomed_dict import mapping

    known = {code: words for name in cid_concepts[12005]["LN"] for code, (words, _) in concepts["LN"][name].items()}
    assert {code: MEASURES[code] for code in MEASURES} == {LOINC[m][0]: m for m in LOINC}
    assert {LOINC[m][0]: LOINC[m][2] for m in LOINC}.items() <= known.items()
    derivations = {code for name in cid_concepts[3627]["SCT"] for code in concepts["SCT"][name]}
    srt = {mapping["SCT"][code] for code in derivations if code in mapping["SCT"]}
    assert set(DERIVATIONS) <= derivations | srt
