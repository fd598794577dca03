"""The report of one eye: its page, its table for spreadsheets, its stack and its PDF."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "eye": ["write_eye_report"],
        "pdf": ["write_pdf"],
        "stack": ["write_stack"],
        "summary": ["summarise", "tell_eye", "tell_results"],
    },
)
