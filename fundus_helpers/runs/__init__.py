"""Programs that run unattended: notebooks, cohorts and benchmarks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "content": ["ahead_of_time", "content_of"],
        "fire_benchmark": ["run_benchmark", "tabulate"],
        "folders": ["FolderError", "check_folders"],
        "headless": ["clear_results", "run_notebook", "without_places"],
        "peers": ["installed", "map_landmarks"],
        "plan": ["pending", "plan_eyes", "seconds_of", "stated_seconds", "tell"],
        "private_folder": ["private_folder"],
        "pseudonyms": [
            "PseudonymError",
            "check_results",
            "key_path",
            "make_view",
            "pseudonym",
            "read_key",
        ],
        "shown_outlines": ["shown_outlines"],
        "warm_start": ["run", "serve", "serve_for"],
    },
)
