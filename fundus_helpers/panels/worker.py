"""Work done behind a page that stays alive: one task at a time, of those waiting the last one."""

import threading
from collections.abc import Callable


class Worker:
    """Run tasks in a thread. A task asked for while another waits takes its place.

    Parameters
    ----------
    told : callable
        Is given every exception that a task raises, in the thread.
    patience : float
        Seconds without another task before one is begun.
    """

    def __init__(self, told: Callable[[Exception], None], *, patience: float = 0.0):
        self._told, self._patience = told, patience
        self._asked = threading.Event()
        self._lock = threading.Lock()
        self._waiting: Callable[[], None] | None = None
        self._thread: threading.Thread | None = None
        self.error: Exception | None = None

    def ask(self, task: Callable[[], None]) -> None:
        """Run a task as soon as the one at work, if any, has ended."""
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
            try:
                task()
            except Exception as error:  # whatever it is, the page says it and goes on
                self.error = error
                self._told(error)

    def is_waiting(self) -> bool:
        """Whether another task waits for the one at work to end."""
        return self._waiting is not None

    def finish(self) -> None:
        """Wait until nothing is left to do, then raise what the last failed task raised."""
        while (thread := self._thread) is not None:
            thread.join()
        error, self.error = self.error, None
        if error is not None:
            raise error
