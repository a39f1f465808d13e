"""A process that has imported everything a run needs, and forks one for each run.

`python -m pytoon_pipeline.defs.warm` reads requests from its standard input, a JSON object a line
(`run_id`, `instance`: the instance's reference), and answers each with a line: `{"pid": ...}` or
`{"error": ...}`. When its input ends it ends; the runs go on.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from contextlib import suppress

import dagster as dg
from dagster._cli.api import _execute_run_command_body
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.instance.ref import InstanceRef
from dagster._serdes import deserialize_value
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers

from pytoon_pipeline.defs import interrupt
from pytoon_pipeline.defs.process import PROCESS_TAG, this_process

_MODULE = "pytoon_pipeline.definitions"


def main() -> None:
    # The answers have this end to themselves; whatever a run prints goes where errors go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # Ctrl-C on a terminal reaches all of its processes; who started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Runs that have ended are not kept as zombies.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _load()
    gc.collect()
    gc.freeze()  # What lies here now is shared by all runs, and never collected.
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        try:
            pid = os.fork()
        except OSError as error:  # No memory, or too many processes.
            said = {"run_id": asked["run_id"], "error": f"no process can be started: {error}"}
        else:
            if pid == 0:
                answers.close()
                _run(asked)
            said = {"run_id": asked["run_id"], "pid": pid}
        answers.write(json.dumps(said) + "\n")
        answers.flush()


def _load() -> None:
    """Everything a run needs. No thread may be left behind: it would not be there after a fork."""
    import pytoon_pipeline.stages.assemble
    import pytoon_pipeline.stages.compile
    import pytoon_pipeline.stages.finish
    import pytoon_pipeline.stages.segments
    import pytoon_pipeline.stages.services  # noqa: F401

    pointer = ModuleCodePointer(_MODULE, "defs")
    repository = ReconstructableRepository(pointer).get_definition()
    for job in repository.get_all_jobs():
        job.graph  # noqa: B018 - builds what is built on first use


def _run(asked: dict[str, str]) -> None:
    """In the forked process: one run, from beginning to end. Does not return."""
    code = 1
    try:
        os.setsid()
        devnull = os.open(os.devnull, os.O_RDONLY)
        os.dup2(devnull, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        setup_interrupt_handlers()
        code = _execute(asked)
    except BaseException as error:
        with suppress(OSError):
            print(f"run {asked['run_id']}: {type(error).__name__}: {error}", file=sys.stderr)
    finally:
        with suppress(OSError):
            sys.stderr.flush()
        # Nothing of the process that was forked is cleaned up here: it is not ours.
        os._exit(code)


def _execute(asked: dict[str, str]) -> int:
    reference = deserialize_value(asked["instance"], InstanceRef)
    with (
        capture_interrupts(),
        interrupt.stop_sign(),
        dg.DagsterInstance.from_ref(reference) as instance,
    ):
        instance.add_run_tags(asked["run_id"], {PROCESS_TAG: this_process()})
        return _execute_run_command_body(
            asked["run_id"], instance, lambda event: None, set_exit_code_on_failure=True
        )


if __name__ == "__main__":
    main()
