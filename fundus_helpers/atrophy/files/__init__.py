"""What a person tells about the atrophy of one eye, and what is saved of it."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "saving": ["clear_atrophy", "save_atrophy", "tell_growth"],
        "told": ["Told", "hints_on_disk", "painted_scale", "read_told"],
    },
)
