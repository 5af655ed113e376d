"""With one safeguard taken away the same demo breaks its promise, and says so.

The missing safeguard is another collaborator handed in; no setting could take it away.
"""

from sender.local.demo import Account, DemoOptions, Substitutes, run_demo
from sender.local.stack import Programs
from tests.acceptance.controls import duplicates_kept

CONTROLS = "tests.acceptance.controls"
#: Enough for each of them to be caught at.
RECIPIENTS = 600


def demo_with(substitutes: Substitutes, *, provider_block: bool = True) -> Account:
    """A demo with something of ours replaced."""
    options = DemoOptions(
        recipients=RECIPIENTS, provider_block=provider_block, flower=False, to_the_end=False
    )
    return run_demo(options, substitutes=substitutes)


def test_without_the_guards_check_people_who_opted_out_are_texted() -> None:
    """The guard's suppression test is what stops a message to somebody whom Redis forgot."""
    account = demo_with(Substitutes(programs=Programs(celery_app=f"{CONTROLS}.no_guard")))
    assert len(account.leaks) >= 20
    assert not account.kept


def test_without_the_stops_wait_requests_arrive_after_it_was_answered() -> None:
    """The STOP's wait is what keeps a request that is under way from arriving afterwards."""
    programs = Programs(webhook_app=f"{CONTROLS}.no_wait:app", consumer=f"{CONTROLS}.no_wait")
    account = demo_with(Substitutes(programs=programs))
    assert len(account.leaks) >= 5
    assert not account.kept


def test_a_doubt_that_is_sent_again_is_sent_twice() -> None:
    """That nothing in doubt is sent again is what keeps a lost answer from a second text."""
    account = demo_with(Substitutes(programs=Programs(celery_app=f"{CONTROLS}.doubts_sent_again")))
    assert account.sent_twice >= 5
    assert not account.kept


def test_without_one_row_a_recipient_duplicates_are_sent_twice() -> None:
    """One canonical number, once in a campaign, is what makes two spellings one text."""
    substitutes = Substitutes(parts=duplicates_kept.PARTS, prepare=duplicates_kept.allow_duplicates)
    account = demo_with(substitutes)
    assert account.sent_twice >= 8
    assert not account.kept
