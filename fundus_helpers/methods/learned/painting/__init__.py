"""Painted retinas, their photographs, and pairs of these with the true transform."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "pairs": ["Batch", "Painter", "Window", "draw_pair", "near_places", "wide_places"],
        "photograph": ["USUAL", "Look", "draw_aperture", "draw_looks", "even", "photograph"],
        "retina": ["SIDE", "Retina", "draw_retina", "texture"],
    },
)
