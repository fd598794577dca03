"""Tables that people write beside photographs: read as spreadsheets save them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "exclusions": ["EXCLUDED_FILE", "exclude", "read_exclusions", "readmit"],
        "landmarks": [
            "JUDGING",
            "LANDMARK_COLUMNS",
            "LANDMARKS_FILE",
            "REGISTERING",
            "SECOND_FILE",
            "points_for",
            "read_landmarks",
        ],
        "placed_points": ["PlacedPoint", "points_of", "save_points"],
        "point_formats": ["POINT_FORMATS", "pair_points", "read_points", "write_points"],
        "matching": ["FileMatcher", "normal_path", "without_suffix"],
        "repeated": ["repeated_distances", "tell_landmarks"],
        "sheets": ["Sheet", "read_numbers", "read_sheet"],
    },
)
