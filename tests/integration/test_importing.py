"""Imports and exports of opt-outs: batches, undone as batches, and never an opt-in."""

import csv
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from xlsxwriter import Workbook

from sender.domain.consent import Direction, NewConsentEvent, ReasonClass
from sender.errors import ImportRefused, InvalidList, NotFound
from sender.exporting import Exports
from sender.importing import Imports, Report
from sender.listfile import ListFile, Role, RowReject, open_list
from sender.optouts import OptOuts
from sender.storage import consent
from sender.verifying import Verification
from tests.bench import (
    ANNA,
    BERT,
    CARL,
    DORA,
    ENFORCEMENT,
    OTHER_SENDER,
    OTHER_TENANT,
    SENDER,
    TENANT,
    Bench,
    consent_event,
    crowd,
    eventually,
)

NASTY = [
    "=cmd|' /C calc'!A0",
    "'=already guarded",
    "''+two",
    "-1+1",
    "@sum",
    'quote " comma , semicolon ;',
    "line\nbreak",
    "tab\tinside",
    "emoji 🛑",
    "'plain apostrophe",
    "{not json",
]


@pytest.fixture
def listed(tmp_path: Path) -> Callable[..., ListFile]:
    """Writes lines to a file and opens it."""

    def write(*lines: str, name: str = "list.csv", **wanted: object) -> ListFile:
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return open_list(path, **wanted)  # type: ignore[arg-type]

    return write


def _imports(bench: Bench, tenant_id: int = TENANT) -> Imports:
    return Imports(db=bench.db, tenant_id=tenant_id, enforcement=ENFORCEMENT)


def _run(bench: Bench, listed: ListFile, **wanted: object) -> Report:
    return _imports(bench).run(listed, author="ann", **wanted)  # type: ignore[arg-type]


def _reasons(bench: Bench, recipient: int = ANNA) -> set[str]:
    opt_outs = OptOuts(db=bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT)
    return {one.reason.value for one in opt_outs.check(f"+{recipient}")}


def _export(bench: Bench, path: Path) -> bytes:
    Exports(db=bench.db, tenant_id=TENANT).write(path)
    return path.read_bytes()


class TestImport:
    """What a list does."""

    def test_a_plain_list(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """Numbers without anything else are suppressed for all senders, as an import."""
        report = _run(bench, listed("phone", f"+{ANNA}", f"+{BERT}", f"+{ANNA}", "nonsense"))
        assert report.counts == {
            "imported": 2,
            "already": 0,
            "duplicate": 1,
            "rejected_number": 1,
        }
        (reject,) = report.rejects
        assert (reject.line, reject.value, reject.reason) == (5, "nonsense", RowReject.NUMBER)
        assert _reasons(bench) == _reasons(bench, BERT) == {"import"}
        assert Verification(db=bench.db).verify().ok

    def test_what_is_pending_is_withdrawn(
        self, bench: Bench, listed: Callable[..., ListFile]
    ) -> None:
        """Messages of a running campaign to people of the list are withdrawn, and no others."""
        campaign = bench.campaign(ANNA, BERT)
        assert _run(bench, listed("phone", f"+{ANNA}")).enforced
        assert bench.states(campaign) == {ANNA: "suppressed", BERT: "pending"}
        assert bench.value("SELECT count(*) FROM enforcement WHERE enforced_at IS NULL") == 0

    def test_what_is_under_way_is_waited_for(
        self, bench: Bench, listed: Callable[..., ListFile]
    ) -> None:
        """An import does not say "enforced" while a message to somebody on it is being sent."""
        campaign = bench.campaign(ANNA)
        bench.guard_all(campaign)
        report = _run(bench, listed("phone", f"+{ANNA}"), wait=timedelta())
        assert not report.enforced

    def test_reasons_times_and_evidence(
        self, bench: Bench, listed: Callable[..., ListFile]
    ) -> None:
        """Our own reasons keep their class; another system's word is an import, and kept."""
        _run(
            bench,
            listed(
                "Mobile,Reason,Date,Note",
                f"+{ANNA},stop,2025-03-01T10:00:00Z,texted",
                f"+{BERT},Spam complaint,2025-03-02,",
                f"+{CARL},hard bounce,,",
            ),
        )
        assert _reasons(bench, ANNA) == {"stop"}
        assert _reasons(bench, BERT) == {"complaint"}
        assert _reasons(bench, CARL) == {"import"}
        history = OptOuts(db=bench.db, tenant_id=TENANT, enforcement=ENFORCEMENT).history
        (first,) = history(f"+{ANNA}")
        assert first.provider_at == datetime(2025, 3, 1, 10, tzinfo=UTC)
        assert first.evidence == {"evidence": "texted"}
        assert history(f"+{CARL}")[0].evidence == {"reason": "hard bounce"}

    def test_it_never_opts_in(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """A row that says "subscribed" is counted and changes nothing."""
        bench.opt_out(ANNA)
        report = _run(bench, listed("phone,status", f"+{ANNA},subscribed", f"+{BERT},removed"))
        assert (report.counts["ignored"], report.counts["imported"]) == (1, 1)
        assert _reasons(bench, ANNA) == {"stop"}
        assert bench.value("SELECT count(*) FROM consent_event WHERE direction = 'opt_in'") == 0

    @pytest.mark.parametrize(
        ("header", "cell", "ignored"),
        [
            ("opted_out", "yes", 0),
            ("opted_out", "no", 1),
            ("unsubscribed", "FALSE", 1),
            ("consent", "yes", 1),
            ("consent", "no", 0),
            ("status", "active", 0),
            ("status", "", 0),
        ],
    )
    def test_yes_means_what_the_header_says(
        self,
        bench: Bench,
        listed: Callable[..., ListFile],
        header: str,
        cell: str,
        ignored: int,
    ) -> None:
        """Yes under "opted_out" is an opt-out; what is not plainly an opt-in is one too."""
        report = _run(bench, listed(f"phone,{header}", f"+{ANNA},{cell}"))
        assert report.counts["ignored"] == ignored

    def test_per_sender(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """A row for one sender covers that sender; one for a stranger's is rejected."""
        bench.second_tenant()
        mine = bench.sender_id(SENDER)
        bench.campaign(sender=OTHER_SENDER, tenant_id=OTHER_TENANT, run=False)
        rows = (f"+{ANNA},{SENDER}", f"+{BERT},{OTHER_SENDER}", f"+{CARL},All")
        report = _run(bench, listed("phone,sender", *rows))
        assert report.counts["rejected_sender"] == 1
        found = bench.execute("SELECT recipient, scope FROM suppression ORDER BY recipient")
        assert [tuple(row) for row in found] == [(ANNA, mine), (CARL, 0)]

    @pytest.mark.parametrize(
        ("cell", "day_first", "read"),
        [
            ("2025-03-04", None, "2025-03-04"),
            ("03/04/2025", None, None),
            ("03/04/2025", True, "2025-04-03"),
            ("03/04/2025", False, "2025-03-04"),
            ("25.12.2024", None, "2024-12-25"),
            ("12/25/2024 10:30", None, "2024-12-25"),
            ("yesterday", None, None),
            ("2999-01-01", None, None),
        ],
    )
    def test_dates_are_never_guessed(
        self,
        bench: Bench,
        listed: Callable[..., ListFile],
        cell: str,
        day_first: bool | None,  # noqa: FBT001
        read: str | None,
    ) -> None:
        """Where day and month cannot be told apart, somebody must say; nonsense is rejected."""
        report = _run(bench, listed("phone,date", f"+{ANNA},{cell}", day_first=day_first))
        if read is None:
            assert report.counts["imported"] == 0
            assert len(report.rejects) == 1
        else:
            at = bench.value("SELECT provider_at FROM consent_event")
            assert at.date().isoformat() == read

    def test_dry_run(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """A dry run counts as the import will, and writes nothing at all."""
        bench.opt_out(BERT, reason=ReasonClass.IMPORT)
        file = listed("phone", f"+{ANNA}", f"+{BERT}", "x")
        rehearsed = _run(bench, file, dry_run=True)
        assert bench.value("SELECT count(*) FROM import_batch") == 0
        assert _reasons(bench) == set()
        assert rehearsed.counts == _run(bench, file).counts
        assert rehearsed.counts["already"] == 1

    def test_preview(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """The preview names format, columns and the first rows, and reads no further."""
        file = listed("Mobile;Opt-out date;Grund", f"+{ANNA};2025-01-02;stop", name="a.csv")
        preview = _imports(bench).preview(file)
        assert preview.format == "csv, ';', utf-8-sig"
        assert preview.columns == {"Mobile": "number", "Opt-out date": "since"}
        assert len(preview.rows) == 1

    def test_the_same_bytes_are_imported_once(
        self, bench: Bench, listed: Callable[..., ListFile]
    ) -> None:
        """A list that is there already is refused with its batch, unless it is meant."""
        file = listed("phone", f"+{ANNA}")
        first = _run(bench, file)
        with pytest.raises(ImportRefused, match=f"batch {first.batch_id}"):
            _run(bench, file)
        assert _run(bench, file, again=True).counts["already"] == 1

    def test_broken_off_it_goes_on(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """An import that died goes on in the same batch, and stores nothing twice."""
        file = listed("phone", *(f"+{who}" for who in crowd(3_000)))

        def die(_: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _run(bench, file, progress=die)
        assert bench.value("SELECT count(*) FROM suppression") == 2_000
        report = _run(bench, file)
        assert report.batch_id == bench.value("SELECT max(id) FROM import_batch") == 1
        assert bench.value("SELECT count(*) FROM consent_event") == 3_000
        assert bench.value("SELECT count(*) FROM suppression") == 3_000

    def test_an_author_is_needed(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """Nobody imports anonymously."""
        with pytest.raises(ImportRefused, match="author"):
            _imports(bench).run(listed("phone", f"+{ANNA}"), author=" ")

    def test_older_consent_is_folded(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """An imported STOP that is older than the person's START does not come back to life."""
        bench.db.run(ENFORCEMENT.opt_out, _event(ANNA, "s1", datetime(2025, 1, 1, tzinfo=UTC)))
        bench.execute(
            "INSERT INTO consent_event (tenant_id, recipient, scope, direction, source, source_id,"
            " provider_at) VALUES (1, :r, 0, 'opt_in', 'test', 's2', '2025-02-01T00:00:00Z')",
            r=ANNA,
        )
        _run(bench, listed("phone,reason,date", f"+{ANNA},stop,2025-01-15"))
        assert _reasons(bench) == set()
        assert Verification(db=bench.db).verify().ok

    def test_a_fold_meanwhile_loses_nothing(
        self, bench: Bench, listed: Callable[..., ListFile]
    ) -> None:
        """While the list is locked by a chunk, a person's own fold waits, and then sees it."""
        with bench.db.transaction() as tx:
            consent.lock_list(tx, tenant_id=TENANT)
            stop = Thread(target=lambda: bench.opt_out(ANNA))
            stop.start()
            eventually(lambda: bench.waiting_for_locks() == 1)
            assert bench.value("SELECT count(*) FROM consent_event") == 0
        stop.join()
        _run(bench, listed("phone", f"+{ANNA}"))
        assert _reasons(bench) == {"stop", "import"}

    def test_progress(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """The caller is told how far it is, chunk by chunk."""
        told: list[int] = []
        _run(bench, listed("phone", *(f"+{w}" for w in crowd(6_000))), progress=told.append)
        assert told == [2_000, 4_000, 6_000]


def _event(recipient: int, source_id: str, at: datetime) -> NewConsentEvent:
    return consent_event(
        recipient=recipient,
        source_id=source_id,
        provider_at=at,
        direction=Direction.OPT_OUT,
    )


class TestUndo:
    """Taking a batch back."""

    def test_only_its_own(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """Undone, a batch's people are as before: who is opted out otherwise stays so."""
        bench.opt_out(BERT)
        first = _run(bench, listed("phone", f"+{ANNA}", f"+{BERT}", f"+{CARL}", name="a.csv"))
        _run(bench, listed("phone", f"+{CARL}", name="b.csv"))
        assert first.batch_id is not None
        undone = _imports(bench).undo(first.batch_id, author="bob", reason="wrong file")
        assert undone == 3
        assert _reasons(bench, ANNA) == set()
        assert _reasons(bench, BERT) == {"stop"}
        assert _reasons(bench, CARL) == {"import"}
        kept = _imports(bench).batch(first.batch_id)
        assert (kept.undone_by, kept.undo_reason) == ("bob", "wrong file")
        assert Verification(db=bench.db).verify().ok

    def test_it_can_be_imported_again(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """After an undo the same list may come again, and suppresses again."""
        file = listed("phone", f"+{ANNA}")
        first = _run(bench, file)
        assert first.batch_id is not None
        _imports(bench).undo(first.batch_id, author="bob", reason="too early")
        assert _run(bench, file).batch_id != first.batch_id
        assert _reasons(bench) == {"import"}

    def test_once_and_with_a_name(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """A batch is undone once, by somebody, for a reason, and only by its own tenant."""
        batch = _run(bench, listed("phone", f"+{ANNA}")).batch_id
        assert batch is not None
        with pytest.raises(ImportRefused):
            _imports(bench).undo(batch, author="bob", reason="")
        bench.second_tenant()
        with pytest.raises(NotFound):
            _imports(bench, OTHER_TENANT).undo(batch, author="eve", reason="mine")
        _imports(bench).undo(batch, author="bob", reason="wrong")
        with pytest.raises(ImportRefused, match="already"):
            _imports(bench).undo(batch, author="bob", reason="wrong")


class TestFiles:
    """What kinds of files there are."""

    def test_xlsx(self, bench: Bench, tmp_path: Path) -> None:
        """A sheet's numbers, kept as floats, and its dates are read as what they are."""
        path = tmp_path / "list.xlsx"
        with Workbook(str(path)) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, ["Mobile", "Date"])
            sheet.write_number(1, 0, float(ANNA))
            date = book.add_format({"num_format": "yyyy-mm-dd"})
            sheet.write_datetime(1, 1, datetime(2025, 3, 4), date)  # noqa: DTZ001  # as Excel has it
        _run(bench, open_list(path, region="US"))
        assert _reasons(bench) == {"import"}
        assert bench.value("SELECT provider_at FROM consent_event").date().day == 4

    def test_rows_from_a_program(self, bench: Bench) -> None:
        """Mappings will do as well."""
        _run(bench, open_list([{"number": f"+{ANNA}", "reason": "stop"}]))
        assert _reasons(bench) == {"stop"}

    def test_a_column_can_be_named(self, bench: Bench, listed: Callable[..., ListFile]) -> None:
        """A header that nobody would guess is named by the caller."""
        _run(bench, listed("kontakt,x", f"+{ANNA},1", columns={Role.NUMBER: "Kontakt"}))
        assert _reasons(bench) == {"import"}

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("empty.csv", b""),
            ("binary.csv", b"\x00\x01\x02\x03" * 50),
            ("broken.xlsx", b"PK\x03\x04 and no sheet"),
            ("nonumber.csv", b"name,city\nAnna,Bonn\n"),
            ("two.csv", b"phone_a,phone_b\n1,2\n"),
            ("wide.csv", b",".join(b"c%d" % n for n in range(5_000)) + b"\n"),
        ],
    )
    def test_garbage_is_refused_whole(self, tmp_path: Path, name: str, content: bytes) -> None:
        """What is no list is refused with a sentence, before anything is stored."""
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(InvalidList):
            open_list(path)


class TestExport:
    """The list as a file."""

    def _fill(self, bench: Bench) -> None:
        bench.sender_id(SENDER)
        bench.stop(ANNA, sid="SM1")
        bench.opt_out(BERT, scope=bench.sender_id(), reason=ReasonClass.PROVIDER_BLOCK)
        for number, text in enumerate(NASTY):
            bench.opt_out(
                crowd(50)[number],
                reason=ReasonClass.MANUAL,
                author=text,
                evidence={"evidence": text, "reason": text},
            )
        bench.opt_out(DORA, reason=ReasonClass.REVIEW, evidence={"text": "who is this"})

    def test_no_cell_is_a_formula(self, bench: Bench, tmp_path: Path) -> None:
        """Whatever people wrote, no cell begins as a formula does."""
        self._fill(bench)
        path = tmp_path / "list.csv"
        _export(bench, path)
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
        assert len(rows) == 1 + 3 + len(NASTY)
        starts = {cell[0] for row in rows for cell in row if cell}
        assert not starts & set("=+-@\t\r\n")

    @pytest.mark.parametrize("ending", ["csv", "tsv", "xlsx"])
    def test_it_comes_back_without_loss(
        self, bench: Bench, tmp_path: Path, ending: str, other_bench: Bench
    ) -> None:
        """Exported, imported into an empty database and exported again: the same bytes."""
        self._fill(bench)
        before = _export(bench, tmp_path / "before.csv")
        Exports(db=bench.db, tenant_id=TENANT).write(tmp_path / f"list.{ending}")
        other_bench.sender_id(SENDER)
        report = _run(other_bench, open_list(tmp_path / f"list.{ending}"))
        assert report.rejects == []
        assert _export(other_bench, tmp_path / "after.csv") == before

    def test_the_same_list_is_the_same_file(self, bench: Bench, tmp_path: Path) -> None:
        """Two exports of one list are equal, byte by byte, in the order of the numbers."""
        for who in (CARL, ANNA, BERT):
            bench.opt_out(who)
        first, second = (_export(bench, tmp_path / name) for name in ("a.csv", "b.csv"))
        assert first == second
        numbers = [line.split(b",")[0] for line in first.splitlines()[1:]]
        assert numbers == sorted(numbers)

    def test_another_tenants_list_is_not_in_it(self, bench: Bench, tmp_path: Path) -> None:
        """An export has the tenant's own entries, and not the platform's either."""
        bench.opt_out(ANNA)
        bench.opt_out(BERT, tenant_id=OTHER_TENANT)
        bench.opt_out(CARL, tenant_id=0)
        assert _export(bench, tmp_path / "list.csv").count(b"tel:") == 1

    def test_an_unknown_format(self, bench: Bench, tmp_path: Path) -> None:
        """A format that there is none of is refused."""
        with pytest.raises(InvalidList, match="csv"):
            Exports(db=bench.db, tenant_id=TENANT).write(tmp_path / "list.pdf")
