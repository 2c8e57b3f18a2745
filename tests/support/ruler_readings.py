"""Depth rulers of real frames, read by hand."""

from __future__ import annotations

BY_HAND = {
    "Patient00881_Plane3_1_of_2": (32, 618, 14),
    "Patient00881_Plane3_2_of_2": (32, 618, 14),
    "Patient01377_Plane3_2_of_2": (4, 626, 15),
    "Patient01623_Plane4_1_of_3": (134, 628, 11),
    "Patient01623_Plane4_3_of_3": (134, 628, 11),
    "Patient01648_Plane6_1_of_2": (48, 406, 6),
    "Patient01648_Plane6_2_of_2": (32, 591, 12),
    "Patient01651_Plane3_1_of_2": (17, 628, 14),
    "Patient01691_Plane3_3_of_3": (12.5, 766.4, 25),
    "Patient01695_Plane2_1_of_1": (14.4, 726.5, 25),
    "Patient01695_Plane3_4_of_5": (12.5, 766.4, 25),
    "Patient01707_Plane5_3_of_3": (6, 643, 14),
    "Patient01761_Plane5_1_of_2": (23.5, 772.4, 12),
    "Patient01792_Plane5_1_of_1": (31, 645, 16),
    "3VV": (135, 666, 6),
    "4CH": (85, 722, 8),
    "ABDOMINAL": (74, 701, 17),
    "BRAIN-CB": (83, 732, 19),
    "BRAIN-TV": (111, 599, 14),
    "FEMUR": (77, 685, 16),
    "KIDNEYS": (94, 693, 14),
    "LIPS": (109, 722, 15),
    "LVOT": (115, 450, 7),
    "PROFILE": (88, 703, 30),  # dashes alone, 10 mm apart: 15 of them
    "RVOT": (85, 690, 13),
    "SPINE-CORONAL": (86, 708, 20),
    "SPINE-SAGITTAL": (106, 718, 21),
}

"""Rows of the first and the last clear mark, read by eye from crops enlarged five times, and how many 5 mm lie between.

In all frames a long dash was seen every 50 mm, or the frame was too short to hold two.
"""

OTHER_VOLUSON = {"Patient00366_Plane4_1_of_1": (86, 528, 8)}

"""The table of the data set calls it Aloka; its ruler is a Voluson's."""


def by_hand_mm(marks: tuple[float, float, int]) -> float:
    first, last, steps = marks
    return 5 * steps / (last - first)
