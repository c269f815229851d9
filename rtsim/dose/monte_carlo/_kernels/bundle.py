"""Electrons, many at once: copies of one electron that start at different places share its history.

After Kawrakow (2001), VMC++ ("simultaneous transport of particle sets"): the copies of a bundle have one energy, lose
it in the same steps, and draw the same random numbers; each has its own place, direction and material. What depends on
the material (path length of a loss, scattering angle, whether a hard event happens) is decided for each copy in its own
material, and copies that decide differently part into bundles of their own. So every copy is a fair electron, and what
is costly is sampled once for all.

The clock of an electron is the energy that it has lost continuously. Hard events (Moller electrons and bremsstrahlung
photons above the cuts) come at a rate per MeV lost; a step of the condensed history is a loss, with the scattering of
the whole loss applied at a uniformly random point of it (random hinge). Neither stops at a border of materials: path
length and scattering follow the local medium (Sempau, Wilderman & Bielajew 2000, doi:10.1088/0031-9155/45/8/315).

A bundle is a slot of the arrays ``place`` (slots, copies, 6), ``voxel`` (slots, copies, 3), ``origin`` (slots, copies):
which copy of the first bundle it is; and ``energy``, ``count``, ``positron`` (slots,).
"""

from __future__ import annotations

import math

from numba import njit

from rtsim.dose.monte_carlo._kernels.interactions import bremsstrahlung, moller
from rtsim.dose.monte_carlo._kernels.random import uniform
from rtsim.dose.monte_carlo._kernels.scattering import scatter
from rtsim.dose.monte_carlo._kernels.walk import between_crossings_mm, lose_energy, material_at, material_of, turn

_ELECTRON_REST_MEV = 0.51099895


@njit(nogil=True, error_model="numpy", _nrt=False)
def copy_particle(place, voxel, origin, from_slot, from_copy, to_slot, to_copy):
    """Write one copy over another."""
    for n in range(6):
        place[to_slot, to_copy, n] = place[from_slot, from_copy, n]
    for n in range(3):
        voxel[to_slot, to_copy, n] = voxel[from_slot, from_copy, n]
    origin[to_slot, to_copy] = origin[from_slot, from_copy]


@njit(nogil=True, error_model="numpy", _nrt=False)
def push_photon(photons, cells, waiting, energy, weight, place, voxel):
    """Put a photon on the stack; returns how many wait."""
    photons[waiting, 0] = energy
    photons[waiting, 7] = weight
    for n in range(6):
        photons[waiting, 1 + n] = place[n]
    for n in range(3):
        cells[waiting, n] = voxel[n]
    return waiting + 1


@njit(nogil=True, error_model="numpy", _nrt=False)
def push_turned_photon(photons, cells, waiting, energy, weight, place, voxel, cosine, azimuth):
    """The same, turned from the direction of ``place`` by a polar angle and an azimuth."""
    push_photon(photons, cells, waiting, energy, weight, place, voxel)
    sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
    turn(photons[waiting, 1:7], cosine, sine, math.cos(azimuth), math.sin(azimuth))
    return waiting + 1


@njit(nogil=True, error_model="numpy", _nrt=False)
def chosen_copy(origin, slot, count, wanted):
    """Which copy of a slot came from copy ``wanted`` of the first bundle; -1 when it is no longer there."""
    for c in range(count):
        if origin[slot, c] == wanted:
            return c
    return -1


@njit(nogil=True, error_model="numpy", _nrt=False)
def walk(slot, loss, weight, bundles, medium, table, deposited, tallies, rate, score):
    """All copies of a slot go straight on and lose ``loss`` MeV; those that leave the grid are gone."""
    place, voxel, origin, energy, count, positron = bundles
    code, density_unit, shape, per_voxel = medium
    log_min, per_log, stopping, _, _, water, _, _ = table
    x = (math.log(energy[slot] - 0.5 * loss) - log_min) * per_log
    node = int(x)
    share = x - node
    for m in range(rate.shape[0]):
        rate[m] = density_unit * (stopping[node, m] + share * (stopping[node + 1, m] - stopping[node, m]))
        score[m] = water[node, m] + share * (water[node + 1, m] - water[node, m])
    energy[slot] -= loss
    carried = energy[slot] + (2.0 * _ELECTRON_REST_MEV if positron[slot] else 0.0)
    u, v, w = 2.0, 2.0, 2.0
    per_x, per_y, per_z, every_x, every_y, every_z = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    kept = 0
    for c in range(count[slot]):
        at = place[slot, c]
        if at[3] != u or at[4] != v or at[5] != w:  # in one material all copies have the same direction, to the bit
            u, v, w = at[3], at[4], at[5]
            per_x, per_y, per_z = u * per_voxel[0], v * per_voxel[1], w * per_voxel[2]
            every_x, every_y, every_z = (
                between_crossings_mm(per_x),
                between_crossings_mm(per_y),
                between_crossings_mm(per_z),
            )
        left = lose_energy(
            at, voxel[slot, c], loss, per_x, per_y, per_z, every_x, every_y, every_z, rate, score, weight, code, shape,
            deposited,
        )  # fmt: skip
        if left >= 0.0:
            tallies[1] += weight * (carried + left)
            continue
        if kept != c:
            copy_particle(place, voxel, origin, slot, c, slot, kept)
        kept += 1
    count[slot] = kept


@njit(nogil=True, error_model="numpy", _nrt=False)
def shortest_step(slot, longest, node, bundles, medium, step):
    """The loss of the next step: what the copies' materials allow at the energy of a node, ``longest`` at most.

    A direction must not turn too far in a step. It counts where a copy is: one that has just left metal takes longer
    steps again.
    """
    _, voxel, _, _, count, _ = bundles
    code, _, shape, _ = medium
    before = -1
    for c in range(count[slot]):
        m = material_at(code, voxel[slot, c], shape)
        if m != before:
            longest = min(longest, step[node, m])
            before = m
    return longest


@njit(nogil=True, error_model="numpy", _nrt=False)
def hinge(slot, loss, x, state, bundles, medium, table, scattering, cosines, known):
    """Turn all copies of a slot by the multiple scattering of a loss of ``loss`` MeV about the energy at node ``x``.

    The geometric mean of the energies before and after, half way in nodes, gives the first moment within 0.2 % for
    losses of 20 %.
    """
    place, voxel, _, _, count, _ = bundles
    code, _, shape, _ = medium
    elastic = table[4]
    node = int(x)
    share = x - node
    known[:] = False
    u_1, u_2 = uniform(state), uniform(state)
    azimuth = 2.0 * math.pi * uniform(state)
    cos_azimuth, sin_azimuth = math.cos(azimuth), math.sin(azimuth)
    u, v, w, medium_before, like = 2.0, 2.0, 2.0, -1, 0
    for c in range(count[slot]):
        at = place[slot, c]
        m = material_at(code, voxel[slot, c], shape)
        if m == medium_before and at[3] == u and at[4] == v and at[5] == w:  # as the copy before it
            for n in range(3, 6):
                at[n] = place[slot, like, n]
            continue
        if not known[m]:
            known[m] = True
            collisions = loss * (elastic[node, m, 0] + share * (elastic[node + 1, m, 0] - elastic[node, m, 0]))
            eta = elastic[node, m, 1] + share * (elastic[node + 1, m, 1] - elastic[node, m, 1])
            one_minus = scatter(collisions, eta, u_1, u_2, scattering)
            cosines[m, 0] = 1.0 - one_minus
            cosines[m, 1] = math.sqrt(one_minus * (2.0 - one_minus))
        u, v, w, medium_before, like = at[3], at[4], at[5], m, c
        turn(at, cosines[m, 0], cosines[m, 1], cos_azimuth, sin_azimuth)


@njit(nogil=True, error_model="numpy", _nrt=False)
def part_bundle(slot, top, chance, state, bundles, medium, hard_here, classes):
    """Which copies have a hard event: each by its own material's rates over the largest.

    When all have the same, they stay where they are; otherwise those with one part into new slots, from ``top`` on.

    Args:
        chance: the largest rate per MeV of any material, at which this event was drawn.
        hard_here: (materials, 2) rates per MeV of Moller and bremsstrahlung events at the energy of the bundle.

    Returns:
        The slots of the copies with a Moller event and of those with bremsstrahlung, -1 for none; the new top.
    """
    place, voxel, origin, energy, count, positron = bundles
    code, _, shape, _ = medium
    drawn = uniform(state) * chance
    knocked, radiated, kept = 0, 0, 0
    for c in range(count[slot]):
        m = material_at(code, voxel[slot, c], shape)
        if drawn < hard_here[m, 0]:
            classes[c] = 1
            knocked += 1
        elif drawn < hard_here[m, 0] + hard_here[m, 1]:
            classes[c] = 2
            radiated += 1
        else:
            classes[c] = 0
    if knocked + radiated == 0:
        return -1, -1, top
    if knocked == count[slot]:
        return slot, -1, top
    if radiated == count[slot]:
        return -1, slot, top
    knocked_slot, radiated_slot = -1, -1
    if knocked > 0:
        knocked_slot = top
        top += 1
    if radiated > 0:
        radiated_slot = top
        top += 1
    a, b = 0, 0
    for c in range(count[slot]):
        if classes[c] == 1:
            copy_particle(place, voxel, origin, slot, c, knocked_slot, a)
            a += 1
        elif classes[c] == 2:
            copy_particle(place, voxel, origin, slot, c, radiated_slot, b)
            b += 1
        else:
            if kept != c:
                copy_particle(place, voxel, origin, slot, c, slot, kept)
            kept += 1
    count[slot] = kept
    for there, copies in ((knocked_slot, knocked), (radiated_slot, radiated)):
        if copies > 0:
            count[there], energy[there], positron[there] = copies, energy[slot], positron[slot]
    return knocked_slot, radiated_slot, top


@njit(nogil=True, error_model="numpy", _nrt=False)
def knock_on(slot, top, electron_cut, state, bundles):
    """A Moller event of all copies of a slot: the knocked-on electrons become slot ``top``."""
    place, voxel, origin, energy, count, positron = bundles
    secondary, cos_primary, cos_secondary = moller(energy[slot], electron_cut, state)
    azimuth = 2.0 * math.pi * uniform(state)
    cos_azimuth, sin_azimuth = math.cos(azimuth), math.sin(azimuth)
    sin_primary = math.sqrt(max(0.0, 1.0 - cos_primary * cos_primary))
    sin_secondary = math.sqrt(max(0.0, 1.0 - cos_secondary * cos_secondary))
    for c in range(count[slot]):
        copy_particle(place, voxel, origin, slot, c, top, c)
        turn(place[top, c], cos_secondary, sin_secondary, -cos_azimuth, -sin_azimuth)
        turn(place[slot, c], cos_primary, sin_primary, cos_azimuth, sin_azimuth)
    count[top], energy[top], positron[top] = count[slot], secondary, False
    energy[slot] -= secondary


@njit(nogil=True, error_model="numpy", _nrt=False)
def radiate(slot, photon_cut, weight, split, state, bundles, brems, log_min, per_log, photons, cells, waiting):
    """A bremsstrahlung event of all copies of a slot: they lose the photon's energy; the photon of one of all copies,
    chosen evenly, goes on with the weight of all."""
    place, voxel, origin, energy, count, _ = bundles
    photon, cosine = bremsstrahlung(energy[slot], photon_cut, brems, log_min, per_log, state)
    azimuth = 2.0 * math.pi * uniform(state)
    energy[slot] -= photon
    c = chosen_copy(origin, slot, count[slot], int(uniform(state) * split))
    if c >= 0:
        waiting = push_turned_photon(
            photons, cells, waiting, photon, weight * split, place[slot, c], voxel[slot, c], cosine, azimuth
        )
    return waiting


@njit(nogil=True, error_model="numpy", _nrt=False)
def stop_bundle(slot, weight, split, state, bundles, medium, score_at_cut, deposited, photons, cells, waiting):
    """The end of the tracks: what energy is left stays where it is; positrons annihilate at rest."""
    place, voxel, origin, energy, count, positron = bundles
    code, _, shape, _ = medium
    for c in range(count[slot]):
        cell = voxel[slot, c]
        index = (cell[2] * shape[1] + cell[1]) * shape[2] + cell[0]
        deposited[index] += weight * energy[slot] * score_at_cut[material_of(code[index])]
    if positron[slot]:
        cosine, azimuth = 2.0 * uniform(state) - 1.0, 2.0 * math.pi * uniform(state)
        c = chosen_copy(origin, slot, count[slot], int(uniform(state) * split))
        if c >= 0:
            for direction in (1.0, -1.0):
                at = waiting
                waiting = push_photon(
                    photons, cells, waiting, _ELECTRON_REST_MEV, weight * split, place[slot, c], voxel[slot, c]
                )
                sine = math.sqrt(max(0.0, 1.0 - cosine * cosine))
                photons[at, 4] = direction * sine * math.cos(azimuth)
                photons[at, 5] = direction * sine * math.sin(azimuth)
                photons[at, 6] = direction * cosine
    count[slot] = 0
    return waiting


@njit(nogil=True, error_model="numpy", _nrt=False)
def transport_bundles(
    top,
    weight,
    split,
    settings,
    state,
    bundles,
    medium,
    table,
    scattering,
    deposited,
    tallies,
    work,
    photons,
    cells,
    waiting,
):
    """Bring every bundle below slot ``top``, and all that they set in motion, to its end; returns how many photons
    wait.

    Each time round, the last slot goes on until others part from it or are knocked on: they stand above it, come next,
    and are done before it goes on.
    """
    _, _, _, energy, count, _ = bundles
    electron_cut, photon_cut, largest_loss = settings[0], settings[1], settings[2]
    log_min, per_log, _, hard, _, _, most, step = table
    hard_here, classes, score_at_cut = work[4], work[5], work[6]
    while top > 0:
        slot = top - 1
        if count[slot] == 0:
            top -= 1
            continue
        ahead = 0.0  # of the last step, what its hinge left to lose
        x = (math.log(energy[slot]) - log_min) * per_log if energy[slot] > electron_cut else 0.0
        while count[slot] > 0:
            if top + 3 > count.shape[0] or waiting + 3 > photons.shape[0]:
                tallies[2] += 1.0
                count[:] = 0
                return waiting
            now = energy[slot] - ahead
            if now <= electron_cut:
                if ahead > 0.0:
                    walk(slot, ahead, weight, bundles, medium, table, deposited, tallies, work[0], work[1])
                waiting = stop_bundle(
                    slot, weight, split, state, bundles, medium, score_at_cut, deposited, photons, cells, waiting
                )
                break
            node = int(x)
            chance = most[node + 1]
            loss = shortest_step(slot, largest_loss * now, node, bundles, medium, step)
            loss = min(loss, now - electron_cut)
            until_hard = -math.log(uniform(state)) / max(chance, 1e-30)
            is_hard = until_hard < loss
            if is_hard:
                loss = until_hard
            before = uniform(state) * loss
            walk(slot, ahead + before, weight, bundles, medium, table, deposited, tallies, work[0], work[1])
            before_x, x = x, (math.log(now - loss) - log_min) * per_log
            middle_x = 0.5 * (before_x + x)
            hinge(slot, loss, middle_x, state, bundles, medium, table, scattering, work[2], work[3])
            ahead = loss - before
            if not is_hard:
                continue
            walk(slot, ahead, weight, bundles, medium, table, deposited, tallies, work[0], work[1])
            ahead = 0.0
            if count[slot] == 0:
                continue
            node = int(x)
            share = x - node
            for m in range(hard_here.shape[0]):
                for n in range(2):
                    least = 2.0 * electron_cut if n == 0 else photon_cut
                    rate = hard[node, m, n] + share * (hard[node + 1, m, n] - hard[node, m, n])
                    hard_here[m, n] = rate if energy[slot] > least else 0.0
            knocked_slot, radiated_slot, top = part_bundle(
                slot, top, chance, state, bundles, medium, hard_here, classes
            )
            if radiated_slot >= 0:
                waiting = radiate(
                    radiated_slot, photon_cut, weight, split, state, bundles, work[7], log_min, per_log, photons, cells,
                    waiting,
                )  # fmt: skip
            if knocked_slot >= 0:
                knock_on(knocked_slot, top, electron_cut, state, bundles)
                top += 1
            x = (math.log(max(energy[slot], 1e-9)) - log_min) * per_log
            if top > slot + 1:
                break  # the least energies and the fewest copies come first, so that few bundles wait
    return waiting
