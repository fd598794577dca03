"""Registration methods, by name. A new method adds its line here and touches nothing else."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import SimpleITK as sitk

from fundus_helpers.methods import keypoints, rigid

Method = Callable[..., sitk.Transform]

METHODS: Mapping[str, Method] = MappingProxyType(
    {
        model: partial(rigid.register, model=model)
        for model in ("translation", "rigid", "similarity", "affine")
    }
    | {"keypoints": keypoints.register}
)
