"""A tenant's secrets at Twilio: encrypted in the database, or named by environment variables."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from sender.errors import ConfigurationError

#: What a tenant may give; the names are the command line's and the table's.
SECRETS = ("auth_token", "api_key", "api_secret")


@dataclass(frozen=True, kw_only=True)
class Secrets:
    """How one tenant signs in, and how its webhooks are signed."""

    #: The primary first; two during a rotation.
    auth_tokens: tuple[str, ...] = field(repr=False)
    #: ``SK…`` and its secret, to send without the auth token; empty for none.
    api_key: str = ""
    api_secret: str = field(default="", repr=False)

    @classmethod
    def from_texts(cls, texts: Mapping[str, str]) -> Self:
        """Read them from what somebody typed or a variable holds, by the names in ``SECRETS``.

        Raises:
            ConfigurationError: no auth token, or half an API key.
        """
        if unknown := texts.keys() - set(SECRETS):
            raise ConfigurationError(f"no such secret: {', '.join(sorted(unknown))}")
        tokens = [token.strip() for token in texts.get("auth_token", "").split(",")]
        key, secret = texts.get("api_key", "").strip(), texts.get("api_secret", "").strip()
        if not any(tokens):
            raise ConfigurationError("an auth token is needed: webhooks are signed with it")
        if bool(key) != bool(secret):
            raise ConfigurationError("an API key and its secret go together")
        return cls(auth_tokens=tuple(filter(None, tokens)), api_key=key, api_secret=secret)

    @property
    def texts(self) -> dict[str, str]:
        """What ``from_texts`` reads."""
        given = (",".join(self.auth_tokens), self.api_key, self.api_secret)
        return dict(zip(SECRETS, given, strict=True))


@dataclass(frozen=True, kw_only=True)
class Vault:
    """Encrypts secrets with Fernet (AES-128-CBC and HMAC-SHA256; cryptography.io/fernet)."""

    #: 32 bytes each, URL-safe base64; the first encrypts, all decrypt.
    keys: tuple[str, ...] = field(repr=False)

    def encrypt(self, secrets: Secrets) -> bytes:
        """The secrets, as they may be stored.

        Raises:
            ConfigurationError: there is no key, or one that is none.
        """
        return self._fernet().encrypt(json.dumps(secrets.texts).encode())

    def decrypt(self, encrypted: bytes) -> Secrets:
        """What was encrypted with any of the keys.

        Raises:
            ConfigurationError: there is no key, or not the one it was encrypted with.
        """
        return Secrets.from_texts(json.loads(self._opened(encrypted)))

    def seal(self, text: str) -> bytes:
        """Any other secret, as it may be stored; raises as `encrypt` does."""
        return self._fernet().encrypt(text.encode())

    def unseal(self, sealed: bytes) -> str:
        """What was sealed with any of the keys; raises as `decrypt` does."""
        return self._opened(sealed).decode()

    def _opened(self, encrypted: bytes) -> bytes:
        try:
            return self._fernet().decrypt(encrypted)
        except InvalidToken:
            raise ConfigurationError(
                "SENDER_SECRET_KEY has not the key that a tenant's secrets were encrypted with"
            ) from None

    def _fernet(self) -> MultiFernet:
        if not self.keys:
            raise ConfigurationError(
                "set SENDER_SECRET_KEY to store credentials; `sender tenants new-key` makes one"
            )
        try:
            return MultiFernet([Fernet(key) for key in self.keys])
        except ValueError:
            raise ConfigurationError(
                "SENDER_SECRET_KEY: each key is 32 bytes in URL-safe base64"
            ) from None


def new_key() -> str:
    """A fresh key for ``SENDER_SECRET_KEY``."""
    return Fernet.generate_key().decode()
