"""Tables that people write beside photographs: read as spreadsheets save them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "exclusions": ["EXCLUDED_FILE", "read_exclusions"],
        "landmarks": ["LANDMARK_COLUMNS", "LANDMARKS_FILE", "read_landmarks"],
        "matching": ["FileMatcher", "normal_path", "without_suffix"],
        "sheets": ["Sheet", "read_numbers", "read_sheet"],
    },
)
