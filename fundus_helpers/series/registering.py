"""All visits of an eye registered to one template, in processes, failures kept as reasons."""

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import joblib
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.methods import METHODS, Method
from fundus_helpers.progress import progress


@dataclass(frozen=True)
class Registration:
    """What became of one visit.

    Attributes
    ----------
    visit : str
    transform : sitk.Transform or None
        Maps points of the template to points of the visit; None where registration failed.
    reason : str
        Why it failed; empty where it did not.
    seconds : float
        Of the method alone, on one thread.
    """

    visit: str
    transform: sitk.Transform | None
    reason: str
    seconds: float


def register_series(
    method: Method,
    template: np.ndarray,
    images: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    template_mask: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
    jobs: int = -1,
    shown: bool = True,
    **knobs: object,
) -> list[Registration]:
    """Register every visit to the template.

    Parameters
    ----------
    method : callable
        One of `fundus_helpers.METHODS`, or any function of the same contract.
    template : float32 ndarray in [0, 1], shape (height, width)
        The fixed image.
    images : sequence of float32 ndarray
        The moving images; the template may be among them.
    names : sequence of str
        Of the visits, for the results and the messages.
    template_mask, masks : bool ndarrays, optional
        True inside the fields of view.
    jobs : int
        Processes, with one thread each; -1: one for each core.
    shown : bool
        Show a progress bar.
    **knobs
        Passed on to the method.

    Returns
    -------
    list of Registration
        In the order of `images`, whichever was finished first.
    """
    masks = {"template_mask": template_mask, "masks": masks}
    found = registrations(method, template, images, names, **masks, jobs=jobs, **knobs)
    return list(progress(found, "visits registered", len(images), shown=shown))


def registrations(
    method: Method,
    template: np.ndarray,
    images: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    template_mask: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
    jobs: int = -1,
    wanted: Callable[[], bool] = lambda: True,
    **knobs: object,
) -> Iterator[Registration]:
    """Register every visit to the template, and give each as soon as it and those before are done.

    See `register_series`, which waits for all of them. `wanted` is asked before each visit: once
    it says no, none is begun, and the iterator ends with those at work.
    """
    masks = [None] * len(images) if masks is None else masks
    tasks = (
        joblib.delayed(register_visit)(
            method, template, image, name, template_mask=template_mask, mask=mask, **knobs
        )
        for image, name, mask in zip(images, names, masks, strict=True)
    )
    tasks = itertools.takewhile(lambda _: wanted(), tasks)
    return joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)


def register_eye(
    eye: Eye, template: int, method: str | Method, *, jobs: int = -1, **knobs: object
) -> list[Registration]:
    """Register every visit of an eye to one of them.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    method : str or callable
        A name in `fundus_helpers.METHODS`, or a function of that contract.
    jobs, **knobs
        See `register_series`.
    """
    if isinstance(method, str):
        if method not in METHODS:
            raise ValueError(f"no method {method!r}; there are {[*METHODS]}")
        method = METHODS[method]
    return register_series(
        method,
        eye.images[template],
        eye.images,
        eye.names,
        template_mask=eye.masks[template],
        masks=eye.masks,
        jobs=jobs,
        **knobs,
    )


def register_visit(
    method: Method,
    template: np.ndarray,
    image: np.ndarray,
    name: str,
    *,
    template_mask: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    **knobs: object,
) -> Registration:
    """Register one visit on one thread; an error becomes a reason.

    See `register_series`, which runs this in processes.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    cv2.setNumThreads(1)
    start = time.perf_counter()
    try:
        transform = method(template, image, fixed_mask=template_mask, moving_mask=mask, **knobs)
        reason = ""
    except Exception as error:  # one visit must not stop the others: its reason is the result
        transform, reason = None, f"{type(error).__name__}: {error}"
    return Registration(name, transform, reason, time.perf_counter() - start)


def by_way_of_frame(
    found: Sequence[Registration], template: int, shape: tuple[int, int]
) -> list[Registration]:
    """Lead from one visit to every other through the frame of a group.

    So a groupwise registration, whose frame is no visit, can be measured and judged like any other.

    Parameters
    ----------
    found : sequence of Registration
        From the frame to each visit.
    template : int
        Position of the visit that they shall start from.
    shape : (height, width)
        Of the frame.

    Returns
    -------
    list of Registration
        From the template to each visit; failed where that visit failed, or the template itself.
    """
    start = found[template]
    if start.transform is None:
        reason = f"{start.visit}, where the way starts, is not in the frame: {start.reason}"
        return [replace(each, transform=None, reason=each.reason or reason) for each in found]
    back = transforms.invert(start.transform, shape)
    return [
        each
        if each.transform is None
        else replace(each, transform=transforms.compose(back, each.transform))
        for each in found
    ]
