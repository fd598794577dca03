"""The homography of a curved retina, which several methods fit to points of two photographs."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "matches": ["Matches"],
        "radial": [
            "RADIAL_CONSTANT",
            "RadialHomography",
            "estimate_radial_constant",
            "fit_homography",
            "from_plane",
            "load_radial_constant",
            "radial_misfit",
            "save_radial_constant",
            "to_plane",
        ],
    },
)
