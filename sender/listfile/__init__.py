"""Files of opt-outs, as other systems export them and as we do: read, previewed, written.

Pure of the database. `open_list` finds the format and the columns, `ListFile.rows` reads row after
row, `write_list` writes a file that no spreadsheet takes for formulas and that `open_list` reads
back without loss.
"""

from sender.listfile.columns import Columns, Role
from sender.listfile.reading import ListFile, RejectedRow, RowReject, open_list
from sender.listfile.rows import ListRow, Status
from sender.listfile.writing import FORMATS, write_list

__all__ = [
    "FORMATS",
    "Columns",
    "ListFile",
    "ListRow",
    "RejectedRow",
    "Role",
    "RowReject",
    "Status",
    "open_list",
    "write_list",
]
