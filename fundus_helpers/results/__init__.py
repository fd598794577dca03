"""The files that a run writes, and the reports."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "cohort": ["cohort_table", "report_name", "tell_unfinished", "write_cohort_report"],
        "cohort_page": ["cohort_page", "save_sheet"],
        "folder": [
            "clear_registrations",
            "make_folder",
            "save_image",
            "save_registrations",
        ],
        "metrics_file": [
            "LeftOut",
            "METRICS_FILE",
            "Metrics",
            "Outcome",
            "OutdatedError",
            "Provenance",
            "as_plain",
            "metrics_schema",
            "read_metrics",
            "read_metrics_file",
            "save_metrics",
        ],
        "notebook_page": ["is_executed", "page_without_code", "write_notebook_page"],
        "notebooks": [
            "compares",
            "imports_of",
            "known_parameters",
            "numbered_notebooks",
            "registering_notebooks",
            "registers",
            "typed_parameters",
        ],
        "pair": ["register_pair"],
        "page": ["Link", "Picture", "Section", "render_page"],
        "provenance": ["code_version", "provenance_of"],
        "reading": ["read_outcomes"],
        "report": [
            "summarise",
            "tell_eye",
            "tell_results",
            "write_eye_report",
            "write_pdf",
            "write_stack",
        ],
        "tuned": ["read_tuned", "save_tuned", "tuned_knobs", "tuned_parameter", "tuned_path"],
    },
)
