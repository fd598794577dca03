"""Registration methods, by name. A new method adds its line here and touches nothing else.

Examples
--------
>>> import numpy as np
>>> import fundus_helpers as fh
>>> image = np.random.default_rng(0).random((64, 64))
>>> transform = fh.METHODS["translation"](image, image, initialisation="identity")
>>> bool(np.abs(fh.map_points(transform, [[32, 32]]) - 32).max() < 0.1)
True
"""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import lazy_loader as lazy

from fundus_helpers.methods import elastix, optical_flow, rigid
from fundus_helpers.methods.keypoints import registration
from fundus_helpers.methods.learned import registration as by_networks
from fundus_helpers.methods.pair import Method

__all__ = ["METHODS", "Method"]
__getattr__, *_ = lazy.attach(__name__, submodules=["networks"])  # they load PyTorch


def __dir__() -> list[str]:
    rooms = ["elastix", "homography", "keypoints", "learned", "networks", "optical_flow", "rigid"]
    return [*__all__, *rooms]


def _with(function: Method, **knobs: object) -> Method:
    """Set knobs of a function. `help` shows the docstring of the function."""
    method = partial(function, **knobs)
    method.__doc__ = function.__doc__
    return method


# Every registration method by name. They are called alike: see `Method`.
METHODS: Mapping[str, Method] = MappingProxyType(
    {
        model: _with(rigid.register, model=model)
        for model in ("translation", "rigid", "similarity", "affine")
    }
    | {
        "optical_flow_tvl1": optical_flow.tvl1,
        "optical_flow_ilk": optical_flow.ilk,
        "optical_flow_dis": optical_flow.dis,
    }
    | {
        f"elastix_{stages[-1]}": _with(elastix.register, stages=stages)
        for stages in (("rigid",), ("similarity",), ("affine",), ("affine", "bspline"))
    }
    | {
        "spatial_transformer": by_networks.spatial_transformer,
        "voxelmorph": by_networks.voxelmorph,
    }
    | {"keypoints": registration.register}
)
