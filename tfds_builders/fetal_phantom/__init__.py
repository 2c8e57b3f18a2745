"""fetal_phantom: synthetic frames of heads, abdomens, femurs and other planes, with exact geometry."""
