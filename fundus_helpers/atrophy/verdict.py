"""The verdict on an onset map: whether it can be used, and what it leaves open."""

from collections.abc import Sequence

from scipy import ndimage

from fundus_helpers.atrophy.finding.find import DIRECTIONS, Found
from fundus_helpers.atrophy.finding.hints import Hints
from fundus_helpers.atrophy.onset import OnsetMap
from fundus_helpers.atrophy.registered import RegisteredVisits
from fundus_helpers.metrics.verdict import ACCEPTED, DOUBTFUL, FAILED

# The healed share of the last lesion (`OnsetMap.healed`): with good registrations 0 to 0.02, with
# rigid ones and with none 0.24 and more.
HEALED_DOUBTFUL, HEALED_FAILED = 0.05, 0.15
LEAST_EDGE = 0.02  # length of the edge that atrophy reaches, as a share of the longer side
ALONE = (
    "one visit alone does not show what is atrophy; give an ellipse around all atrophy "
    "(ELLIPSE=), or lay an outline beside the photograph"
)
OF_COLOUR = (
    "in colour photographs, the border expansion may be up to 20 % too small, and its interval "
    "does not contain this error (measured on painted eyes)"
)
UNKNOWN = (
    "nothing darker than the retina around it was found, and the modality is not known; if atrophy "
    "is brighter here, as in colour photographs, name the modality in visits.csv"
)
NOISY = (
    "the photographs are too noisy: only the strongest changes stand out, and most of the atrophy "
    "would be missed; leave out the noisiest visits, or lay outlines beside the photographs"
)


def verdict_of(
    onset: OnsetMap, visits: RegisteredVisits, hints: Hints, found_by: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Judge an onset map.

    Parameters
    ----------
    onset : OnsetMap
    visits : RegisteredVisits
    hints : Hints
        What a person knows.
    found_by : sequence of str
        How the outline of each visit was found.

    Returns
    -------
    status : {"accepted", "doubtful", "failed"}
    reasons : tuple of str
        In plain words; empty if it is accepted.
    """
    hinted = hints.ellipse or hints.strokes or any(map(is_outline, found_by))
    if len(visits.names) == 1 and not onset.last.any():
        if not hinted:
            return FAILED, (ALONE,)
        if visits.modality not in DIRECTIONS:
            return FAILED, (UNKNOWN,)
    if onset.too_noisy and not hinted:
        return FAILED, (NOISY,)
    words = (
        f"{100 * onset.healed:.0f} % of the last lesion is atrophic at one visit and healthy at a "
        "later one, but atrophy does not heal: the visits are probably not registered correctly, "
        "or a photograph is poor; look at the registration"
    )
    if onset.healed > HEALED_FAILED:
        return FAILED, (words,)
    if onset.healed > HEALED_DOUBTFUL:
        return DOUBTFUL, (words,)
    return ACCEPTED, ()


def is_outline(found_by: str) -> bool:
    """Return whether a visit has an outline that a person drew, by how it was found."""
    return found_by.startswith("outline")


def doubts_of(found: Found, visits: RegisteredVisits, found_by: Sequence[str]) -> list[str]:
    """Return what the photographs leave open, in plain words.

    Parameters
    ----------
    found : Found
    visits : RegisteredVisits
    found_by : sequence of str
        How the outline of each visit was found.
    """
    doubts, last = [], found.onset < len(visits.names)
    if not last.any() or all(map(is_outline, found_by)):
        return doubts
    if visits.modality not in DIRECTIONS:
        darker = "darker" if found.direction < 0 else "brighter"
        alike = "most of what changed is" if len(visits.names) > 1 else "in autofluorescence"
        doubts.append(
            f"the modality is not known: atrophy was taken to be {darker} than healthy retina, as "
            f"{alike}; name the modality in visits.csv"
        )
    if visits.modality == "colour" and len(visits.names) > 1:
        doubts.append(OF_COLOUR)
    edge = ndimage.binary_dilation(last, iterations=2) & ~found.seen & visits.masks.any(axis=0)
    if edge.sum() > LEAST_EDGE * max(last.shape):
        doubts.append(
            "the atrophy reaches the edge of the field of view of the first visit, "
            f"{visits.dates[0]}, and is not followed beyond it; if later visits show more of it, "
            "exclude the first visit, or lay outlines beside the photographs"
        )
    return doubts
