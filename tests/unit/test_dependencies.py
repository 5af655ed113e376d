"""What the code imports is what pyproject.toml declares."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[2]

#: Started as programs, or needed by a library of ours for what we ask of it; never imported.
RUN_ONLY = {"flower", "granian"}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _declared() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = (re.match(r"[\w.-]+", line) for line in project["dependencies"])
    return {_plain(name.group()) for name in names if name}


def _imported() -> set[str]:
    modules: set[str] = set()
    for folder in ("sender", "workers"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    modules |= {alias.name.partition(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                    modules.add(node.module.partition(".")[0])
    return modules - set(sys.stdlib_module_names) - {"sender", "workers"}


def test_every_import_is_declared_and_every_dependency_is_used() -> None:
    """A package that comes along with another one today may not come along tomorrow."""
    owners = packages_distributions()
    imported = {_plain(owners[module][0]) for module in _imported()}
    assert imported - _declared() == set()
    assert _declared() - imported == RUN_ONLY
