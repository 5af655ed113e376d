"""A campaign in a storm: everything is killed, frozen, cut off and restarted while people say STOP.

* `forecast`: what is to happen, drawn from a seed.
* `fleet`: the workers, which die of many causes and are replaced.
* `disasters`: what befalls the servers, the broker's messages and the other processes.
* `weathering`: one storm from start to end.
* `aftermath`: the provider's log compared with our tables, and the totals.
"""
