"""A user's own frames, with their own masks or geometry."""
