"""Workers whose pulse is quick, so that tests need not wait for it; all else is as it comes.

And so is what they wait for a broker that does not answer, before which no pulse can be missing.
"""

from datetime import timedelta

from sender.parts import Parts
from workers.app import create_app

SOCKET_TIMEOUT = 3

app = create_app(parts=Parts(pulse_every=timedelta(milliseconds=500)))
app.conf.broker_transport_options = {
    **app.conf.broker_transport_options,
    "socket_timeout": SOCKET_TIMEOUT,
}
