"""A Hypothesis state machine over the production functions of the send path, on real Postgres.

One rule for each commit point, so that what follows may come in any order: two workers that read
the same rows, opt-outs whose steps are apart, lost answers, crashes, late callbacks. Twilio and the
network are in `wire`; what was really sent, and what the person really texted, is known here and
compared after every rule (`checks`) with what the tables say. At the end everything goes well for
once, and has to come to an end (`ending`).

No rule waits: what depends on time is made older in the tables.
"""
