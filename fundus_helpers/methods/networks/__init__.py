"""Registration by trained networks: a spatial transformer and VoxelMorph."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "article": [
            "ArticleNetwork",
            "article_loss",
            "article_penalty",
            "article_transforms",
            "train_article_network",
        ],
        "augmentation": [
            "Motion",
            "augment",
            "changed",
            "random_matrices",
            "random_places",
            "synthetic_pairs",
        ],
        "batches": ["check_pairs", "made_up_pairs", "real_pairs"],
        "layers": [
            "AffineNetwork",
            "VelocityNetwork",
            "displaced",
            "find_matrices",
            "neighbour_likeness",
            "robust_affine",
        ],
        "losses": [
            "distance",
            "masked_correlation",
            "masked_difference",
            "masked_local_correlation",
            "roughness",
        ],
        "spatial_transformer": [
            "SpatialTransformer",
            "load_spatial_transformer",
            "train_spatial_transformer",
        ],
        "tensors": [
            "Stack",
            "affine_places",
            "check_masks",
            "device_or_best",
            "enlarged",
            "even_stack",
            "field_to_transform",
            "level_sizes",
            "mapped",
            "matrix_to_transform",
            "one_thread",
            "pixel_places",
            "sample",
            "stack_of",
            "standardised",
            "transform_to_matrix",
        ],
        "training": [
            "Stage",
            "load_weights",
            "read_tensors",
            "require_memory",
            "save_weights",
            "train",
            "write_tensors",
        ],
        "voxelmorph": ["VoxelMorph", "load_voxelmorph", "train_voxelmorph"],
    },
)
