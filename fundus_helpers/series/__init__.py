"""All visits of an eye: registered, measured, judged and grouped."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "assessed_eye": ["AssessedEye"],
        "assessment": [
            "agreement",
            "judge_visits",
            "mean_table",
            "measure_frame",
            "measure_visits",
            "pairwise_errors",
            "verdict_table",
        ],
        "clusters": ["Clusters", "cluster_images", "coordinates"],
        "group_methods": ["ElastixStack", "GroupMethod", "IteratedMean"],
        "groupwise": ["Group", "centred", "elastix_stack", "iterated_mean"],
        "outcomes": [
            "NOTHING",
            "best_method",
            "count_verdicts",
            "error_table",
            "method_table",
            "outcome_records",
        ],
        "photographs": [
            "RegisteredPhotographs",
            "clear_saved",
            "register_pairs",
            "register_photographs",
        ],
        "registering": [
            "Registration",
            "by_way_of_frame",
            "register_eye",
            "register_series",
            "register_visit",
            "registrations",
        ],
        "template": [
            "best_visits",
            "inner_products",
            "masked_rmse_matrix",
            "mean_of_best",
            "rmse_matrix",
            "sharpness",
            "total_rmse_of_means",
        ],
    },
)
