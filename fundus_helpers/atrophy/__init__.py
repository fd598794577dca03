"""Atrophy over time: found, outlined, measured, and how it grows."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "border": ["BorderExpansion", "border_distances", "border_expansion"],
        "eye": ["Atrophy", "follow_atrophy", "scale_of"],
        "finding": ["Hints", "Strokes", "find_atrophy"],
        "growth": [
            "Growth",
            "RATES",
            "Rate",
            "RateKind",
            "growth_rates",
            "slope",
            "years_since_first",
        ],
        "intervals": ["Draws", "draw_areas", "interval", "rate_interval"],
        "onset": ["OnsetMap"],
        "outlines": ["OUTLINE_FORMATS", "Outline", "read_outlines", "write_outlines"],
        "registered": ["RegisteredVisits", "registered_visits"],
        "scale": [
            "Scale",
            "best_scale",
            "scale_from_disc",
            "scale_from_field",
            "scale_from_fovea",
            "scale_from_header",
            "scale_given",
        ],
        "shapes": ["FociCount", "Shape", "border_lines", "foci_history", "measure_shape"],
        "zones": [
            "Region",
            "central_residual_radius",
            "fovea_distance",
            "ring_shares",
            "zone_shares",
        ],
    },
)
