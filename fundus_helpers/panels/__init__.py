"""Interactive panels: sliders, previews of a registration, and pictures to compare."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "app": ["App"],
        "canvas": ["Canvas"],
        "drawing": ["Drawing", "Stroke"],
        "outlining": ["Outliner", "outline"],
        "panel": ["Panel", "Sliders", "box", "make_widget"],
        "placing.placer": ["Placer", "place_landmarks"],
        "preview": [
            "Outcome",
            "SmallPair",
            "is_better",
            "judge_visit",
            "measure_pair",
            "preview_pair",
            "quick_enough",
            "shrink_pair",
        ],
        "swipe": ["Comparison", "VIEWS", "View"],
        "tuning": ["Tuner", "label", "tune"],
    },
)
