#!/usr/bin/env python3
"""Asks the query service: totals of a unit, of the units below it, who has not reported, what became of a submission.

A period is one that is reported (202211), a longer one (2022Q4, 2022S2, 2022), or `latest`: everything since the tree
of units last changed. A value that is absent is not shown; it is not zero.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from decimal import Decimal

import grpc
from tonghop.query.v1 import query_pb2 as pb
from tonghop.query.v1.query_pb2_grpc import QueryServiceStub

import wire
from fates import tell, words

# Seconds that one answer may take.
PATIENCE = 15.0


def number(scaled: int, decimals: int) -> str:
    """A scaled number as it is meant; exact, so no float."""
    return f"{Decimal(scaled).scaleb(-decimals):f}"


def cell_name(element: str, option: str) -> str:
    return f"{element}[{option}]" if option else element


def cell_value(cell: pb.CellTotal) -> str:
    """What a total says, by the way its values add up."""
    match cell.aggregation:
        case pb.AGGREGATION_COVERAGE:
            return f"{cell.sum} of {cell.expected} say yes"
        case pb.AGGREGATION_MEAN:
            return f"{number(cell.sum, cell.decimals)} over {cell.contributing}"
        case pb.AGGREGATION_COLLECT:
            return f"{cell.contributing} gave words"
        case _:
            return number(cell.sum, cell.decimals)


def show(totals: pb.Totals) -> None:
    """Prints totals, and first what they are made of: how many of how many units, up to which place in the log."""
    unit = totals.org_unit
    heading = f"{unit.code} {unit.name}: {totals.data_set} {totals.period}"
    print(f"{heading}, version {totals.version}, log {totals.log_position}")
    for level in totals.levels:
        print(f"  {level.level}: {level.reported} of {level.expected} reported", end="")
        print(f", {level.on_time} on time" if level.HasField("deadline") else "")
        for cell in level.cells:
            if cell.HasField("sum") and cell.contributing > 0:
                print(f"    {cell_name(cell.data_element, cell.option)} {cell_value(cell)}")
        for indicator in level.indicators:
            if indicator.HasField("value"):
                parts = [
                    number(indicator.numerator, indicator.numerator_decimals),
                    number(indicator.denominator, indicator.denominator_decimals),
                ]
                print(f"    {cell_name(indicator.code, indicator.option)} {indicator.value}% ({' / '.join(parts)})")


def children(query: QueryServiceStub, about: dict[str, str], page_size: int) -> Iterator[pb.Totals]:
    """The totals of the units directly below, page by page. Each page is of one instant."""
    token = ""
    while True:
        question = pb.ListChildTotalsRequest(**about, page_size=page_size, page_token=token)
        page = query.ListChildTotals(question, timeout=PATIENCE)
        yield from page.totals
        token = page.next_page_token
        if not token:
            return


def missing(query: QueryServiceStub, about: dict[str, str], page_size: int) -> Iterator[pb.UnitReport]:
    """The units that have not reported. A page may be empty and not the last: the last has no token."""
    token = ""
    while True:
        only = pb.REPORT_FILTER_NOT_REPORTED
        question = pb.ListReportsRequest(**about, filter=only, page_size=page_size, page_token=token)
        page = query.ListReports(question, timeout=PATIENCE)
        yield from page.reports
        token = page.next_page_token
        if not token:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", required=True, help="the query service's address, host:port")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, help_text in [
        ("totals", "the totals of a unit"),
        ("children", "the totals of the units directly below"),
        ("missing", "the units at and below that have not reported"),
        ("watch", "the totals of a unit, and again each time they move"),
    ]:
        arguments = verbs.add_parser(verb, help=help_text)
        arguments.add_argument("org_unit", help="94, 31498; VN is the nation")
        arguments.add_argument("data_set", help="identity")
        arguments.add_argument("period", help="202211, 2022Q4, latest")
        arguments.add_argument("--page-size", type=int, default=100, help="units a question (%(default)s)")
        arguments.add_argument("--count", type=int, default=0, help="of watch: end after so many (never)")
    verbs.add_parser("fate", help="what became of a submission").add_argument("submission_id")
    chosen = parser.parse_args()

    with grpc.insecure_channel(wire.target(chosen.query), options=wire.OPTIONS) as channel:
        query = QueryServiceStub(channel)
        if chosen.verb == "fate":
            answer = query.GetSubmission(pb.GetSubmissionRequest(submission_id=chosen.submission_id), timeout=PATIENCE)
            return tell(answer, words(answer), answer.violations)
        about = {"org_unit": chosen.org_unit, "data_set": chosen.data_set, "period": chosen.period}
        if chosen.verb == "totals":
            show(query.GetTotals(pb.GetTotalsRequest(**about), timeout=PATIENCE).totals)
        elif chosen.verb == "children":
            for totals in children(query, about, chosen.page_size):
                show(totals)
        elif chosen.verb == "missing":
            units = [report.org_unit for report in missing(query, about, chosen.page_size)]
            for unit in units:
                print(f"{unit.code} {unit.name} ({unit.level})")
            print(f"{len(units)} have not reported")
        else:
            for seen, answer in enumerate(query.WatchTotals(pb.WatchTotalsRequest(**about)), start=1):
                show(answer.totals)
                if seen == chosen.count:
                    return


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"ask.py: {wire.Refusal.of(error)}")
    except KeyboardInterrupt:
        sys.exit(130)
