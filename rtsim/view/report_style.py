"""Style sheet of the HTML report: plain, legible, and fit for paper."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root { --ink: #1c1f24; --muted: #5b626c; --line: #d9dde3; --good: #0b6b3a; --bad: #b00020; --open: #8a5a00; }
* { box-sizing: border-box; }
body { margin: 0; background: #f4f5f7; color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 24px 28px 48px; background: #fff; }
.banner { margin: -24px -28px 20px; padding: 8px 28px; background: #33373d; color: #fff; font-size: 13px; }
h1 { font-size: 25px; margin: 0 0 4px; }
h2 { font-size: 18px; margin: 30px 0 8px; padding-bottom: 3px; border-bottom: 1px solid var(--line); }
h3 { font-size: 15px; margin: 20px 0 6px; }
.lead { margin: 0 0 14px; color: var(--muted); }
.limits { border: 2px solid; border-left-width: 10px; border-radius: 4px; padding: 10px 16px; margin: 14px 0; }
.limits h2 { margin: 0 0 4px; border: 0; font-size: 20px; }
.limits p { margin: 4px 0; }
.limits ul { margin: 4px 0; padding-left: 20px; }
.good { border-color: var(--good); background: #eef8f2; } .good h2 { color: var(--good); }
.bad { border-color: var(--bad); background: #fdeef0; } .bad h2 { color: var(--bad); }
.open { border-color: var(--open); background: #fdf6e7; } .open h2 { color: var(--open); }
table { border-collapse: collapse; width: 100%; font-size: 14px; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--muted); }
th, td { padding: 4px 10px 4px 6px; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { text-align: right; white-space: nowrap; }
small { color: var(--muted); }
.pairs { width: auto; min-width: 55%; } .pairs th { width: 1%; white-space: nowrap; padding-right: 28px; }
.pairs td { overflow-wrap: anywhere; }
tr.met td:first-child { color: var(--good); font-weight: 600; white-space: nowrap; }
tr.missed td:first-child { color: var(--bad); font-weight: 600; white-space: nowrap; }
tr.violated td { background: var(--bad); color: #fff; font-weight: 700; }
tr.violated a, tr.violated small, tr.violated .standing { color: #fff; background: none; }
tr.absent td { color: var(--muted); }
tr.total td { font-weight: 600; }
.standing { font-size: 12px; padding: 1px 6px; border-radius: 8px; background: #e8ebef; white-space: nowrap; }
.standing.verified { background: #dff1e6; } .standing.literature { background: #fdf0d2; }
.notes { color: var(--muted); font-size: 13px; }
figure { margin: 10px 0 16px; }
img { max-width: 100%; height: auto; display: block; border: 1px solid var(--line); }
figcaption { color: var(--muted); font-size: 13px; margin-top: 4px; }
@media print {
  @page { size: A4; margin: 14mm; }
  body { background: #fff; font-size: 11px; } main { max-width: none; padding: 0; } .banner { margin: 0 0 10px; }
  table { font-size: 10px; } th, td { padding: 2px 5px 2px 3px; } .standing { font-size: 8.5px; padding: 0 4px; }
  tr, figure, .limits { break-inside: avoid; } h2, h3 { break-after: avoid; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
