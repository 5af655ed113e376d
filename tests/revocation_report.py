"""How the opt-out classifier does on labelled replies: ``python -m tests.revocation_report``."""

import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sender.domain.keywords import Keyword, classify

DATA = Path(__file__).parent / "data"
#: Suppressed at once.
AT_ONCE = frozenset({Keyword.STOP, Keyword.FREE_TEXT})
#: Not texted: suppressed at once, or held for review.
NOT_TEXTED = AT_ONCE | {Keyword.REVIEW}


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A labelled reply and what the classifier said."""

    id: str
    label: str
    text: str
    said: Keyword

    def __str__(self) -> str:
        return f"{self.id}  {self.label} said {self.said}  {self.text!r}"


def judge(half: str) -> list[Judged]:
    """Classify one half of the set, ``development`` or ``frozen``."""
    with (DATA / f"revocations_{half}.csv").open(newline="", encoding="utf-8") as file:
        return [
            Judged(id=row["id"], label=row["label"], text=row["text"], said=classify(row["text"]))
            for row in csv.DictReader(file)
        ]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Figures over some judged replies."""

    judged: Sequence[Judged]

    def _labelled(self, label: str) -> list[Judged]:
        return [one for one in self.judged if one.label == label]

    @property
    def missed(self) -> list[Judged]:
        """Clear revocations that would be texted again."""
        return [one for one in self._labelled("revocation") if one.said not in NOT_TEXTED]

    @property
    def suppressed_traps(self) -> list[Judged]:
        """Traps whose writer would be suppressed at once."""
        return [one for one in self._labelled("trap") if one.said in AT_ONCE]

    @property
    def held_traps(self) -> list[Judged]:
        """Traps that somebody would have to read."""
        return [one for one in self._labelled("trap") if one.said is Keyword.REVIEW]

    @property
    def recall(self) -> float:
        """The share of clear revocations that are suppressed or held."""
        return 1 - len(self.missed) / len(self._labelled("revocation"))

    @property
    def trap_rate(self) -> float:
        """The share of traps suppressed at once."""
        return len(self.suppressed_traps) / len(self._labelled("trap"))

    @property
    def held_rate(self) -> float:
        """The share of traps that somebody would have to read."""
        return len(self.held_traps) / len(self._labelled("trap"))

    def lines(self) -> list[str]:
        """The report, for people."""
        wanted = self._labelled("revocation")
        at_once = sum(one.said in AT_ONCE for one in wanted)
        traps, unclear = self._labelled("trap"), self._labelled("unclear")
        caught = sum(one.said in NOT_TEXTED for one in unclear)
        return [
            f"revocations {len(wanted)}: suppressed {at_once}, recall {self.recall:.3f}",
            f"unclear {len(unclear)}: held or suppressed {caught}",
            (
                f"traps {len(traps)}: suppressed {len(self.suppressed_traps)} "
                f"({self.trap_rate:.1%}), "
                f"held for review {len(self.held_traps)} ({self.held_rate:.1%})"
            ),
            *(f"missed      {one}" for one in self.missed),
            *(f"suppressed  {one}" for one in self.suppressed_traps),
            *(f"held        {one}" for one in self.held_traps),
        ]


def main() -> None:
    """Print the report on the frozen half, or on the one that is named."""
    half = sys.argv[1] if len(sys.argv) > 1 else "frozen"
    for line in Report(judged=judge(half)).lines():
        print(line)  # noqa: T201  # a report


if __name__ == "__main__":
    main()
