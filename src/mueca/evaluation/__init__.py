"""How good a run is: its held-out frames, a driver's video, several runs side by side; metrics.json and a report.

``held_out`` measures the held-out frames, ``reenacted`` a driver's video, ``comparing`` lays runs side by side;
``scores`` says what they return, ``report`` writes it as a page.
"""

from mueca.evaluation.comparing import Comparison, compare
from mueca.evaluation.held_out import REPORT, evaluate
from mueca.evaluation.scores import Driven, FrameScores, Measure, Metrics, Report, Score, Tile
from mueca.evaluation.storing import read_metrics

__all__ = [
    "REPORT",
    "Comparison",
    "Driven",
    "FrameScores",
    "Measure",
    "Metrics",
    "Report",
    "Score",
    "Tile",
    "compare",
    "evaluate",
    "read_metrics",
]
