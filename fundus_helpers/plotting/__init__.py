"""Pictures and figures."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "atrophy": [
            "expansion_map",
            "growth_curve",
            "healed_map",
            "isochrones",
            "onset_map",
            "zone_map",
        ],
        "atrophy_turns": [
            "ATROPHY_PICTURES",
            "outline_turns",
            "outline_view",
            "save_atrophy_pictures",
        ],
        "comparisons": [
            "errors_by_method",
            "forest",
            "plain_ticks",
            "predicted_against_found",
            "ratios",
            "success_curves",
            "time_against_accuracy",
        ],
        "figures": [
            "before_after",
            "best_and_worst",
            "draw_errors",
            "error_bars",
            "flows",
            "forget_matplotlibrc",
            "gallery",
            "show",
            "with_caption",
        ],
        "growth": [
            "bland_altman",
            "growth_by_fovea",
            "growth_by_size",
            "patients_by_slowing",
            "spaghetti",
        ],
        "methods": ["draw_error", "draw_matches", "learning_curves"],
        "pictures": [
            "OVERLAY_CAPTION",
            "TURN_CAPTION",
            "brightened",
            "checkerboard",
            "difference",
            "flicker",
            "flicker_view",
            "overlay",
            "overlay_caption",
        ],
        "tables": ["before_after_table", "show_table"],
        "visits": ["draw_best_and_worst", "draw_pair", "draw_turns"],
    },
)
