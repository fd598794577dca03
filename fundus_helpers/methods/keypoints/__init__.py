"""Registration by natural landmarks of the retina: keypoints, then its vessels."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "features": ["Keypoints", "find_keypoints"],
        "following": ["follow_vessels", "limit_area_change"],
        "line_homography": ["find_line_homography", "fit_lines"],
        "matching": [
            "chance_matches",
            "guided_matches",
            "homography_of_any_camera",
            "is_plausible",
            "join",
            "match",
            "mutual_matches",
            "mutual_neighbours",
            "refine",
            "robust_homography",
        ],
        "moved_field": ["follow_moved"],
        "moved_parts": ["MovedParts", "find_moved", "moved_by"],
        "registration": ["find_homography", "register"],
        "wide_search": ["find_turn"],
        "vessels": ["vessel_strength", "vessel_weight"],
    },
)
