"""Registration of all visits of an eye to one template, in parallel processes."""

import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import joblib
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.eye import Eye
from fundus_helpers.methods import METHODS, Method
from fundus_helpers.methods.cache import sharing, spared_seconds
from fundus_helpers.methods.knobs import check_names
from fundus_helpers.methods.points import LEAST_POINTS, from_points
from fundus_helpers.metrics.verdict import Points
from fundus_helpers.progress import progress


@dataclass(frozen=True)
class Registration:
    """The result of the registration of one visit.

    Attributes
    ----------
    visit : str
    transform : sitk.Transform or None
        Maps points of the template to points of the visit; None if the registration failed.
    reason : str
        Why it failed; empty if it did not.
    seconds : float
        Time that the method took on one thread.
    points : (fixed points, moving points), optional
        The points placed by hand from which the method started, in pixels of the images.
    """

    visit: str
    transform: sitk.Transform | None
    reason: str
    seconds: float
    points: Points | None = None


def register_series(
    method: Method,
    template: np.ndarray,
    images: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    template_mask: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
    points: Sequence[Points | None] | None = None,
    jobs: int = -1,
    shown: bool = True,
    **knobs: object,
) -> list[Registration]:
    """Register every visit to the template.

    A visit that cannot be registered does not stop the others; its result says why.

    Parameters
    ----------
    method : callable
        One of `fundus_helpers.METHODS`, or any function with the same parameters and result.
    template : float32 ndarray in [0, 1], shape (height, width)
        The fixed image.
    images : sequence of float32 ndarray
        The moving images, which may include the template.
    names : sequence of str
        Names of the visits.
    template_mask, masks : bool ndarrays, optional
        True inside the fields of view.
    points : sequence of (fixed points, moving points) or None, optional
        For each visit, the points that a person has placed, each (n, 2). The method starts from
        them (`methods.points.from_points`) if there are two or more. A function of your own must
        have an argument ``start`` for that; otherwise they are not used.
    jobs : int
        Number of processes, with one thread each; -1: one per core.
    shown : bool
        Show a progress bar.
    **knobs
        Passed on to the method.

    Returns
    -------
    list of Registration
        In the order of `images`.

    Raises
    ------
    ValueError
        For a knob that the method does not have.
    """
    more = {"template_mask": template_mask, "masks": masks, "points": points}
    found = registrations(method, template, images, names, **more, jobs=jobs, **knobs)
    return list(progress(found, "visits registered", len(images), shown=shown))


def registrations(
    method: Method,
    template: np.ndarray,
    images: Sequence[np.ndarray],
    names: Sequence[str],
    *,
    template_mask: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
    points: Sequence[Points | None] | None = None,
    jobs: int = -1,
    wanted: Callable[[], bool] = lambda: True,
    **knobs: object,
) -> Iterator[Registration]:
    """Register every visit to the template, and yield each result as soon as possible.

    The results come in the order of `images`; `register_series` waits for all of them.

    Parameters
    ----------
    method, template, images, names, template_mask, masks, points, jobs
        See `register_series`.
    wanted : callable
        Called before each visit. When it returns False, no further visit is started, and the
        iterator ends after those that are running.
    **knobs
        See `register_series`.

    Raises
    ------
    ValueError
        For a knob that the method does not have.
    """
    check_names(method, knobs)
    masks = [None] * len(images) if masks is None else masks
    points = [None] * len(images) if points is None else points
    common = {"template_mask": template_mask, **knobs}
    tasks = (
        joblib.delayed(register_visit)(
            method, template, image, name, mask=mask, points=placed, **common
        )
        for image, name, mask, placed in zip(images, names, masks, points, strict=True)
    )
    tasks = itertools.takewhile(lambda _: wanted(), tasks)
    return joblib.Parallel(n_jobs=jobs, return_as="generator")(tasks)


def register_eye(
    eye: Eye, template: int, method: str | Method, *, jobs: int = -1, **knobs: object
) -> list[Registration]:
    """Register every visit of an eye to one of them.

    A visit for which a person has placed points is registered from them. If they were placed with
    another visit than the template, they are used if the visit fails without them.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    method : str or callable
        A name in `fundus_helpers.METHODS`, or a function with the same parameters and result.
    jobs, **knobs
        See `register_series`.

    Returns
    -------
    list of Registration
        In the order of the visits.

    Raises
    ------
    ValueError
        For an unknown method, or for a knob that the method does not have.

    Examples
    --------
    An eye with two visits; the second photograph is a shifted copy of the first.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import fundus_helpers as fh
    >>> from skimage import data, io
    >>> retina = data.retina()[::8, ::8]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Path(folder, "007").mkdir()
    ...     io.imsave(Path(folder, "007", "eye_2019-05-28_L.png"), retina)
    ...     shifted = np.roll(retina, (2, 4), axis=(0, 1))
    ...     io.imsave(Path(folder, "007", "eye_2020-06-02_L.png"), shifted)
    ...     eye = fh.load_eye(folder, "007", "L", shown=False)
    >>> found = fh.register_eye(eye, 0, "affine", jobs=1, shown=False)
    >>> found[1].visit, found[1].reason
    ('eye_2020-06-02_L', '')
    >>> fh.map_points(found[1].transform, [[100, 100]]).round()
    array([[104., 102.]])
    """
    method, image, mask = method_named(method), eye.images[template], eye.masks[template]
    found = register_series(
        method,
        image,
        eye.images,
        eye.names,
        template_mask=mask,
        masks=eye.masks,
        points=[placed_points(eye, template, i) for i in range(len(eye.names))],
        jobs=jobs,
        **knobs,
    )
    shown = {key: value for key, value in knobs.items() if key != "shown"}
    again = {}
    for i, name in enumerate(eye.names):
        points = None if found[i].transform else carried_points(eye, template, i, found)
        if points is not None and _starts(method):
            more = {"template_mask": mask, "mask": eye.masks[i], "points": points, **shown}
            again[i] = register_visit(method, image, eye.images[i], name, **more)
    return [again.get(i, registration) for i, registration in enumerate(found)]


def placed_points(eye: Eye, template: int, visit: int) -> Points | None:
    """Return the points placed by hand from which a visit is registered; None: there are too few.

    Parameters
    ----------
    eye : Eye
    template, visit : int
        Positions of the visits.
    """
    points = eye.points_between(template, visit)
    enough = template != visit and len(points[0]) >= min(LEAST_POINTS.values())
    return points if enough else None


def carried_points(
    eye: Eye, template: int, visit: int, found: Sequence[Registration]
) -> Points | None:
    """Return points of a visit that were placed with other visits, carried to the template.

    Parameters
    ----------
    eye : Eye
    template, visit : int
        Positions of the visits.
    found : sequence of Registration
        From the template to each visit; visits that failed carry nothing.

    Returns
    -------
    (fixed points, moving points) or None
        In pixels of the template and of the visit. None: there are too few.
    """
    sides = []
    for i, other in enumerate(found):
        points = None if i in (template, visit) else placed_points(eye, i, visit)
        if points is not None and other.transform is not None:
            back = transforms.invert(other.transform, eye.images[i].shape)
            sides.append((transforms.map_points(back, points[0]), points[1]))
    return tuple(np.vstack(side) for side in zip(*sides, strict=True)) if sides else None


def method_named(method: str | Method) -> Method:
    """Return the method of a name in `fundus_helpers.METHODS`, and a function as it is.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if not isinstance(method, str):
        return method
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; there are {[*METHODS]}")
    return METHODS[method]


@sharing()
def register_visit(
    method: Method,
    template: np.ndarray,
    image: np.ndarray,
    name: str,
    *,
    template_mask: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    points: Points | None = None,
    **knobs: object,
) -> Registration:
    """Register one visit on one thread; an error becomes the reason of the result.

    Parameters
    ----------
    method, template
        See `register_series`.
    image : float32 ndarray in [0, 1], shape (height, width)
        The moving image.
    name : str
        Name of the visit.
    template_mask
        See `register_series`.
    mask : bool ndarray, optional
        True inside the field of view of the visit.
    points : (fixed points, moving points), optional
        Of this visit; see `register_series`.
    **knobs
        See `register_series`.
    """
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    cv2.setNumThreads(1)
    begin = time.perf_counter() + spared_seconds()
    points = points if points is not None and "start" not in knobs and _starts(method) else None
    try:
        if points is not None:
            knobs["start"] = from_points(*points, template.shape, image.shape)
        transform = method(template, image, fixed_mask=template_mask, moving_mask=mask, **knobs)
        reason = ""
    except Exception as error:  # any error: one visit must not stop the others
        transform, reason = None, f"{type(error).__name__}: {error}"
    seconds = time.perf_counter() + spared_seconds() - begin
    return Registration(name, transform, reason, seconds, points)


def _starts(method: Method) -> bool:
    """Whether a method has the argument `start`."""
    function = (
        method
        if isinstance(method, partial) or inspect.isroutine(method)
        else type(method).__call__
    )
    return "start" in inspect.signature(function).parameters


def by_way_of_frame(
    found: Sequence[Registration], template: int, shape: tuple[int, int]
) -> list[Registration]:
    """Convert a groupwise registration to a registration from one visit to every other.

    The frame of a group is not a visit. After the conversion, the registration can be measured and
    judged like any other.

    Parameters
    ----------
    found : sequence of Registration
        From the frame to each visit.
    template : int
        Position of the visit that becomes the template.
    shape : (height, width)
        Shape of the frame.

    Returns
    -------
    list of Registration
        From the template to each visit. A registration has failed if that of the visit or that of
        the template has failed.
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
