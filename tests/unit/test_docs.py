"""The README and the changelog against the code: what they show exists, their tables are whole."""

import ast
import inspect
import re
import tomllib
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import SecretStr

import sender
from sender.campaigns import DEFAULT_PACE
from sender.cli import app
from sender.config import Settings
from sender.domain.consent import ReasonClass
from sender.domain.incident import Cause
from sender.domain.message import State
from sender.domain.outcome import RefusalKind
from sender.domain.phone import SenderKind
from sender.domain.receipt import FailureCause
from sender.gateway import urls
from sender.receipts import CONTRADICTION, Refusal
from sender.runtime import KICKER_CONNECTIONS, SPARE_CONNECTIONS, SWEEPER_CONNECTIONS
from sender.storage.settling import Oddity
from workers.refusals import ALARMING
from workers.webhooks import app as webhooks

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()

#: The order of a README: what for, what it promises, how to see it, how to use and run it.
SECTIONS = [
    "The promises",
    "Two commands",
    "Ten lines of Python",
    "Getting it to run",
    "The four paths",
    "Configuration",
    "The suppression list",
    "Running it at scale",
    "Operating it",
    "Development",
    "Glossary",
]


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """The text below a heading of any level, up to the next heading."""
    found = re.search(rf"^#+ {title}$(.*?)(?=^#+ |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return found[1]


def rows(title: str) -> dict[str, list[str]]:
    """A section's tables: the first cell of each row, and the others."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): others for first, *others in cells}


def codes(text: str) -> set[str]:
    """What stands between backticks, outside of fenced blocks."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"`([^`]+)`", prose))


@dataclass
class Reader:
    """Follows a program's names and calls through the annotations, without running it."""

    #: What each name of the program is: the module ``sender``, or a class.
    known: dict[str, Any] = field(default_factory=dict)

    def read(self, program: str) -> None:
        """Read statement by statement; whatever the API does not have fails."""
        for statement in ast.parse(program).body:
            match statement:
                case ast.Import(names=[ast.alias(name="sender")]):
                    self.known["sender"] = sender
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self.known[name] = self.kind(value)
                case ast.Expr(value=value):
                    self.kind(value)
                case _:
                    pytest.fail(f"cannot follow: {ast.unparse(statement)}")

    def kind(self, node: ast.expr) -> Any:
        """What an expression is: a module, a function, or a value's class."""
        match node:
            case ast.Name(id=name):
                return print if name == "print" else self.known[name]
            case ast.Constant():
                return type(node.value)
            case ast.Attribute(value=owner, attr=name):
                return self.attribute(self.kind(owner), name)
            case ast.Call():
                return self.call(node)
        pytest.fail(f"cannot follow: {ast.unparse(node)}")

    def attribute(self, owner: Any, name: str) -> Any:
        """A public name of the package, or a field, property or method of a class."""
        if owner is sender:
            assert name in sender.__all__
            return getattr(sender, name)
        if name in owner.__annotations__:
            return typing.get_type_hints(owner)[name]
        member = getattr(owner, name)
        if isinstance(member, property):
            return typing.get_type_hints(member.fget)["return"]
        return member

    def call(self, node: ast.Call) -> Any:
        """Check the arguments against the signature; what the call returns."""
        function = self.kind(node.func)
        if function is print:
            return [self.kind(argument) for argument in node.args]
        signature = inspect.signature(function)
        is_method = "self" in signature.parameters
        positional = [object()] * (len(node.args) + is_method)
        signature.bind(*positional, **{str(one.arg): one.value for one in node.keywords})
        for argument in (*node.args, *(one.value for one in node.keywords)):
            self.kind(argument)
        return function if inspect.isclass(function) else typing.get_type_hints(function)["return"]


def test_the_sections_stand_in_their_order() -> None:
    """A reader finds purpose, promises and the two commands before everything else."""
    assert re.findall(r"^## (.+)$", README, re.MULTILINE) == SECTIONS


def test_ten_lines_are_ten() -> None:
    """The first program is whole, and as short as the README says."""
    assert len(blocks("python")[0].strip().splitlines()) == 10


def test_the_programs_use_the_api_as_it_is() -> None:
    """Every name, method and keyword in the README's programs exists."""
    reader = Reader()
    for program in blocks("python"):
        reader.read(program)
    assert set(reader.known) == {"sender", "client", "people", "campaign", "listed"}


@pytest.mark.parametrize(
    "code", sorted(code for code in codes(README) if re.match(r"(sender|client|campaign)\.", code))
)
def test_code_in_the_text_uses_the_api_as_it_is(code: str) -> None:
    """What the text mentions in passing is in the API too."""
    reader = Reader({"sender": sender, "client": sender.Client, "campaign": sender.Campaign})
    reader.read(code)


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_a_link_leads_somewhere(target: str) -> None:
    """A link names a file of the tree, or a heading of the README or of such a file."""
    file, _, heading = target.partition("#")
    text = (ROOT / file).read_text() if file else README
    if heading:
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        assert heading in {one.lower().replace(" ", "-") for one in headings}


def anchor(heading: str) -> str:
    """What a link to a heading ends with."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    """So do those of the pages behind the README."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)
    for file, heading in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", text):
        led_to = (page.parent / file).resolve() if file else page
        assert led_to.exists(), file
        if heading:
            headings = re.findall(r"^#+ (.+)$", led_to.read_text(), re.MULTILINE)
            assert heading in set(map(anchor, headings))


def test_every_promise_names_its_tests() -> None:
    """No promise is only words."""
    promises = rows("The promises")
    del promises["Promise"]
    assert all("tests/" in tests for (tests,) in promises.values())


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_stands_in_the_table(name: str) -> None:
    """A setting's variable, default and description are those of the code."""
    setting = Settings.model_fields[name]
    default = setting.default
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    shown = "required" if setting.is_required() else f"`{default}`" if default else "—"
    assert rows("Configuration")[str(setting.validation_alias)] == [shown, setting.description]


def test_the_table_has_no_other_settings() -> None:
    """No variable is described that nothing reads."""
    aliases = {str(one.validation_alias) for one in Settings.model_fields.values()}
    assert rows("Configuration").keys() - {"Variable", "---"} == aliases


def test_no_variable_is_mentioned_that_does_not_exist() -> None:
    """Every name in capitals is a setting, or belongs to the containers or the tests."""
    aliases = {str(one.validation_alias) for one in Settings.model_fields.values()}
    named = {code for code in codes(README) if re.fullmatch(r"[A-Z]+(_[A-Z]+)+", code)}
    assert named <= aliases | {"POSTGRES_PASSWORD", "FLOWER_BASIC_AUTH", "STORM_SECONDS"}


def test_every_state_and_reason_is_explained() -> None:
    """The table of states has each state, and the reasons that stand beside it."""
    states = rows("What the states mean")
    assert states.keys() - {"State", "---"} == set(State)
    assert codes(states[State.SUPPRESSED][-1]) == set(ReasonClass)
    failures = set(RefusalKind) | set(FailureCause)
    assert failures <= codes(section("What the states mean"))


def test_every_cause_and_alarm_is_explained() -> None:
    """An operator finds each incident's cause and each alarm's kind."""
    explained = rows("What to do about").keys()
    alarms = {f"callback_{why}" for why in Refusal} | {"inbound_unattributed", CONTRADICTION}
    alarms |= {f"webhook_{why}" for why in ALARMING} | set(Oddity)
    assert set(Cause) | alarms == explained - {"Cause", "Kind", "---"}


def test_the_connections_of_a_worker() -> None:
    """What to allow a worker: its pool, its lock, and the two of recovery with their overflow."""
    beside_threads = SPARE_CONNECTIONS + 1 + 2 * (KICKER_CONNECTIONS + SWEEPER_CONNECTIONS)
    default = Settings.model_fields["slice_threads"].default + beside_threads
    assert f"`SENDER_THREADS` + {beside_threads} connections" in README
    assert f"({default} as it comes)" in README


def test_the_default_paces_are_those_of_the_code() -> None:
    """The table of paces has a line for each kind of sender."""
    shown = rows("Running it at scale")
    assert len(shown.keys() - {"Kind of sender", "---"}) == len(SenderKind)
    for kind, pace in DEFAULT_PACE.items():
        words = kind.replace("_", ".")  # "toll_free" is written "toll-free" there
        (line,) = [name for name in shown if re.match(words, name, re.IGNORECASE)]
        assert shown[line] == [f"{pace:g}"]


def test_the_sql_is_about_tables_that_exist() -> None:
    """Every table in the README's statements is made by a migration."""
    folder = ROOT / "sender" / "storage" / "migrations" / "versions"
    schema = "\n".join(path.read_text() for path in folder.glob("*.py"))
    statements = "\n".join(blocks("sql"))
    used = set(re.findall(r"\b(?:FROM|JOIN|INTO|UPDATE) ([a-z_]+)", statements))
    assert used
    assert used <= set(re.findall(r"CREATE TABLE ([a-z_]+)", schema))


def test_every_command_of_ours_exists() -> None:
    """``sender …`` is only shown with commands that it has."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
    shown = {code.split()[1] for code in codes(README) if re.match(r"sender [a-z]", code)}
    assert shown <= commands.keys()


def test_every_target_of_make_exists() -> None:
    """``make …`` is only shown with targets that the Makefile has."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    code = "\n".join([*codes(README), *blocks("text")])
    assert set(re.findall(r"\bmake ([a-z]+)", code)) <= targets


def test_the_webhook_to_configure_is_ours() -> None:
    """Twilio is told a path that the webhook app has, and to repeat like our own callbacks."""
    (url,) = [line for block in blocks("text") for line in block.splitlines() if "https://" in line]
    address, _, overrides = url.partition("#")
    paths = {str(getattr(route, "path", "")) for route in webhooks.routes}
    assert address.removeprefix("https://sms.example.com") in paths
    assert f"#{overrides}" == urls.OVERRIDES


def test_the_changelog_has_this_release() -> None:
    """The version in pyproject.toml is the changelog's newest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"^## \[([^]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == project["version"]
