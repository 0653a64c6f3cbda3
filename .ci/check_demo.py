"""Checks the last line of `cargo demo -- --once`, given the file that holds its standard output."""

import json
import sys

with open(sys.argv[1], encoding="utf-8") as output:
    result = json.loads(output.read().splitlines()[-1])

settled = sum(result[fate] for fate in ("accepted", "rejected", "duplicate", "superseded"))
checks = {
    "every total equals its recomputation": result["verified"] is True and result["mismatches"] == 0,
    "totals were compared": result["totals_checked"] > 2_000,
    "every commune reported": result["communes_reported"] == result["communes_expected"] == 10_599,
    "every report was answered": result["acknowledged"] + result["refused"] == result["reports_sent"] > 22_000,
    "every acknowledged report has one fate": settled == result["acknowledged"],
    "every fate occurred": all(result[fate] > 0 for fate in ("accepted", "rejected", "duplicate", "superseded")),
    "cells have totals": result["national"]["id_card_records_collected"] > 1_205_627,
    # How fast is for a quiet machine to say: no check of the gate depends on a duration.
    "the rate was measured": result["seconds"] > 0 and result["reports_per_second"] > 0,
    "latencies were measured": 0 < result["ack_ms_p50"] <= result["ack_ms_p99"] and 0 < result["freshness_ms_p50"] <= result["freshness_ms_p99"],
}
failed = [what for what, holds in checks.items() if not holds]
for what in failed:
    print(f"not so: {what}", file=sys.stderr)
print(f"{len(checks) - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)
