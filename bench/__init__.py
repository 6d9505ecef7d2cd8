"""What we measure, and against what: `python -m bench`.

Nodes and Redis share one core; the load and the fake upstream another. `systems` are what is measured: ours and its
peers; `scenarios` are what is done to each; `machine` starts processes and counts what they cost; `tokens` is the text
that cannot hide a delay; `report` writes `docs/performance.md`.
"""
