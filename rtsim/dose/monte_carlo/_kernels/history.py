"""Histories: from the photon of the source to everything that it sets in motion, and the entry point ``simulate``.

A photon of weight 1 is traced once through the voxels; ``split`` sites of interaction of weight 1/split are laid along
its ray at optical depths -ln(1 - (n + xi) / split), n = 0 .. split - 1 (Kawrakow & Fippel 2000,
doi:10.1088/0031-9155/45/8/308): as many as there is chance to interact, evenly. One interaction is sampled for all of
them, and its electrons travel as one bundle. Of the scattered photons one, chosen evenly from all ``split``, goes on
with weight 1. ``split = 1`` is the plain simulation, in which every history keeps its energy to the last digit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rtsim.dose.monte_carlo._kernels import fingerprint
from rtsim.dose.monte_carlo._kernels.bundle import push_photon, push_turned_photon, transport_bundles
from rtsim.dose.monte_carlo._kernels.interactions import compton, pair, photo
from rtsim.dose.monte_carlo._kernels.random import seed_history, uniform
from rtsim.dose.monte_carlo._kernels.walk import (
    between_crossings_mm,
    counts_of,
    entry_mm,
    first_crossing_mm,
    material_at,
    material_of,
    turn,
)

_SLOTS = 96
_PHOTONS = 1024
_LEAST_MEV = 0.010001
_MOST_MEV = 24.99

COMPTON, PAIR, PHOTO, RAYLEIGH = 0, 1, 2, 3


@njit(nogil=True, error_model="numpy", _nrt=False)
def lay_sites(place, cell, attenuation, split, state, medium, bundles):
    """Trace a photon to the end of the grid and put its sites of interaction into slot 0.

    Args:
        place: (6,) where it is, in voxels, and direction.
        cell: (3,) its voxel.
        attenuation: (materials,) per mm and unit of density.

    Returns:
        How many of the ``split`` sites lie inside the grid.
    """
    code, _, shape, per_voxel = medium
    sites, cells, origin, _, _, _ = bundles
    nz, ny, nx = shape[0], shape[1], shape[2]
    x, y, z = place[0], place[1], place[2]
    per_x, per_y, per_z = place[3] * per_voxel[0], place[4] * per_voxel[1], place[5] * per_voxel[2]
    i, j, k = cell[0], cell[1], cell[2]
    every_x, every_y, every_z = between_crossings_mm(per_x), between_crossings_mm(per_y), between_crossings_mm(per_z)
    to_x = first_crossing_mm(x, i, per_x, every_x)
    to_y = first_crossing_mm(y, j, per_y, every_y)
    to_z = first_crossing_mm(z, k, per_z, every_z)
    step_i, step_j, step_k = 1 if per_x > 0.0 else -1, 1 if per_y > 0.0 else -1, 1 if per_z > 0.0 else -1
    drawn = uniform(state)
    found, path, depth = 0, 0.0, 0.0
    wanted = -math.log(1.0 - drawn / split)
    index = (k * ny + j) * nx + i
    while True:
        per_mm = counts_of(code[index]) * attenuation[material_of(code[index])]
        ahead = min(to_x, to_y, to_z)
        behind = depth + (ahead - path) * per_mm
        while wanted < behind:
            at = path + (wanted - depth) / per_mm
            sites[0, found, 0], sites[0, found, 1], sites[0, found, 2] = x + per_x * at, y + per_y * at, z + per_z * at
            cells[0, found, 0], cells[0, found, 1], cells[0, found, 2] = i, j, k
            origin[0, found] = found
            found += 1
            if found == split:
                return found
            wanted = -math.log(1.0 - (found + drawn) / split)
        depth, path = behind, ahead
        if to_x <= to_y and to_x <= to_z:
            to_x += every_x
            i += step_i
            if i < 0 or i == nx:
                return found
            index += step_i
        elif to_y <= to_z:
            to_y += every_y
            j += step_j
            if j < 0 or j == ny:
                return found
            index += step_j * nx
        else:
            to_z += every_z
            k += step_k
            if k < 0 or k == nz:
                return found
            index += step_k * nx * ny


@njit(nogil=True, error_model="numpy", _nrt=False)
def find_site(place, attenuation, densest, state, medium, bundles):
    """The one site of a photon of weight as it is, by Woodcock tracking: a fifth of the time of tracing the ray.

    Free paths are drawn in a medium as strong everywhere as the strongest voxel can be; an end of a path is a site with
    the chance of its own voxel's share in that (Woodcock et al. 1965, ANL-7050).

    Args:
        densest: (materials,) largest density of a voxel of each material.

    Returns:
        1 with the site in slot 0, 0 when the photon leaves the grid.
    """
    code, _, shape, per_voxel = medium
    sites, cells, origin, _, _, _ = bundles
    per_x, per_y, per_z = place[3] * per_voxel[0], place[4] * per_voxel[1], place[5] * per_voxel[2]
    strongest = 0.0
    for m in range(attenuation.shape[0]):
        strongest = max(strongest, attenuation[m] * densest[m])
    path = 0.0
    while True:
        path -= math.log(uniform(state)) / strongest
        x, y, z = place[0] + per_x * path, place[1] + per_y * path, place[2] + per_z * path
        if not (0.0 <= x < shape[2] and 0.0 <= y < shape[1] and 0.0 <= z < shape[0]):
            return 0
        i, j, k = int(x), int(y), int(z)
        here = code[(k * shape[1] + j) * shape[2] + i]
        if uniform(state) * strongest < counts_of(here) * attenuation[material_of(here)]:
            break
    sites[0, 0, 0], sites[0, 0, 1], sites[0, 0, 2] = x, y, z
    cells[0, 0, 0], cells[0, 0, 1], cells[0, 0, 2] = i, j, k
    origin[0, 0] = 0
    return 1


@njit(nogil=True, error_model="numpy", _nrt=False)
def deposit_here(slot, energy_mev, weight, score_at_cut, bundles, medium, deposited):
    """Leave energy with the copies of a slot."""
    _, cells, _, _, count, _ = bundles
    code, _, shape, _ = medium
    for c in range(count[slot]):
        index = (cells[slot, c, 2] * shape[1] + cells[slot, c, 1]) * shape[2] + cells[slot, c, 0]
        deposited[index] += weight * energy_mev * score_at_cut[material_of(code[index])]


@njit(nogil=True, error_model="numpy", _nrt=False)
def aim(slot, direction, cosine, azimuth, bundles):
    """Give every copy of a slot the same direction: ``direction`` (3,) turned by a polar angle and an azimuth."""
    place, _, _, _, count, _ = bundles
    if count[slot] == 0:
        return
    place[slot, 0, 3], place[slot, 0, 4], place[slot, 0, 5] = direction[0], direction[1], direction[2]
    turn(place[slot, 0], cosine, math.sqrt(max(0.0, 1.0 - cosine * cosine)), math.cos(azimuth), math.sin(azimuth))
    for c in range(1, count[slot]):
        for n in range(3, 6):
            place[slot, c, n] = place[slot, 0, n]


@njit(nogil=True, error_model="numpy", _nrt=False)
def part_sites(found, node, share, state, bundles, medium, shares, kinds):
    """Which process at which site: one random number against each site's own material.

    The sites of Compton scatter stay in slot 0; pairs go to slot 1, photoabsorptions to slot 2, coherent scatter to 3.
    """
    place, cells, origin, _, count, _ = bundles
    code, _, shape, _ = medium
    drawn = uniform(state)
    for slot in range(4):
        count[slot] = 0
    for c in range(found):
        m = material_at(code, cells[0, c], shape)
        kinds[c] = RAYLEIGH
        for process in range(3):
            below = shares[node, m, 1 + process] * (1.0 - share) + shares[node + 1, m, 1 + process] * share
            if drawn < below:
                kinds[c] = process
                break
    for c in range(found):
        slot = kinds[c]
        to = count[slot]
        count[slot] = to + 1
        if slot == 0 and to == c:
            continue
        for n in range(3):
            place[slot, to, n] = place[0, c, n]
            cells[slot, to, n] = cells[0, c, n]
        origin[slot, to] = origin[0, c]


@njit(nogil=True, error_model="numpy", _nrt=False)
def site_of(slot, wanted, bundles):
    """The copy of a slot that is site number ``wanted``; -1 when there is none."""
    _, _, origin, _, count, _ = bundles
    for c in range(count[slot]):
        if origin[slot, c] == wanted:
            return c
    return -1


@njit(nogil=True, error_model="numpy", _nrt=False)
def scatter_incoherently(
    photon_mev, direction, wanted, split, weight, settings, state, bundles, medium, score_at_cut, deposited, photons,
    cells, waiting, place,
):  # fmt: skip
    """Compton scatter at the sites of slot 0: aim their electron, and send one of the scattered photons on."""
    sites, site_cells, _, energy, _, positron = bundles
    scattered, cos_photon, kinetic, cos_electron = compton(photon_mev, state)
    azimuth = 2.0 * math.pi * uniform(state)
    if scattered <= settings[1]:
        deposit_here(0, scattered, weight, score_at_cut, bundles, medium, deposited)
    else:
        c = site_of(0, wanted, bundles)
        if c >= 0:
            for n in range(3):
                place[n] = sites[0, c, n]
                place[3 + n] = direction[n]
            # a photon that carries little is followed less often, with as much more weight
            target = max(weight * split, settings[3] / scattered)
            if uniform(state) * target < weight * split:
                waiting = push_turned_photon(
                    photons, cells, waiting, scattered, target, place, site_cells[0, c], cos_photon, azimuth + math.pi
                )
    energy[0], positron[0] = kinetic, False
    aim(0, direction, cos_electron, azimuth, bundles)
    return waiting


@njit(nogil=True, error_model="numpy", _nrt=False)
def make_pair(photon_mev, direction, top, state, bundles):
    """Pair production at the sites of slot 1: their electron stays there, their positron becomes slot ``top``."""
    place, cells, origin, energy, count, positron = bundles
    kinetic_electron, cos_electron, kinetic_positron, cos_positron = pair(photon_mev, state)
    azimuth = 2.0 * math.pi * uniform(state)
    for c in range(count[1]):
        for n in range(3):
            place[top, c, n] = place[1, c, n]
            cells[top, c, n] = cells[1, c, n]
        origin[top, c] = origin[1, c]
    count[top] = count[1]
    energy[1], positron[1] = kinetic_electron, False
    energy[top], positron[top] = kinetic_positron, True
    aim(1, direction, cos_electron, azimuth, bundles)
    aim(top, direction, cos_positron, azimuth + math.pi, bundles)


@njit(nogil=True, error_model="numpy", _nrt=False)
def sites_of(photon_mev, most_sites, all_from_mev):
    """Sites of interaction of a photon: in proportion to its energy, where the cost of a site is best spent."""
    return max(1, min(most_sites, int(most_sites * photon_mev / all_from_mev + 0.5)))


@njit(nogil=True, error_model="numpy", _nrt=False)
def follow_photon(
    most_sites, settings, state, bundles, medium, table, photon_tables, scattering, deposited, tallies, work, photons,
    cells, waiting, place, cell, direction, kinds,
):  # fmt: skip
    """The last photon of the stack and all electrons that it sets in motion; returns how many photons wait."""
    _, _, _, energy, count, positron = bundles
    log_min, per_log = table[0], table[1]
    attenuations, shares, densest = photon_tables
    attenuation, score_at_cut = work[8], work[6]
    waiting -= 1
    photon_mev = photons[waiting, 0]
    split = sites_of(photon_mev, most_sites, settings[4])
    weight = photons[waiting, 7] / split
    for n in range(6):
        place[n] = photons[waiting, 1 + n]
    for n in range(3):
        cell[n] = cells[waiting, n]
        direction[n] = place[3 + n]
    x = (math.log(photon_mev) - log_min) * per_log
    node = int(x)
    share = x - node
    for m in range(attenuation.shape[0]):
        attenuation[m] = medium[1] * (
            attenuations[node, m] + share * (attenuations[node + 1, m] - attenuations[node, m])
        )
    if split == 1:
        found = find_site(place, attenuation, densest, state, medium, bundles)
    else:
        found = lay_sites(place, cell, attenuation, split, state, medium, bundles)
    tallies[1] += photon_mev * (split - found) * weight
    if found == 0:
        return waiting
    part_sites(found, node, share, state, bundles, medium, shares, kinds)
    wanted = int(uniform(state) * split)
    top = 3
    if count[0] > 0:
        waiting = scatter_incoherently(
            photon_mev, direction, wanted, split, weight, settings, state, bundles, medium, score_at_cut, deposited,
            photons, cells, waiting, place,
        )  # fmt: skip
    if count[2] > 0:
        kinetic, cosine = photo(photon_mev, state)
        energy[2], positron[2] = kinetic, False
        aim(2, direction, cosine, 2.0 * math.pi * uniform(state), bundles)
    if count[3] > 0:  # a lookup that rounds below 1 leaves a rest: such a photon goes on as it was
        c = site_of(3, wanted, bundles)
        if c >= 0:
            sites, site_cells = bundles[0], bundles[1]
            for n in range(3):
                place[n] = sites[3, c, n]
                place[3 + n] = direction[n]
            waiting = push_photon(photons, cells, waiting, photon_mev, weight * split, place, site_cells[3, c])
        count[3] = 0
    if count[1] > 0:
        make_pair(photon_mev, direction, top, state, bundles)
        top += 1
    return transport_bundles(
        top, weight, split, settings, state, bundles, medium, table, scattering, deposited, tallies, work, photons,
        cells, waiting,
    )  # fmt: skip


@njit(nogil=True, error_model="numpy", _nrt=False)
def first_above(cumulative, first, last, value):
    """The first n in [first, last) with cumulative[n] > value; last - 1 when there is none."""
    last -= 1
    while first < last:
        middle = (first + last) // 2
        if cumulative[middle] > value:
            last = middle
        else:
            first = middle + 1
    return first


@njit(nogil=True, error_model="numpy", _nrt=False)
def draw_photon(part, source, state, place):
    """A photon of the source: ``place`` becomes its focus (LPS mm) and direction. Returns its energy in MeV.

    Args:
        part: 0 to 1, where in the running sum of photons over all pixels of all maps.
    """
    rotation, focus, sad, raster, start, cumulative, spectrum_of, edges, energies, radius_step = source
    value = part * cumulative[-1]
    pixel = first_above(cumulative, 0, cumulative.shape[0], value)
    n = first_above(start, 1, start.shape[0], pixel) - 1
    columns = int(raster[n, 3])
    row, column = divmod(pixel - start[n], columns)
    x = raster[n, 0] + (column + uniform(state)) * raster[n, 2]
    y = raster[n, 1] + (row + uniform(state)) * raster[n, 2]
    scale = 1.0 / math.sqrt(x * x + y * y + sad[n] * sad[n])
    for axis in range(3):
        place[axis] = focus[n, axis]
        place[3 + axis] = scale * (rotation[n, axis, 0] * x + rotation[n, axis, 1] * y - rotation[n, axis, 2] * sad[n])
    group = spectrum_of[n]
    radius = int(math.sqrt(x * x + y * y) / radius_step + uniform(state))
    radius = min(radius, energies.shape[1] - 1)
    bin_ = first_above(energies[group, radius], 0, energies.shape[2], uniform(state))
    energy = edges[group, bin_] + (edges[group, bin_ + 1] - edges[group, bin_]) * uniform(state)
    return min(max(energy, _LEAST_MEV), _MOST_MEV)


@njit(nogil=True, error_model="numpy", _nrt=False)
def enter(place, cell, medium, lower_mm):
    """Bring a photon from its focus (LPS mm) to the first voxel that it meets, in voxel units; False when it misses."""
    _, _, shape, per_voxel = medium
    for axis in range(3):
        place[axis] = (place[axis] - lower_mm[axis]) * per_voxel[axis]
    per_x, per_y, per_z = place[3] * per_voxel[0], place[4] * per_voxel[1], place[5] * per_voxel[2]
    path = entry_mm(place[0], place[1], place[2], per_x, per_y, per_z, shape)
    if path < 0.0:
        return False
    place[0] += per_x * path
    place[1] += per_y * path
    place[2] += per_z * path
    for axis in range(3):
        cell[axis] = min(max(math.floor(place[axis]), 0), shape[2 - axis] - 1)
    return True


@njit(nogil=True, error_model="numpy")
def run_lane(
    seed, first, histories, split, settings, medium, lower_mm, source, table, photon_tables, scattering, brems,
    score_at_cut, deposited, tallies,
):  # fmt: skip
    """One batch: histories ``first`` .. ``first + histories - 1``; they share the field evenly among them."""
    materials = score_at_cut.shape[0]
    state = np.zeros(2, np.uint64)
    bundles = (
        np.empty((_SLOTS, split, 6)),
        np.empty((_SLOTS, split, 3), np.int64),
        np.empty((_SLOTS, split), np.int64),
        np.zeros(_SLOTS),
        np.zeros(_SLOTS, np.int64),
        np.zeros(_SLOTS, np.bool_),
    )
    work = (
        np.empty(materials),
        np.empty(materials),
        np.empty((materials, 2)),
        np.empty(materials, np.bool_),
        np.empty((materials, 2)),
        np.empty(split, np.int64),
        score_at_cut,
        brems,
        np.empty(materials),
    )
    photons, cells = np.empty((_PHOTONS, 8)), np.empty((_PHOTONS, 3), np.int64)
    place, cell, direction, kinds = np.empty(6), np.empty(3, np.int64), np.empty(3), np.empty(split, np.int64)
    for n in range(histories):
        seed_history(state, seed, first + n)
        energy = draw_photon((n + uniform(state)) / histories, source, state, place)
        tallies[0] += energy
        tallies[3] += 1.0
        if not enter(place, cell, medium, lower_mm):
            tallies[1] += energy
            continue
        waiting = push_photon(photons, cells, 0, energy, 1.0, place, cell)
        while waiting > 0:
            waiting = follow_photon(
                split, settings, state, bundles, medium, table, photon_tables, scattering, deposited, tallies, work,
                photons, cells, waiting, place, cell, direction, kinds,
            )  # fmt: skip


def _compiled(key):
    """``simulate``, with the hash of all kernel files in its cache key."""

    @njit(cache=True, nogil=True, error_model="numpy")
    def simulate(
        seed, first, histories, split, settings, medium, lower_mm, source, table, photon_tables, scattering, brems,
        score_at_cut, deposited, tallies, first_batch, stop_batch,
    ):  # fmt: skip
        """Batches of histories, each with its own array of deposited energy, so that any thread may run any of them.

        Args:
            seed, first: of the run, and the number of its first history here, both >= 0.
            histories: of each batch; batch n holds histories first + n * histories and on.
            split: sites of interaction of a photon.
            settings: (5,) cut of electrons and of photons in MeV; largest fraction of its energy that an electron loses
                in a step; energy below which scattered photons play roulette; energy from which a photon has all of its
                sites.
            medium: code of density and material (voxels,) uint32, g/cm3 of a unit of density, shape (nz, ny, nx),
                voxels per mm along x, y, z.
            lower_mm: (3,) lower corner of the grid, LPS mm.
            source: arrays of ``Source``.
            table: ln E of the first node; nodes per ln E; restricted stopping power (nodes, materials) in MeV per mm
                and g/cm3; rates per MeV of hard events (nodes, materials, 2); collisions per MeV and screening
                (nodes, materials, 2); factor from dose to what is scored (nodes, materials); largest rate (nodes,);
                largest loss of a step (nodes, materials).
            photon_tables: attenuation (nodes, materials) per mm and g/cm3, the photon table itself, and the largest
                density (materials,) of a voxel of each material, in units of density.
            scattering, brems: tables of the angle of multiple scattering, and of bremsstrahlung.
            score_at_cut: (materials,) factor on energy that is deposited on the spot.
            deposited: (batches, voxels) MeV, added to.
            tallies: (batches, 4) MeV incident, MeV escaped, overflows of the stacks, photons of the source; added to.
            first_batch, stop_batch: which batches to run.
        """
        if key == "":
            return
        for lane in range(first_batch, stop_batch):
            run_lane(
                seed, first + lane * histories, histories, split, settings, medium, lower_mm, source, table,
                photon_tables, scattering, brems, score_at_cut, deposited[lane], tallies[lane],
            )  # fmt: skip

    return simulate


simulate = _compiled(fingerprint())
