"""The error of an eye that cannot be loaded."""


class EyeError(ValueError):
    """An eye that cannot be loaded; the message says what was given and what to do."""
