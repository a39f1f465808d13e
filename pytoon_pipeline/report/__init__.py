"""The campaign page: what became of a campaign, for people who never open Dagster."""

from pytoon_pipeline.report.write import ReportDocument, export_report, write_report

__all__ = ["ReportDocument", "export_report", "write_report"]
