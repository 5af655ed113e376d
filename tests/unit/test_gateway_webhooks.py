"""Webhooks: signed by Twilio's own algorithm, read without losing a field."""

from hashlib import sha256
from urllib.parse import urlencode
from uuid import UUID

import pytest
from multidict import MultiDict
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]  # no stubs

from sender.domain.receipt import FailureCause, ReceiptMeaning
from sender.errors import ConfigurationError, MalformedWebhook
from sender.gateway import (
    PublicUrls,
    SignatureVerifier,
    failure_from_form,
    inbound_from_form,
    is_json,
    parse_form,
    parse_json,
    receipt_from_form,
)
from sender.gateway.webhooks import Form

TOKEN = "12345678901234567890123456789012"
BASE = "https://sms.example.com/behind/a/proxy"
PATH = "/twilio/inbound?tenant=a%20b&x=1"
MESSAGE_ID = UUID(int=7)
FORM: Form = [
    ("MessageSid", "SM" + "a" * 32),
    ("AccountSid", "AC" + "b" * 32),
    ("From", "+15550000002"),
    ("To", "+15550000001"),
    ("Body", "  Stop. "),
    ("FromCity", ""),
    ("NumMedia", "0"),
]


def signed(
    form: Form = FORM, *, token: str = TOKEN, url: str = BASE + PATH, algorithm: str = "HMAC_SHA1"
) -> dict[str, str]:
    """The headers of a webhook that Twilio's SDK signed over the public URL."""
    signature = RequestValidator(token).compute_signature(url, MultiDict(form), algorithm)
    headers = {"X-Twilio-Signature": signature}
    if algorithm != "HMAC_SHA1":
        headers["X-Twilio-Webhooks-Signature-Settings"] = f"key=k1,algorithm={algorithm}"
    return headers


def verify(headers: dict[str, str], form: Form = FORM, path: str = PATH) -> bool:
    """Check as the webhook app does: what it sees is only the path behind the proxy."""
    return SignatureVerifier([TOKEN], BASE).verify(path, form, headers)


def test_a_webhook_signed_over_the_public_url_verifies_behind_a_proxy() -> None:
    """The signature covers what Twilio called, not what reached us."""
    assert verify(signed())
    assert SignatureVerifier([TOKEN], BASE + "/").verify(PATH, FORM, signed())


@pytest.mark.parametrize(
    "form",
    [
        [*FORM, ("Empty", "")],
        [*FORM, ("Tag", "b"), ("Tag", "a"), ("Tag", "b")],
        [*FORM, ("Body2", " ünï & = + % \n")],
        [],
    ],
    ids=["blank", "repeated", "odd characters", "no fields"],
)
def test_blank_and_repeated_fields_keep_verifying(form: Form) -> None:
    """A field lost between the raw body and the check would lose a STOP."""
    parsed = parse_form(urlencode(form).encode())
    assert parsed == form
    assert verify(signed(form), parsed)


@pytest.mark.parametrize("token", [TOKEN, "the-new-one"])
def test_several_tokens_verify_during_a_rotation(token: str) -> None:
    """Old and new tokens count at the same time."""
    verifier = SignatureVerifier([TOKEN, "the-new-one"], BASE)
    assert verifier.verify(PATH, FORM, signed(token=token))
    assert not verifier.verify(PATH, FORM, signed(token="another"))


def test_a_shared_key_signature_verifies() -> None:
    """The newer signatures name their algorithm in a header."""
    assert verify(signed(algorithm="HMAC_SHA256"))


def test_header_names_have_no_case() -> None:
    """ASGI servers hand headers over in lower case."""
    assert verify({name.lower(): value for name, value in signed().items()})


@pytest.mark.parametrize("told", ["HMAC_MD5", "HMAC_SHA256=", "x", "\u00e9", "a" * 9000])
def test_nobody_writes_our_log(told: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a stranger calls an algorithm is refused without a line."""
    settings = {"X-Twilio-Webhooks-Signature-Settings": f"key=k,algorithm={told}"}
    assert not verify(signed() | settings)
    assert not caplog.records


def test_what_was_not_signed_as_it_arrived_is_refused() -> None:
    """Another path, another field, no header, an empty one or an unknown algorithm: refused."""
    good = signed()
    unknown = good | {"X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_MD5"}
    assert not verify(good, path="/twilio/inbound?x=1&tenant=a%20b")
    assert not verify(good, [*FORM, ("Body", "START")])
    assert not verify({})
    assert not verify({"X-Twilio-Signature": ""})
    assert not verify({"X-Twilio-Signature": "ünï"})
    assert not verify(unknown)
    assert not verify(good, path="@evil.example.com/")


@pytest.mark.parametrize("tokens", [[], [""], [TOKEN, ""]])
def test_an_empty_token_is_refused_at_the_start(tokens: list[str]) -> None:
    """Anybody can sign with an empty token."""
    with pytest.raises(ConfigurationError):
        SignatureVerifier(tokens, BASE)


@pytest.mark.parametrize(
    "base",
    [
        *("", "/twilio", "sms.example.com", "ftp://sms.example.com", "https://", "https://[::1"),
        *("https://h:port", "https://h:0", "https://sms.example.com#rc=5", "https://h?a=1"),
        *("https://h#", "https://h?", "https://user:pass@sms.example.com"),
    ],
)
def test_a_public_url_that_nothing_could_match_is_refused_at_the_start(base: str) -> None:
    """Relative, of another protocol, or with a part that is not before our own paths."""
    with pytest.raises(ConfigurationError):
        SignatureVerifier([TOKEN], base)


@pytest.mark.parametrize(
    ("base", "called"),
    [
        ("https://sms.example.com", "https://sms.example.com"),
        ("https://sms.example.com", "https://sms.example.com:443"),
        ("https://sms.example.com:443", "https://sms.example.com"),
        ("http://sms.example.com", "http://sms.example.com:80"),
        ("http://sms.example.com:8080/a/b", "http://sms.example.com:8080/a/b"),
        ("http://sms.example.com:8080", "http://sms.example.com"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://SMS.Example.com/A", "https://SMS.Example.com/A"),
    ],
)
def test_the_port_may_be_signed_or_not(base: str, called: str) -> None:
    """Twilio is not consistent about ports; scheme, host and prefix are the configured ones."""
    headers = signed(url=called + PATH)
    assert SignatureVerifier([TOKEN], base).verify(PATH, FORM, headers)


@pytest.mark.parametrize(
    "called",
    ["http://sms.example.com", "https://sms.example.com/x", "https://other.example.com"],
)
def test_another_public_url_does_not_verify(called: str) -> None:
    """Scheme, host and path prefix are part of what is signed."""
    verifier = SignatureVerifier([TOKEN], "https://sms.example.com")
    assert not verifier.verify(PATH, FORM, signed(url=called + PATH))


def test_the_overrides_are_not_signed() -> None:
    """Twilio calls and signs the configured URL without its fragment."""
    urls = PublicUrls(BASE + "/")
    for url in (urls.inbound, urls.fallback, urls.status(MESSAGE_ID)):
        called, _, overrides = url.partition("#")
        assert "rc=5" in overrides
        assert called.startswith(f"{BASE}/twilio/")
        assert verify(signed(url=called), path=called.removeprefix(BASE))
        assert not verify(signed(url=url), path=called.removeprefix(BASE))


def test_our_own_urls_are_told_from_others() -> None:
    """An older one of ours may be replaced, and Twilio's example; what only looks like it not."""
    urls = PublicUrls("https://h/p")
    example = "https://demo.twilio.com/welcome/sms/reply"
    assert all(map(urls.is_free, ("", "https://h/p/twilio/inbound", urls.fallback, example)))
    others = ("https://h/p", "https://h/twilio/inbound", "https://h/pp/twilio/x", "#twilio/")
    assert not any(map(urls.is_free, others))


def hashed(raw: bytes, name: str = "bodySHA256") -> str:
    """A path whose query holds the body's hash, as Twilio makes it for JSON."""
    return f"/twilio/inbound?a=%2B&{name}={sha256(raw).hexdigest()}"


def test_a_json_body_verifies_by_its_hash() -> None:
    """The URL is signed, and the hash of the body stands in it."""
    raw = b'{"Body": "caf\xc3\xa9"}'
    path, verifier = hashed(raw), SignatureVerifier([TOKEN], BASE)
    good = signed([], url=BASE + path)
    assert verifier.verify_json(path, raw, good)
    assert verifier.verify_json(path, raw, signed([], url=BASE + path, algorithm="HMAC_SHA256"))
    assert not verifier.verify_json(path, raw + b" ", good)
    assert not verifier.verify_json(path, raw, signed([], url=BASE + path, token="another"))
    assert not verifier.verify_json(path, raw, {})
    unhashed = hashed(raw, "other")
    assert not verifier.verify_json(unhashed, raw, signed([], url=BASE + unhashed))
    assert not verifier.verify_json("/x?bodySHA256=%FF", raw, signed([], url=BASE + "/x"))


def test_a_hash_in_the_query_does_not_replace_a_forms_signature() -> None:
    """A form's fields are signed themselves, whatever the query says."""
    path = hashed(urlencode(FORM).encode())
    assert not verify(signed([], url=BASE + path), path=path)
    assert verify(signed(FORM, url=BASE + path), path=path)


def test_json_is_read_like_a_form() -> None:
    """Texts are fields, in their order, repeated ones included; what is nested is none."""
    raw = b'{"Body": " Stop ", "N": 3, "X": {"Body": "no"}, "Y": [1], "Z": null, "Body": "START"}'
    assert parse_json(raw) == [("Body", " Stop "), ("N", "3"), ("Body", "START")]
    assert parse_json(b"{}") == []


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"",
            b"[]",
            b'"Body"',
            b"1",
            b"null",
            b"{",
            b"\xff",
            b'{"Body": "\\ud800"}',
            b"[" * 60_000,
        ),
        *('{"Body": "STOP"}'.encode("utf-16"), b"\xef\xbb\xbf{}", b'[["Body", "STOP"]]'),
        b"{%s}" % b",".join(b'"a%d":"1"' % n for n in range(101)),
        b'{"a": %s}' % (b"9" * 60_000),
    ],
    ids=lambda raw: repr(raw[:12]),
)
def test_json_that_is_no_object_of_texts_is_malformed(raw: bytes) -> None:
    """Whatever it is, it is no error of ours."""
    try:
        assert len(parse_json(raw)) == 1  # the number, however long it is
    except MalformedWebhook:
        return
    assert raw.startswith(b'{"a": 9')


@pytest.mark.parametrize(
    ("kind", "json"),
    [
        ("", False),
        ("application/x-www-form-urlencoded; charset=UTF-8", False),
        ("Application/JSON;charset=utf-8", True),
    ],
)
def test_a_body_says_what_it_is(kind: str, *, json: bool) -> None:
    """Form or JSON, in any case and with any parameters."""
    assert is_json(kind) is json


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data; boundary=a", "x", "text/xml"])
def test_no_other_body_is_read(kind: str) -> None:
    """What is neither could be read in two ways."""
    with pytest.raises(MalformedWebhook):
        is_json(kind)


def test_the_fallback_url_is_told_what_was_wrong() -> None:
    """The code is about our webhook; the text is the same."""
    form = [*FORM, ("ErrorCode", "11200"), ("ErrorUrl", f"{BASE}/twilio/inbound")]
    assert failure_from_form(form) == 11200
    assert failure_from_form(FORM) is None
    assert inbound_from_form(form).body == inbound_from_form(FORM).body


@pytest.mark.parametrize(
    "raw",
    [b"Body=%ff", b"\xff=1", b"&".join(b"a%d=1" % n for n in range(101))],
    ids=["percent-encoded", "raw", "too many fields"],
)
def test_a_body_that_is_no_form_is_malformed(raw: bytes) -> None:
    """Bytes that are not UTF-8, or a flood of fields, are told apart from a missing field."""
    with pytest.raises(MalformedWebhook):
        parse_form(raw)


def test_an_inbound_message_is_read_as_it_is() -> None:
    """Nothing is trimmed or interpreted, and every field is kept as evidence."""
    text = inbound_from_form([*FORM, ("OptOutType", "STOP"), ("MessagingServiceSid", "MG1")])

    assert (text.from_, text.to, text.body) == ("+15550000002", "+15550000001", "  Stop. ")
    assert (text.opt_out_type, text.service_sid, text.num_media) == ("STOP", "MG1", 0)
    assert text.raw["FromCity"] == ""


def test_without_advanced_opt_out_there_is_no_type() -> None:
    """Absent and blank are the same: nobody classified it."""
    assert inbound_from_form(FORM).opt_out_type is None
    assert inbound_from_form([*FORM, ("OptOutType", "")]).opt_out_type is None


def test_the_first_of_repeated_values_counts() -> None:
    """An appended duplicate cannot replace what was there."""
    assert inbound_from_form([*FORM, ("Body", "START")]).body == "  Stop. "


@pytest.mark.parametrize("missing", ["MessageSid", "AccountSid", "From", "To"])
def test_an_inbound_message_without_its_identity_is_malformed(missing: str) -> None:
    """Without SIDs and addresses nobody could be suppressed."""
    with pytest.raises(MalformedWebhook, match=missing):
        inbound_from_form([pair for pair in FORM if pair[0] != missing])


def test_a_whatsapp_address_stays_what_it_is() -> None:
    """From is not parsed here: it may be no number at all."""
    form = [("From", "whatsapp:+15550000002"), *(p for p in FORM if p[0] != "From")]
    assert inbound_from_form(form).from_ == "whatsapp:+15550000002"


def test_a_status_callback_becomes_a_receipt() -> None:
    """The receipt carries our message id, Twilio's words and their meaning."""
    status = [("MessageStatus", "undelivered"), ("ErrorCode", "30003")]
    receipt = receipt_from_form(MESSAGE_ID, [*FORM, *status, ("RawDlrDoneDate", "2601011200")])

    assert receipt.message_id == MESSAGE_ID
    assert (receipt.status, receipt.code) == ("undelivered", 30003)
    assert receipt.verdict.cause is FailureCause.UNREACHABLE
    assert receipt.raw_dlr_done == "2601011200"


def test_a_toll_free_block_is_an_opt_out() -> None:
    """The From of a callback decides what 30004 means."""
    status = [("MessageStatus", "undelivered"), ("ErrorCode", "30004")]
    toll_free = [("From", "+18885550100"), *FORM[:2], *FORM[3:], *status]

    assert receipt_from_form(MESSAGE_ID, toll_free).verdict.meaning is ReceiptMeaning.OPTED_OUT
    other = receipt_from_form(MESSAGE_ID, [*FORM, *status])
    assert other.verdict.meaning is ReceiptMeaning.UNDELIVERED


@pytest.mark.parametrize("code", ["", "abc", "²", "9" * 5000])
def test_a_code_that_is_no_number_is_no_code(code: str) -> None:
    """Nonsense in ErrorCode never loses the status beside it."""
    form = [*FORM, ("MessageStatus", "failed"), ("ErrorCode", code)]
    receipt = receipt_from_form(MESSAGE_ID, form)
    assert receipt.code is None
    assert receipt.verdict.meaning is ReceiptMeaning.FAILED


def test_a_callback_before_a_sender_was_chosen_has_no_from() -> None:
    """A Messaging Service may fail before it picks a number."""
    form = [*(p for p in FORM if p[0] != "From"), ("MessageStatus", "failed")]
    assert receipt_from_form(MESSAGE_ID, form).from_ is None


def test_a_callback_without_a_status_is_malformed() -> None:
    """There is nothing to record."""
    with pytest.raises(MalformedWebhook, match="MessageStatus"):
        receipt_from_form(MESSAGE_ID, FORM)


@pytest.mark.parametrize("sid", ["SM\0", "SM" * 40, "SM 1", "ßM", "SM\n"])
@pytest.mark.parametrize("field", ["MessageSid", "AccountSid"])
def test_what_cannot_be_a_sid_is_malformed(field: str, sid: str) -> None:
    """It is never looked for: a database would refuse some of them."""
    form = [(field, sid), *FORM]
    with pytest.raises(MalformedWebhook, match=field):
        inbound_from_form(form)
    with pytest.raises(MalformedWebhook, match=field):
        receipt_from_form(MESSAGE_ID, [*form, ("MessageStatus", "sent")])
