"""fetal_phantom: synthetic frames of heads, abdomens, femurs and none of them, with exact geometry."""
