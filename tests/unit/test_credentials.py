"""Secrets of tenants: encrypted, rotated, never shown."""

import pytest

from sender.credentials import Secrets, Vault, new_key
from sender.errors import ConfigurationError

OLD, NEW = new_key(), new_key()
SECRETS = Secrets.from_texts(
    {"auth_token": "first, second", "api_key": "SK1", "api_secret": "hush"}
)


def test_they_come_back() -> None:
    """What was encrypted is read with the same key; two tokens stay in their order."""
    vault = Vault(keys=(OLD,))
    assert vault.decrypt(vault.encrypt(SECRETS)) == SECRETS
    assert SECRETS.auth_tokens == ("first", "second")


def test_a_key_is_rotated() -> None:
    """With the new key in front old secrets are still read; without the old one they are not."""
    encrypted = Vault(keys=(OLD,)).encrypt(SECRETS)
    both = Vault(keys=(NEW, OLD))
    assert both.decrypt(encrypted) == SECRETS
    assert Vault(keys=(NEW,)).decrypt(both.encrypt(SECRETS)) == SECRETS
    with pytest.raises(ConfigurationError, match="SENDER_SECRET_KEY"):
        Vault(keys=(NEW,)).decrypt(encrypted)


@pytest.mark.parametrize("keys", [(), ("no key",), ("",)])
def test_a_missing_or_wrong_key_is_named(keys: tuple[str, ...]) -> None:
    """Without a fit key nothing is stored, and the setting is named."""
    with pytest.raises(ConfigurationError, match="SENDER_SECRET_KEY"):
        Vault(keys=keys).encrypt(SECRETS)


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"auth_token": " , "},
        {"auth_token": "t", "api_key": "SK1"},
        {"auth_token": "t", "api_secret": "x"},
        {"auth_token": "t", "password": "x"},
    ],
)
def test_what_makes_no_sense(texts: dict[str, str]) -> None:
    """A token is needed, a key goes with its secret, and nothing else is taken."""
    with pytest.raises(ConfigurationError):
        Secrets.from_texts(texts)


def test_nothing_is_shown() -> None:
    """Neither secrets nor keys stand in what is printed or logged."""
    shown = f"{SECRETS!r} {Vault(keys=(OLD,))!r} {Vault(keys=(OLD,)).encrypt(SECRETS)!r}"
    assert not any(secret in shown for secret in ("first", "second", "hush", OLD))
