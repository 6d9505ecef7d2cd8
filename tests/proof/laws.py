"""The laws that are held on every step, and what breaks one."""

from typing import Any, Final

ORDER: Final = "the log is dense and in order, and each publish follows the one before"
ONE_RUN: Final = "a message id makes one run"
ONE_END: Final = "a run begins once and ends once, and nothing of it comes after"
TURNS: Final = "runs begin one after another, in the order in which they wait"
WORKS: Final = "a script does not fail"
WHOLE: Final = "the text that stands at the end is the whole answer, and is what the history keeps"
CALLS: Final = "a call is begun once, only where it may be, and settles once"
DECIDED: Final = "what a person is asked is decided once, before its run goes on or ends"
HELD: Final = "a run that is held waits for a person, and nothing of it is under way"
PLACE: Final = "an upstream is taken up where the log is, or not at all"


class Broken(AssertionError):
    """A law was broken: which, and what was seen."""

    def __init__(self, law: str, seen: tuple[Any, ...]) -> None:
        super().__init__(f"{law}: {' '.join(map(str, seen))}")
        self.law = law


def law(name: str, kept: bool, *seen: Any) -> None:
    """Hold a law; `seen` is shown where it is broken.

    Raises:
        Broken: it is not kept.
    """
    if not kept:
        raise Broken(name, seen)
