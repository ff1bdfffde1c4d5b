"""Self-contained HTML pages of results: inline SVG, no script, nothing fetched.

In: the dict that a result's `to_dict` gives. Out: one page that opens, prints and mails as it is.
Marks differ by shape, not by colour alone.
"""

from eitheror.report.comparison import comparison_page
from eitheror.report.page import write_page

__all__ = ["comparison_page", "write_page"]
