"""Every row of an audience becomes a recipient, a duplicate or a named rejection."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.audience import (
    Candidate,
    Duplicate,
    Recipient,
    Rejected,
    RejectReason,
    RowProblem,
    admit,
    from_iterable,
    read_csv,
    region_of,
    write_rejects,
)
from sender.domain.phone import InvalidReason
from sender.errors import InvalidAudience

GB, US = "+447400123456", "+12015550123"


def file(content: str | bytes) -> io.BytesIO:
    """A CSV as an open file."""
    return io.BytesIO(content if isinstance(content, bytes) else content.encode())


def summary(row: Recipient | Duplicate | Rejected) -> tuple[int, int | RejectReason]:
    """Line and digits, or line and reason."""
    return row.line, row.number.digits if isinstance(row, Recipient) else row.reason


def read(content: str | bytes, region: str | None = None) -> list[tuple[int, int | RejectReason]]:
    """What becomes of each row of a CSV."""
    return [summary(row) for row in admit(read_csv(file(content), region=region))]


def values(content: str | bytes) -> list[str]:
    """The numbers as typed."""
    return [row.value for row in read_csv(file(content))]


def test_a_row_keeps_line_value_and_fields() -> None:
    """A recipient carries where it stood, what was typed, and all cells by field name."""
    content = (
        'Last Name,Mobile Phone,Notes\n\nO"Brien,07400 123456,"two\nlines"\nB,+1 201 555 0123,'
    )
    first, second = admit(read_csv(file(content), region="GB"))
    assert isinstance(first, Recipient)
    assert (first.line, first.value, first.number.e164) == (3, "07400 123456", GB)
    assert first.fields == {
        "last_name": 'O"Brien',
        "mobile_phone": "07400 123456",
        "notes": "two\nlines",
    }
    assert summary(second) == (5, 12015550123)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_delimiters_encodings_and_line_ends(delimiter: str, encoding: str, end: str) -> None:
    """Every way in which programs save a CSV is read."""
    lines = [["Prénom", "phone"], ["Zoë, a|b", GB]]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator=end).writerows(lines)
    (row,) = read_csv(file(text.getvalue().encode(encoding)))
    assert isinstance(row, Candidate)
    assert row.fields == {"prénom": "Zoë, a|b", "phone": GB}


def test_a_path_and_any_file_can_be_read(tmp_path: Path) -> None:
    """Paths, binary files and text files are read alike, each again and again."""
    path = tmp_path / "audience.csv"
    path.write_text(f"phone\n{GB}\n")
    with path.open("rb") as binary, path.open() as text:
        for source in (path, str(path), binary, text):
            audience = read_csv(source)
            assert [row.value for row in audience] == [GB]
            assert [row.value for row in audience] == [GB]


def test_a_file_is_read_from_where_it_stands() -> None:
    """A caller can skip a preamble."""
    source = file(f"made by CRM 3\nphone\n{GB}\n")
    source.readline()
    assert [row.value for row in read_csv(source)] == [GB]


@pytest.mark.parametrize(
    ("header", "chosen"),
    [
        ("Phone,Mobile", "mobile"),
        ("name,TO", "to"),
        ("MSISDN,number", "msisdn"),
        ("Telephone (home),Cell Phone", "cell_phone"),
        ("Customer phone,e-mail", "customer_phone"),
    ],
)
def test_the_number_column_is_found(header: str, chosen: str) -> None:
    """The usual names of a number column are known, the surest first."""
    (row,) = read_csv(file(f"{header}\n1,2"))
    assert isinstance(row, Candidate)
    assert row.value == row.fields[chosen]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("name,e-mail\na,b", "no column looks like the phone number.*name, e_mail"),
        ("phone,phone\n1,2", "more than one column.*phone, phone_2"),
        ("home phone,work phone\n1,2", "more than one column"),
        (f"{GB}\n{US}", "needs a header"),
        ('"phone\n', "not CSV"),
        (b"phone\n\x81\xff", "line 2 is neither UTF-8 nor"),
    ],
)
def test_a_hopeless_file_says_what_to_give(content: str | bytes, message: str) -> None:
    """What cannot be read at all raises at once, with what to do."""
    with pytest.raises(InvalidAudience, match=message):
        read_csv(file(content))


def test_columns_can_be_named() -> None:
    """A caller may name the columns by header or by field name."""
    content = f"Phone,Phone,Where\n1,{GB},x\n"
    for name in ("phone_2", "Phone 2"):
        (row,) = read_csv(file(content), recipient=name)
        assert row.value == GB
    with pytest.raises(InvalidAudience, match="no column 'nope'; there are: phone, phone_2, where"):
        read_csv(file(content), recipient="nope")
    with pytest.raises(InvalidAudience, match="no ISO 3166"):
        read_csv(file(content), recipient="phone_2", region="XX")
    with pytest.raises(InvalidAudience, match="no ISO 3166"):
        list(admit(from_iterable([GB]), region="England"))


def test_a_country_column_reads_national_numbers() -> None:
    """Each row's country decides, then the campaign's; an unknown country refuses."""
    content = (
        "phone;country\n07400 123456;United Kingdom\n(201) 555-0123;us\n0151 23456789;Deutschland\n"
        "07400 123457;\n07400 123458;Atlantis\n+447400123459;Atlantis\n"
    )
    rows = admit(read_csv(file(content), region="GB", region_column="Country"))
    assert [result for _, result in map(summary, rows)] == [
        447400123456,
        12015550123,
        4915123456789,
        447400123457,
        InvalidReason.NO_COUNTRY,
        447400123459,
    ]


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("GB", "GB"),
        (" gb ", "GB"),
        ("UK", "GB"),
        ("+44", "GB"),
        ("United States of America", "US"),
        ("Vereinigtes Königreich", "GB"),
        ("Côte d\N{RIGHT SINGLE QUOTATION MARK}Ivoire", "CI"),
        ("Österreich", "AT"),
        ("日本", "JP"),
        ("Niger", "NE"),
        ("Atlantis", "ZZ"),
        ("", None),
    ],
)
def test_countries_are_known_by_code_and_name(text: str, region: str | None) -> None:
    """Country cells are codes, calling codes, or names in many languages."""
    assert region_of(text) == region


def test_repeats_are_duplicates_of_the_first() -> None:
    """Later spellings of a recipient name the line that counts."""
    rows = list(admit(from_iterable([GB, "07400 123456", US, "0044 7400 123456"], region="GB")))
    assert [summary(row) for row in rows] == [
        (1, 447400123456),
        (2, RowProblem.DUPLICATE),
        (3, 12015550123),
        (4, RowProblem.DUPLICATE),
    ]
    assert [row.first_line for row in rows if isinstance(row, Duplicate)] == [1, 1]


def test_ragged_rows() -> None:
    """Missing cells are empty, surplus blanks are ignored, surplus text makes the row a guess."""
    content = f"name,phone\na\nb,{GB},,\nc,d,{US}\n,\n\n   \n"
    assert read(content) == [
        (2, InvalidReason.EMPTY),
        (3, 447400123456),
        (4, RowProblem.TOO_MANY_CELLS),
        (5, InvalidReason.EMPTY),
        (7, InvalidReason.EMPTY),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (f'"a,1\nb,{GB}\n', [(2, RowProblem.BROKEN_QUOTES), (3, 447400123456)]),
        (f'"a"b,1\nb,{GB}\n', [(2, RowProblem.BROKEN_QUOTES), (3, 447400123456)]),
        (
            f'"a,1\nb,{GB}\nc,"x"\n',
            [(2, RowProblem.BROKEN_QUOTES), (3, 447400123456), (4, InvalidReason.NOT_A_NUMBER)],
        ),
        (f'a "nick",{GB}\n', [(2, 447400123456)]),
        (f'"a" b\n"c,{GB}', [(2, RowProblem.BROKEN_QUOTES), (3, RowProblem.BROKEN_QUOTES)]),
    ],
)
def test_a_stray_quote_costs_one_row(
    rows: str, expected: list[tuple[int, int | RejectReason]]
) -> None:
    """A quote that never closes does not swallow the people after it."""
    assert read("name,phone\n" + rows) == expected


def test_a_quote_open_for_too_long_costs_one_row() -> None:
    """A stray quote that finds a partner only hundreds of lines on is still a stray quote."""
    numbers = [f"x,+1201555{n:04}" for n in range(300)]
    results = read("\n".join(["name,phone", '"broken,1', *numbers, 'y","z']))
    assert results[0] == (2, RowProblem.BROKEN_QUOTES)
    assert sum(isinstance(result, int) for _, result in results) == 300 - sum(
        result is InvalidReason.INVALID for _, result in results
    )


def test_nul_bytes_are_dropped() -> None:
    """A NUL is no part of a number or a name, and Postgres would refuse it."""
    assert values(b"na\0me,phone\nA\0da,+44\x007400123456\n") == [GB]


def test_mappings_and_numbers_are_an_audience() -> None:
    """Lists, queries and generators are read like files; a line is the ordinal."""
    items: list[str | dict[str, object]] = [
        {"First Name": "Ada", "Mobile": "07400 123456", "age": 36},
        {"First Name": None, "Mobile": None, "age": None},
        {"e-mail": "a@b"},
        US,
    ]
    audience = from_iterable(items, region="GB")
    assert audience.fields == ("first_name", "mobile", "age")
    first, *others = admit(audience)
    assert isinstance(first, Recipient)
    assert first.fields == {"first_name": "Ada", "mobile": "07400 123456", "age": "36"}
    assert [summary(row) for row in others] == [
        (2, InvalidReason.EMPTY),
        (3, InvalidReason.EMPTY),
        (4, 12015550123),
    ]


def test_a_generator_is_read_once() -> None:
    """All items of a generator are read, the first one too; a second reading says why not."""
    audience = from_iterable(number for number in (GB, US))
    assert [row.value for row in audience] == [GB, US]
    with pytest.raises(InvalidAudience, match="generator"):
        iter(audience)


def test_an_empty_iterable_is_an_empty_audience() -> None:
    """No items, no rows, no fields."""
    nobody: list[str] = []
    for items in (nobody, iter(nobody)):
        audience = from_iterable(items)
        assert (audience.fields, list(audience)) == ((), [])


@pytest.mark.parametrize("items", ["+447400123456", [447400123456]])
def test_what_is_no_item_is_a_bug(items: str | list[str]) -> None:
    """One text instead of a list, and numbers that lost their plus, raise."""
    with pytest.raises(TypeError):
        list(from_iterable(items))


def test_rejects_are_written_and_can_be_read_back(tmp_path: Path) -> None:
    """The rejects file has line, value and reason, runs no formula, and reads as it was."""
    path = tmp_path / "rejects.csv"
    values = ["=HYPERLINK(1)", "+44 20 7946 0018", "@x", "-", "  =1", 'a"b,c\nd', "", GB, GB]
    bad = [row for row in admit(from_iterable(values)) if not isinstance(row, Recipient)]
    assert write_rejects(path, bad) == len(bad) == 8
    with path.open(encoding="utf-8-sig", newline="") as written:
        rows = list(csv.DictReader(written))
    assert [row["reason"] for row in rows] == [row.reason.value for row in bad]
    assert not [row for row in rows if row["value"].strip().startswith(("=", "+", "-", "@"))]
    assert (rows[1]["value"], rows[5]["value"]) == ("'+44 20 7946 0018", 'a"b,c\nd')
    assert (rows[-1]["line"], rows[-1]["first_line"], rows[0]["first_line"]) == ("9", "8", "")
    again = admit(read_csv(path, recipient="value"))
    assert [row.reason for row in again if isinstance(row, Rejected)] == [
        row.reason for row in bad if isinstance(row, Rejected)
    ]


def strict_rows(content: str) -> Iterator[list[str]]:
    """The rows of well-formed CSV, without blank lines."""
    return filter(None, csv.reader(io.StringIO(content, newline="")))


@given(st.text(alphabet='",;\n\r\t +47400123456ax\0é|', max_size=200))
def test_rows_add_up_for_any_junk(content: str) -> None:
    """Every row is exactly one result, lines rise, and nothing raises once the header stands."""
    results = read("phone,name\n" + content)
    lines = [line for line, _ in results]
    assert lines == sorted(set(lines))
    admitted = [result for _, result in results if isinstance(result, int)]
    assert len(admitted) == len(set(admitted))


@given(st.lists(st.lists(st.text(max_size=8), max_size=4)))
def test_well_formed_rows_are_all_accounted_for(rows: list[list[str]]) -> None:
    """A CSV that a program wrote has as many results as it has rows."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["phone", "name"])
    writer.writerows(rows)
    content = text.getvalue().replace("\0", "")
    assert len(read(content)) == len(list(strict_rows(content))) - 1
