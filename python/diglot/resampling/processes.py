"""Tasks run one after the other here, or side by side in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from diglot.engine.mxnet import physical_cores, threads
from diglot.errors import InputError
from diglot.resampling.rows import packed
from diglot.resampling.tasks import Failure, Job, Outcome, Task, run_task


def threads_of(jobs: int) -> int:
    """Return how many threads each fit computes with.

    In processes side by side the cores are shared out, as threads that wait for each other's
    cores are slower by far than fewer threads; never more than this process has. The number is
    part of a result: with another one sums are added up in another order, and the weights of a
    network differ in their last digits.

    Examples
    --------
    >>> threads_of(1000)
    1
    """
    return threads() if jobs == 1 else max(1, min(threads(), physical_cores() // jobs))


def run_tasks(
    job: Job, tasks: Sequence[Task], jobs: int
) -> Iterator[tuple[int, Outcome | Failure]]:
    """Yield the place of each task and what came of it, in the order in which they end.

    Parameters
    ----------
    job : Job
        What they share.
    tasks : sequence of Task
    jobs : int
        How many processes; 1 is this one.

    Raises
    ------
    KeyboardInterrupt
        The processes are ended before.
    """
    if jobs == 1:
        for place, task in enumerate(tasks):
            yield place, run_task(job, task)
        return
    sent, left = replace(job, X=packed(job.X)), dict(enumerate(tasks))
    with _environment(threads_of(jobs)), _joblib_silent():
        try:
            for place, outcome in _side_by_side(sent, left, jobs):
                yield place, outcome
                del left[place]
            return
        except BrokenProcessPool:
            pass  # a process was killed, and with it went what the others had in hand
        except Exception as error:  # tasks answer their own: it was not to be sent
            words = f"({type(error).__name__}: {error}): use jobs=1"
            failed = InputError(f"the folds cannot be sent to other processes {words}")
            yield from ((place, Failure(failed, "")) for place in left)
            return
        for place, task in left.items():
            try:
                yield from _side_by_side(sent, {place: task}, jobs)
            except BrokenProcessPool:
                lost = MemoryError("its process ended, perhaps for want of memory")
                yield place, Failure(lost, "")


def _side_by_side(
    job: Job, tasks: Mapping[int, Task], jobs: int
) -> Iterator[tuple[int, Outcome | Failure]]:
    """Run tasks by joblib.

    Only processes that start anew can use MXNet, whose threads do not survive a fork. joblib's
    neither run the user's script again, as those of multiprocessing would, nor copy large arrays:
    all map one file.
    """
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=threads_of(jobs)):
        parallel = Parallel(jobs, return_as="generator_unordered", batch_size=1)
        answers = parallel(delayed(_run_there)(job, t, place) for place, t in list(tasks.items()))
    try:
        yield from answers
    finally:
        answers.close()
        _end_processes()


def _run_there(job: Job, task: Task, place: int) -> tuple[int, Outcome | Failure]:
    """Run one task in another process, whose errors may not fit through the wire."""
    try:
        outcome = run_task(job, task)
    except KeyboardInterrupt:  # the user's Ctrl-C reaches all processes; the parent decides
        outcome = Failure(InputError("interrupted"), "")
    if isinstance(outcome, Failure):
        return place, Failure(_sendable(outcome.error), outcome.trace)
    return place, outcome


def _sendable(error: Exception) -> Exception:
    """Return an error of the same type with the same words, without what it carries beside."""
    try:
        return type(error)(str(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")


def _end_processes() -> None:
    """End joblib's processes and delete its files at once.

    It keeps them for five minutes, or until Python's exit, of which it never hears in R.
    """
    from joblib.externals.loky import reusable_executor

    feeders = _feeders()
    # get_reusable_executor() would start new ones where one has died.
    executor = reusable_executor._executor
    if hasattr(executor, "terminate"):
        executor.terminate(kill_workers=True)
    # joblib waits for its other threads, not for these: where Python ended while one of them was
    # about to give back a semaphore, joblib told the user of a leak.
    for feeder in feeders:
        feeder.join(timeout=5)


def _feeders() -> list[threading.Thread]:
    """Return the threads that send joblib's processes their tasks, also those about to end."""
    from joblib.externals.loky.backend.queues import Queue

    named = (t for t in threading.enumerate() if t.name == "QueueFeederThread")
    # A thread forgets its target as it ends. multiprocessing's queues give theirs the same name.
    return [thread for thread in named if getattr(thread, "_target", Queue._feed) is Queue._feed]


@contextmanager
def _joblib_silent() -> Iterator[None]:
    """Keep joblib's words on tasks that ended early to itself: here it was Ctrl-C, or we tell."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module=r"joblib\.")
        yield


@contextmanager
def _environment(count: int) -> Iterator[None]:
    """Set what new processes inherit, and set it back."""
    _mend_executable()
    package = str(Path(__file__).parents[2])
    kept = dict(os.environ)
    os.environ["OMP_NUM_THREADS"] = str(count)
    # R imports diglot from its own library, which is on no other process's path.
    os.environ["PYTHONPATH"] = os.pathsep.join([package, *_entries("PYTHONPATH", [package])])
    if "R_HOME" in kept and "LD_LIBRARY_PATH" in kept:
        # R puts the system's libraries first, among them perhaps another Python's.
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join(_entries("LD_LIBRARY_PATH", _of_r()))
    try:
        yield
    finally:
        for name in set(os.environ) - set(kept):
            del os.environ[name]
        for name, value in kept.items():
            if os.environ.get(name) != value:
                os.environ[name] = value


def _entries(variable: str, without: Sequence[str]) -> list[str]:
    given = os.environ.get(variable, "").split(os.pathsep)
    return [entry for entry in given if entry and entry not in without]


def _of_r() -> list[str]:
    """Return the folders that R's start-up script puts into LD_LIBRARY_PATH."""
    given = os.environ["LD_LIBRARY_PATH"].split(os.pathsep)
    multiarch = sysconfig.get_config_var("MULTIARCH")
    return [
        f"{os.environ['R_HOME']}/lib",
        "/usr/local/lib",
        f"/usr/lib/{multiarch}",
        *(folder for folder in given if "/jvm/" in folder),
    ]


def _mend_executable() -> None:
    """Name this Python's program where another one, such as R, says that it is the program."""
    if Path(sys.executable or "").name.lower().startswith(("python", "pypy")):
        return
    windows = os.name == "nt"
    program = Path(sys.prefix, "python.exe" if windows else "bin/python3")
    if not program.exists():
        raise InputError(f"jobs= needs {program}, the program of this Python, which is not there")
    sys.executable = str(program)
    multiprocessing.set_executable(sys.executable)
    from joblib.externals.loky.backend import spawn

    spawn._python_exe = sys.executable  # it was read when joblib was imported
