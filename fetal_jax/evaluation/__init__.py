"""How good a network is: per-frame errors, their summary and the report."""
