"""What users import: the list of public names, held here so that it changes only on purpose."""

import ast
import inspect
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import sender

ROOT = Path(__file__).parents[2]

PUBLIC = [
    "Alert",
    "AlertKind",
    "Audience",
    "Because",
    "Campaign",
    "CampaignReport",
    "CampaignState",
    "CampaignSummary",
    "Cause",
    "CauseRecord",
    "Client",
    "ConfigurationError",
    "ConsentEvent",
    "DailyCap",
    "DoubtCase",
    "Doubts",
    "Entry",
    "ErasureRefused",
    "Happening",
    "HoldRecord",
    "HoldRefused",
    "Holds",
    "IdempotencyConflict",
    "ImportRefused",
    "Incident",
    "IncidentCase",
    "IncidentStory",
    "InvalidAudience",
    "InvalidList",
    "InvalidRecipient",
    "LeftOut",
    "Lift",
    "LiftRefused",
    "ListFile",
    "LoggedKeyword",
    "MessageStory",
    "NotFound",
    "NumberHealth",
    "Numbers",
    "Obstacles",
    "OpenDoubt",
    "OutcomeCount",
    "Progress",
    "ReasonClass",
    "RecipientTrace",
    "Result",
    "Review",
    "ReviewRefused",
    "Role",
    "SchemaOutdated",
    "SenderError",
    "Settings",
    "State",
    "Suppression",
    "SuppressionList",
    "TemplateError",
    "UnsafeDatabase",
    "Verdict",
    "VerdictRefused",
    "WrongState",
    "connect",
    "from_iterable",
    "from_select",
    "open_list",
    "read_csv",
    "write_rejects",
]

METHODS = {
    "Client": [
        "campaign",
        "campaigns",
        "close",
        "create_campaign",
        "daily_caps",
        "doubts",
        "for_tenant",
        "holds",
        "incident",
        "incidents",
        "numbers",
        "release",
        "set_daily_cap",
        "set_pace",
        "suppression",
        "trace",
    ],
    "Numbers": ["bad", "check", "forget"],
    "Holds": ["history", "in_force", "place", "release"],
    "Doubts": ["resolve", "resolve_all", "show", "waiting"],
    "SuppressionList": [
        "add",
        "batches",
        "check",
        "confirm_review",
        "dismiss_review",
        "entries",
        "erase",
        "erase_older_than",
        "export",
        "history",
        "import_list",
        "lift",
        "open",
        "preview",
        "reviews_waiting",
        "undo_import",
        "verify",
    ],
    "Campaign": [
        "cancel",
        "enqueue",
        "obstacles",
        "pause",
        "progress",
        "rejects",
        "report",
        "results",
        "resume",
        "wait",
    ],
}


def test_the_public_names_are_these() -> None:
    """A name is added to the package or taken away only together with this list."""
    assert sorted(sender.__all__) == PUBLIC


def test_what_type_checkers_see_is_what_there_is() -> None:
    """Each name comes from where ``sender/__init__.py`` imports it from for type checkers."""
    tree = ast.parse((ROOT / "sender" / "__init__.py").read_text())
    (for_checkers,) = (node for node in tree.body if ast.unparse(node).startswith("if TYPE_CHE"))
    imports = [node for node in ast.walk(for_checkers) if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert seen == sender._HOMES


def test_nothing_else_is_imported_into_the_package() -> None:
    """Whatever ``sender/__init__.py`` imports is public, so nothing is public by accident."""
    assert sorted(sender._HOMES) == PUBLIC


def test_naming_the_package_loads_nothing_of_it() -> None:
    """A process loads what it uses: beat, Flower and the simulator need next to nothing."""
    code = "import sys, sender; print([name for name in sys.modules if name.startswith('sender.')])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True)
    assert ran.stdout.strip() == b"[]"


@pytest.mark.parametrize("name", PUBLIC)
def test_a_public_name_is_documented(name: str) -> None:
    """A public name exists and says in its own docstring what it is for."""
    documentation = getattr(sender, name).__doc__
    assert documentation
    assert not documentation.startswith(f"{name}("), "that is what dataclasses write by themselves"


@pytest.mark.parametrize(("owner", "names"), METHODS.items())
def test_the_verbs_are_these(owner: str, names: list[str]) -> None:
    """The client's and the campaign's public methods, each documented and typed."""
    members = vars(getattr(sender, owner))
    found = {name: member for name, member in members.items() if name[0].islower()}
    assert sorted(found) == names
    assert all(member.__doc__ for member in found.values())
    functions = [member for member in found.values() if inspect.isfunction(member)]
    assert all("return" in function.__annotations__ for function in functions)


@pytest.mark.parametrize("package", ["sender", "workers"])
def test_the_package_says_that_it_is_typed(package: str) -> None:
    """Type checkers read our annotations only where ``py.typed`` stands."""
    assert resources.files(package).joinpath("py.typed").is_file()
