#!/usr/bin/env python3
"""Asks the query service: totals of a unit, of the units below it, over time and as they stood; what they are made of;
who has not reported; what became of a submission; what there is to ask for.

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


def cell_of(text: str) -> pb.CellName:
    """`received[s01]` is the cell of an option, `received` that of a data element without any."""
    element, _, option = text.removesuffix("]").partition("[")
    return pb.CellName(data_element=element, option=option)


def sum_of(totals: pb.Totals) -> str:
    """The sum of the one cell that was asked for."""
    cell = totals.overall.cells[0]
    return number(cell.sum, cell.decimals) if cell.HasField("sum") else "nothing"


def series(query: QueryServiceStub, chosen: argparse.Namespace) -> None:
    """A cell for each period of a range, with the gaps."""
    question = pb.GetSeriesRequest(org_unit=chosen.org_unit, data_set=chosen.data_set, to=chosen.to)
    question.cells.append(cell_of(chosen.cell))
    setattr(question, "from", chosen.first)
    for entry in query.GetSeries(question, timeout=PATIENCE).entries:
        if entry.HasField("totals"):
            all_levels = entry.totals.overall
            print(f"{entry.period}: {sum_of(entry.totals)}, {all_levels.reported} of {all_levels.expected} reported")
        else:
            print(f"{entry.period}: the unit was not there")


def ranks(query: QueryServiceStub, about: dict[str, str], cell: str, page_size: int) -> None:
    """The units directly below from the largest down. Each page is of one instant."""
    token = ""
    while True:
        named = cell_of(cell)
        by = pb.SortBy(cell=named)
        size = {"page_size": page_size, "page_token": token}
        page = query.ListBreakdown(
            pb.ListBreakdownRequest(**about, sort_by=by, descending=True, cells=[named], **size), timeout=PATIENCE
        )
        if page.order_changed:
            print("the order has changed: begin again for a list that is of one instant")
        for unit in page.units:
            org_unit = unit.totals.org_unit
            rank = unit.rank if unit.HasField("rank") else "-"
            print(f"{rank} {org_unit.code} {org_unit.name}: {sum_of(unit.totals)}")
        token = page.next_page_token
        if not token:
            return


def explain(query: QueryServiceStub, about: dict[str, str], cell: str, page_size: int) -> None:
    """The reports that a cell is made of. All pages together are the total of the first, whatever comes in."""
    question = pb.ListContributionsRequest(**about, cell=cell_of(cell), page_size=page_size)
    added = 0
    while True:
        page = query.ListContributions(question, timeout=PATIENCE)
        for given in page.contributions:
            value = number(given.value, page.decimals)
            print(f"{given.org_unit.code} {given.period} revision {given.revision}: {value}")
        added += page.page_sum
        # `latest` may be another period by now: the answer says which it was.
        question.period, question.page_token = page.period, page.next_page_token
        if not question.page_token:
            print(f"{number(added, page.decimals)} of {page.contributing} values, log {page.log_position}")
            return


def report(query: QueryServiceStub, about: dict[str, str]) -> None:
    """A unit's report with its revisions, the newest first."""
    for revision in query.GetReport(pb.GetReportRequest(**about), timeout=PATIENCE).revisions:
        fate = pb.Fate.Name(revision.fate).removeprefix("FATE_").lower()
        counts = ", counts" if revision.counts else ""
        print(f"revision {revision.revision}: {fate}{counts}, {len(revision.values)} values")


def form(query: QueryServiceStub, data_set: str) -> None:
    """A form's cells: what they are called, what they take, how they add up over periods."""
    for told in query.GetCatalogue(pb.GetCatalogueRequest(data_set=data_set), timeout=PATIENCE).data_sets:
        print(f"{told.code}, by {told.period_type}: {told.name_en}")
        for cell in told.cells:
            name = cell_name(cell.data_element, cell.option.code)
            print(f"  {name} ({cell.value_type}, {cell.time_aggregation}): {cell.name_en}")


def named(query: QueryServiceStub, date: str, name: str) -> None:
    """The units of a day's tree whose names have these words, however they are spelt."""
    question = pb.ListOrgUnitsRequest(date=date, name=name, page_size=1000)
    while True:
        page = query.ListOrgUnits(question, timeout=PATIENCE)
        for unit in page.org_units:
            print(f"{unit.code} {unit.name} ({unit.level})")
        question.page_token = page.next_page_token
        if not question.page_token:
            return


def watch_many(query: QueryServiceStub, chosen: argparse.Namespace) -> None:
    """Several totals on one stream. Keep `resume_token` to go on where it broke off."""
    question = pb.WatchManyRequest(org_units=chosen.org_units, data_sets=[chosen.data_set], periods=[chosen.period])
    for seen, answer in enumerate(query.WatchMany(question), start=1):
        for moved in answer.moved:
            show(moved.totals)
        if seen == chosen.count:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--query", required=True, help="the query service's address, host:port")
    wire.add_credentials(parser)
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
        arguments.add_argument("--log", type=int, help="of totals: as they stood at this position of the log")
    for verb, help_text in [
        ("ranks", "the units directly below, from the largest of a cell down"),
        ("explain", "the reports that a cell is made of"),
        ("report", "a unit's report with its revisions"),
    ]:
        arguments = verbs.add_parser(verb, help=help_text)
        for name in ["org_unit", "data_set", "period"]:
            arguments.add_argument(name)
        if verb != "report":
            arguments.add_argument("cell", help="id_card_records_collected, or received[s01] for an option")
        arguments.add_argument("--page-size", type=int, default=100, help="entries a question (%(default)s)")
    arguments = verbs.add_parser("series", help="a cell of a unit for each period of a range")
    for name in ["org_unit", "data_set", "first", "to", "cell"]:
        arguments.add_argument(name)
    for verb, help_text in [
        ("batch", "the totals of several units, of one instant"),
        ("watch-many", "the same, and again each time one of them moves"),
    ]:
        arguments = verbs.add_parser(verb, help=help_text)
        arguments.add_argument("data_set")
        arguments.add_argument("period")
        arguments.add_argument("org_units", nargs="+")
        arguments.add_argument("--count", type=int, default=0, help="of watch-many: end after so many messages (never)")
    verbs.add_parser("form", help="the cells of a form").add_argument("data_set")
    arguments = verbs.add_parser("units", help="the units with a name")
    arguments.add_argument("date", help="2022-11-30")
    arguments.add_argument("name", help="soc trang")
    verbs.add_parser("fate", help="what became of a submission").add_argument("submission_id")
    chosen = parser.parse_args()

    credentials = wire.credentials(chosen)
    with grpc.secure_channel(wire.target(chosen.query), credentials, options=wire.OPTIONS) as channel:
        query = QueryServiceStub(channel)
        if chosen.verb == "fate":
            answer = query.GetSubmission(pb.GetSubmissionRequest(submission_id=chosen.submission_id), timeout=PATIENCE)
            return tell(answer, words(answer), answer.violations)
        if chosen.verb == "form":
            return form(query, chosen.data_set)
        if chosen.verb == "units":
            return named(query, chosen.date, chosen.name)
        if chosen.verb == "series":
            return series(query, chosen)
        if chosen.verb == "watch-many":
            return watch_many(query, chosen)
        if chosen.verb == "batch":
            same = {"data_set": chosen.data_set, "period": chosen.period}
            questions = [pb.GetTotalsRequest(org_unit=unit, **same) for unit in chosen.org_units]
            for totals in query.BatchGetTotals(pb.BatchGetTotalsRequest(questions=questions), timeout=PATIENCE).totals:
                show(totals)
            return
        about = {"org_unit": chosen.org_unit, "data_set": chosen.data_set, "period": chosen.period}
        if chosen.verb == "totals":
            as_of = None if chosen.log is None else pb.AsOf(log_position=chosen.log)
            show(query.GetTotals(pb.GetTotalsRequest(**about, as_of=as_of), timeout=PATIENCE).totals)
        elif chosen.verb == "ranks":
            ranks(query, about, chosen.cell, chosen.page_size)
        elif chosen.verb == "explain":
            explain(query, about, chosen.cell, chosen.page_size)
        elif chosen.verb == "report":
            report(query, about)
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
    except OSError as error:
        sys.exit(f"ask.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
