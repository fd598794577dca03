"""A thread that works in the background, so that the page stays responsive."""

import threading
from collections.abc import Callable


class Worker:
    """Run tasks in a thread, one at a time. A new task replaces the one that is waiting.

    Parameters
    ----------
    told : callable
        Called in the thread with every exception that a task raises.
    patience : float
        Seconds without a new task before the thread begins the last one.
    """

    def __init__(self, told: Callable[[Exception], None], *, patience: float = 0.0):
        self._told, self._patience = told, patience
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._waiting: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    @classmethod
    def of_panel(cls, tell: Callable[[str, str], None], *, patience: float = 0.0) -> "Worker":
        """Make a worker that tells its errors on a panel.

        Parameters
        ----------
        tell : callable
            Called with "error" and with the name and the words of the exception.
        patience : float
            See `Worker`.
        """
        return cls(
            lambda error: tell("error", f"{type(error).__name__}: {error}"), patience=patience
        )

    def guard(self, task: Callable[[], None], *_: object) -> None:
        """Run a task at once, in this thread; an error is told, and raised by `finish`."""
        try:
            task()
        except Exception as error:  # the page shows any error and stays usable
            self.error = error
            self._told(error)

    def ask(self, task: Callable[[], None]) -> None:
        """Run a task as soon as the running task, if any, has ended."""
        with self._lock:
            self._waiting = task
            self._asked.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()

    def _work(self) -> None:
        while True:
            self._asked.clear()
            while self._patience and self._asked.wait(self._patience):
                self._asked.clear()
            with self._lock:
                task, self._waiting = self._waiting, None
                if task is None:
                    self._thread = None
                    return
            self.guard(task)

    def is_waiting(self) -> bool:
        """Whether a task waits for the running task to end."""
        return self._waiting is not None

    def wait(self) -> None:
        """Wait until no task is left."""
        while (thread := self._thread) is not None:
            thread.join()

    def finish(self) -> None:
        """Wait until no task is left, then raise the error of the last task that failed."""
        self.wait()
        error, self.error = self.error, None
        if error is not None:
            raise error
