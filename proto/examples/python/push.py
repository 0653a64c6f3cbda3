#!/usr/bin/env python3
"""Pushes the reports of a CSV file to a collector, and says what became of each.

The file has the columns org_unit, data_set, period and revision, and one for each cell: `id_cards_issued`, or
`svc_total[s03]` where the data element is broken down. An empty field is an absent value, which is not zero; the column
withdrawn with `true` takes a report back. Numbers are written as machines do (1205627, 92.3), flags as true or false,
days as 2022-11-07.

Each report's submission id is on disk, in the journal, before the report goes out. So whatever breaks, run it again: a
report that was acknowledged is not sent again, any other goes out under the id it had and cannot count twice.

Ends with 0 if every report was taken and, where --query is given, none was rejected or is still on its way; else 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sqlite3
import sys
import time

import grpc
from tonghop.collector.v1.collector_pb2 import SubmitStreamRequest, SubmitStreamResponse
from tonghop.collector.v1.collector_pb2_grpc import CollectorServiceStub
from tonghop.query.v1 import query_pb2 as pb
from tonghop.query.v1.query_pb2_grpc import QueryServiceStub
from tonghop.report.v1.report_pb2 import Report

import wire
from fates import fate, tell, words
from outbox import FileError, Journal, read


class Sender:
    """Sends what waits until nothing does. What is not answered, or told to come again, is sent again."""

    def __init__(self, waiting: dict[str, Report], journal: Journal, in_flight: int) -> None:
        self.waiting, self.journal, self.in_flight = waiting, journal, in_flight
        self.refused: set[str] = set()
        # The longest pause that this round's answers ask for, in seconds.
        self.asked = 0.0

    async def run(self, channel: grpc.aio.Channel, give_up_after: float) -> None:
        """Ends when all are answered, or when none was for `give_up_after` seconds."""
        pause, progress = 0.5, time.monotonic()
        while self.waiting:
            before, self.asked = len(self.waiting), 0.0
            try:
                await self.one_stream(CollectorServiceStub(channel))
            except grpc.aio.AioRpcError as error:
                refusal = wire.Refusal.of(error)
                if not refusal.passing:
                    raise
                self.asked = max(self.asked, refusal.retry_after or 0.0)
                print(f"push.py: {refusal}", file=sys.stderr)
            if len(self.waiting) < before:
                pause, progress = 0.5, time.monotonic()
            # The pause that was asked for, or a longer one each time; not in step with other senders.
            delay = max(self.asked, pause) * random.uniform(1.0, 1.25)
            if not self.waiting or time.monotonic() + delay - progress > give_up_after:
                return
            print(f"push.py: {len(self.waiting)} to be sent again in {delay:.1f} s", file=sys.stderr)
            await asyncio.sleep(delay)
            pause = min(2 * pause, 30.0)

    async def one_stream(self, collector: CollectorServiceStub) -> None:
        """Sends what waits on one stream, while its receipts come in."""
        call = collector.SubmitStream()
        # The collector's first word says whether it takes the stream. To whoever writes before it has refused, grpc.aio tells an error of
        # its own in the place of the collector's.
        await call.initial_metadata()
        free = asyncio.Semaphore(max(self.in_flight, 1))

        async def write() -> None:
            for report in list(self.waiting.values()):
                await free.acquire()
                await call.write(SubmitStreamRequest(report=report))
            await call.done_writing()

        writing = asyncio.create_task(write())
        try:
            async for receipt in call:
                free.release()
                self.take(receipt)
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            self.journal.keep()

    def take(self, receipt: SubmitStreamResponse) -> None:
        """A receipt: the report is durable, can never count as it is, or has to come again."""
        refusal, acknowledgement = receipt.refusal, receipt.acknowledgement
        if receipt.HasField("acknowledgement"):
            self.journal.acknowledge(receipt.submission_id)
            place = f"log {acknowledgement.log_sequence}/{acknowledgement.log_index}"
            tell(self.waiting.pop(receipt.submission_id), f"acknowledged, submission {receipt.submission_id}, {place}")
        elif refusal.HasField("retry_after"):
            self.asked = max(self.asked, refusal.retry_after.ToTimedelta().total_seconds())
        else:
            self.refused.add(receipt.submission_id)
            tell(self.waiting.pop(receipt.submission_id), f"refused, {refusal.reason}", refusal.violations)


async def main() -> bool:
    """Says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="the reports, CSV in UTF-8")
    parser.add_argument("--collector", required=True, help="its address, host:port")
    parser.add_argument("--query", help="address of the query service; asks for the fate of each report")
    parser.add_argument("--journal", default="push.sqlite", help="keeps the submission ids (%(default)s)")
    parser.add_argument("--in-flight", type=int, default=1000, help="reports without a receipt (%(default)s)")
    parser.add_argument("--give-up-after", type=float, default=300.0, help="seconds without an answer (%(default)s)")
    wire.add_credentials(parser)
    chosen = parser.parse_args()
    credentials = wire.credentials(chosen)

    journal = Journal(chosen.journal)
    reports = journal.name(read(chosen.file))
    sender = Sender({id: report for id, (report, kept) in reports.items() if not kept}, journal, chosen.in_flight)
    async with grpc.aio.secure_channel(wire.target(chosen.collector), credentials, options=wire.OPTIONS) as channel:
        await sender.run(channel, chosen.give_up_after)
    for id, report in sender.waiting.items():
        tell(report, f"not known to be kept, submission {id}; run again")
    well = not sender.refused and not sender.waiting
    if not chosen.query:
        return well
    async with grpc.aio.secure_channel(wire.target(chosen.query), credentials, options=wire.OPTIONS) as channel:
        for id in [id for id in reports if id not in sender.refused and id not in sender.waiting]:
            answer = await fate(id, QueryServiceStub(channel), chosen.give_up_after)
            tell(reports[id][0], words(answer), answer.violations if answer else ())
            well &= answer is not None and answer.fate != pb.FATE_REJECTED
    return well


if __name__ == "__main__":
    try:
        sys.exit(0 if asyncio.run(main()) else 1)
    except (FileError, OSError, sqlite3.Error) as error:
        sys.exit(f"push.py: {error}")
    except grpc.RpcError as error:
        sys.exit(f"push.py: {wire.Refusal.of(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
