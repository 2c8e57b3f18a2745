"""The six planes of FETAL_PLANES_DB, the class of each for a network, and the table of measured quantities."""

from __future__ import annotations

from dataclasses import dataclass

PLANES = ("other", "abdomen", "head", "cervix", "femur", "thorax")
"""Class labels, in the order of the data set's file names (`Plane1` to `Plane6`)."""

GEOMETRIES = ("unknown", "none", "ellipse", "shaft")
"""Annotation of an example: `none` is a frame without a structure, `unknown` one without an annotation."""

SHAPE_OF_PLANE = {"head": "ellipse", "abdomen": "ellipse", "femur": "shaft"}
"""Planes that are measured, and the shape that is fitted to each."""

MILLIMETRES = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm", "ofd_mm", "apad_mm", "tad_mm")
"""Lengths that a data set may give for a frame."""


@dataclass(frozen=True)
class Quantity:
    """A measured or derived quantity: names, plane, plausible range, code."""

    key: str
    label: str
    name: str
    """Meaning of the LOINC code, as DICOM PS3.16 CID 12005 gives it."""
    limits: tuple[float, float]
    """Range in `unit` that age, weight and centiles accept. It catches centimetres and kilograms; it does not judge
    growth: it holds the 1st to 99th centile of each standard at each of its ages, the lowest of them Hadlock's at 14
    weeks. Of AC alone it starts higher, at Hadlock's 3rd: lower ones are those of old fetuses in centimetres. CRL: the
    range of INTERGROWTH-21st's equation."""
    unit: str = "mm"
    plane: str | None = None
    """Plane in which it is measured; None if it is not measured in frames."""
    loinc: str = ""
    method: str = ""

    @property
    def column(self) -> str:
        """Name in tables and in `Measurement`, such as "hc_mm"."""
        return f"{self.key}_{self.unit}"


QUANTITIES = {
    q.key: q
    for q in (
        Quantity(
            *("hc", "HC", "Head Circumference", (66, 420)),
            *("mm", "head", "11984-2", "perimeter of an ellipse on the outer skull"),
        ),
        Quantity(
            *("bpd", "BPD", "Biparietal Diameter", (15, 125)),
            *("mm", "head", "11820-8", "short axis of the ellipse, outer to outer"),
        ),
        Quantity(
            *("ofd", "OFD", "Occipital-Frontal Diameter", (26, 150)),
            *("mm", "head", "11851-3", "long axis of the ellipse, outer to outer"),
        ),
        Quantity(
            *("ac", "AC", "Abdominal Circumference", (47, 460)),
            *("mm", "abdomen", "11979-2", "perimeter of an ellipse on the outer skin"),
        ),
        Quantity(
            *("fl", "FL", "Femur Length", (7, 95)),
            *("mm", "femur", "11963-6", "chord between the ends of the shaft"),
        ),
        Quantity("crl", "CRL", "Crown Rump Length", (15, 95)),
        Quantity("efw", "EFW", "Estimated Fetal Weight", (20, 7000), "g"),
    )
}

MEASURED = {q.column: q for q in QUANTITIES.values() if q.plane}
"""Quantities that are measured in frames, by column."""

PRIMARY = {"head": "hc_mm", "abdomen": "ac_mm", "femur": "fl_mm"}
"""Column of the main quantity of each measured plane."""

SIZE_LIMITS_MM = {"head": (50, 400), "abdomen": (40, 450), "femur": (5, 90)}
"""Plausible HC, AC or FL of a measured frame, 12 to 42 weeks; outside it is flagged `implausible size`."""

AXIS_LIMITS_MM = {"head": (10, 145), "abdomen": (10, 150), "femur": (5, 90)}
"""Plausible diameter or femur length of an annotation, 11 to 42 weeks: public data sets have heads under 1 mm and
femurs of 138 mm."""


def expected_class(plane: str, known: tuple[str, ...]) -> str | None:
    """The right answer for a plane, of a network with the classes `known`: the plane itself, else `other`.

    None if the plane is unknown, or is not in `known` and there is no `other`.
    """
    if plane in known:
        return plane
    return "other" if plane != "unknown" and "other" in known else None
