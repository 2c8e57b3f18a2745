"""People's own frames, with masks or geometry of their own."""
