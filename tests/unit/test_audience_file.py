"""The made-up audience is what its plan says, and looks like the real thing."""

import csv
from pathlib import Path

import phonenumbers
import pytest
from phonenumbers import region_code_for_number

from sender.audience import Recipient, admit, read_csv
from sender.local.audience_file import (
    COUNTRY_COLUMN,
    SHIPPED_FILE,
    SHIPPED_RECIPIENTS,
    AudiencePlan,
    demo_audience,
    make_audience,
    plan_of,
)


def countries(plan: AudiencePlan) -> set[str | None]:
    """Where the recipients are."""
    return {region_code_for_number(phonenumbers.parse(f"+{digits}")) for digits in plan.recipients}


@pytest.mark.parametrize("recipients", [1, 300])
def test_reading_finds_what_making_planned(tmp_path: Path, recipients: int) -> None:
    """The reader admits exactly the planned recipients, in order, and rejects as planned."""
    planned = make_audience(tmp_path / "a.csv", recipients=recipients, seed=3)
    assert plan_of(tmp_path / "a.csv") == planned
    assert len(planned.recipients) == len(set(planned.recipients)) == recipients


def test_the_same_seed_makes_the_same_file(tmp_path: Path) -> None:
    """A run can be repeated; another seed is another audience."""
    made = [
        make_audience(tmp_path / name, recipients=50, seed=seed).path.read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert made[0] == made[1] != made[2]


def test_an_audience_needs_a_recipient(tmp_path: Path) -> None:
    """Nobody to text is a wrong argument, not an empty file."""
    with pytest.raises(ValueError, match="not 0"):
        make_audience(tmp_path / "a.csv", recipients=0, seed=1)


class TestShippedFile:
    """The file that comes with the package, as the demo uses it."""

    def test_has_its_recipients(self, tmp_path: Path) -> None:
        """2 000 recipients of at least 60 countries, about 3 % repeated and 2 % unusable."""
        plan = demo_audience(tmp_path, recipients=SHIPPED_RECIPIENTS, seed=0)
        assert plan.path == SHIPPED_FILE
        assert len(plan.recipients) == SHIPPED_RECIPIENTS
        assert len(countries(plan)) >= 60
        assert (plan.duplicates, sum(plan.rejected.values())) == (60, 40)
        assert plan.file_rows == 2_100
        assert len(plan.rejected) >= 8

    def test_looks_like_an_export(self) -> None:
        """Byte order mark, foreign column order, line breaks in cells, many kinds of spelling."""
        content = SHIPPED_FILE.read_bytes()
        assert content.startswith(b"\xef\xbb\xbfNotes,Country,Last Name,Mobile Phone,")
        with SHIPPED_FILE.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == 2_100
        assert any("\n" in row["Notes"] for row in rows)
        shapes = {row["Mobile Phone"].strip()[:2] for row in rows}
        assert {"+4", "00", "(2", "='"[:1] + '"', "'+", "07"} <= shapes

    def test_nobody_in_north_america_is_real(self) -> None:
        """Every +1 recipient is one of the numbers reserved for fiction, 555-0100 to 555-0199."""
        rows = admit(read_csv(SHIPPED_FILE, region_column=COUNTRY_COLUMN))
        numbers = [row.number.e164 for row in rows if isinstance(row, Recipient)]
        assert all(number[5:10] == "55501" for number in numbers if number.startswith("+1"))


def test_other_sizes_are_made(tmp_path: Path) -> None:
    """For another number of recipients the demo gets a file of its own."""
    plan = demo_audience(tmp_path, recipients=20, seed=5)
    assert plan.path.parent == tmp_path
    assert len(plan.recipients) == 20
