"""Work that many ask for at once is done after each of them asked, and never twice at a time."""

import threading

import pytest

from workers.coalescing import Coalescing


def test_whoever_asks_alone_has_it_done() -> None:
    """Each of two that ask one after the other gets a run of its own."""
    done: list[str] = []
    coalescing = Coalescing()
    coalescing.ask(lambda: done.append("first"))
    coalescing.ask(lambda: done.append("second"))
    assert done == ["first", "second"]


def test_those_who_ask_during_a_run_share_the_next() -> None:
    """Three ask while one is at it: they are not kept, and it does the work once more for all."""
    coalescing, begun, go_on = Coalescing(), threading.Event(), threading.Event()
    runs: list[int] = []

    def work() -> None:
        runs.append(threading.get_ident())
        begun.set()
        assert go_on.wait(10)

    first = threading.Thread(target=coalescing.ask, args=(work,))
    first.start()
    assert begun.wait(10)
    for _ in range(3):
        coalescing.ask(work)
    go_on.set()
    first.join(10)
    assert runs == [first.ident] * 2


def test_nobody_is_forgotten() -> None:
    """Of many threads that ask again and again, each sees a run that began after it had asked."""
    coalescing, asked, seen = Coalescing(), [0] * 8, [0] * 8
    runs = threading.Lock()

    def work() -> None:
        assert runs.acquire(blocking=False)
        seen[:] = asked
        runs.release()

    def ask(mine: int) -> None:
        for count in range(1, 501):
            asked[mine] = count
            coalescing.ask(work)

    threads = [threading.Thread(target=ask, args=(mine,)) for mine in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert seen == [500] * 8


def test_who_asks_at_the_last_moment() -> None:
    """A run that is asked for when the one before has ended, and holds its lock yet, is done."""
    done: list[str] = []

    class AskedForWhenReleased:
        """A lock, before whose first release somebody else asks."""

        def __init__(self) -> None:
            self.lock, self.asked = threading.Lock(), False

        def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002
            return self.lock.acquire(blocking)

        def release(self) -> None:
            if not self.asked:
                self.asked = True
                coalescing.ask(lambda: done.append("theirs"))
            self.lock.release()

    coalescing = Coalescing(AskedForWhenReleased())
    coalescing.ask(lambda: done.append("ours"))
    assert done == ["ours", "ours"]


def test_a_run_that_fails() -> None:
    """It tells who ran it, and the next one who asks has it done."""
    coalescing = Coalescing()

    def fail() -> None:
        raise RuntimeError("away")

    with pytest.raises(RuntimeError):
        coalescing.ask(fail)
    done: list[bool] = []
    coalescing.ask(lambda: done.append(True))
    assert done == [True]
