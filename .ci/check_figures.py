"""Checks the output of `cargo figures -- --json`, given on standard input: every published figure comes out."""

import json
import sys

figures = [json.loads(line) for line in sys.stdin]
failed = [figure for figure in figures if figure["same"] is not True]
for figure in failed:
    print(f"not so: {figure}", file=sys.stderr)
print(f"{len(figures) - len(failed)} of {len(figures)} figures came out")
sys.exit(0 if len(figures) == 60 and not failed else 1)
