#!/usr/bin/env python3
"""Draws a flame graph (SVG) from `perf script -F comm,ip,sym` on stdin.

    perf record -e cpu-clock -F 4000 --call-graph dwarf,16384 -p PID -o perf.data -- sleep 5
    perf script -i perf.data --no-inline -F comm,ip,sym | tools/flamegraph.py "title" [thread] > graph.svg

The width of a box is its share of the samples; the kernel is blue, our code orange, libraries grey. Hover for the figures.
"""
import html
import re
import sys

WIDTH, ROW, SMALLEST = 1200, 17, 0.0015
# What every stack of a thread begins with.
ROOTS = ("clone3", "start_thread", "thread_start", "vtable.shim", "__rust_begin_short_backtrace", "[unknown]")


def stacks(lines, thread):
    frames, comm = [], ""
    for line in lines:
        line = line.rstrip()
        if not line:
            if frames and comm.startswith(thread):
                yield [f for f in reversed(frames) if not any(root in f[0] for root in ROOTS)]
            frames = []
        elif line[0] not in " \t":
            comm = line.strip()
        else:
            address, _, symbol = line.strip().partition(" ")
            frames.append((shorten(symbol), len(address) == 16 and address.startswith("ffff")))


def shorten(symbol):
    symbol = re.sub(r"<impl ([^<>]+)>::", lambda m: m.group(1).split("::")[-1] + "::", symbol)
    symbol = re.sub(r"aws_lc_[0-9_]+?_(?=[A-Za-z])", "", symbol)
    return "::".join(symbol.split("::")[-2:]) if "::" in symbol else symbol


class Box:
    def __init__(self, kernel=False):
        self.count, self.children, self.kernel = 0, {}, kernel


def main():
    title = sys.argv[1] if len(sys.argv) > 1 else "flame graph"
    root = Box()
    for stack in stacks(sys.stdin, sys.argv[2] if len(sys.argv) > 2 else ""):
        node = root
        node.count += 1
        for name, kernel in stack:
            node = node.children.setdefault(name, Box(kernel))
            node.count += 1
    if not root.count:
        sys.exit("no samples")
    boxes, depth = [], [0]

    def lay(node, name, x, level):
        width = node.count / root.count
        if width < SMALLEST:
            return
        depth[0] = max(depth[0], level)
        boxes.append((name, node, x, width, level))
        at = x
        for child, below in sorted(node.children.items(), key=lambda item: -item[1].count):
            lay(below, child, at, level + 1)
            at += below.count / root.count

    lay(root, "all", 0.0, 0)
    height = (depth[0] + 1) * ROW + 40
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="11">')
    print(f'<rect width="{WIDTH}" height="{height}" fill="#fff"/><text x="8" y="20" font-size="14">{html.escape(title)}</text>')
    for name, node, x, width, level in boxes:
        left, wide = x * WIDTH, width * WIDTH
        top = height - (level + 1) * ROW - 4
        ours = re.search(r"sfu_|Engine|MediaHalf|Sender|History|Worker|Subscription|Ring|Receiver|Batch|Estimator|Congestion|SentLog|Outbound|Inbound|Rewriter|Peer::", name)
        color = "#9ec5fe" if node.kernel else "#ffb366" if ours else "#d0d0d0"
        print(f'<g><title>{html.escape(name)}: {width:.1%}</title><rect x="{left:.1f}" y="{top}" width="{max(wide - 0.4, 0.2):.1f}" height="{ROW - 1}" fill="{color}" rx="2"/>', end="")
        letters = int(wide / 6.2)
        if letters > 3:
            text = name if len(name) <= letters else name[: letters - 1] + "…"
            print(f'<text x="{left + 3:.1f}" y="{top + 12}">{html.escape(text)}</text>', end="")
        print("</g>")
    print("</svg>")


main()
