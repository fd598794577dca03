"""A cache for intermediate results, used while the same images are registered repeatedly.

Intermediate results that do not depend on the changed knob (even illumination, the coarse
alignment, keypoints) are computed once. The cache does not change any result. Outside of
`remembering` and `sharing` nothing is kept.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps

import joblib

# The cache holds this many answers, unless told otherwise. The least recently used answer is
# dropped first.
MOST = 24
# What one thread keeps from one `sharing` block to the next: the answers of about two visits, so
# that those of their template stay.
MOST_SHARED = 8


@dataclass
class _Memory:
    """Answers with the seconds that they took; and the seconds that were spared by them so far."""

    answers: dict[str, tuple[object, float]]
    most: int
    spared: float = 0.0


_MEMORY: ContextVar[_Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembering(answers: dict[str, tuple[object, float]], most: int = MOST) -> Iterator[None]:
    """Inside the block, keep the answers of all `remembered` functions in a dictionary.

    Processes that are started inside the block do not share the dictionary.

    Parameters
    ----------
    answers : dict
        Empty at first. It may be used for several blocks.
    most : int
        Largest number of answers.
    """
    token = _MEMORY.set(_Memory(answers, most))
    try:
        yield
    finally:
        _MEMORY.reset(token)


_SHARED = threading.local()


@contextmanager
def sharing() -> Iterator[None]:
    """Inside the block, or a function decorated by it, keep a few answers for the next one.

    Each thread keeps its own. The visits of a series have one template: it is evened out, and its
    keypoints are found, once in every process. Inside `remembering`, the answers are kept there
    instead.
    """
    if _MEMORY.get() is not None:
        yield
        return
    if not hasattr(_SHARED, "answers"):
        _SHARED.answers = {}
    with remembering(_SHARED.answers, MOST_SHARED):
        yield


def spared_seconds() -> float:
    """Return the seconds that remembered answers have spared inside this block of `remembering`.

    A method that takes its time must add what was spared meanwhile. Then the time does not depend
    on what was computed before.
    """
    memory = _MEMORY.get()
    return 0.0 if memory is None else memory.spared


def remembered(function: Callable) -> Callable:
    """Make a function keep its answers inside `remembering`, by the content of its arguments.

    Parameters
    ----------
    function : callable
        It must return the same result for the same arguments, and no caller may change a result.
    """

    @wraps(function)
    def answer(*given: object, **named: object) -> object:
        memory = _MEMORY.get()
        if memory is None:
            return function(*given, **named)
        answers = memory.answers
        what = function.__module__, function.__qualname__, given, named
        key = joblib.hash(what, hash_name="sha1")  # faster than the default
        if key in answers:
            answers[key] = answers.pop(key)  # now it is the one that was used last
            memory.spared += answers[key][1]
            return answers[key][0]
        begin = time.perf_counter() + memory.spared
        found = function(*given, **named)
        seconds = time.perf_counter() + memory.spared - begin
        while len(answers) >= memory.most:
            del answers[next(iter(answers))]
        answers[key] = found, seconds
        return found

    return answer
