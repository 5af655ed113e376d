"""How many requests of an account may be in flight, by what it answers."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sender.domain.concurrency import FIRST, LONGEST_PAUSE, PAUSE, Allowance
from sender.domain.outcome import (
    Accepted,
    Ambiguous,
    NotBegun,
    OptedOut,
    Outcome,
    QueueFull,
    RefusalKind,
    Refused,
    Throttled,
)

TAKEN = Accepted(sid="SM1", provider_status="queued")
TOO_MUCH = Throttled(code=20429, retry_after=None)
ASKED = Throttled(code=20429, retry_after=timedelta(seconds=7))
NOTHING = timedelta()
BOUND = 64


def _after(allowance: Allowance, outcome: Outcome, *, begun: float = 1.0, at: float = 2.0) -> float:
    """The size after one answer, with everything in flight."""
    return allowance.after(outcome, begun=begun, at=at, in_flight=allowance.limit).size


def _round(allowance: Allowance, refused: int = 0, *, at: float) -> Allowance:
    """All that may be in flight begins at once, and is answered a second later."""
    for number in range(limit := allowance.limit):
        outcome = TOO_MUCH if number < refused else TAKEN
        allowance = allowance.after(outcome, begun=at, at=at + 1, in_flight=limit)
    return allowance


@dataclass
class Account:
    """An account that takes so many at a time, shared by processes that know nothing of it."""

    bears: int
    processes: list[Allowance]
    refusals: int = 0
    sizes: list[list[int]] = field(default_factory=list)

    def rounds(self, count: int) -> None:
        """So many rounds, in which every process uses all it may, turn by turn."""
        for number in range(count):
            at = 2.0 * number
            limits = [one.limit for one in self.processes]
            over = max(0, sum(limits) - self.bears)
            # What is too much is refused of each by its share, rounded up.
            refused = [-(-over * limit // sum(limits)) for limit in limits]
            self.refusals += sum(refused)
            self.processes = [
                _round(one, many, at=at) for one, many in zip(self.processes, refused, strict=True)
            ]
            self.sizes.append([one.limit for one in self.processes])


class TestGrowing:
    """What answers add."""

    def test_it_starts_small(self) -> None:
        """A new account is asked with a few requests at a time, and never more than the bound."""
        assert Allowance.first(BOUND).limit == FIRST
        assert Allowance.first(3).limit == 3

    def test_it_doubles_before_the_first_refusal(self) -> None:
        """While nothing was refused a round doubles it, up to the bound."""
        allowance, limits = Allowance.first(BOUND), []
        for number in range(4):
            allowance = _round(allowance, at=2.0 * number)
            limits.append(allowance.limit)
        assert limits == [32, 64, 64, 64]

    def test_it_grows_by_one_after_a_refusal(self) -> None:
        """Once an account has refused, a round adds one."""
        cut = Allowance.first(BOUND).after(TOO_MUCH, begun=1.0, at=2.0, in_flight=16)
        limits = [cut.limit]
        for number in range(2, 6):
            cut = _round(cut, at=2.0 * number)
            limits.append(cut.limit)
        assert limits == [8, 8, 9, 10, 11]  # with what is left of a part

    @pytest.mark.parametrize("in_flight", [1, 7])
    def test_it_grows_only_while_it_is_used(self, in_flight: int) -> None:
        """A sender of a message a second proves nothing about a hundred at a time."""
        allowance = Allowance.first(BOUND)
        for _ in range(100):
            allowance = allowance.after(TAKEN, begun=1.0, at=2.0, in_flight=in_flight)
        assert allowance.limit == FIRST

    @pytest.mark.parametrize(
        "outcome",
        [
            QueueFull(code=21611, retry_after=timedelta(minutes=10)),
            Throttled(code=30610, retry_after=timedelta(minutes=30), of_account=False),
            NotBegun(why="connect_refused"),
            Ambiguous(why="http_503", code=503),
        ],
        ids=repr,
    )
    def test_what_says_nothing_of_the_account(self, outcome: Outcome) -> None:
        """A full queue of one sender, a person's quiet hours or an outage change nothing."""
        assert _after(Allowance.first(BOUND), outcome) == FIRST

    @pytest.mark.parametrize(
        "outcome", [OptedOut(code=21610), Refused(kind=RefusalKind.BAD_NUMBER, code=21211)]
    )
    def test_a_refusal_of_the_message_is_an_answer(self, outcome: Outcome) -> None:
        """Who says no to a message had room for the request."""
        assert _after(Allowance.first(BOUND), outcome) == FIRST + 1


class TestCutting:
    """What 429s take away."""

    def test_once_a_round(self) -> None:
        """However many of a round are refused, they halve it once."""
        assert _round(Allowance.first(BOUND), FIRST, at=5.0).limit == FIRST // 2

    def test_again_in_the_next_round(self) -> None:
        """What was begun after a cut and is refused cuts again, down to one and no further."""
        allowance, limits = Allowance.first(BOUND), []
        for number in range(6):
            allowance = _round(allowance, allowance.limit, at=2.0 * number)
            limits.append(allowance.limit)
        assert limits == [8, 4, 2, 1, 1, 1]

    def test_one_process_finds_the_limit(self) -> None:
        """It settles near what the account bears; of what is asked then, little is refused."""
        account = Account(bears=20, processes=[Allowance.first(BOUND)])
        account.rounds(300)
        late = [sizes[0] for sizes in account.sizes[50:]]
        assert min(late) >= 10
        assert max(late) <= 21
        assert account.refusals <= 0.05 * sum(late)

    def test_processes_share_it(self) -> None:
        """Processes that start unequal come to about the same, and use the account between them."""
        big, small = Allowance.first(200), Allowance.first(200)
        big = Allowance(bound=200, size=90, is_first_rise=False)
        account = Account(bears=100, processes=[big, small])
        account.rounds(600)
        mine, other = (sum(sizes[n] for sizes in account.sizes[300:]) for n in (0, 1))
        assert 0.5 <= mine / other <= 2
        assert 0.6 * 100 <= (mine + other) / 300 <= 102

    @given(
        bound=st.integers(1, 40),
        answers=st.lists(
            st.tuples(
                st.sampled_from([TAKEN, TOO_MUCH, NotBegun(why="dns")]),
                st.integers(0, 5),  # how long it took
                st.integers(1, 60),  # in flight
            ),
            max_size=60,
        ),
    )
    def test_whatever_is_answered(
        self, bound: int, answers: list[tuple[Outcome, int, int]]
    ) -> None:
        """It is never below one nor above its bound, is cut once a round at most, and recovers."""
        allowance = Allowance.first(bound)
        cuts: list[float] = []
        for number, (outcome, took, in_flight) in enumerate(answers):
            at, begun = float(number), float(number - took)
            after = allowance.after(outcome, begun=begun, at=at, in_flight=in_flight)
            assert 1 <= after.limit <= bound
            if after.size < allowance.size:
                assert outcome is TOO_MUCH
                assert not cuts or begun > cuts[-1]
                assert after.size == max(1.0, allowance.size / 2)
                cuts.append(at)
            allowance = after
        at = float(len(answers))
        for number in range(2 * bound):
            allowance = _round(allowance, at=at + 2 * number)
        assert allowance.limit == bound


class TestPausing:
    """When the whole fleet is told to leave the account alone."""

    def test_a_cut_is_enough_at_first(self) -> None:
        """One refusal among many answers pauses nobody, whatever it asks for."""
        allowance = Allowance.first(BOUND)
        for number in range(1, 20):
            assert allowance.pause(ASKED, begun=3.0 * number, chance=0.5) == NOTHING
            allowance = _round(allowance, 1, at=3.0 * number)
            allowance = _round(allowance, at=3.0 * number + 1.5)

    def test_a_cut_that_was_not_enough(self) -> None:
        """What begins after a cut and is refused before anything was let through pauses all."""
        cut = _round(Allowance.first(BOUND), FIRST, at=1.0)
        assert cut.pause(ASKED, begun=3.0, chance=0.5) == timedelta(seconds=7)
        assert cut.pause(TOO_MUCH, begun=3.0, chance=0.0) == PAUSE

    def test_what_began_before_the_cut(self) -> None:
        """What was refused together asks for nothing more."""
        cut = _round(Allowance.first(BOUND), 1, at=1.0)
        assert cut.pause(ASKED, begun=1.0, chance=0.5) == NOTHING

    @pytest.mark.parametrize(("begun", "pause"), [(1.0, ASKED.retry_after), (3.0, NOTHING)])
    def test_what_was_let_through(self, begun: float, pause: timedelta) -> None:
        """An answer proves a cut only if it began after it."""
        cut = _round(Allowance.first(BOUND), FIRST, at=1.0)
        answered = cut.after(TAKEN, begun=begun, at=4.0, in_flight=1)
        assert answered.pause(ASKED, begun=3.5, chance=0.5) == pause

    @pytest.mark.parametrize(("chance", "longer"), [(0.0, 1.0), (1.0, 1.5)])
    def test_when_nothing_is_left_to_cut(self, chance: float, longer: float) -> None:
        """An account that takes not even one at a time is left alone for a moment."""
        least = Allowance(bound=BOUND, size=1.9, cut_at=5.0)
        assert least.pause(TOO_MUCH, begun=6.0, chance=chance) == PAUSE * longer
        assert least.pause(TOO_MUCH, begun=4.0, chance=chance) == NOTHING

    def test_never_for_long(self) -> None:
        """However long is asked for, the next refusal says so again."""
        least = Allowance(bound=BOUND, size=1.0)
        asked = Throttled(code=20429, retry_after=timedelta(hours=1))
        assert least.pause(asked, begun=6.0, chance=0.5) == LONGEST_PAUSE

    @pytest.mark.parametrize(
        "outcome",
        [
            TAKEN,
            QueueFull(code=21611, retry_after=timedelta(minutes=10)),
            Throttled(code=30610, retry_after=timedelta(minutes=30), of_account=False),
        ],
        ids=repr,
    )
    def test_what_does_not_concern_the_account(self, outcome: Outcome) -> None:
        """One sender's queue or one person's hours never stop the others."""
        least = Allowance(bound=BOUND, size=1.0)
        assert least.pause(outcome, begun=6.0, chance=0.5) == NOTHING
