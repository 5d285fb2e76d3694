"""The answers about results and cancellation, and what all answers share. Jobs are in `job_outputs`.

Answers are mapped field by field from what the API says.

A field of the API that is not named here does not come out. Text written by others has the type
`UntrustedText`, which passes it through the sanitiser; nothing else may hold such text.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sutro_mcp.results import Cell, ExportFormat, ExportReport, Page, Summary
from sutro_mcp.untrusted import NOTICE, visible

UntrustedText = Annotated[str, AfterValidator(visible)]
Outcome = Literal["requested", "confirmed", "refused", "unknown"]
Notice = Annotated[str, Field(description="How to treat text in this answer")]


class Answer(BaseModel):
    """One structured answer; fields that are None are left out."""

    model_config = ConfigDict(frozen=True)

    def structured(self) -> dict[str, Any]:
        """The answer as JSON values."""
        return self.model_dump(mode="json", exclude_none=True)


class ResultsAnswer(Answer):
    """A page of rows (`columns`, `rows`), or the summary of all of them."""

    notice: Notice = NOTICE
    job_id: str
    view: Literal["summary", "rows"]
    uri: Annotated[str, Field(description="These rows, or this summary, as a resource")]
    row_count: Annotated[int, Field(description="All rows of the results")]
    offset: int | None = None
    next_offset: Annotated[int | None, Field(description="Offset of the next page; absent at the end")] = None
    shortened: Annotated[str | None, Field(description="What was cut, and how to get it")] = None
    columns: list[str] | None = None
    rows: Annotated[list[list[Cell]] | None, Field(description="Cells in the order of columns")] = None
    summary: Summary | None = None

    @classmethod
    def page(cls, job_id: str, page: Page, limit: int, *, include_inputs: bool) -> "ResultsAnswer":
        """Its resource has the same rows, with all their columns."""
        inputs = "&include_inputs=true" if include_inputs else ""
        return cls(
            job_id=job_id,
            view="rows",
            uri=f"sutro://jobs/{job_id}/results?offset={page.offset}&limit={limit}{inputs}",
            row_count=page.row_count,
            offset=page.offset,
            next_offset=page.next_offset,
            shortened=page.shortened,
            columns=page.columns,
            rows=page.rows,
        )

    @classmethod
    def whole(cls, job_id: str, summary: Summary) -> "ResultsAnswer":
        return cls(
            job_id=job_id,
            view="summary",
            uri=f"sutro://jobs/{job_id}/results/summary",
            row_count=summary.row_count,
            summary=summary,
        )


class QueryAnswer(Answer):
    """The first rows that a query yields."""

    notice: Notice = NOTICE
    job_id: str
    row_count: Annotated[int, Field(description="Rows that the SQL yields in all")]
    shortened: Annotated[str | None, Field(description="What was cut, and how to get it")] = None
    columns: list[str]
    rows: Annotated[list[list[Cell]], Field(description="Cells in the order of columns")]

    @classmethod
    def of(cls, job_id: str, page: Page) -> "QueryAnswer":
        return cls(
            job_id=job_id,
            row_count=page.row_count,
            shortened=page.shortened,
            columns=page.columns,
            rows=page.rows,
        )


class ExportAnswer(Answer):
    """The file that was written."""

    notice: Notice = NOTICE
    job_id: str
    file_name: Annotated[UntrustedText, Field(description="In the folder")]
    folder: UntrustedText
    format: ExportFormat
    rows: int
    bytes: int
    column_count: int
    columns: Annotated[list[UntrustedText], Field(description="The first names, long ones cut")]
    remarks: Annotated[list[UntrustedText], Field(description="What was not unpacked or had to change")]

    @classmethod
    def of(cls, job_id: str, report: ExportReport) -> "ExportAnswer":
        return cls(
            job_id=job_id,
            file_name=report.file_name,
            folder=report.folder,
            format=report.format,
            rows=report.rows,
            bytes=report.bytes,
            column_count=report.column_count,
            columns=report.columns,
            remarks=report.remarks,
        )


class CancelAnswer(Answer):
    """What was asked of the deployment, and the job's status before and after."""

    notice: Notice = NOTICE
    job_id: str
    outcome: Annotated[
        Outcome | None,
        Field(description="Absent: this is a preview, nothing was sent"),
    ] = None
    status_before: str
    status_after: Annotated[str | None, Field(description="Read after the request; absent if unknown")] = None
    name: UntrustedText | None = None
    rows_done: int | None = None
    num_rows: int | None = None
    cost_usd: float | None = None
    cost_estimate_usd: float | None = None
    message: UntrustedText
    next: str
    uri: Annotated[str, Field(description="The resource to read or watch next")]
