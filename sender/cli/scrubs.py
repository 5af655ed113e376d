"""How a campaign's scrub is shown: in `sender campaign show` and `report`."""

from sender.domain.scrub import Scrub, ScrubOutcome, ScrubSource


def scrubbed(scrub: Scrub) -> str:
    """What the scrub before a campaign came to."""
    if scrub.outcome is not ScrubOutcome.DONE:
        return f"scrub {scrub.outcome}" + (f": {scrub.why}" if scrub.why else "")
    drift = ", ".join(f"{source} {scrub.drift.get(source, 0)}" for source in ScrubSource)
    unseen = f"; Twilio could not show: {scrub.unseen}" if scrub.unseen else ""
    return f"scrub found opt-outs that were not known: {drift}{unseen}"
