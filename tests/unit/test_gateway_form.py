"""The form that a request carries."""

from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from sender.gateway.transport import _form

VALUES = st.one_of(st.text(), st.text("aZ09 -_.~+&=%/:#?\r\n\x00\x7f"), st.integers())


@given(st.dictionaries(st.text("ABab"), st.one_of(VALUES, st.lists(VALUES))))
def test_it_is_what_the_standard_library_makes(fields: dict[str, object]) -> None:
    """Every text, number and list is encoded as `urlencode` does it."""
    assert _form(fields) == urlencode(fields, doseq=True).encode("ascii")
