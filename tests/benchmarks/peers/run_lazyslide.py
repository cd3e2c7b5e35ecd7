"""LazySlide: its tiles, its `feature_extraction` with its defaults; option "amp": its mixed precision."""

from __future__ import annotations

from contender import Work, contend, encoder, patch_transform


def prepare(work: Work):
    network, transform = encoder(work), patch_transform(work)
    import lazyslide
    import torch
    from PIL import Image
    from wsidata import open_wsi

    def of_array(tile):
        return transform(Image.fromarray(tile))

    def of_pictures(pictures):
        return network(pictures).float()  # NumPy has no bfloat16

    amp = {"amp": True, "autocast_dtype": torch.bfloat16} if work.option == "amp" else {}

    def run(path: str):
        slide = open_wsi(path, store=None)
        lazyslide.pp.tile_tissues(slide, work.patch_px, mpp=work.mpp, tissue_key=None)
        features = lazyslide.tl.feature_extraction(
            slide, of_pictures, transform=of_array, device="cpu", return_features=True, pbar=False, **amp
        )
        return slide.shapes["tiles"].bounds[["minx", "miny"]].to_numpy(), features

    return run


if __name__ == "__main__":
    contend(prepare, ("lazyslide", "wsidata", "torch"))
