"""Growth over a cohort: known truths come back, and what is missing is said."""

from dataclasses import replace

import numpy as np
import openpyxl
import pandas as pd
import pytest
from scipy import stats

from fundus_helpers.atrophy.cohort import (
    AREA_COLUMNS,
    PUBLISHED,
    GrowthModel,
    agreement,
    eye_rates,
    growth_difference,
    growth_model,
    icc,
    mask_agreement,
    model,
    one_modality,
    patients_needed,
    read_areas,
    save_table,
    simulate_cohort,
    size_correlation,
)
from fundus_helpers.atrophy.eye import COLUMNS

COHORTS = 20


@pytest.fixture(scope="module")
def models():
    """Models of made-up cohorts of 40 patients."""
    return [growth_model(simulate_cohort(40, seed=seed)) for seed in range(COHORTS)]


def write_eye(results, name, table, **changed):
    """Write the areas of an eye as notebook 12 does."""
    folder = results / name / "12_atrophy"
    folder.mkdir(parents=True)
    rows = table.assign(file="a.png", reason="", **changed).reindex(columns=list(COLUMNS))
    rows.to_csv(folder / "atrophy.csv", index=False)
    return folder / "atrophy.csv"


# The mixed model


def test_eyes_whose_map_is_doubtful_are_counted_and_named(tmp_path):
    table = simulate_cohort(8, eyes_per_patient=1)
    for patient, eye in table.groupby("patient"):
        status = "doubtful" if patient == "made-up 003" else "accepted"
        write_eye(tmp_path, f"{patient}_L", eye, verdict=status)
    read, left_out = read_areas(tmp_path)
    found = growth_model(read)
    assert not left_out and found.eyes == 8
    (told,) = [note for note in found.notes if "doubtful" in note]
    assert told.endswith(": made-up 003 L")
    assert eye_rates(read).set_index("patient")["verdict"]["made-up 003"] == "doubtful"
    assert not any("doubtful" in note for note in growth_model(table).notes)


def test_the_interval_holds_the_true_growth_in_most_cohorts(models):
    inside = [found.low <= 0.33 <= found.high for found in models]
    assert sum(inside) >= 18
    assert all(found.structure == model.BY_EYE for found in models)
    assert np.mean([found.growth for found in models]) == pytest.approx(0.33, abs=0.02)
    # Not wide for nothing: about 2 t SD / sqrt(independent eyes).
    assert np.mean([found.high - found.low for found in models]) < 0.17


def test_standard_deviations_come_back(models):
    def mean(name):
        return np.mean([getattr(found, name) ** 2 for found in models]) ** 0.5

    assert mean("sd_growth") == pytest.approx(0.21, rel=0.15)
    assert mean("sd_growth_patients") == pytest.approx(0.21 * 0.6**0.5, rel=0.2)
    assert mean("sd_growth_eyes") == pytest.approx(0.21 * 0.4**0.5, rel=0.2)
    assert mean("residual") == pytest.approx(0.05, rel=0.05)
    inside = [found.sd_low <= 0.21 <= found.sd_high for found in models]
    assert sum(inside) >= 16


def test_the_covariance_of_fixed_effects_is_that_of_statsmodels_inside_the_parameter_space():
    fit, _, _ = model.fit_mixed(simulate_cohort(40, seed=0), "square_root_area_mm ~ years")
    names = ["Intercept", "years"]
    expected = fit.cov_params().loc[names, names]
    assert model.fixed_covariance(fit).to_numpy() == pytest.approx(expected.to_numpy(), rel=0.01)


def test_a_cohort_is_made_up_as_told():
    many = simulate_cohort(2500, visits=2, error=0.0, eyes_per_patient=2, seed=1)
    first = many[many["years"] == 0]
    assert first["area_mm2"].mean() == pytest.approx(7.3, rel=0.05)
    assert first["area_mm2"].std() == pytest.approx(6.6, rel=0.1)
    rates = eye_rates(many)["square_root_growth"]
    assert rates.mean() == pytest.approx(0.33, abs=0.01) and rates.min() > 0
    assert rates.std() == pytest.approx(0.21, rel=0.05)
    pairs = rates.to_numpy().reshape(-1, 2)
    assert np.corrcoef(pairs.T)[0, 1] == pytest.approx(0.6, abs=0.05)
    again = simulate_cohort(4, seed=5)
    pd.testing.assert_frame_equal(again, simulate_cohort(4, seed=5))
    assert not again.equals(simulate_cohort(4, seed=6))
    assert set(again["scale"]) == {"made up, not measured"}


@pytest.mark.parametrize("wrong", [{"patients": 0}, {"correlation": 1}, {"eyes_per_patient": 3}])
def test_a_cohort_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError):
        simulate_cohort(**wrong)


@pytest.mark.parametrize("patients", [1, 5])
def test_too_few_patients_are_said_with_what_is_needed(patients):
    found = growth_model(simulate_cohort(patients))
    assert not found.known and np.isnan(found.low)
    assert f"{patients} patient" in str(found) and "6 are needed" in str(found)
    assert not growth_difference(simulate_cohort(patients), "size").known


def test_no_eye_at_all_is_said_too():
    none = simulate_cohort(1)[:0]
    assert "0 patients" in str(growth_model(none))
    assert not growth_difference(none, "fovea").known
    assert len(eye_rates(none)) == 0


def test_one_eye_each_needs_no_eye_within_patient():
    found = growth_model(simulate_cohort(25, eyes_per_patient=1, seed=2))
    assert found.structure == model.BY_PATIENT and np.isnan(found.sd_growth_eyes)
    assert found.low < 0.33 < found.high
    assert found.sd_growth == pytest.approx(0.21, rel=0.5)


def test_few_pairs_leave_one_eye_of_each_patient_and_say_so():
    found = growth_model(simulate_cohort(12, eyes_per_patient=1.2, seed=2))
    assert found.eyes == found.patients == 12
    assert any("one eye of each patient was used" in note for note in found.notes)


def test_two_visits_have_a_mean_growth_without_a_model():
    found = growth_model(simulate_cohort(30, visits=2, seed=4))
    assert found.structure == model.BY_MEANS and found.low < 0.33 < found.high
    assert any("no eye has three visits" in note for note in found.notes)
    assert "not known" in found.spread and "nan" not in found.spread
    assert found.structure in found.spread and f"{found.sd_growth:.3f} mm/year" in found.spread
    assert GrowthModel().spread == "how much eyes differ is not known"


def test_a_fit_that_does_not_converge_gives_way_to_a_simpler_one_and_says_so(monkeypatch):
    right, in_vain = model._fit, [None]

    def fit(make):
        if in_vain:
            in_vain.pop()
            return None, "no best numbers were found"
        return right(make)

    monkeypatch.setattr(model, "_fit", fit)
    for fails, structure in ((1, model.BY_EYE_LEVEL), (2, model.BY_MEANS)):
        in_vain[:] = [None] * fails
        found = growth_model(simulate_cohort(15, seed=1))
        assert found.structure == structure and found.low < found.growth < found.high
        assert found.notes[0].startswith(f"no fit with {model.BY_EYE} (no best numbers")


def test_an_eye_seen_once_is_left_out_of_the_growth_and_counted():
    table = simulate_cohort(10, seed=1)
    once = table["patient"].eq("made-up 001") & table["years"].gt(0)
    found = growth_model(table[~once])
    assert found.patients == 9 and "1 eye with visits on one day only left out" in found.notes


# Modalities


def test_modalities_are_never_mixed():
    table = simulate_cohort(20, seed=3)
    colour = table["patient"] < "made-up 008"
    table.loc[colour, "modality"] = "colour"
    kept, left_out = one_modality(table)
    assert set(kept["modality"]) == {"autofluorescence"}
    assert len(left_out) == 10 and "colour, not autofluorescence" in left_out[0]["reason"]
    found = growth_model(table)
    assert found.patients == 13 and found.modality == "autofluorescence"
    assert any(note.startswith("10 eyes left out: colour") for note in found.notes)
    assert growth_model(table, "colour").patients == 7
    with pytest.raises(ValueError, match="there are autofluorescence, colour"):
        growth_model(table, "infrared")


def test_the_modality_of_an_eye_is_not_that_of_the_other_eye_of_its_patient():
    table = simulate_cohort(3, eyes_per_patient=2, seed=3)
    right = (table["patient"] == "made-up 001") & (table["laterality"] == "R")
    table.loc[right, "modality"] = "colour"
    for laterality, modality in (("R", "colour"), ("L", "autofluorescence")):
        kept, _ = one_modality(table, eye=("made-up 001", laterality))
        assert set(kept["modality"]) == {modality}
    assert set(one_modality(table, eye=("unknown", "L"))[0]["modality"]) == {"autofluorescence"}
    assert set(one_modality(table, "colour", eye=("made-up 001", "L"))[0]["modality"]) == {"colour"}


# Differences


def test_a_difference_by_the_fovea_comes_back():
    values = []
    for seed in range(6):
        table = simulate_cohort(50, involved_growth=-0.2, seed=seed)
        found = growth_difference(table, "fovea")
        values.append(found.low <= -0.2 <= found.high)
        assert found.value == pytest.approx(-0.2, abs=0.16)
        assert found.at(1)[0] - found.at(0)[0] == pytest.approx(found.value)
    assert sum(values) >= 5


def test_a_difference_by_size_comes_back():
    inside, values = [], []
    for seed in range(40):
        table = simulate_cohort(30, size_growth=-0.08, seed=seed)
        found = growth_difference(table, "size")
        inside.append(found.low <= -0.08 <= found.high)
        growth, low, high = found.at(np.sqrt(7.3))
        assert low < growth < high
        values.append([found.value, growth])
    assert sum(inside) >= 35
    assert np.mean(values, axis=0) == pytest.approx([-0.08, 0.33], abs=0.02)


def test_the_square_root_takes_away_most_of_the_dependence_on_size():
    roots, areas = [], []
    for seed in range(12):
        table = simulate_cohort(40, seed=seed)
        areas.append(size_correlation(table, "area_growth"))
        roots.append(size_correlation(table, "square_root_growth"))
    # 3000 made-up patients with the same numbers have 0.46 and 0.03.
    assert np.mean([found.value for found in areas]) == pytest.approx(0.45, abs=0.07)
    assert np.mean([found.value for found in roots]) == pytest.approx(0.02, abs=0.07)
    assert sum(found.low <= 0.03 <= found.high for found in roots) >= 11
    assert sum(found.low > 0 for found in areas) >= 9


def test_a_correlation_that_is_not_known_is_said():
    table = simulate_cohort(12, seed=1)
    few = size_correlation(table[table["patient"] < "made-up 004"], "area_growth")
    assert not few.known and "3 patients" in str(few) and "6 are needed" in str(few)
    # Steeper and steeper from patient to patient: every rank is the same.
    table["patient"] = [f"{i // 5:02d}" for i in range(len(table))]
    size = table["patient"].astype(float) + 1
    table["square_root_area_mm"] = size + size * table["years"]
    table["area_mm2"] = table["square_root_area_mm"] ** 2
    perfect = size_correlation(table, "square_root_growth")
    assert perfect.value == 1 and np.isnan(perfect.low) and "not known" in str(perfect)
    with pytest.raises(ValueError, match="square_root_growth"):
        size_correlation(table, "radius")


def test_eyes_whose_fovea_is_not_known_are_left_out():
    table = simulate_cohort(20, seed=1)
    without = table["patient"] > "made-up 014"
    table.loc[without, "distance_to_fovea_mm"] = np.nan
    assert growth_difference(table, "fovea").patients == 14
    table["distance_to_fovea_mm"] = np.nan
    assert "fovea is known" in str(growth_difference(table, "fovea"))
    table["distance_to_fovea_mm"] = 0.4
    assert "3 of each are needed" in str(growth_difference(table, "fovea"))


# Agreement


def test_agreement_has_the_bias_and_the_limits_that_were_made():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(200):
        true = rng.uniform(1, 5, 40)
        first, second = (true + rng.normal(0, 0.05, 40) for _ in range(2))
        found = agreement(first**2, (second + 0.1) ** 2)
        low, high = found.bias_interval
        upper = 0.1 + 1.96 * 0.05 * 2**0.5
        inside.append([low <= 0.1 <= high, found.upper_interval[0] <= upper])
        inside[-1][1] &= upper <= found.upper_interval[1]
    assert (np.mean(inside, axis=0) > 0.9).all()
    assert found.icc_low < found.icc < found.icc_high <= 1


def test_icc_is_that_of_shrout_and_fleiss():
    ratings = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    assert icc(ratings) == pytest.approx((0.29, 0.02, 0.76), abs=0.005)


def test_what_cannot_be_compared_is_refused_in_words():
    with pytest.raises(ValueError, match="2 visits have two outlines; 3 are needed"):
        agreement([1.0, 2.0, np.nan], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="two areas of each visit"):
        agreement([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match="two masks of one photograph"):
        mask_agreement(np.ones((3, 3)), np.ones((3, 4)))


def test_masks_agree_by_dice_and_by_the_distance_of_their_borders():
    first = np.zeros((60, 60), bool)
    first[10:50, 10:50] = True
    same = mask_agreement(first, first)
    assert (same.dice, same.hausdorff) == (1.0, 0.0)
    moved = mask_agreement(first, np.roll(first, 4, axis=0), spacing=0.02)
    assert moved.dice == pytest.approx(0.9) and moved.hausdorff == pytest.approx(0.08)
    nothing = mask_agreement(first, np.zeros_like(first))
    assert nothing.dice == 0 and np.isnan(nothing.hausdorff)
    assert np.isnan(mask_agreement(~first & first, ~first & first).dice)


# Trials


def test_the_patients_computed_give_the_power_that_was_asked_for():
    dropout, visits, trials = 0.2, 5, 400
    plan = patients_needed(0.3, PUBLISHED, dropout=dropout, visits=visits)
    stay = round(plan.per_arm * (1 - dropout))
    times = np.linspace(0, 2, visits)
    weights = (times - times.mean()) / ((times - times.mean()) ** 2).sum()

    def growths(mean, seed):
        arm = simulate_cohort(stay, growth=mean, visits=visits, eyes_per_patient=1, seed=seed)
        return arm["square_root_area_mm"].to_numpy(float).reshape(stay, visits) @ weights

    seen = [
        stats.ttest_ind(growths(0.33, 2 * seed), growths(0.33 * 0.7, 2 * seed + 1)).pvalue < 0.05
        for seed in range(trials)
    ]
    # The standard error of a share of 0.8 among 400 is 0.02.
    assert np.mean(seen) == pytest.approx(0.8, abs=0.05)


def test_more_is_needed_for_less_slowing_less_time_and_more_dropout():
    def needed(slowing=0.25, **how):
        return patients_needed(slowing, PUBLISHED, **how).per_arm

    assert needed(0.1) > 5 * needed(0.25)
    assert needed(years=1) > needed() and needed(visits=2) > needed()
    assert needed(dropout=0.5) == pytest.approx(needed(dropout=0) * 2, abs=2)
    assert needed(power=0.9) > needed() > needed(significance=0.2)
    assert "no number" in str(patients_needed(0.2, replace(PUBLISHED, low=-0.1, high=0.5)))
    assert "not known" in str(patients_needed(0.2, GrowthModel()))
    assert any("15%" in word for word in patients_needed(0.2, PUBLISHED).assumptions)
    for wrong in ({"slowing": 0.0}, {"power": 1.0}, {"visits": 1}, {"dropout": 1.0}):
        with pytest.raises(ValueError):
            needed(**wrong)


# Files


def test_every_eye_is_read_and_what_is_left_out_is_told(tmp_path):
    made = simulate_cohort(4, visits=4, eyes_per_patient=1, seed=1)
    one, two, three, four = (made[made["patient"] == who] for who in made["patient"].unique())
    write_eye(tmp_path, "007_L", one)
    write_eye(tmp_path, "a_b_R", two)
    write_eye(tmp_path, "c_L", three, area_mm2=np.nan)
    write_eye(tmp_path, "demo_atrophy_L", four)
    write_eye(tmp_path, "e_L", four, area_mm2=[0.0, 0.0, 1.0, 4.0])
    write_eye(tmp_path, "f_L", four).write_bytes(b"\xff\xfe\x00,\n")
    write_eye(tmp_path, "g_L", four).write_text("visit,date\n1,2020-01-01\n")
    write_eye(tmp_path, "h_L", four, area_mm2=["1", "secret", "2", "3"])
    write_eye(tmp_path, "i_L", four).write_text("")
    table, left_out = read_areas(tmp_path)
    assert list(table) == list(AREA_COLUMNS)
    eyes = table.groupby(["patient", "laterality"]).size().to_dict()
    assert eyes == {("007", "L"): 4, ("a_b", "R"): 4, ("e", "L"): 2}
    told = {(row["patient"], row["visit"]): row["reason"] for row in left_out}
    assert {who for who, _ in told} == {"c", "e", "f", "g", "h", "i"}
    assert told["c", ""] == "no scale is known, so that the areas are in pixels only"
    assert told["e", "2015-01-01"] == "before the first atrophy"
    assert "area_mm2 is missing" in told["g", ""] and "run notebook 12 again" in told["f", ""]
    assert "secret" not in told["h", ""] and "area_mm2" in told["h", ""]
    grown = table[table["patient"] == "e"]
    assert grown["years"].iloc[0] == 0 and list(grown["square_root_area_mm"]) == [1.0, 2.0]
    assert set(read_areas(tmp_path, patient="demo_atrophy")[0]["patient"]) == {"demo_atrophy"}


def test_a_visit_that_was_left_out_keeps_its_reason(tmp_path):
    made = simulate_cohort(1, visits=4, eyes_per_patient=1)
    write_eye(tmp_path, "x_R", made)
    path = tmp_path / "x_R" / "12_atrophy" / "atrophy.csv"
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[1, list(set(COLUMNS) - {"visit"})] = ""
    rows.loc[1, "reason"] = "not registered: too dark"
    rows.to_csv(path, index=False)
    table, left_out = read_areas(tmp_path)
    assert len(table) == 3
    assert [row["reason"] for row in left_out] == ["not registered: too dark"]


def test_only_the_eyes_of_the_data_folder_are_read(tmp_path):
    made = simulate_cohort(1, eyes_per_patient=1)
    for name in ("in_L", "out_L"):
        write_eye(tmp_path / "results", name, made)
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "data" / "in" / "x_2020-01-01_L.png").touch()
    table, _ = read_areas(tmp_path / "results", data=tmp_path / "data")
    assert set(table["patient"]) == {"in"}


def test_tables_are_saved_in_three_formats_that_hold_the_same(tmp_path):
    table = simulate_cohort(2, visits=2)
    table.loc[0, "found_by"] = "=1+1"
    csv, parquet, book = save_table(table, tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(parquet), table)
    assert len(pd.read_csv(csv)) == len(table)
    sheets = openpyxl.load_workbook(book)
    assert sheets.sheetnames == ["areas", "columns"]
    explained = {row[0].value: row[1].value for row in sheets["columns"].iter_rows(min_row=2)}
    assert list(explained) == list(table) and all(explained.values())
    assert explained["area_mm2"].endswith("mm2")
    cells = [cell for row in sheets["areas"].iter_rows() for cell in row]
    assert not any(cell.data_type == "f" for cell in cells)
    assert "=1+1" in [cell.value for cell in cells]
    _, _, book = save_table(eye_rates(table), tmp_path, "growth")
    rows = openpyxl.load_workbook(book)["columns"].iter_rows(min_row=2)
    assert all(row[1].value for row in rows)
