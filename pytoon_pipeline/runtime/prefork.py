"""A process that has imported everything a run needs, and forks one for each run.

`python -m pytoon_pipeline.runtime.prefork AT_ONCE` reads requests from its standard input, a JSON
object a line (`run_id`, `instance`: the instance's reference), and answers each with a line. It
has at most so many runs going at once and keeps the others waiting, in order. When its input ends
it starts what it was asked for and then ends; the runs go on."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
import time
from collections import deque
from contextlib import suppress

import dagster as dg

from pytoon_pipeline import interrupts
from pytoon_pipeline.dagster_private import (
    InstanceRef,
    ModuleCodePointer,
    ReconstructableRepository,
    _execute_run_command_body,
    capture_interrupts,
    deserialize_value,
    setup_interrupt_handlers,
)
from pytoon_pipeline.process_tags import PROCESS_TAG, process_tag
from pytoon_pipeline.settings import scenes_at_once

_MODULE = "pytoon_pipeline.definitions"


def serve_forks(at_once: int) -> None:
    # The runs share the cores; a person may have said otherwise.
    os.environ.setdefault("PYTOON_WORKERS", str(scenes_at_once(at_once)))
    # The answers have this end to themselves; whatever a run prints goes where errors go.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    # Ctrl-C on a terminal reaches all of its processes; who started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended, wake = os.pipe()
    os.set_blocking(ended, False)
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    import_everything()
    gc.collect()
    gc.freeze()  # What lies here now is shared by all runs, and never collected.
    waiting: deque[dict[str, str]] = deque()
    running: set[int] = set()
    heard = b""
    asking = True
    while asking or waiting:
        ready, _, _ = select.select([0, ended] if asking else [ended], [], [])
        if ended in ready:
            os.read(ended, 4096)
            running -= _reap_children()
        if 0 in ready:
            more = os.read(0, 65536)
            asking = bool(more)
            *lines, heard = (heard + more).split(b"\n")
            waiting += [json.loads(line) for line in lines]
            with suppress(OSError):  # Whoever asked may have been killed; the runs are wanted.
                answers.write(b'{"taken": true}\n' * len(lines))
        while waiting and len(running) < at_once:
            running.add(_start_run(waiting.popleft(), [answers.fileno(), ended, wake]))


def _reap_children() -> set[int]:
    """The children that have ended."""
    gone = set()
    with suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            gone.add(pid)
    return gone


def _start_run(asked: dict[str, str], ours: list[int]) -> int:
    """Fork the process of a run. One that can't be had for want of memory is tried for."""
    while True:
        try:
            pid = os.fork()
        except OSError as error:
            print(f"no process can be started ({error}); trying again", file=sys.stderr)
            time.sleep(5)
            continue
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in ours:
                os.close(number)
            _run_child(asked)
        return pid


def import_everything() -> None:
    """Everything a run needs. No thread may be left behind: it would not be there after a fork."""
    import pytoon_pipeline.stages.assemble
    import pytoon_pipeline.stages.compile
    import pytoon_pipeline.stages.results
    import pytoon_pipeline.stages.segments
    import pytoon_pipeline.stages.services  # noqa: F401

    pointer = ModuleCodePointer(_MODULE, "defs")
    repository = ReconstructableRepository(pointer).get_definition()
    for job in repository.get_all_jobs():
        job.graph  # noqa: B018 - builds what is built on first use


def _run_child(asked: dict[str, str]) -> None:
    """In the forked process: one run, from beginning to end. Does not return."""
    code = 1
    try:
        os.setsid()
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        setup_interrupt_handlers()
        code = _execute_run(asked)
    except BaseException as error:
        with suppress(OSError):
            print(f"run {asked['run_id']}: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        # Nothing of the process that was forked is cleaned up here: it is not ours.
        os._exit(code)


def _execute_run(asked: dict[str, str]) -> int:
    reference = deserialize_value(asked["instance"], InstanceRef)
    with (
        capture_interrupts(),
        interrupts.watch_interrupts(),
        dg.DagsterInstance.from_ref(reference) as instance,
    ):
        instance.add_run_tags(asked["run_id"], {PROCESS_TAG: process_tag()})
        return _execute_run_command_body(
            asked["run_id"], instance, lambda event: None, set_exit_code_on_failure=True
        )


if __name__ == "__main__":
    serve_forks(int(sys.argv[1]))
