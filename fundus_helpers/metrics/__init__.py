"""Measures of a registration, and the verdict on it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "evidence": ["Evidence", "error_signs", "gather", "keypoints_of", "predict_error"],
        "measures": [
            "Alignment",
            "MEASURES",
            "Measure",
            "end_point_error",
            "folding_share",
            "l1",
            "landmark_errors",
            "least_error",
            "mean_landmark_error",
            "measure",
            "mutual_information",
            "ncc",
            "normalised_mutual_information",
            "overlap_share",
            "rmse",
            "similarity",
            "ssim",
        ],
        "statistics": ["LEAST_EYES", "compare", "in_words", "interval", "median_errors", "too_few"],
        "verdict": [
            "ACCEPTED",
            "BY_HAND",
            "DOUBTFUL",
            "FAILED",
            "USABLE",
            "Verdict",
            "judge",
            "judge_all",
        ],
    },
)
