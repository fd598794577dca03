"""What a run leaves behind, and what is told of it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "cohort": ["cohort_table", "report_name", "write_cohort_report"],
        "folder": [
            "METRICS_FILE",
            "make_folder",
            "read_json",
            "read_metrics",
            "save_image",
            "save_metrics",
            "save_registrations",
        ],
        "notebooks": ["known_parameters", "typed_parameters"],
        "provenance": ["code_version", "provenance_of"],
        "reading": ["read_outcomes"],
        "report": ["page_without_code", "summarise", "write_eye_report"],
        "tuned": ["read_tuned", "save_tuned", "tuned_knobs", "tuned_parameter", "tuned_path"],
    },
)
