"""Growth of atrophy over many eyes: areas read, modelled, compared, and planned with."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "areas": ["AREA_COLUMNS", "eye_rates", "one_modality", "read_areas"],
        "correlation": ["SizeCorrelation", "size_correlation"],
        "differences": ["GrowthDifference", "growth_difference"],
        "estimate": ["CohortEstimate"],
        "model": ["PUBLISHED", "GrowthModel", "growth_model"],
        "repeatability": ["Agreement", "MaskAgreement", "agreement", "icc", "mask_agreement"],
        "simulated": ["simulate_cohort"],
        "tables": ["save_table"],
        "trial": ["PatientsNeeded", "patients_needed"],
    },
)
