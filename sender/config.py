"""Every setting, its default and the reason for it; the only reader of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, model_validator

from sender.domain.block_rate import BlockLimits
from sender.domain.intake import IntakeMode, Rhythm
from sender.errors import ConfigurationError

#: From before the guard to the last byte of the answer: pool wait, connect, write, read.
SEND_DEADLINE = timedelta(seconds=10)
#: A request that has not begun this long after its guard is put back instead: the longer a
#: guarded row waits, the longer a STOP has to wait for it.
BEGIN_WITHIN = timedelta(seconds=2)
#: A row's lease: ten times the deadline and more, so that only a lost owner ever outlives it.
LEASE = timedelta(seconds=120)
#: How long a webhook is held for a STOP's enforcement before it is answered 503.
STOP_PATIENCE = timedelta(seconds=3)
#: Nothing of a message is under way, asked for or expected any longer than that.
SHORTEST_KEPT = timedelta(days=30)


class Settings(BaseModel):
    """Settings from the environment; frozen, so that a process has one set for its life."""

    model_config = ConfigDict(frozen=True)

    database_url: str = Field(
        validation_alias="DATABASE_URL",
        description="PostgreSQL 14 or newer, e.g. postgresql+psycopg://user:password@host/db",
    )
    redis_url: str = Field(
        validation_alias="REDIS_URL",
        description="Redis 6.2 or newer for suppression and pacing, policy noeviction",
    )
    celery_broker_url: str = Field(
        default="",
        validation_alias="CELERY_BROKER_URL",
        description="Celery's broker; default: database 1 of REDIS_URL's server",
    )
    twilio_account_sid: str = Field(
        default="",
        validation_alias="TWILIO_ACCOUNT_SID",
        description="the default tenant's account, AC…",
    )
    twilio_auth_token: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="TWILIO_AUTH_TOKEN",
        description="signs webhooks; also authenticates sends where no API key is given. "
        "During rotation two tokens may stand here, separated by a comma, the primary first",
    )
    twilio_api_key: str = Field(
        default="",
        validation_alias="TWILIO_API_KEY",
        description="SK…, to send without the auth token",
    )
    twilio_api_secret: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="TWILIO_API_SECRET",
        description="the API key's secret",
    )
    twilio_api_base_url: str = Field(
        default="https://api.twilio.com",
        validation_alias="TWILIO_API_BASE_URL",
        description="Twilio, a proxy, or the simulator",
    )
    public_base_url: str = Field(
        default="",
        validation_alias="PUBLIC_BASE_URL",
        description="what Twilio calls, up to where `/twilio/…` begins; signatures are checked "
        "over it",
    )
    secret_key: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="SENDER_SECRET_KEY",
        description="encrypts the credentials of further tenants in the database; several keys "
        "may stand here, separated by a comma, the newest first",
    )
    concurrency: int = Field(
        default=64,
        ge=1,
        le=2000,
        validation_alias="SENDER_CONCURRENCY",
        description="requests in flight per worker process; rate = this / Twilio's latency",
    )
    slice_threads: int = Field(
        default=8,
        ge=2,
        le=64,
        validation_alias="SENDER_THREADS",
        description="Celery threads per worker; one is kept free for recovery tasks, a quarter of "
        "the others (of 8: 2, of 2: none) for transactional slices",
    )
    doubt_horizon_seconds: int = Field(
        default=120,
        ge=15,
        validation_alias="SENDER_DOUBT_HORIZON_SECONDS",
        description="how long a STOP waits for a request whose worker was lost: longer than a "
        "lost worker's bytes can stay on the network; never below the 10 s a live one may take",
    )
    intake: Literal["both", "pull", "webhook"] = Field(
        default="both",
        validation_alias="SENDER_INTAKE",
        description="where STOPs come from: webhooks and Twilio's log (`both`), the log alone "
        "(`pull`, where Twilio cannot call: no PUBLIC_BASE_URL needed), webhooks alone (`webhook`)",
    )
    intake_silence_seconds: int = Field(
        default=30,
        ge=3,
        validation_alias="SENDER_INTAKE_SILENCE_SECONDS",
        description="the webhook app or the consumer giving no sign of life for so long stops all "
        "sending, until Twilio's log was read past the gap; longer than their restart takes",
    )
    pull_seconds: int = Field(
        default=60,
        ge=1,
        validation_alias="SENDER_PULL_SECONDS",
        description="between two reads of each number's inbound messages in Twilio's log; the "
        "longest that a STOP whose webhook was lost is unknown",
    )
    scrub: Literal["on", "off"] = Field(
        default="on",
        validation_alias="SENDER_SCRUB",
        description="before a campaign's first message Twilio is asked for opt-outs that are not "
        "known here (`off`: only where `enqueue` says so); transactional ones go without",
    )
    scrub_patience_seconds: int = Field(
        default=600,
        ge=1,
        validation_alias="SENDER_SCRUB_PATIENCE_SECONDS",
        description="Twilio not answering for so long before a campaign is an alert; the campaign "
        "stays held until it answers or a person lifts the hold",
    )
    state_dir: str = Field(
        default="",
        validation_alias="SENDER_STATE_DIR",
        description="a folder that survives both servers: the high-water mark is kept there as "
        "well as in Redis, so that a restored database is recognised",
    )
    block_alert_percent: float = Field(
        default=1.0,
        ge=0,
        le=100,
        validation_alias="SENDER_BLOCK_ALERT_PERCENT",
        description="from this share of 21610s among a campaign's answers on there is an alert, "
        "but not for fewer than 20; 0: never",
    )
    block_hold_percent: float = Field(
        default=20.0,
        ge=0,
        le=100,
        validation_alias="SENDER_BLOCK_HOLD_PERCENT",
        description="a campaign is held when 50 of its latest answers are 21610s and make up this "
        "share of them; 0: never",
    )
    alert_url: str = Field(
        default="",
        validation_alias="SENDER_ALERT_URL",
        description="where alerts are posted, signed, with retries for a day; a public host",
    )
    alert_secret: SecretStr = Field(
        default=SecretStr(""),
        validation_alias="SENDER_ALERT_SECRET",
        description="shared with that host: the signature's key",
    )
    callback_patience_hours: float = Field(
        default=3.0,
        ge=0,
        le=48,
        validation_alias="SENDER_CALLBACK_PATIENCE_HOURS",
        description="Twilio is asked for a message that has no final status so long after it was "
        "sent; 0: never",
    )
    callback_fetches_per_minute: int = Field(
        default=120,
        ge=1,
        le=3000,
        validation_alias="SENDER_CALLBACK_FETCHES_PER_MINUTE",
        description="how many messages the fleet asks Twilio for in a minute, of all tenants",
    )
    event_streams: bool = Field(
        default=False,
        validation_alias="SENDER_EVENT_STREAMS",
        description="take events from Twilio's Event Streams, a third source beside webhooks and "
        "Twilio's log; its sink posts to /twilio/events/AC…",
    )
    forward_private: bool = Field(
        default=False,
        validation_alias="SENDER_FORWARD_PRIVATE",
        description="for development: texts may be forwarded to private addresses, and without TLS",
    )
    keep_messages_days: int = Field(
        default=0,
        ge=0,
        validation_alias="SENDER_KEEP_MESSAGES_DAYS",
        description="whole months of messages are deleted so many days after their end, once all "
        "their campaigns are over for as long, 30 at least; 0: never. US claims may be brought "
        "for four years (1461)",
    )
    log_level: str = Field(
        default="INFO",
        validation_alias="SENDER_LOG_LEVEL",
        description="DEBUG, INFO, WARNING or ERROR",
    )
    crash_at: str = Field(
        default="",
        validation_alias="SENDER_CRASH_AT",
        description="for fault tests: the place at which this process ends itself",
    )
    test_faults: bool = Field(
        default=False,
        validation_alias="SENDER_TEST_FAULTS",
        description="for fault tests: without it SENDER_CRASH_AT is refused",
    )

    @classmethod
    def from_environment(cls) -> Self:
        """The settings of this process.

        Raises:
            ConfigurationError: a setting is missing or wrong; names each one and what it is for.
        """
        return cls.from_variables(os.environ)

    @classmethod
    def from_variables(cls, variables: Mapping[str, str]) -> Self:
        """The same from a mapping that looks like an environment."""
        names = {str(field.validation_alias) for field in cls.model_fields.values()}
        given = {name: variables[name] for name in names if variables.get(name)}
        try:
            return cls.model_validate(given)
        except ValidationError as exc:
            raise ConfigurationError(_explain(exc)) from exc

    @model_validator(mode="after")
    def _default_broker(self) -> Self:
        if not self.celery_broker_url:
            object.__setattr__(self, "celery_broker_url", _database_one(self.redis_url))
        return self

    @model_validator(mode="after")
    def _signed_alerts(self) -> Self:
        if self.alert_url and not self.alert_secret.get_secret_value():
            raise ValueError("SENDER_ALERT_URL needs SENDER_ALERT_SECRET, which signs what is sent")
        if self.alert_url and urlsplit(self.alert_url).scheme not in {"http", "https"}:
            raise ValueError("SENDER_ALERT_URL is no http(s) address")
        return self

    @property
    def block_limits(self) -> BlockLimits:
        """See ``block_alert_percent`` and ``block_hold_percent``."""
        return BlockLimits(
            alert_share=self.block_alert_percent / 100, hold_share=self.block_hold_percent / 100
        )

    @property
    def rhythm(self) -> Rhythm:
        """How STOPs come in, and how often signs of life do."""
        return Rhythm(
            mode=IntakeMode(self.intake),
            silence=timedelta(seconds=self.intake_silence_seconds),
            pull_every=timedelta(seconds=self.pull_seconds),
        )

    @property
    def doubt_horizon(self) -> timedelta:
        """See ``doubt_horizon_seconds``."""
        return timedelta(seconds=self.doubt_horizon_seconds)

    @property
    def callback_patience(self) -> timedelta:
        """See ``callback_patience_hours``."""
        return timedelta(hours=self.callback_patience_hours)

    @model_validator(mode="after")
    def _kept_for_a_month(self) -> Self:
        if 0 < self.keep_messages_days < SHORTEST_KEPT.days:
            raise ValueError(f"SENDER_KEEP_MESSAGES_DAYS is 0, or {SHORTEST_KEPT.days} at least")
        return self

    @property
    def keep_messages(self) -> timedelta:
        """See ``keep_messages_days``; zero: for ever."""
        return timedelta(days=self.keep_messages_days)

    @property
    def slices(self) -> int:
        """How many slices a worker works on at a time: one thread is recovery's."""
        return self.slice_threads - 1

    @property
    def reserved_slices(self) -> int:
        """How many of them are for transactional slices only: a quarter, rounded.

        Such slices are few and short, and what is reserved lies idle without them. Where none is
        free, one waits a second or two until a bulk slice makes way: so it does in a worker of two
        threads, whose only slice must do for both.
        """
        return (self.slices + 2) // 4

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """The auth tokens webhooks may be signed with, the primary first."""
        return _listed(self.twilio_auth_token)

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """See ``secret_key``."""
        return _listed(self.secret_key)

    def require_twilio(self) -> None:
        """Refuse to go on without what a worker and the webhook app need of Twilio.

        Raises:
            ConfigurationError: names the variables that are missing.
        """
        needed = {
            "TWILIO_ACCOUNT_SID": self.twilio_account_sid,
            "TWILIO_AUTH_TOKEN": self.auth_tokens,
            # Without webhooks nobody calls.
            "PUBLIC_BASE_URL": self.public_base_url or self.intake == "pull",
        }
        missing = [name for name, value in needed.items() if not value]
        if missing:
            raise ConfigurationError(f"set {', '.join(missing)} (see the README's table)")


@dataclass(frozen=True, kw_only=True)
class GivenServers:
    """The servers the environment names, for commands that start what is not given."""

    database_url: str | None
    redis_url: str | None

    @classmethod
    def from_environment(cls) -> Self:
        """What ``DATABASE_URL`` and ``REDIS_URL`` say."""
        return cls(
            database_url=os.environ.get("DATABASE_URL") or None,
            redis_url=os.environ.get("REDIS_URL") or None,
        )


def environment_variable(name: str) -> str:
    """The value of a variable that a tenant's credentials name.

    Raises:
        ConfigurationError: it is not set.
    """
    value = os.environ.get(name)
    if not value:
        raise ConfigurationError(f"a tenant's credentials name {name}, which is not set")
    return value


def _listed(secret: SecretStr) -> tuple[str, ...]:
    parts = secret.get_secret_value().split(",")
    return tuple(part.strip() for part in parts if part.strip())


def _database_one(redis_url: str) -> str:
    return urlsplit(redis_url)._replace(path="/1").geturl()


def _explain(exc: ValidationError) -> str:
    by_alias = {
        str(field.validation_alias): field.description for field in Settings.model_fields.values()
    }
    lines = []
    for error in exc.errors(include_input=False):
        if not error["loc"]:  # of several settings together: it names them itself
            lines.append(error["msg"].removeprefix("Value error, "))
            continue
        name = str(error["loc"][0])
        lines.append(f"{name}: {error['msg']} ({by_alias.get(name, '')})")
    return "; ".join(lines)
