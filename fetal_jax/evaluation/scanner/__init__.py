"""Scanners' own values beside ours: frames matched, agreement written."""
