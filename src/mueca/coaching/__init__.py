"""The coach: what a clip covers of what a face can do, what to film next, and whether a driver goes beyond it.

``coverage`` measures and advises, ``comparison`` lays a driver beside a subject, ``charts`` draws both;
``session`` does all of it for a video.
"""

from mueca.coaching.charts import draw_comparison, draw_coverage
from mueca.coaching.comparison import Comparison, compare
from mueca.coaching.coverage import Coverage, advice, coverage_of
from mueca.coaching.session import Report, coach

__all__ = [
    "Comparison",
    "Coverage",
    "Report",
    "advice",
    "coach",
    "compare",
    "coverage_of",
    "draw_comparison",
    "draw_coverage",
]
