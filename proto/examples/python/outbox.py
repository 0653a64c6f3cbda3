"""What is to be sent: the reports of a CSV file, and a journal of the submission ids they have."""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sqlite3
import time
import uuid

from tonghop.report.v1.report_pb2 import Report, Value

# A collector ends the stream that brings a larger report.
MAX_REPORT_BYTES = 128 * 1024


class FileError(Exception):
    """The file cannot be read. Nothing of it is sent."""


def value(cell: str, text: str) -> Value:
    """A cell's value. Numbers are written as machines do: 1205627, 92.3."""
    element, _, option = cell.removesuffix("]").partition("[")
    result = Value(data_element=element, option=option)
    if text in ("true", "false"):
        result.flag = text == "true"
    elif re.fullmatch(r"-?\d+", text):
        result.integer = int(text)
    elif re.fullmatch(r"-?\d+\.\d+", text):
        result.decimal = text
    elif re.fullmatch(r"\d{4}-\d\d-\d\d", text):
        result.date = text
    else:
        result.text = text
    return result


def read(path: str) -> list[Report]:
    """The reports of a file, without submission ids."""
    reports = []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, restkey="", strict=True)
            for row in rows:
                try:
                    reports.append(report(row))
                except KeyError as error:
                    raise FileError(f"{path}:{rows.line_num}: no {error.args[0]}") from error
                except ValueError as error:
                    raise FileError(f"{path}:{rows.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FileError(f"{path}: {error}") from error
    return reports


def report(row: dict[str, str]) -> Report:
    """The report of a row. An empty field is an absent value, which is not zero."""
    if "" in row:
        raise ValueError("more fields than columns")
    if None in row.values():
        raise ValueError("fewer fields than columns")
    cells = {name: text for name, text in row.items() if text}
    result = Report(org_unit=cells.pop("org_unit"), data_set=cells.pop("data_set"), period=cells.pop("period"))
    # Without it a report that returns to what it said before could not be told from a repetition.
    result.revision = int(cells.pop("revision"))
    result.withdrawn = cells.pop("withdrawn", "false") == "true"
    result.values.extend(value(cell, text) for cell, text in cells.items())
    # An id takes some forty bytes more.
    if result.ByteSize() > MAX_REPORT_BYTES - 64:
        raise ValueError(f"a report has at most {MAX_REPORT_BYTES} bytes")
    return result


class Journal:
    """Which report was sent under which id, and which of them are acknowledged."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path)
        self.db.execute("create table if not exists sent (content primary key, id unique, acknowledged default 0)")

    def name(self, reports: list[Report]) -> dict[str, tuple[Report, bool]]:
        """Gives the reports their ids, on disk when it returns: by id, each report and whether it is acknowledged."""
        named = {}
        for report in reports:
            content = hashlib.sha256(report.SerializeToString(deterministic=True)).hexdigest()
            self.db.execute("insert or ignore into sent (content, id) values (?, ?)", (content, uuid7()))
            known = self.db.execute("select id, acknowledged from sent where content = ?", (content,)).fetchone()
            report.submission_id = known[0]
            named[known[0]] = (report, bool(known[1]))
        self.db.commit()
        return named

    def acknowledge(self, submission_id: str) -> None:
        """Takes note of a receipt; on disk after `keep`. One that is lost costs a repetition, which is harmless."""
        self.db.execute("update sent set acknowledged = 1 where id = ?", (submission_id,))

    def keep(self) -> None:
        """Puts the receipts on disk."""
        self.db.commit()


def uuid7() -> str:
    """A UUID of version 7: milliseconds since 1970, then chance."""
    chance = int.from_bytes(os.urandom(10), "big") & ~(0xF << 76 | 0x3 << 62)
    return str(uuid.UUID(int=(time.time_ns() // 1_000_000) << 80 | 7 << 76 | 2 << 62 | chance))
