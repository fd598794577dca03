"""Programs that run unattended: notebooks, cohorts and benchmarks."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "fire_benchmark": ["run_benchmark", "tabulate"],
        "headless": ["run_notebook", "without_places"],
        "peers": ["installed", "map_landmarks"],
        "plan": ["pending", "plan_eyes", "seconds_of", "stated_seconds", "tell"],
        "pseudonyms": [
            "PseudonymError",
            "check_results",
            "key_path",
            "make_view",
            "pseudonym",
            "read_key",
        ],
        "warm_start": ["run", "serve", "serve_for"],
    },
)
