"""`sender demo`: the whole system runs a campaign against the simulator, and is audited.

* `scenario`, `conducting`, `ending`: what happens, how it is made to, when it is over.
* `provider`, `provider_log`: the simulator, and its log of every request.
* `stops`, `leaks`, `explaining`, `account`: the log compared with our tables, pure functions.
* `view`, `showing`, `report`: what a person sees.
"""

from sender.local.demo.account import Account
from sender.local.demo.run import DemoOptions, Substitutes, run_demo

__all__ = ["Account", "DemoOptions", "Substitutes", "run_demo"]
