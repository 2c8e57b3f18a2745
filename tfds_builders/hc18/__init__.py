"""HC18: fetal heads with their circumference in millimetres."""
