"""Photon spectra: relative numbers of photons by energy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from rtsim.errors import InputError, unknown_name
from rtsim.materials.elements import MAX_ENERGY_MEV
from rtsim.materials.tables import read_rows
from rtsim.typing import FloatArray


@dataclass(frozen=True, eq=False)
class EnergyGroups:
    """A spectrum reduced to a few energies; number and energy of the photons are those of the spectrum.

    Attributes:
        energy_mev: (n,) mean photon energy of each group, ascending.
        photons: (n,) relative number of photons, summing to 1.
    """

    energy_mev: FloatArray
    photons: FloatArray

    @property
    def energy_fluence(self) -> FloatArray:
        """(n,) share of each group in the energy fluence, summing to 1."""
        energy = self.energy_mev * self.photons
        return np.asarray(energy / energy.sum())


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A photon spectrum: relative number of photons per bin, energy uniform inside a bin.

    Attributes:
        name: its name in reports.
        edges_mev: (n + 1,) bin edges, ascending, 0 <= edge <= 25 MeV.
        photons: (n,) relative number of photons in each bin (any scale), >= 0.
        source: where it comes from.
    """

    name: str
    edges_mev: FloatArray
    photons: FloatArray
    source: str = ""

    def __post_init__(self) -> None:
        edges = np.array(self.edges_mev, dtype=np.float64)
        photons = np.array(self.photons, dtype=np.float64)
        where = f"spectrum {self.name!r}"
        if edges.ndim != 1 or photons.ndim != 1 or edges.size != photons.size + 1 or photons.size == 0:
            raise InputError(
                f"{where}: edges_mev has shape {edges.shape} and photons {photons.shape}; "
                "(n + 1,) edges and (n,) bins are needed"
            )
        if not (np.isfinite(edges).all() and (np.diff(edges) > 0.0).all()):
            raise InputError(f"{where}: edges_mev must be finite and ascend; got {edges.tolist()} MeV")
        if edges[0] < 0.0 or edges[-1] > MAX_ENERGY_MEV:
            raise InputError(
                f"{where}: edges_mev reach from {edges[0]:g} to {edges[-1]:g}; allowed: 0 to {MAX_ENERGY_MEV:g} MeV"
            )
        if not (np.isfinite(photons).all() and (photons >= 0.0).all()):
            i = int(np.flatnonzero(~(np.isfinite(photons) & (photons >= 0.0)))[0])
            raise InputError(
                f"{where}: photons is {photons[i]:g} in the bin {edges[i]:g} to {edges[i + 1]:g} MeV; "
                "all must be finite and >= 0"
            )
        if photons.sum() <= 0.0:
            raise InputError(f"{where}: every bin is empty; at least one needs photons")
        edges.flags.writeable = False
        photons.flags.writeable = False
        object.__setattr__(self, "edges_mev", edges)
        object.__setattr__(self, "photons", photons)

    @property
    def bin_energy_mev(self) -> FloatArray:
        """(n,) mean energy of each bin: its middle."""
        return np.asarray(0.5 * (self.edges_mev[:-1] + self.edges_mev[1:]))

    @property
    def probabilities(self) -> FloatArray:
        """(n,) photons per bin, summing to 1."""
        return np.asarray(self.photons / self.photons.sum())

    @property
    def mean_energy_mev(self) -> float:
        """Mean photon energy, by number."""
        return float(self.probabilities @ self.bin_energy_mev)

    @property
    def max_energy_mev(self) -> float:
        """Upper edge of the last bin that holds photons."""
        return float(self.edges_mev[int(np.flatnonzero(self.photons)[-1]) + 1])

    def rebinned(self, edges_mev: FloatArray) -> Spectrum:
        """The spectrum on other edges; a bin that is cut is shared by width. The edges must cover all photons."""
        edges = np.asarray(edges_mev, dtype=np.float64)
        cumulative = np.concatenate([[0.0], np.cumsum(self.photons)])
        filled = np.flatnonzero(self.photons)
        low, high = self.edges_mev[filled[0]], self.edges_mev[filled[-1] + 1]
        if edges.ndim != 1 or edges.size < 2 or edges[0] > low or edges[-1] < high:
            raise InputError(f"spectrum {self.name!r} has photons from {low:g} to {high:g} MeV; cover them")
        return Spectrum(self.name, edges, np.diff(np.interp(edges, self.edges_mev, cumulative)), self.source)

    def groups(self, count: int) -> EnergyGroups:
        """``count`` groups of equal energy fluence, each at its mean energy (8 to 14 serve a polyenergetic TERMA).

        Bins are cut where needed, photons uniform inside a bin, so number and energy are kept exactly.
        """
        if count < 1:
            raise InputError(f"groups: count is {count}; at least 1 is needed")
        low, high = self.edges_mev[:-1], self.edges_mev[1:]
        probabilities = self.probabilities
        energy_at_edges = np.concatenate([[0.0], np.cumsum(probabilities * self.bin_energy_mev)])
        targets = energy_at_edges[-1] * np.arange(1, count) / count
        # inside a bin the energy below E grows with E^2 - low^2
        i = np.clip(np.searchsorted(energy_at_edges, targets, side="right") - 1, 0, low.size - 1)
        share = (targets - energy_at_edges[i]) / (probabilities[i] * self.bin_energy_mev[i])
        cuts = np.sqrt(low[i] ** 2 + share * (high[i] ** 2 - low[i] ** 2))
        number_at_edges = np.concatenate([[0.0], np.cumsum(probabilities)])
        number = np.diff(np.concatenate([[0.0], np.interp(cuts, self.edges_mev, number_at_edges), [1.0]]))
        energy = np.diff(np.concatenate([[0.0], targets, [energy_at_edges[-1]]]))
        return EnergyGroups(energy / number, number)

    def bin_groups(self) -> EnergyGroups:
        """One group for each bin that holds photons, at the middle of the bin."""
        filled = self.photons > 0.0
        return EnergyGroups(self.bin_energy_mev[filled], self.probabilities[filled])


def spectrum_names() -> tuple[str, ...]:
    """Names of the spectra that ship with rtsim."""
    return tuple(_spectra())


def spectrum(name: str) -> Spectrum:
    """The spectrum called ``name`` (any case): mohan6, co60, sbr_varian6, ali_tuned_6FFF, ..."""
    by_name = _spectra()
    matches = {known.casefold(): known for known in by_name}
    if name.casefold() not in matches:
        raise InputError(unknown_name("spectrum", name, by_name))
    return by_name[matches[name.casefold()]]


@cache
def _spectra() -> dict[str, Spectrum]:
    sources = {row["spectrum"]: row["source"] for row in read_rows("spectrum_sources.csv")}
    bins: dict[str, list[tuple[float, float, float]]] = {}
    for row in read_rows("spectra.csv"):
        values = (float(row["energy_low_mev"]), float(row["energy_high_mev"]), float(row["photons"]))
        bins.setdefault(row["spectrum"], []).append(values)
    result = {}
    for name, rows in bins.items():
        table = np.array(rows)
        result[name] = Spectrum(name, np.append(table[:, 0], table[-1, 1]), table[:, 2], sources[name])
    return result
