"""A body template fills names in and evaluates nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain.segments import MAX_CHARACTERS
from sender.domain.template import Template, TemplateError, field_name


@pytest.mark.parametrize(
    ("text", "fields", "rendered"),
    [
        ("Hi {first_name}!", {"first_name"}, "Hi Ada!"),
        ("{First Name} {FIRST-NAME}", {"first_name"}, "Ada Ada"),
        ("{{first_name}} {first_name}", {"first_name"}, "{first_name} Ada"),
        ("a }} b {{ c", set(), "a } b { c"),
        ("{{{first_name}}}", {"first_name"}, "{Ada}"),
        ("{prénom}", {"prénom"}, "Zoë"),
        ("no fields", set(), "no fields"),
    ],
)
def test_places_are_filled(text: str, fields: set[str], rendered: str) -> None:
    """Names in braces are fields, doubled braces are braces."""
    template = Template.parse(text)
    assert template.fields == fields
    assert template.render({"first_name": "Ada", "prénom": "Zoë"}) == rendered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Hi {", "single { near 'Hi {'"),
        ("Hi }", "single }"),
        ("{a", "single {"),
        ("{}", "{} is not a field"),
        ("{a.b}", "{a.b} is not a field"),
        ("{a[0]}", "not a field"),
        ("{a!r}", "not a field"),
        ("{a:>10}", "not a field"),
        ("{a()}", "not a field"),
        ("x" * (MAX_CHARACTERS + 1), "1601 characters"),
    ],
)
def test_a_wrong_body_says_what_is_wrong(text: str, message: str) -> None:
    """What cannot be a template is refused before there is a campaign."""
    with pytest.raises(TemplateError) as caught:
        Template.parse(text)
    assert message in str(caught.value)


def test_unknown_fields_are_named_with_those_available() -> None:
    """The error lists what the body asks for and what the audience has."""
    template = Template.parse("{nam} {first_name}")
    for attempt in (template.require, lambda names: template.render(dict.fromkeys(names, "x"))):
        with pytest.raises(TemplateError, match=r"uses \{nam\}.* has \{first_name\}, \{name\}"):
            attempt(["name", "first_name"])


@pytest.mark.parametrize("value", ["", "x" * (MAX_CHARACTERS + 1)])
def test_a_rendered_body_can_be_sent(value: str) -> None:
    """A body that is empty or too long once filled in is refused."""
    with pytest.raises(TemplateError):
        Template.parse("{a}").render({"a": value})


@given(st.text(min_size=1, max_size=200), st.text(max_size=200))
def test_values_are_never_looked_at_again(before: str, value: str) -> None:
    """Whatever a value contains, braces included, stands in the body as it is."""
    literal = before.replace("{", "{{").replace("}", "}}")
    template = Template.parse(literal + "{a}.")
    assert template.render({"a": value}) == before + value + "."


class Trap(str):
    """A value that notices being formatted, indexed or asked for attributes."""

    __slots__ = ()

    def __getattribute__(self, name: str) -> object:
        raise AssertionError(name)

    def __format__(self, spec: str) -> str:
        raise AssertionError(spec)

    def __getitem__(self, key: object) -> str:
        raise AssertionError(key)


@given(st.text(alphabet="{}ab_.[]()!:0 ", max_size=30))
def test_no_template_evaluates(text: str) -> None:
    """No text between braces reaches into a value: it is a name or an error."""
    try:
        template = Template.parse(text)
        body = template.render({name: Trap("v") for name in ("a", "b", "ab", "0")})
    except TemplateError:
        return
    assert type(body) is str


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("First Name", "first_name"),
        ("  Customer-ID # ", "customer_id"),
        ("Ｍobile", "mobile"),  # noqa: RUF001 - a full-width letter is the case
        ("Straße", "strasse"),
        ("...", ""),
    ],
)
def test_headers_become_field_names(header: str, name: str) -> None:
    """A column's header and a place in the body meet in one spelling."""
    assert field_name(header) == name
    assert field_name(name) == name
