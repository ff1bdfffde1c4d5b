"""Self-contained HTML pages of results: inline SVG, no script, nothing fetched.

In: a dict of results, as `Comparison.to_dict` or `model_report` give it. Out: one page that opens,
prints and mails as it is. Marks differ by shape, not by colour alone.
"""

from eitheror.report.comparison import comparison_page
from eitheror.report.curves import rejection_curve, set_sizes, threshold_curve
from eitheror.report.learning import learning_curve
from eitheror.report.model import model_report
from eitheror.report.model_page import model_page
from eitheror.report.page import write_page

__all__ = [
    "comparison_page",
    "learning_curve",
    "model_page",
    "model_report",
    "rejection_curve",
    "set_sizes",
    "threshold_curve",
    "write_page",
]
