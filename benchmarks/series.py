"""Measure error, folding and time of every method on one eye.

The methods are compared with the settings of the article and with those of other libraries.
"""

import argparse
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
from skimage.registration import optical_flow_tvl1

from fundus_helpers import metrics, transforms
from fundus_helpers.loading.demo_eye import make_demo_eye, read_truth, true_transform
from fundus_helpers.loading.eye import Eye, load_eye
from fundus_helpers.loading.visits import DEMO_PATIENTS
from fundus_helpers.methods import METHODS, elastix, elastix_run, optical_flow, rigid
from fundus_helpers.methods.pair import prepare_pair
from fundus_helpers.metrics.measures import LEAST_SQUARES
from fundus_helpers.progress import progress
from fundus_helpers.series.assessment import pairwise_errors
from fundus_helpers.series.groupwise import elastix_stack, iterated_mean
from fundus_helpers.series.registering import Registration, register_eye


def elastix_own(fixed, moving, *, fixed_mask=None, moving_mask=None):
    """Register images of even illumination with elastix's default affine settings and masks."""
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask)
    arrays = (
        pair.fixed,
        pair.moving,
        *(m.astype(np.uint8) for m in (pair.fixed_mask, pair.moving_mask)),
    )
    images = [transforms.as_itk_image(array) for array in arrays]
    own = {"Transform": "AffineTransform", "ResampleInterpolator": "FinalBSplineInterpolator"}
    own |= {f"{side}ImagePyramid": f"{side}SmoothingImagePyramid" for side in ("Fixed", "Moving")}
    return transforms.compose(*elastix_run.run(*images, [own]))


def tvl1_own(fixed, moving, *, fixed_mask=None, moving_mask=None):
    """Register images of even illumination with the TV-L1 of scikit-image."""
    pair = prepare_pair(fixed, moving, fixed_mask, moving_mask)
    rows, columns = optical_flow_tvl1(pair.fixed, pair.moving)
    return transforms.from_displacement(np.dstack([columns, rows]))


def identity(fixed, moving, *, fixed_mask=None, moving_mask=None):
    """Return the identity, which leaves the moving image as it is."""
    return transforms.identity()


ARTICLE = {
    "rigid": rigid.ARTICLE_SETTINGS,
    "optical_flow_tvl1": optical_flow.ARTICLE_SETTINGS,
    "elastix_rigid": elastix.ARTICLE_SETTINGS,
    "elastix_affine": elastix.ARTICLE_SETTINGS,
    "elastix_bspline": elastix.ARTICLE_SETTINGS,
}


def row(eye: Eye, found: list[Registration], template: int | None) -> dict[str, float]:
    """Measure registrations. Those of a group (template None) are measured only over all pairs."""
    done = [r.transform for r in found]
    values = {"pairwise_landmark_error_px": np.nanmean(pairwise_errors(eye, done).to_numpy())}
    others = [i for i, t in enumerate(done) if t is not None and i != template]
    masks = eye.masks if template is None else [eye.masks[template]] * len(done)
    folds = [
        transforms.folding(done[i], transforms.overlap(masks[i], eye.masks[i], done[i]))
        for i in others
    ]
    values |= {"folding": np.mean(folds), "seconds": np.mean([found[i].seconds for i in others])}
    values["failed"] = len(done) - len(others) - (template is not None)
    if template is None:
        return values
    known = [(i, eye.landmarks_between(template, i)) for i in others]
    errors = [
        metrics.landmark_errors(done[i], *points).mean() for i, points in known if len(points[0])
    ]
    values |= {
        "landmark_error_px": np.mean(errors) * eye.full_factor,
        "worst_landmark_error_px": np.max(errors) * eye.full_factor,
    }
    if eye.patient in DEMO_PATIENTS:
        values["end_point_error_px"] = end_points(
            eye, template, [(i, done[i]) for i, _ in known if len(_[0])]
        )
    return values


def end_points(eye: Eye, template: int, found: list) -> float:
    """Mean end-point error inside the overlap, from the true transforms of the demo eye."""
    truth, files, errors = read_truth(eye.folder), eye.used["file"], []
    for i, transform in found:
        exact = transforms.rescale(
            true_transform(truth, files[template], files[i]), 1 / eye.full_factor
        )
        inside = transforms.overlap(eye.masks[template], eye.masks[i], transform)
        errors.append(metrics.end_point_error(transform, exact, inside))
    return float(np.mean(errors) * eye.full_factor)


def main() -> None:
    """Print a table for one eye."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("patient")
    parser.add_argument("laterality")
    parser.add_argument("--size", type=int, default=768)
    options = parser.parse_args()
    if options.patient in DEMO_PATIENTS:
        make_demo_eye(options.data, options.patient)
    place = options.data, options.patient, options.laterality
    eye, grey = (
        load_eye(*place, size=options.size, channel=channel) for channel in ("green", "grey")
    )
    grey = replace(grey, masks=np.ones_like(eye.masks))
    tasks = {"nothing": (eye, identity, {})}
    tasks |= {f"article: {name}": (grey, METHODS[name], knobs) for name, knobs in ARTICLE.items()}
    tasks |= {"trial: elastix affine": (eye, elastix_own, {}), "trial: TV-L1": (eye, tvl1_own, {})}
    tasks |= {name: (eye, method, {}) for name, method in METHODS.items()}
    rows = {}
    for name in progress(tasks, "methods"):  # one visit at a time, to measure time
        source, method, knobs = tasks[name]
        rows[name] = row(eye, register_eye(source, 0, method, jobs=1, shown=False, **knobs), 0)
    for group in (iterated_mean, elastix_stack):
        found = group(eye.images, eye.masks, eye.names, shown=False).registrations
        rows[f"groupwise: {group.__name__}"] = row(eye, found, None) | {"seconds": np.nan}
    table = pd.DataFrame(rows).T
    for model in LEAST_SQUARES:
        points = (eye.landmarks_between(0, i) for i in range(1, len(eye.names)))
        best = np.nanmean([metrics.least_error(model, *pair) for pair in points]) * eye.full_factor
        for name in (model, f"elastix_{model}"):
            table.loc[name, "best_possible_error_px"] = best
    columns = ["landmark_error_px", "best_possible_error_px", "worst_landmark_error_px"]
    columns += ["end_point_error_px", "pairwise_landmark_error_px", "folding", "seconds", "failed"]
    columns = [name for name in columns if name in table]
    sys.stdout.write(table[columns].to_string(float_format="{:.3f}".format, na_rep="-") + "\n")
    ratio = table.loc["trial: elastix affine", "seconds"] / table.loc["elastix_affine", "seconds"]
    sys.stdout.write(f"elastix affine: {ratio:.1f} times faster than with its own settings\n")
    ratio = table.loc["trial: TV-L1", "seconds"] / table.loc["optical_flow_tvl1", "seconds"]
    sys.stdout.write(f"TV-L1: {ratio:.2f} times as fast as scikit-image's own\n")


if __name__ == "__main__":
    main()
