"""Chaos: what is lost, doubled, late or too large when things break. Real processes, real services,
and all of it counted.

`scenarios.py` lists what is broken and what is promised. `make test` plays each scenario briefly
(the `test_*.py` here). `python -m tests.chaos` plays them at full size and keeps their figures for
docs/reliability.md.
"""
