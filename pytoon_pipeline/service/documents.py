"""What the API takes and answers, as documents."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

State = Literal["pending", "processing", "completed", "failed", "cancelled"]

ID_PATTERN = "^[A-Za-z0-9_-]{22}$"
CURSOR_PATTERN = r"^[0-9]{1,17}\.[A-Za-z0-9_-]{22}$"
NAME_PATTERN = "^[^\\x00-\\x1f\\x7f]*$"

Name = Annotated[str, Field(min_length=1, max_length=100, pattern=NAME_PATTERN)]


class RenderRequest(BaseModel):
    """What POST /render takes. Exactly one of `brief` and `spec` is given."""

    model_config = ConfigDict(extra="forbid", strict=True)

    brief: dict[str, Any] = Field({}, description="A brief.")
    spec: dict[str, Any] = Field({}, description="A RenderSpec, in place of a brief.")
    campaign: Name = Field("api", description="The briefs it belongs to.")
    name: Name = Field("", description="What the video is called; the job's id when left out.")
    priority: int = Field(
        0, ge=-100, le=100, description="Of its place in the queue; higher comes first."
    )
    webhook: str = Field(
        "", min_length=1, max_length=2000, description="Address that the job's end is told to."
    )


class _AnswerModel(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ProblemDocument(_AnswerModel):
    """One thing that is wrong."""

    code: str = Field(description="Stable: `field.unknown`, `media.missing`.")
    message: str
    remedy: str = ""
    severity: Literal["error", "warning", "info"] = "error"
    file: str | None = None
    field: str | None = Field(None, description="Of the brief or the request: `media[2]`.")
    time: tuple[float, float] | None = None
    box: tuple[int, int, int, int] | None = None


class ErrorBody(_AnswerModel):
    code: str
    message: str
    remedy: str = ""


class ErrorDocument(_AnswerModel):
    """Every answer that is no success."""

    error: ErrorBody
    problems: list[ProblemDocument] = Field(default_factory=list)


class Links(_AnswerModel):
    """Addresses below the server's own. Those of the files are null until the job is completed."""

    self: str
    cancel: str
    video: str | None = None
    thumbnail: str | None = None
    captions: str | None = None


class Checks(_AnswerModel):
    """What the quality checks said of the finished file."""

    passed: int
    failed: int
    warnings: int
    problems: list[str] = Field(default_factory=list, description="What did not pass.")


class Job(_AnswerModel):
    job_id: str = Field(pattern=ID_PATTERN)
    state: State
    progress: float = Field(ge=0, le=1)
    key: str | None = Field(description="`<campaign>/<name>` as Dagster and the store know it.")
    campaign: str
    name: str
    used_fallback: bool | None = Field(None, description="Another engine than the first made it.")
    degraded: bool | None = Field(None, description="A part of it is a plain still.")
    seconds: float | None = Field(None, description="Length of the video.")
    error: str | None = Field(None, description="Why it failed.")
    problems: list[ProblemDocument] = Field(
        default_factory=list, description="What is wrong with the brief, when that ended the job."
    )
    checks: Checks | None = None
    created: str = Field(description="RFC 3339, UTC.")
    updated: str = Field(description="RFC 3339, UTC: of the last change of its state.")
    run_id: str | None = Field(None, description="Of the Dagster run that worked on it last.")
    links: Links


class JobPage(_AnswerModel):
    """Jobs, newest first."""

    jobs: list[Job]
    next: str | None = Field(description="`cursor` of the next page; null on the last.")


class Health(_AnswerModel):
    status: Literal["ok", "failing"]
    version: str
    ledger: str = Field(description="`ok`, or that the table of jobs can't be reached.")
