"""What of this package is installed."""

from importlib import metadata


def version() -> str:
    """Its version; empty where it runs without being installed."""
    try:
        return metadata.version("bulk-sms-sender")
    except metadata.PackageNotFoundError:
        return ""
