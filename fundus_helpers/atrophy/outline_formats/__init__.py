"""The kinds of files that hold outlines: mask images, ImageJ ROIs, LabelMe and COCO."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "beside": ["Beside", "place_of"],
        "canvas": ["Canvas", "clock_points", "fill_rings"],
        "coco": ["CocoImage", "coco_document", "is_coco", "read_coco"],
        "imagej": ["read_imagej", "write_imagej"],
        "labelme": ["is_labelme", "labelme_document", "read_labelme"],
        "labels": ["choose_labels"],
        "mask_images": ["MASK_SUFFIXES", "read_mask_image", "size_problem"],
        "pieces": ["Piece", "find_pieces"],
    },
)
