"""The visits in a data folder: found by names, tables, folders and headers."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "contents": ["same_contents"],
        "dates": ["FoundDate", "find_dates", "look_at_date", "read_date", "read_time"],
        "eyes": [
            "EyeListing",
            "cohort_eyes",
            "count_files",
            "find_eyes",
            "list_eye",
            "list_files",
            "list_visits",
            "photograph_folder",
            "too_few",
        ],
        "first_table": ["write_visit_table"],
        "folder": ["DEMO_PATIENTS", "EyeError", "data_folder", "patient_folder"],
        "headers": ["check_headers", "compare_headers"],
        "names": ["LATERALITIES", "PATTERN", "Name", "read_laterality", "read_name"],
        "rows": ["VisitRow"],
        "table": ["TableRow", "VisitTable", "read_visit_table"],
    },
)
