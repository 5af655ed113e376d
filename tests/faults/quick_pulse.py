"""Workers whose pulse is quick, so that tests need not wait for it; all else is as it comes."""

from datetime import timedelta

from sender.parts import Parts
from workers.app import create_app

app = create_app(parts=Parts(pulse_every=timedelta(milliseconds=500)))
