"""What the demo eyes are painted with: retina, atrophy, camera and geometry."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "atrophy": [
            "AtrophicRetina",
            "Focus",
            "Spread",
            "draw_spread",
            "onset_at",
            "paint_atrophic_retina",
        ],
        "camera": ["Camera", "draw_cameras", "expose", "expose_with"],
        "geometry": [
            "draw_geometry",
            "frame_points",
            "from_anatomy",
            "source_points",
            "to_anatomy",
            "to_source",
        ],
        "retina": ["Retina", "onset_of_level", "paint_level", "paint_retina"],
    },
)
