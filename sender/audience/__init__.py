"""Who a campaign goes to: rows from a CSV, a query or a list, judged one by one.

Reading yields *candidates* and rows that cannot be read; `admit` makes recipients of the
candidates. Nothing stops for a bad row and none is lost::

    file rows = recipients + duplicates + rejected

where a blank line is no row, and a row whose number is empty is rejected as ``empty``.
"""

from sender.audience.admission import admit
from sender.audience.countries import region_of
from sender.audience.csv_file import read_csv
from sender.audience.iterables import from_iterable
from sender.audience.rejects import rejects_file, write_rejects
from sender.audience.rows import (
    Audience,
    Candidate,
    Duplicate,
    Recipient,
    Rejected,
    RejectReason,
    RowProblem,
)

__all__ = [
    "Audience",
    "Candidate",
    "Duplicate",
    "Recipient",
    "RejectReason",
    "Rejected",
    "RowProblem",
    "admit",
    "from_iterable",
    "read_csv",
    "region_of",
    "rejects_file",
    "write_rejects",
]
