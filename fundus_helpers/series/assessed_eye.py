"""The registrations of an eye by several methods, measured and judged in one table."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import pandas as pd
import SimpleITK as sitk

from fundus_helpers import metrics
from fundus_helpers.loading.eye import Eye
from fundus_helpers.methods import Method
from fundus_helpers.methods.cache import remembering
from fundus_helpers.methods.knobs import check_names
from fundus_helpers.metrics.verdict import Verdict
from fundus_helpers.series.assessment import judge_visits, mean_table, measure_visits
from fundus_helpers.series.outcomes import NOTHING, count_verdicts, outcome_records
from fundus_helpers.series.registering import (
    Registration,
    method_named,
    placed_points,
    register_visit,
)

# Of one visit, so many intermediate results are kept: evenly lit images, keypoints, what is burned
# in, and what several methods make of them.
KEPT_OF_A_VISIT = 8


class AssessedEye:
    """The registrations of an eye by several methods. They are measured and judged when needed.

    Positions of visits are counted from 0.

    Parameters
    ----------
    eye : Eye
    template : int
        Position of the template among the visits.
    jobs : int
        Number of processes; -1 for one per core.

    Attributes
    ----------
    registrations : dict of str to list of Registration or None
        The registrations of each method, in the order of the visits. None for a visit that the
        method was not run on.

    Raises
    ------
    ValueError
        If a function is given the name of a method of which no registrations are stored.
    """

    def __init__(self, eye: Eye, template: int, *, jobs: int = -1):
        self.eye, self.template, self.jobs = eye, template, jobs
        self.registrations: dict[str, list[Registration | None]] = {}
        self._measured: dict[str, pd.DataFrame] = {}
        self._verdicts: dict[str, list[Verdict | None]] = {}
        self._records: dict[str, list[dict[str, object]]] = {}
        self._given: dict[str, dict[str, object]] = {}
        self._answers: dict[str, tuple[object, float]] = {}

    @contextmanager
    def remembering(self) -> Iterator[None]:
        """Inside the block, take what was found in these images before, and keep what is found.

        Images are evened out, and keypoints are found, only once for all methods and verdicts.
        Nothing changes any result. Other processes (`jobs`) share nothing. See `methods.cache`.
        """
        with remembering(self._answers, KEPT_OF_A_VISIT * len(self.eye.names)):
            yield

    @property
    def fixed(self) -> np.ndarray:
        """The image of the template."""
        return self.eye.images[self.template]

    @property
    def fixed_mask(self) -> np.ndarray:
        """The field of view of the template."""
        return self.eye.masks[self.template]

    @property
    def others(self) -> list[int]:
        """Positions of all visits except the template."""
        return [i for i in range(len(self.eye.names)) if i != self.template]

    @cached_property
    def before(self) -> pd.DataFrame:
        """Measures of every visit before registration: one row per visit."""
        return measure_visits(self.eye, self.template)

    @property
    def has_landmarks(self) -> bool:
        """Whether landmarks are known between the template and any visit."""
        return bool(self.before["landmark_error_px"].notna().any())

    @property
    def by_distance(self) -> list[int]:
        """Positions of the visits, from the nearest to the template to the farthest.

        Visits are compared by landmark error if landmarks are known, and otherwise by correlation
        inside the overlap. Visits without this number are left out.
        """
        by_landmarks, by_likeness = self.before["landmark_error_px"], -self.before["ncc"]
        distance = (by_landmarks if self.has_landmarks else by_likeness).dropna()
        return [self.eye.index(name) for name in distance.sort_values().index]

    @property
    def farthest(self) -> int:
        """Position of the visit farthest from the template; of the last one if nothing is known."""
        return [*self.others[-1:], *self.by_distance][-1]

    def add(self, label: str, found: Sequence[Registration | sitk.Transform | None]) -> list:
        """Add registrations or transforms from elsewhere, one for each visit.

        Parameters
        ----------
        label : str
            Name of the method in tables.
        found : sequence
            Registrations or transforms in the order of the visits; None for a visit that was not
            registered.
        """
        found = [
            Registration(name, each, "", np.nan) if isinstance(each, sitk.Transform) else each
            for name, each in zip(self.eye.names, found, strict=True)
        ]
        for kept in (self._measured, self._verdicts, self._records, self._given):
            kept.pop(label, None)
        self.registrations[label] = found
        return found

    def _found(self, label: str) -> list[Registration | None]:
        if label not in self.registrations:
            raise ValueError(
                f"no method {label!r} has been registered in this study; there are "
                f"{[*self.registrations]}"
            )
        return self.registrations[label]

    def register_visit(
        self, method: str | Method, visit: int, *, eye: Eye | None = None, **knobs: object
    ) -> Registration:
        """Register one visit to the template in this process, without storing the result.

        Parameters
        ----------
        method
            See `Study.register`.
        visit : int
            Position of the visit.
        eye, **knobs
            See `Study.register`.

        Raises
        ------
        ValueError
            See `Study.register`.
        """
        eye, fixed, method = eye or self.eye, self.template, method_named(method)
        check_names(method, knobs)
        with self.remembering():
            return register_visit(
                method,
                eye.images[fixed],
                eye.images[visit],
                eye.names[visit],
                template_mask=eye.masks[fixed],
                mask=eye.masks[visit],
                points=placed_points(eye, fixed, visit),
                **knobs,
            )

    def measure(self, registration: Registration) -> pd.Series:
        """Compute all measures of one registration; NaN if it failed. See `metrics.measure`."""
        found = [None] * len(self.eye.names)
        found[self.eye.index(registration.visit)] = registration.transform
        measured = measure_visits(self.eye, self.template, found, shown=False)
        return measured.loc[registration.visit]

    def measured(self, label: str) -> pd.DataFrame:
        """Return the measures of a method: one row per visit that it was run on."""
        if label not in self._measured:
            found = self._found(label)
            moved = [each and each.transform for each in found]
            tried = [each.visit for each in found if each is not None]
            table = measure_visits(self.eye, self.template, moved)
            self._measured[label] = table.loc[[name for name in table.index if name in tried]]
        return self._measured[label]

    def judge(self, label: str) -> list[Verdict | None]:
        """Judge what a method found for every visit, without landmarks. See `metrics.judge`.

        The verdict is None for a visit that the method was not run on.
        """
        if label not in self._verdicts:
            found = self._found(label)
            with self.remembering():
                self._verdicts[label] = judge_visits(
                    self.eye,
                    self.template,
                    [each and each.transform for each in found],
                    [each.reason if each else "" for each in found],
                    visits=[i for i, each in enumerate(found) if each is not None],
                    by_hand=[each and each.points for each in found],
                    jobs=self.jobs,
                )
        return self._verdicts[label]

    def table(self, labels: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the results of all visits: one row per method and visit, one column per number.

        Parameters
        ----------
        labels : sequence of str, optional
            Names of the methods; None for all.

        Returns
        -------
        DataFrame
            See `series.outcome_records`. Registrations that have been judged are not judged again.

        Raises
        ------
        ValueError
            If nothing has been registered yet, or nothing by one of these names.
        """
        if labels is None and not self.registrations:
            raise ValueError("nothing has been registered yet; call study.register first")
        labels = [*self.registrations] if labels is None else labels
        missing = [label for label in labels if label not in self._records]
        with self.remembering():
            records = missing and outcome_records(
                self.eye,
                self.template,
                {label: self._found(label) for label in missing},
                self.before,
                {label: self.measured(label) for label in missing},
                verdicts={n: each for n, each in self._verdicts.items() if n in missing},
                jobs=self.jobs,
            )
        for label in missing:
            self._records[label] = [row for row in records if row["method"] == label]
        return pd.DataFrame([row for label in labels for row in self._records[label]])

    def verdicts(self) -> pd.DataFrame:
        """Count the accepted, doubtful and failed visits: one row per method."""
        return count_verdicts(self.table())

    def means(
        self, labels: Sequence[str] | None = None, *, least: Mapping[str, str] | None = None
    ) -> pd.DataFrame:
        """Average every measure over the visits.

        The first row is before registration; then there is one row per method.

        Parameters
        ----------
        labels : sequence of str, optional
            Names of the methods; None for all.
        least : mapping of str to str, optional
            The linear model (for example ``affine``) that each method fits, by name of the method.
            With it the table has a column ``best_possible_error_px``: the landmark error of this
            model when it is fitted to the landmarks themselves.
        """
        labels = [*self.registrations] if labels is None else labels
        seconds = {n: [r.seconds for r in self._found(n) if r is not None] for n in labels}
        seconds = {label: np.mean(each) for label, each in seconds.items()}
        measured = {NOTHING: self.before, **{label: self.measured(label) for label in labels}}
        table = mean_table(measured, seconds)
        if least and self.has_landmarks:
            pairs = [self.eye.landmarks_between(self.template, i) for i in self.others]
            floors = {
                label: np.nanmean([metrics.least_error(model, *pair) for pair in pairs])
                for label, model in least.items()
            }
            table["best_possible_error_px"] = pd.Series(floors) * self.eye.full_factor
        return table

    def failures(self, label: str) -> dict[str, str]:
        """Return the visits that a method could not register, each with the reason."""
        found = self._found(label)
        return {each.visit: each.reason for each in found if each is not None and each.reason}
