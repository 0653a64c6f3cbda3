#!/usr/bin/env python3
"""Pushes the reports of a CSV file with their values packed in the order of the form's cells.

Reads and sends as push.py does; what is added is `pack`. The order of the cells is asked of the query service each time: a
system that sends often keeps it, and asks again when it is told CATALOGUE_UNKNOWN.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import sys
from decimal import Decimal

import grpc
from tonghop.query.v1 import query_pb2 as pb
from tonghop.query.v1.query_pb2_grpc import QueryServiceStub
from tonghop.report.v1.report_pb2 import Report, Value

import wire
from fates import fate, tell, words
from outbox import FileError, Journal, read
from push import Sender


def packed(value: Value, cell: pb.Cell) -> int | None:
    """A value as it is packed; none for words, and for what does not fit the cell."""
    match cell.value_type, value.WhichOneof("value"):
        case "count" | "signed" | "decimal", "integer" | "decimal" as kind:
            number = Decimal(getattr(value, kind)).scaleb(cell.decimals)
            return int(number) if number == int(number) and abs(number) < 2**63 else None
        case "flag", "flag":
            return int(value.flag)
        case "date", "date":
            return int(value.date.replace("-", ""))
        case _:
            return None


def pack(report: Report, form: pb.DataSet) -> None:
    """Packs the values of a report. What cannot be packed stays where it is, for the collector to take or to refuse."""
    named = {(value.data_element, value.option): value for value in report.values}
    present = bytearray((len(form.cells) + 7) // 8)
    for place, cell in enumerate(form.cells):
        value = named.get((cell.data_element, cell.option.code))
        number = packed(value, cell) if value else None
        if number is not None:
            present[place // 8] |= 1 << place % 8
            report.dense.values.append(number)
            report.values.remove(value)
    if report.dense.values:
        report.dense.present = bytes(present)
        # Stays the same until the form's cells change.
        report.dense.catalogue_version = form.layout


async def main() -> bool:
    """Says whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="the reports, CSV in UTF-8, as push.py reads them")
    parser.add_argument("--collector", required=True, help="its address, host:port")
    parser.add_argument("--query", required=True, help="address of the query service")
    wire.add_credentials(parser)
    parser.add_argument("--journal", default="push.sqlite", help="keeps the submission ids (%(default)s)")
    parser.add_argument("--give-up-after", type=float, default=300.0, help="seconds without an answer (%(default)s)")
    chosen = parser.parse_args()

    journal = Journal(chosen.journal)
    reports = journal.name(read(chosen.file))
    known_as = wire.credentials(chosen)
    async with (
        grpc.aio.secure_channel(wire.target(chosen.query), known_as, options=wire.OPTIONS) as query_channel,
        grpc.aio.secure_channel(wire.target(chosen.collector), known_as, options=wire.OPTIONS) as channel,
    ):
        query = QueryServiceStub(query_channel)
        catalogue = await query.GetCatalogue(pb.GetCatalogueRequest(), timeout=15)
        forms = {form.code: form for form in catalogue.data_sets}
        for report, _ in reports.values():
            if report.data_set in forms:
                pack(report, forms[report.data_set])
            tell(report, f"{len(report.dense.values)} values packed")
        sender = Sender({id: report for id, (report, kept) in reports.items() if not kept}, journal, in_flight=1000)
        await sender.run(channel, chosen.give_up_after)
        for id, report in sender.waiting.items():
            tell(report, f"not known to be kept, submission {id}; run again")
        well = not sender.refused and not sender.waiting
        for id in [id for id in reports if id not in sender.refused and id not in sender.waiting]:
            answer = await fate(id, query, chosen.give_up_after)
            tell(reports[id][0], words(answer), answer.violations if answer else ())
            well &= answer is not None and answer.fate != pb.FATE_REJECTED
    return well


if __name__ == "__main__":
    try:
        sys.exit(0 if asyncio.run(main()) else 1)
    except (FileError, OSError, sqlite3.Error) as error:
        sys.exit(f"push_dense.py: {error}")
    except grpc.RpcError as error:
        sys.exit(f"push_dense.py: {wire.Refusal.of(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
