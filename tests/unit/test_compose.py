"""docker-compose.yml and the Dockerfile against the code: commands, ports, variables, paths.

They cannot run in a test; what can be read out of them is checked against what would read it there.
"""

import ast
import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatch
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml  # type: ignore[import-untyped]  # no stubs
from celery.bin.celery import celery
from flower.urls import handlers
from granian.cli import cli as granian
from sqlalchemy import make_url
from starlette.applications import Starlette
from tornado.options import options as flower_options

from sender.cli import app as sender_app
from sender.config import Settings
from workers.app import create_app
from workers.webhooks import app as webhooks

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

#: The services that run this project's image.
OURS = sorted(name for name, service in SERVICES.items() if "build" in service)
#: Those that refuse to start without what they need of Twilio.
NEEDS_TWILIO = {"worker", "webhooks", "consumer"}
#: Runs to its end; everything else runs for ever.
ONE_SHOT = {"migrate"}

ALIASES = {str(one.validation_alias): one for one in Settings.model_fields.values()}
POSTGRES = {"POSTGRES_USER", "POSTGRES_PASSWORD", "POSTGRES_DB"}

#: A file `.env` as somebody might write it.
ENV_FILE = {
    "POSTGRES_PASSWORD": "secret",
    "FLOWER_BASIC_AUTH": "user:secret",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token",
    "PUBLIC_BASE_URL": "https://sms.example.com",
}
PLACE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")

EACH_OF_OURS = pytest.mark.parametrize("name", OURS)


def filled(text: object) -> str:
    """A value of the file with its ``${…}`` filled from `ENV_FILE`, as Docker Compose does it."""
    return PLACE.sub(_value, str(text)).replace("$$", "$")


def _value(place: re.Match[str]) -> str:
    given = ENV_FILE.get(place["name"])
    if given is None and place["kind"] != "-":
        raise KeyError(place["name"])
    return given or place["text"] or ""


def environment(name: str) -> dict[str, str]:
    """The variables a service's container gets."""
    return {key: filled(value) for key, value in SERVICES[name]["environment"].items()}


def command_lines() -> Iterator[list[str]]:
    """Everything that is started in a container of ours: its process and its health checks."""
    for name in OURS:
        yield SERVICES[name]["command"]
        if check := SERVICES[name].get("healthcheck"):
            yield health_check(check["test"])


def health_check(test: list[str]) -> list[str]:
    """A health check as the words that are run; the shell ones here need no quoting."""
    how, *words = test
    return words if how == "CMD" else words[0].split()


def option(words: Sequence[str], name: str) -> str:
    """The value of ``--name=value`` among words."""
    (found,) = [word.partition("=")[2] for word in words if word.startswith(f"--{name}=")]
    return found


def parse(command: Any, words: Sequence[str]) -> dict[str, Any]:
    """What a command of click (or typer's own copy of it) makes of its words.

    An unknown option and a wrong value raise.
    """
    context = command.context_class(command)
    given, left, _ = command.make_parser(context).parse_args(list(words))
    assert left == []
    parameters = {one.name: one for one in command.params}
    return {str(name): _cast(parameters[name], context, value) for name, value in given.items()}


def _cast(parameter: Any, context: Any, value: Any) -> Any:
    """The value as the option's type; typer's copy of click has one name for it, click two."""
    cast = getattr(parameter, "type_cast_value", parameter.process_value)
    return cast(context, value)


def accept_celery(words: Sequence[str]) -> None:
    """``celery --app=… SUBCOMMAND …``; Flower's own options are tornado's."""
    application, subcommand, *rest = words
    assert import_module(option([application], "app")).app
    if subcommand == "flower":
        assert all(word.partition("=")[0].removeprefix("--") in flower_options for word in rest)
    else:
        assert parse(celery.commands[subcommand], rest) is not None


def accept_granian(words: Sequence[str]) -> None:
    """``granian … module:application``."""
    given = parse(granian, words)
    module, _, attribute = given["app"].partition(":")
    assert isinstance(getattr(import_module(module), attribute), Starlette)


def accept_python(words: Sequence[str]) -> None:
    """``python -m MODULE`` or ``python -c PROGRAM``, whose imports are installed."""
    how, what = words
    if how == "-m":
        assert callable(import_module(what).main)
        return
    for node in ast.walk(ast.parse(what)):
        if isinstance(node, ast.Import):
            assert all(find_spec(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert find_spec(str(node.module))


def accept_sender(words: Sequence[str]) -> None:
    """``sender COMMAND …``."""
    group: Any = typer.main.get_command(sender_app)
    subcommand, *rest = words
    assert parse(group.commands[subcommand], rest) is not None


ACCEPT: dict[str, Callable[[Sequence[str]], object]] = {
    "celery": accept_celery,
    "granian": accept_granian,
    "python": accept_python,
    "sender": accept_sender,
    "test": len,  # the system's own; it is given something to test
}


@pytest.mark.parametrize("words", list(command_lines()), ids=lambda words: " ".join(words[:3]))
def test_every_command_is_one_that_its_program_accepts(words: list[str]) -> None:
    """A program exists in the image, and takes the sub-command and options it is given."""
    program, *rest = words
    ACCEPT[program](rest)


@pytest.mark.parametrize("program", sorted(ACCEPT.keys() - {"python", "test"}))
def test_every_program_is_installed_by_our_package(program: str) -> None:
    """A program is our own script or one of a package that we depend on."""
    ours = PROJECT["scripts"].get(program)
    scripts = {one.name for one in entry_points(group="console_scripts")}
    if ours is None:
        assert program in scripts
        assert any(re.match(rf"{program}\b", needed) for needed in PROJECT["dependencies"])
    else:
        module, _, function = ours.partition(":")
        assert callable(getattr(import_module(module), function))


@EACH_OF_OURS
def test_a_process_gets_only_variables_that_somebody_reads(name: str) -> None:
    """Each variable is a setting of ours or one of Flower's options."""
    for variable in environment(name):
        if variable.startswith("FLOWER_"):
            assert variable.removeprefix("FLOWER_").lower() in flower_options
        else:
            assert variable in ALIASES


def test_the_env_file_holds_only_names_that_the_readme_explains() -> None:
    """Whatever the file takes from outside is a setting, Flower's password or Postgres's."""
    names = {place["name"] for place in PLACE.finditer((ROOT / "docker-compose.yml").read_text())}
    assert names <= ALIASES.keys() | POSTGRES | {"FLOWER_BASIC_AUTH"}


@EACH_OF_OURS
def test_a_process_gets_every_setting_it_needs(name: str) -> None:
    """With the values that must be given, and no others, every process starts."""
    settings = Settings.from_variables(environment(name))
    if name in NEEDS_TWILIO:
        settings.require_twilio()


@pytest.mark.parametrize("name", sorted(NEEDS_TWILIO))
def test_a_default_here_is_the_default_there(name: str) -> None:
    """Leaving a variable out of ``.env`` means what the table of settings says."""
    explicit = {"DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "SENDER_STATE_DIR", *ENV_FILE}
    given = Settings.from_variables(environment(name))
    defaults = Settings.from_variables({"DATABASE_URL": "postgresql://", "REDIS_URL": "redis://"})
    fields = {key for key, one in Settings.model_fields.items()}
    free = {key for key in fields if Settings.model_fields[key].validation_alias not in explicit}
    assert {key: getattr(given, key) for key in free} == {
        key: getattr(defaults, key) for key in free
    }


def test_only_who_needs_twilio_gets_its_credentials() -> None:
    """Beat, Flower and the migration hold no secret of Twilio's."""
    assert {name for name in OURS if "TWILIO_AUTH_TOKEN" in environment(name)} == NEEDS_TWILIO


@EACH_OF_OURS
def test_a_url_leads_to_a_service(name: str) -> None:
    """Databases are addressed by their service's name, at their image's port."""
    variables = environment(name)
    database = make_url(variables["DATABASE_URL"])
    assert (database.host, database.port) == ("postgres", 5432)
    assert database.username == environment("postgres")["POSTGRES_USER"]
    assert database.password == environment("postgres")["POSTGRES_PASSWORD"]
    assert database.database == environment("postgres")["POSTGRES_DB"]
    hosts = {"REDIS_URL": "redis-suppression", "CELERY_BROKER_URL": "redis-broker"}
    for variable, host in hosts.items():
        assert urlsplit(variables[variable]).hostname == host
        assert urlsplit(variables[variable]).port == 6379


def test_the_state_survives_its_containers() -> None:
    """Whoever keeps a mark keeps it on a volume, which the image made for its user."""
    folders = {n: f for n in OURS if (f := environment(n).get("SENDER_STATE_DIR"))}
    assert set(folders) == {"worker", "consumer"}
    for name, folder in folders.items():
        (mount,) = SERVICES[name]["volumes"]
        volume, _, inside = mount.partition(":")
        assert (inside, volume in COMPOSE["volumes"]) == (folder, True)
        assert any({"--owner=sender", folder} <= set(words) for words in dockerfile())


def test_broker_and_suppression_are_two_servers_that_never_evict() -> None:
    """An evicting Redis would forget suppressions; a full broker must not fill the other."""
    servers = [one for one in SERVICES.values() if one["image"].startswith("redis:7")]
    assert len(servers) == 2
    for server in servers:
        words = server["command"]
        assert words[words.index("--maxmemory-policy") + 1] == "noeviction"


@pytest.mark.parametrize("name", ["webhooks", "flower"])
def test_a_port_is_the_same_everywhere(name: str) -> None:
    """The command, the published port and the health check mean one port, on loopback."""
    service = SERVICES[name]
    port = option(service["command"], "port")
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"http://127.0.0.1:{port}/" in service["healthcheck"]["test"][-1]


def test_nothing_else_is_published() -> None:
    """The databases are reachable from the other containers only."""
    assert {name for name, one in SERVICES.items() if "ports" in one} == {"webhooks", "flower"}


def test_the_health_checks_ask_for_pages_that_exist() -> None:
    """The webhook app answers ``/readyz``, Flower ``/healthcheck``."""
    ours = {route.path for route in webhooks.routes if hasattr(route, "path")}
    flowers = {one[0] for one in handlers if isinstance(one, tuple)}
    assert _asked("webhooks") in ours
    assert _asked("flower") in flowers


def _asked(name: str) -> str:
    program = SERVICES[name]["healthcheck"]["test"][-1]
    (url,) = re.findall(r"http://[^\"]+", program)
    return str(urlsplit(url).path)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_service_has_a_health_check(name: str) -> None:
    """What runs for ever can be asked how it is; what runs once shows it by its exit code."""
    assert ("healthcheck" in SERVICES[name]) is (name not in ONE_SHOT)


@EACH_OF_OURS
def test_a_process_waits_for_what_it_needs(name: str) -> None:
    """The migration waits for Postgres, every other process for it and both Redis servers."""
    conditions = {key: one["condition"] for key, one in SERVICES[name]["depends_on"].items()}
    healthy = dict.fromkeys(("redis-broker", "redis-suppression"), "service_healthy")
    after = {"migrate": "service_completed_successfully", **healthy}
    assert conditions == ({"postgres": "service_healthy"} if name in ONE_SHOT else after)


def test_a_worker_may_finish_what_it_began() -> None:
    """Docker kills a worker no sooner than Celery has given up waiting for its slices."""
    settings = Settings.from_variables({"DATABASE_URL": "postgresql://", "REDIS_URL": "redis://"})
    patience = create_app(settings=lambda: settings).conf.worker_soft_shutdown_timeout
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) > patience


def test_flower_shows_and_does_nothing() -> None:
    """Flower cannot shut down workers or start tasks, and asks for a password."""
    assert "--read-only" in SERVICES["flower"]["command"]
    assert environment("flower")["FLOWER_BASIC_AUTH"]


def test_the_image_is_named_by_this_release() -> None:
    """A running container tells which release it is."""
    assert {SERVICES[name]["image"] for name in OURS} == {f"{PROJECT['name']}:{PROJECT['version']}"}


def dockerfile() -> list[list[str]]:
    """The Dockerfile's instructions as words, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    return [line.split() for line in text.splitlines() if line and not line.startswith("#")]


def test_the_dockerfile_copies_what_exists_and_is_not_ignored() -> None:
    """Every source path is in the tree and let through by ``.dockerignore``."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    let_through = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copies = [words[1:-1] for words in dockerfile() if words[0] == "COPY"]
    sources = [one for words in copies if not words[0].startswith("--from") for one in words]
    assert all((ROOT / source).exists() for source in sources)
    assert {Path(source).name for source in sources} == let_through


def test_the_image_holds_what_the_package_is_built_from() -> None:
    """The build finds the readme, the licence and the packages that pyproject.toml names."""
    sources = {Path(one).name for words in dockerfile() if words[0] == "COPY" for one in words[1:]}
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packages = wheel["targets"]["wheel"]["packages"]
    assert {PROJECT["readme"], *PROJECT["license-files"], *packages} <= sources


def test_the_image_has_a_python_that_we_support() -> None:
    """The base image's Python is one that pyproject.toml lists."""
    bases = {words[1] for words in dockerfile() if words[0] == "FROM"}
    (base,) = bases
    assert fnmatch(base, "python:3.*-slim")
    version = base.removeprefix("python:").removesuffix("-slim")
    assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_no_process_runs_as_root() -> None:
    """The image's last user is not root, and containers cannot become it."""
    users = [words[1] for words in dockerfile() if words[0] == "USER"]
    assert users[-1:] == ["sender"]
    assert all(SERVICES[name]["cap_drop"] == ["ALL"] for name in OURS)
