"""Other programs that register images (peers), to compare them with the methods of this project.

The peers are not part of this project. Each is an optional package (``pip install .[peers]``) and
is imported only in a process of its own (``python -m fundus_helpers.runs.peers``). It gets the
input that its authors recommend: the original photographs, or one channel of them. All peers use
their default settings.
"""

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import SimpleITK as sitk

from fundus_helpers import transforms
from fundus_helpers.loading.photographs import read_photograph
from fundus_helpers.loading.values import resize, single_channel
from fundus_helpers.methods import elastix_run
from fundus_helpers.transforms.transform import RegistrationError, map_points, rescale_points


def _retinalysis(fixed: np.ndarray, moving: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from rtnls_registration.registration import Registration

    return Registration()(fixed, moving).apply


def _pystackreg(fixed: np.ndarray, moving: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    from pystackreg import StackReg

    found = StackReg(StackReg.AFFINE).register(fixed, moving)
    return lambda points: points @ found[:2, :2].T + found[:2, 2]


def _elastix(fixed: np.ndarray, moving: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    images = sitk.GetImageFromArray(fixed), sitk.GetImageFromArray(moving)
    stages = [dict(sitk.GetDefaultParameterMap(name)) for name in ("translation", "affine")]
    stages.append(dict(sitk.GetDefaultParameterMap("bspline")))
    found = transforms.compose(*elastix_run.run(*images, None, None, stages))
    return lambda points: map_points(found, points)


def _itk_elastix(fixed: np.ndarray, moving: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    import itk

    images = itk.image_from_array(fixed), itk.image_from_array(moving)
    _, found = itk.elastix_registration_method(*images, log_to_console=False)

    def mapping(points: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            places = Path(folder) / "points.txt"
            lines = ["point", str(len(points)), *(f"{x} {y}" for x, y in points)]
            places.write_text("\n".join(lines))
            rows = itk.transformix_pointset(
                images[1], found, fixed_point_set_file_name=str(places), output_directory=folder
            )
        # A row contains: ... OutputPoint = [ x y ] Deformation = ...
        start = [list(row).index("OutputPoint") + 3 for row in rows]
        return np.array([row[i : i + 2] for row, i in zip(rows, start, strict=True)], float)

    return mapping


# By name: the module that must be installed, the function, and whether it takes the original
# photographs.
PEERS = {
    "retinalysis_registration": ("rtnls_registration", _retinalysis, True),
    "elastix_defaults": ("SimpleITK", _elastix, False),
    "itk_elastix": ("itk", _itk_elastix, False),
    "pystackreg": ("pystackreg", _pystackreg, False),
}


def installed() -> list[str]:
    """Return the names of the peers whose packages are installed."""
    return [name for name, (module, *_) in PEERS.items() if importlib.util.find_spec(module)]


def map_landmarks(
    name: str, fixed: Path, moving: Path, points: np.ndarray, *, size: int = 768
) -> tuple[np.ndarray, float]:
    """Register two photographs with a peer, in its own process, and map points with the result.

    Parameters
    ----------
    name : str
        Name in `PEERS` of an installed peer.
    fixed, moving : Path
        Files of the photographs.
    points : ndarray, shape (n, 2)
        (x, y) in pixels of the full-size fixed photograph.
    size : int
        Photographs are shrunk to this longer side in pixels, unless the peer does so itself.

    Returns
    -------
    points : float64 ndarray, shape (n, 2)
        The mapped points in pixels of the full-size moving photograph.
    seconds : float
        Time of the registration alone, on one thread.

    Raises
    ------
    RegistrationError
        If the peer fails. The message ends with the last line of its error output.
    """
    command = [sys.executable, "-m", "fundus_helpers.runs.peers", name, str(fixed), str(moving)]
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS")
    done = subprocess.run(
        [*command, str(size)],
        input=json.dumps(np.asarray(points).tolist()),
        capture_output=True,
        text=True,
        env=os.environ | dict.fromkeys(threads, "1"),
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["it gave no error message"]
        raise RegistrationError(f"{name} failed: {words[-1]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return np.array(answer["points"], float), answer["seconds"]


def _run(name: str, paths: list[str], size: int, points: np.ndarray) -> dict[str, object]:
    _, register, whole = PEERS[name]
    cv2.setNumThreads(1)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    photographs = [read_photograph(path) for path in paths]
    factors = [1.0, 1.0] if whole else [size / max(each.shape[:2]) for each in photographs]
    images = photographs if whole else [resize(single_channel(each), size) for each in photographs]
    start = time.perf_counter()
    mapping = register(*images)
    seconds = time.perf_counter() - start
    mapped = mapping(rescale_points(points, factors[0]))
    return {"points": rescale_points(mapped, 1 / factors[1]).tolist(), "seconds": seconds}


def main() -> int:
    """Read points from standard input; write mapped points and the seconds to standard output."""
    name, *paths, size = sys.argv[1:]
    points = np.array(json.load(sys.stdin), float).reshape(-1, 2)
    sys.stdout.write("\n" + json.dumps(_run(name, paths, int(size), points)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
