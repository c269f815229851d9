"""The biology of the report: is the dose enough for the tumor, what does the cord pay, what bears on a fracture."""

from __future__ import annotations

from html import escape

from rtsim.biology import AdequacyVerdict
from rtsim.evaluate import CordEffect, GradeReport, TumorEffect

_Rows = list[tuple[str, str]]


def biology_section(grade: GradeReport) -> str:
    """HTML; empty when neither tumor nor cord is known."""
    rows: _Rows = []
    notes: list[str] = []
    head = ""
    if grade.tumor is not None:
        head = _verdict(grade.tumor)
        _tumor(grade.tumor, rows, notes)
    if grade.cord is not None:
        head += _warning(grade.cord)
        _cord(grade.cord, rows, notes)
    if grade.fracture is not None:
        risk = grade.fracture
        rows += [("vertebral fracture" if i == 0 else "", text) for i, text in enumerate(risk.sentences)]
        notes.append(f"Vertebral fracture: {risk.source}; {risk.caveat}.")
        notes.append(f"Shares of the bands: {risk.band_source}.")
        if risk.v15_percent is not None:
            notes.append(f"PTV V15Gy: {risk.v15_source}.")
    if not rows:
        return ""
    table = "".join(f"<tr><th>{escape(a)}<td>{escape(b)}</tr>" for a, b in rows)
    said = "".join(f"<p class='notes'>{escape(n)}</p>" for n in notes)
    return f"<h2>Biology</h2>{head}<table class='pairs'>{table}</table>{said}"


def _verdict(tumor: TumorEffect) -> str:
    """A box: red when the dose is too weak for the tumor, open when it is meant to relieve only."""
    kind = "bad" if tumor.is_too_weak else "good" if tumor.adequacy.is_enough else "open"
    titles = {
        AdequacyVerdict.ADEQUATE: "The dose is enough for the tumor",
        AdequacyVerdict.PALLIATIVE: "The dose relieves symptoms; it does not control the tumor for long",
        AdequacyVerdict.TOO_WEAK: "The dose is TOO WEAK for the tumor",
        AdequacyVerdict.NO_ROLE: "Radiotherapy has no place in this tumor",
    }
    title = titles[tumor.adequacy.verdict]
    if tumor.adequacy.is_enough and tumor.is_too_weak:
        title = "The prescription is enough for the tumor, what the tumor gets is TOO WEAK"
    said = "".join(f"<p>{escape(text)}</p>" for text in tumor.verdict_sentences)
    return f"<section class='limits {kind}'><h3>{escape(title)}</h3>{said}</section>"


def _warning(cord: CordEffect) -> str:
    said = "".join(f"<p>{escape(text)}.</p>" for text in (cord.stand_in, cord.risks.warning) if text)
    return f"<section class='limits open'>{said}</section>" if said else ""


def _tumor(t: TumorEffect, rows: _Rows, notes: list[str]) -> None:
    rows += [
        ("tumor", t.class_sentence),
        (
            f"prescription, alpha/beta {t.histology.alpha_beta_gy:g} Gy",
            f"BED {t.prescription_bed_gy:.1f} Gy, EQD2 {t.prescription_eqd2_gy:.1f} Gy",
        ),
        (f"D95% of {t.structure}", f"BED {t.d95_bed_gy:.1f} Gy, EQD2 {t.d95_eqd2_gy:.1f} Gy"),
    ]
    if t.tcp_log_logistic is not None and t.tcp_poisson is not None:
        both = f"{100 * t.tcp_log_logistic:.0f} % (log-logistic), {100 * t.tcp_poisson:.0f} % (Poisson)"
        rows.append((f"tumor control of the {t.structure} as delivered, voxel by voxel", both))
    if t.adequacy.control_source is not None:
        notes.append(f"Tumor control: {t.adequacy.control_source}; {t.adequacy.control_caveat}.")
    shown = t.adequacy.control_source
    notes += [f"{source}." for source in t.sources if source != shown]


def _cord(c: CordEffect, rows: _Rows, notes: list[str]) -> None:
    rows += [
        (
            f"{c.structure} D0.035cc",
            f"{c.near_max_gy:.2f} Gy = EQD2 {c.eqd2_gy:.1f} Gy (alpha/beta {c.alpha_beta_gy:g} Gy)",
        ),
        *c.risk_rows,
    ]
    notes += [f"Logistic: {c.logistic_source}.", f"LKB: {c.lkb_source}."]
