"""The kinds of files that hold photographs: told by their content, and read."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "dicom": ["load_dicom", "open_dicom"],
        "kinds": [
            "Opened",
            "UnusableImageError",
            "kind_of",
            "looks_like_dicom",
            "looks_like_photograph",
            "shown_name",
            "told",
            "without_name",
        ],
        "pictures": ["open_bmp", "open_jpeg", "open_png", "open_pnm", "open_webp"],
        "streams": ["Stream", "decode_stream", "open_jpeg_2000", "read_stream_header"],
        "tiff": ["open_tiff"],
    },
)
