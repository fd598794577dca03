"""Start programs quickly: fork them from a process that has already loaded all libraries.

``python -m fundus_helpers.runs.warm_start serve COMMAND ...`` starts such a process, the server,
and runs the command. Inside this command, ``python -m fundus_helpers.runs.warm_start run MODULE
...`` starts a module at once. The kernel of a notebook starts in the same way. Without a server,
the module is run as usual.

Starting Python, Jupyter and the libraries takes five seconds per notebook. Registering ten small
photographs takes as long. For a cohort of 100,000 eyes the starts would take weeks.
"""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from fundus_helpers.results.notebooks import imports_of, numbered_notebooks
from fundus_helpers.runs.private_folder import private_folder

MODULE = "fundus_helpers.runs.warm_start"
ADDRESS = "FUNDUS_WARM_START"  # environment variable with the path of the server's socket
# The modules that runs and reports import. The app of ipykernel is left out, because it looks for
# its parent process while it is loaded.
LOADED = ("papermill", "nbconvert", "ipykernel.ipkernel", "pandas.io.formats.style")
KERNEL = {
    "display_name": "Python 3",
    "language": "python",
    "argv": [sys.executable, "-m", MODULE, "run", "ipykernel_launcher", "-f", "{connection_file}"],
}


def serve(path: str) -> None:
    """Fork a process for each request, until standard input ends.

    All libraries are loaded at the first request. So a command that has nothing to run does not
    wait for them.

    Parameters
    ----------
    path : str
        Path of the socket, in a folder that only this user may open.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(64)
        threading.Thread(target=_end_with_parent, daemon=True).start()
        loaded = False
        while True:
            asked, _ = listener.accept()
            if not loaded:
                _load()
                loaded = True
                signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # it does not wait for its children
            if os.fork() == 0:
                listener.close()
                _become(asked)
            asked.close()


def _load() -> None:
    """Load what notebooks, runs and reports import."""
    # Libraries read these variables while they are loaded: how a kernel shows figures, and how many
    # threads a rule may use.
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = os.environ.get("THREADS", "1")
    for module in (*LOADED, *_modules_of_package()):
        importlib.import_module(module)
    for module in _modules_of_notebooks():
        try:
            importlib.import_module(module)
        except ImportError as error:  # the notebook that needs it will say so itself
            logging.warning("cannot be loaded ahead: %s", error)


def _modules_of_package() -> list[str]:
    """List every module of this package except ``__main__``, which runs when it is loaded."""
    import fundus_helpers

    found = pkgutil.walk_packages(fundus_helpers.__path__, "fundus_helpers.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def _modules_of_notebooks() -> list[str]:
    """List the installed modules that the notebooks of the project import."""
    names = {name for path in numbered_notebooks("notebooks").values() for name in imports_of(path)}
    return sorted(name for name in names if importlib.util.find_spec(name.partition(".")[0]))


def _end_with_parent() -> None:
    """End the server when the process that started it has ended and its pipe is closed."""
    while os.read(0, 1):  # not with sys.stdin, whose lock a forked process would find taken
        pass
    os._exit(1)


def _become(asked: socket.socket) -> None:
    """Become the requested process, with its module, folder, environment and streams."""
    os.setsid()  # Ctrl-C reaches only the process that asked, and that ends this one
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, streams, _, _ = socket.recv_fds(asked, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    with asked.makefile() as lines:
        request = json.loads(lines.readline())
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [request["module"], *request["arguments"]]
    sys.path[0] = request["folder"]
    threading.Thread(target=_end_with, args=[asked], daemon=True).start()
    status = _status(request["module"])
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the work is done, nothing is left to end
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.suppress(BrokenPipeError):
        asked.sendall(bytes([status]))
    os._exit(status)


def _status(module: str) -> int:
    """Run a module as a program, and return the exit status that Python would give."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        return end.code % 256 if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # the process ends here: every error is logged and gives status 1
        logging.exception("%s", module)
        return 1
    return 0


def _end_with(asked: socket.socket) -> None:
    """End this process when the process that asked for it has ended."""
    while asked.recv(1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(10)
    os.kill(os.getpid(), signal.SIGKILL)


def run(module: str, arguments: Sequence[str]) -> int:
    """Run a module as a program: forked by the server if there is one, otherwise in this process.

    Parameters
    ----------
    module : str
        Name of the module, as for ``python -m``.
    arguments : sequence of str

    Returns
    -------
    int
        Exit status of the module.
    """
    request = {
        "module": module,
        "arguments": list(arguments),
        "folder": os.getcwd(),
        "environment": dict(os.environ),
    }
    path = os.environ.get(ADDRESS)
    if path is not None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        try:
            return _ask(path, request)
        except (ConnectionError, FileNotFoundError):
            logging.warning("%s starts without loaded libraries: its server is gone", module)
    sys.argv = [module, *arguments]
    return _status(module)


def _ask(path: str, request: dict[str, object]) -> int:
    with socket.socket(socket.AF_UNIX) as server:
        server.connect(path)
        socket.send_fds(server, [b" "], [0, 1, 2])
        server.sendall(json.dumps(request).encode() + b"\n")
        status = server.recv(1)
    return status[0] if status else 128 + signal.SIGKILL


def serve_for(command: Sequence[str]) -> int:
    """Start a server, run a command, and end the server when the command ends.

    Parameters
    ----------
    command : sequence of str

    Returns
    -------
    int
        Exit status of the command.
    """
    with private_folder("warm-") as folder:
        kernel = folder / "kernels" / "python3" / "kernel.json"
        kernel.parent.mkdir(parents=True)
        kernel.write_text(json.dumps(KERNEL))
        path = str(folder / "socket")
        listen = [sys.executable, "-m", MODULE, "listen", path]
        server = subprocess.Popen(listen, stdin=subprocess.PIPE)
        try:
            while not Path(path).is_socket():
                if server.poll() is not None:
                    return server.returncode  # the server has written the reason
                time.sleep(0.05)
            places = os.pathsep.join([str(folder), os.environ.get("JUPYTER_PATH", "")])
            return subprocess.call(
                command, env=os.environ | {ADDRESS: path, "JUPYTER_PATH": places}
            )
        finally:
            server.kill()
            server.wait()


def main(arguments: list[str]) -> int:
    """Run ``serve COMMAND ...``, ``run MODULE ...`` or, for the server, ``listen SOCKET``."""
    what, first, *rest = arguments
    if what == "listen":
        return serve(first)
    return run(first, rest) if what == "run" else serve_for([first, *rest])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
