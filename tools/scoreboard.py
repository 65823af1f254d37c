#!/usr/bin/env python3
"""Prints measured figures beside the rows of a scoreboard: tools/scoreboard.py SCOREBOARD RESULTS

A scoreboard row is a table line `| row | figure | value | unit | tag |`. RESULTS has lines of `row<TAB>JSON`.
"""

import json
import sys


def rows(path):
    for line in open(path, encoding="utf-8"):
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if line.startswith("|") and len(cells) == 5 and cells[0] != "row" and not set(cells[0]) <= set("-: "):
            yield cells


def number(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


# Cost of one row by that of another: what the room's size and idle streams do to it.
QUOTIENTS = [("500 subscribers ÷ 20", "1x500", "1x20"), ("100 idle streams each ÷ none", "1x50idle100", "1x50")]


def main(scoreboard, results):
    measured = {}
    for line in open(results, encoding="utf-8"):
        name, text = line.rstrip("\n").split("\t", 1)
        measured[name] = json.loads(text)
    known = list(rows(scoreboard))
    print(f"{'row':12} {'figure':26} {'scoreboard':>12} {'now':>12} {'difference':>11}")
    for name, figure, value, unit, _tag in known:
        if name not in measured:
            continue
        now = measured[name].get(figure)
        before = number(value)
        shown = "–" if now is None else f"{now:.4g}" if abs(now) < 100 else f"{now:.0f}"
        difference = "–" if now is None or not before else f"{(now / before - 1) * 100:+.1f} %"
        print(f"{name:12} {figure:26} {value:>12} {shown:>12} {difference:>11}  {unit}")
    for title, above, below in QUOTIENTS:
        costs = [measured.get(name, {}).get("ns_per_forwarded_packet") for name in (above, below)]
        if all(costs):
            print(f"{title}: {costs[0] / costs[1]:.2f}")
    for name in sorted(set(measured) - {row[0] for row in known}):
        print(f"{name}: has no row in {scoreboard}")


if __name__ == "__main__":
    main(*sys.argv[1:])
