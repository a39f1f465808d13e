"""Every name of Dagster that is not part of its public interface and is used here, and why.

No other module imports from a private module of Dagster, so an upgrade that moves or removes one of
these names fails in this file, by name (`make test-next` tries the newest versions). Names that
Dagster publishes are taken from `dagster` itself.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Runs in a process that was forked and has everything imported.
from dagster._core.code_pointer import ModuleCodePointer as ModuleCodePointer
from dagster._core.definitions.reconstruct import (
    ReconstructableRepository as ReconstructableRepository,
)

# The kinds of instigators, to ask which sensors are on.
from dagster._core.definitions.run_request import InstigatorType as InstigatorType

# Raised where a person stops a run, and where a launcher can't start one.
from dagster._core.errors import (
    DagsterExecutionInterruptedError as DagsterExecutionInterruptedError,
)
from dagster._core.errors import DagsterLaunchFailedError as DagsterLaunchFailedError

# Which events belong to assets and to checks: the storage of events writes them in one transaction.
from dagster._core.events import ASSET_CHECK_EVENTS as ASSET_CHECK_EVENTS
from dagster._core.events import ASSET_EVENTS as ASSET_EVENTS

# Where an instance keeps what: handed to forked processes, and made for a home without a file.
from dagster._core.instance.ref import InstanceRef as InstanceRef

# The interface of a launcher.
from dagster._core.launcher.base import CheckRunHealthResult as CheckRunHealthResult
from dagster._core.launcher.base import LaunchRunContext as LaunchRunContext
from dagster._core.launcher.base import ResumeRunContext as ResumeRunContext
from dagster._core.launcher.base import RunLauncher as RunLauncher
from dagster._core.launcher.base import WorkerStatus as WorkerStatus

# What a log record says of its run and step, for the lines that a run prints.
from dagster._core.log_manager import get_log_record_metadata as get_log_record_metadata
from dagster._core.log_manager import has_log_record_metadata as has_log_record_metadata

# The state of a sensor, to correct the time of its last tick.
from dagster._core.scheduler.instigation import SensorInstigatorData as SensorInstigatorData

# Checks that were planned and never made: Dagster leaves their rows, and its page shows them.
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecordStatus as AssetCheckExecutionRecordStatus,
)
from dagster._core.storage.config import PostgresStorageConfig as PostgresStorageConfig
from dagster._core.storage.dagster_run import FINISHED_STATUSES as FINISHED_STATUSES

# The storage of events, whose connections are pooled here, and its tables, which are tidied.
from dagster._core.storage.event_log import SqlEventLogStorageTable as SqlEventLogStorageTable
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable as AssetCheckExecutionsTable,
)
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage as SqlEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME as INDEX_SHARD_NAME,
)
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    SqliteEventLogStorage as SqliteEventLogStorage,
)

# The storage of runs, likewise.
from dagster._core.storage.runs.schema import RunTagsTable as RunTagsTable
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage as SqlRunStorage
from dagster._core.storage.runs.sqlite.sqlite_run_storage import (
    SqliteRunStorage as SqliteRunStorage,
)
from dagster._core.storage.schedules.sqlite.sqlite_schedule_storage import (
    SqliteScheduleStorage as SqliteScheduleStorage,
)
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS as SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage as DagsterSqliteStorage
from dagster._core.storage.sqlite_storage import _event_logs_directory as _event_logs_directory
from dagster._core.storage.sqlite_storage import _runs_directory as _runs_directory
from dagster._core.storage.sqlite_storage import _schedule_directory as _schedule_directory

# The tag that names a run's partition, to find the runs of a forgotten brief.
from dagster._core.storage.tags import PARTITION_NAME_TAG as PARTITION_NAME_TAG

# The daemon's sign of life: the storage writes it, and the metrics read it.
from dagster._daemon.types import DaemonHeartbeat as DaemonHeartbeat

# Classes that `dagster.yaml` names, and values that travel between processes.
from dagster._serdes import ConfigurableClass as ConfigurableClass
from dagster._serdes import ConfigurableClassData as ConfigurableClassData
from dagster._serdes import deserialize_value as deserialize_value
from dagster._serdes import serialize_value as serialize_value

# Dagster's handlers of Ctrl-C, put off while a fork is made.
from dagster._utils.interrupts import capture_interrupts as capture_interrupts
from dagster._utils.interrupts import setup_interrupt_handlers as setup_interrupt_handlers

if TYPE_CHECKING:
    # What `dagster api execute_run` does, without starting a program.
    from dagster._cli.api import _execute_run_command_body as _execute_run_command_body

    # What the web server hands to its pages: the guard wraps the function that takes it.
    from dagster._core.workspace.context import IWorkspaceProcessContext as IWorkspaceProcessContext

LAZY = {
    "_execute_run_command_body": "dagster._cli.api",
    "IWorkspaceProcessContext": "dagster._core.workspace.context",
}
"""Names of modules that take long to import and that few processes need."""


def __getattr__(name: str) -> Any:
    """Imports one of LAZY when it is asked for."""
    if name not in LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY[name]), name)
