"""Twilio's errors: code, HTTP status and text, in the legacy JSON shape of the 2010 API."""

from dataclasses import dataclass

_REFUSALS = {
    20001: (400, "Invalid parameter: {}"),
    20003: (401, "Authenticate"),
    20007: (400, "Page size must be between 1 and 1000"),
    20404: (404, "The requested resource {} was not found"),
    20429: (429, "Too Many Requests"),
    20500: (500, "An internal server error has occurred"),
    21211: (400, "Invalid 'To' Phone Number: {}"),
    21212: (400, "Invalid From Number: {}"),
    21408: (400, "Permission to send an SMS has not been enabled for the region of {}"),
    21602: (400, "Message body is required."),
    21603: (400, "A 'From' or 'MessagingServiceSid' parameter is required."),
    21604: (400, "A 'To' phone number is required."),
    21606: (400, "The 'From' number {} is not a valid, SMS-capable number of your account."),
    21609: (400, "The 'StatusCallback' URL {} is not a valid URL."),
    21610: (400, "Attempt to send to unsubscribed recipient"),
    21611: (400, "This 'From' number {} has exceeded the maximum number of queued messages."),
    21612: (400, "The message cannot be sent with this combination of 'To' {} and 'From'."),
    21614: (400, "'To' number {} is not a valid mobile number"),
    21617: (400, "The concatenated message body exceeds the 1600 character limit."),
    21624: (400, "The ValidityPeriod {} must be between 1 and 36000 seconds."),
    21659: (400, "'From' {} is not a Twilio phone number or Short Code country mismatch"),
    21701: (400, "The Messaging Service {} does not exist."),
    21704: (400, "The Messaging Service {} contains no phone numbers."),
    30409: (409, "Message {} cannot be canceled: it is no longer waiting to be sent."),
}


@dataclass(frozen=True)
class Refusal:
    """One error answer."""

    status: int
    code: int
    message: str

    @classmethod
    def of(cls, code: int, value: str = "") -> "Refusal":
        """The refusal Twilio gives under this code, about the offending ``value``."""
        status, text = _REFUSALS[code]
        return cls(status, code, text.format(value))

    def as_json(self) -> dict[str, object]:
        """Twilio's legacy error body."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": f"https://www.twilio.com/docs/errors/{self.code}",
            "status": self.status,
        }
