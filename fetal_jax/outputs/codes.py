"""What other programs call our values: LOINC, as PS3.16 CID 12005 names them."""

from __future__ import annotations

LOINC = {
    "hc_mm": ("11984-2", "Head Circumference"),
    "bpd_mm": ("11820-8", "Biparietal Diameter"),
    "ofd_mm": ("11851-3", "Occipital-Frontal Diameter"),
    "ac_mm": ("11979-2", "Abdominal Circumference"),
    "fl_mm": ("11963-6", "Femur Length"),
}
GESTATIONAL_AGE = ("18185-9", "Gestational Age")
METHOD = {
    "hc_mm": "perimeter of an ellipse on the outer skull",
    "bpd_mm": "short axis of the ellipse, outer to outer",
    "ofd_mm": "long axis of the ellipse, outer to outer",
    "ac_mm": "perimeter of an ellipse on the outer skin",
    "fl_mm": "chord between the ends of the shaft",
}
