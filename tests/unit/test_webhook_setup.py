"""What is to be done about a sender's webhooks."""

import pytest

from sender.domain.webhook_setup import Change, Hook, HookSettings, Verdict, Wanted, judge

OURS, OURS_TOO, OLD = "https://us/twilio/inbound", "https://us/twilio/fallback", "https://us/old"
THEIRS = "https://them/sms"
WANTED = Wanted(
    inbound=Hook(url=OURS),
    fallback=Hook(url=OURS_TOO),
    is_free=lambda url: not url or url.startswith("https://us/"),
)


def found(inbound: Hook, fallback: Hook, application: str = "") -> HookSettings:
    """A number as the provider knows it."""
    return HookSettings(
        sender="+1", sid="PN1", inbound=inbound, fallback=fallback, application=application
    )


@pytest.mark.parametrize(
    ("inbound", "fallback", "verdict"),
    [
        (Hook(url=OURS), Hook(url=OURS_TOO), Verdict.RIGHT),
        (Hook(url=""), Hook(url=""), Verdict.CHANGE),
        (Hook(url=OURS), Hook(url=""), Verdict.CHANGE),
        (Hook(url=OLD), Hook(url=OURS), Verdict.CHANGE),
        (Hook(url=OURS, method="GET"), Hook(url=OURS_TOO), Verdict.CHANGE),
        (Hook(url=THEIRS), Hook(url=OURS_TOO), Verdict.FOREIGN),
        (Hook(url=""), Hook(url=THEIRS), Verdict.FOREIGN),
    ],
)
def test_only_what_is_ours_or_nobodys_changes_unasked(
    inbound: Hook, fallback: Hook, verdict: Verdict
) -> None:
    """Both URLs count, each with its method."""
    assert judge(found(inbound, fallback), WANTED, replace=False)[0] is verdict
    if verdict is Verdict.FOREIGN:
        assert judge(found(inbound, fallback), WANTED, replace=True)[0] is Verdict.CHANGE


def test_what_would_change_is_named() -> None:
    """As it is and as it is to be, an application too."""
    number = found(Hook(url=THEIRS, method="GET"), Hook(url=OURS_TOO), application="AP1")
    verdict, changes = judge(number, WANTED, replace=False)
    assert verdict is Verdict.FOREIGN
    assert changes == [
        Change(setting="inbound", before=f"GET {THEIRS}", after=OURS),
        Change(setting="application", before="AP1", after="nothing"),
    ]


def test_a_service_of_its_numbers_is_left_alone() -> None:
    """Its own URLs are not called, whatever they are."""
    service = HookSettings(
        sender="MG1", sid="MG1", inbound=Hook(url=""), fallback=Hook(url=""), numbers=()
    )
    assert judge(service, WANTED, replace=True) == (Verdict.NUMBERS, [])
