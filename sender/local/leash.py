"""Run a program that cannot outlive the process that started it.

A script of its own, started as ``python -I -S leash.py PARENT SIGNAL ACCOUNT PROGRAM [ARG ...]``;
it prepares its own process and then *becomes* the program, so the process id stays the same.
`PARENT` is the process id of the starter, `SIGNAL` the number of the signal that Linux is to send
when the starter dies (``prctl(2)``, PR_SET_PDEATHSIG), `ACCOUNT` either ``uid:gid`` or ``-``.

A script rather than `preexec_fn`, which may deadlock in a program that has threads, and because
the order matters: a change of account clears the death signal, so that must come first.
"""

import ctypes
import os
import signal
import sys

#: Shells say 127 for a program that was not found.
EXIT_NOT_STARTED = 127

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def die_with_parent(parent: int, death_signal: int) -> None:
    """Have Linux send us `death_signal` when `parent` dies; elsewhere do nothing.

    Raises:
        SystemExit: the parent died before this call, so no signal would ever come.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(EXIT_NOT_STARTED)


def change_account(account: str) -> None:
    """Give up root for `account` (``uid:gid``), with no supplementary groups."""
    uid, gid = map(int, account.split(":"))
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def restore_signals() -> None:
    """Undo what Python, or a shell that ran us in the background, ignores: exec would keep it."""
    for ignored in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)


def main(arguments: list[str]) -> None:
    """Become the program, or exit 127 with the reason on standard error."""
    parent, death_signal, account, *program = arguments
    if account != "-":
        change_account(account)
    die_with_parent(int(parent), int(death_signal))
    restore_signals()
    try:
        os.execvp(program[0], program)  # noqa: S606  # becoming the program is the purpose
    except OSError as exc:
        sys.stderr.write(f"cannot run {program[0]}: {exc.strerror}\n")
        sys.exit(EXIT_NOT_STARTED)


if __name__ == "__main__":
    main(sys.argv[1:])
