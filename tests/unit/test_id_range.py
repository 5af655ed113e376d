"""Ids as Postgres is given them: in order, since what is said of each is found by halving."""

from uuid import UUID

import pytest

from sender.storage.id_range import of

_IDS = [UUID(int=number) for number in (3, 5, 2**100)]


def test_the_range_they_lie_in() -> None:
    """The first and the last of them, and they as one text."""
    given = of(_IDS)
    assert (given["lowest"], given["highest"]) == (_IDS[0].hex, _IDS[-1].hex)
    assert given["ids"] == "{" + ",".join(one.hex for one in _IDS) + "}"


def test_none() -> None:
    """There is no range of no ids."""
    assert of([]) == {"ids": "{}", "lowest": None, "highest": None}


def test_out_of_order() -> None:
    """What is said of one would be taken for what is said of another."""
    with pytest.raises(ValueError, match="ascending order"):
        of(_IDS[::-1])
