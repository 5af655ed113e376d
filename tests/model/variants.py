"""What each safeguard is for: without it a promise breaks, in a scenario that shows it quickly."""

from dataclasses import dataclass
from typing import Final

from tests.model.design import START, STOP, Design, Scenario
from tests.model.search import Found, explore
from tests.model.state import Windows
from tests.model.steps import Broken

NO_TEXT: Final = Scenario(name="nobody texts us", texts=())
ONE_STOP: Final = Scenario(name="a STOP")
STOP_START: Final = Scenario(name="a STOP and a later START", texts=(STOP, START))
START_STOP: Final = Scenario(name="a START and a later STOP", texts=(START, STOP))
TWO_STOPS: Final = Scenario(name="two STOPs", texts=(STOP, STOP))
PAUSED: Final = Scenario(name="a STOP while nobody sends", pump_works=False)
ONE_PROCESS: Final = Scenario(name="a STOP, two threads of one worker", one_process=True)
STOP_START_STOP: Final = Scenario(name="STOP, START and STOP again", texts=(STOP, START, STOP))

OURS: Final = Design()
#: It keeps every promise in these.
SCENARIOS: Final = (NO_TEXT, ONE_STOP, STOP_START, START_STOP, TWO_STOPS, PAUSED, ONE_PROCESS)
#: The same; these take seconds.
LONG_SCENARIOS: Final = (STOP_START_STOP,)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Our design, or what surrounds it, with something taken away."""

    name: str
    breaks: Broken
    design: Design = OURS
    scenario: Scenario = ONE_STOP

    def explore(self) -> Found:
        """Search as far as the first case of what breaks."""
        return explore(self.scenario, self.design, until=self.breaks)


VARIANTS: Final = (
    Variant(
        name="the guard asks for no suppression: Redis has the last word",
        breaks=Broken.BEGUN,
        design=Design(guard_asks=False),
    ),
    Variant(
        name="the guard looks, and then takes the row without looking again",
        breaks=Broken.TWICE,
        design=Design(guard_rechecks=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="neither the guard nor a put-back raises the generation",
        breaks=Broken.TWICE,
        design=Design(guard_raises_generation=False, put_back_raises_generation=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a settlement names no generation",
        breaks=Broken.TWICE,
        design=Design(settle_names_generation=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="what puts back after a broken guard names no owner",
        breaks=Broken.TWICE,
        design=Design(undo_names_owner=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a process works on a slice twice at a time",
        breaks=Broken.TWICE,
        design=Design(one_run_a_process=False),
        scenario=Scenario(name="nobody texts us", texts=(), one_process=True),
    ),
    Variant(
        name="a worker that slept does not look at its clock",
        breaks=Broken.BEGUN,
        design=Design(checks_clock=False),
    ),
    Variant(
        name="a request that was begun counts as not begun",
        breaks=Broken.TWICE,
        design=Design(knows_what_was_begun=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a request without an answer is sent again",
        breaks=Broken.TWICE,
        design=Design(retries_timeouts=True),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a doubt that Twilio's log does not have is pending again",
        breaks=Broken.BACK,
        design=Design(resends_doubts=True),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a doubt that Twilio's log does not have is sent again",
        breaks=Broken.TWICE,
        design=Design(resends_doubts=True),
        scenario=NO_TEXT,
    ),
    Variant(
        name="what a lost worker was sending is pending again",
        breaks=Broken.TWICE,
        design=Design(sweeper_doubts=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="nobody sweeps",
        breaks=Broken.STUCK,
        design=Design(sweeps=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a doubt is never given up",
        breaks=Broken.STUCK,
        design=Design(gives_up=False),
        scenario=NO_TEXT,
    ),
    Variant(
        name="a STOP is acknowledged at once",
        breaks=Broken.BEGUN,
        design=Design(ack_waits=False),
    ),
    Variant(
        name="a STOP is acknowledged before it is stored",
        breaks=Broken.LOST,
        design=Design(ack_waits=False, ack_after_commit=False),
    ),
    Variant(
        name="nothing is withdrawn, and nobody sends",
        breaks=Broken.STUCK,
        design=Design(withdraws=False),
        scenario=PAUSED,
    ),
    Variant(
        name="nothing is withdrawn, and pending rows do not count as under way",
        breaks=Broken.BEGUN,
        design=Design(withdraws=False, looks_for_pending=False),
    ),
    Variant(
        name="SKIP LOCKED in the withdrawal, and pending rows do not count",
        breaks=Broken.BEGUN,
        design=Design(withdrawal_waits=False, looks_for_pending=False),
    ),
    Variant(
        name="the look has the withdrawal's snapshot, and pending rows do not count",
        breaks=Broken.BEGUN,
        design=Design(looks_afterwards=False, looks_for_pending=False),
    ),
    Variant(
        name="sending rows do not count as under way",
        breaks=Broken.BEGUN,
        design=Design(looks_for_sending=False),
    ),
    Variant(
        name="fresh doubts do not count as under way",
        breaks=Broken.BEGUN,
        design=Design(looks_for_fresh_doubts=False),
    ),
    Variant(
        name="the consumer does not finish what the webhook app left",
        breaks=Broken.STUCK,
        design=Design(consumer_enforces=False),
    ),
    Variant(
        name="the puller does not look for texts whose webhook was lost",
        breaks=Broken.STUCK,
        design=Design(pulls=False),
    ),
    Variant(
        name="a START lifts a STOP that is later",
        breaks=Broken.BEGUN,
        design=Design(start_must_be_later=False),
        scenario=START_STOP,
    ),
)

#: The second of two safeguards: what it is for, another one does as well. Each alone may go (the
#: pairs are above), and stays for the day that the other one is changed.
SPARE: Final = (
    Design(guard_names_generation=False),
    Design(guard_raises_generation=False),
    Design(put_back_raises_generation=False),
    Design(withdrawal_waits=False),
    Design(looks_afterwards=False),
    Design(looks_for_pending=False),
)

#: What no design of ours can close: two things go wrong at once, or Postgres breaks its word.
WINDOWS: Final = (
    Variant(
        name="a worker stands still beyond the horizon, just before its first byte",
        breaks=Broken.BEGUN,
        scenario=Scenario(name="a STOP", windows=Windows(zombie=1)),
    ),
    Variant(
        name="a lost worker's request is on the network beyond the horizon",
        breaks=Broken.ACCEPTED,
        scenario=Scenario(name="a STOP", windows=Windows(slow_network=1)),
    ),
    Variant(
        name="Postgres forgets a committed STOP",
        breaks=Broken.LOST,
        scenario=Scenario(name="a STOP", windows=Windows(lossy=1)),
    ),
    Variant(
        name="Postgres forgets a committed guard or outcome",
        breaks=Broken.TWICE,
        scenario=Scenario(name="nobody texts us", texts=(), windows=Windows(lossy=1)),
    ),
)
