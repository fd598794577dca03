"""A panel in which a person places points in two photographs, or excludes a visit."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "placements": ["Placements", "Spot"],
        "placer": ["Placer", "place_landmarks"],
        "snapping": ["snap"],
        "widget": ["Photographs"],
    },
)
