"""Registration of photographs of the retina: a thin module under the notebooks."""

from importlib.metadata import version

__version__ = version("fundus-helpers")
__all__ = ["METHODS"]


def __getattr__(name: str) -> object:
    # On demand (PEP 562): what only starts notebooks need not load every method first.
    if name == "METHODS":
        from fundus_helpers.methods import METHODS

        return METHODS
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
