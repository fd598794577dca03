"""The old name of `panels._worker`, for ``tuning.py`` until it imports the new one."""

from fundus_helpers.panels._worker import Worker

__all__ = ["Worker"]
