"""A cache for intermediate results, used while sliders register the same two images repeatedly.

Intermediate results that do not depend on the changed knob (even illumination, the coarse
alignment, keypoints) are computed once. The cache does not change any result. Outside of
`remembering` nothing is kept.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps

import joblib

# The cache holds this many answers. The least recently used answer is dropped first.
MOST = 24

_ANSWERS: ContextVar[dict[str, object] | None] = ContextVar("answers", default=None)


@contextmanager
def remembering(answers: dict[str, object]) -> Iterator[None]:
    """Inside the block, keep the answers of all `remembered` functions in a dictionary."""
    token = _ANSWERS.set(answers)
    try:
        yield
    finally:
        _ANSWERS.reset(token)


def remembered(function: Callable) -> Callable:
    """Make a function keep its answers inside `remembering`, by the content of its arguments.

    Parameters
    ----------
    function : callable
        It must return the same result for the same arguments, and no caller may change a result.
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
