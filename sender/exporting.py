"""The suppression list as a file, for others and for ourselves."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sender.errors import InvalidList
from sender.listfile import FORMATS, write_list
from sender.storage import imports
from sender.storage.database import Database
from sender.storage.imports import Listed


@dataclass(frozen=True, kw_only=True)
class Exports:
    """One tenant's list, as it is at one moment."""

    db: Database
    tenant_id: int

    def entries(self) -> Iterator[Listed]:
        """Who is suppressed where and why, by number, streamed from one snapshot."""
        with self.db.snapshot() as tx:
            yield from imports.listed(tx, self.tenant_id)

    def write(self, path: str | Path, *, file_format: str | None = None) -> int:
        """Write the list; how many entries.

        The same list gives the same bytes (XLSX apart), and `sender.open_list` reads them back
        without loss.

        Args:
            path: the file; replaced if it is there.
            file_format: ``csv``, ``tsv`` or ``xlsx``; by default what the file's name ends with.

        Raises:
            InvalidList: no such format.
            OSError: the file cannot be written.
        """
        path = Path(path)
        chosen = file_format or path.suffix.removeprefix(".").lower()
        if chosen not in FORMATS:
            raise InvalidList(f"a list is written as one of: {', '.join(FORMATS)}")
        return write_list(path, self.entries(), file_format=chosen)
