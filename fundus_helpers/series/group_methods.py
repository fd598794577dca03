"""Groupwise registrations as methods for two visits, which are registered through a group."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import SimpleITK as sitk
from annotated_types import Interval

from fundus_helpers import transforms
from fundus_helpers.loading.light import field_of_view
from fundus_helpers.loading.values import resize
from fundus_helpers.methods.knobs import ImageUnit, checked
from fundus_helpers.series import groupwise
from fundus_helpers.series.registering import Registration
from fundus_helpers.transforms.transform import RegistrationError


@dataclass(frozen=True)
class GroupMethod:
    """The common part of both methods: other visits that join the two visits of a call.

    Attributes
    ----------
    images : sequence of float32 ndarray in [0, 1], shape (height, width)
        All visits of the eye.
    masks : sequence of bool ndarray
        True inside the fields of view.
    company : int
        Number of other visits that join the two visits of a call. They are evenly spaced in the
        list of visits. With more visits the result is closer to that of the whole group, and takes
        longer.
    """

    images: Sequence[np.ndarray]
    masks: Sequence[np.ndarray]
    company: int = 2

    def _group(self, *stack: Sequence, **knobs: object) -> groupwise.Group:
        raise NotImplementedError

    def _between(
        self,
        fixed: np.ndarray,
        moving: np.ndarray,
        fixed_mask: np.ndarray | None,
        moving_mask: np.ndarray | None,
        **knobs: object,
    ) -> sitk.Transform:
        """Register a group of the two visits and others, and compose their transforms."""
        given = [(fixed, fixed_mask), (moving, moving_mask)]
        given = [(i, field_of_view(i) if m is None else m) for i, m in given]
        stack = zip(*[*given, *self._joining(fixed, moving)], strict=True)
        images, masks = map(list, stack)
        names = ["fixed", "moving", *["another"] * (len(images) - 2)]
        found = self._group(images, masks, names, jobs=1, shown=False, **knobs).registrations
        for one in found[:2]:
            if one.transform is None:
                raise RegistrationError(f"{one.visit} image: {one.reason}")
        return _by_way_of_the_frame(found[0], found[1], fixed.shape)

    def _joining(
        self, fixed: np.ndarray, moving: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        small = [resize(image, max(fixed.shape)) for image in self.images]
        others = [
            place
            for place, image in enumerate(small)
            if not any(np.array_equal(image, known) for known in (fixed, moving))
        ]
        spread = np.linspace(0, len(others) - 1, min(self.company, len(others))).round().astype(int)
        for place in (others[k] for k in spread):
            mask = resize(self.masks[place].astype(np.float32), max(fixed.shape)) >= 0.5
            yield small[place], mask

    def registrations(
        self,
        template: np.ndarray,
        images: Sequence[np.ndarray],
        names: Sequence[str],
        *,
        template_mask: np.ndarray,
        masks: Sequence[np.ndarray],
        jobs: int = -1,
        wanted: Callable[[], bool] = lambda: True,
        **knobs: object,
    ) -> Iterator[Registration]:
        """Register all visits as one group, and yield the transform from the template to each.

        See `series.registrations`. The registration of a group cannot be stopped.
        """
        stack = [template, *images], [template_mask, *masks], ["the template", *names]
        first, *others = self._group(*stack, jobs=jobs, shown=False, **knobs).registrations
        for one in others:
            if wanted() and one.transform is not None and first.transform is not None:
                way = _by_way_of_the_frame(first, one, template.shape)
                one = replace(one, transform=way)
            yield replace(one, transform=None, reason=first.reason) if first.reason else one


def _by_way_of_the_frame(
    fixed: Registration, moving: Registration, shape: tuple[int, int]
) -> sitk.Transform:
    back = transforms.invert(fixed.transform, shape)
    return transforms.compose(back, moving.transform)


class IteratedMean(GroupMethod):
    """`series.iterated_mean` as a method for two visits."""

    @checked
    def __call__(
        self,
        fixed: np.ndarray,
        moving: np.ndarray,
        *,
        fixed_mask: np.ndarray | None = None,
        moving_mask: np.ndarray | None = None,
        pairwise: Literal[
            "optical_flow_dis", "optical_flow_ilk", "affine", "keypoints", "elastix_affine"
        ] = "optical_flow_dis",
        rounds: Annotated[int, Interval(ge=1, le=5)] = 2,
    ) -> sitk.Transform:
        """Register two visits and the visits that join them to their mean.

        Parameters
        ----------
        fixed, moving : float ndarray in [0, 1], shape (height, width)
        fixed_mask, moving_mask : bool ndarray, optional
            True inside the field of view; None: found by `loading.field_of_view`.
        pairwise : {"optical_flow_dis", "optical_flow_ilk", "affine", "keypoints", "elastix_affine"}
            Method that registers each visit to the mean.
        rounds : int in [1, 5]
            How often all visits are registered. In the first round they are registered to the fixed
            visit. More rounds are slower, and the result depends less on the fixed visit.

        Returns
        -------
        sitk.Transform
            Maps points of the fixed image to points of the moving image, through the frame of the
            mean.

        Raises
        ------
        ValueError, RegistrationError
            See `series.iterated_mean`.
        """
        images = fixed, moving, fixed_mask, moving_mask
        return self._between(*images, pairwise=pairwise, rounds=rounds)

    def _group(self, *stack: Sequence, pairwise: str, **knobs: object) -> groupwise.Group:
        return groupwise.iterated_mean(*stack, method=pairwise, **knobs)


class ElastixStack(GroupMethod):
    """`series.elastix_stack` as a method for two visits."""

    @checked
    def __call__(
        self,
        fixed: np.ndarray,
        moving: np.ndarray,
        *,
        fixed_mask: np.ndarray | None = None,
        moving_mask: np.ndarray | None = None,
        resolutions: Annotated[int, Interval(ge=1, le=4)] = 2,
        iterations: Annotated[int, Interval(ge=1, le=1000)] = 200,
        samples: Annotated[int, Interval(ge=64, le=16_000), ImageUnit("points")] = 2048,
        grid_spacing: Annotated[float, Interval(ge=16, le=384)] = 48.0,
    ) -> sitk.Transform:
        """Register two visits and the visits that join them together, as a stack.

        Parameters
        ----------
        fixed, moving : float ndarray in [0, 1], shape (height, width)
        fixed_mask, moving_mask : bool ndarray, optional
            True inside the field of view; None: found by `loading.field_of_view`.
        resolutions : int in [1, 4]
            Number of levels. Each level has half the size of the next. More levels allow a worse
            start.
        iterations : int in [1, 1000]
            Steps of the stochastic gradient descent on each level. More steps are slower.
        samples : int in [64, 16000] points
            Number of random points from which the metric is computed in each step. More samples are
            slower, and the result depends less on chance.
        grid_spacing : float in [16, 384]
            Distance of the nodes of the B-splines, in pixels of an image whose longer side is
            768. A larger distance is stiffer. A smaller distance follows smaller deformations, true
            and false ones.

        Returns
        -------
        sitk.Transform
            Maps points of the fixed image to points of the moving image, through the frame of the
            stack.

        Raises
        ------
        ValueError, RegistrationError
            See `series.elastix_stack`.
        """
        knobs = {"resolutions": resolutions, "iterations": iterations, "samples": samples}
        images = fixed, moving, fixed_mask, moving_mask
        return self._between(*images, grid_spacing=grid_spacing, **knobs)

    def _group(self, *stack: Sequence, **knobs: object) -> groupwise.Group:
        return groupwise.elastix_stack(*stack, **knobs)
