"""FETAL_PLANES_DB: routine frames of six planes, some with calipers and millimetres."""
