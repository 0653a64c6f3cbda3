"""A copy of totals, the last event of each, and of what became of reports, in an SQLite file."""

from __future__ import annotations

import json
import sqlite3
from decimal import Decimal
from typing import Any


class Copy:
    """The last event of each total, how far the stream was read, and the fates of reports where they are followed."""

    def __init__(self, path: str, subjects: str) -> None:
        self.db = sqlite3.connect(path)
        self.db.execute("create table if not exists total (subject primary key, version, sequence, data)")
        self.db.execute(
            """create table if not exists fate
               (log_sequence, log_index, data, primary key (log_sequence, log_index))"""
        )
        self.db.execute("create table if not exists follows (subjects)")
        known = self.db.execute("select subjects from follows").fetchone()
        if known is None:
            self.db.execute("insert into follows values (?)", (subjects,))
        elif known[0] != subjects:
            raise ValueError(f"{path} is a copy of {known[0]}, not of {subjects}")
        self.db.commit()

    def position(self) -> int:
        """The sequence number of the last event that was kept, 0 if there is none."""
        return self.db.execute("select coalesce(max(sequence), 0) from total").fetchone()[0]

    def take(self, sequence: int, event: dict[str, Any]) -> bool:
        """Keeps an event, and says whether it is news; on disk after `keep`."""
        row = (event["subject"], event["data"]["version"], sequence, json.dumps(event["data"]))
        news = self.db.execute(
            """insert into total values (?, ?, ?, ?) on conflict (subject) do update
               set version = excluded.version, sequence = excluded.sequence, data = excluded.data
               where excluded.version > version""",
            row,
        )
        return news.rowcount == 1

    def take_fate(self, fate: str, report: dict[str, Any]) -> bool:
        """Keeps what became of a report, and says whether it is news: its place in the log names it. As `take` else."""
        row = (report["log_sequence"], report["log_index"], json.dumps({"fate": fate, **report}))
        news = self.db.execute(
            """insert into fate values (?, ?, ?) on conflict (log_sequence, log_index) do update
               set data = excluded.data where excluded.data <> data""",
            row,
        )
        return news.rowcount == 1

    def keep(self) -> None:
        """Puts what was taken on disk, events and position together."""
        self.db.commit()


def line(data: dict[str, Any]) -> str:
    """An event's data in one line: which total, which version, who is in it, and its sums."""
    parts = [f"{data['level']} {data['org_unit']} {data['data_set']} {data['period']} version {data['version']}"]
    for level in data["levels"]:
        parts.append(f"{level['level']} {level['reported']}/{level['expected']}")
        for cell in level["cells"]:
            name = f"{cell['data_element']}[{cell['option']}]" if "option" in cell else cell["data_element"]
            # One too large for a double comes as a string of its digits; int reads both.
            parts.append(f"{name}={Decimal(int(cell['sum'])).scaleb(-cell.get('decimals', 0)):f}")
    return " ".join(parts)


def told(fate: str, report: dict[str, Any]) -> str:
    """What became of a report, in one line, with one more for each reason."""
    about = f"{report['org_unit']} {report['data_set']} {report['period']} revision {report['revision']}"
    lines = [f"{about}: {fate.lower()}"]
    for why in report.get("violations", []):
        lines.append(f"  {why['reason']} {why['field']}: {why['message_en']} / {why['message_vi']}")
    return "\n".join(lines)
