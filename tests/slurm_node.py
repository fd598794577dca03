"""A cluster of one node for tests: munged, slurmctld and slurmd on loopback, all in one folder."""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "setpriv")
# Nothing of control groups or of an accounting database, which a container or a laptop may lack:
# slurmd itself watches the memory of jobs, and the controller remembers them for an hour.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
KillWait=2
MinJobAge=3600
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 Port={node} CPUs={cpus} RealMemory={memory}
PartitionName=main Nodes=node Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Say why no cluster can be started here; nothing if it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed (Debian: slurm-wlm, munge)"
    return "" if os.geteuid() == 0 else "only root can start slurmd"


@contextlib.contextmanager
def slurm_node(folder: Path) -> Iterator[dict[str, str]]:
    """Start a cluster of this one machine; yield the variables that its commands need.

    The daemons are stopped at the end, whatever happens, and with them every job that is left.
    """
    with contextlib.ExitStack() as stack:
        variables = {"SLURM_CONF": str(_configure(folder))}
        key, listening = folder / "munge.key", folder / "munge.socket"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        places = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        # By force: only root can enter pytest's folders, and only root is asked for here.
        _start(stack, folder, "munged", "--foreground", "--force", f"--socket={listening}", *places)
        _wait(folder, listening.exists, "munged to listen")
        _start(stack, folder, "slurmctld", "-D", "-c", **variables)
        _start(stack, folder, "slurmd", "-D", "-c", "-N", "node", **variables)
        stack.callback(_cancel_jobs, folder, variables)
        state = ["sinfo", "--noheader", "--format=%T"]
        _wait(folder, lambda: ask_slurm(variables, *state) == "idle", "the node to be idle")
        # The step of a job is not told of SLURM_CONF (the executor plugin drops it), and /etc is
        # not ours to fill.
        srun = folder / "bin" / "srun"
        real = f'SLURM_CONF={folder}/slurm.conf exec {shutil.which("srun")} "$@"'
        srun.write_text(f"#!/bin/sh\n{real}\n")
        srun.chmod(0o755)
        yield variables | {"PATH": f"{srun.parent}{os.pathsep}{os.environ['PATH']}"}


def jobs_of(variables: dict[str, str], states: str = "all") -> list[dict[str, str]]:
    """List every job there was, in the order of their submission.

    The comment is the executor plugin's: the rule and its wildcards.
    """
    fields = {"job": "%i", "comment": "%k", "state": "%T", "processors": "%C", "memory": "%m"}
    layout = ["--noheader", f"--format={'|'.join(fields.values())}", "--sort=i"]
    lines = ask_slurm(variables, "squeue", f"--states={states}", *layout).splitlines()
    return [dict(zip(fields, line.split("|"), strict=True)) for line in lines]


def ask_slurm(variables: dict[str, str], *command: str) -> str:
    """Run a command of SLURM; return what it printed, or nothing if it failed."""
    ran = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True)
    return ran.stdout.strip() if ran.returncode == 0 else ""


def _configure(folder: Path) -> Path:
    for name in ("state", "spool", "bin"):
        (folder / name).mkdir()
    controller, node = _free_ports(2)
    text = CONFIGURATION.format(
        folder=folder,
        host=socket.gethostname().split(".")[0],
        controller=controller,
        node=node,
        cpus=os.cpu_count(),
        memory=int(psutil.virtual_memory().total / 2**20 * 0.9),
    )
    path = folder / "slurm.conf"
    path.write_text(text)
    return path


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _start(stack, folder: Path, daemon: str, *options: str, **variables: str) -> None:
    log = stack.enter_context(open(folder / f"{daemon}.log", "w"))
    # Were the tests killed, the daemons would be told to end by the kernel.
    command = ["setpriv", "--pdeathsig", "TERM", daemon, *options]
    process = subprocess.Popen(command, env=os.environ | variables, stdout=log, stderr=log)
    stack.callback(_stop, process)


def _stop(process: subprocess.Popen) -> None:
    everything = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
    for child in everything:
        if child.is_running():
            child.kill()


def _cancel_jobs(folder: Path, variables: dict[str, str]) -> None:
    ask_slurm(variables, "scancel", "--partition=main")
    _wait(folder, lambda: not ask_slurm(variables, "squeue", "--noheader"), "jobs to end")


def _wait(folder: Path, truth, what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not truth():
        if time.monotonic() > end:
            logs = "\n".join(path.read_text()[-2000:] for path in sorted(folder.glob("*.log")))
            raise RuntimeError(f"waited {seconds} s for {what}:\n{logs}")
        time.sleep(0.05)
