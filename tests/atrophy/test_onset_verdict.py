"""An onset map says whether it can be used, and what the photographs leave open."""

import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from odd_files import dicom
from scipy import ndimage

from fundus_helpers import transforms
from fundus_helpers.atrophy import Hints, RegisteredVisits, follow_atrophy, scale_of
from fundus_helpers.loading.photographs import save_photograph

SHAPE, MIDDLE, RADII = (192, 192), (80, 96), (20, 26, 32, 38)
NAMES = "abcd"


def visits_of(level, *, modality, count=4, unseen=0, errors=0.3, file="{}.png"):
    """Return registered visits with a round lesion of this brightness; healthy retina has 1."""
    rng = np.random.default_rng(0)
    y, x = np.indices(SHAPE)
    retina = 0.5 + 0.05 * ndimage.gaussian_filter(rng.normal(0, 3, SHAPE), 3)
    distance = np.hypot(x - MIDDLE[0], y - MIDDLE[1])
    images = np.stack([retina * np.where(distance < radius, level, 1) for radius in RADII[:count]])
    masks = np.ones(images.shape, bool)
    masks[0, :, :unseen] = False
    images = np.where(masks, images + rng.normal(0, 0.005, images.shape), 0).astype(np.float32)
    return RegisteredVisits(
        names=tuple(NAMES[:count]),
        files=tuple(file.format(name) for name in NAMES[:count]),
        dates=tuple(datetime.date(2018 + i, 1, 1) for i in range(count)),
        positions=tuple(range(count)),
        images=images,
        masks=masks,
        errors=np.full(images.shape, errors, np.float32),
        transforms=(transforms.identity(),) * count,
        factors=(1.0,) * count,
        template_factor=1.0,
        modality=modality,
        left_out={},
        template="a",
    )


def test_what_the_first_visit_does_not_show_is_not_called_healthy():
    atrophy = follow_atrophy(visits_of(0.5, modality="autofluorescence", unseen=70))
    onset = atrophy.onset.onset()
    assert np.isnan(onset[:, :60]).all()
    assert np.isfinite(onset[MIDDLE[1], 80]) and np.isinf(onset[10, 180])
    assert "reaches the edge of the field of view of the first visit" in atrophy.remarks[0]


@pytest.mark.parametrize("unseen", [0, 20])
def test_nothing_is_remarked_where_all_of_the_lesion_is_seen(unseen):
    atrophy = follow_atrophy(visits_of(0.5, modality="autofluorescence", unseen=unseen))
    assert atrophy.onset.last.any() and not atrophy.remarks


@pytest.mark.parametrize(("level", "word"), [(0.5, "darker"), (1.6, "brighter")])
def test_without_a_modality_the_direction_is_told(level, word):
    atrophy = follow_atrophy(visits_of(level, modality=""))
    assert atrophy.verdict == ("accepted", ())
    assert f"taken to be {word} than healthy retina" in atrophy.remarks[0]
    assert "visits.csv" in atrophy.remarks[0]


def test_one_visit_of_unknown_modality_is_taken_for_autofluorescence_and_says_so():
    hints = Hints(ellipse=(*MIDDLE, 35.0, 35.0, 0.0))
    atrophy = follow_atrophy(visits_of(0.5, modality="", count=1), hints=hints)
    assert atrophy.verdict == ("accepted", ()) and atrophy.onset.last.sum() > 1000
    assert "taken to be darker than healthy retina, as in autofluorescence" in atrophy.remarks[0]


def test_one_bright_visit_of_unknown_modality_is_not_called_healthy():
    hints = Hints(ellipse=(*MIDDLE, 35.0, 35.0, 0.0))
    atrophy = follow_atrophy(visits_of(1.6, modality="", count=1), hints=hints)
    status, (reason,) = atrophy.verdict
    assert status == "failed" and "name the modality in visits.csv" in reason and not atrophy.none
    known = follow_atrophy(visits_of(1.6, modality="colour", count=1), hints=hints)
    assert known.verdict == ("accepted", ()) and known.onset.last.sum() > 1000


def test_a_scale_says_whether_the_header_or_the_table_gave_it(tmp_path):
    visits = visits_of(0.5, modality="autofluorescence", count=2, file="{}.dcm")
    for file in visits.files:
        dicom(tmp_path / file, np.full((64, 64), 90, np.uint8), PixelSpacing=[0.011, 0.011])
    for given, source in ((0.011, "DICOM header"), (0.0112, "table of visits")):
        used = pd.DataFrame({"mm_per_pixel": [given] * 2})
        assert scale_of(SimpleNamespace(used=used, folder=tmp_path), visits).source == source
    pictures = visits_of(0.5, modality="colour", count=2, file="{}.png")
    for file in pictures.files:
        save_photograph(np.full((64, 64), 90, np.uint8), tmp_path / file[:-4])
    used = pd.DataFrame({"mm_per_pixel": [0.01, np.nan]})
    scale = scale_of(SimpleNamespace(used=used, folder=tmp_path), pictures)
    assert scale.source == "table of visits"


def test_where_no_error_of_the_registration_is_known_there_is_no_interval():
    visits = visits_of(0.5, modality="autofluorescence", errors=np.nan)
    table = follow_atrophy(visits).table()
    assert table["area_px"].gt(0).all()
    assert table[["area_low_px", "area_high_px"]].isna().all(axis=None)


def test_an_error_that_is_known_elsewhere_only_widens_the_interval_of_the_visit():
    def width(errors):
        visits = visits_of(0.5, modality="autofluorescence", errors=errors)
        table = follow_atrophy(visits).table()
        return (table["area_high_px"] - table["area_low_px"]).mean()

    far = np.full(SHAPE, np.nan, np.float32)
    far[:, 150:] = 4.0
    assert width(far) == pytest.approx(width(4.0), rel=0.05)
    assert width(far) > 1.2 * width(0.1)
