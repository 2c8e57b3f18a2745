"""The six planes of FETAL_PLANES_DB and what each of them is measured for."""

from __future__ import annotations

PLANES = ("other", "abdomen", "head", "cervix", "femur", "thorax")
"""Class labels, in the order of the data set's file names (`Plane1` … `Plane6`)."""

GEOMETRIES = ("unknown", "none", "ellipse", "shaft")
"""What an example knows of its structure. `none` is a frame without it; `unknown` was never annotated."""

SHAPE_OF_PLANE = {"head": "ellipse", "abdomen": "ellipse", "femur": "shaft"}
"""The planes that are measured, and the shape that is fitted in each."""

MILLIMETRES = ("hc_mm", "ac_mm", "fl_mm", "bpd_mm", "ofd_mm", "apad_mm", "tad_mm")
"""Lengths that a source may state of a frame."""

CIRCUMFERENCE_OF_PLANE = {"head": "hc_mm", "abdomen": "ac_mm", "femur": "fl_mm"}
"""The value, in millimetres, that each measured plane is taken for."""
