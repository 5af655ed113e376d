"""What Twilio calls: our public URLs, and how it shall call them."""

from typing import Final
from urllib.parse import urlsplit
from uuid import UUID

from sender.errors import ConfigurationError

#: How Twilio shall call us (connection overrides in the URL's fragment, which is neither sent nor
#: signed): 2 s to connect, 4 s to answer, five repeats whatever went wrong. By default it gives up
#: after one failed answer, and a STOP or a 21610 would be lost.
#: Source: twilio.com/docs/usage/webhooks/webhooks-connection-overrides
OVERRIDES: Final = "#ct=2000&rt=4000&rc=5&rp=all"
#: What a new number is given to call.
_EXAMPLE: Final = "https://demo.twilio.com/"


class PublicUrls:
    """The URLs below one public address."""

    def __init__(self, public_base_url: str) -> None:
        """Take the address from the configuration.

        Args:
            public_base_url: what Twilio calls, up to where our own paths begin: a proxy may change
                scheme, host, port and path.

        Raises:
            ConfigurationError: not an absolute http(s) URL, or one with a part that no webhook's
                signature could be checked over: a query, a fragment, a user.
        """
        require_absolute(public_base_url)
        parts = urlsplit(public_base_url)
        if parts.query or parts.fragment or "@" in parts.netloc or public_base_url[-1] in "?#":
            raise ConfigurationError(
                "PUBLIC_BASE_URL ends where /twilio/… begins, and names no user"
            )
        self.base: Final = public_base_url.rstrip("/")

    @property
    def inbound(self) -> str:
        """For what people text."""
        return f"{self.base}/twilio/inbound{OVERRIDES}"

    @property
    def fallback(self) -> str:
        """For the same, when the first call failed with all its repeats."""
        return f"{self.base}/twilio/fallback{OVERRIDES}"

    def status(self, message_id: UUID | str) -> str:
        """For the status callbacks of one message; each message carries its own."""
        return f"{self.base}/twilio/status/{message_id}{OVERRIDES}"

    def events(self, account_sid: str) -> str:
        """For an account's Event Streams, which take no overrides and repeat for hours."""
        return f"{self.base}/twilio/events/{account_sid}"

    def is_free(self, url: str) -> bool:
        """Whether a URL may be replaced without asking: none, ours, or Twilio's own example."""
        address = url.partition("#")[0].partition("?")[0]
        return not url or address.startswith((f"{self.base}/twilio/", _EXAMPLE))


def require_absolute(url: str) -> None:
    """Refuse what is no address.

    Raises:
        ConfigurationError: not an absolute http(s) URL.
    """
    try:
        parts = urlsplit(url)
        absolute = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        absolute = False
    if not absolute:
        raise ConfigurationError(f"not an absolute http(s) URL: {url!r}")
