"""Registration by networks that have learned from painted retinas, once for all eyes."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "canvas": ["Canvas", "put_on_canvas"],
        "field": ["Bent", "smooth_field"],
        "fine_tuning": ["fine_tune"],
        "networks": ["Encoder", "NearNetwork", "WideNetwork"],
        "painting.pairs": ["Batch", "Painter", "Window"],
        "painting.photograph": ["Look", "draw_looks", "photograph"],
        "registration": ["find_field", "find_homography", "finish"],
        "painting.retina": ["Retina", "draw_retina"],
        "search": ["Start", "find_start"],
        "training": [
            "NEAR_PAIRS",
            "NEAR_STEPS",
            "WIDE_PAIRS",
            "WIDE_STEPS",
            "train_near",
            "train_wide",
        ],
        "vessels": ["Vessels"],
        "votes": ["Votes", "look", "refit"],
        "weights": ["Trained", "load_trained", "save_trained", "trained"],
    },
)
