"""Nuclei without a learned model: haematoxylin, a local threshold, a watershed, pieces joined by their shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_aln.nuclei.splitting import split, support, hull_area
from napari_aln.nuclei.stain import MIN_CONTRAST, Stain, fit_stain, haematoxylin

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Int32 = NDArray[np.int32]
    Float32 = NDArray[np.float32]

P = dict(work=0.5, sig=0.75, win=25.0, prior=0.15, frac=0.45, dsig=0.5, alpha=0.0, amin=10., amax=400., sol=0.75, con=0.05, full=0.3, glob=0.0, open=1, grow=0.0)


def segment_classical(rgb, mpp):
    p = P
    stain = fit_stain([rgb])
    h, w = rgb.shape[:2]
    out = np.zeros((h, w), np.int32)
    if stain.contrast < MIN_CONTRAST or min(h, w) < 4:
        return out
    f = max(1, round(p["work"] / mpp))
    um = mpp * f
    dens = haematoxylin(rgb, stain)
    work = shrink(dens, f)
    sm = ndimage.gaussian_filter(work, p["sig"] / um, truncate=3.0)
    thr = local_threshold(sm, stain, p["win"] / um)
    margin = sm - thr
    mask = margin > 0
    if p["open"]:
        r = p["open"] / um
        n = int(r)
        yy, xx = np.mgrid[-n:n+1, -n:n+1]
        mask = ndimage.binary_opening(mask, structure=np.hypot(yy, xx) <= r + 0.01)
    mask = fill(mask, 12.0 / um**2)
    dist = ndimage.distance_transform_edt(mask).astype(np.float32)
    surf = ndimage.gaussian_filter(dist, p["dsig"] / um) 
    if p["alpha"]:
        surf += p["alpha"] / um * np.clip(margin / stain.contrast, 0, 1.5)
    lab = split(mask, surf, p["amax"] / um**2)
    lab = clean(lab, sm, thr, um, stain)
    if f == 1:
        return lab[:h, :w]
    big = np.repeat(np.repeat(grown(lab), f, 0), f, 1)[:h, :w]
    if p["full"]:
        d = ndimage.gaussian_filter(dens, p["full"] / mpp, truncate=3.0)
        t = np.asarray(Image.fromarray(thr).resize((thr.shape[1] * f, thr.shape[0] * f), Image.Resampling.BILINEAR))[:h, :w]
        return np.where(d > t, big, 0)
    t = np.asarray(Image.fromarray(margin).resize((thr.shape[1] * f, thr.shape[0] * f), Image.Resampling.BILINEAR))[:h, :w]
    return np.where(t > 0, big, 0)


def grown(lab):
    return np.where(lab > 0, lab, ndimage.maximum_filter(lab, size=3))


def fill(mask, most):
    holes, _ = ndimage.label(~mask)
    small = np.bincount(holes.ravel()) <= most
    small[0] = True
    return small[holes]


def clean(lab, sm, thr, um, stain):
    p = P
    n = int(lab.max())
    flat = lab.ravel()
    area = np.bincount(flat, minlength=n + 1)
    con = np.bincount(flat, weights=(sm - thr).ravel(), minlength=n + 1) / np.maximum(area, 1)
    sol = area / np.maximum(hull_area(support(lab, n)), 1)
    keep = (area >= p["amin"] / um**2) & (area <= p["amax"] / um**2) & (con > p["con"] * stain.contrast) & (sol > p["sol"])
    keep[0] = False
    new = np.zeros(n + 1, np.int32)
    new[keep] = np.arange(1, keep.sum() + 1)
    return new[lab]


def shrink(dens, f):
    if f == 1:
        return dens
    h, w = dens.shape
    H, W = -(-h // f) * f, -(-w // f) * f
    if (H, W) != (h, w):
        dens = np.pad(dens, ((0, H - h), (0, W - w)), mode="edge")
    return dens.reshape(H // f, f, W // f, f).mean(axis=(1, 3), dtype=np.float32)


def local_threshold(sm, stain, half):
    p = P
    f = max(1, int(half / 12))
    c = shrink(sm, f)
    t0 = stain.threshold
    size = 2 * int(half / f) + 1
    above = (c > t0).astype(np.float32)
    n1 = ndimage.uniform_filter(above, size)
    n0 = 1 - n1
    s1 = ndimage.uniform_filter(above * c, size)
    s0 = ndimage.uniform_filter(c, size) - s1
    k = p["prior"]
    m1 = (s1 + k * stain.nuclear) / (n1 + k)
    m0 = (s0 + k * stain.rest) / (n0 + k)
    t = (m0 + p["frac"] * (m1 - m0)) * (1 - p["glob"]) + p["glob"] * t0
    t = np.maximum(t, stain.rest + 0.25 * stain.contrast).astype(np.float32)
    if f > 1:
        t = np.asarray(Image.fromarray(t).resize((t.shape[1] * f, t.shape[0] * f), Image.Resampling.BILINEAR))
    return t[: sm.shape[0], : sm.shape[1]]
