"""Checks the last line of `cargo load -- --quick --no-limits --json`, given on standard input: the totals are right, and what is documented is there."""

import json
import sys

DOCUMENTED = (
    "sustained_reports_per_second sustained_values_per_second ack_ms_p50 ack_ms_p99 freshness_ms_p50 freshness_ms_p99"
).split()

figures = json.load(sys.stdin)
missing = [name for name in DOCUMENTED if figures.get(name) is None] + sorted({"limits", "ratios"} - figures.keys())
if missing:
    print(f"not there: {', '.join(missing)}", file=sys.stderr)
print(f"correct: {figures['correct']}, {figures['sustained_reports_per_second']:.0f} reports/s in the debug build")
sys.exit(0 if figures["correct"] is True and not missing else 1)
