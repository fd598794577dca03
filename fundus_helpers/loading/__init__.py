"""Photographs, visits and eyes read from files, the FIRE dataset, and the demo eye."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "demo_eye": ["make_demo_eye", "read_truth", "true_points", "true_transform"],
        "eye": ["Eye", "LANDMARK_COLUMNS", "load_eye"],
        "fire": [
            "FirePair",
            "PUBLISHED",
            "area_under_curve",
            "group_by_eye",
            "lay_out_cohort",
            "lay_out_eye",
            "load_pair",
            "pairs_of_eye",
            "read_pairs",
            "summarise",
        ],
        "light": ["erode", "field_of_view", "gaussian", "normalise_illumination"],
        "photographs": [
            "UnusableImageError",
            "read_photograph",
            "resize",
            "save_photograph",
            "single_channel",
            "to_unit_range",
        ],
        "visits": [
            "DEMO_PATIENTS",
            "EyeError",
            "PATTERN",
            "cohort_eyes",
            "data_folder",
            "find_eyes",
            "keep_commonest_size",
            "list_visits",
            "patient_folder",
            "read_date",
            "too_few",
        ],
    },
)
