"""fetal_phantom: drawn frames of heads, abdomens, femurs and none of them, with exact geometry."""
