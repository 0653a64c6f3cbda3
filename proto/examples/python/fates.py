"""What became of reports: asking for a fate, and telling of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import grpc
from tonghop.query.v1 import query_pb2 as pb
from tonghop.query.v1.query_pb2_grpc import QueryServiceStub
from tonghop.report.v1.report_pb2 import Report, Violation

import wire


async def fate(submission_id: str, query: QueryServiceStub, patience: float) -> pb.GetSubmissionResponse | None:
    """What became of an acknowledged report; none if that is not known after `patience` seconds."""
    deadline = time.monotonic() + patience
    while True:
        try:
            return await query.GetSubmission(pb.GetSubmissionRequest(submission_id=submission_id), timeout=10)
        except grpc.aio.AioRpcError as error:
            # A submission on its way is not found, and the answer says when to ask again.
            refusal = wire.Refusal.of(error)
            if not refusal.passing:
                raise
            if time.monotonic() > deadline:
                return None
            await asyncio.sleep(refusal.retry_after or 1.0)


def words(answer: pb.GetSubmissionResponse | None) -> str:
    """A fate in words, and which revision counts if it is another."""
    if answer is None:
        return "no fate yet"
    replaced = answer.HasField("current_revision") and not answer.counts
    name = pb.Fate.Name(answer.fate).removeprefix("FATE_").lower()
    return name + (f", revision {answer.current_revision} counts" if replaced else "")


def tell(report: Report | pb.GetSubmissionResponse, outcome: str, violations: Iterable[Violation] = ()) -> None:
    """Prints what became of a report, and why."""
    print(f"{report.org_unit} {report.data_set} {report.period} revision {report.revision}: {outcome}")
    for violation in violations:
        print(f"  {violation.reason} {violation.field}: {violation.message_en} / {violation.message_vi}")
