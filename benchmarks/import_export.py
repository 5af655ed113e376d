"""How long a list takes to come in and to go out: ``python -m benchmarks.import_export``.

Starts a PostgreSQL of its own in a temporary folder, and prints one JSON object.
"""

import argparse
import csv
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import sender
from benchmarks.rig import on_disk
from sender.config import Settings
from sender.enforcement import Enforcement
from sender.exporting import Exports
from sender.importing import Imports
from sender.listfile import open_list
from sender.local.servers import LocalPostgres
from sender.storage.database import Database
from sender.storage.enforcement import EnforcementTable
from sender.storage.migrate import migrate

TENANT = 1
_VARIABLES = {"REDIS_URL": "redis://127.0.0.1:1/0", "TWILIO_ACCOUNT_SID": "AC" + "a1" * 16}
#: Eight million numbers each.
AREAS = (212, 213, 312, 415, 617)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    print(json.dumps(measure(rows=parser.parse_args().rows), indent=2))


def measure(*, rows: int = 1_000_000) -> dict[str, float | int]:
    """The figures; a campaign's audience (`load_s`) beside lists of opt-outs."""
    with tempfile.TemporaryDirectory(prefix="sender-bench-", dir=on_disk()) as folder:
        return _measure(Path(folder), rows)


def _measure(folder: Path, rows: int) -> dict[str, float | int]:
    path, figures = folder / "list.csv", dict[str, float | int](rows=rows)
    _write_list(path, rows)
    with LocalPostgres.start(folder / "postgres") as server:
        migrate(server.url)
        db = Database.connect(server.url)
        enforcement = Enforcement(table=EnforcementTable(), horizon=timedelta(seconds=120))
        imports = Imports(db=db, tenant_id=TENANT, enforcement=enforcement)
        with _timed(figures, "read_only_s"):
            read = sum(1 for _ in open_list(path).rows())
        with _timed(figures, "import_s"):
            report = imports.run(open_list(path), author="benchmark")
        with _timed(figures, "import_again_s"):
            again = imports.run(open_list(path), author="benchmark", again=True)
        with _timed(figures, "load_s"):
            loaded = _load(server.url, path)
        with _timed(figures, "export_s"):
            exported = Exports(db=db, tenant_id=TENANT).write(folder / "out.csv")
        db.close()
    assert read == report.counts["imported"] == again.counts["already"] == exported == rows
    assert loaded == rows
    figures["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return figures


def _load(url: str, path: Path) -> int:
    """Store a campaign to everybody on the list; its recipients."""
    client = sender.connect(Settings.from_variables(_VARIABLES | {"DATABASE_URL": url}))
    try:
        return (
            client.create_campaign(
                name="load",
                sender="+15005550006",
                body="Hello from a benchmark",
                audience=sender.read_csv(path),
            )
            .progress()
            .recipients
        )
    finally:
        client.close()


def _write_list(path: Path, rows: int) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("phone", "reason", "date"))
        for n in range(rows):
            line, exchange = n % 10_000, 200 + n // 10_000 % 800
            area = AREAS[n // 8_000_000]
            writer.writerow((f"+1{area}{exchange}{line:04}", "stop", "2025-03-01T12:00:00Z"))


@contextmanager
def _timed(figures: dict[str, float | int], name: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    figures[name] = round(time.perf_counter() - began, 1)


if __name__ == "__main__":
    main()
