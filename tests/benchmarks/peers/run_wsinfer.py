"""WSInfer: its `run_inference` on a TorchScript model; option "speedup": with its flag of that name.

It writes classes, not features: the softmax of the 256 values, so what it gives back is their logarithm.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from contender import HIDDEN, Work, contend, encoder


def prepare(work: Work):
    network = encoder(work)
    import h5py
    import pandas as pd
    import torch
    from wsinfer.modellib.models import LocalModelTorchScript
    from wsinfer.modellib.run_inference import run_inference
    from wsinfer.wsi import WSI
    from wsinfer_zoo.client import ModelConfiguration, TransformConfigurationItem

    os.environ["WSINFER_FORCE_CPU"] = "1"
    script = Path(work.features).with_suffix(".torchscript")
    with warnings.catch_warnings(action="ignore"):
        torch.jit.script(network).save(script)
    config = ModelConfiguration(
        architecture="vgg13_bn",
        num_classes=HIDDEN,
        class_names=[str(number) for number in range(HIDDEN)],
        patch_size_pixels=work.patch_px,
        spacing_um_px=work.mpp,
        transform=[
            TransformConfigurationItem("Resize", {"size": work.input_px}),
            TransformConfigurationItem("ToTensor", None),
            TransformConfigurationItem("Normalize", {"mean": work.mean, "std": work.std}),
        ],
    )
    model = LocalModelTorchScript(config=config, model_path=str(script))

    def run(path: str):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            slides, patches = folder / "slides", folder / "results" / "patches"
            slides.mkdir()
            patches.mkdir(parents=True)
            shutil.copy(path, slides)
            width, height = WSI(path).dimensions
            side = work.patch_px
            corners = [(x, y) for y in range(0, height, side) for x in range(0, width, side)]
            with h5py.File(patches / f"{Path(path).stem}.h5", "w") as file:
                file["coords"] = np.asarray(corners)
                file["coords"].attrs.update({"patch_level": 0, "patch_size": side})
            with contextlib.redirect_stdout(sys.stderr):
                failed = run_inference(
                    slides, folder / "results", model, num_workers=0, speedup=work.option == "speedup"
                )
            assert failed == ([], []), failed
            table = pd.read_csv(next((folder / "results" / "model-outputs-csv").glob("*.csv")))
        return table[["minx", "miny"]].to_numpy(), np.log(table.filter(like="prob_").to_numpy())

    return run


if __name__ == "__main__":
    contend(prepare, ("wsinfer", "torch", "zarr"))
