"""Archives: what a hospital holds, measured whole."""
