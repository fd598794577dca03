"""Registration of photographs of the retina: a thin module under the notebooks."""

from importlib.metadata import version

from fundus_helpers.methods import METHODS

__version__ = version("fundus-helpers")
__all__ = ["METHODS"]
