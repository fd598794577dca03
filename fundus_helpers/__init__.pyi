from . import (
    atrophy,
    loading,
    methods,
    metrics,
    panels,
    plotting,
    results,
    runs,
    series,
    transforms,
)
from .loading.demo_eye import make_demo_eye
from .loading.eye import load_eye
from .loading.photographs import read_photograph
from .loading.visits import find_eyes
from .methods import METHODS
from .metrics.measures import measure
from .metrics.verdict import judge
from .panels.placing.placer import place_landmarks
from .panels.tuning import tune
from .series.photographs import register_pairs, register_photographs
from .series.registering import register_eye
from .study import Study
from .transforms.transform import map_points
from .transforms.warping import warp

__all__ = [
    "METHODS",
    "Study",
    "atrophy",
    "find_eyes",
    "judge",
    "load_eye",
    "loading",
    "make_demo_eye",
    "map_points",
    "measure",
    "methods",
    "metrics",
    "panels",
    "place_landmarks",
    "plotting",
    "read_photograph",
    "register_eye",
    "register_pairs",
    "register_photographs",
    "results",
    "runs",
    "series",
    "transforms",
    "tune",
    "warp",
]
