"""Atrophy found on registered visits: levels, changes, the first visit, borders, and hints."""

import lazy_loader as lazy

__getattr__, __dir__, __all__ = lazy.attach(
    __name__,
    submod_attrs={
        "change": ["Change", "find_change"],
        "find": ["Found", "SeriesEvidence", "find_atrophy", "gather_evidence", "tidied"],
        "first_visit": ["find_first"],
        "halfway": ["Evidence", "follow_borders", "join", "weigh_vessels"],
        "hints": ["Hints", "Strokes", "read_numbers"],
        "carried_hints": ["carry_hints", "remember_hints"],
        "saved_hints": ["SavedHints", "disc_scales", "hints_path", "read_hints", "save_hints"],
        "levels": ["even_levels"],
    },
)
