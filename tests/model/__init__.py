"""An explicit-state model of a STOP that races a send: ``python -m tests.model``.

Every step is one commit, one event on the network, or one fault; every order of the steps of all
actors is tried (`search`). The model is of one recipient with one message, of two runs of the pump,
and of the texts the person sends. It holds what the guard, the withdrawal and the look rest on, and
nothing about speed: any actor may stand still for any time, and there is no limit to the number of
crashes, broken connections, lost answers and throttled requests.

Two clocks are in it. What was guarded must begin within seconds, and what is freshly in doubt holds
a STOP up for the horizon, which is longer than any request takes. So the horizon cannot pass while
a request is on its way, and whoever slept through it finds its licence to send run out. Where that
does not hold are the windows we know of (`variants.WINDOWS`).
"""
