"""The demo's account, computed from hand-made logs and tables: it must notice what went wrong."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from sender.domain.campaign import CampaignState
from sender.domain.consent import ConsentEvent, Direction, ReasonClass, fold
from sender.domain.message import State
from sender.local.demo.account import Account, Asked, settle_accounts
from sender.local.demo.provider_log import ProviderLog
from sender.local.demo.stops import OnArrival
from sender.storage.audit import AuditedMessage, AuditedTables, OpenedIncident, StoredText
from sender.storage.campaigns import CampaignRow, LeftOut

START = datetime(2026, 5, 1, 12, tzinfo=UTC)
ADA, BOB = 12025550100, 12025550101
Entry = dict[str, Any]


def at(seconds: float) -> datetime:
    """A moment of the run."""
    return START + timedelta(seconds=seconds)


def id_of(recipient: int) -> UUID:
    """The id of a recipient's message."""
    return uuid5(UUID(int=0), str(recipient))


def create(recipient: int = ADA, arrived: float = 1.0, **fields: Any) -> Entry:
    """An accepted create request, or what `fields` make of it."""
    entry = {
        "kind": "create",
        "arrived_at": at(arrived).timestamp(),
        "answered_at": at(arrived + 0.1).timestamp(),
        "to": f"+{recipient}",
        "status_callback": f"http://localhost/twilio/status/{id_of(recipient)}#rc=5",
        "http_status": 201,
        "code": None,
        "sid": f"SM{recipient}",
        "accepted": True,
    }
    return {**entry, **fields}


def refused(recipient: int = ADA, *, code: int, status: int = 400, **fields: Any) -> Entry:
    """A create request that was not accepted."""
    answer = {"http_status": status, "code": code, "sid": None, "accepted": False}
    return create(recipient, **{**answer, **fields})


def callback(recipient: int, status: str, code: int | None = None) -> Entry:
    """A status callback that we acknowledged."""
    return {
        "kind": "status",
        "message_sid": f"SM{recipient}",
        "status": status,
        "error_code": code,
        "acknowledged": True,
    }


def text(
    recipient: int, body: str, *, arrived: float, answered: float | None, sid: str = "SMin"
) -> Entry:
    """A person's text and its webhook: 200 at `answered`, else 503."""
    finished = at(arrived + 3 if answered is None else answered).timestamp()
    attempt = {"status": 503 if answered is None else 200, "finished_at": finished}
    return {
        "kind": "inbound",
        "message_sid": sid,
        "from": f"+{recipient}",
        "body": body,
        "queued_at": at(arrived).timestamp(),
        "first_attempt_at": at(arrived).timestamp(),
        "attempts": [attempt],
        "acknowledged": answered is not None,
    }


def message(recipient: int = ADA, state: State = State.SENT, **fields: Any) -> AuditedMessage:
    """A row of ours."""
    row = AuditedMessage(
        id=id_of(recipient),
        recipient=recipient,
        state=state,
        reason="accepted",
        sid=f"SM{recipient}",
        provider_code=None,
        guarded_at=at(0.9),
        changed_at=at(2),
    )
    return replace(row, **fields)


def stop_event(
    recipient: int = ADA, *, received: float, provider: float | None = None, sid: str = "SMin"
) -> ConsentEvent:
    """The consent event of a texted STOP."""
    return ConsentEvent(
        id=1,
        tenant_id=1,
        recipient=recipient,
        scope=0,
        direction=Direction.OPT_OUT,
        reason=ReasonClass.STOP,
        source="inbound",
        source_id=sid,
        provider_at=None if provider is None else at(provider),
        received_at=at(received),
    )


def start_event(*, received: float, provider: float | None) -> ConsentEvent:
    """The consent event of a START that followed."""
    stop = stop_event(received=received, provider=provider, sid="SMstart")
    return replace(stop, id=2, direction=Direction.OPT_IN, reason=None)


def tables(
    *messages: AuditedMessage,
    events: tuple[ConsentEvent, ...] = (),
    enforced: Mapping[int, datetime | None] | None = None,
    **fields: Any,
) -> AuditedTables:
    """Our tables, sums right, suppressions as folded and every text of an event stored."""
    campaign = CampaignRow(
        id=1,
        tenant_id=1,
        name="demo",
        state=CampaignState.COMPLETED,
        why="",
        author="",
        fingerprint="",
        transactional=False,
        file_rows=len(messages),
        recipients=len(messages),
        duplicates=0,
        rejected=0,
        created_at=START,
        started_at=START,
        deadline_at=None,
        completed_at=at(10),
    )
    by_person = {event.recipient for event in events}
    folded = (fold([e for e in events if e.recipient == person]) for person in by_person)
    found = AuditedTables(
        campaign=campaign,
        messages=messages,
        left_out=(),
        texts=tuple(StoredText(sid=e.source_id, recipient=e.recipient, keyword="") for e in events),
        events=events,
        enforced=enforced or {},
        suppressions=tuple(one for person in folded for one in person),
        incidents=(),
        scopes=frozenset({0, 1}),
    )
    return replace(found, **fields)


def account_of(entries: list[Entry], stands: AuditedTables, *, stops_per_state: int = 0) -> Account:
    """The account of a run whose file has the rows the tables say."""
    asked = Asked(file_rows=stands.campaign.file_rows, stops_per_state=stops_per_state)
    return settle_accounts(ProviderLog.from_entries(entries), stands, asked)


def kinds(account: Account) -> list[str]:
    """What kinds of disagreement were found."""
    return [finding.kind for finding in account.findings]


def test_a_run_without_a_fault_keeps_every_promise() -> None:
    """One request, one row, one SID: nothing to explain."""
    entries = [create(), create(BOB), callback(BOB, "delivered")]
    account = account_of(entries, tables(message(), message(BOB, State.DELIVERED)))
    assert account.kept
    assert (account.accepted, account.messages_per_second) == (2, 0.2)


class TestLeaks:
    """A request that arrives after a STOP in force, whatever it is answered."""

    def test_a_request_after_enforcement_leaks(self) -> None:
        """From `enforced_at` on nothing may arrive, even before the 200."""
        event = stop_event(received=0.2)
        entries = [text(ADA, "STOP", arrived=0.2, answered=1.5), create(arrived=1.0)]
        stands = tables(message(), events=(event,), enforced={1: at(0.9)})
        assert len(account_of(entries, stands).leaks) == 1

    def test_a_request_after_the_acknowledgement_leaks(self) -> None:
        """A 200 is the promise, whatever our table says about the enforcement."""
        event = stop_event(received=0.2)
        entries = [text(ADA, "STOP", arrived=0.2, answered=0.5), create(arrived=1.0)]
        stands = tables(message(), events=(event,), enforced={1: at(5)})
        assert len(account_of(entries, stands).leaks) == 1

    def test_a_refused_request_leaks_as_well(self) -> None:
        """That the provider stood in the way is no merit of ours."""
        event = stop_event(received=0.2)
        entries = [text(ADA, "STOP", arrived=0.2, answered=0.5), refused(code=21610)]
        stands = tables(message(), events=(event,), enforced={1: at(0.5)})
        assert len(account_of(entries, stands).leaks) == 1

    def test_a_request_before_the_enforcement_is_none(self) -> None:
        """What was on its way is waited for."""
        event = stop_event(received=0.9)
        entries = [text(ADA, "STOP", arrived=0.9, answered=1.5), create(arrived=1.0)]
        stands = tables(message(), events=(event,), enforced={1: at(1.4)})
        assert account_of(entries, stands).kept

    def test_an_opt_out_by_hand_counts_from_its_enforcement(self) -> None:
        """It has no webhook; what the table promises is what counts."""
        event = replace(stop_event(received=0), source="import", reason=ReasonClass.IMPORT)
        stands = tables(message(), events=(event,), enforced={1: at(0.5)}, texts=())
        assert len(account_of([create(arrived=1.0)], stands).leaks) == 1

    @pytest.mark.parametrize(
        ("received", "provider", "leaks"),
        [(4.0, 4.0, 0), (4.0, None, 1), (4.0, 0.0, 1), (6.0, 5.0, 1)],
        ids=["later", "undated", "not_later", "not_yet_received"],
    )
    def test_a_start_counts_if_it_was_received_and_later(
        self, received: float, provider: float | None, leaks: int
    ) -> None:
        """Between STOP and request a START must have come, later by the provider's clock."""
        events = (
            stop_event(received=0.2, provider=0),
            start_event(received=received, provider=provider),
        )
        entries = [text(ADA, "STOP", arrived=0.2, answered=0.5), create(arrived=5.0)]
        stands = tables(message(), events=events, enforced={1: at(0.5)})
        assert len(account_of(entries, stands).leaks) == leaks

    def test_another_senders_suppression_covers_nothing(self) -> None:
        """A scope that is not the campaign's sender's does not forbid."""
        event = replace(stop_event(received=0), scope=7)
        entries = [text(ADA, "STOP", arrived=0.2, answered=0.5), create()]
        stands = tables(message(), events=(event,), enforced={1: at(0.5)})
        assert not account_of(entries, stands).leaks


def test_two_acceptances_are_one_too_many() -> None:
    """Counted by recipient, in whatever spelling, with no regard to our ids."""
    second = create(arrived=2.0, sid="SMother", to="+1 (202) 555-0100")
    account = account_of([create(), second], tables(message()))
    assert account.sent_twice == 1
    assert not account.kept


@pytest.mark.parametrize(
    ("row", "entries"),
    [
        (message(), []),
        (message(), [create(sid="SMother")]),
        (message(), [create(), callback(ADA, "delivered")]),
        (message(), [refused(code=20500, status=500), create()]),
        (message(state=State.DELIVERED), [create()]),
        (message(state=State.UNDELIVERED, provider_code=30003), [create()]),
        (message(state=State.FAILED, provider_code=21211), [create()]),
        (message(state=State.FAILED, provider_code=21211), [refused(code=21614)]),
        (message(state=State.SUPPRESSED, reason="stop", sid=None), [create()]),
        (message(state=State.SUPPRESSED, reason="stop"), [refused(code=20500, status=503)]),
        (message(state=State.IN_DOUBT, reason="reset"), [create(), callback(ADA, "sent")]),
        (message(state=State.PENDING), []),
        (message(state=State.SENDING), [create()]),
        (message(state=State.CANCELED), []),
    ],
)
def test_a_row_the_log_contradicts_is_unexplained(
    row: AuditedMessage, entries: list[Entry]
) -> None:
    """Each final state says what must have reached the provider, and what came back."""
    account = account_of(entries, tables(row))
    assert f"{row.state}_unexplained" in kinds(account)
    assert not account.kept


@pytest.mark.parametrize(
    ("row", "entries"),
    [
        (message(), [refused(code=20429, status=429, arrived=0.5), create()]),
        (message(reason="found_at_provider", state=State.DELIVERED), [create()]),
        (
            message(state=State.UNDELIVERED, provider_code=30003),
            [create(), callback(ADA, "undelivered", 30003)],
        ),
        (message(state=State.FAILED, provider_code=21614), [refused(code=21614)]),
        (message(state=State.FAILED, reason="unfit_body"), []),
        (message(state=State.SUPPRESSED, reason="stop", sid=None), []),
        (message(state=State.IN_DOUBT, reason="http_503"), [refused(code=0, status=503)]),
        (message(state=State.IN_DOUBT, reason="reset"), [create()]),
        # The worker was killed before it heard the answer.
        (message(state=State.IN_DOUBT, reason="worker_lost"), [refused(code=21610)]),
    ],
)
def test_a_row_the_log_bears_out_is_explained(row: AuditedMessage, entries: list[Entry]) -> None:
    """Throttled attempts, lost callbacks and lost answers are ordinary life."""
    assert account_of(entries, tables(row)).kept


@pytest.mark.parametrize(
    "entries", [[refused(code=21610)], [create(), callback(ADA, "failed", 21610)]]
)
def test_every_21610_has_an_incident(entries: list[Entry]) -> None:
    """Through either door; and no incident without one."""
    row = message(state=State.SUPPRESSED, reason="provider_block")
    incident = OpenedIncident(
        message_id=row.id, door="create", cause="raced_stop", raced_by_ms=12.0
    )
    assert kinds(account_of(entries, tables(row))) == ["incident_missing"]
    assert account_of(entries, tables(row, incidents=(incident,))).kept
    assert kinds(account_of([create()], tables(message(), incidents=(incident,)))) == [
        "incident_without_21610"
    ]


def test_a_21610_read_in_the_providers_record_is_explained() -> None:
    """Its callback was lost, and the row was in doubt: the record told, and needs an incident."""
    row = message(state=State.SUPPRESSED, reason="provider_block", provider_code=21610)
    incident = OpenedIncident(
        message_id=row.id, door="callback", cause="imported_opted_out", raced_by_ms=None
    )
    assert account_of([create()], tables(row, incidents=(incident,))).kept
    assert kinds(account_of([create()], tables(row))) == ["incident_missing"]
    contradicted = [create(), callback(ADA, "delivered")]
    assert not account_of(contradicted, tables(row, incidents=(incident,))).kept


def test_a_row_without_a_reason_is_found() -> None:
    """Every row ends in a state with a stored reason."""
    assert kinds(account_of([create()], tables(message(reason="")))) == ["no_reason"]


def test_a_request_of_no_row_is_an_orphan() -> None:
    """Whatever reaches the provider belongs to a row, and goes to that row's recipient."""
    stranger = create(BOB, status_callback="http://localhost/twilio/status/none")
    misdirected = create(BOB, status_callback=create(ADA)["status_callback"], accepted=False)
    for entry in (stranger, misdirected):
        assert "orphan_request" in kinds(account_of([create(), entry], tables(message())))


class TestConsent:
    """What people texted, in the log and in the tables."""

    def test_a_stop_that_was_acknowledged_and_not_stored_is_lost(self) -> None:
        """A 200 without a row is the worst that can happen to a STOP."""
        entries = [create(), text(ADA, "Stop.", arrived=2, answered=2.1)]
        found = kinds(account_of(entries, tables(message())))
        assert found == ["text_not_stored", "stop_lost"]

    def test_an_unenforced_stop_breaks_the_promise(self) -> None:
        """Nothing may be left to enforce at the end."""
        event = stop_event(received=2)
        entries = [create(), text(ADA, "STOP", arrived=2, answered=None)]
        account = account_of(entries, tables(message(), events=(event,), enforced={1: None}))
        assert account.broken == ("STOPs not enforced: 1",)
        assert (account.stops.acknowledged, account.stops.answered_503) == (0, 1)

    def test_a_later_start_must_have_lifted(self) -> None:
        """Who answered START well after their STOP may be texted again."""
        events = (stop_event(received=2, provider=2), start_event(received=6, provider=6))
        entries = [
            create(),
            text(ADA, "STOP", arrived=2, answered=2.1),
            text(ADA, "Yes", arrived=6, answered=6.1, sid="SMstart"),
        ]
        stands = tables(message(), events=events, enforced={1: at(2.1)})
        lifted = account_of(entries, stands)
        held = account_of(entries, replace(stands, suppressions=tuple(fold(events[:1]))))
        assert (lifted.kept, lifted.stops.started, lifted.stops.lifted) == (True, 1, 1)
        assert kinds(held) == ["start_not_lifted", "suppression_is_not_the_fold"]


@pytest.mark.parametrize(
    ("arrived", "state"),
    [
        (-1.0, OnArrival.ABSENT),
        (0.5, OnArrival.PENDING),
        (0.95, OnArrival.SENDING),
        (1.05, OnArrival.SENDING),
        (1.5, OnArrival.SENT),
    ],
)
def test_a_stop_is_counted_by_where_its_message_was(arrived: float, state: OnArrival) -> None:
    """By the moment it reached us, against the guard's commit, the arrival and the answer."""
    event = stop_event(received=arrived)
    entries = [text(ADA, "STOP", arrived=arrived, answered=2), create(arrived=1.0)]
    account = account_of(entries, tables(message(), events=(event,), enforced={1: at(2)}))
    assert account.stops.by_state == {state: 1}


def test_a_duplicate_webhook_is_one_stop() -> None:
    """Twilio may post a webhook twice; it is the first arrival that counts."""
    event = stop_event(received=0.5)
    entries = [
        create(arrived=1.0),
        text(ADA, "STOP", arrived=0.5, answered=1.5),
        text(ADA, "STOP", arrived=1.2, answered=1.4),
    ]
    account = account_of(entries, tables(message(), events=(event,), enforced={1: at(1.4)}))
    assert account.stops.by_state == {OnArrival.PENDING: 1}


def test_a_run_that_put_nothing_to_the_test_does_not_pass() -> None:
    """Zero leaks prove nothing where no STOP met a message in the state that matters."""
    account = account_of([create()], tables(message()), stops_per_state=20)
    assert len(account.broken) == 4
    assert not account.kept


def test_rows_that_do_not_add_up_break_the_account() -> None:
    """File rows = recipients + duplicates + rejected, by an independent count of the file."""
    stands = tables(message(), left_out=(LeftOut(line=3, value="x", reason="r", first_line=None),))
    account = account_of([create()], stands)
    assert account.broken == (
        "the file has 1 rows, recipients + duplicates + rejected are 2",
        "the campaign counted 1 rows, recipients + duplicates + rejected are 2",
    )


def test_the_json_has_its_names() -> None:
    """Programs rely on these keys."""
    found = account_of([create()], tables(message())).as_json()
    assert found.keys() >= {
        *("file_rows", "recipients", "states", "reasons", "stops", "incidents", "leaks"),
        *("sent_twice", "unexplained", "messages_per_second", "seconds"),
    }
