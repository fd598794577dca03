"""Transforms, displacement fields, and images warped by them."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "fields": [
            "area",
            "area_change",
            "every_second",
            "folded_share",
            "pixel_grid",
            "plausible",
            "smooth",
            "smooth_without_folds",
            "support",
        ],
        "inversion": ["invert_smooth"],
        "linear": ["LinearModel", "nearest_matrix", "turn_of"],
        "transform": [
            "RegistrationError",
            "compose",
            "displacement",
            "folding",
            "from_displacement",
            "from_function",
            "from_matrix",
            "identity",
            "invert",
            "jacobian_determinant",
            "linear_part",
            "load",
            "map_points",
            "map_points_back",
            "rescale",
            "rescale_points",
            "save",
            "save_by_kind",
            "to_matrix",
        ],
        "warping": [
            "as_itk_image",
            "between_nodes",
            "follow",
            "overlap",
            "remap",
            "remap_mask",
            "warp",
            "warp_mask",
            "warp_photograph",
        ],
    },
)
