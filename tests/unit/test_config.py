"""Settings: every variable, its default, and what is said when one is wrong."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from sender.config import BEGIN_WITHIN, LEASE, SEND_DEADLINE, Settings
from sender.errors import ConfigurationError

NEEDED = {
    "DATABASE_URL": "postgresql+psycopg://u:hunter2@db/sms",
    "REDIS_URL": "redis://cache:6379/0",
}
TWILIO = {
    "TWILIO_ACCOUNT_SID": "AC" + "a" * 32,
    "TWILIO_AUTH_TOKEN": "s3cret",
    "PUBLIC_BASE_URL": "https://sms.example.com",
}


def _settings(**variables: str) -> Settings:
    return Settings.from_variables(NEEDED | variables)


def test_two_variables_are_enough() -> None:
    """The servers' addresses are all that has no default."""
    settings = _settings()
    assert settings.twilio_api_base_url == "https://api.twilio.com"
    assert settings.doubt_horizon == timedelta(seconds=120)


@pytest.mark.parametrize(
    ("redis", "broker"),
    [
        ("redis://cache:6379/0", "redis://cache:6379/1"),
        ("redis://cache:6379", "redis://cache:6379/1"),
        (
            "rediss://u:p@cache:6380/0?ssl_cert_reqs=none",
            "rediss://u:p@cache:6380/1?ssl_cert_reqs=none",
        ),
    ],
)
def test_the_broker_is_beside_the_sets(redis: str, broker: str) -> None:
    """Without an address of its own the broker is database 1 of the same server."""
    assert _settings(REDIS_URL=redis).celery_broker_url == broker
    given = "redis://queue/0"
    assert _settings(CELERY_BROKER_URL=given).celery_broker_url == given


@pytest.mark.parametrize("missing", sorted(NEEDED))
def test_a_missing_variable_is_named(missing: str) -> None:
    """What is missing is named, with what it is for."""
    variables = {name: value for name, value in NEEDED.items() if name != missing}
    with pytest.raises(ConfigurationError, match=missing):
        Settings.from_variables(variables)


def test_an_empty_variable_is_missing() -> None:
    """An empty value, as compose files leave it, counts as none."""
    with pytest.raises(ConfigurationError, match="DATABASE_URL"):
        _settings(DATABASE_URL="")
    assert _settings(SENDER_CONCURRENCY="").concurrency == 64


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENDER_CONCURRENCY", "0"),
        ("SENDER_CONCURRENCY", "many"),
        ("SENDER_THREADS", "1"),
        ("SENDER_DOUBT_HORIZON_SECONDS", "10"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    """A value out of its bounds is refused by name."""
    with pytest.raises(ConfigurationError, match=name):
        _settings(**{name: value})


def test_all_wrong_ones_at_once() -> None:
    """Every wrong variable is named, not just the first."""
    with pytest.raises(ConfigurationError, match=r"(?s)DATABASE_URL.*SENDER_THREADS"):
        Settings.from_variables({"REDIS_URL": "redis://x", "SENDER_THREADS": "0"})


def test_other_variables_are_nobodys_business() -> None:
    """An environment holds much that is not ours."""
    assert _settings(PATH="/bin", database_url="other").database_url == NEEDED["DATABASE_URL"]


def test_secrets_do_not_show() -> None:
    """Tokens appear in no repr and in no error."""
    assert "s3cret" not in repr(_settings(**TWILIO, TWILIO_API_SECRET="s3cret"))
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_variables({"DATABASE_URL": NEEDED["DATABASE_URL"], **TWILIO})
    assert "s3cret" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_two_tokens_during_a_rotation() -> None:
    """Several tokens may be given, the primary first; blanks are none."""
    assert _settings(TWILIO_AUTH_TOKEN="new, old,").auth_tokens == ("new", "old")
    assert _settings().auth_tokens == ()


@pytest.mark.parametrize("missing", sorted(TWILIO))
def test_what_twilio_needs(missing: str) -> None:
    """Workers and the webhook app do not start without what they need of Twilio."""
    _settings(**TWILIO).require_twilio()
    with pytest.raises(ConfigurationError, match=missing):
        _settings(**(TWILIO | {missing: ""})).require_twilio()


@pytest.mark.parametrize(
    ("url", "secret", "said"),
    [("https://x.example", "", "^SENDER_ALERT_URL needs SENDER_ALERT_SECRET"), ("x", "s", "http")],
)
def test_alerts_are_signed(url: str, secret: str, said: str) -> None:
    """An address for alerts is one, and comes with the secret that signs them."""
    with pytest.raises(ConfigurationError, match=said):
        _settings(SENDER_ALERT_URL=url, SENDER_ALERT_SECRET=secret)


def test_the_limits_of_21610s() -> None:
    """They are given in percent, and kept as shares."""
    limits = _settings(SENDER_BLOCK_HOLD_PERCENT="0").block_limits
    assert (limits.alert_share, limits.hold_share) == (0.01, 0)


def test_a_process_has_one_set() -> None:
    """Settings do not change while a process lives."""
    settings = _settings()
    with pytest.raises(ValidationError):
        settings.concurrency = 1


def test_the_times_fit_each_other() -> None:
    """A lease outlives any request by far, and a request begins well before its deadline."""
    assert 10 * SEND_DEADLINE <= LEASE
    assert SEND_DEADLINE > 2 * BEGIN_WITHIN
    assert _settings().doubt_horizon > SEND_DEADLINE
