"""Answers kept while the same two images are registered again and again, as sliders do.

What does not depend on the knob that moves (even light, the rough alignment, keypoints) is worked
out once. The answer is the same as without, and outside of `remembering` nothing is kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps

import joblib

MOST = 24  # answers kept; the one that was not asked for the longest goes first


_ANSWERS: ContextVar[dict[str, object] | None] = ContextVar("answers", default=None)


@contextmanager
def remembering(answers: dict[str, object]) -> Iterator[None]:
    """Let functions that are `remembered` keep their answers in a dictionary, inside the block."""
    token = _ANSWERS.set(answers)
    try:
        yield
    finally:
        _ANSWERS.reset(token)


def remembered(function: Callable) -> Callable:
    """Look an answer up, inside `remembering`, by the content of all that the function is given.

    Parameters
    ----------
    function : callable
        Gives the same for the same arguments; nobody changes what it has given.
    """

    @wraps(function)
    def answer(*given: object, **named: object) -> object:
        answers = _ANSWERS.get()
        if answers is None:
            return function(*given, **named)
        key = joblib.hash((function.__module__, function.__qualname__, given, named))
        if key not in answers and len(answers) >= MOST:
            del answers[next(iter(answers))]
        answers[key] = answers.pop(key) if key in answers else function(*given, **named)
        return answers[key]

    return answer
